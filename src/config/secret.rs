//! `Secret`: a password that is never printed and is wiped from memory when dropped; and where it comes from.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use zeroize::Zeroizing;

use super::options::{Absent, KnownOption, Setting};
use super::section::Section;
use super::written::Written;

/// Longer than any password that MySQL or MariaDB will take.
const MAX_SECRET: usize = 4096;

/// A password; `Debug` and `Display` show `***`.
///
/// It has no `==`: compare what a password proves, or with [`Secret::same`], in constant time.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes in; the caller's own copy, if it has one, is the caller's to wipe.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// The bytes themselves: not for logs, errors or metrics.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }

    /// Whether both are the same secret, or none. Its duration tells no more than their lengths.
    pub fn same(a: Option<&Self>, b: Option<&Self>) -> bool {
        match (a, b) {
            (Some(a), Some(b)) => aws_lc_rs::constant_time::verify_slices_are_equal(&a.0, &b.0).is_ok(),
            (a, b) => a.is_none() && b.is_none(),
        }
    }

    /// Whether this is the empty password.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A secret that may be left out; else it is given in exactly one of the three ways.
pub(super) struct OptionalSecret;

impl Setting for OptionalSecret {
    type Value = Option<Secret>;

    fn find(&self, section: &Section<'_>, name: &str) -> Option<Option<Secret>> {
        let ways = [name, &format!("{name}_file"), &format!("{name}_env")];
        if ways.iter().all(|way| section.get(way).is_none()) {
            return Some(None);
        }
        SecretSetting.find(section, name).map(Some)
    }

    fn describe(&self, name: &str, doc: &str) -> Vec<KnownOption> {
        let mut known = SecretSetting.describe(name, doc);
        for option in &mut known {
            option.range = option.range.replace("exactly", "at most");
        }
        known
    }
}

/// A secret given in exactly one of three ways: `name`, `name_file` or `name_env`.
pub(super) fn secret() -> SecretSetting {
    SecretSetting
}

pub(super) struct SecretSetting;

impl Setting for SecretSetting {
    type Value = Secret;

    fn find(&self, section: &Section<'_>, name: &str) -> Option<Secret> {
        let (in_file, in_env) = (format!("{name}_file"), format!("{name}_env"));
        let given: Vec<_> =
            [name, &in_file, &in_env].into_iter().filter(|way| section.get(way).is_some()).collect();
        match given[..] {
            [] => {
                section.lacks(name, "is missing", format!("give one of {name}, {in_file} and {in_env}"));
                None
            }
            [way] => {
                let written = section.get(way)?;
                if way == name {
                    from_text(&written)
                } else if way == in_file {
                    from_file(&written)
                } else {
                    from_variable(&written)
                }
            }
            [first, second, ..] => {
                section.wrong(second, format!("{first} is given too"), "keep one of them");
                None
            }
        }
    }

    fn describe(&self, name: &str, doc: &str) -> Vec<KnownOption> {
        let (in_file, in_env) = (format!("{name}_file"), format!("{name}_env"));
        let one_of = format!("exactly one of {name}, {in_file} and {in_env}");
        let way = |name: &str, doc: &str| KnownOption::new(name, doc, one_of.clone(), Absent::Unset);
        vec![
            way(name, doc),
            way(&in_file, "A file that holds nothing but the password."),
            way(&in_env, "The environment variable that holds the password."),
        ]
    }
}

// What follows never shows a password, not even one that stands where a name should.

fn from_text(written: &Written<'_>) -> Option<Secret> {
    let Some(text) = written.text() else {
        return written.wrong("is not text", "put the password in quotes");
    };
    written.file().note_password();
    checked(written, Secret::new(text))
}

fn from_file(written: &Written<'_>) -> Option<Secret> {
    let Some(name) = written.text() else {
        return written.wrong("is not a path", "write the path of the file that holds the password");
    };
    let path = written.file().resolve(name);
    match contents(&path) {
        Ok(secret) if secret.is_empty() => {
            written.wrong(format!("{name:?} is empty"), "write the password into the file")
        }
        Ok(secret) => {
            if world_readable(&path) {
                let path = path.display();
                written
                    .file()
                    .warn(format!("{path} holds a password and anyone can read it; chmod 600 {path}"));
            }
            checked(written, secret)
        }
        Err(error) => written
            .wrong(format!("{name:?} cannot be read: {error}"), "check the path and the file's permissions"),
    }
}

fn from_variable(written: &Written<'_>) -> Option<Secret> {
    let Some(name) = written.text() else {
        return written.wrong("is not a name", "write the name of the environment variable");
    };
    if !is_variable_name(name) {
        let remedy = "write a name in capitals, as in DAUPHIN_PASSWORD";
        return written.wrong("is not the name of an environment variable", remedy);
    }
    match written.file().variable(name) {
        None => written.wrong(format!("{name} is not set"), "set this environment variable"),
        Some(value) if value.is_empty() => {
            written.wrong(format!("{name} is empty"), "set this environment variable")
        }
        Some(value) => checked(written, Secret::new(value.into_vec())),
    }
}

/// In capitals, by custom; whatever else stands here may be the password itself.
fn is_variable_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    !name.is_empty() && name.chars().all(plain)
}

fn checked(written: &Written<'_>, secret: Secret) -> Option<Secret> {
    if secret.0.len() > MAX_SECRET {
        return written.wrong(format!("is longer than {MAX_SECRET} bytes"), "use a shorter password");
    }
    if secret.0.iter().any(|byte| matches!(byte, 0 | b'\n' | b'\r')) {
        return written.wrong("holds a line break or a zero byte", "keep the password on one line");
    }
    Some(secret)
}

/// The file without its last line break, read no further than a password can be long.
fn contents(path: &Path) -> io::Result<Secret> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_SECRET + 2));
    File::open(path)?.take(MAX_SECRET as u64 + 2).read_to_end(&mut bytes)?;
    let line = bytes.strip_suffix(b"\r\n").or_else(|| bytes.strip_suffix(b"\n")).unwrap_or(&bytes);
    Ok(Secret::new(line))
}

/// Whether any user of this machine may read the file; not if there is no such file.
pub(super) fn world_readable(path: &Path) -> bool {
    path.metadata().is_ok_and(|file| file.permissions().mode() & 0o004 != 0)
}
