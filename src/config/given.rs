//! Every option with the value that holds, for SHOW CONFIG; and what two files differ in, for RELOAD.

use std::{collections::BTreeMap, path::Path};

use zeroize::Zeroizing;

use super::{Absent, Config, ConfigErrors, Secret, load, options};

/// The options that can change while dauphin runs.
const LIVE: [&str; 5] = [
    "listen.max_connections",
    "listen.drain_timeout",
    "routing.hold_timeout",
    "routing.hold_max",
    "log.level",
];

/// One option and the value that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// Its path, as in `pool.max_age`, `servers[0].weight`.
    pub path: String,
    /// As one would write it; `***` for a password; `None` if it is off.
    pub value: Option<String>,
    /// Whether the file says so.
    pub by_file: bool,
    /// Whether it can change while dauphin runs.
    pub live: bool,
}

/// What one option was and is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Its path.
    pub path: String,
    /// What held before.
    pub old: Option<String>,
    /// What the file says now.
    pub new: Option<String>,
    /// Whether it can change while dauphin runs.
    pub live: bool,
}

/// A config and the file it was read from.
#[derive(Debug, Clone)]
pub struct ConfigFile {
    /// The config.
    pub config: Config,
    /// The values as written, passwords hidden.
    written: BTreeMap<String, String>,
    /// The passwords, from wherever they come.
    secrets: BTreeMap<String, Secret>,
}

impl ConfigFile {
    /// Reads the file; the error lists every mistake in it.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ConfigErrors> {
        let path = path.as_ref();
        // One reading: a file that changes meanwhile is not half old and half new.
        let text = load::read_text(path)?;
        let config = Config::read_file(path, &text, &|name| std::env::var_os(name))?;
        let (mut written, mut secrets) = (BTreeMap::new(), BTreeMap::new());
        let table: toml::Table = text.parse().unwrap_or_default();
        flatten("", &toml::Value::Table(table), &mut written);
        secrets.insert("account.password".to_owned(), config.account.password.clone());
        secrets.extend(config.admin.password.clone().map(|secret| ("admin.password".to_owned(), secret)));
        let users = config.users.iter().enumerate();
        secrets.extend(users.map(|(at, user)| (format!("users[{at}].password"), user.password.clone())));
        let users = config.admin.users.iter().enumerate();
        secrets
            .extend(users.map(|(at, user)| (format!("admin.users[{at}].password"), user.password.clone())));
        Ok(Self { config, written, secrets })
    }

    /// A config that was read from no file.
    #[cfg(test)]
    pub(crate) fn of(config: Config) -> Self {
        Self { config, written: BTreeMap::new(), secrets: BTreeMap::new() }
    }

    /// Every option, in the order of the sample file; those of lists follow their list.
    pub fn given(&self) -> Vec<Given> {
        let mut given = Vec::new();
        for option in options() {
            let live = LIVE.contains(&option.path.as_str());
            if let Some((list, name)) = option.path.split_once("[].") {
                for (path, value) in self.members(list, name) {
                    given.push(Given { path, value: Some(value), by_file: true, live });
                }
                continue;
            }
            let written = self.written.get(&option.path).cloned();
            let by_file = written.is_some();
            let default = match option.absent {
                Absent::Default(default) => Some(default),
                Absent::Unset | Absent::Required => None,
            };
            if by_file || default.is_some() || !option.path.starts_with("servers") {
                given.push(Given { path: option.path, value: written.or(default), by_file, live });
            }
        }
        given
    }

    fn members<'s>(&'s self, list: &'s str, name: &'s str) -> impl Iterator<Item = (String, String)> + 's {
        self.written.iter().filter_map(move |(path, value)| {
            let (at, rest) = path.strip_prefix(list)?.strip_prefix('[')?.split_once("].")?;
            (rest == name && at.parse::<usize>().is_ok()).then(|| (path.clone(), value.clone()))
        })
    }

    /// What holds differently in `new`.
    pub fn differences(&self, new: &Self) -> Vec<Difference> {
        let map = |file: &Self| -> BTreeMap<String, (Option<String>, bool)> {
            file.given().into_iter().map(|given| (given.path, (given.value, given.live))).collect()
        };
        let (old_values, new_values) = (map(self), map(new));
        let secrets = self.secrets.keys().chain(new.secrets.keys());
        let mut paths: Vec<_> = old_values.keys().chain(new_values.keys()).chain(secrets).collect();
        paths.sort();
        paths.dedup();
        let difference = |path: &String| {
            let (old, new_value) = (old_values.get(path), new_values.get(path));
            let live = old.or(new_value).is_some_and(|(_, live)| *live);
            let value = |of: Option<&(Option<String>, bool)>| of.and_then(|(value, _)| value.clone());
            let (old_value, new_value) = (value(old), value(new_value));
            let same_secret = Secret::same(self.secrets.get(path), new.secrets.get(path));
            (old_value != new_value || !same_secret).then(|| {
                let shown = |secrets: &BTreeMap<String, Secret>, value| {
                    if secrets.contains_key(path) { Some("***".to_owned()) } else { value }
                };
                Difference {
                    path: path.clone(),
                    old: shown(&self.secrets, old_value),
                    new: shown(&new.secrets, new_value),
                    live,
                }
            })
        };
        paths.into_iter().filter_map(difference).collect()
    }
}

/// Values by their paths; no password among them.
fn flatten(path: &str, value: &toml::Value, into: &mut BTreeMap<String, String>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                flatten(&path, value, into);
            }
        }
        toml::Value::Array(members) if members.iter().any(toml::Value::is_table) => {
            for (at, member) in members.iter().enumerate() {
                flatten(&format!("{path}[{at}]"), member, into);
            }
        }
        toml::Value::String(text) if path.ends_with("password") => {
            drop(Zeroizing::new(text.clone()));
            into.insert(path.to_owned(), "***".to_owned());
        }
        other => {
            into.insert(path.to_owned(), other.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: &str) -> ConfigFile {
        let path = std::env::temp_dir().join(format!("dauphin-given-{}-{name}.toml", std::process::id()));
        std::fs::write(&path, text).unwrap();
        let file = ConfigFile::load(&path).unwrap_or_else(|errors| panic!("{errors}"));
        std::fs::remove_file(path).unwrap();
        file
    }

    const START: &str = "account = { user = \"dauphin\", password = \"secret1\" }\n\
                         [[servers]]\naddress = \"db1:3306\"\n[[servers]]\naddress = \"db2:3306\"\nweight = 5\n";

    #[test]
    fn every_option_is_given_and_no_password_is_shown() {
        let given = file("all", START).given();
        let value = |path: &str| given.iter().find(|given| given.path == path).unwrap().clone();
        assert_eq!(value("servers[1].weight").value.as_deref(), Some("5"));
        assert_eq!(value("account.password").value.as_deref(), Some("***"));
        assert_eq!(value("account.user").value.as_deref(), Some("\"dauphin\""));
        let level = value("log.level");
        assert_eq!((level.value.as_deref(), level.by_file, level.live), (Some("\"info\""), false, true));
        assert_eq!(value("admin.password").value, None);
        assert!(!format!("{given:?}").contains("secret1"));
    }

    #[test]
    fn differences_are_what_holds_differently() {
        let old = file("old", START);
        // Written out, but the same.
        let same = file("same", &format!("{START}[log]\nlevel = \"info\""));
        assert_eq!(old.differences(&same), []);
        let new = START.replace("secret1", "secret2").replace("weight = 5", "weight = 6");
        let new = file("new", &format!("{new}[listen]\nmax_connections = 5\n[admin]\npassword = \"x\""));
        let differences = old.differences(&new);
        let texts: Vec<_> = differences
            .iter()
            .map(|d| (d.path.as_str(), d.old.as_deref(), d.new.as_deref(), d.live))
            .collect();
        assert_eq!(
            texts,
            [
                ("account.password", Some("***"), Some("***"), false),
                ("admin.password", None, Some("***"), false),
                ("listen.max_connections", Some("10000"), Some("5"), true),
                ("servers[1].weight", Some("5"), Some("6"), false),
            ]
        );
    }

    #[test]
    fn a_password_in_a_file_that_changes_is_a_difference_and_shown_nowhere() {
        let secret = std::env::temp_dir().join(format!("dauphin-given-{}-secret", std::process::id()));
        let text = format!("{START}[[admin.users]]\nname = \"a\"\npassword_file = {secret:?}\n");
        std::fs::write(&secret, "secret2").unwrap();
        let old = file("users", &text);
        assert_eq!(old.differences(&file("users", &text)), []);
        std::fs::write(&secret, "secret3").unwrap();
        let differences = old.differences(&file("users", &text));
        std::fs::remove_file(secret).unwrap();
        let paths: Vec<_> = differences.iter().map(|difference| difference.path.as_str()).collect();
        assert_eq!(paths, ["admin.users[0].password"]);
        let shown = format!("{differences:?} {:?}", old.given());
        assert!(!shown.contains("secret2") && !shown.contains("secret3"), "{shown}");
    }

    #[test]
    fn every_live_option_is_an_option() {
        let known: Vec<_> = options().into_iter().map(|option| option.path).collect();
        assert!(LIVE.iter().all(|live| known.iter().any(|path| path == live)));
    }
}
