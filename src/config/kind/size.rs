//! Sizes in bytes: `"16KiB"`, `"64MiB"`.

use super::Kind;
use crate::config::written::{Written, quoted};

const UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// A size between two others, both given as the file would.
pub(in crate::config) fn size(least: &'static str, most: &'static str) -> SizeKind {
    SizeKind { least, most }
}

pub(in crate::config) struct SizeKind {
    least: &'static str,
    most: &'static str,
}

impl Kind for SizeKind {
    type Value = usize;

    fn read(&self, written: &Written<'_>) -> Option<usize> {
        let Some(text) = written.text() else {
            return written.not_a("a size", remedy(&written.number().unwrap_or(0).to_string()));
        };
        let Some(size) = parse(text) else {
            return written.not_a("a size", remedy(text));
        };
        if bound(self.least) <= size && size <= bound(self.most) {
            return Some(size);
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

fn bound(text: &str) -> usize {
    parse(text).expect("the bounds of an option are sizes")
}

fn parse(text: &str) -> Option<usize> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let (_, bytes) = UNITS.iter().find(|(name, _)| *name == unit)?;
    usize::try_from(number.parse::<u64>().ok()?.checked_mul(*bytes)?).ok()
}

/// The nearest right spelling: `64MB`, `64m` and `64 mib` are meant as `64MiB`, `65536` as `64KiB`.
fn remedy(text: &str) -> String {
    let compact = text.replace(' ', "").to_ascii_lowercase();
    let digits = compact.find(|c: char| !c.is_ascii_digit()).unwrap_or(compact.len());
    let (number, unit) = compact.split_at(digits);
    let Some(number) = number.parse::<u64>().ok().filter(|number| *number > 0) else {
        return "write for example \"16KiB\" or \"64MiB\"".to_owned();
    };
    let unit = match unit {
        "g" | "gb" | "gib" => "GiB",
        "m" | "mb" | "mib" => "MiB",
        "k" | "kb" | "kib" => "KiB",
        _ => return format!("write the unit too, for example \"{}\"", in_largest_unit(number)),
    };
    format!("write \"{number}{unit}\"")
}

fn in_largest_unit(bytes: u64) -> String {
    let exact = UNITS.iter().find(|(_, unit)| bytes.is_multiple_of(*unit));
    exact.map_or_else(|| format!("{bytes}B"), |(name, unit)| format!("{}{name}", bytes / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_number_with_a_binary_unit() {
        for (text, bytes) in [
            ("0B", Some(0)),
            ("16KiB", Some(16 << 10)),
            ("64MiB", Some(64 << 20)),
            ("1GiB", Some(1 << 30)),
            ("", None),
            ("64", None),
            ("KiB", None),
            ("64MB", None),
            ("1.5MiB", None),
            ("18446744073709551615GiB", None),
        ] {
            assert_eq!(parse(text), bytes, "{text}");
        }
    }

    #[test]
    fn the_remedy_is_the_right_spelling_of_what_was_meant() {
        for (text, right) in [
            ("64MB", "write \"64MiB\""),
            ("64 mib", "write \"64MiB\""),
            ("16k", "write \"16KiB\""),
            ("65536", "write the unit too, for example \"64KiB\""),
            ("1000", "write the unit too, for example \"1000B\""),
            ("much", "write for example \"16KiB\" or \"64MiB\""),
        ] {
            assert_eq!(remedy(text), right, "{text}");
        }
    }
}
