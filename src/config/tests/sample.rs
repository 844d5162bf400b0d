//! config/dauphin.toml says what the code says: every option, its sentence, its range and its default.

use super::super::{Absent, Config, KnownOption, options};

const SAMPLE: &str = include_str!("../../../config/dauphin.toml");
const MINIMAL: &str = include_str!("../../../config/minimal.toml");

/// One option as the sample shows it.
#[derive(Debug, PartialEq)]
struct Shown {
    path: String,
    comment: String,
    value: String,
    commented_out: bool,
}

#[test]
fn the_sample_shows_every_option_and_no_other() {
    let shown: Vec<String> = shown().into_iter().map(|shown| shown.path).collect();
    let known: Vec<String> = options().into_iter().map(|option| option.path).collect();
    assert_eq!(shown, known);
}

#[test]
fn the_sample_says_what_each_option_is() {
    for (shown, known) in shown().iter().zip(options()) {
        assert_eq!(shown.comment, known.comment(), "{}", shown.path);
        match &known.absent {
            Absent::Default(default) => {
                assert_eq!(&shown.value, default, "{}", shown.path);
                assert_eq!(shown.commented_out, is_in_a_list(&known), "{}", shown.path);
            }
            Absent::Required => assert_eq!(shown.commented_out, is_in_a_list(&known), "{}", shown.path),
            Absent::Unset => {
                let needed = shown.path == "account.password";
                assert_eq!(shown.commented_out, !needed, "{}", shown.path);
            }
        }
    }
}

#[test]
fn the_sample_loads_and_equals_the_defaults() {
    let sample = Config::from_text(SAMPLE).expect("the sample loads");
    let default = Config::from_text(MINIMAL).expect("the minimal config loads");
    assert_eq!(sample.listen, default.listen);
    assert_eq!(sample.tls, default.tls);
    assert_eq!(sample.auth, default.auth);
    assert!(sample.users.is_empty() && default.users.is_empty());
    assert_eq!(sample.pool, default.pool);
    assert_eq!(sample.routing, default.routing);
    assert_eq!(sample.cache, default.cache);
    assert_eq!(sample.limits, default.limits);
    assert_eq!(sample.monitor, default.monitor);
    assert_eq!(sample.failover, default.failover);
    assert_eq!(sample.admin.addresses, default.admin.addresses);
    assert_eq!(sample.admin.http_addresses, default.admin.http_addresses);
    assert!(sample.admin.password.is_none() && default.admin.password.is_none());
    assert!(sample.admin.users.is_empty() && default.admin.users.is_empty());
    assert_eq!(sample.log, default.log);
    assert_eq!(sample.threads, default.threads);
    assert_eq!(sample.servers[0].weight, default.servers[0].weight);
}

#[test]
fn what_the_sample_has_commented_out_loads_too() {
    let uncommented: Vec<&str> = SAMPLE
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(option) if option.starts_with("[[") || is_option(option) => option,
            _ => line,
        })
        .filter(|line| {
            !["servers = ", "password_", "certificate", "key", "ca "].iter().any(|s| line.starts_with(s))
        })
        .collect();
    let config = Config::from_text(&uncommented.join("\n")).expect("it loads");
    assert_eq!((config.servers.len(), config.users.len(), config.admin.users.len()), (1, 1, 1));
    assert_eq!(config.servers[0].max_connections, 200);
}

#[test]
fn the_minimal_config_has_five_lines() {
    assert_eq!(MINIMAL.lines().count(), 5);
}

fn is_in_a_list(option: &KnownOption) -> bool {
    option.path.contains("[]")
}

fn is_option(line: &str) -> bool {
    line.split_once(" = ").is_some_and(|(key, _)| key.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
}

fn shown() -> Vec<Shown> {
    let (mut prefix, mut comment, mut shown) = (String::new(), Vec::new(), Vec::new());
    for line in SAMPLE.lines() {
        let option = line.strip_prefix('#').unwrap_or(line);
        if let Some(text) = line.strip_prefix("# ") {
            comment.push(text);
        } else if let Some(list) = option.strip_prefix("[[") {
            prefix = format!("{}[].", list.trim_end_matches(']'));
            comment.clear();
        } else if let Some(section) = option.strip_prefix('[') {
            prefix = format!("{}.", section.trim_end_matches(']'));
            comment.clear();
        } else if let Some((key, value)) = option.split_once(" = ") {
            shown.push(Shown {
                path: format!("{prefix}{key}"),
                comment: std::mem::take(&mut comment).join(" "),
                value: value.to_owned(),
                commented_out: line.starts_with('#'),
            });
        } else {
            comment.clear();
        }
    }
    shown
}
