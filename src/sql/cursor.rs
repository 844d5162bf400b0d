//! A walk over a text's tokens: one behind, one here, one ahead; the digest grows with every step.

use super::digest::{Digest, Hash};
use super::hint::Wishes;
use super::lexer::{Gap, Kind, Lexer, Token};
use super::syntax::Syntax;
use super::words::Keyword;

/// A place in a text.
pub(super) struct Cursor<'a> {
    pub(super) text: &'a [u8],
    pub(super) syntax: Syntax,
    pub(super) previous: Token,
    pub(super) token: Token,
    pub(super) next: Token,
    lexer: Lexer<'a>,
    digest: Digest<Hash>,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a [u8], syntax: &Syntax) -> Self {
        let mut lexer = Lexer::new(text, *syntax);
        let token = lexer.next();
        let next = lexer.next();
        let previous = Token { kind: Kind::End, gap: Gap::None, start: 0, end: 0, word: None };
        Self { text, syntax: *syntax, previous, token, next, lexer, digest: Digest::default() }
    }

    /// Moves on within the statement: stays at its end.
    pub(super) fn advance(&mut self) {
        if !self.token.is_end() {
            self.step();
        }
    }

    /// Moves on, over a semicolon too.
    pub(super) fn step(&mut self) {
        self.digest.token(&self.token, self.text);
        self.previous = self.token;
        self.token = self.next;
        self.next = self.lexer.next();
    }

    /// Steps over `keyword` if it is here.
    pub(super) fn accept(&mut self, keyword: Keyword) -> bool {
        let is_here = self.token.is(keyword);
        if is_here {
            self.advance();
        }
        is_here
    }

    /// Steps over these keywords if the first two are here.
    pub(super) fn accept_both(&mut self, first: Keyword, second: Keyword) -> bool {
        let are_here = self.token.is(first) && self.next.is(second);
        if are_here {
            self.advance();
            self.advance();
        }
        are_here
    }

    /// Steps over `byte` if it is here.
    pub(super) fn accept_punctuation(&mut self, byte: u8) -> bool {
        let is_here = self.token.is_punctuation(byte);
        if is_here {
            self.step();
        }
        is_here
    }

    /// Steps over a name that may be qualified (`a.b`), and gives its last part without quotes.
    pub(super) fn name(&mut self) -> Option<String> {
        self.accept_punctuation(b'.');
        if !self.token.is_name() && self.token.kind != Kind::String {
            return None;
        }
        while self.next.is_punctuation(b'.') {
            self.advance();
            self.advance();
        }
        let name = self.token.is_name() || self.token.kind == Kind::String;
        let name = name.then(|| unquoted(self.token.text(self.text)));
        self.advance();
        name
    }

    /// As `name`, with the case of ASCII letters folded.
    pub(super) fn folded_name(&mut self) -> Option<Box<str>> {
        self.name().map(|name| name.to_ascii_lowercase().into())
    }

    /// The text of the token here.
    pub(super) fn here(&self) -> &'a [u8] {
        self.token.text(self.text)
    }

    pub(super) fn skip_statement(&mut self) {
        while !self.token.is_end() {
            self.advance();
        }
    }

    pub(super) fn fault(&self) -> bool {
        self.lexer.fault()
    }

    /// What the comments and the tokens so far come to.
    pub(super) fn finish(mut self) -> (Wishes, u64) {
        (self.lexer.take_wishes(), self.digest.finish())
    }
}

/// A name or a string without its quotes; an escaped quote is undoubled, backslashes are left alone.
pub(super) fn unquoted(text: &[u8]) -> String {
    let Some((&quote @ (b'`' | b'"' | b'\''), rest)) = text.split_first() else {
        return String::from_utf8_lossy(text).into_owned();
    };
    let inner = rest.strip_suffix(&[quote]).unwrap_or(rest);
    let quote = char::from(quote).to_string();
    String::from_utf8_lossy(inner).replace(&quote.repeat(2), &quote)
}
