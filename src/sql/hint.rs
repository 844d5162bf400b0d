//! What the author of a statement wishes, said in a comment: dauphin's own way, and those that other proxies' users
//! have in their code already.
//!
//! | comment | of |
//! |---|---|
//! | `/* dauphin:primary */`, `:replica`, `:server=db2` | dauphin |
//! | `/* dauphin:max_lag=500 */` (milliseconds), `:consistency=global`, `:causal=user:42` | dauphin |
//! | `-- maxscale route to master` / `slave` / `server db2` / `last`, `max_slave_replication_lag=1`, and its named hints | MaxScale |
//! | `/* max_lag_ms=500;min_gtid=uuid:23 */` | ProxySQL |
//! | `/*FORCE_MASTER*/`, `/*FORCE_SLAVE*/` before the statement | Alibaba, Huawei |
//! | `/*master*/` | kingshard, Gaea |
//! | `/* SHARDINGSPHERE_HINT: WRITE_ROUTE_ONLY=true */` | ShardingSphere |
//! | `/*@reader*/`, `/*@writer*/` | AWS JDBC wrapper |
//! | `/* pgdog_role: replica */` | PgDog |
//!
//! One comment of dauphin's may hold several wishes, `/* dauphin:replica, max_lag=500 */`, and a statement several
//! comments. ProxySQL's `hostgroup=1` is not understood: what is behind such a number stands in its config.

mod maxscale;

use std::time::Duration;

use super::statement::{Consistency, Freshness, Hint, LagLimit, StackChange, Wish};

/// Longer comments are prose, not hints.
const LONGEST: usize = 256;

/// What the comments of a statement wish; of each kind the first wish wins.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Wishes {
    pub hint: Option<Hint>,
    pub freshness: Option<Box<Freshness>>,
    pub hint_stack: Option<Box<StackChange>>,
}

impl Wishes {
    fn add(&mut self, wish: Wish) {
        match wish {
            Wish::Where(hint) => drop(self.hint.get_or_insert(hint)),
            Wish::MaxLag(limit) => drop(self.freshness().max_lag.get_or_insert(limit)),
            Wish::Consistency(level) => drop(self.freshness().consistency.get_or_insert(level)),
            Wish::Causal(token) => drop(self.freshness().causal.get_or_insert(token)),
            Wish::MinGtid(gtids) => drop(self.freshness().min_gtid.get_or_insert(gtids)),
        }
    }

    fn freshness(&mut self) -> &mut Freshness {
        self.freshness.get_or_insert_default()
    }
}

/// Takes in a comment's body; `leading` if no token stands before it.
pub(super) fn read(body: &[u8], leading: bool, wishes: &mut Wishes) {
    let body = body.trim_ascii();
    if body.is_empty() || body.len() > LONGEST {
        return;
    }
    // One look at the first byte spares ordinary comments the rest.
    let first = body[0].to_ascii_lowercase();
    if first == b'm'
        && let Some(rest) = strip_word(body, "maxscale")
    {
        return maxscale::read(rest, wishes);
    }
    match first {
        b'd' => strip_word(body, "dauphin:").into_iter().for_each(|list| dauphin(list, wishes)),
        // The first letters of what it knows: cache_ttl, create_new_connection, hostgroup, m…, query_….
        b'c' | b'h' | b'm' | b'q' | b';' if body.contains(&b'=') => proxysql(body, wishes),
        _ => of_others(body, leading).into_iter().for_each(|hint| wishes.add(Wish::Where(hint))),
    }
}

/// The ways of other proxies.
fn of_others(body: &[u8], leading: bool) -> Option<Hint> {
    match body[0].to_ascii_lowercase() {
        b'm' if body.eq_ignore_ascii_case(b"master") => Some(Hint::Primary),
        b'f' if leading => match () {
            () if body.eq_ignore_ascii_case(b"force_master") => Some(Hint::Primary),
            () if body.eq_ignore_ascii_case(b"force_slave") => Some(Hint::Replica),
            () => None,
        },
        b's' => shardingsphere(strip_word(body, "shardingsphere_hint:")?),
        b'@' => match () {
            () if body.eq_ignore_ascii_case(b"@writer") => Some(Hint::Primary),
            () if body.eq_ignore_ascii_case(b"@reader") => Some(Hint::Replica),
            () => None,
        },
        b'p' => role(strip_word(body, "pgdog_role:")?),
        _ => None,
    }
}

/// `max_lag_ms=500;min_gtid=uuid:23` among whatever else.
fn proxysql(body: &[u8], wishes: &mut Wishes) {
    let Ok(body) = std::str::from_utf8(body) else { return };
    for (key, value) in body.split(';').filter_map(|pair| pair.split_once('=')) {
        match (key.trim(), value.trim()) {
            ("max_lag_ms", ms) => {
                let limit = ms.parse().ok().map(|ms| LagLimit::AtMost(Duration::from_millis(ms)));
                limit.into_iter().for_each(|limit| wishes.add(Wish::MaxLag(limit)));
            }
            ("min_gtid", gtids) if !gtids.is_empty() => wishes.add(Wish::MinGtid(gtids.into())),
            _ => {}
        }
    }
}

/// What follows `prefix`, which is matched without regard to case.
fn strip_word<'a>(body: &'a [u8], prefix: &str) -> Option<&'a str> {
    let (start, rest) = body.split_at_checked(prefix.len())?;
    let rest = std::str::from_utf8(rest).ok()?;
    start.eq_ignore_ascii_case(prefix.as_bytes()).then(|| rest.trim())
}

/// Wishes with a comma, a semicolon or a space between.
fn dauphin(list: &str, wishes: &mut Wishes) {
    let list = list.replace(" =", "=").replace("= ", "=");
    let parts = list.split([',', ';', ' ', '\t', '\n']).filter(|part| !part.is_empty());
    parts.filter_map(wish).for_each(|wish| wishes.add(wish));
}

fn wish(part: &str) -> Option<Wish> {
    let (key, value) = part.split_once('=').map_or((part, ""), |(key, value)| (key, unquoted(value)));
    match key.to_ascii_lowercase().as_str() {
        "server" if !value.is_empty() => Some(Wish::Where(Hint::Server(value.into()))),
        "max_lag" => lag_limit(value).map(Wish::MaxLag),
        "consistency" => Consistency::of(value).map(Wish::Consistency),
        "causal" if !value.is_empty() => Some(Wish::Causal(value.into())),
        "route" => role(value).map(Wish::Where),
        _ if value.is_empty() => role(key).map(Wish::Where),
        _ => None,
    }
}

fn role(name: &str) -> Option<Hint> {
    match name.to_ascii_lowercase().as_str() {
        "primary" | "master" | "writer" => Some(Hint::Primary),
        "replica" | "slave" | "reader" => Some(Hint::Replica),
        _ => None,
    }
}

fn shardingsphere(wish: &str) -> Option<Hint> {
    let mut pairs = wish.split(',').filter_map(|pair| pair.split_once('='));
    let is_set = |(key, value): (&str, &str)| {
        key.trim().eq_ignore_ascii_case("write_route_only") && value.trim().eq_ignore_ascii_case("true")
    };
    pairs.any(is_set).then_some(Hint::Primary)
}

/// `500`, which is milliseconds, `500ms`, `2s`, `1m` or `off`.
pub(super) fn lag_limit(text: &str) -> Option<LagLimit> {
    if text.eq_ignore_ascii_case("off") {
        return Some(LagLimit::Off);
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..digits].parse().ok()?;
    let limit = match text[digits..].trim() {
        "" | "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.checked_mul(60)?),
        _ => return None,
    };
    Some(LagLimit::AtMost(limit))
}

fn unquoted(value: &str) -> &str {
    value.trim_matches(['\'', '"'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &[u8], leading: bool) -> Wishes {
        let mut wishes = Wishes::default();
        read(body, leading, &mut wishes);
        wishes
    }

    fn freshness(body: &str) -> Option<(Option<u64>, Option<Consistency>, Option<String>)> {
        let Freshness { max_lag, consistency, causal, .. } = *parse(body.as_bytes(), false).freshness?;
        let max_lag = max_lag.map(|limit| match limit {
            LagLimit::AtMost(limit) => limit.as_millis() as u64,
            other => panic!("{other:?}"),
        });
        Some((max_lag, consistency, causal.map(Into::into)))
    }

    #[test]
    fn how_fresh_is_understood() {
        use Consistency::{Eventual, Global};
        for (body, expected) in [
            ("dauphin:max_lag=500ms", Some((Some(500), None, None))),
            ("dauphin:max_lag=500", Some((Some(500), None, None))),
            ("dauphin: max_lag = 2s", Some((Some(2000), None, None))),
            ("dauphin:max_lag=", None),
            ("dauphin:max_lag=soon", None),
            ("dauphin:consistency=Global", Some((None, Some(Global), None))),
            ("dauphin:consistency=total", None),
            ("dauphin:causal=user:42", Some((None, None, Some("user:42".to_owned())))),
            ("dauphin:causal='a'", Some((None, None, Some("a".to_owned())))),
            ("dauphin:causal=", None),
            (
                "dauphin:replica, max_lag=7;consistency=eventual causal=x",
                Some((Some(7), Some(Eventual), Some("x".to_owned()))),
            ),
            ("hostgroup=1;max_lag_ms=500", Some((Some(500), None, None))),
            ("; max_lag_ms = 20 ;cache_ttl=3", Some((Some(20), None, None))),
            ("max_lag_ms=few", None),
            ("hostgroup=1", None),
            ("dauphin:primary", None),
        ] {
            assert_eq!(freshness(body), expected, "{body}");
        }
        assert_eq!(parse(b"dauphin:replica max_lag=7", false).hint, Some(Hint::Replica));
        assert_eq!(lag_limit("OFF"), Some(LagLimit::Off));
        let min_gtid = |body: &[u8]| parse(body, false).freshness.and_then(|wish| wish.min_gtid);
        assert_eq!(min_gtid(b"min_gtid=0-1-5; max_lag_ms=1").as_deref(), Some("0-1-5"));
        assert_eq!(min_gtid(b"min_gtid="), None);
    }

    #[test]
    fn of_each_kind_the_first_wish_wins() {
        let mut wishes = Wishes::default();
        for body in ["dauphin:max_lag=1", "dauphin:primary,max_lag=2", "dauphin:replica", "dauphin:causal=a"]
        {
            read(body.as_bytes(), false, &mut wishes);
        }
        assert_eq!(wishes.hint, Some(Hint::Primary));
        let freshness = wishes.freshness.unwrap();
        assert_eq!(freshness.max_lag, Some(LagLimit::AtMost(Duration::from_millis(1))));
        assert_eq!(freshness.causal.as_deref(), Some("a"));
    }

    #[test]
    fn each_way_of_saying_where_is_understood() {
        let server = |name: &str| Some(Hint::Server(name.into()));
        for (body, leading, hint) in [
            (" dauphin:primary ", false, Some(Hint::Primary)),
            ("dauphin: Replica", false, Some(Hint::Replica)),
            ("DAUPHIN:route=replica", false, Some(Hint::Replica)),
            ("dauphin:server=db2", false, server("db2")),
            ("dauphin:server='db2'", false, server("db2")),
            ("dauphin:unheard_of", false, None),
            ("dauphin:", false, None),
            ("FORCE_MASTER", true, Some(Hint::Primary)),
            ("force_slave", true, Some(Hint::Replica)),
            ("force_slave", false, None),
            ("master", false, Some(Hint::Primary)),
            ("mastery", false, None),
            ("SHARDINGSPHERE_HINT: WRITE_ROUTE_ONLY=true", false, Some(Hint::Primary)),
            ("SHARDINGSPHERE_HINT: DATASOURCE_NAME=x, write_route_only=TRUE", false, Some(Hint::Primary)),
            ("SHARDINGSPHERE_HINT: WRITE_ROUTE_ONLY=false", false, None),
            ("@reader", false, Some(Hint::Replica)),
            ("@writer", false, Some(Hint::Primary)),
            ("pgdog_role: replica", false, Some(Hint::Replica)),
            ("hostgroup=1", false, None),
            ("just a remark", false, None),
            ("", true, None),
        ] {
            assert_eq!(parse(body.as_bytes(), leading).hint, hint, "{body}");
        }
    }

    #[test]
    fn bytes_that_are_not_text_are_no_hint() {
        assert_eq!(parse(b"dauphin:\xff", true), Wishes::default());
        assert_eq!(parse(b"d\xc3", true), Wishes::default());
    }
}
