//! The normalised form of a text: literals become `?`, lists and rows of them one, spacing and comments go, keywords
//! lose their case. Two texts that differ in their data alone have the same digest.

mod sink;
#[cfg(test)]
mod tests;

pub(super) use sink::Hash;
use sink::{Sink, Text};

use super::cursor::unquoted;
use super::lexer::{Kind, Lexer, Token};
use super::syntax::Syntax;
use super::words::Keyword;

/// The normalised form of `text`, for people; at most about `limit` bytes of it.
pub fn normalise(text: &[u8], syntax: &Syntax, limit: usize) -> String {
    let mut lexer = Lexer::new(text, *syntax);
    let mut digest = Digest::<Text>::default();
    loop {
        let token = lexer.next();
        if token.kind == Kind::End || digest.sink.length() >= limit {
            return digest.finish();
        }
        digest.token(&token, text);
    }
}

/// Takes the tokens of a text one by one.
#[derive(Default)]
pub(super) struct Digest<S: Sink> {
    sink: S,
    /// How many literals stand in a row, commas between them; only the first has been written.
    run: u32,
    row: Row<S::Mark>,
    /// What was met but not yet written: it goes if a literal follows.
    held: Held,
    /// The token before could end an operand: a sign here is an operator.
    after_operand: bool,
    after_in: bool,
    in_list: bool,
}

/// What is held back until the next token is known.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Held {
    #[default]
    Nothing,
    /// The comma behind a literal.
    Comma,
    /// A sign, and whether a comma behind a literal stands before it.
    Sign(u8, bool),
    /// The semicolon, which means nothing at the end.
    Semicolon,
}

/// Where in a list of rows of literals, `(1, 2), (3, 4)`, we are.
#[derive(Default, Clone, Copy)]
enum Row<M> {
    #[default]
    None,
    /// In the first.
    First,
    /// Behind a row; the mark is behind the first.
    Closed(M),
    /// Behind the comma that follows a row.
    Comma(M),
    /// In a later one, which will be taken back if it has only literals.
    Later(M),
}

impl<S: Sink> Digest<S> {
    pub(super) fn token(&mut self, token: &Token, text: &[u8]) {
        if self.is_literal(token) {
            return self.literal();
        }
        if self.hold(token) {
            return;
        }
        let behind_literal = self.run > 0;
        self.release();
        match token.kind {
            Kind::Punctuation(b'(') => self.open(),
            Kind::Punctuation(b')') => self.close(behind_literal),
            _ => self.write(token, text),
        }
        self.after_operand = token.is_name() && token.keyword() == Keyword::None
            || matches!(token.kind, Kind::UserVariable | Kind::Punctuation(b')' | b'*'));
        self.after_in = token.is(Keyword::In);
    }

    pub(super) fn finish(mut self) -> S::Output {
        if self.held != Held::Semicolon {
            self.release();
        }
        self.sink.finish()
    }

    fn is_literal(&self, token: &Token) -> bool {
        match token.kind {
            Kind::String | Kind::Number | Kind::Punctuation(b'?') => true,
            Kind::Word => {
                let in_row = matches!(self.row, Row::First | Row::Later(_)) && !self.after_operand;
                let constant = [Keyword::Null, Keyword::True, Keyword::False, Keyword::Default];
                in_row && constant.contains(&token.keyword())
            }
            _ => false,
        }
    }

    fn literal(&mut self) {
        match self.held {
            Held::Comma | Held::Sign(_, true) => self.run += 1,
            Held::Nothing if self.run > 0 => {}
            Held::Nothing | Held::Sign(..) | Held::Semicolon => {
                if !matches!(self.held, Held::Sign(..)) {
                    self.release();
                }
                self.sink.literal();
                self.run = 1;
            }
        }
        self.held = Held::Nothing;
        self.after_operand = true;
    }

    /// Whether the token was put aside.
    fn hold(&mut self, token: &Token) -> bool {
        let held = match (token.kind, self.held) {
            (Kind::Punctuation(b','), Held::Nothing) if self.run > 0 => Held::Comma,
            (Kind::Punctuation(b','), Held::Nothing) if matches!(self.row, Row::Closed(_)) => {
                if let Row::Closed(mark) = self.row {
                    self.row = Row::Comma(mark);
                }
                return true;
            }
            (Kind::Punctuation(sign @ (b'-' | b'+')), Held::Comma) => Held::Sign(sign, true),
            (Kind::Punctuation(sign @ (b'-' | b'+')), Held::Nothing) if !self.after_operand => {
                Held::Sign(sign, false)
            }
            (Kind::Punctuation(b';'), Held::Semicolon) => return true,
            (Kind::Punctuation(b';'), _) => {
                self.release();
                Held::Semicolon
            }
            _ => return false,
        };
        self.held = held;
        self.after_operand = false;
        true
    }

    /// Writes what was held back and ends a run of literals.
    fn release(&mut self) {
        if self.run > 1 || (self.run > 0 && self.in_list) {
            self.sink.more();
        }
        self.run = 0;
        match std::mem::take(&mut self.held) {
            Held::Nothing => {}
            Held::Comma => self.sink.punctuation(b','),
            Held::Semicolon => self.sink.punctuation(b';'),
            Held::Sign(sign, comma) => {
                if comma {
                    self.sink.punctuation(b',');
                }
                self.sink.punctuation(sign);
                self.row = Row::None;
            }
        }
    }

    fn write(&mut self, token: &Token, text: &[u8]) {
        if let Row::Comma(_) = self.row {
            self.sink.punctuation(b',');
        }
        self.row = Row::None;
        match token.kind {
            Kind::Punctuation(byte) => self.sink.punctuation(byte),
            Kind::Assign => self.sink.word(b":="),
            Kind::Word if token.word.is_some() => {
                self.sink.word(token.word.map_or(b"", |word| word.text.as_bytes()))
            }
            Kind::Name => self.name(token.text(text)),
            _ => self.sink.word(token.text(text)),
        }
    }

    fn name(&mut self, name: &[u8]) {
        match name.first() {
            Some(b'`' | b'"') => self.sink.word(unquoted(name).as_bytes()),
            _ => self.sink.word(name),
        }
    }

    fn open(&mut self) {
        self.in_list = self.after_in;
        if let Row::Comma(mark) = self.row {
            self.sink.punctuation(b',');
            self.row = Row::Later(mark);
        } else {
            // Behind a name it is a list of arguments.
            self.row = if self.after_operand { Row::None } else { Row::First };
        }
        self.sink.punctuation(b'(');
    }

    fn close(&mut self, behind_literal: bool) {
        self.in_list = false;
        self.row = match self.row {
            Row::First if behind_literal => {
                self.sink.punctuation(b')');
                Row::Closed(self.sink.mark())
            }
            Row::Later(mark) if behind_literal => {
                self.sink.rewind(mark);
                Row::Closed(mark)
            }
            _ => {
                self.sink.punctuation(b')');
                Row::None
            }
        };
    }
}
