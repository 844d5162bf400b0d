//! One measurement: a workload on a target, and what both cost.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::{
    process::{self, Cpu},
    target::{Running, Scene},
};
use crate::load::{Outcome, workload::Workload};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Case {
    /// The statements.
    pub workload: Workload,
    /// How many clients.
    pub connections: usize,
    /// Statements a second, all together; `None` for as many as can be.
    pub rate: Option<f64>,
}

/// What one round brought.
#[derive(Debug, Clone, Serialize)]
pub struct Sample {
    /// What the clients saw.
    pub outcome: Outcome,
    /// How long it took, all in all.
    pub seconds: f64,
    /// What the proxy used meanwhile.
    pub cpu: Option<Cpu>,
}

impl Case {
    /// For people.
    pub fn name(&self) -> String {
        let rate = self.rate.map(|rate| format!(" at {rate:.0}/s")).unwrap_or_default();
        format!("{}{rate}, {} connections", self.workload.name(), self.connections)
    }
}

impl Sample {
    /// Processor time per answer in microseconds.
    pub fn cpu_us(&self, of: impl Fn(Cpu) -> std::time::Duration) -> Option<f64> {
        let cpu = of(self.cpu?).as_secs_f64() * 1e6;
        (self.outcome.answers > 0).then(|| cpu / self.outcome.answers as f64)
    }
}

/// Runs one round. The logins come before the proxy's clock starts, except where they are the workload.
pub fn measure(
    case: Case,
    running: &mut Running,
    scene: &Scene,
    seconds: f64,
    warm_up: f64,
) -> Result<Sample> {
    let target = if case.workload.writes() { &running.writes } else { &running.reads };
    let mut load = Load::start(case, target, scene, seconds, warm_up)?;
    let cpu = |running: &Running| running.process.as_ref().map(|process| process.cpu()).transpose();
    let (start, before) = (Instant::now(), cpu(running)?);
    load.go()?;
    let line = load.line()?;
    let outcome = serde_json::from_str(&line).with_context(|| format!("the load said {line:?}"))?;
    let (seconds, after) = (start.elapsed().as_secs_f64(), cpu(running)?);
    load.go()?;
    if let Some(process) = &mut running.process {
        process.check()?;
    }
    Ok(Sample { outcome, seconds, cpu: after.zip(before).map(|(after, before)| after.since(before)) })
}

/// `dauphin-bench load` in a process of its own.
struct Load {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Load {
    fn start(case: Case, target: &str, scene: &Scene, seconds: f64, warm_up: f64) -> Result<Self> {
        let mut command = process::command(&std::env::current_exe()?, scene.load_core);
        command.args(["load", "--json", "--wait", "--target", target]);
        command.args(["--workload", &case.workload.name(), "--connections", &case.connections.to_string()]);
        command.args(["--seconds", &seconds.to_string(), "--warm-up", &warm_up.to_string()]);
        command.args(scene.credentials.to_arguments());
        if let Some(rate) = case.rate {
            command.args(["--rate", &rate.to_string()]);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = child.stdin.take().context("a pipe")?;
        let output = BufReader::new(child.stdout.take().context("a pipe")?);
        let mut load = Self { child, input, output };
        match load.line()?.as_str() {
            "ready" => Ok(load),
            other => bail!("the load said {other:?}"),
        }
    }

    fn go(&mut self) -> Result<()> {
        Ok(self.input.write_all(b"\n")?)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            bail!("the load ended early: {}", self.child.wait()?);
        }
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let ended = (0..200).any(|_| {
            let ended = matches!(self.child.try_wait(), Ok(Some(_)));
            if !ended {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            ended
        });
        if !ended {
            // Fails only if it is gone already.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
