//! What a proxy holds: at rest, with idle sessions, and for a slow reader of a large result.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::{
    Arguments,
    process::{self, Process},
    target::{Scene, Target},
};
use crate::limits;

const SETTLING: Duration = Duration::from_millis(800);
const SLOW_READER: Duration = Duration::from_secs(3);

/// What a fresh process of a target holds.
#[derive(Debug, Clone, Serialize)]
pub struct Memory {
    /// Which.
    pub target: Target,
    /// With no session yet but the one that found it ready.
    pub rest_kib: u64,
    /// Idle sessions, and resident memory with them.
    pub idle: Vec<(usize, u64)>,
    /// Processor time per second with the most idle sessions, in milliseconds.
    pub idle_cpu_ms: f64,
    /// The most that a slow reader of 1 GiB added.
    pub slow_reader_kib: u64,
}

impl Memory {
    /// What each idle session adds.
    pub fn per_idle_kib(&self) -> Option<f64> {
        let (sessions, kib) = self.idle.last()?;
        Some((*kib as f64 - self.rest_kib as f64) / *sessions as f64)
    }
}

/// Measures a target in processes of its own.
pub fn measure(target: Target, scene: &Scene, arguments: &Arguments) -> Result<Option<Memory>> {
    let slow_reader_kib = {
        let running = scene.start(target, arguments)?;
        let Some(process) = &running.process else { return Ok(None) };
        slow_reader(process, &running.reads, scene)?
    };
    let running = scene.start(target, arguments)?;
    let Some(process) = &running.process else { return Ok(None) };
    std::thread::sleep(SETTLING);
    let rest_kib = process.resident_kib()?;
    let mut idle = Vec::new();
    let mut holders = Vec::new();
    let mut held = 0;
    for sessions in arguments.idle() {
        // A TCP proxy has a server's connection for each session: two files. The others lend one for a statement only.
        let files_each = if target == Target::Haproxy { 2 } else { 1 };
        let sessions = sessions.min((limits::open_files() as usize - 200) / files_each);
        if sessions <= held {
            continue;
        }
        holders.push(hold(sessions - held, &running.reads, scene)?);
        held = sessions;
        std::thread::sleep(SETTLING);
        idle.push((sessions, process.resident_kib()?));
    }
    let before = process.cpu()?;
    std::thread::sleep(Duration::from_secs(2));
    let idle_cpu_ms = process.cpu()?.since(before).total().as_secs_f64() * 1000.0 / 2.0;
    drop(holders);
    Ok(Some(Memory { target, rest_kib, idle, idle_cpu_ms, slow_reader_kib }))
}

/// A child that ends with its standard input, or with this value.
struct Holder(Child);

impl Drop for Holder {
    fn drop(&mut self) {
        // Fails only if it is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn hold(sessions: usize, target: &str, scene: &Scene) -> Result<Holder> {
    start(&["idle", "--connections", &sessions.to_string()], target, scene)
}

/// The most memory that is added while someone reads 1 GiB slowly.
fn slow_reader(process: &Process, target: &str, scene: &Scene) -> Result<u64> {
    std::thread::sleep(SETTLING);
    let before = process.resident_kib()?;
    let reader = start(&["slow-reader", "--seconds", &SLOW_READER.as_secs_f64().to_string()], target, scene)?;
    let mut most = before;
    let start = std::time::Instant::now();
    while start.elapsed() < SLOW_READER {
        std::thread::sleep(Duration::from_millis(50));
        most = most.max(process.resident_kib()?);
    }
    drop(reader);
    Ok(most - before)
}

/// Starts one of this program's subcommands and waits for its "ready".
fn start(arguments: &[&str], targets: &str, scene: &Scene) -> Result<Holder> {
    let target = targets.split(',').next().unwrap_or(targets);
    let mut command = process::command(&std::env::current_exe()?, scene.load_core);
    command.args(arguments).args(["--target", target]).args(scene.credentials.to_arguments());
    let mut holder = Holder(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?);
    let mut line = String::new();
    let output = holder.0.stdout.as_mut().context("a pipe")?;
    BufReader::new(output).read_line(&mut line)?;
    ensure!(line.trim_end() == "ready", "{} ended early", arguments[0]);
    Ok(holder)
}
