//! FLUSH and RESET. On a replica even `FLUSH PRIVILEGES` succeeds and leaves a transaction of its own behind.

use super::facts::Facts;
use crate::sql::change::Change;
use crate::sql::cursor::Cursor;
use crate::sql::reason::Reason;
use crate::sql::words::Keyword;

/// FLUSH of anything; some forms lock.
pub(super) fn flush(cursor: &mut Cursor<'_>) -> Facts {
    let mut facts = Facts::write(Reason::Flush);
    let mut names_tables = false;
    cursor.advance();
    while !cursor.token.is_end() {
        if cursor.accept(Keyword::Table) || cursor.accept(Keyword::Tables) {
            names_tables =
                cursor.token.is_name() && !matches!(cursor.token.keyword(), Keyword::With | Keyword::For);
        } else if cursor.accept_both(Keyword::With, Keyword::Read) {
            let lock = if names_tables { Change::LockTables } else { Change::GlobalReadLock };
            facts.note(lock);
        } else if cursor.accept_both(Keyword::For, Keyword::Export) {
            facts.note(Change::LockTables);
        } else if cursor.accept(Keyword::Status) {
            facts.note(Change::SessionRecords);
        } else if cursor.accept(Keyword::Privileges) {
            facts.note(Change::GlobalState);
        } else {
            cursor.advance();
        }
    }
    facts
}

/// RESET of anything, several after commas; `RESET QUERY CACHE`, `RESET REPLICA`, `RESET PERSIST`.
pub(super) fn reset(cursor: &mut Cursor<'_>) -> Facts {
    cursor.advance();
    if cursor.token.is(Keyword::Persist) {
        return Facts::write(Reason::SetGlobal).changing(Change::GlobalState);
    }
    let mut facts = Facts::write(Reason::Flush);
    while !cursor.token.is_end() {
        if cursor.token.is(Keyword::Master) || cursor.token.is(Keyword::Binary) {
            facts.note(Change::ResetBinaryLog);
        }
        cursor.advance();
    }
    facts
}
