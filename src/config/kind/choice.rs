//! One of a few words.

use super::Kind;
use crate::config::suggest::nearest;
use crate::config::written::{Written, quoted};

/// One of these words, each with what it stands for.
pub(in crate::config) fn choice<T: Clone, const N: usize>(words: [(&'static str, T); N]) -> Choice<T> {
    Choice { words: words.into() }
}

pub(in crate::config) struct Choice<T> {
    words: Vec<(&'static str, T)>,
}

impl<T: Clone> Kind for Choice<T> {
    type Value = T;

    fn read(&self, written: &Written<'_>) -> Option<T> {
        let Some(text) = written.text() else {
            return written.not_a("one of the words it may be", format!("write {}", self.range()));
        };
        if let Some((_, value)) = self.words.iter().find(|(word, _)| *word == text) {
            return Some(value.clone());
        }
        let remedy = match nearest(text, self.words.iter().map(|(word, _)| *word)) {
            Some(meant) => format!("did you mean {meant:?}? Write {}", self.range()),
            None => format!("write {}", self.range()),
        };
        written.wrong(format!("{} is not known here", quoted(text)), remedy)
    }

    fn range(&self) -> String {
        let words: Vec<_> = self.words.iter().map(|(word, _)| format!("{word:?}")).collect();
        let (last, others) = words.split_last().expect("a choice has words");
        format!("{} or {last}", others.join(", "))
    }
}
