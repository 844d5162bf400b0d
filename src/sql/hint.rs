//! What the author of a statement wishes, said in a comment: dauphin's own way, and those that other proxies' users
//! have in their code already.
//!
//! | comment | of |
//! |---|---|
//! | `/* dauphin:primary */`, `:replica`, `:server=db2`, `:max_lag=500ms` | dauphin |
//! | `-- maxscale route to master` / `slave` / `server db2` | MaxScale |
//! | `/*FORCE_MASTER*/`, `/*FORCE_SLAVE*/` before the statement | Alibaba, Huawei |
//! | `/*master*/` | kingshard, Gaea |
//! | `/* SHARDINGSPHERE_HINT: WRITE_ROUTE_ONLY=true */` | ShardingSphere |
//! | `/*@reader*/`, `/*@writer*/` | AWS JDBC wrapper |
//! | `/* pgdog_role: replica */` | PgDog |

use std::time::Duration;

use super::statement::Hint;

/// Longer comments are prose, not hints.
const LONGEST: usize = 256;

/// The hint in a comment's body; `leading` if no token stands before it.
pub(super) fn parse(body: &[u8], leading: bool) -> Option<Hint> {
    let body = body.trim_ascii();
    if body.is_empty() || body.len() > LONGEST {
        return None;
    }
    // One look at the first byte spares ordinary comments the rest.
    match body[0].to_ascii_lowercase() {
        b'd' => dauphin(strip_word(body, "dauphin:")?),
        b'm' if body.eq_ignore_ascii_case(b"master") => Some(Hint::Primary),
        b'm' => maxscale(strip_word(body, "maxscale")?),
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

/// What follows `prefix`, which is matched without regard to case.
fn strip_word<'a>(body: &'a [u8], prefix: &str) -> Option<&'a str> {
    let (start, rest) = body.split_at_checked(prefix.len())?;
    let rest = std::str::from_utf8(rest).ok()?;
    start.eq_ignore_ascii_case(prefix.as_bytes()).then(|| rest.trim())
}

fn dauphin(wish: &str) -> Option<Hint> {
    let (key, value) = wish.split_once('=').map_or((wish, ""), |(key, value)| (key.trim(), value.trim()));
    match key.to_ascii_lowercase().as_str() {
        "server" if !value.is_empty() => Some(Hint::Server(unquoted(value).into())),
        "max_lag" => duration(value).map(Hint::MaxLag),
        "route" => role(value),
        _ if value.is_empty() => role(key),
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

fn maxscale(wish: &str) -> Option<Hint> {
    if let Some((key, value)) = wish.split_once('=') {
        let is_lag = matches!(key.trim(), "max_slave_replication_lag" | "max_replication_lag");
        return is_lag
            .then(|| value.trim().parse().ok())
            .flatten()
            .map(Duration::from_secs)
            .map(Hint::MaxLag);
    }
    let words: Vec<&str> = wish.split_ascii_whitespace().collect();
    let is_route =
        words.len() >= 3 && words[0].eq_ignore_ascii_case("route") && words[1].eq_ignore_ascii_case("to");
    match words.get(2..) {
        Some([target]) if is_route => role(target),
        Some([server, name]) if is_route && server.eq_ignore_ascii_case("server") => {
            Some(Hint::Server((*name).into()))
        }
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

/// `500ms`, `2s`, `1m`; a bare number is seconds.
fn duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..digits].parse().ok()?;
    match text[digits..].trim() {
        "ms" => Some(Duration::from_millis(number)),
        "" | "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
        _ => None,
    }
}

fn unquoted(value: &str) -> &str {
    value.trim_matches(['\'', '"'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_of_saying_it_is_understood() {
        let server = |name: &str| Some(Hint::Server(name.into()));
        for (body, leading, hint) in [
            (" dauphin:primary ", false, Some(Hint::Primary)),
            ("dauphin: Replica", false, Some(Hint::Replica)),
            ("DAUPHIN:route=replica", false, Some(Hint::Replica)),
            ("dauphin:server=db2", false, server("db2")),
            ("dauphin:server='db2'", false, server("db2")),
            ("dauphin:max_lag=500ms", false, Some(Hint::MaxLag(Duration::from_millis(500)))),
            ("dauphin:max_lag=2", false, Some(Hint::MaxLag(Duration::from_secs(2)))),
            ("dauphin:max_lag=", false, None),
            ("dauphin:unheard_of", false, None),
            ("dauphin:", false, None),
            (" maxscale route to master", false, Some(Hint::Primary)),
            (" MaxScale Route To slave", false, Some(Hint::Replica)),
            ("maxscale route to server db3", false, server("db3")),
            ("maxscale route to last", false, None),
            ("maxscale max_slave_replication_lag=3", false, Some(Hint::MaxLag(Duration::from_secs(3)))),
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
            assert_eq!(parse(body.as_bytes(), leading), hint, "{body}");
        }
    }

    #[test]
    fn bytes_that_are_not_text_are_no_hint() {
        assert_eq!(parse(b"dauphin:\xff", true), None);
        assert_eq!(parse(b"d\xc3", true), None);
    }
}
