//! `Section`: one table of the file, from which options are read by name.

use toml::de::DeTable;

use super::file::FileConfig;
use super::options::Setting;
use super::written::Written;

/// One table of the file; one that the file lacks reads as empty.
pub(super) struct Section<'f> {
    file: &'f FileConfig<'f>,
    /// As in `[pool]` or `[[servers]]`; empty before the first section.
    heading: String,
    table: Option<&'f DeTable<'f>>,
    line: Option<usize>,
}

impl<'f> Section<'f> {
    pub(super) fn new(
        file: &'f FileConfig<'f>,
        heading: String,
        table: Option<&'f DeTable<'f>>,
        line: Option<usize>,
    ) -> Self {
        Self { file, heading, table, line }
    }

    pub(super) fn file(&self) -> &'f FileConfig<'f> {
        self.file
    }

    /// The value of this option; `None` when it is mistaken, which is then on record.
    pub(super) fn option<S: Setting>(&self, name: &str, setting: &S) -> Option<S::Value> {
        setting.find(self, name)
    }

    /// What the file says for this option, if anything.
    pub(super) fn get(&self, name: &str) -> Option<Written<'f>> {
        let (key, value) = self.table?.get_key_value(name)?;
        Some(Written::new(self.file, self.place(name), value.get_ref(), Some(self.file.line(key.span()))))
    }

    /// Notes a mistake about one option, on its line or, if it is absent, on the section's.
    pub(super) fn wrong(&self, name: &str, cause: impl Into<String>, remedy: impl Into<String>) {
        let line = self.get(name).and_then(|written| written.line()).or(self.line);
        self.file.report(line, self.place(name), cause.into(), remedy.into());
    }

    /// As `wrong`, where the mistake is that something is not there. Only a file that is TOML throughout can
    /// be blamed for that, and only a section that is one.
    pub(super) fn lacks(&self, name: &str, cause: impl Into<String>, remedy: impl Into<String>) {
        let mistyped = self.table.is_none() && self.line.is_some();
        if !mistyped && !self.file.is_broken() {
            self.wrong(name, cause, remedy);
        }
    }

    /// The option's place for people, as in `[pool] max_age`.
    pub(super) fn place(&self, name: &str) -> String {
        if self.heading.is_empty() { name.to_owned() } else { format!("{} {name}", self.heading) }
    }
}
