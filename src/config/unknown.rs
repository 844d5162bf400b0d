//! Keys that mean nothing, and what was probably meant.

use toml::de::{DeTable, DeValue};

use super::file::FileConfig;
use super::options::KnownOption;
use super::suggest::nearest;

/// Notes every key of the file that no option and no section has.
pub(super) fn report(file: &FileConfig<'_>, known: &[KnownOption]) {
    let known: Vec<&str> = known.iter().map(|option| option.path.as_str()).collect();
    Unknown { file, known: &known }.walk(file.table(), "");
}

struct Unknown<'f> {
    file: &'f FileConfig<'f>,
    known: &'f [&'f str],
}

impl Unknown<'_> {
    /// Looks at a table whose keys' paths start with `prefix`, such as `pool.` or `servers[].`.
    fn walk(&self, table: &DeTable<'_>, prefix: &str) {
        for (key, value) in table {
            let path = format!("{prefix}{}", key.get_ref());
            let (section, list) = (format!("{path}."), format!("{path}[]."));
            if self.any_under(&section) || self.any_under(&list) {
                self.walk_below(value.get_ref(), &section, &list);
            } else if !self.known.contains(&path.as_str()) {
                self.report(self.file.line(key.span()), prefix, key.get_ref());
            }
        }
    }

    fn any_under(&self, prefix: &str) -> bool {
        self.known.iter().any(|path| path.starts_with(prefix))
    }

    fn walk_below(&self, value: &DeValue<'_>, section: &str, list: &str) {
        match value {
            DeValue::Table(table) if self.any_under(section) => self.walk(table, section),
            DeValue::Array(members) if self.any_under(list) => {
                let tables = members.iter().filter_map(|member| member.get_ref().as_table());
                tables.for_each(|table| self.walk(table, list));
            }
            // Of the wrong type: its reader says so.
            _ => {}
        }
    }

    fn report(&self, line: usize, prefix: &str, key: &str) {
        let place = match heading(prefix) {
            heading if heading.is_empty() => key.to_owned(),
            heading => format!("{heading} {key}"),
        };
        self.file.report(Some(line), place, "is not an option".to_owned(), self.remedy(prefix, key));
    }

    fn remedy(&self, prefix: &str, key: &str) -> String {
        let here = self.names_under(prefix);
        if let Some(meant) = nearest(key, here.iter().copied()) {
            return if self.any_under(&format!("{prefix}{meant}.")) {
                format!("did you mean [{prefix}{meant}]?")
            } else {
                format!("did you mean {meant}?")
            };
        }
        let places = self.known.iter().filter_map(|path| path.strip_suffix(key).filter(|p| is_prefix(p)));
        // What holds for all is meant rather than what may be said of one.
        match places.min_by_key(|place| place.contains("[]")).map(heading) {
            Some(heading) if !heading.is_empty() => format!("it belongs under {heading}"),
            _ => format!("the options here are {}", here.join(", ")),
        }
    }

    /// The names that may stand directly under `prefix`.
    fn names_under(&self, prefix: &str) -> Vec<&str> {
        let below = self.known.iter().filter_map(|path| path.strip_prefix(prefix));
        let mut names: Vec<&str> = below.filter_map(|path| path.split(['.', '[']).next()).collect();
        names.dedup();
        names
    }
}

fn is_prefix(path: &str) -> bool {
    path.is_empty() || path.ends_with('.')
}

/// The heading that a prefix of paths stands under: `pool.` is `[pool]`, `servers[].` is `[[servers]]`.
fn heading(prefix: &str) -> String {
    let name = prefix.trim_end_matches('.');
    match name.strip_suffix("[]") {
        Some(list) => format!("[[{list}]]"),
        None if name.is_empty() => String::new(),
        None => format!("[{name}]"),
    }
}
