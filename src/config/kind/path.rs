//! Paths, relative to the directory that holds the config file.

use std::fs::File;
use std::path::PathBuf;

use super::Kind;
use crate::config::written::{Written, quoted};

/// A path to a file or directory that need not be there yet.
pub(in crate::config) fn path() -> PathKind {
    PathKind { must_be_readable: false }
}

/// A path to a file that dauphin can read now.
pub(in crate::config) fn readable_file() -> PathKind {
    PathKind { must_be_readable: true }
}

pub(in crate::config) struct PathKind {
    must_be_readable: bool,
}

impl Kind for PathKind {
    type Value = PathBuf;

    fn read(&self, written: &Written<'_>) -> Option<PathBuf> {
        let Some(text) = written.text().filter(|text| !text.is_empty()) else {
            return written.not_a("a path", "write a path in quotes");
        };
        let path = written.file().resolve(text);
        if self.must_be_readable
            && let Err(error) = File::open(&path).and_then(refuse_directory)
        {
            let cause = format!("{} cannot be read: {error}", quoted(text));
            return written.wrong(cause, "check the path and the file's permissions");
        }
        Some(path)
    }

    fn range(&self) -> String {
        if self.must_be_readable { "a file that dauphin can read" } else { "a path" }.to_owned()
    }
}

fn refuse_directory(file: File) -> std::io::Result<()> {
    if file.metadata()?.is_dir() { Err(std::io::ErrorKind::IsADirectory.into()) } else { Ok(()) }
}
