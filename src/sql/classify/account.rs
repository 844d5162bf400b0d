//! Accounts, privileges and roles.

use super::facts::Facts;
use crate::sql::change::Change;
use crate::sql::cursor::Cursor;
use crate::sql::reason::Reason;

/// GRANT, REVOKE and what changes accounts.
pub(super) fn change(cursor: &mut Cursor<'_>) -> Facts {
    cursor.skip_statement();
    Facts::write(Reason::Account).changing(Change::GlobalState)
}
