//! EXPLAIN, DESCRIBE and MariaDB's ANALYZE of a statement.

use super::facts::Facts;
use super::own;
use super::scan::variable_name;
use super::verb::{self, is_mariadb, is_query};
use crate::sql::change::Change;
use crate::sql::cursor::Cursor;
use crate::sql::lexer::Kind;
use crate::sql::reason::Reason;
use crate::sql::statement::Effect;
use crate::sql::words::Keyword;

/// EXPLAIN, DESCRIBE, DESC: of a table's columns, or of a statement.
pub(super) fn explain(cursor: &mut Cursor<'_>) -> Facts {
    cursor.advance();
    if let Some(facts) = own::explain_route(cursor) {
        return facts;
    }
    let has_options = skip_options(cursor);
    if is_query(cursor) {
        return explained_query(cursor);
    }
    if cursor.token.is(Keyword::Into) {
        return into_variable(cursor);
    }
    let is_table = cursor.token.is_name() && !has_options && !is_statement(cursor);
    if !is_table {
        return Facts::write(Reason::ExplainWrite);
    }
    let mut facts = Facts::read(Reason::CatalogRead);
    facts.tables.extend(cursor.folded_name());
    facts
}

/// ANALYZE: in MariaDB it may run a statement, otherwise it is maintenance.
pub(super) fn analyze(cursor: &mut Cursor<'_>) -> Facts {
    cursor.advance();
    if !is_mariadb(cursor) {
        return Facts::write(Reason::Maintenance);
    }
    skip_options(cursor);
    // `ANALYZE TABLE t` is maintenance: MariaDB has no TABLE statement.
    if is_query(cursor) && !cursor.token.is(Keyword::Table) {
        return explained_query(cursor);
    }
    Facts::write(Reason::Maintenance)
}

/// Planning may run parts of a query already, so it must be as harmless as if it were run.
fn explained_query(cursor: &mut Cursor<'_>) -> Facts {
    let mut facts = verb::query(cursor);
    if facts.effect == Effect::Read {
        facts.reason = Reason::CatalogRead;
    }
    facts.as_read = facts.as_read.map(|_| Reason::CatalogRead);
    facts
}

/// `EXPLAIN FORMAT = JSON INTO @x ...`.
fn into_variable(cursor: &mut Cursor<'_>) -> Facts {
    cursor.advance();
    let mut facts = Facts::write(Reason::IntoVariable);
    if cursor.token.kind == Kind::UserVariable {
        let name = variable_name(cursor.here());
        facts.changes.push(Change::UserVariable { name, value: None });
    }
    facts
}

/// `ANALYZE`, `EXTENDED`, `PARTITIONS`, `FORMAT = x`, `FOR SCHEMA x`.
fn skip_options(cursor: &mut Cursor<'_>) -> bool {
    let mut some = false;
    loop {
        match cursor.token.keyword() {
            Keyword::Analyze | Keyword::Extended | Keyword::Partitions if !cursor.next.is_end() => {
                cursor.advance();
            }
            Keyword::Format if cursor.next.is_punctuation(b'=') => {
                cursor.advance();
                cursor.advance();
                cursor.advance();
            }
            Keyword::For if matches!(cursor.next.keyword(), Keyword::Schema | Keyword::Database) => {
                cursor.advance();
                cursor.advance();
                cursor.advance();
            }
            _ => return some,
        }
        some = true;
    }
}

/// Whether a statement other than a query begins here, and not the name of a table.
fn is_statement(cursor: &Cursor<'_>) -> bool {
    cursor.token.kind == Kind::Word && cursor.token.word.is_some_and(|word| word.suspicious)
        || cursor.token.is(Keyword::For)
}
