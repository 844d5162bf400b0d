//! One token of a text.

use super::super::words::{Keyword, Word};

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Kind {
    /// Nothing is left.
    End,
    /// An unquoted word: a keyword or a name.
    Word,
    /// Certainly a name: quoted, or next to a dot.
    Name,
    /// A string, with its introducer's letter (`N'x'`) but not its `_charset`.
    String,
    /// A number, `0x..` and `0b..` included, without its sign.
    Number,
    /// `@name`, in any of its quotings.
    UserVariable,
    /// The two signs before a system variable's name.
    SystemVariable,
    /// `:=`.
    Assign,
    /// Any other single byte.
    Punctuation(u8),
}

/// What stands between two tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Gap {
    /// Nothing.
    None,
    /// White space only.
    Space,
    /// A comment, or the marks of one that is code.
    Comment,
}

/// One token and where it stands.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Token {
    pub(in super::super) kind: Kind,
    /// What stands before it.
    pub(in super::super) gap: Gap,
    pub(in super::super) start: u32,
    pub(in super::super) end: u32,
    /// What is known of the word, if it is one that is known.
    pub(in super::super) word: Option<&'static Word>,
}

impl Token {
    pub(in super::super) fn keyword(&self) -> Keyword {
        self.word.map_or(Keyword::None, |word| word.keyword)
    }

    pub(in super::super) fn is(&self, keyword: Keyword) -> bool {
        self.keyword() == keyword
    }

    pub(in super::super) fn is_punctuation(&self, byte: u8) -> bool {
        self.kind == Kind::Punctuation(byte)
    }

    /// Whether it can stand where a name is expected.
    pub(in super::super) fn is_name(&self) -> bool {
        matches!(self.kind, Kind::Word | Kind::Name)
    }

    /// Whether the statement ends here.
    pub(in super::super) fn is_end(&self) -> bool {
        matches!(self.kind, Kind::End | Kind::Punctuation(b';'))
    }

    pub(in super::super) fn text<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        &text[self.start as usize..self.end as usize]
    }
}
