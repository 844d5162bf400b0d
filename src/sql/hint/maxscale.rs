//! MaxScale's hints (its documentation, "Hintfilter"): for the one statement, or on the session's stack.
//!
//! | `-- maxscale` | |
//! |---|---|
//! | `route to master`, `slave`, `server db2`, `last`; `max_slave_replication_lag=1` (seconds) | a hint for the statement |
//! | `name prepare hint` | gives it a name |
//! | `name begin`, `begin hint`, `name begin hint` | holds from now on |
//! | `end` | until here |

use std::time::Duration;

use super::{Wishes, role};
use crate::sql::statement::{Hint, LagLimit, StackChange, Wish};

/// Takes in what stands behind the word `maxscale`.
pub(super) fn read(body: &str, wishes: &mut Wishes) {
    if let Some(wish) = hint(body) {
        wishes.add(wish);
    } else if let Some(change) = stack_change(body)
        && wishes.hint_stack.is_none()
    {
        wishes.hint_stack = Some(Box::new(change));
    }
}

fn stack_change(body: &str) -> Option<StackChange> {
    let (first, rest) = word(body);
    let (second, beyond) = word(rest);
    if first.eq_ignore_ascii_case("end") && rest.is_empty() {
        return Some(StackChange::End);
    }
    if first.eq_ignore_ascii_case("begin") {
        return Some(StackChange::Begin(None, hint(rest)?));
    }
    match second.to_ascii_lowercase().as_str() {
        "prepare" => Some(StackChange::Prepare(first.into(), hint(beyond)?)),
        "begin" if beyond.is_empty() => Some(StackChange::BeginNamed(first.into())),
        "begin" => Some(StackChange::Begin(Some(first.into()), hint(beyond)?)),
        _ => None,
    }
}

/// The first word, and what follows it.
fn word(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((text, ""));
    (word, rest.trim_start())
}

fn hint(text: &str) -> Option<Wish> {
    let mut words = text.split_ascii_whitespace();
    let mut is_next = |expected: &str| words.next().is_some_and(|word| word.eq_ignore_ascii_case(expected));
    if is_next("route") {
        if !is_next("to") {
            return None;
        }
        let target = match (words.next()?, words.next(), words.next()) {
            (last, None, _) if last.eq_ignore_ascii_case("last") => Hint::Last,
            (target, None, _) => role(target)?,
            (server, Some(name), None) if server.eq_ignore_ascii_case("server") => Hint::Server(name.into()),
            _ => return None,
        };
        return Some(Wish::Where(target));
    }
    let (key, value) = text.split_once('=')?;
    if !matches!(key.trim(), "max_slave_replication_lag" | "max_replication_lag") {
        return None;
    }
    let seconds = value.trim().parse().ok()?;
    Some(Wish::MaxLag(LagLimit::AtMost(Duration::from_secs(seconds))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str) -> Wishes {
        let mut wishes = Wishes::default();
        crate::sql::hint::read(body.as_bytes(), false, &mut wishes);
        wishes
    }

    #[test]
    fn hints_for_the_statement_are_understood() {
        for (body, hint) in [
            (" maxscale route to master", Some(Hint::Primary)),
            (" MaxScale Route  To slave", Some(Hint::Replica)),
            ("maxscale route to server db3", Some(Hint::Server("db3".into()))),
            ("maxscale route to server", None),
            ("maxscale route to Last", Some(Hint::Last)),
            ("maxscale route to last one", None),
            ("maxscale route master", None),
            ("maxscale route", None),
            ("maxscale", None),
        ] {
            assert_eq!(parse(body), Wishes { hint, ..Wishes::default() }, "{body}");
        }
        let limit = |body| parse(body).freshness.and_then(|wish| wish.max_lag);
        assert_eq!(
            limit("maxscale max_slave_replication_lag = 3"),
            Some(LagLimit::AtMost(Duration::from_secs(3)))
        );
        assert_eq!(limit("maxscale max_slave_replication_lag=soon"), None);
    }

    #[test]
    fn hints_that_hold_on_are_understood() {
        let primary = || Wish::Where(Hint::Primary);
        let lag = Wish::MaxLag(LagLimit::AtMost(Duration::from_secs(1)));
        for (body, change) in [
            ("maxscale a prepare route to master", Some(StackChange::Prepare("a".into(), primary()))),
            ("maxscale a begin", Some(StackChange::BeginNamed("a".into()))),
            ("maxscale a BEGIN route to master", Some(StackChange::Begin(Some("a".into()), primary()))),
            ("maxscale begin max_replication_lag=1", Some(StackChange::Begin(None, lag))),
            ("maxscale end", Some(StackChange::End)),
            ("maxscale end now", None),
            ("maxscale begin", None),
            ("maxscale a prepare", None),
            ("maxscale a prepare nonsense", None),
        ] {
            let hint_stack = change.map(Box::new);
            assert_eq!(parse(body), Wishes { hint_stack, ..Wishes::default() }, "{body}");
        }
    }
}
