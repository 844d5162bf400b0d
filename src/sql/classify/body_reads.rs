//! The reader that follows a stored program's grammar, and gives up at the first thing that may do more than read.

use std::collections::HashSet;

use super::body::{Program, Reads};
use super::facts::Facts;
use super::frame::Frame;
use super::scan::Scan;
use crate::sql::change::Change;
use crate::sql::cursor::{Cursor, unquoted};
use crate::sql::lexer::Kind;
use crate::sql::reason::Reason;
use crate::sql::statement::Effect;
use crate::sql::syntax::Syntax;
use crate::sql::words::Keyword;

/// Follows the statements of a body as long as each of them only reads or assigns to the body's own variables.
pub(super) struct Reader<'a> {
    cursor: Cursor<'a>,
    facts: Facts,
    /// Parameters and declared variables, lower-cased.
    locals: HashSet<String>,
}

impl<'a> Reader<'a> {
    /// What a body reads, if it does nothing else.
    pub(super) fn read(program: Program<'a>, syntax: &Syntax) -> Option<Reads> {
        let mut reader = Self {
            cursor: Cursor::new(program.body.as_bytes(), syntax),
            facts: Facts::read(Reason::PlainRead),
            locals: program.parameters.iter().map(|name| name.to_lowercase()).collect(),
        };
        while reader.cursor.token.kind != Kind::End {
            reader.statement()?;
        }
        let Facts { effect, as_read, needs, changes, calls, tables, tables_known, .. } = reader.facts;
        let is_read = effect == Effect::Read || as_read.is_some();
        let changes_nothing = changes.iter().all(|change| matches!(change, Change::StoredCode(_)));
        (is_read && changes_nothing && needs.is_empty() && tables_known && !reader.cursor.fault())
            .then_some(Reads { calls, tables })
    }

    /// One statement, or the part of a compound one up to the next that stands in it; `None` if it is not known to only
    /// read.
    fn statement(&mut self) -> Option<()> {
        let is_call_like = self.cursor.next.is_punctuation(b'(');
        if self.cursor.accept_punctuation(b';') {
            return Some(());
        }
        if self.cursor.token.is_punctuation(b'(') {
            return self.expression(Frame::query());
        }
        if self.cursor.token.is_name() && self.cursor.next.is_punctuation(b':') {
            // A label.
            self.cursor.advance();
            self.cursor.advance();
            return Some(());
        }
        if self.cursor.token.kind != Kind::Word {
            return None;
        }
        match self.word().as_str() {
            "begin" | "else" | "loop" => self.cursor.advance(),
            "repeat" if !is_call_like => self.cursor.advance(),
            "then" | "do" if self.is_behind_expression() => self.cursor.advance(),
            "end" => return self.end(),
            "if" | "elseif" | "while" | "until" | "return" | "case" | "when" | "do" => {
                self.cursor.advance();
                return self.expression(Frame::default());
            }
            "select" | "with" | "values" | "table" => return self.expression(Frame::query()),
            "declare" => return self.declare(),
            "set" => return self.set(),
            "leave" | "iterate" | "open" | "close" | "fetch" | "signal" | "resignal" => {
                return self.plain();
            }
            _ => return None,
        }
        Some(())
    }

    fn word(&self) -> String {
        unquoted(self.cursor.here()).to_ascii_lowercase()
    }

    fn is_word(&self, word: &str) -> bool {
        self.cursor.token.kind == Kind::Word && self.cursor.here().eq_ignore_ascii_case(word.as_bytes())
    }

    /// Whether an expression has just ended here, so that THEN or DO is what it was for.
    fn is_behind_expression(&self) -> bool {
        !self.cursor.previous.is_end()
    }

    /// `END [IF | LOOP | ...] [label]`.
    fn end(&mut self) -> Option<()> {
        self.cursor.advance();
        for _ in 0..2 {
            if self.cursor.token.is_name() {
                self.cursor.advance();
            }
        }
        self.cursor.token.is_end().then_some(())
    }

    /// A statement that has neither expressions nor anything but names and literals.
    fn plain(&mut self) -> Option<()> {
        while !self.cursor.token.is_end() {
            if matches!(self.cursor.token.kind, Kind::UserVariable | Kind::SystemVariable)
                || self.cursor.token.is_punctuation(b'(')
            {
                return None;
            }
            self.cursor.advance();
        }
        Some(())
    }

    /// Walks to the end of the statement, or to the word that ends an expression in a compound one.
    fn expression(&mut self, frame: Frame) -> Option<()> {
        self.walk(frame, |_| false)
    }

    fn walk(&mut self, frame: Frame, stops: fn(&Cursor<'_>) -> bool) -> Option<()> {
        let mut scan = Scan::new(&mut self.cursor, &mut self.facts, frame);
        let mut cases = 0_u32;
        while !scan.cursor.token.is_end() {
            let here = scan.cursor.here();
            let is = |word: &str| {
                scan.cursor.token.kind == Kind::Word && here.eq_ignore_ascii_case(word.as_bytes())
            };
            let is_outside = scan.is_outside() && cases == 0;
            if is_outside && (["then", "do", "when", "end"].into_iter().any(is) || stops(scan.cursor)) {
                return Some(());
            }
            if is("case") {
                cases += 1;
            } else if is("end") {
                cases = cases.saturating_sub(1);
            } else if is("into") {
                into_locals(scan.cursor, &self.locals)?;
                continue;
            }
            scan.step();
        }
        Some(())
    }

    /// `DECLARE` of variables, a cursor, a condition or a handler.
    fn declare(&mut self) -> Option<()> {
        self.cursor.advance();
        if self.cursor.next.is(Keyword::Handler) {
            return self.declare_handler();
        }
        let mut names = Vec::new();
        loop {
            if !self.cursor.token.is_name() {
                return None;
            }
            names.push(unquoted(self.cursor.here()).to_lowercase());
            self.cursor.advance();
            if !self.cursor.accept_punctuation(b',') {
                break;
            }
        }
        if self.is_word("condition") {
            return self.plain();
        }
        if self.is_word("cursor") {
            self.cursor.advance();
            return self.cursor.accept(Keyword::For).then_some(());
        }
        self.locals.extend(names);
        while !self.cursor.token.is_end() {
            if self.cursor.accept(Keyword::Default) {
                return self.expression(Frame::default());
            }
            self.cursor.advance();
        }
        Some(())
    }

    /// `{CONTINUE | EXIT | UNDO} HANDLER FOR condition [, condition] ...`, up to its statement.
    fn declare_handler(&mut self) -> Option<()> {
        self.cursor.advance();
        self.cursor.advance();
        if !self.cursor.accept(Keyword::For) {
            return None;
        }
        loop {
            let word = self.word();
            self.cursor.advance();
            match word.as_str() {
                "sqlstate" => {
                    self.cursor.accept(Keyword::Value);
                    self.cursor.advance();
                }
                "not" => self.cursor.advance(),
                _ => {}
            }
            if !self.cursor.accept_punctuation(b',') {
                return Some(());
            }
        }
    }

    /// `SET` of the body's own variables.
    fn set(&mut self) -> Option<()> {
        self.cursor.advance();
        loop {
            let is_local = self.cursor.token.is_name()
                && self.locals.contains(&unquoted(self.cursor.here()).to_lowercase());
            self.cursor.advance();
            let is_assigned =
                self.cursor.token.is_punctuation(b'=') || self.cursor.token.kind == Kind::Assign;
            if !is_local || !is_assigned {
                return None;
            }
            self.cursor.advance();
            self.walk(Frame::default(), |cursor| cursor.token.is_punctuation(b','))?;
            if !self.cursor.accept_punctuation(b',') {
                return self.cursor.token.is_end().then_some(());
            }
        }
    }
}

/// `INTO a, b` with the body's own variables.
fn into_locals(cursor: &mut Cursor<'_>, locals: &HashSet<String>) -> Option<()> {
    loop {
        cursor.advance();
        if !cursor.token.is_name() || !locals.contains(&unquoted(cursor.here()).to_lowercase()) {
            return None;
        }
        cursor.advance();
        if !cursor.token.is_punctuation(b',') {
            return Some(());
        }
    }
}
