//! Faults on real servers under load, and a checker that holds what clients were told against what the servers have.
//!
//!   cargo test --test faults                       most faults, short; part of `make test`; libtest's arguments
//!   cargo test --test faults -- table [mysql|mariadb] [FAULT...] [--rounds N]      all of them, with medians (scripts/faults)
//!   cargo test --test faults -- demo [mysql|mariadb] [FAULT]                       one round, live on the screen
//!   cargo test --test faults -- soak [mysql|mariadb] [--minutes N] [--seed N]      mixed load and disturbances for long (scripts/soak)
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod check;
#[allow(dead_code)] // what the stories of tests/it use besides
#[path = "../support/cluster.rs"]
mod cluster;
#[allow(dead_code)]
#[path = "../support/dauphin.rs"]
mod dauphin;
mod ending;
mod fault;
mod live;
mod load;
#[allow(dead_code)] // what the simulation draws besides
#[path = "../simulation/random.rs"]
mod random;
#[path = "../support/raw.rs"]
#[allow(dead_code)]
mod raw;
#[path = "../support/reaper.rs"]
mod reaper;
mod round;
mod servers;
mod soak;
mod steps;
mod table;
mod witness;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Parser;
use cluster::Flavour;
use fault::Fault;
use libtest_mimic::{Failed, Trial};
use round::{Manner, Round};

/// Those of `make test` that have servers of their own: [`steps`] plays the others.
fn in_make_test() -> impl Iterator<Item = Fault> {
    Fault::all().filter(|fault| !steps::is_one(*fault))
}

#[derive(Parser)]
#[command(name = "faults")]
enum Arguments {
    /// Plays faults several times each and prints a table of medians.
    Table {
        /// mysql, mariadb or both (default), and names of faults (default: all).
        names: Vec<String>,
        /// How often each is played.
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// Faults last only as long as in `make test`.
        #[arg(long)]
        short: bool,
    },
    /// Plays one fault and shows what happens on the screen.
    Demo {
        /// mysql (default) or mariadb, and the name of a fault (default: kill).
        names: Vec<String>,
    },
    /// Mixed load and disturbances for long: nothing may grow, leak, hang or be answered wrongly.
    Soak {
        /// mysql or mariadb.
        #[arg(default_value = "mysql", value_parser = ["mysql", "mariadb"])]
        flavour: String,
        /// For how long the load runs.
        #[arg(long, default_value_t = 60)]
        minutes: u64,
        /// What is done, and to whom, follows from it; when, and so what comes of it, does not.
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Names the faults.
    List,
}

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("table" | "demo" | "soak" | "list" | "help") => match Arguments::parse() {
            Arguments::Table { names, rounds, short } => {
                Wanted::parse(&names).map_or_else(usage, |wanted| play_all(&wanted, rounds, short))
            }
            Arguments::Demo { names } => Wanted::parse(&names).map_or_else(usage, |wanted| demo(&wanted)),
            Arguments::Soak { flavour, minutes, seed } => {
                let flavour = if flavour == "mysql" { Flavour::MySql } else { Flavour::MariaDb };
                soak::run(flavour, std::time::Duration::from_secs(60 * minutes), seed)
            }
            Arguments::List => {
                Fault::all().for_each(|fault| println!("{:26} {}", fault.name(), fault.sentence()));
                ExitCode::SUCCESS
            }
        },
        _ => tests(),
    }
}

fn usage(mistake: String) -> ExitCode {
    eprintln!("error: {mistake}");
    ExitCode::FAILURE
}

/// Which faults on which servers.
struct Wanted {
    flavours: Vec<Flavour>,
    faults: Vec<Fault>,
}

impl Wanted {
    fn parse(names: &[String]) -> Result<Self, String> {
        let (mut flavours, mut faults) = (Vec::new(), Vec::new());
        for name in names {
            match &name[..] {
                "mysql" => flavours.push(Flavour::MySql),
                "mariadb" => flavours.push(Flavour::MariaDb),
                _ => faults.push(Fault::all().find(|fault| fault.name() == *name).ok_or_else(|| {
                    let known: Vec<_> = Fault::all().map(Fault::name).collect();
                    format!("no fault is called '{name}'; there are mysql, mariadb, and {}", known.join(", "))
                })?),
            }
        }
        if flavours.is_empty() {
            flavours = vec![Flavour::MySql, Flavour::MariaDb];
        }
        if faults.is_empty() {
            faults = Fault::all().collect();
        }
        Ok(Self { flavours, faults })
    }
}

/// One after the other: two clusters at a time would measure each other. The steps at which dauphin can die are judged by what
/// came of them only, and both flavours' are played at once.
fn tests() -> ExitCode {
    let mut arguments = libtest_mimic::Arguments::from_args();
    arguments.test_threads = Some(1);
    let trials = [Flavour::MySql, Flavour::MariaDb].into_iter().flat_map(|flavour| {
        in_make_test().map(move |fault| {
            let name = format!("{}::{}", flavour.name(), fault.name().replace('-', "_"));
            Trial::test(name, move || test(flavour, fault))
        })
    });
    let steps = Trial::test("mysql_and_mariadb::dauphin_killed_at_every_step", steps::test);
    libtest_mimic::run(&arguments, trials.chain([steps]).collect()).exit_code()
}

fn test(flavour: Flavour, fault: Fault) -> Result<(), Failed> {
    let round = play(flavour, fault, Manner::SHORT);
    let round = round.map_err(|error| format!("{error:#}"))?;
    print!("{}", round.report());
    if round.wrong.is_empty() {
        return Ok(());
    }
    Err(format!("{}\ndauphin's log:\n{}", round.wrong.join("\n"), last_lines(&round.log)).into())
}

fn last_lines(log: &str) -> String {
    let lines: Vec<_> = log.lines().filter(|line| !line.contains("DEBUG")).collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

fn play_all(wanted: &Wanted, count: usize, is_short: bool) -> ExitCode {
    let mut went_wrong = 0;
    for &flavour in &wanted.flavours {
        println!("\n{} ({}):\n{}", flavour.name(), flavour.image(), table::head());
        for &fault in &wanted.faults {
            let mut rounds = Vec::new();
            for number in 1..=count {
                eprintln!("==> {} {}, round {number} of {count}", flavour.name(), fault.name());
                match play(flavour, fault, Manner { is_short, ..Manner::SHORT }) {
                    Ok(round) => {
                        eprint!("{}", round.report());
                        went_wrong += usize::from(!round.wrong.is_empty());
                        let name = format!("{}-{}-{number}", flavour.name(), fault.name());
                        let file = keep_log(&name, &round.log);
                        if !round.wrong.is_empty() {
                            eprintln!("  dauphin's log: {}", file.display());
                        }
                        rounds.push(round);
                    }
                    Err(error) => {
                        went_wrong += 1;
                        eprintln!("  NOT PLAYED: {error:#}");
                    }
                }
            }
            println!("{}", table::line(&fault.name(), &rounds));
            let errors = table::errors(&rounds);
            if !errors.is_empty() {
                eprintln!("all errors of {}, {}:\n{errors}", flavour.name(), fault.name());
            }
        }
    }
    println!();
    if went_wrong > 0 {
        println!("{went_wrong} rounds went wrong (see WRONG and NOT PLAYED above)");
        return ExitCode::FAILURE;
    }
    println!("nothing went wrong");
    ExitCode::SUCCESS
}

/// What dauphin logged, for a look at it later: the file that has it.
fn keep_log(name: &str, log: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults");
    let file = directory.join(format!("{name}.log"));
    if let Err(error) = std::fs::create_dir_all(&directory).and_then(|()| std::fs::write(&file, log)) {
        eprintln!("  dauphin's log cannot be kept: {error}");
    }
    file
}

fn demo(wanted: &Wanted) -> ExitCode {
    let (flavour, fault) = match (&wanted.flavours[..], &wanted.faults[..]) {
        ([flavour, ..], [fault, ..]) => (*flavour, *fault),
        _ => (Flavour::MySql, Fault::Kill),
    };
    println!("{}: {}", flavour.name(), fault.sentence());
    match play(flavour, fault, Manner { is_shown: true, ..Manner::SHORT }) {
        Ok(round) => {
            print!("\n{}", round.report());
            ExitCode::from(u8::from(!round.wrong.is_empty()))
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// One round on servers of its own.
fn play(flavour: Flavour, fault: Fault, manner: Manner) -> anyhow::Result<Round> {
    block_on(async {
        let (servers, mut dauphin) = round::fresh(flavour).await?;
        Round::play(&servers, &mut dauphin, fault, manner).await
    })?
}

/// On a runtime of its own: what a round leaves behind ends with it.
fn block_on<T>(what: impl Future<Output = T>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let outcome = runtime.block_on(what);
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    Ok(outcome)
}
