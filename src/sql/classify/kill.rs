//! KILL: the number is of a connection as the client knows it, which is not the server's.

use super::facts::Facts;
use super::frame::Frame;
use super::scan::scan;
use super::verb::is_mariadb;
use crate::sql::cursor::Cursor;
use crate::sql::lexer::Kind;
use crate::sql::reason::Reason;
use crate::sql::statement::Kill;
use crate::sql::words::Keyword;

/// `KILL [CONNECTION | QUERY] expression`; MariaDB's `KILL [HARD | SOFT] [CONNECTION | QUERY [ID]] [USER] expression`.
pub(super) fn kill(cursor: &mut Cursor<'_>) -> Facts {
    cursor.advance();
    let mut facts = Facts::write(Reason::Kill);
    let says = |cursor: &Cursor<'_>, word: &str| cursor.here().eq_ignore_ascii_case(word.as_bytes());
    if is_mariadb(cursor) && (says(cursor, "hard") || says(cursor, "soft")) {
        cursor.advance();
    }
    let query_only = cursor.token.is(Keyword::Query);
    if query_only || says(cursor, "connection") {
        cursor.advance();
    }
    // MariaDB's statements' numbers, and names of users.
    let is_thread =
        !is_mariadb(cursor) || !(query_only && says(cursor, "id") || cursor.token.is(Keyword::User));
    if is_thread {
        let number = std::str::from_utf8(cursor.here()).ok().and_then(|text| text.parse().ok());
        let is_number = cursor.token.kind == Kind::Number && cursor.next.is_end();
        facts.kill = Some(Kill { query_only, id: number.filter(|_| is_number) });
    }
    scan(cursor, &mut facts, Frame::default());
    facts
}
