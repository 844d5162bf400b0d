//! The walk through whatever may hold an expression or a query: every token is looked at, nothing is parsed.
//!
//! It is a walk and not a parse on purpose: a parser that knows less grammar than the server gives up on reads, and
//! one that knows other grammar is fooled. What must not be missed are a few things with unmistakable tokens: calls
//! (a word before a parenthesis), reserved words that no read has, `:=`, `@x`, `@@x`, `INTO`, `FOR`, `LOCK`.

use super::facts::Facts;
use super::frame::{Frame, From, With};
use super::server_state::{self, Variable};
use crate::sql::change::Change;
use crate::sql::cursor::{Cursor, unquoted};
use crate::sql::lexer::Kind;
use crate::sql::needs::Needs;
use crate::sql::reason::Reason;

/// A walk in progress.
pub(super) struct Scan<'s, 'a> {
    pub(super) cursor: &'s mut Cursor<'a>,
    pub(super) facts: &'s mut Facts,
    /// The parenthesis we are in.
    pub(super) frame: Frame,
    /// Those around it.
    outer: Vec<Frame>,
    /// The schema before the dot, if a table's name has one.
    pub(super) qualifier: Option<String>,
    /// The next parenthesis belongs to this: SUBSTRING.
    pub(super) opens_substring: bool,
    pub(super) with_calls: bool,
}

/// Walks to the end of the statement.
pub(super) fn scan(cursor: &mut Cursor<'_>, facts: &mut Facts, frame: Frame) {
    let mut scan = Scan::new(cursor, facts, frame);
    while !scan.cursor.token.is_end() {
        scan.step();
    }
}

/// Walks to the end of the statement, and says whether any string in it is `wanted`.
pub(super) fn scan_strings(cursor: &mut Cursor<'_>, facts: &mut Facts, wanted: fn(&[u8]) -> bool) -> bool {
    let mut scan = Scan::new(cursor, facts, Frame::query());
    let mut is_met = false;
    while !scan.cursor.token.is_end() {
        is_met |= scan.cursor.token.kind == Kind::String && wanted(scan.cursor.here());
        scan.step();
    }
    is_met
}

/// Walks to the end of the statement through the arguments of a CALL, whose user variables may be set by it.
pub(super) fn scan_arguments(cursor: &mut Cursor<'_>, facts: &mut Facts) {
    let mut scan = Scan::new(cursor, facts, Frame::default());
    while !scan.cursor.token.is_end() {
        if scan.cursor.token.kind == Kind::UserVariable {
            let name = variable_name(scan.cursor.here());
            scan.facts.changes.push(Change::UserVariable { name, value: None });
        }
        scan.step();
    }
}

/// Walks to the next comma outside parentheses, or to the end of the statement.
pub(super) fn scan_value(cursor: &mut Cursor<'_>, facts: &mut Facts) {
    let mut scan = Scan::new(cursor, facts, Frame::default());
    while !scan.cursor.token.is_end() && !scan.is_at_outer(b',') {
        scan.step();
    }
}

/// Walks through a definition: what looks like a call there mostly is none, until a query begins.
pub(super) fn scan_definition(cursor: &mut Cursor<'_>, facts: &mut Facts) {
    let mut scan = Scan::new(cursor, facts, Frame::default());
    scan.with_calls = false;
    while !scan.cursor.token.is_end() {
        scan.step();
        scan.with_calls |= scan.facts.has_query;
    }
}

impl<'s, 'a> Scan<'s, 'a> {
    pub(super) fn new(cursor: &'s mut Cursor<'a>, facts: &'s mut Facts, frame: Frame) -> Self {
        Self {
            cursor,
            facts,
            frame,
            outer: Vec::new(),
            qualifier: None,
            opens_substring: false,
            with_calls: true,
        }
    }

    fn is_at_outer(&self, byte: u8) -> bool {
        self.is_outside() && self.cursor.token.is_punctuation(byte)
    }

    /// Whether no parenthesis is open.
    pub(super) fn is_outside(&self) -> bool {
        self.outer.is_empty()
    }

    /// Looks at one token and moves behind it.
    pub(super) fn step(&mut self) {
        match self.cursor.token.kind {
            Kind::Word => self.word(),
            Kind::Name => self.name(),
            Kind::UserVariable => self.user_variable(),
            Kind::SystemVariable => self.system_variable(),
            Kind::Assign => self.facts.refuse(Reason::Assignment),
            Kind::Punctuation(b'(') => self.open(),
            Kind::Punctuation(b')') => self.close(),
            Kind::Punctuation(b',') => self.comma(),
            Kind::Punctuation(b'{') => self.brace(),
            _ => {}
        }
        self.cursor.advance();
    }

    pub(super) fn open(&mut self) {
        if self.frame.with == With::Named && self.cursor.previous.is_punctuation(b')') {
            // `WITH a AS (...) (SELECT ...)`: the list is over.
            self.frame.with = With::No;
        }
        let from = if self.frame.from == From::Expected { From::Expected } else { From::No };
        let is_substring = std::mem::take(&mut self.opens_substring);
        self.outer.push(self.frame);
        self.frame = Frame { from, is_substring, ..Frame::default() };
    }

    fn close(&mut self) {
        // One parenthesis too many is the server's to refuse.
        self.frame = self.outer.pop().unwrap_or(self.frame);
        if self.frame.from == From::Expected {
            self.frame.from = From::Named;
        }
    }

    fn comma(&mut self) {
        if self.frame.from == From::Named {
            self.frame.from = From::Expected;
        }
        let behind_body = self.cursor.previous.is_punctuation(b')') || self.behind_restrict();
        if self.frame.with == With::Named && behind_body {
            self.frame.with = With::Expected;
        }
    }

    /// The word behind an opening brace is ODBC's (`{fn now()}`, `{oj t1 left join t2}`), not a name.
    fn brace(&mut self) {
        if self.cursor.next.is_name() {
            self.cursor.advance();
            if self.cursor.next.is_punctuation(b'(') {
                self.facts.refuse(Reason::Unparsed);
            }
        }
    }

    fn user_variable(&mut self) {
        if self.cursor.next.kind == Kind::Assign {
            let name = variable_name(self.cursor.here());
            self.facts.changes.push(Change::UserVariable { name, value: None });
            self.facts.refuse(Reason::Assignment);
        } else {
            self.facts.needs |= Needs::USER_VARIABLES;
        }
    }

    fn system_variable(&mut self) {
        if !self.cursor.next.is_name() {
            return self.facts.refuse(Reason::Unparsed);
        }
        self.cursor.advance();
        let mut name = unquoted(self.cursor.here());
        let mut is_global = false;
        if self.cursor.next.is_punctuation(b'.') {
            is_global = name.eq_ignore_ascii_case("global");
            if is_global || name.eq_ignore_ascii_case("session") || name.eq_ignore_ascii_case("local") {
                self.cursor.advance();
                self.cursor.advance();
                name = unquoted(self.cursor.here());
            }
        }
        match server_state::variable(&name, is_global) {
            Variable::Alike => {}
            Variable::Server => self.facts.refuse(Reason::ServerVariable),
            Variable::Needs(needs) => self.facts.needs |= needs,
        }
    }
}

/// The name of a user variable as its token is written: `@a`, `@'a b'`, @`a`.
pub(super) fn variable_name(token: &[u8]) -> Box<str> {
    unquoted(&token[1..]).to_ascii_lowercase().into()
}
