//! The soak: mixed load for long, with disturbances at random, and whether anything grew, leaked, hung or was answered wrongly.

mod client;
mod disturb;
mod measure;
mod vanish;
mod work;
mod world;

use std::{
    collections::HashSet,
    process::ExitCode,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, Result};
use client::{Client, KEYS};
use disturb::Disturber;
use measure::Sample;
use mysql_async::prelude::Queryable as _;
use tokio::{task::JoinSet, time::sleep};
use world::World;

use crate::{
    block_on,
    check::Rows,
    cluster::{Flavour, options},
    dauphin::Dauphin,
    ending::Ending,
    keep_log,
    servers::{BinaryLog, Servers},
};

const CLIENTS: u32 = 24;
/// Idle connections end soon, so that one that does not shows; the caches are full before the memory is compared; a switchover
/// that cannot be says so soon.
const OPTIONS: &str = "pool.idle_timeout = \"3s\"\npool.linger_warnings = \"3s\"\ncache.classifications = 2000\n\
    log.level = \"info\"\nfailover.apply_timeout = \"15s\"";
/// All that a session may leave has gone after this.
const QUIET: Duration = Duration::from_secs(30);

/// What the load needs besides [`crate::servers`]' own table. `scratch` is for those who vanish.
const TABLES: &str = "CREATE TABLE app_faults.own (client INT, k INT, v BIGINT NOT NULL, PRIMARY KEY (client, k));
    CREATE TABLE app_faults.numbers (n INT PRIMARY KEY);
    INSERT INTO app_faults.numbers WITH RECURSIVE r AS (SELECT 0 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 999)
      SELECT n FROM r;
    CREATE TABLE app_faults.loaded (client INT, x BIGINT, PRIMARY KEY (client, x));
    CREATE TABLE app_faults.scratch (id BIGINT AUTO_INCREMENT PRIMARY KEY, client INT NOT NULL, text VARCHAR(100));
    INSERT INTO app_faults.scratch (client, text) VALUES (0, '')";

/// Plays it and says what came of it; fails if something was wrong.
pub fn run(flavour: Flavour, lasts: Duration, seed: Option<u64>) -> ExitCode {
    let seed = seed.unwrap_or_else(|| {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
    });
    println!("{} ({}), {} s, --seed {seed}", flavour.name(), flavour.image(), lasts.as_secs());
    match block_on(play(flavour, lasts, seed)).and_then(|played| played) {
        Ok(0) => {
            println!("nothing went wrong");
            ExitCode::SUCCESS
        }
        Ok(wrong) => {
            println!("{wrong} things went wrong: see WRONG above");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// How many things went wrong.
async fn play(flavour: Flavour, lasts: Duration, seed: u64) -> Result<u64> {
    let servers = Servers::start(flavour, &format!("soak-{}", flavour.name()), BinaryLog::ROLLING).await?;
    servers.nodes[0].sql(TABLES).await?;
    let keys: Vec<_> = (0..KEYS).map(|key| format!("SELECT {key} AS k")).collect();
    let own = format!(
        "INSERT INTO app_faults.own SELECT n, k, 0 FROM app_faults.numbers JOIN ({}) a WHERE n < {CLIENTS}",
        keys.join(" UNION ALL ")
    );
    servers.nodes[0].sql(&own).await?;
    let length: Option<u64> =
        servers.nodes[0].root().await?.query_first("SELECT @@group_concat_max_len").await?;
    Ending::wait(&servers).await;
    let dauphin = Dauphin::start_for(&servers.addresses(), OPTIONS).await;
    sleep(Duration::from_secs(5)).await;
    let before = Sample::take(&servers, &dauphin).await;
    println!("before the load: {before}");

    let login = options("127.0.0.1".to_owned(), dauphin.address.port(), "app", "app");
    let login = login.db_name(Some("app_faults"));
    let world = Arc::new(World::new(dauphin.address, login, length.context("one row")?, CLIENTS));
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(Client::new(number, seed, world.clone()).run());
    }
    let until = Instant::now() + lasts;
    let disturber = Disturber::new(&world, &servers, &dauphin, seed);
    let (samples, disturbances) =
        tokio::join!(measure::watch(&world, &servers, &dauphin, until), disturber.run(until));
    world.stop.store(true, Ordering::Relaxed);
    let mut ended = Vec::new();
    while let Some(client) = clients.join_next().await {
        match client {
            Ok(client) => ended.push(client),
            Err(error) => world.wrong(format!("a client: {error}")),
        }
    }
    let after = measure::settled(&servers, &dauphin, &before, QUIET).await;
    judge_measures(&world, &samples, &before, &after);
    if !after.left_over(&before).is_empty() {
        println!("connections at the servers:\n{}", measure::listing(&servers).await?);
    }
    judge_rows(&world, &servers, &ended).await?;

    let load = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
    println!("{} answers, the slowest after {} ms", load(&world.answers), load(&world.slowest_ms));
    println!("errors: {}", world.errors());
    println!("disturbances: {} x clients that vanished, {disturbances}", load(&world.vanished));
    let name = format!("soak-{}", flavour.name());
    println!("dauphin's log: {}", keep_log(&name, &dauphin.log()).display());
    Ok(world.wrong_count())
}

fn judge_measures(world: &World, samples: &[Sample], before: &Sample, after: &Sample) {
    match measure::memory(samples) {
        Some((early, late, is_flat)) => {
            println!("memory: {early:.1} MiB in the second fifth, {late:.1} MiB in the last");
            if !is_flat {
                world.wrong(format!("memory grew from {early:.1} to {late:.1} MiB"));
            }
        }
        None => println!("memory: not compared, for that was too short"),
    }
    println!("before the load: {before}");
    println!("after the load:  {after}");
    for left in after.left_over(before) {
        world.wrong(format!("left {QUIET:?} after the load: {left}"));
    }
}

/// Holds what the servers have against what the clients were told.
async fn judge_rows(world: &World, servers: &Servers, clients: &[Client]) -> Result<()> {
    let ending = Ending::wait(servers).await;
    for wrong in ending.wrong {
        world.wrong(wrong);
    }
    for left_out in ending.left_out {
        world.wrong(format!("left out: {left_out}"));
    }
    let (mut lost, mut extra, mut written) = (0, 0, 0);
    for client in clients {
        let (client_lost, client_extra) = compare(&ending.rows, client);
        (lost, extra, written) = (lost + client_lost, extra + client_extra, written + client.inserted.len());
    }
    println!("{written} rows inserted: {lost} lost, {extra} there twice or though they were refused");
    if lost + extra > 0 {
        world.wrong(format!("{lost} rows lost, {extra} too many"));
    }
    for node in &servers.nodes {
        let mut root = node.root().await?;
        let own: Vec<(u32, usize, u64)> = root.query("SELECT client, k, v FROM app_faults.own").await?;
        for client in clients {
            for (_, key, value) in own.iter().filter(|row| row.0 == client.number) {
                if !client.rows[*key].contains(value) {
                    let (number, wanted) = (client.number, &client.rows[*key]);
                    let name = node.name;
                    world.wrong(format!("{name}: client {number}, key {key}: {value}, not of {wanted:?}"));
                }
            }
        }
        let vanished = format!("SELECT COUNT(*) FROM app_faults.scratch WHERE text = '{}'", vanish::VANISHED);
        let left: Option<u64> = root.query_first(vanished).await?;
        world.expect("rows of transactions whose clients vanished", left, Some(0));
    }
    Ok(())
}

/// Rows of a client that are lost, and those that are there twice or without having been asked for.
fn compare(rows: &Rows, client: &Client) -> (usize, usize) {
    let lost = client.inserted.iter().filter(|row| !rows.contains_key(&(client.number, **row))).count();
    let may_be: HashSet<_> = client.inserted.iter().chain(&client.in_doubt).collect();
    let of_client = rows.iter().filter(|((worker, _), _)| *worker == client.number);
    let extra = of_client.filter(|((_, row), found)| found.copies > 1 || !may_be.contains(row)).count();
    (lost, extra)
}
