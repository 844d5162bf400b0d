//! `Damage`: the lines that TOML itself cannot read, in the same words as every other mistake.

use toml::de::Error;

use super::file::line_of;
use super::mistake::Mistake;

/// What of the file is not TOML, and so says nothing reliable about its options.
#[derive(Default)]
pub(super) struct Damage {
    /// One mistake per line: what follows the first is mostly its echo.
    mistakes: Vec<Mistake>,
    /// The line from which the parser takes all for members of a list that was never closed.
    swallowed_from: Option<usize>,
}

impl Damage {
    pub(super) fn find(text: &str, errors: &[Error]) -> Self {
        let mut damage = Self::default();
        for error in errors {
            let start = error.span().map_or(text.len(), |span| span.start);
            let line = line_of(text, start);
            if is_swallowed(text, start, error.message()) {
                let remedy = "close it, or put commas between its members";
                damage.add(line, "a [ or { above this line is never closed".to_owned(), remedy);
                damage.swallowed_from = Some(line);
                break;
            }
            if !damage.reaches(line) {
                let (cause, remedy) = cause_and_remedy(error.message());
                damage.add(line, cause, remedy);
            }
        }
        damage
    }

    fn add(&mut self, line: usize, cause: String, remedy: &str) {
        let (place, remedy) = (String::new(), remedy.to_owned());
        self.mistakes.push(Mistake { line: Some(line), place, cause, remedy });
    }

    /// Whether the file is TOML throughout.
    pub(super) fn is_none(&self) -> bool {
        self.mistakes.is_empty()
    }

    /// Whether what stands on this line may not mean what it seems to.
    pub(super) fn reaches(&self, line: usize) -> bool {
        self.swallowed_from.is_some_and(|from| line >= from)
            || self.mistakes.iter().any(|mistake| mistake.line == Some(line))
    }

    pub(super) fn into_mistakes(self) -> Vec<Mistake> {
        self.mistakes
    }
}

/// Whether a list that was never closed has swallowed this line: a heading or a key where a comma should be.
fn is_swallowed(text: &str, start: usize, message: &str) -> bool {
    let before = text[..start].lines().last().filter(|_| !text[..start].ends_with('\n')).unwrap_or_default();
    let after = text[start..].lines().next().unwrap_or_default();
    let heading = before.is_empty() && after.starts_with('[');
    let key = !before.contains('=') && after.contains('=');
    message.starts_with(MISSING_COMMA) && (heading || key)
}

const MISSING_COMMA: &str = "missing comma between";

/// The parser's own words, and what to do about the more likely of them.
fn cause_and_remedy(message: &str) -> (String, &'static str) {
    let known = [
        ("duplicate key", "keep one of the two"),
        ("string values must be quoted", "put text in quotes, as in max_age = \"1h\""),
        ("missing comma between array elements", "put a comma between the members of the list"),
        ("invalid basic string", "close the text with a quote, as in max_age = \"1h\""),
        ("unclosed table", "close the heading with ], as in [pool]"),
        ("unclosed array", "put ] after the last member of the list"),
        ("key with no value", "write it as in max_age = \"1h\""),
    ];
    match known.into_iter().find(|(start, _)| message.starts_with(start)) {
        Some((cause, remedy)) => (cause.to_owned(), remedy),
        None => (
            message.trim_end_matches(", expected nothing").to_owned(),
            "see https://toml.io for how to write it",
        ),
    }
}
