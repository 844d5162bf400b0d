//! What must outlive dauphin: the epoch, who is the primary, who was deposed, how far an operation has come, and what an
//! operator has drained or paused. One small file, replaced whole and synced before each step that it speaks of.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::topology::dialect::SourceSettings;

/// What is remembered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// The epoch of the last term; never falls.
    pub epoch: u64,
    /// The last primary's name.
    pub primary: Option<String>,
    /// Servers that were primary, or went their own way, and have not rejoined; with the reason.
    pub quarantined: Vec<(String, String)>,
    /// How primaries of this cluster wait for acknowledgements, while the present one cannot.
    pub semi_sync: Option<SemiSync>,
    /// How the last primary was seen to wait for acknowledgements: its successor is to wait like it, whoever makes it.
    pub waits: Option<SemiSync>,
    /// Of each server: when the incarnation began that was last seen in its place, by its own clock. See `Observed::steady`.
    pub incarnations: BTreeMap<String, u64>,
    /// Replicas whose replication was stopped and could not be started again yet.
    pub frozen: Vec<String>,
    /// A primary that was to be deposed, did not answer, and was not replaced: what it was told it may do yet.
    pub half_fenced: Option<String>,
    /// What tells this dauphin's heartbeat from those of others.
    pub dauphin: Option<String>,
    /// Servers that were discovered: whoever starts next may not be able to ask those that told of them.
    pub discovered: Vec<Discovered>,
    /// The servers that an operator has drained.
    pub drained: Vec<String>,
    /// Whether an operator has paused what goes to the primary.
    pub paused: bool,
    /// What was begun and has not ended.
    pub operation: Option<Operation>,
}

/// `SourceSettings` as written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SemiSync {
    wait_for: u32,
    timeout_ms: u64,
}

impl From<&SourceSettings> for SemiSync {
    fn from(settings: &SourceSettings) -> Self {
        Self { wait_for: settings.wait_for, timeout_ms: settings.timeout.as_millis() as u64 }
    }
}

impl From<&SemiSync> for SourceSettings {
    fn from(written: &SemiSync) -> Self {
        Self { wait_for: written.wait_for, timeout: Duration::from_millis(written.timeout_ms) }
    }
}

/// A server that is not in the config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discovered {
    /// Where it is; also its name.
    pub address: String,
    /// What tells it from others, as `Report::identity`.
    pub identity: String,
}

impl Record {
    /// Whether something is known of this server that must not be forgotten while it does not answer.
    pub fn depends_on(&self, name: &str) -> bool {
        let is_it = |other: &String| other == name;
        let of_operation = |operation: &Operation| {
            operation.old == name
                || operation.new.as_ref().is_some_and(is_it)
                || operation.stopped.iter().any(is_it)
        };
        self.primary.as_ref().is_some_and(is_it)
            || self.half_fenced.as_ref().is_some_and(is_it)
            || self.frozen.iter().any(is_it)
            || self.quarantined.iter().any(|(quarantined, _)| is_it(quarantined))
            || self.operation.as_ref().is_some_and(of_operation)
    }
}

/// A change of the primary that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Whether it was planned.
    pub planned: bool,
    /// Who was the primary.
    pub old: String,
    /// Who becomes it; set when there is no way back.
    pub new: Option<String>,
    /// Whose replication was stopped for it.
    pub stopped: Vec<String>,
}

/// The file, held by this dauphin alone.
#[derive(Debug)]
pub struct Journal {
    place: Place,
    record: Record,
}

/// Where it is kept.
#[derive(Debug)]
enum Place {
    /// A file; the lock beside it is held as long as it is open.
    File { path: PathBuf, _lock: File },
    /// With somebody who outlives this dauphin.
    Memory(Arc<Mutex<Record>>),
}

impl Journal {
    /// Opens the file, or begins it.
    ///
    /// # Errors
    /// It cannot be written, is not readable as a journal, or another dauphin has it.
    pub fn open(path: &Path) -> io::Result<Self> {
        let because = |what: &str, error: io::Error| {
            io::Error::new(error.kind(), format!("{what} {}: {error}", path.display()))
        };
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(|error| because("creating the directory of", error))?;
        }
        let lock_path = path.with_extension("lock");
        let lock = File::create(&lock_path).map_err(|error| because("creating the lock beside", error))?;
        lock.try_lock()
            .map_err(|_| because("locking", io::Error::other("another dauphin has it; give each its own")))?;
        let record = match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| because("reading", io::Error::new(io::ErrorKind::InvalidData, error)))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Record::default(),
            Err(error) => return Err(because("reading", error)),
        };
        let mut journal =
            Self { place: Place::File { path: path.to_owned(), _lock: lock }, record: record.clone() };
        journal.write(record).map_err(|error| because("writing", error))?;
        Ok(journal)
    }

    /// One that is forgotten with this process.
    pub fn in_memory() -> Self {
        Self::kept_by(Arc::default())
    }

    /// One that `keeper` has as a disk would: the next may go on from it. For simulations.
    pub fn kept_by(keeper: Arc<Mutex<Record>>) -> Self {
        let record = keeper.lock().clone();
        Self { place: Place::Memory(keeper), record }
    }

    /// What was last written.
    pub const fn record(&self) -> &Record {
        &self.record
    }

    /// Changes what is remembered; on disk when this returns.
    ///
    /// # Errors
    /// It cannot be written; then nothing has changed.
    pub fn change(&mut self, change: impl FnOnce(&mut Record)) -> io::Result<()> {
        let mut record = self.record.clone();
        change(&mut record);
        if record == self.record { Ok(()) } else { self.write(record) }
    }

    fn write(&mut self, record: Record) -> io::Result<()> {
        match &self.place {
            Place::Memory(keeper) => keeper.lock().clone_from(&record),
            Place::File { path, .. } => {
                let beside = path.with_extension("new");
                let mut file = File::create(&beside)?;
                file.write_all(&serde_json::to_vec_pretty(&record).map_err(io::Error::other)?)?;
                file.sync_all()?;
                fs::rename(&beside, path)?;
                if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
                    File::open(directory)?.sync_all()?;
                }
            }
        }
        self.record = record;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_by_the_next_and_held_by_one() {
        let directory = std::env::temp_dir().join(format!("dauphin-journal-{}", std::process::id()));
        let path = directory.join("state.json");
        let mut journal = Journal::open(&path).unwrap();
        journal.change(|record| (record.epoch, record.primary) = (7, Some("db2".into()))).unwrap();
        let refused = Journal::open(&path).unwrap_err();
        assert!(refused.to_string().contains("another dauphin"), "{refused}");
        drop(journal);
        assert_eq!(Journal::open(&path).unwrap().record().epoch, 7);
        fs::write(&path, "{").unwrap();
        assert!(Journal::open(&path).unwrap_err().to_string().contains("state.json"));
        fs::remove_dir_all(directory).unwrap();
    }
}
