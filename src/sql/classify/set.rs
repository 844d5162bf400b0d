//! SET and USE.

use super::facts::Facts;
use super::set_value::{user_value, variable_value};
use super::verb::{self, is_mariadb};
use super::{account, scan};
use crate::sql::change::Change;
use crate::sql::cursor::{Cursor, unquoted};
use crate::sql::lexer::Kind;
use crate::sql::reason::Reason;
use crate::sql::words::Keyword;

/// What SET NAMES and SET CHARACTER SET set.
const OF_CHARACTER_SET: [&str; 4] =
    ["character_set_client", "character_set_connection", "character_set_results", "collation_connection"];
/// What SET SESSION TRANSACTION sets.
const OF_TRANSACTION: [&str; 2] = ["transaction_isolation", "transaction_read_only"];
/// The same by the names that every MariaDB has.
const OF_TRANSACTION_MARIADB: [&str; 2] = ["tx_isolation", "tx_read_only"];

/// USE.
pub(super) fn use_schema(cursor: &mut Cursor<'_>) -> Facts {
    cursor.advance();
    match cursor.name() {
        Some(name) => {
            let mut facts = Facts::session(Reason::Use).changing(Change::Schema(name.into()));
            verb::expect_end(cursor, &mut facts);
            facts
        }
        None => Facts::unknown(Reason::Unparsed),
    }
}

/// SET of anything.
pub(super) fn set(cursor: &mut Cursor<'_>) -> Facts {
    cursor.advance();
    match (cursor.token.keyword(), cursor.next.keyword()) {
        (Keyword::Role, _) if !is_assigned(cursor) => Facts::session(Reason::SetRole).changing(Change::Role),
        (Keyword::Default, Keyword::Role) => account::change(cursor),
        (Keyword::Resource, Keyword::Group) => Facts::unknown(Reason::Server),
        (Keyword::Transaction, _) => Facts::session(Reason::Set).changing(Change::TransactionOnce),
        (Keyword::Session | Keyword::Local, Keyword::Transaction) => {
            let mut facts = Facts::session(Reason::Set);
            facts.sets(if is_mariadb(cursor) { OF_TRANSACTION_MARIADB } else { OF_TRANSACTION });
            facts
        }
        (Keyword::Global, Keyword::Transaction) => {
            let mut facts = Facts::write(Reason::SetGlobal);
            let names = if is_mariadb(cursor) { OF_TRANSACTION_MARIADB } else { OF_TRANSACTION };
            names.iter().for_each(|name| global_variable(name, &mut facts));
            facts
        }
        (Keyword::Statement, _) if is_mariadb(cursor) && !is_assigned(cursor) => for_statement(cursor),
        _ => assignments(cursor),
    }
}

fn is_assigned(cursor: &Cursor<'_>) -> bool {
    cursor.next.is_punctuation(b'=') || cursor.next.kind == Kind::Assign
}

/// `a = 1, @b = 2, NAMES utf8mb4 ...`.
fn assignments(cursor: &mut Cursor<'_>) -> Facts {
    let mut facts = Facts::session(Reason::Set);
    loop {
        assignment(cursor, &mut facts);
        if !cursor.accept_punctuation(b',') {
            break;
        }
    }
    verb::expect_end(cursor, &mut facts);
    if facts.has_query {
        facts.refuse(Reason::SetFromQuery);
    }
    facts
}

fn assignment(cursor: &mut Cursor<'_>, facts: &mut Facts) {
    match cursor.token.keyword() {
        Keyword::Password => {
            facts.refuse(Reason::Account);
            facts.note(Change::GlobalState);
            scan::scan_value(cursor, facts);
        }
        Keyword::Names if !is_assigned(cursor) => {
            character_set(cursor, facts);
            facts.note(Change::Names);
        }
        Keyword::Charset if !is_assigned(cursor) => character_set(cursor, facts),
        Keyword::Character | Keyword::Char if cursor.next.is(Keyword::Set) => character_set(cursor, facts),
        _ if cursor.token.kind == Kind::UserVariable => user_variable(cursor, facts),
        _ => system_variable(cursor, facts),
    }
}

fn character_set(cursor: &mut Cursor<'_>, facts: &mut Facts) {
    facts.sets(OF_CHARACTER_SET);
    facts.changes.retain(|change| *change != Change::Names);
    facts.changes_syntax = true;
    if cursor.token.is(Keyword::Character) || cursor.token.is(Keyword::Char) {
        cursor.advance();
    }
    cursor.advance();
    scan::scan_value(cursor, facts);
}

fn user_variable(cursor: &mut Cursor<'_>, facts: &mut Facts) {
    let name = scan::variable_name(cursor.here());
    cursor.advance();
    if !accept_equals(cursor) {
        return facts.give_up(Reason::Unparsed);
    }
    let value = user_value(cursor, facts);
    facts.changes.push(Change::UserVariable { name, value });
}

/// `[GLOBAL | SESSION ...] name = value`, `@@[scope.]name = value`.
fn system_variable(cursor: &mut Cursor<'_>, facts: &mut Facts) {
    let with_signs = cursor.token.kind == Kind::SystemVariable;
    if with_signs {
        cursor.advance();
    }
    let scope = scope(cursor, with_signs);
    if !cursor.token.is_name() {
        return facts.give_up(Reason::Unparsed);
    }
    let name = unquoted(cursor.here()).to_ascii_lowercase();
    cursor.advance();
    if cursor.accept_punctuation(b'.') {
        // A component's variable, or one of a named key cache.
        cursor.advance();
    }
    if !accept_equals(cursor) {
        return facts.give_up(Reason::Unparsed);
    }
    match scope {
        Scope::Global => {
            facts.refuse(Reason::SetGlobal);
            global_variable(&name, facts);
        }
        Scope::Unsaid if with_signs && is_of_transaction(&name) => facts.note(Change::TransactionOnce),
        Scope::Session | Scope::Unsaid => session_variable(&name, facts),
    }
    variable_value(cursor, facts);
}

fn global_variable(name: &str, facts: &mut Facts) {
    facts.note(Change::GlobalVariable(name.into()));
    // What a new session has of others follows it.
    let follows = match name {
        "character_set_server" => "collation_server",
        "collation_server" => "character_set_server",
        "interactive_timeout" => "wait_timeout",
        "max_join_size" => "sql_big_selects",
        _ => return,
    };
    facts.note(Change::GlobalVariable(follows.into()));
}

fn session_variable(name: &str, facts: &mut Facts) {
    if matches!(name, "last_insert_id" | "identity" | "insert_id") {
        facts.note(Change::LastInsertId);
    }
    facts.changes_syntax |= matches!(name, "sql_mode" | "character_set_client" | "collation_connection");
    facts.sets([name]);
    // The first two are two sides of one setting; max_join_size sets its switch.
    match name {
        "character_set_connection" => facts.sets(["collation_connection"]),
        "collation_connection" => facts.sets(["character_set_connection"]),
        "max_join_size" => facts.sets(["sql_big_selects"]),
        "character_set_results" => facts.changes.retain(|change| *change != Change::Names),
        _ => {}
    }
}

/// `SET @@transaction_isolation = ...`, with the signs and without a scope, is for the next transaction only.
fn is_of_transaction(name: &str) -> bool {
    matches!(name, "transaction_isolation" | "transaction_read_only" | "tx_isolation" | "tx_read_only")
}

enum Scope {
    Unsaid,
    Session,
    Global,
}

fn scope(cursor: &mut Cursor<'_>, with_signs: bool) -> Scope {
    let says = |name: &str| cursor.here().eq_ignore_ascii_case(name.as_bytes());
    let scope = match () {
        () if says("global") || says("persist") || says("persist_only") => Scope::Global,
        () if says("session") || says("local") => Scope::Session,
        () => return Scope::Unsaid,
    };
    // `@@session.x`, but `SESSION x`.
    let is_scope = if with_signs { cursor.next.is_punctuation(b'.') } else { cursor.next.is_name() };
    if !is_scope {
        return Scope::Unsaid;
    }
    cursor.advance();
    cursor.accept_punctuation(b'.');
    scope
}

fn accept_equals(cursor: &mut Cursor<'_>) -> bool {
    let is_here = cursor.token.is_punctuation(b'=') || cursor.token.kind == Kind::Assign;
    if is_here {
        cursor.advance();
    }
    is_here
}

/// MariaDB's `SET STATEMENT max_statement_time = 1 FOR SELECT ...`: as the statement behind it, if only literals are
/// set.
fn for_statement(cursor: &mut Cursor<'_>) -> Facts {
    cursor.advance();
    while !cursor.token.is_end() && !cursor.token.is(Keyword::For) {
        let is_call = cursor.token.is_punctuation(b'(');
        if is_call || matches!(cursor.token.kind, Kind::UserVariable | Kind::SystemVariable) {
            return Facts::unknown(Reason::Unparsed);
        }
        cursor.advance();
    }
    cursor.advance();
    if cursor.token.is(Keyword::Set) {
        return Facts::unknown(Reason::Unparsed);
    }
    verb::statement(cursor)
}
