//! `FileConfig`: the config file as written, and what reading it brings to light.
//!
//! It knows lines and tables; which options there are, and what they mean, is decided by the sections.

use std::cell::{Cell, RefCell};
use std::ffi::OsString;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::mistake::Mistake;
use super::section::Section;
use super::syntax::Damage;

/// What the file may name and does not hold: the environment's variables.
pub(super) type Environment<'t> = &'t dyn Fn(&str) -> Option<OsString>;

/// The file as written: its tables, with the place of every value.
pub(super) struct FileConfig<'t> {
    path: &'t Path,
    text: &'t str,
    root: DeTable<'t>,
    environment: Environment<'t>,
    damage: Damage,
    mistakes: RefCell<Vec<Mistake>>,
    warnings: RefCell<Vec<String>>,
    holds_a_password: Cell<bool>,
}

impl<'t> FileConfig<'t> {
    pub(super) fn parse(path: &'t Path, text: &'t str, environment: Environment<'t>) -> Self {
        let (root, errors) = DeTable::parse_recoverable(text);
        Self {
            path,
            text,
            root: root.into_inner(),
            environment,
            damage: Damage::find(text, &errors),
            mistakes: RefCell::default(),
            warnings: RefCell::default(),
            holds_a_password: Cell::new(false),
        }
    }

    /// The options that stand before the first `[section]`.
    pub(super) fn root(&'t self) -> Section<'t> {
        Section::new(self, String::new(), Some(&self.root), None)
    }

    /// The section of this dotted name, such as `tls.client`; absent ones read as empty.
    pub(super) fn section(&'t self, name: &str) -> Section<'t> {
        let (mut table, mut line) = (Some(&self.root), None);
        for (index, part) in name.split('.').enumerate() {
            let Some(found) = table.and_then(|table| table.get(part)) else {
                (table, line) = (None, None);
                break;
            };
            line = Some(self.line(found.span()));
            table = found.get_ref().as_table();
            if table.is_none() {
                let upto = name.split('.').take(index + 1).collect::<Vec<_>>().join(".");
                self.report_type(line, &upto, found);
                break;
            }
        }
        Section::new(self, format!("[{name}]"), table, line)
    }

    fn report_type(&self, line: Option<usize>, name: &str, found: &Spanned<DeValue<'_>>) {
        let kind = super::written::type_name(found.get_ref());
        let cause = format!("is {kind}, but names a section");
        self.report(line, name.to_owned(), cause, format!("write [{name}] on a line of its own"));
    }

    pub(super) fn table(&self) -> &DeTable<'t> {
        &self.root
    }

    pub(super) fn path(&self) -> &'t Path {
        self.path
    }

    /// A path as the file means it: relative to the directory that holds the file.
    pub(super) fn resolve(&self, path: &str) -> std::path::PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(path)
    }

    pub(super) fn variable(&self, name: &str) -> Option<OsString> {
        (self.environment)(name)
    }

    /// The line, counted from 1, on which `span` starts.
    pub(super) fn line(&self, span: Range<usize>) -> usize {
        line_of(self.text, span.start)
    }

    /// Whether some of it is not TOML, so that more may be there than was understood.
    pub(super) fn is_broken(&self) -> bool {
        !self.damage.is_none()
    }

    /// Notes a mistake, unless its line is already known not to be TOML.
    pub(super) fn report(&self, line: Option<usize>, place: String, cause: String, remedy: String) {
        if !line.is_some_and(|line| self.damage.reaches(line)) {
            self.mistakes.borrow_mut().push(Mistake { line, place, cause, remedy });
        }
    }

    pub(super) fn warn(&self, warning: String) {
        let mut warnings = self.warnings.borrow_mut();
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }

    pub(super) fn note_password(&self) {
        self.holds_a_password.set(true);
    }

    pub(super) fn holds_a_password(&self) -> bool {
        self.holds_a_password.get()
    }

    /// What was found: the mistakes and the warnings.
    pub(super) fn into_findings(self) -> (Vec<Mistake>, Vec<String>) {
        let mistakes = [self.damage.into_mistakes(), self.mistakes.into_inner()].concat();
        (mistakes, self.warnings.into_inner())
    }
}

pub(super) fn line_of(text: &str, offset: usize) -> usize {
    let before = &text.as_bytes()[..offset.min(text.len())];
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}
