use std::time::Duration;

use super::*;
use crate::control::{Events, KEPT_EVENTS};

/// Removed with what is in it.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("dauphin-trail-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn trail(&self) -> PathBuf {
        self.0.join("state.events.jsonl")
    }

    /// What a dauphin would show that starts here.
    fn started(&self) -> Events {
        let events = Events::default();
        events.keep_in(&self.trail()).unwrap();
        events
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn written(events: &Events) {
    assert!(events.written(Duration::from_secs(20)), "they are written in time");
}

fn shown(events: &Events) -> Vec<(u64, String, Option<String>, String)> {
    events
        .all()
        .into_iter()
        .map(|event| (event.id, event.kind.into_owned(), event.server, event.message))
        .collect()
}

#[test]
fn what_was_before_a_restart_is_shown_after_it_and_the_ids_go_on() {
    let directory = Directory::new("restart");
    let before = directory.started();
    before.record("drained", Some("db2"), "db2 takes no new reads\n(\"by\" admin@h)");
    before.record("paused", None, "it waits");
    written(&before);
    let (first, at) = (shown(&before), before.all()[0].at);
    let after = directory.started();
    assert_eq!(shown(&after), first);
    assert!(after.all()[0].at <= at && at - Duration::from_millis(1) < after.all()[0].at);
    assert!(after.latest(|event| event.kind == "drained").is_none(), "it was not in this run");
    assert!(after.counts().is_empty());
    after.record("resumed", None, "it goes on");
    assert_eq!(after.all().iter().map(|event| event.id).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(after.latest(|_| true).unwrap().kind, "resumed");
    written(&after);
    assert_eq!(shown(&directory.started()), shown(&after));
}

#[test]
fn a_damaged_line_is_left_out_and_what_follows_a_torn_one_is_whole() {
    let directory = Directory::new("damage");
    let before = directory.started();
    for number in 0..3 {
        before.record("test", None, format!("number {number}"));
    }
    written(&before);
    let mut bytes = fs::read(directory.trail()).unwrap();
    let at = bytes.windows(8).position(|part| part == b"number 1").unwrap();
    bytes[at - 3] = 0xff;
    bytes.truncate(bytes.len() - 5);
    fs::write(directory.trail(), bytes).unwrap();
    let after = directory.started();
    assert_eq!(shown(&after).into_iter().map(|event| event.3).collect::<Vec<_>>(), ["number 0"]);
    after.record("test", None, "whole");
    written(&after);
    assert_eq!(shown(&directory.started()), shown(&after));
}

#[test]
fn the_files_do_not_grow_without_end_and_the_latest_are_there() {
    let directory = Directory::new("rotation");
    let (mut last, long) = (0, "x".repeat(20_000));
    // 600 lines are three times what a file holds.
    for _ in 0..3 {
        let events = directory.started();
        for _ in 0..200 {
            events.record("test", None, long.clone());
        }
        written(&events);
        last = events.latest(|_| true).unwrap().id;
    }
    assert_eq!(last, 600);
    let size = |path: PathBuf| fs::metadata(path).unwrap().len();
    let (current, old) = (size(directory.trail()), size(old(&directory.trail())));
    assert!(current <= LONGEST && old <= LONGEST && old > LONGEST - 30_000, "{current} {old}");
    let kept = directory.started().all();
    let ids: Vec<u64> = kept.iter().map(|event| event.id).collect();
    assert_eq!(ids, (ids[0]..=600).collect::<Vec<_>>(), "none is missing in between");
    assert!(ids.len() > 200, "those of the old file are there too");
}

#[test]
fn no_more_than_the_latest_are_loaded() {
    let directory = Directory::new("many");
    for _ in 0..3 {
        let events = directory.started();
        for _ in 0..500 {
            events.record("test", None, "short");
        }
        written(&events);
    }
    let events = directory.started().all();
    assert_eq!((events.len(), events[0].id, events[KEPT_EVENTS - 1].id), (KEPT_EVENTS, 501, 1_500));
}

#[test]
fn whoever_records_waits_for_no_disk_and_what_is_missing_is_counted() {
    // Nobody reads from the queue: a disk that hangs.
    let (queue, notes) = queue();
    let missed = queue.missed.clone();
    let events = Events::default();
    events.inner.lock().queue = Some(queue);
    for number in 0..QUEUE + 7 {
        events.record("test", None, number.to_string());
    }
    assert_eq!(missed.load(Ordering::Relaxed), 7);
    assert!(!events.written(Duration::from_millis(10)), "nobody waits for ever");
    // It goes on.
    let directory = Directory::new("slow");
    let writer = Writer::open(&directory.trail(), old(&directory.trail()), missed.clone()).unwrap();
    let writing = std::thread::spawn(move || writer.run(&notes));
    drop(events);
    writing.join().unwrap();
    assert_eq!(missed.load(Ordering::Relaxed), 0, "it was said");
    assert_eq!(directory.started().all().last().unwrap().id, QUEUE as u64);
}

#[test]
fn a_path_that_cannot_be_written_leaves_the_events_in_memory() {
    let directory = Directory::new("unwritable");
    fs::create_dir(directory.trail()).unwrap();
    let events = Events::default();
    assert!(events.keep_in(&directory.trail()).is_err());
    events.record("test", None, "still shown");
    assert!(events.written(Duration::ZERO), "nothing is to be written");
    assert_eq!(events.all().len(), 1);
}
