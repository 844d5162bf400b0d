//! LOCK, UNLOCK, BACKUP and HANDLER: what they take stays with one connection.

use super::facts::Facts;
use super::verb::write_changing;
use crate::sql::change::Change;
use crate::sql::cursor::Cursor;
use crate::sql::reason::Reason;
use crate::sql::words::Keyword;

/// `LOCK TABLES`, `LOCK INSTANCE FOR BACKUP`.
pub(super) fn lock(cursor: &mut Cursor<'_>) -> Facts {
    cursor.advance();
    let change = if cursor.token.is(Keyword::Instance) { Change::LockInstance } else { Change::LockTables };
    write_changing(Reason::Lock, change)
}

/// `UNLOCK TABLES`, `UNLOCK INSTANCE`.
pub(super) fn unlock(cursor: &mut Cursor<'_>) -> Facts {
    cursor.advance();
    let change =
        if cursor.token.is(Keyword::Instance) { Change::UnlockInstance } else { Change::UnlockTables };
    write_changing(Reason::Lock, change)
}

/// MariaDB's `BACKUP LOCK t`, `BACKUP UNLOCK`, `BACKUP STAGE x`.
pub(super) fn backup(cursor: &mut Cursor<'_>) -> Facts {
    cursor.advance();
    let change = match (cursor.token.keyword(), cursor.next.keyword()) {
        (Keyword::Lock, _) => Change::LockTables,
        (Keyword::Unlock, _) => Change::UnlockTables,
        (Keyword::Stage, Keyword::End) => Change::UnlockInstance,
        (Keyword::Stage, _) => Change::LockInstance,
        _ => Change::Unknown,
    };
    write_changing(Reason::Lock, change)
}

/// `HANDLER t OPEN [[AS] alias]`, `HANDLER t READ ...`, `HANDLER t CLOSE`.
pub(super) fn handler(cursor: &mut Cursor<'_>) -> Facts {
    cursor.advance();
    let Some(table) = cursor.folded_name() else { return Facts::unknown(Reason::Handler) };
    let mut facts = Facts::write(Reason::Handler);
    if cursor.accept(Keyword::Open) {
        cursor.accept(Keyword::As);
        let alias = cursor.folded_name().unwrap_or_else(|| table.clone());
        facts.changes.push(Change::HandlerOpen(alias));
    } else if cursor.accept(Keyword::Close) {
        facts.changes.push(Change::HandlerClose(table.clone()));
    }
    facts.tables.push(table);
    facts
}
