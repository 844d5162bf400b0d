//! INSERT, REPLACE, UPDATE, DELETE, LOAD: always for the primary; what they do to the session is told here.

use super::facts::Facts;
use super::frame::Frame;
use super::scan::{scan, variable_name};
use crate::sql::change::Change;
use crate::sql::cursor::Cursor;
use crate::sql::lexer::Kind;
use crate::sql::reason::Reason;
use crate::sql::words::Keyword;

/// INSERT and REPLACE.
pub(super) fn insert(cursor: &mut Cursor<'_>) -> Facts {
    let mut facts = Facts::write(Reason::DataChange);
    cursor.advance();
    skip_modifiers(cursor);
    cursor.accept(Keyword::Into);
    facts.tables.extend(cursor.folded_name());
    scan(cursor, &mut facts, Frame::default());
    facts
}

/// UPDATE.
pub(super) fn update(cursor: &mut Cursor<'_>) -> Facts {
    let mut facts = Facts::write(Reason::DataChange);
    cursor.advance();
    skip_modifiers(cursor);
    scan(cursor, &mut facts, Frame::tables());
    facts
}

/// DELETE.
pub(super) fn delete(cursor: &mut Cursor<'_>) -> Facts {
    let mut facts = Facts::write(Reason::DataChange);
    cursor.advance();
    skip_modifiers(cursor);
    scan(cursor, &mut facts, Frame::tables());
    facts
}

/// LOAD DATA and LOAD XML, which may read columns into user variables; LOAD INDEX.
pub(super) fn load(cursor: &mut Cursor<'_>) -> Facts {
    cursor.advance();
    if cursor.token.is(Keyword::Index) {
        return Facts::write(Reason::Maintenance);
    }
    let mut facts = Facts::write(Reason::Load);
    while !cursor.token.is_end() {
        if cursor.accept(Keyword::Table) {
            facts.tables.extend(cursor.folded_name());
            continue;
        }
        if cursor.token.kind == Kind::UserVariable {
            let name = variable_name(cursor.here());
            facts.note(Change::UserVariable { name, value: None });
        }
        cursor.advance();
    }
    facts
}

fn skip_modifiers(cursor: &mut Cursor<'_>) {
    while matches!(
        cursor.token.keyword(),
        Keyword::LowPriority | Keyword::HighPriority | Keyword::Delayed | Keyword::Quick | Keyword::Ignore
    ) {
        cursor.advance();
    }
}
