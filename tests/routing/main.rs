//! Session scripts, direct and through dauphin, on real MySQL and real MariaDB: each answer must be the same, and each step
//! must run where it may, by the servers' own general logs. README.md has the format of the scripts and the known differences.
//!
//!   cargo test --test routing                           all scripts on both; libtest's arguments
//!   cargo test --test routing mysql                     on one flavour
//!   DAUPHIN_ROUTING_SCRIPT=5 cargo test --test routing  the scripts whose names begin so
//!   DAUPHIN_ROUTING_WHY=1 cargo test --test routing     says why the primary served what a replica might have
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod answer;
#[allow(dead_code)] // what the stories of tests/it use besides
#[path = "../support/cluster.rs"]
mod cluster;
#[allow(dead_code)]
#[path = "../support/dauphin.rs"]
mod dauphin;
mod judge;
#[allow(dead_code)]
#[path = "../support/raw.rs"]
mod raw;
#[path = "../support/reaper.rs"]
mod reaper;
mod script;
mod session;
mod witness;

use std::{
    net::SocketAddr,
    path::Path,
    process::ExitCode,
    sync::{LazyLock, Mutex},
    time::Instant,
};

use answer::Dialect;
use anyhow::{Context as _, Result, ensure};
use cluster::{Cluster, Flavour};
use dauphin::Dauphin;
use judge::Verdict;
use libtest_mimic::{Failed, Trial};
use mysql_async::prelude::Queryable as _;
use script::Script;
use session::{Played, play};
use witness::Witness;

/// Of the steps that replicas may serve, replicas must serve this share, in percent.
const LEAST_SHARE: usize = 97;

/// Every script is played once in each of these ways; a delay is not taken back.
#[derive(Debug, Clone, Copy)]
struct Manner {
    name: &'static str,
    dialect: Dialect,
    /// How many seconds db3 is behind.
    delay: u32,
    /// For dauphin, as in its config file.
    options: &'static str,
}

const MANNERS: [Manner; 2] = [
    // A busy machine must not look like a wrong decision: replicas get the time that they need for what was just written.
    Manner { name: "", dialect: Dialect::Eof, delay: 0, options: "routing.causal_wait = \"3s\"" },
    Manner { name: ", db3 delayed by 3 s", dialect: Dialect::Ok, delay: 3, options: "" },
];

static TABLE: Mutex<Vec<String>> = Mutex::new(Vec::new());

static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build().expect("a runtime starts")
});

fn main() -> ExitCode {
    let arguments = libtest_mimic::Arguments::from_args();
    let trials = [Flavour::MySql, Flavour::MariaDb]
        .map(|flavour| Trial::test(flavour.name(), move || RUNTIME.block_on(test(flavour))));
    let conclusion = libtest_mimic::run(&arguments, trials.into());
    TABLE.lock().expect("nothing panics in here").iter().for_each(|line| println!("{line}"));
    conclusion.exit_code()
}

/// All scripts on one flavour's servers.
async fn test(flavour: Flavour) -> Result<(), Failed> {
    let mut wrong = Vec::new();
    for (manner, verdict, seconds) in judged(flavour).await.map_err(|error| format!("{error:#}"))? {
        report(flavour, manner, &verdict, seconds);
        if manner.delay == 0 && verdict.on_replicas * 100 < verdict.replica_safe * LEAST_SHARE {
            wrong.push(format!("less than {LEAST_SHARE} % of what replicas may serve ran there"));
        }
        let lists = [("violation", verdict.violations), ("wrong answer", verdict.wrong_answers)];
        for (what, list) in lists {
            wrong.extend(list.into_iter().map(|one| format!("{what}{}: {one}", manner.name)));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

/// The closing table's line, and what should have run on replicas and did not.
fn report(flavour: Flavour, manner: Manner, verdict: &Verdict, seconds: f64) {
    let mut table = TABLE.lock().expect("nothing panics in here");
    table.push(format!(
        "{}{}: {} steps, {} violations, {} wrong answers, {} of {} replica-safe steps ran on replicas ({:.1} %), {seconds:.1} s",
        flavour.name(),
        manner.name,
        verdict.steps,
        verdict.violations.len(),
        verdict.wrong_answers.len(),
        verdict.on_replicas,
        verdict.replica_safe,
        100.0 * verdict.on_replicas as f64 / verdict.replica_safe.max(1) as f64,
    ));
    // Behind a delayed replica it is often the lag; whoever asks gets the list with reasons.
    if manner.delay > 0 && !wants_reasons() {
        return;
    }
    table.extend(verdict.on_primary.iter().map(|step| format!("  on the primary: {step}")));
}

fn wants_reasons() -> bool {
    std::env::var_os("DAUPHIN_ROUTING_WHY").is_some()
}

async fn judged(flavour: Flavour) -> Result<Vec<(Manner, Verdict, f64)>> {
    let scripts = scripts(flavour)?;
    let cluster = Cluster::start(flavour, "routing").await?;
    let mut judged = Vec::new();
    for manner in MANNERS {
        let start = Instant::now();
        let primary = SocketAddr::new(cluster.primary().address(), 3306);
        new_schemas(&cluster, &scripts).await?;
        let mut direct = Vec::new();
        for script in &scripts {
            let played = play(script, primary, manner.dialect, false).await;
            direct.push(played.with_context(|| format!("{}, direct", script.name))?);
        }
        new_schemas(&cluster, &scripts).await?;
        if manner.delay > 0 {
            delay(&cluster, manner.delay).await?;
        }
        let dauphin = Dauphin::start(&cluster, manner.options).await;
        let verdict = through(&cluster, &dauphin, &scripts, &direct, manner.dialect).await?;
        judged.push((manner, verdict, start.elapsed().as_secs_f64()));
    }
    Ok(judged)
}

async fn through(
    cluster: &Cluster,
    dauphin: &Dauphin,
    scripts: &[Script],
    direct: &[Vec<Played>],
    dialect: Dialect,
) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    let mut all = Vec::new();
    for script in scripts {
        let played = play(script, dauphin.address, dialect, wants_reasons()).await;
        all.push(played.with_context(|| format!("{}, through dauphin", script.name))?);
    }
    let witness = Witness::ask(cluster).await?;
    for ((script, direct), through) in scripts.iter().zip(direct).zip(&all) {
        verdict += Verdict::of(script, direct, through, &witness)?;
    }
    Ok(verdict)
}

fn scripts(flavour: Flavour) -> Result<Vec<Script>> {
    let wanted = std::env::var("DAUPHIN_ROUTING_SCRIPT").unwrap_or_default();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/routing/scripts");
    let mut files: Vec<_> =
        std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    files.sort();
    files.retain(|file| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&wanted)));
    ensure!(!files.is_empty(), "no script's name begins with '{wanted}'");
    files.iter().map(|file| Script::read(file, flavour)).collect()
}

/// Every script begins in a schema of its own that has nothing in it.
async fn new_schemas(cluster: &Cluster, scripts: &[Script]) -> Result<()> {
    let mut primary = cluster.primary().admin().await?;
    for script in scripts {
        let schema = script.schema();
        for schema in [format!("{schema}_other"), schema] {
            primary.query_drop(format!("DROP DATABASE IF EXISTS {schema}")).await?;
            primary.query_drop(format!("CREATE DATABASE {schema}")).await?;
        }
    }
    cluster.replicated().await
}

/// Lets db3 apply what it receives that many seconds later.
async fn delay(cluster: &Cluster, seconds: u32) -> Result<()> {
    let change = match cluster.flavour {
        Flavour::MySql => format!("CHANGE REPLICATION SOURCE TO SOURCE_DELAY = {seconds}"),
        Flavour::MariaDb => format!("CHANGE MASTER TO MASTER_DELAY = {seconds}"),
    };
    let mut replica = cluster.nodes[2].admin().await?;
    for statement in ["STOP REPLICA", &change, "START REPLICA"] {
        replica.query_drop(statement).await.with_context(|| statement.to_owned())?;
    }
    Ok(())
}
