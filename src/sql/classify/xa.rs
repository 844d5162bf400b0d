//! XA transactions.

use super::facts::Facts;
use crate::sql::change::{Change, XaStep};
use crate::sql::cursor::Cursor;
use crate::sql::reason::Reason;
use crate::sql::words::Keyword;

/// Any step of one.
pub(super) fn xa(cursor: &mut Cursor<'_>) -> Facts {
    cursor.advance();
    let facts = Facts::write(Reason::Xa);
    let step = match cursor.token.keyword() {
        Keyword::Start | Keyword::Begin => XaStep::Start,
        Keyword::End => XaStep::End,
        Keyword::Prepare => XaStep::Prepare,
        Keyword::Commit | Keyword::Rollback => XaStep::Finish,
        Keyword::Recover => return facts,
        _ => return Facts::unknown(Reason::Xa),
    };
    facts.changing(Change::Xa(step))
}
