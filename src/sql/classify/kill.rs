//! KILL: the number is of a connection as the client knows it, which is not the server's.

use super::facts::Facts;
use crate::sql::cursor::Cursor;
use crate::sql::lexer::Kind;
use crate::sql::reason::Reason;
use crate::sql::statement::Kill;
use crate::sql::words::Keyword;

/// `KILL [HARD | SOFT] [CONNECTION | QUERY [ID]] number`.
pub(super) fn kill(cursor: &mut Cursor<'_>) -> Facts {
    cursor.advance();
    let mut facts = Facts::write(Reason::Kill);
    let mut query_only = false;
    while cursor.token.kind == Kind::Word {
        query_only |= cursor.token.is(Keyword::Query);
        if cursor.token.is(Keyword::User) || cursor.here().eq_ignore_ascii_case(b"id") {
            // MariaDB's `KILL USER name` and `KILL QUERY ID number`, which means a statement's number.
            return facts;
        }
        cursor.advance();
    }
    let number = std::str::from_utf8(cursor.here()).ok().and_then(|text| text.parse().ok());
    if cursor.token.kind == Kind::Number && cursor.next.is_end() {
        facts.kill = number.map(|id| Kill { query_only, id });
    }
    facts
}
