//! A table: what every command answers with, whichever way it was asked.

use serde_json::{Map, Value as Json};

/// A column of a table; its name does not change between releases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// What scripts call it.
    pub name: &'static str,
    /// What is in it.
    pub meaning: &'static str,
}

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Not known, or nothing.
    Null,
    /// Text.
    Text(String),
    /// A whole number.
    Number(u64),
    /// Yes or no.
    Flag(bool),
}

/// Rows under the columns of a command.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// The columns.
    pub columns: &'static [Column],
    /// As many values each as there are columns.
    pub rows: Vec<Vec<Value>>,
}

impl Value {
    /// As text; `None` for NULL.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Null => None,
            Self::Text(text) => Some(text.clone()),
            Self::Number(number) => Some(number.to_string()),
            Self::Flag(flag) => Some(if *flag { "yes" } else { "no" }.to_owned()),
        }
    }

    fn json(&self) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Text(text) => text.as_str().into(),
            Self::Number(number) => (*number).into(),
            Self::Flag(flag) => (*flag).into(),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Number(number as u64)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<std::time::Duration> for Value {
    /// In whole milliseconds.
    fn from(duration: std::time::Duration) -> Self {
        Self::Number(duration.as_millis() as u64)
    }
}

impl<V: Into<Value>> From<Option<V>> for Value {
    fn from(value: Option<V>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl Table {
    /// The rows of which some value is like `pattern`, as SQL's LIKE has it, whatever the case.
    pub fn like(mut self, pattern: &str) -> Self {
        let pattern: Vec<char> = pattern.to_lowercase().chars().collect();
        self.rows.retain(|row| {
            row.iter()
                .filter_map(Value::text)
                .any(|text| is_like(&text.to_lowercase().chars().collect::<Vec<_>>(), &pattern))
        });
        self
    }

    /// The columns' names.
    pub fn names(&self) -> Vec<&'static str> {
        self.columns.iter().map(|column| column.name).collect()
    }

    /// The values as text.
    pub fn texts(&self) -> Vec<Vec<Option<String>>> {
        self.rows.iter().map(|row| row.iter().map(Value::text).collect()).collect()
    }

    /// A list of objects, one for each row.
    pub fn json(&self) -> Json {
        let object = |row: &Vec<Value>| {
            let members = self.columns.iter().zip(row);
            Json::Object(
                members.map(|(column, value)| (column.name.to_owned(), value.json())).collect::<Map<_, _>>(),
            )
        };
        Json::Array(self.rows.iter().map(object).collect())
    }
}

/// SQL's LIKE: `%` for any text, `_` for one character, `\` before one that stands for itself. Takes time in proportion
/// to the product of the lengths at most.
fn is_like(text: &[char], pattern: &[char]) -> bool {
    // Which prefixes of the text are like the pattern so far.
    let mut matched = vec![false; text.len() + 1];
    matched[0] = true;
    let mut symbols = pattern.iter();
    while let Some(&symbol) = symbols.next() {
        match symbol {
            '%' => {
                let first = matched.iter().position(|is| *is).unwrap_or(matched.len());
                matched[first..].fill(true);
            }
            symbol => {
                let (symbol, any) = match symbol {
                    '_' => ('_', true),
                    '\\' => (symbols.next().copied().unwrap_or('\\'), false),
                    other => (other, false),
                };
                for at in (0..text.len()).rev() {
                    matched[at + 1] = matched[at] && (any || text[at] == symbol);
                }
                matched[0] = false;
            }
        }
    }
    matched[text.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] =
        &[Column { name: "server", meaning: "" }, Column { name: "lag_ms", meaning: "" }];

    #[test]
    fn like_is_sql_s() {
        for (text, pattern, is) in [
            ("db1", "db1", true),
            ("db1", "db%", true),
            ("db1", "%1", true),
            ("db1", "d_1", true),
            ("db1", "d_", false),
            ("db1", "%", true),
            ("", "%", true),
            ("", "_", false),
            ("a%b", r"a\%b", true),
            ("axb", r"a\%b", false),
            ("aXbXc", "a%b%c", true),
        ] {
            let (text, pattern): (Vec<_>, Vec<_>) = (text.chars().collect(), pattern.chars().collect());
            assert_eq!(is_like(&text, &pattern), is, "{text:?} {pattern:?}");
        }
    }

    #[test]
    fn a_table_is_the_same_as_text_and_as_json() {
        let table = Table {
            columns: COLUMNS,
            rows: vec![vec!["db1".into(), 0_u64.into()], vec!["DB2".into(), Value::Null]],
        };
        assert_eq!(
            table.texts(),
            [[Some("db1".to_owned()), Some("0".to_owned())], [Some("DB2".into()), None]]
        );
        assert_eq!(
            table.json().to_string(),
            r#"[{"lag_ms":0,"server":"db1"},{"lag_ms":null,"server":"DB2"}]"#
        );
        assert_eq!(table.like("db2").rows.len(), 1);
    }
}
