//! The events on disk: a JSON line for each, so that the next dauphin shows what was before it.
//!
//! A thread of its own writes them: whoever records an event waits for no disk. They are not synced: what a dauphin that is
//! killed has written stays, of a machine that loses power the last seconds may be missing.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
};

use super::Event;

/// When the file is this long, in bytes, it becomes the old one, and a new one is begun.
const LONGEST: u64 = 4 << 20;
/// How many events may wait to be written.
const QUEUE: usize = 1_024;

/// Where events go to be written.
#[derive(Debug)]
pub(super) struct Queue {
    notes: SyncSender<Note>,
    missed: Arc<AtomicU64>,
}

enum Note {
    Event(Event),
    /// All before it has been written, or could not be.
    Reached(SyncSender<()>),
}

/// The latest `at_most` events of the file and its predecessor, oldest first; and where the next ones go.
///
/// # Errors
/// The file cannot be read, or not be written.
pub(super) fn open(path: &Path, at_most: usize) -> io::Result<(Vec<Event>, Queue)> {
    let old = old(path);
    let (mut events, mut damaged) = read(path)?;
    if events.len() < at_most {
        let (before, damaged_before) = read(&old)?;
        events.splice(0..0, before);
        damaged += damaged_before;
    }
    events.drain(..events.len().saturating_sub(at_most));
    if damaged > 0 {
        tracing::warn!(
            path = %path.display(),
            damaged,
            "lines of the event trail are no events, and are left out; a dauphin that was killed while it wrote leaves one"
        );
    }
    let (queue, notes) = queue();
    let writer = Writer::open(path, old, queue.missed.clone())?;
    std::thread::Builder::new().name("dauphin-events".to_owned()).spawn(move || writer.run(&notes))?;
    Ok((events, queue))
}

/// `state.events.jsonl` becomes `state.events.old.jsonl`.
fn old(path: &Path) -> PathBuf {
    path.with_extension("old.jsonl")
}

/// The events of a file, and how many of its lines are none; of one that is not there, none.
fn read(path: &Path) -> io::Result<(Vec<Event>, usize)> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), 0)),
        Err(error) => return Err(error),
    };
    // Somebody else may have made it longer than it gets here.
    let skipped = file.metadata()?.len().saturating_sub(2 * LONGEST);
    file.seek(SeekFrom::Start(skipped))?;
    let mut bytes = Vec::new();
    file.take(2 * LONGEST).read_to_end(&mut bytes)?;
    let (mut events, mut damaged) = (Vec::new(), 0);
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
        match serde_json::from_slice(line) {
            Ok(event) => events.push(event),
            Err(_) => damaged += 1,
        }
    }
    Ok((events, damaged))
}

fn queue() -> (Queue, Receiver<Note>) {
    let (notes, receiver) = sync_channel(QUEUE);
    (Queue { notes, missed: Arc::default() }, receiver)
}

impl Queue {
    /// Has an event written, soon; one for which there is no room is counted, and that is said.
    pub(super) fn put(&self, event: &Event) {
        if self.notes.try_send(Note::Event(event.clone())).is_err() {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What is told when all that was put has been written, or could not be; `None` if there is no room to ask.
    pub(super) fn reached(&self) -> Option<Receiver<()>> {
        let (sender, reached) = sync_channel(1);
        self.notes.try_send(Note::Reached(sender)).is_ok().then_some(reached)
    }
}

struct Writer {
    path: PathBuf,
    old: PathBuf,
    file: File,
    bytes: u64,
    /// Whether the last line may lack its end.
    is_torn: bool,
    /// How many events in succession could not be written.
    failed: u64,
    missed: Arc<AtomicU64>,
}

impl Writer {
    fn open(path: &Path, old: PathBuf, missed: Arc<AtomicU64>) -> io::Result<Self> {
        let file = append_to(path)?;
        let bytes = file.metadata()?.len();
        let is_torn = bytes > 0 && !ends_a_line(path)?;
        Ok(Self { path: path.to_owned(), old, file, bytes, is_torn, failed: 0, missed })
    }

    fn run(mut self, notes: &Receiver<Note>) {
        while let Ok(note) = notes.recv() {
            match note {
                Note::Event(event) => self.put(&event),
                Note::Reached(reached) => _ = reached.send(()),
            }
            let missed = self.missed.swap(0, Ordering::Relaxed);
            if missed > 0 {
                let path = self.path.display();
                tracing::warn!(%path, missed, "events are missing in the trail, since the disk was too slow for them");
            }
        }
    }

    fn put(&mut self, event: &Event) {
        let done = self.append(event);
        let path = self.path.display();
        match done {
            Ok(()) if self.failed == 0 => {}
            Ok(()) => {
                tracing::warn!(%path, missing = self.failed, "events are written to the trail again");
                self.failed = 0;
            }
            Err(error) => {
                if self.failed == 0 {
                    tracing::warn!(
                        %path,
                        %error,
                        "an event cannot be written to the trail, and a restart will forget it: see to room and permissions; \
                         the next one is tried again"
                    );
                }
                self.failed += 1;
            }
        }
    }

    fn append(&mut self, event: &Event) -> io::Result<()> {
        let mut line = serde_json::to_vec(event).map_err(io::Error::other)?;
        line.push(b'\n');
        if self.bytes > 0 && self.bytes + line.len() as u64 > LONGEST {
            self.begin_another()?;
        }
        if self.is_torn {
            line.insert(0, b'\n');
        }
        self.is_torn = true;
        self.file.write_all(&line)?;
        self.is_torn = false;
        self.bytes += line.len() as u64;
        Ok(())
    }

    fn begin_another(&mut self) -> io::Result<()> {
        match fs::rename(&self.path, &self.old) {
            // It was done before, and then no new one could be begun.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            done => done?,
        }
        self.file = append_to(&self.path)?;
        (self.bytes, self.is_torn) = (0, false);
        Ok(())
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

fn ends_a_line(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// A time as people and scripts read it: RFC 3339, UTC, to the millisecond.
pub(super) mod rfc3339 {
    use std::{borrow::Cow, time::SystemTime};

    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(crate) fn serialize<S: Serializer>(at: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&humantime::format_rfc3339_millis(*at))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SystemTime, D::Error> {
        let text = Cow::<str>::deserialize(from)?;
        humantime::parse_rfc3339(&text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests;
