//! The comparison: starts servers and proxies, runs every case on every target in turn, and prints what came of it.

mod budget;
mod case;
mod memory;
mod process;
mod summary;
mod table;
mod target;

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use serde::Serialize;

use crate::{
    load::workload::{ROWS, Workload},
    login::Credentials,
    prepare,
};
use case::Case;
use memory::Memory;
use summary::Grid;
use target::{Running, Scene, Target};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// What to compare; proxysql is left out where it is not installed
    #[arg(long, value_delimiter = ',', default_value = "direct,haproxy,dauphin,proxysql")]
    targets: Vec<Target>,
    /// What to do; everything, if not said
    #[arg(long, value_delimiter = ',')]
    workloads: Vec<Workload>,
    /// How many clients
    #[arg(long, value_delimiter = ',', default_value = "16,64")]
    connections: Vec<usize>,
    /// How often everything is measured
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How long each measurement takes, in seconds
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// How long each warms up before, in seconds
    #[arg(long, default_value_t = 0.3)]
    warm_up: f64,
    /// Point selects at this fixed rate a second too; 0 for none
    #[arg(long, default_value_t = 5000.0)]
    rate: f64,
    /// Numbers of idle sessions to hold, 0 for no measuring of memory; 1000 and 10000 with fake servers, if not said
    #[arg(long, value_delimiter = ',')]
    idle: Option<Vec<usize>>,
    /// One round of a second with 16 clients
    #[arg(long)]
    quick: bool,
    /// Which servers
    #[arg(long, default_value = "fake")]
    server: ServerKind,
    /// The real servers, the primary first
    #[arg(long, value_delimiter = ',', required_if_eq("server", "mysql"))]
    servers: Vec<String>,
    #[command(flatten)]
    credentials: Credentials,
    /// dauphin's own account on the servers
    #[arg(long, default_value = "dauphin")]
    account_user: String,
    /// Its password
    #[arg(long, default_value = "dauphin")]
    account_password: String,
    /// The program to measure
    #[arg(long, default_value = "target/release/dauphin")]
    dauphin: PathBuf,
    /// dauphin's data threads
    #[arg(long, default_value_t = 1)]
    dauphin_threads: usize,
    /// More lines for dauphin's configuration
    #[arg(long)]
    dauphin_config: Option<PathBuf>,
    /// Where everything listens: ports from here on, of 127.0.0.1
    #[arg(long, default_value_t = 23_400)]
    first_port: u16,
    /// Let the kernel choose the cores, instead of one for the proxy and another for load and servers
    #[arg(long)]
    no_pin: bool,
    /// Where configurations and logs go
    #[arg(long)]
    directory: Option<PathBuf>,
    /// Write everything here, too
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ServerKind {
    /// A primary and two replicas that answer from memory
    Fake,
    /// Real ones, see --servers
    Mysql,
}

#[derive(Serialize)]
struct Report<'a> {
    grid: &'a Grid,
    memory: &'a [Memory],
    budget: &'a [budget::Line],
}

impl Arguments {
    /// Our address number `n`.
    fn address(&self, n: u16) -> String {
        format!("127.0.0.1:{}", self.first_port + n)
    }

    fn cases(&self) -> Vec<Case> {
        let all = if self.workloads.is_empty() { Workload::value_variants() } else { &self.workloads };
        let connections: &[usize] = if self.quick { &[16] } else { &self.connections };
        let mut cases = Vec::new();
        for &workload in all {
            for &connections in connections {
                cases.push(Case { workload, connections, rate: None });
            }
            if workload == Workload::TextPointSelect && self.rate > 0.0 {
                cases.push(Case { workload, connections: 16, rate: Some(self.rate) });
            }
        }
        cases
    }

    /// Numbers of idle sessions to hold, none for not measuring memory. Real servers take no thousands by default.
    fn idle(&self) -> Vec<usize> {
        let default =
            if self.server == ServerKind::Fake && !self.quick { vec![1000, 10_000] } else { vec![] };
        let numbers = self.idle.clone().unwrap_or(default);
        numbers.into_iter().filter(|&sessions| sessions > 0).collect()
    }

    fn targets(&self) -> Vec<Target> {
        let installed = |target: &Target| *target != Target::Proxysql || is_installed("proxysql");
        self.targets.iter().copied().filter(installed).collect()
    }
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let targets = arguments.targets();
    ensure!(
        !targets.contains(&Target::Dauphin) || arguments.dauphin.exists(),
        "there is no {}: build it, or leave it out with --targets direct,haproxy",
        arguments.dauphin.display()
    );
    let scene = scene(arguments)?;
    println!("configurations and logs: {}", scene.directory.display());
    let _servers = match arguments.server {
        ServerKind::Fake => Some(scene.start_fake_servers()?),
        ServerKind::Mysql => {
            println!("filling a table of {ROWS} rows");
            prepare::tables(&scene.servers[0], &scene.servers[1..], &scene.credentials)?;
            None
        }
    };
    describe(arguments, &scene);
    let grid = compare(arguments, &scene, &targets)?;
    let memories = memories(arguments, &scene, &targets)?;
    table::print_memory(&memories);
    let budget = budget::lines(&grid, &memories);
    if targets.contains(&Target::Dauphin) {
        table::print_budget(&budget);
    }
    if let Some(file) = &arguments.json {
        let report = Report { grid: &grid, memory: &memories, budget: &budget };
        fs::write(file, serde_json::to_string_pretty(&report)?)
            .with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(())
}

fn scene(arguments: &Arguments) -> Result<Scene> {
    let temporary = || std::env::temp_dir().join(format!("dauphin-bench-{}", std::process::id()));
    let directory = arguments.directory.clone().unwrap_or_else(temporary);
    fs::create_dir_all(&directory).with_context(|| format!("creating {}", directory.display()))?;
    let servers = match arguments.server {
        ServerKind::Fake => (10..13).map(|n| arguments.address(n)).collect(),
        ServerKind::Mysql => arguments.servers.clone(),
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let pinned = !arguments.no_pin && cores > 1;
    Ok(Scene {
        servers,
        credentials: arguments.credentials.clone(),
        directory,
        proxy_core: pinned.then_some(cores - 1),
        load_core: pinned.then_some(0),
    })
}

fn describe(arguments: &Arguments, scene: &Scene) {
    let place = match (scene.proxy_core, scene.load_core) {
        (Some(proxy), Some(load)) => format!("proxy on core {proxy}, load and fake servers on core {load}"),
        _ => "not pinned to cores".into(),
    };
    println!("servers: {}; {place}", scene.servers.join(", "));
    println!(
        "medians of {} rounds of {} s, interleaved; CPU: of the proxy process, per answer; ratios: medians of the \
         rounds' own; spread: largest minus smallest round; waited: for a core that something else was using",
        arguments.rounds(),
        arguments.seconds()
    );
    if let Ok(load) = fs::read_to_string("/proc/loadavg") {
        println!("the machine's load before: {} (what else runs here disturbs)", load.trim_end());
    }
}

impl Arguments {
    fn rounds(&self) -> usize {
        if self.quick { 1 } else { self.rounds.max(1) }
    }

    fn seconds(&self) -> f64 {
        if self.quick { 1.0 } else { self.seconds }
    }
}

fn compare(arguments: &Arguments, scene: &Scene, targets: &[Target]) -> Result<Grid> {
    let mut running: Vec<Running> =
        targets.iter().map(|target| scene.start(*target, arguments)).collect::<Result<_>>()?;
    let mut grid = Grid::default();
    for case in arguments.cases() {
        for round in 0..arguments.rounds() {
            for i in 0..running.len() {
                // Every round starts with another target, so that none is always first.
                let running = &mut running[(i + round) % targets.len()];
                let measured = case::measure(case, running, scene, arguments.seconds(), arguments.warm_up);
                let name = running.target.name();
                match measured {
                    Ok(sample) => grid.add(case, running.target, sample),
                    Err(error) => {
                        println!("! {name}, {}: {error:#}", case.name());
                        revive(running, scene, arguments)?;
                    }
                }
            }
        }
        grid.sort_by_target();
        table::print_case(&grid, case);
    }
    Ok(grid)
}

/// A proxy that has ended is started again, so that it does not take the other figures with it.
fn revive(running: &mut Running, scene: &Scene, arguments: &Arguments) -> Result<()> {
    let Some(process) = &mut running.process else { bail!("the servers have failed") };
    if process.check().is_ok() {
        return Ok(());
    }
    println!("! {} has ended and is started again", running.target.name());
    *running = scene.start(running.target, arguments)?;
    Ok(())
}

fn memories(arguments: &Arguments, scene: &Scene, targets: &[Target]) -> Result<Vec<Memory>> {
    if arguments.idle().is_empty() {
        return Ok(Vec::new());
    }
    let mut memories = Vec::new();
    for &target in targets {
        match memory::measure(target, scene, arguments) {
            Ok(memory) => memories.extend(memory),
            Err(error) => println!("! memory of {}: {error:#}", target.name()),
        }
    }
    Ok(memories)
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}
