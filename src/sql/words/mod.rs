//! What is known of single words: keywords, built-in functions, and the functions that are not harmless.

mod builtins;
mod grammar;
mod impure;
mod index;
mod keyword;

#[cfg(test)]
mod tests;

pub(super) use impure::Impure;
pub(super) use index::lookup;
pub(super) use keyword::Keyword;

use super::lexer::Gap;
use super::syntax::{Flavour, Syntax};

/// What is known of one word.
#[derive(Debug)]
pub(super) struct Word {
    /// Lower-cased.
    pub(super) text: &'static str,
    pub(super) keyword: Keyword,
    /// What it does as a function, if that is anything but computing a value.
    pub(super) impure: Option<Impure>,
    /// Reserved, and in no place of any harmless read.
    pub(super) suspicious: bool,
    /// The first version whose grammar or list of functions has this word before a parenthesis, per flavour.
    since: [u32; 2],
    /// The first version of MySQL that no longer has it as a built-in function.
    retired: Option<u32>,
    /// Per flavour: with white space before the parenthesis it is not the built-in function, but a stored one.
    glued: [bool; 2],
}

/// What a word with a parenthesis behind it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    /// A built-in function that only computes a value, or no call at all.
    Harmless,
    /// A built-in function that does or reads something else.
    Impure(Impure),
    /// A stored or loadable function.
    Stored,
}

impl Word {
    /// What the word is if a parenthesis follows behind `gap`.
    pub(super) fn call(&self, syntax: &Syntax, gap: Gap) -> Call {
        let flavour = place(syntax.flavour);
        // IGNORE_SPACE does not ignore comments (seen on MySQL 9.7.4 and MariaDB 11.8.6).
        let is_near = gap == Gap::None || (gap == Gap::Space && syntax.ignore_space);
        if self.glued[flavour] && !is_near {
            return Call::Stored;
        }
        match self.impure {
            Some(impure) => Call::Impure(impure),
            None if self.since[flavour] <= syntax.version && !self.is_retired(syntax) => Call::Harmless,
            None => Call::Stored,
        }
    }

    fn is_retired(&self, syntax: &Syntax) -> bool {
        let is_gone = |version| syntax.version == 0 || syntax.version >= version;
        syntax.flavour == Flavour::MySql && self.retired.is_some_and(is_gone)
    }
}

fn place(flavour: Flavour) -> usize {
    match flavour {
        Flavour::MySql => 0,
        Flavour::MariaDb => 1,
    }
}
