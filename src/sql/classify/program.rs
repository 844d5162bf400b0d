//! Stored programs and compound statements: their bodies hold semicolons that end nothing.

use super::facts::Facts;
use super::scan::variable_name;
use crate::sql::change::Change;
use crate::sql::cursor::Cursor;
use crate::sql::lexer::Kind;
use crate::sql::reason::Reason;
use crate::sql::words::Keyword;

/// CALL: it may do anything, and has perhaps user variables to write its results to.
pub(super) fn call(cursor: &mut Cursor<'_>) -> Facts {
    let mut facts = Facts::unknown(Reason::Call);
    while !cursor.token.is_end() {
        if cursor.token.kind == Kind::UserVariable {
            let name = variable_name(cursor.here());
            facts.changes.push(Change::UserVariable { name, value: None });
        }
        cursor.advance();
    }
    facts
}

/// A compound statement outside a stored program: to the end of the text, for it is not worth knowing where it ends.
pub(super) fn compound(cursor: &mut Cursor<'_>) -> Facts {
    while cursor.token.kind != Kind::End {
        cursor.step();
    }
    Facts::unknown(Reason::Compound)
}

/// Moves behind the body of a stored program, at whose head the cursor is somewhere; `false` if that is not certain.
///
/// Only BEGIN and CASE open what a lone END closes; `END IF`, `END LOOP` and the like close what is not counted. A
/// body that is one IF or LOOP is cut too short, and its rest is then no known statement. Where a text cannot hold
/// several statements the body goes to its end.
pub(super) fn skip_body(cursor: &mut Cursor<'_>) -> bool {
    let is_alone = !cursor.syntax.multi_statements;
    let mut depth = 0_i64;
    while cursor.token.kind != Kind::End {
        match cursor.token.keyword() {
            _ if depth == 0 && cursor.token.is_end() && !is_alone => return true,
            Keyword::Begin | Keyword::Case => depth += 1,
            Keyword::End => depth -= closes(cursor),
            _ => {}
        }
        cursor.step();
    }
    depth == 0 || is_alone
}

fn closes(cursor: &mut Cursor<'_>) -> i64 {
    match cursor.next.keyword() {
        Keyword::Case => {
            cursor.advance();
            1
        }
        Keyword::If | Keyword::Loop | Keyword::Repeat | Keyword::While | Keyword::For => {
            cursor.advance();
            0
        }
        _ => 1,
    }
}
