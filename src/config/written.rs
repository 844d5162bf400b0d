//! `Written`: one value of the file, with its place.

use toml::de::{DeTable, DeValue};

use super::file::FileConfig;
use super::section::Section;

/// One value as the file gives it (or as a default would be written).
pub(super) struct Written<'f> {
    file: &'f FileConfig<'f>,
    place: String,
    value: &'f DeValue<'f>,
    line: Option<usize>,
}

impl<'f> Written<'f> {
    pub(super) fn new(
        file: &'f FileConfig<'f>,
        place: String,
        value: &'f DeValue<'f>,
        line: Option<usize>,
    ) -> Self {
        Self { file, place, value, line }
    }

    pub(super) fn file(&self) -> &'f FileConfig<'f> {
        self.file
    }

    pub(super) fn line(&self) -> Option<usize> {
        self.line
    }

    pub(super) fn text(&self) -> Option<&'f str> {
        self.value.as_str()
    }

    pub(super) fn flag(&self) -> Option<bool> {
        self.value.as_bool()
    }

    /// A whole number; one too large for TOML's 64 bits is clamped, and so fails its range check.
    pub(super) fn number(&self) -> Option<i64> {
        let integer = self.value.as_integer()?;
        let parsed = i64::from_str_radix(integer.as_str(), integer.radix());
        let clamped = if integer.as_str().starts_with('-') { i64::MIN } else { i64::MAX };
        Some(parsed.unwrap_or(clamped))
    }

    pub(super) fn table(&self) -> Option<&'f DeTable<'f>> {
        self.value.as_table()
    }

    /// The members of an array, each on its own line.
    pub(super) fn members(&self) -> Option<Vec<Written<'f>>> {
        let array = self.value.as_array()?;
        let member = |value: &'f toml::Spanned<DeValue<'f>>| {
            let line = Some(self.file.line(value.span()));
            Written::new(self.file, self.place.clone(), value.get_ref(), line)
        };
        Some(array.iter().map(member).collect())
    }

    /// This value as a section under `heading`, if it is a table.
    pub(super) fn section(&self, heading: &str) -> Option<Section<'f>> {
        Some(Section::new(self.file, heading.to_owned(), Some(self.table()?), self.line))
    }

    /// Notes a mistake and yields nothing.
    pub(super) fn wrong<T>(&self, cause: impl Into<String>, remedy: impl Into<String>) -> Option<T> {
        self.file.report(self.line, self.place.clone(), cause.into(), remedy.into());
        None
    }

    /// Notes that this value is of the wrong kind, as in `500 is a number, not a duration`.
    pub(super) fn not_a<T>(&self, wanted: &str, remedy: impl Into<String>) -> Option<T> {
        let cause = match self.value {
            DeValue::String(text) => format!("{} is not {wanted}", quoted(text)),
            DeValue::Integer(number) => format!("{number} is a number, not {wanted}"),
            DeValue::Float(number) => format!("{number} is a number, not {wanted}"),
            DeValue::Boolean(flag) => format!("{flag} is a flag, not {wanted}"),
            other => format!("is {}, not {wanted}", type_name(other)),
        };
        self.wrong(cause, remedy)
    }
}

/// Text as an error shows it: quoted, and cut when it is long or has more than one line.
pub(super) fn quoted(text: &str) -> String {
    const SHOWN: usize = 60;
    let shown: String = text.chars().take(SHOWN).take_while(|c| *c != '\n').collect();
    if shown.len() < text.len() { format!("{:?}", shown + "…") } else { format!("{text:?}") }
}

/// The TOML type of a value, in words.
pub(super) fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "a flag",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
