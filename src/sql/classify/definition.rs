//! CREATE, ALTER, DROP, RENAME, TRUNCATE: for the primary; temporary tables are the session's and are told apart.

use super::account;
use super::facts::Facts;
use super::program;
use super::scan::scan_definition;
use crate::sql::change::Change;
use crate::sql::cursor::Cursor;
use crate::sql::lexer::Kind;
use crate::sql::reason::Reason;
use crate::sql::words::Keyword;

/// CREATE of anything.
pub(super) fn create(cursor: &mut Cursor<'_>) -> Facts {
    cursor.advance();
    let temporary = match object(cursor) {
        Object::Account => return account::change(cursor),
        Object::Program => return program(cursor),
        Object::Code => return Facts::write(Reason::Definition).changing(Change::DefinesCode),
        Object::Table { temporary } => temporary,
        Object::Other => return Facts::write(Reason::Definition),
    };
    let mut facts = Facts::write(Reason::Definition);
    cursor.advance();
    skip_if_exists(cursor);
    let name = cursor.folded_name();
    if temporary {
        match &name {
            Some(name) => facts.changes.push(Change::CreateTemporaryTable(name.clone())),
            None => facts.forget(),
        }
    }
    facts.tables.extend(name);
    cursor.accept_punctuation(b'(');
    if cursor.accept(Keyword::Like) {
        facts.tables.extend(cursor.folded_name());
    }
    scan_definition(cursor, &mut facts);
    facts
}

/// ALTER of anything; `ALTER TABLE ... RENAME` may concern a temporary table.
pub(super) fn alter(cursor: &mut Cursor<'_>) -> Facts {
    cursor.advance();
    match object(cursor) {
        Object::Account => return account::change(cursor),
        Object::Program => return program(cursor),
        Object::Code => return Facts::write(Reason::Definition).changing(Change::DefinesCode),
        Object::Other => return Facts::write(Reason::Definition),
        Object::Table { .. } => {}
    }
    cursor.advance();
    skip_if_exists(cursor);
    let mut facts = Facts::write(Reason::Definition);
    let Some(old) = cursor.folded_name() else { return facts };
    facts.tables.push(old.clone());
    if let Some(new) = new_name(cursor) {
        facts.changes.push(Change::RenameTables(vec![(old, new)]));
    }
    facts
}

/// The name behind `RENAME [TO | AS | =]`; `RENAME COLUMN`, `INDEX`, `KEY` have another word there.
fn new_name(cursor: &mut Cursor<'_>) -> Option<Box<str>> {
    let mut new = None;
    while !cursor.token.is_end() {
        if !cursor.accept(Keyword::Rename) {
            cursor.advance();
        } else if !matches!(
            cursor.token.keyword(),
            Keyword::Column | Keyword::Index | Keyword::Key | Keyword::Constraint
        ) {
            _ = cursor.accept(Keyword::To) || cursor.accept(Keyword::As) || cursor.accept_punctuation(b'=');
            new = cursor.folded_name().or(new);
        }
    }
    new
}

/// DROP of anything, `DROP PREPARE` included.
pub(super) fn drop(cursor: &mut Cursor<'_>) -> Facts {
    cursor.advance();
    if cursor.token.is(Keyword::Prepare) {
        return super::prepare::deallocate(cursor);
    }
    let temporary_only = match object(cursor) {
        Object::Account => return account::change(cursor),
        Object::Table { temporary } => temporary,
        Object::Program | Object::Code => {
            return Facts::write(Reason::Definition).changing(Change::DefinesCode);
        }
        Object::Other => return Facts::write(Reason::Definition),
    };
    cursor.advance();
    skip_if_exists(cursor);
    let mut names = Vec::new();
    loop {
        names.extend(cursor.folded_name());
        if !cursor.accept_punctuation(b',') {
            break;
        }
    }
    let mut facts = Facts::write(Reason::Definition);
    facts.tables.clone_from(&names);
    facts.changing(Change::DropTables { names, temporary_only })
}

/// RENAME TABLE and RENAME USER.
pub(super) fn rename(cursor: &mut Cursor<'_>) -> Facts {
    cursor.advance();
    if cursor.token.is(Keyword::User) {
        return account::change(cursor);
    }
    cursor.advance();
    skip_if_exists(cursor);
    let mut renamed = Vec::new();
    loop {
        let old = cursor.folded_name();
        while !cursor.token.is_end() && !cursor.token.is(Keyword::To) && !cursor.token.is_punctuation(b',') {
            cursor.advance();
        }
        cursor.accept(Keyword::To);
        renamed.extend(old.zip(cursor.folded_name()));
        if !cursor.accept_punctuation(b',') {
            break;
        }
    }
    let mut facts = Facts::write(Reason::Definition);
    facts.tables.extend(renamed.iter().flat_map(|(old, new)| [old.clone(), new.clone()]));
    // A view may be among them, or a table with triggers.
    facts.changing(Change::RenameTables(renamed)).changing(Change::DefinesCode)
}

/// TRUNCATE [TABLE].
pub(super) fn truncate(cursor: &mut Cursor<'_>) -> Facts {
    cursor.advance();
    cursor.accept(Keyword::Table);
    let mut facts = Facts::write(Reason::DataChange);
    facts.tables.extend(cursor.folded_name());
    facts
}

/// What is created, altered or dropped.
enum Object {
    /// A table or, in MariaDB, a sequence, which may be as temporary.
    Table {
        temporary: bool,
    },
    /// A user or a role.
    Account,
    /// Something with a body of statements.
    Program,
    /// A view, or a schema with all that is in it.
    Code,
    Other,
}

/// Moves to the word that says it, over `OR REPLACE`, `TEMPORARY`, `DEFINER = ...` and the like.
fn object(cursor: &mut Cursor<'_>) -> Object {
    let mut temporary = false;
    while cursor.token.is_name() || cursor.token.kind == Kind::UserVariable || is_definer_part(cursor) {
        match cursor.token.keyword() {
            Keyword::Temporary => temporary = true,
            Keyword::Table | Keyword::Tables | Keyword::Sequence => return Object::Table { temporary },
            Keyword::User if !cursor.previous.is_punctuation(b'=') => return Object::Account,
            Keyword::Role => return Object::Account,
            Keyword::Procedure
            | Keyword::Function
            | Keyword::Trigger
            | Keyword::Event
            | Keyword::Package
            | Keyword::Library => return Object::Program,
            Keyword::Database | Keyword::Schema | Keyword::View => return Object::Code,
            Keyword::Index => return Object::Other,
            _ => {}
        }
        cursor.advance();
    }
    Object::Other
}

/// `=`, `(`, `)`, `@` and quoted parts of an account's name between DEFINER and what is defined.
fn is_definer_part(cursor: &Cursor<'_>) -> bool {
    matches!(cursor.token.kind, Kind::String | Kind::Punctuation(b'=' | b'(' | b')'))
}

fn program(cursor: &mut Cursor<'_>) -> Facts {
    let mut facts = Facts::write(Reason::Definition).changing(Change::DefinesCode);
    if !program::skip_body(cursor) {
        facts.forget();
    }
    facts
}

fn skip_if_exists(cursor: &mut Cursor<'_>) {
    if cursor.accept(Keyword::If) {
        cursor.accept(Keyword::Not);
        cursor.accept(Keyword::Exists);
    }
}
