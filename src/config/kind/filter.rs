//! The log's filter: `info`, or `info,dauphin::pool=debug`.

use super::Kind;
use crate::config::suggest::nearest;
use crate::config::written::{Written, quoted};

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// A filter as `tracing` reads it; what is checked here is the levels.
pub(in crate::config) fn log_filter() -> LogFilter {
    LogFilter
}

pub(in crate::config) struct LogFilter;

impl Kind for LogFilter {
    type Value = String;

    fn read(&self, written: &Written<'_>) -> Option<String> {
        let Some(text) = written.text() else {
            return written.not_a("a log level", "write for example \"info\"");
        };
        let Some(mistaken) = text.split(',').find(|directive| !is_directive(directive.trim())) else {
            return Some(text.to_owned());
        };
        let remedy = match nearest(mistaken.trim(), LEVELS) {
            Some(meant) => format!("did you mean {meant:?}?"),
            None => "write for example \"info\" or \"info,dauphin::pool=debug\"".to_owned(),
        };
        written.wrong(format!("{} is not a log level", quoted(mistaken.trim())), remedy)
    }

    fn range(&self) -> String {
        r#""off", "error", "warn", "info", "debug", "trace" or a filter"#.to_owned()
    }
}

/// A level, or `target=level`. A lone target, which `tracing` would allow, is mostly a mistyped level.
fn is_directive(directive: &str) -> bool {
    let (target, level) = directive.rsplit_once('=').unwrap_or(("dauphin", directive));
    !target.is_empty() && LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directive_ends_in_a_level() {
        for (directive, right) in [
            ("info", true),
            ("INFO", true),
            ("dauphin::pool=debug", true),
            ("[session{id=3}]=trace", true),
            ("inof", false),
            ("dauphin=loud", false),
            ("=info", false),
            ("", false),
        ] {
            assert_eq!(is_directive(directive), right, "{directive}");
        }
    }
}
