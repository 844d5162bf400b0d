//! dauphin's own statements, which no server sees: `EXPLAIN ROUTE ...`, `SHOW LAST ROUTE`, `ROUTER SET ...`; and the questions
//! to which the session knows the answer better than the connection.

use std::time::Duration;

use super::facts::Facts;
use super::verb::expect_end;
use crate::sql::cursor::{Cursor, unquoted};
use crate::sql::hint::lag_limit;
use crate::sql::lexer::{Kind, Lexer, Token};
use crate::sql::reason::Reason;
use crate::sql::statement::{Access, Consistency, Effect, LagLimit, OwnStatement, Setting};
use crate::sql::syntax::Syntax;
use crate::sql::words::Keyword;

/// `EXPLAIN ROUTE statement`, to the end of the text; `EXPLAIN route` is the columns of a table of that name.
pub(super) fn explain_route(cursor: &mut Cursor<'_>) -> Option<Facts> {
    let is_own = cursor.token.is(Keyword::Route) && !cursor.next.is_end();
    is_own.then(|| {
        let offset = cursor.token.end as usize;
        while cursor.token.kind != Kind::End {
            cursor.step();
        }
        own(OwnStatement::ExplainRoute { offset })
    })
}

/// `SHOW LAST ROUTE`.
pub(super) fn last_route(cursor: &mut Cursor<'_>) -> Option<Facts> {
    cursor.accept_both(Keyword::Last, Keyword::Route).then(|| {
        let mut facts = own(OwnStatement::LastRoute);
        expect_end(cursor, &mut facts);
        facts
    })
}

/// `ROUTER SET name = value`.
pub(super) fn router(cursor: &mut Cursor<'_>) -> Facts {
    cursor.advance();
    if !cursor.accept(Keyword::Set) {
        return Facts::unknown(Reason::Unparsed);
    }
    let name = unquoted(cursor.here());
    cursor.advance();
    if !cursor.accept_punctuation(b'=') {
        return Facts::unknown(Reason::Unparsed);
    }
    let value = unquoted(cursor.here());
    cursor.advance();
    let mut facts = own(OwnStatement::RouterSet(setting(&name, &value)));
    expect_end(cursor, &mut facts);
    facts
}

/// `SELECT CONNECTION_ID() [[AS] alias] [FROM DUAL] [LIMIT 1]`, and the like of ROW_COUNT(): one row, whose only value is
/// that.
pub(super) fn asks_for_one_value(statement: &[u8], syntax: &Syntax) -> bool {
    let mut lexer = Lexer::new(statement, *syntax);
    let is_call = lexer.next().is(Keyword::Select)
        && lexer.next().word.is_some_and(|word| matches!(word.text, "connection_id" | "row_count"))
        && lexer.next().is_punctuation(b'(')
        && lexer.next().is_punctuation(b')');
    is_call && ends_plainly(&mut lexer, statement)
}

/// Whether nothing follows that could change the value, or how often it comes.
fn ends_plainly(lexer: &mut Lexer<'_>, statement: &[u8]) -> bool {
    let may_name = |token: &Token| match token.kind {
        Kind::Name | Kind::String => true,
        Kind::Word => token.word.is_none(),
        _ => false,
    };
    let mut token = lexer.next();
    let is_alias = if token.is(Keyword::As) {
        token = lexer.next();
        true
    } else {
        may_name(&token)
    };
    if is_alias {
        // Behind AS some words that are known are names too.
        if !may_name(&token) && token.kind != Kind::Word {
            return false;
        }
        token = lexer.next();
    }
    if token.is(Keyword::From) {
        if !lexer.next().is(Keyword::Dual) {
            return false;
        }
        token = lexer.next();
    }
    if token.is(Keyword::Limit) {
        if lexer.next().text(statement) != b"1" {
            return false;
        }
        token = lexer.next();
    }
    token.is_end()
}

/// What ROUTER SET, or a query attribute, of this name and value says.
pub fn setting(name: &str, value: &str) -> Setting {
    let known = match name.to_ascii_lowercase().as_str() {
        "access_mode" => access_mode(value).map(Setting::AccessMode),
        "wait_for_my_writes" => switch(value).map(Setting::WaitForMyWrites),
        "wait_for_my_writes_timeout" => {
            value.parse().ok().map(Duration::from_secs).map(Setting::WaitForMyWritesTimeout)
        }
        "trace" => switch(value).map(Setting::Trace),
        "max_replica_lag" => max_replica_lag(value).map(Setting::MaxReplicaLag),
        "consistency" => match value.to_ascii_lowercase().as_str() {
            "default" => Some(Setting::Consistency(None)),
            _ => Consistency::of(value).map(|level| Setting::Consistency(Some(level))),
        },
        _ => return Setting::Wrong(name.into()),
    };
    known.unwrap_or_else(|| Setting::Wrong(value.into()))
}

/// Milliseconds, `off`, or `default` for the cluster's limit.
fn max_replica_lag(value: &str) -> Option<LagLimit> {
    if value.eq_ignore_ascii_case("default") { Some(LagLimit::Cluster) } else { lag_limit(value) }
}

fn access_mode(value: &str) -> Option<Option<Access>> {
    match value.to_ascii_lowercase().as_str() {
        "read_write" => Some(Some(Access::ReadWrite)),
        "read_only" => Some(Some(Access::ReadOnly)),
        "auto" => Some(None),
        _ => None,
    }
}

fn switch(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "on" | "true" => Some(true),
        "0" | "off" | "false" => Some(false),
        _ => None,
    }
}

fn own(statement: OwnStatement) -> Facts {
    Facts::new(Effect::Own(statement), Reason::Own)
}
