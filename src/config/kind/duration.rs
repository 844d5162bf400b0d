//! Durations: `"500ms"`, `"10s"`, `"1h30m"`.

use std::time::Duration;

use super::Kind;
use crate::config::written::{Written, quoted};

const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// A duration between two others, both given as the file would.
pub(in crate::config) fn duration(least: &'static str, most: &'static str) -> DurationKind {
    DurationKind { least, most }
}

pub(in crate::config) struct DurationKind {
    least: &'static str,
    most: &'static str,
}

impl Kind for DurationKind {
    type Value = Duration;

    fn read(&self, written: &Written<'_>) -> Option<Duration> {
        let Some(text) = written.text() else {
            return written.not_a("a duration", unit_remedy(written.number()));
        };
        let Some(duration) = parse(text) else {
            let remedy = unit_remedy(text.trim().parse().ok());
            return written.not_a("a duration", remedy);
        };
        if bound(self.least) <= duration && duration <= bound(self.most) {
            return Some(duration);
        }
        written.wrong(
            format!("{} is out of range", quoted(text)),
            format!("write a value from {}", self.range()),
        )
    }

    fn range(&self) -> String {
        format!("{:?} to {:?}", self.least, self.most)
    }
}

/// As `duration`, or `"off"` for none.
pub(in crate::config) fn duration_or_off(least: &'static str, most: &'static str) -> DurationOrOff {
    DurationOrOff(duration(least, most))
}

pub(in crate::config) struct DurationOrOff(DurationKind);

impl Kind for DurationOrOff {
    type Value = Option<Duration>;

    fn read(&self, written: &Written<'_>) -> Option<Option<Duration>> {
        if written.text() == Some("off") { Some(None) } else { self.0.read(written).map(Some) }
    }

    fn range(&self) -> String {
        format!("{}, or \"off\"", self.0.range())
    }
}

fn unit_remedy(number: Option<i64>) -> String {
    match number {
        Some(number) if number > 0 => {
            format!("write the unit too, for example \"{number}s\" or \"{number}ms\"")
        }
        _ => "write for example \"30m\" or \"1h\"".to_owned(),
    }
}

fn bound(text: &str) -> Duration {
    parse(text).expect("the bounds of an option are durations")
}

/// Whole numbers with their units, the greater units first: `1h30m`.
fn parse(text: &str) -> Option<Duration> {
    let (mut rest, mut total_ms, mut smallest) = (text, 0_u64, u64::MAX);
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let (unit, next) = after.split_at(after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len()));
        let (_, unit_ms) = UNITS.iter().find(|(name, _)| *name == unit)?;
        if *unit_ms >= smallest {
            return None;
        }
        total_ms = total_ms.checked_add(number.parse::<u64>().ok()?.checked_mul(*unit_ms)?)?;
        (rest, smallest) = (next, *unit_ms);
    }
    (!text.is_empty()).then(|| Duration::from_millis(total_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_numbers_with_units() {
        for (text, ms) in [
            ("500ms", Some(500)),
            ("0s", Some(0)),
            ("10s", Some(10_000)),
            ("5m", Some(300_000)),
            ("1h30m", Some(5_400_000)),
            ("1m500ms", Some(60_500)),
            ("7d", Some(604_800_000)),
            ("", None),
            ("10", None),
            ("s", None),
            ("-1s", None),
            ("1.5s", None),
            ("10 s", None),
            ("5 parsecs", None),
            ("30m1h", None),
            ("1s1s", None),
            ("99999999999999999999s", None),
            ("18446744073709551615d", None),
            ("1é", None),
        ] {
            assert_eq!(parse(text), ms.map(Duration::from_millis), "{text}");
        }
    }
}
