//! What is wrong with a config file: every mistake, each with its place, its cause and its remedy.

use std::fmt;
use std::path::{Path, PathBuf};

/// One mistake in the config file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// The line, counted from 1; `None` when the mistake is something that the file lacks.
    pub line: Option<usize>,
    /// The option, as in `[pool] max_age`; empty when the whole file is meant.
    pub place: String,
    /// What is wrong.
    pub cause: String,
    /// What to write instead.
    pub remedy: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        write!(f, "{}; {}", self.cause, self.remedy)
    }
}

/// Every mistake of one config file, in the order of its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    file: PathBuf,
    mistakes: Vec<Mistake>,
}

impl ConfigErrors {
    pub(super) fn new(file: &Path, mut mistakes: Vec<Mistake>) -> Self {
        // What the file lacks (no line) comes last.
        mistakes.sort_by_key(|mistake| mistake.line.unwrap_or(usize::MAX));
        let mut distinct: Vec<Mistake> = Vec::with_capacity(mistakes.len());
        for mistake in mistakes {
            if !distinct.contains(&mistake) {
                distinct.push(mistake);
            }
        }
        Self { file: file.to_owned(), mistakes: distinct }
    }

    /// The mistakes, in the order of their lines; never empty.
    pub fn mistakes(&self) -> &[Mistake] {
        &self.mistakes
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.mistakes.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{}:", self.file.display())?;
            if let Some(line) = mistake.line {
                write!(f, "{line}:")?;
            }
            write!(f, " {mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
