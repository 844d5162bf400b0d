//! Processes under observation: started on their core, asked what they cost, gone when dropped.

use std::{
    fs::{self, File},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// A process that ends with this value, or with this program.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
}

/// Processor time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Cpu {
    /// In user space.
    pub user: Duration,
    /// In the kernel on the process's behalf.
    pub system: Duration,
    /// Not used but waited for, ready to run: on a core of its own, what others took from it.
    pub waited: Duration,
}

impl Cpu {
    /// What was used.
    pub fn total(self) -> Duration {
        self.user + self.system
    }

    /// What was used since `earlier`.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
            waited: self.waited.saturating_sub(earlier.waited),
        }
    }
}

/// The command for a program on a core (any, if `None`); it is killed when this program's main thread ends.
pub fn command(program: &Path, core: Option<usize>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if let Some(core) = core {
        command.args(["taskset", "-c", &core.to_string()]);
    }
    command.arg(program);
    command
}

impl Process {
    /// Starts a server whose output goes to `log`.
    pub fn start(command: &mut Command, name: &str, log: &Path) -> Result<Self> {
        let output = File::create(log).with_context(|| format!("creating {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().with_context(|| format!("starting {name}"))?;
        Ok(Self { child, name: name.to_owned() })
    }

    /// An error if the process has ended.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("{} has ended: {status}", self.name),
            None => Ok(()),
        }
    }

    /// Processor time so far, with its descendants'.
    pub fn cpu(&self) -> Result<Cpu> {
        let mut total = Cpu::default();
        for pid in family(self.child.id())? {
            let stat = Stat::of(pid).with_context(|| format!("asking after {}", self.name))?;
            total.user += stat.cpu.user;
            total.system += stat.cpu.system;
            total.waited += waited(pid);
        }
        Ok(total)
    }

    /// Resident memory in KiB, with its descendants'.
    pub fn resident_kib(&self) -> Result<u64> {
        let mut total = 0;
        for pid in family(self.child.id())? {
            let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
            total += line.trim().trim_end_matches(" kB").parse::<u64>()?;
        }
        Ok(total)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails only if it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The second figure of `schedstat` of all threads, in nanoseconds; nothing where the kernel does not count it.
fn waited(pid: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let waited = tasks.filter_map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').nth(1)?.parse::<u64>().ok()
    });
    Duration::from_nanos(waited.sum())
}

/// A process and all that descend from it.
fn family(root: u32) -> Result<Vec<u32>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if let Ok(stat) = Stat::of(pid) {
            parents.push((pid, stat.parent));
        }
    }
    let mut found = vec![root];
    let mut at = 0;
    while at < found.len() {
        let parent = found[at];
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    Ok(found)
}

/// What proc(5) calls `/proc/pid/stat`.
#[derive(Debug, PartialEq)]
struct Stat {
    parent: u32,
    cpu: Cpu,
}

impl Stat {
    fn of(pid: u32) -> Result<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat"))?).context("an unreadable /proc/pid/stat")
    }

    /// The name, in parentheses, may hold anything; the fields behind it count from the third, the state.
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let ticks =
            |n: u64| Duration::from_secs_f64(n as f64 / rustix::param::clock_ticks_per_second() as f64);
        let cpu = Cpu { user: ticks(field(14)?), system: ticks(field(15)?), waited: Duration::ZERO };
        Some(Self { parent: field(4)? as u32, cpu })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_a_strange_name_is_read() {
        let text = "42 (a) S (b)) R 7 42 42 0 -1 4194304 100 0 0 0 150 50 9 9 20 0 1 0 1000 0 0";
        let (user, system) = (Duration::from_millis(1500), Duration::from_millis(500));
        let cpu = Cpu { user, system, waited: Duration::ZERO };
        assert_eq!(Stat::parse(text), Some(Stat { parent: 7, cpu }));
        assert_eq!(cpu.total(), Duration::from_secs(2));
    }

    #[test]
    fn children_belong_to_the_family() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 5 & sleep 5; true"]);
        let log = std::env::temp_dir().join(format!("dauphin-bench-test-{}", std::process::id()));
        let process = Process::start(&mut command, "a shell", &log).expect("a shell");
        let started = std::time::Instant::now();
        while family(process.child.id()).expect("a family").len() < 3 {
            assert!(started.elapsed() < Duration::from_secs(4), "no children");
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(process.resident_kib().expect("memory") > 0);
        let pids = family(process.child.id()).expect("a family");
        drop(process);
        for pid in &pids[1..] {
            let pid = rustix::process::Pid::from_raw(*pid as i32).expect("not 0");
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        let _ = fs::remove_file(log);
    }
}
