//! The walk's names of tables.

use super::frame::{From, With};
use super::scan::Scan;
use super::server_state;
use crate::sql::change::Change;
use crate::sql::cursor::unquoted;
use crate::sql::reason::Reason;
use crate::sql::syntax::Flavour;
use crate::sql::words::Keyword;

impl Scan<'_, '_> {
    /// Whether the name here is a table's or a common table expression's, and so no call.
    pub(super) fn takes_name(&mut self) -> bool {
        if self.frame.with == With::Expected {
            self.frame.with = With::Named;
            return true;
        }
        if self.frame.from != From::Expected {
            self.watch_for_sequence();
            return false;
        }
        match self.cursor.token.keyword() {
            Keyword::Lateral | Keyword::Select | Keyword::With | Keyword::Values => return false,
            Keyword::Dual => {
                self.frame.from = From::Named;
                return true;
            }
            Keyword::JsonTable if self.cursor.next.is_punctuation(b'(') => {
                self.frame.from = From::Named;
                return true;
            }
            _ => {}
        }
        if self.cursor.next.is_punctuation(b'(') {
            // No table function but the one above is known.
            return false;
        }
        self.table();
        true
    }

    fn table(&mut self) {
        let name = unquoted(self.cursor.here()).to_ascii_lowercase();
        if self.cursor.next.is_punctuation(b'.') {
            self.qualifier = Some(name);
            return;
        }
        self.frame.from = From::Named;
        if let Some(schema) = self.qualifier.take()
            && server_state::is_server_table(&schema, &name)
        {
            self.facts.refuse(Reason::ServerTable);
            if name == "session_status" {
                self.facts.note(Change::SessionRecords);
            }
        }
        self.facts.tables.push(name.into());
    }

    /// `s.nextval` in MariaDB's Oracle mode moves the sequence.
    fn watch_for_sequence(&mut self) {
        let is_member =
            self.cursor.syntax.flavour == Flavour::MariaDb && self.cursor.previous.is_punctuation(b'.');
        let moves = |name: &str| self.cursor.here().eq_ignore_ascii_case(name.as_bytes());
        if is_member && (moves("nextval") || moves("currval")) {
            self.facts.refuse(Reason::Sequence);
        }
    }

    /// Behind `CYCLE a, b RESTRICT`, which may follow a common table expression.
    pub(super) fn behind_restrict(&self) -> bool {
        self.cursor.previous.is(Keyword::Restrict)
    }
}
