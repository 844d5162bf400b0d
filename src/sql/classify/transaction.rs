//! The beginning and the end of transactions, as far as a text says it; the server's status flag has the last word.

use super::facts::Facts;
use super::program;
use super::verb::{expect_end, is_mariadb};
use crate::sql::cursor::Cursor;
use crate::sql::reason::Reason;
use crate::sql::statement::{Access, Effect, End};
use crate::sql::words::Keyword;

/// BEGIN; in MariaDB also `BEGIN NOT ATOMIC`, a compound statement.
pub(super) fn begin(cursor: &mut Cursor<'_>) -> Facts {
    cursor.advance();
    if is_mariadb(cursor) && cursor.token.is(Keyword::Not) {
        return program::compound(cursor);
    }
    cursor.accept(Keyword::Work);
    finished(cursor, begins(Access::Unspecified, false))
}

/// START TRANSACTION; other STARTs concern replication.
pub(super) fn start(cursor: &mut Cursor<'_>) -> Facts {
    cursor.advance();
    if !cursor.accept(Keyword::Transaction) {
        return Facts::write(Reason::Replication);
    }
    let (mut access, mut consistent_snapshot) = (Access::Unspecified, false);
    loop {
        if cursor.accept_both(Keyword::Read, Keyword::Only) {
            access = Access::ReadOnly;
        } else if cursor.accept_both(Keyword::Read, Keyword::Write) {
            access = Access::ReadWrite;
        } else if cursor.accept_both(Keyword::With, Keyword::Consistent) && cursor.accept(Keyword::Snapshot) {
            consistent_snapshot = true;
        }
        if !cursor.accept_punctuation(b',') {
            return finished(cursor, begins(access, consistent_snapshot));
        }
    }
}

/// COMMIT and ROLLBACK; `ROLLBACK TO` ends nothing.
pub(super) fn end(cursor: &mut Cursor<'_>) -> Facts {
    let end = if cursor.token.is(Keyword::Commit) { End::Commit } else { End::Rollback };
    cursor.advance();
    cursor.accept(Keyword::Work);
    if end == End::Rollback && cursor.token.is(Keyword::To) {
        return Facts::write(Reason::Savepoint);
    }
    let mut chain = false;
    if cursor.accept(Keyword::And) {
        let no = cursor.accept(Keyword::No);
        chain = cursor.accept(Keyword::Chain) && !no;
    }
    let no = cursor.accept(Keyword::No);
    let release = cursor.accept(Keyword::Release) && !no;
    finished(cursor, Facts::new(Effect::End { end, chain, release }, Reason::End))
}

fn begins(access: Access, consistent_snapshot: bool) -> Facts {
    Facts::new(Effect::Begin { access, consistent_snapshot }, Reason::Begin)
}

fn finished(cursor: &Cursor<'_>, mut facts: Facts) -> Facts {
    expect_end(cursor, &mut facts);
    facts
}
