//! SHOW and CHECKSUM TABLE.

use super::facts::Facts;
use super::frame::Frame;
use super::own;
use super::scan::{scan, scan_strings};
use super::server_state;
use crate::sql::change::Change;
use crate::sql::cursor::Cursor;
use crate::sql::needs::Needs;
use crate::sql::reason::Reason;
use crate::sql::words::Keyword;

/// SHOW of anything.
pub(super) fn show(cursor: &mut Cursor<'_>) -> Facts {
    cursor.advance();
    if let Some(facts) = own::last_route(cursor) {
        return facts;
    }
    while matches!(cursor.token.keyword(), Keyword::Full | Keyword::Extended) {
        cursor.advance();
    }
    let mut facts = match topic(cursor) {
        Topic::Catalog => Facts::read(Reason::CatalogRead),
        Topic::Variables => return variables(cursor),
        Topic::Diagnostics => diagnostics(),
        Topic::Status => return status(cursor),
        Topic::Server => Facts::write(Reason::ServerShow),
    };
    // Tables follow FROM; the WHERE of a SHOW is an expression like any other.
    let names_table = cursor.accept(Keyword::From) || cursor.accept(Keyword::In);
    scan(cursor, &mut facts, if names_table { Frame::tables() } else { Frame::query() });
    facts
}

/// `SHOW VARIABLES`, as long as its condition asks for nothing that differs from server to server.
fn variables(cursor: &mut Cursor<'_>) -> Facts {
    let mut facts = Facts::read(Reason::CatalogRead);
    let asks_for_server = scan_strings(cursor, &mut facts, server_state::mentions_server_variable);
    if asks_for_server {
        facts.refuse(Reason::ServerShow);
    }
    facts
}

/// `SHOW STATUS`: what is counted for the session is counted for its connection.
fn status(cursor: &mut Cursor<'_>) -> Facts {
    let mut facts = Facts::write(Reason::ServerShow);
    if !scan_strings(cursor, &mut facts, server_state::names_server_status) {
        facts.note(Change::SessionRecords);
    }
    facts
}

/// What a SHOW is about.
enum Topic {
    /// What replication carries, or every server has alike.
    Catalog,
    /// The session's variables, but those of the server are among them.
    Variables,
    /// The previous statement.
    Diagnostics,
    /// What is counted, for the session among others.
    Status,
    /// One server; events among it, which are disabled on replicas.
    Server,
}

/// Moves behind the words that say it.
fn topic(cursor: &mut Cursor<'_>) -> Topic {
    let first = cursor.token.keyword();
    if cursor.token.is_end() {
        return Topic::Server;
    }
    cursor.advance();
    match first {
        Keyword::Warnings | Keyword::Errors => Topic::Diagnostics,
        Keyword::Count => diagnostics_count(cursor),
        Keyword::Databases
        | Keyword::Schemas
        | Keyword::Tables
        | Keyword::Columns
        | Keyword::Fields
        | Keyword::Index
        | Keyword::Indexes
        | Keyword::Keys
        | Keyword::Triggers
        | Keyword::Charset
        | Keyword::Collation
        | Keyword::Engines
        | Keyword::Privileges
        | Keyword::Authors
        | Keyword::Contributors => Topic::Catalog,
        Keyword::Grants => {
            // Accounts and roles: no expression, and USING and FOR are not what they are elsewhere.
            cursor.skip_statement();
            Topic::Catalog
        }
        Keyword::Create => created(cursor),
        Keyword::Character if cursor.accept(Keyword::Set) => Topic::Catalog,
        Keyword::Storage if cursor.accept(Keyword::Engines) => Topic::Catalog,
        Keyword::Table if cursor.accept(Keyword::Status) => Topic::Catalog,
        Keyword::Variables => Topic::Variables,
        Keyword::Status => Topic::Status,
        Keyword::Session | Keyword::Local if cursor.accept(Keyword::Variables) => Topic::Variables,
        Keyword::Session | Keyword::Local if cursor.accept(Keyword::Status) => Topic::Status,
        Keyword::Procedure | Keyword::Function | Keyword::Package | Keyword::Library => routine(cursor),
        _ => Topic::Server,
    }
}

/// `SHOW COUNT(*) WARNINGS`.
fn diagnostics_count(cursor: &mut Cursor<'_>) -> Topic {
    let parentheses = [b'(', b'*', b')'];
    let is_count = parentheses.iter().all(|byte| cursor.accept_punctuation(*byte));
    if is_count && (cursor.accept(Keyword::Warnings) || cursor.accept(Keyword::Errors)) {
        Topic::Diagnostics
    } else {
        Topic::Server
    }
}

/// `SHOW CREATE TABLE t`: leaves the cursor on a word that lets the walk take the next name for a table.
fn created(cursor: &mut Cursor<'_>) -> Topic {
    match cursor.token.keyword() {
        Keyword::Table
        | Keyword::View
        | Keyword::Database
        | Keyword::Schema
        | Keyword::Procedure
        | Keyword::Function
        | Keyword::Trigger
        | Keyword::User
        | Keyword::Sequence
        | Keyword::Package
        | Keyword::Library => {
            if !cursor.token.is(Keyword::Table) {
                // A name, or an account: no expression.
                cursor.skip_statement();
            }
            Topic::Catalog
        }
        _ => Topic::Server,
    }
}

/// `PROCEDURE STATUS`, `PROCEDURE CODE`, `PACKAGE BODY STATUS`.
fn routine(cursor: &mut Cursor<'_>) -> Topic {
    while !cursor.token.is_end() {
        if cursor.accept(Keyword::Status) || cursor.accept(Keyword::Code) {
            return Topic::Catalog;
        }
        cursor.advance();
    }
    Topic::Server
}

/// A read of what the previous statement left behind.
pub(super) fn diagnostics() -> Facts {
    let mut facts = Facts::read(Reason::Diagnostics);
    facts.needs = Needs::DIAGNOSTICS;
    facts
}

/// CHECKSUM TABLE.
pub(super) fn checksum(cursor: &mut Cursor<'_>) -> Facts {
    cursor.advance();
    if !(cursor.accept(Keyword::Table) || cursor.accept(Keyword::Tables)) {
        return Facts::unknown(Reason::Unparsed);
    }
    let mut facts = Facts::read(Reason::CatalogRead);
    scan(cursor, &mut facts, Frame::tables());
    facts
}
