//! dauphin's own statements, which no server sees: `EXPLAIN ROUTE ...`, `SHOW LAST ROUTE`, `ROUTER SET ...`.

use std::time::Duration;

use super::facts::Facts;
use super::verb::expect_end;
use crate::sql::cursor::{Cursor, unquoted};
use crate::sql::hint::lag_limit;
use crate::sql::lexer::Kind;
use crate::sql::reason::Reason;
use crate::sql::statement::{Access, Consistency, Effect, LagLimit, OwnStatement, Setting};
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

fn setting(name: &str, value: &str) -> Setting {
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
