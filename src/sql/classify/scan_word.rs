//! The walk's step over a word: keywords that mean something, and calls.

use super::frame::{Frame, From, With};
use super::program::called;
use super::scan::{Scan, variable_name};
use super::verb::is_mariadb;
use crate::sql::called::Kind as Called;
use crate::sql::change::Change;
use crate::sql::cursor::unquoted;
use crate::sql::lexer::Kind;
use crate::sql::needs::Needs;
use crate::sql::reason::Reason;
use crate::sql::statement::Effect;
use crate::sql::words::{Call, Impure, Keyword};

impl Scan<'_, '_> {
    pub(super) fn word(&mut self) {
        match self.cursor.token.keyword() {
            Keyword::None => {}
            Keyword::Select => {
                self.facts.has_query = true;
                self.frame.is_query = true;
                self.frame.leave_lists();
            }
            Keyword::Values => {
                self.facts.has_query = true;
                self.frame.leave_lists();
            }
            Keyword::Table if self.cursor.next.is_name() => {
                self.facts.has_query = true;
                self.frame = Frame { is_substring: self.frame.is_substring, ..Frame::tables() };
                return;
            }
            Keyword::Returning if is_mariadb(self.cursor) => {
                self.frame.leave_lists();
                self.returning();
            }
            Keyword::From if self.frame.is_query => {
                self.frame.from = From::Expected;
                return;
            }
            Keyword::Join | Keyword::StraightJoin if self.frame.from == From::Named => {
                self.frame.from = From::Expected;
                return;
            }
            keyword if ends_table_list(keyword) && !self.cursor.next.is_punctuation(b',') => {
                self.frame.leave_lists();
            }
            Keyword::With => return self.with(),
            Keyword::For => return self.for_clause(),
            Keyword::Into => return self.into(),
            Keyword::Lock => return self.facts.refuse(Reason::LockingRead),
            Keyword::Update | Keyword::Delete => return self.facts.refuse(Reason::DataChange),
            Keyword::SqlCalcFoundRows => self.facts.needs |= Needs::ALL_ROWS_COUNT,
            _ => {}
        }
        self.plain_word();
    }

    /// A word that is a name, a call or a keyword of no great meaning.
    fn plain_word(&mut self) {
        if self.takes_name() {
            return;
        }
        if self.cursor.next.is_punctuation(b'(') {
            return self.call();
        }
        let is_suspicious = self.cursor.token.word.is_some_and(|word| word.suspicious);
        let of_charset = self.cursor.token.is(Keyword::Set)
            && matches!(self.cursor.previous.keyword(), Keyword::Character | Keyword::Char);
        if is_suspicious && !of_charset {
            self.facts.refuse(Reason::Unparsed);
        }
    }

    pub(super) fn name(&mut self) {
        if !self.takes_name() && self.cursor.next.is_punctuation(b'(') && !self.cannot_begin_a_call() {
            self.stored_function();
        }
    }

    fn with(&mut self) {
        let next = self.cursor.next.keyword();
        if next == Keyword::Recursive {
            self.cursor.advance();
        }
        let is_list = !matches!(next, Keyword::Rollup | Keyword::Cube | Keyword::Query | Keyword::Ties);
        if is_list && self.cursor.next.is_name() {
            self.frame.with = With::Expected;
        }
    }

    /// MariaDB answers `INSERT ... RETURNING` with rows, which do not tell LAST_INSERT_ID(): its connection does, and if
    /// the statement leaves that as it was, it must have been the session's.
    fn returning(&mut self) {
        if self.facts.effect == Effect::Write {
            self.facts.needs |= Needs::LAST_INSERT_ID;
            self.facts.note(Change::LastInsertId);
        }
    }

    /// `FOR` locks unless its place says otherwise.
    fn for_clause(&mut self) {
        match self.cursor.next.keyword() {
            Keyword::Join | Keyword::SystemTime | Keyword::Ordinality => self.cursor.advance(),
            Keyword::Order | Keyword::Group => {
                self.cursor.advance();
                self.cursor.advance();
            }
            _ if self.frame.is_substring && !self.frame.is_query => {}
            Keyword::Update | Keyword::Share => self.facts.refuse(Reason::LockingRead),
            _ if self.cursor.previous.is(Keyword::Value) => self.facts.refuse(Reason::Sequence),
            _ => self.facts.refuse(Reason::LockingRead),
        }
    }

    fn into(&mut self) {
        match self.cursor.next.keyword() {
            Keyword::Outfile | Keyword::Dumpfile => self.facts.refuse(Reason::File),
            _ => self.facts.refuse(Reason::IntoVariable),
        }
        while self.cursor.next.kind == Kind::UserVariable {
            self.cursor.advance();
            let name = variable_name(self.cursor.here());
            self.facts.changes.push(Change::UserVariable { name, value: None });
            if self.cursor.next.is_punctuation(b',') {
                self.cursor.advance();
            }
        }
    }

    fn call(&mut self) {
        let gap = self.cursor.next.gap;
        let call = self.cursor.token.word.map_or(Call::Stored, |word| word.call(&self.cursor.syntax, gap));
        let is_method = self.cursor.previous.is_punctuation(b'.');
        match call {
            Call::Harmless if !is_method => {}
            Call::Impure(impure) if !is_method => self.impure(impure),
            _ if self.cannot_begin_a_call() => {}
            _ => self.stored_function(),
        }
    }

    /// Behind an operand no call can begin: the word is an alias with its columns, or belongs to the grammar.
    fn cannot_begin_a_call(&self) -> bool {
        let previous = &self.cursor.previous;
        !self.with_calls
            || previous.is(Keyword::As)
            || matches!(previous.kind, Kind::String | Kind::Number | Kind::Punctuation(b')'))
    }

    fn stored_function(&mut self) {
        let called = called(self.cursor, Called::Function);
        self.facts.calls_function(called);
    }

    fn impure(&mut self, impure: Impure) {
        match impure {
            Impure::NamedLock => self.get_lock(),
            Impure::ReleaseNamedLock => self.lock_function(Some(Change::ReleaseNamedLock)),
            Impure::ReleaseAllNamedLocks => self.lock_function(Some(Change::ReleaseAllNamedLocks)),
            Impure::NamedLockState => self.lock_function(None),
            Impure::File => self.facts.refuse(Reason::File),
            Impure::Server => self.facts.refuse(Reason::ServerFunction),
            Impure::Sequence => self.facts.refuse(Reason::Sequence),
            Impure::FoundRows => self.facts.needs |= Needs::FOUND_ROWS,
            Impure::RowCount => self.facts.needs |= Needs::ROW_COUNT,
            Impure::Substring => self.opens_substring = true,
            Impure::LastInsertId => self.last_insert_id(),
        }
    }

    fn lock_function(&mut self, change: Option<Change>) {
        self.facts.refuse(Reason::LockFunction);
        self.facts.changes.extend(change);
    }

    fn get_lock(&mut self) {
        self.cursor.advance();
        self.open();
        let is_literal = self.cursor.next.kind == Kind::String;
        if is_literal {
            self.cursor.advance();
        }
        // Strings side by side are one.
        let is_whole = is_literal && self.cursor.next.is_punctuation(b',');
        let name = is_whole.then(|| lock_name(self.cursor.here())).flatten();
        self.lock_function(Some(Change::NamedLock(name)));
    }

    fn last_insert_id(&mut self) {
        self.cursor.advance();
        self.open();
        if self.cursor.next.is_punctuation(b')') {
            self.facts.needs |= Needs::LAST_INSERT_ID;
        } else {
            self.facts.refuse(Reason::SetsLastInsertId);
            self.facts.note(Change::LastInsertId);
        }
    }
}

/// The name of a lock; none if it has characters that are not the same in all character sets (swe7 has letters for some of
/// ASCII), or more than servers take.
fn lock_name(literal: &[u8]) -> Option<Box<str>> {
    if !matches!(literal, [b'\'' | b'"', ..]) {
        return None;
    }
    let is_alike = |byte: u8| {
        matches!(byte, b' '..=b'_') && !matches!(byte, b'@' | b'['..=b'^') || byte.is_ascii_lowercase()
    };
    let name = unquoted(literal);
    ((1..=64).contains(&name.len()) && name.bytes().all(is_alike)).then(|| name.into())
}

/// Whether a clause begins that comes after the tables; as an alias such a word has a comma behind it.
fn ends_table_list(keyword: Keyword) -> bool {
    matches!(
        keyword,
        Keyword::Where
            | Keyword::Group
            | Keyword::Having
            | Keyword::Order
            | Keyword::Limit
            | Keyword::Window
            | Keyword::Union
            | Keyword::Except
            | Keyword::Intersect
            | Keyword::Qualify
            | Keyword::Returning
            | Keyword::Set
    )
}
