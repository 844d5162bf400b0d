//! GET DIAGNOSTICS.

use super::facts::Facts;
use super::scan::variable_name;
use crate::sql::change::Change;
use crate::sql::cursor::Cursor;
use crate::sql::lexer::Kind;
use crate::sql::needs::Needs;
use crate::sql::reason::Reason;

/// `GET [CURRENT | STACKED] DIAGNOSTICS @x = NUMBER, ...`.
pub(super) fn get(cursor: &mut Cursor<'_>) -> Facts {
    let mut facts = Facts::session(Reason::Diagnostics);
    facts.needs = Needs::DIAGNOSTICS;
    while !cursor.token.is_end() {
        if cursor.token.kind == Kind::UserVariable {
            if cursor.next.is_punctuation(b'=') {
                let name = variable_name(cursor.here());
                facts.changes.push(Change::UserVariable { name, value: None });
            } else {
                facts.needs |= Needs::USER_VARIABLES;
            }
        }
        cursor.advance();
    }
    facts
}
