//! From bytes to tokens, as the server's own lexer would cut them (`sql/sql_lex.cc` of MySQL 9 and MariaDB 11).
//!
//! It never fails: what cannot be read for certain sets [`Lexer::fault`], and the classifier then refuses to call the
//! text a read. It looks at each byte a bounded number of times and does not recurse.

mod ahead;
mod comment;
mod number;
mod quoted;
mod token;
mod variable;

#[cfg(test)]
mod tests;

pub(super) use token::{Gap, Kind, Token};

use super::hint::{self, Wishes};
use super::syntax::{Charset, Syntax};
use super::words::{self, Word};

/// A reader of one text.
pub(super) struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    syntax: Syntax,
    /// Inside `/*! ... */`: the next `*/` is not an operator.
    in_executable_comment: bool,
    /// The previous token was a dot and nothing stands between: what follows is a name, never a keyword.
    after_dot: bool,
    /// No token has been read yet.
    leading: bool,
    fault: bool,
    wishes: Wishes,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a [u8], syntax: Syntax) -> Self {
        // Tokens hold 32-bit offsets; the protocol's longest packet is far below.
        let too_long = u32::try_from(text.len()).is_err();
        let text = if too_long { &text[..0] } else { text };
        Self {
            text,
            at: 0,
            syntax,
            in_executable_comment: false,
            after_dot: false,
            leading: true,
            fault: too_long,
            wishes: Wishes::default(),
        }
    }

    /// Whether something was met that could be read in two ways.
    pub(super) fn fault(&self) -> bool {
        self.fault
    }

    /// What the comments read so far wish.
    pub(super) fn take_wishes(&mut self) -> Wishes {
        std::mem::take(&mut self.wishes)
    }

    /// The next token; `Kind::End` for ever once the text is used up.
    pub(super) fn next(&mut self) -> Token {
        let gap = self.skip_space();
        let after_dot = std::mem::take(&mut self.after_dot) && gap == Gap::None;
        let start = self.at;
        let Some(&first) = self.text.get(start) else { return self.end() };
        self.leading = false;
        let (kind, word) = self.scan(first, after_dot);
        Token { kind, gap, start: start as u32, end: self.at as u32, word }
    }

    fn scan(&mut self, first: u8, after_dot: bool) -> (Kind, Option<&'static Word>) {
        let kind = match first {
            _ if is_word_byte(first) => return self.word_or_number(first, after_dot),
            b'\'' => self.string(b'\''),
            b'"' if self.syntax.ansi_quotes => self.quoted_name(b'"'),
            b'"' => self.string(b'"'),
            b'`' => self.quoted_name(b'`'),
            b'@' => self.variable(),
            b'.' if self.peek(1).is_ascii_digit() && !after_dot && !self.is_after_word() => self.fraction(),
            b'.' => {
                self.after_dot = true;
                self.punctuation(b'.')
            }
            b':' if self.peek(1) == b'=' => {
                self.at += 2;
                Kind::Assign
            }
            _ => self.punctuation(first),
        };
        (kind, None)
    }

    fn punctuation(&mut self, byte: u8) -> Kind {
        self.at += 1;
        // A NUL ends line comments for the server, a backslash is `\N` to some: neither belongs into code.
        self.fault |= byte == 0 || byte == b'\\' || (byte == b';' && self.in_executable_comment);
        Kind::Punctuation(byte)
    }

    fn word_or_number(&mut self, first: u8, after_dot: bool) -> (Kind, Option<&'static Word>) {
        if first.is_ascii_digit() && !after_dot {
            return (self.number(), None);
        }
        if self.peek(1) == b'\'' && !after_dot {
            match first {
                b'n' | b'N' => return (self.national_string(), None),
                b'x' | b'X' | b'b' | b'B' => return (self.bit_string(), None),
                _ => {}
            }
        }
        let word = self.word();
        if after_dot || (self.peek(0) == b'.' && is_word_byte(self.peek(1))) {
            return (Kind::Name, None);
        }
        (Kind::Word, words::lookup(word))
    }

    /// Runs over the bytes of an unquoted name.
    fn word(&mut self) -> &'a [u8] {
        let rest = &self.text[self.at..];
        let length = rest.iter().position(|&byte| !is_word_byte(byte)).unwrap_or(rest.len());
        let word = &rest[..length];
        self.at += length;
        self.check_encoding(word);
        word
    }

    /// Outside strings the server asks the character set what a byte above 0x7F is; only of UTF-8 do we know that.
    fn check_encoding(&mut self, name: &[u8]) {
        if !name.is_ascii() {
            self.fault |= self.syntax.charset != Charset::Utf8 || std::str::from_utf8(name).is_err();
        }
    }

    fn end(&mut self) -> Token {
        self.fault |= std::mem::take(&mut self.in_executable_comment);
        let at = self.text.len() as u32;
        Token { kind: Kind::End, gap: Gap::Space, start: at, end: at, word: None }
    }

    fn offer_hint(&mut self, comment: &[u8]) {
        hint::read(comment, self.leading, &mut self.wishes);
    }
}

/// Whether a byte may stand in an unquoted name.
pub(super) fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}
