//! How an option is declared: one place that states its name, type, range, default and sentence.
//!
//! `options!` turns a list of such declarations into the struct, its reader and its description.

use toml::de::DeValue;

use super::kind::Kind;
use super::section::Section;
use super::written::Written;

/// Where the value of an option comes from: the file, a default, or neither.
pub(super) trait Setting {
    type Value;

    /// The value, or `None` with a mistake on record.
    fn find(&self, section: &Section<'_>, name: &str) -> Option<Self::Value>;

    /// What people may want to know of it, for each name it goes by.
    fn describe(&self, name: &str, doc: &str) -> Vec<KnownOption>;
}

/// What people may want to know of one option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownOption {
    /// Its dotted path, such as `pool.max_age` or `servers[].weight`.
    pub path: String,
    /// What it decides, in a sentence.
    pub doc: String,
    /// What may be written.
    pub range: String,
    /// What holds when the file does not say.
    pub absent: Absent,
}

/// What holds when the file does not name an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Absent {
    /// This value, as one would write it in the file.
    Default(String),
    /// Nothing: the option is off.
    Unset,
    /// The file is mistaken.
    Required,
}

impl KnownOption {
    /// What it decides and what may be written, as one sentence for the comment above it.
    pub fn comment(&self) -> String {
        format!("{} ({}).", self.doc.trim_end_matches('.'), self.range)
    }

    pub(super) fn new(name: &str, doc: &str, range: String, absent: Absent) -> Self {
        Self { path: name.to_owned(), doc: doc.to_owned(), range, absent }
    }
}

/// An option that has a default.
pub(super) struct Defaulted<K> {
    kind: K,
    default: toml::Value,
}

/// An option that may be left out, and then is `None`.
pub(super) struct Optional<K>(K);

/// An option that must be given.
pub(super) struct Required<K> {
    kind: K,
    example: &'static str,
}

/// The endings of a declaration: `duration("1ms", "1h").or("10s")`.
pub(super) trait Settable: Kind + Sized {
    /// With a default, given as the file would.
    fn or(self, default: impl Into<toml::Value>) -> Defaulted<Self> {
        Defaulted { kind: self, default: default.into() }
    }

    /// Without a default.
    fn optional(self) -> Optional<Self> {
        Optional(self)
    }

    /// With an example, given as the file would, for those who left it out.
    fn required(self, example: &'static str) -> Required<Self> {
        Required { kind: self, example }
    }
}

impl<K: Kind> Settable for K {}

impl<K: Kind> Setting for Defaulted<K> {
    type Value = K::Value;

    fn find(&self, section: &Section<'_>, name: &str) -> Option<K::Value> {
        if let Some(written) = section.get(name) {
            return self.kind.read(&written);
        }
        let text = self.default.to_string();
        let default = DeValue::parse(&text).expect("a default prints as TOML");
        self.kind.read(&Written::new(section.file(), section.place(name), default.get_ref(), None))
    }

    fn describe(&self, name: &str, doc: &str) -> Vec<KnownOption> {
        vec![KnownOption::new(name, doc, self.kind.range(), Absent::Default(self.default.to_string()))]
    }
}

impl<K: Kind> Setting for Optional<K> {
    type Value = Option<K::Value>;

    fn find(&self, section: &Section<'_>, name: &str) -> Option<Self::Value> {
        match section.get(name) {
            Some(written) => self.0.read(&written).map(Some),
            None => Some(None),
        }
    }

    fn describe(&self, name: &str, doc: &str) -> Vec<KnownOption> {
        vec![KnownOption::new(name, doc, self.0.range(), Absent::Unset)]
    }
}

impl<K: Kind> Setting for Required<K> {
    type Value = K::Value;

    fn find(&self, section: &Section<'_>, name: &str) -> Option<K::Value> {
        let Some(written) = section.get(name) else {
            section.lacks(name, "is missing", format!("add for example {name} = {}", self.example));
            return None;
        };
        self.kind.read(&written)
    }

    fn describe(&self, name: &str, doc: &str) -> Vec<KnownOption> {
        vec![KnownOption::new(name, doc, self.kind.range(), Absent::Required)]
    }
}

/// Ties a declaration to the type of its field.
pub(super) fn typed<T, S: Setting<Value = T>>(setting: S) -> S {
    setting
}

/// A struct of options: its fields, how they are read, and what they are.
macro_rules! options {
    (
        $(#[$attribute:meta])*
        $visibility:vis struct $name:ident {
            $($(#[doc = $doc:literal])+ $field:ident: $type:ty = $setting:expr;)+
        }
    ) => {
        $(#[$attribute])*
        $visibility struct $name {
            $($(#[doc = $doc])+ pub $field: $type,)+
        }

        impl $name {
            /// Reads every option before giving up on any, so that all mistakes come to light.
            pub(super) fn read(section: &$crate::config::section::Section<'_>) -> Option<Self> {
                $(let $field = section.option(
                    stringify!($field),
                    &$crate::config::options::typed::<$type, _>($setting),
                );)+
                Some(Self { $($field: $field?,)+ })
            }

            pub(super) fn options() -> Vec<$crate::config::options::KnownOption> {
                use $crate::config::options::Setting;
                [$($crate::config::options::typed::<$type, _>($setting)
                    .describe(stringify!($field), concat!($($doc),+).trim()),)+]
                    .concat()
            }
        }
    };
}
pub(super) use options;
