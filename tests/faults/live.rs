//! The live display: a line for every 200 ms of the load.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio::{task::JoinHandle, time};

use crate::{load::Counts, witness::Witness};

const EVERY: Duration = Duration::from_millis(200);

/// Prints until it is dropped.
pub struct Display {
    started: Instant,
    printing: JoinHandle<()>,
}

impl Display {
    pub fn start(counts: Arc<Counts>, witness: &Witness) -> Self {
        let (started, writable) = (Instant::now(), witness.watch());
        println!("{:>7}  {:>8}  {:>8}  {:>7}  takes writes", "time", "writes/s", "reads/s", "errors");
        let printing = tokio::spawn(async move {
            let mut tick = time::interval_at(time::Instant::now() + EVERY, EVERY);
            let (mut before, mut at) = ([0; 3], started);
            loop {
                tick.tick().await;
                let now =
                    [&counts.writes, &counts.reads, &counts.errors].map(|it| it.load(Ordering::Relaxed));
                let seconds = at.elapsed().as_secs_f64();
                let rate = |of: usize| (now[of] - before[of]) as f64 / seconds;
                println!(
                    "{:6.1}s  {:8.0}  {:8.0}  {:7}  {}",
                    started.elapsed().as_secs_f64(),
                    rate(0),
                    rate(1),
                    now[2] - before[2],
                    writable.names()
                );
                (before, at) = (now, Instant::now());
            }
        });
        Self { started, printing }
    }

    /// A line of its own.
    pub fn say(&self, what: &str) {
        println!("{:6.1}s  === {what} ===", self.started.elapsed().as_secs_f64());
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.printing.abort();
    }
}
