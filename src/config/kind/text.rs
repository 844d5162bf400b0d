//! Names and other short text.

use super::Kind;
use crate::config::written::{Written, quoted};

/// Text of 1 to `most` characters that shows in logs and metrics as it is.
pub(in crate::config) fn text(most: usize) -> Text {
    Text { most }
}

pub(in crate::config) struct Text {
    most: usize,
}

impl Kind for Text {
    type Value = String;

    fn read(&self, written: &Written<'_>) -> Option<String> {
        let Some(text) = written.text() else {
            return written.not_a("text", "put it in quotes");
        };
        if text.is_empty() {
            return written.wrong("is empty", format!("write {}", self.range()));
        }
        if text.chars().count() > self.most {
            return written.wrong(format!("{} is too long", quoted(text)), format!("write {}", self.range()));
        }
        if text.contains(char::is_control) {
            let cause = format!("{} has a control character", quoted(text));
            return written.wrong(cause, "leave it out");
        }
        Some(text.to_owned())
    }

    fn range(&self) -> String {
        format!("1 to {} characters", self.most)
    }
}
