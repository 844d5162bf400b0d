//! dauphin stops and starts again while the primary changes, or restarts.

use std::time::{Duration, Instant};

use mysql_async::{Row, prelude::Queryable as _};

use crate::support::{Stage, check_apart, eventually};

const ALONE: &str = "failover.mode = \"automatic\"\nlisten.drain_timeout = \"1s\"\n";

async fn is_read_only(stage: &mut Stage, node: usize) -> bool {
    let query = "SELECT @@global.read_only = 1";
    stage.admin(node).await.query_first::<bool, _>(query).await.unwrap().expect("one row")
}

/// What dauphin remembers of itself, as text.
fn state_file(stage: &Stage) -> String {
    std::fs::read_to_string(stage.dauphin.directory().join("state.json")).unwrap_or_default()
}

/// Ends dauphin in good order.
async fn stop(stage: &mut Stage) {
    stage.dauphin.terminate();
    assert!(stage.dauphin.ended(Duration::from_secs(15)).await, "it ends well");
}

/// As one that is configured so comes back.
async fn restart_read_only(stage: &mut Stage) {
    stage.cluster.primary().kill();
    stage.cluster.primary().start().await;
    stage.admin(0).await.query_drop("SET GLOBAL read_only = ON").await.unwrap();
}

/// Until dauphin has written down which incarnation of the primary takes writes.
async fn known(stage: &Stage) {
    eventually(20, "the primary is known", async || state_file(stage).contains("\"db1\": ")).await;
}

/// What this run of dauphin has told, as text.
async fn events(stage: &Stage) -> String {
    let (_, body) = crate::admin::get(stage.dauphin.http, "/api/v1/events").await;
    let (_, this_run) = body.rsplit_once("\"kind\":\"started\"").expect("its start is told");
    this_run.to_owned()
}

#[test]
fn a_primary_that_restarted_while_dauphin_was_away_takes_writes_again() {
    check_apart(ALONE, async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY)").await;
        known(stage).await;
        stop(stage).await;
        restart_read_only(stage).await;
        stage.dauphin.restart(&[]).await;
        let mut client = stage.client().await;
        client.query_drop("INSERT INTO t VALUES (1)").await.expect("it waits for the primary");
        assert!(!is_read_only(stage, 0).await);
    });
}

#[test]
fn a_primary_that_somebody_closed_while_dauphin_was_away_waits_for_a_word() {
    check_apart(ALONE, async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY)").await;
        known(stage).await;
        stop(stage).await;
        stage.admin(0).await.query_drop("SET GLOBAL read_only = ON").await.unwrap();
        stage.dauphin.restart(&[]).await;
        eventually(10, "the diagnosis", async || events(stage).await.contains("primary_read_only")).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(is_read_only(stage, 0).await, "it is not opened against somebody's will");
        stage.dauphin.operator().await.query_drop("FAILOVER TO db1").await.unwrap();
        let mut client = stage.client().await;
        client.query_drop("INSERT INTO t VALUES (1)").await.unwrap();
    });
}

#[test]
fn a_cluster_never_seen_before_is_not_opened_before_it_is_said_which() {
    check_apart(ALONE, async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY)").await;
        stop(stage).await;
        std::fs::remove_file(stage.dauphin.directory().join("state.json")).unwrap();
        restart_read_only(stage).await;
        stage.cluster.replicated().await.unwrap();
        stage.dauphin.restart(&[]).await;
        eventually(20, "the advice", async || events(stage).await.contains("FAILOVER TO db1")).await;
        assert!(is_read_only(stage, 0).await);
        let mut operator = stage.dauphin.operator().await;
        let refused = operator.query_drop("FAILOVER TO db2").await.unwrap_err().to_string();
        assert!(refused.contains("replicates from"), "{refused}");
        operator.query_drop("FAILOVER TO db1").await.unwrap();
        let mut client = stage.client().await;
        client.query_drop("INSERT INTO t VALUES (1)").await.unwrap();
    });
}

#[test]
fn a_switchover_that_cannot_end_is_undone_before_dauphin_stops() {
    check_apart(ALONE, async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY)").await;
        let (schema, mut client) = (stage.schema.clone(), stage.client().await);
        client.query_drop("START TRANSACTION").await.unwrap();
        client.query_drop("INSERT INTO t VALUES (1)").await.unwrap();
        let mut asking = stage.dauphin.operator().await;
        let asked = tokio::spawn(async move { asking.query_drop("SWITCHOVER TO db2").await });
        // It waits for the open transaction.
        eventually(10, "the switchover", async || state_file(stage).contains("\"planned\": true")).await;
        // What is committed now db2 cannot apply.
        let mut locking = stage.cluster.nodes[1].admin().await.unwrap();
        locking.query_drop(format!("LOCK TABLES {schema}.t READ")).await.unwrap();
        client.query_drop("COMMIT").await.unwrap();
        let mut primary = stage.cluster.primary().admin().await.unwrap();
        eventually(10, "the primary is closed", async || {
            primary.query_first::<bool, _>("SELECT @@global.read_only = 1").await.unwrap() == Some(true)
        })
        .await;
        stop(stage).await;
        assert!(asked.await.unwrap().is_err());
        locking.query_drop("UNLOCK TABLES").await.unwrap();
        assert!(!is_read_only(stage, 0).await, "db1 takes writes as before");
        assert!(is_read_only(stage, 1).await);
        assert!(state_file(stage).contains("\"operation\": null"), "{}", state_file(stage));
    });
}

#[test]
fn a_former_primary_whose_restart_opens_it_is_closed_and_takes_reads_again() {
    check_apart(ALONE, async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY)").await;
        stage.dauphin.operator().await.query_drop("SWITCHOVER TO db2").await.unwrap();
        eventually(20, "db1 follows", async || is_read_only(stage, 0).await && reads(stage).await == 2).await;
        // So long that the next incarnation is told apart.
        known(stage).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        stage.cluster.nodes[0].kill();
        stage.cluster.nodes[0].start().await;
        eventually(20, "it is closed", async || is_read_only(stage, 0).await).await;
        eventually(20, "it takes reads", async || reads(stage).await == 2).await;
        let mut client = stage.client().await;
        client.query_drop("INSERT INTO t VALUES (1)").await.unwrap();
        stage.dauphin.operator().await.query_drop("SWITCHOVER TO db1").await.unwrap();
        client.query_drop("INSERT INTO t VALUES (2)").await.unwrap();
    });
}

/// How many servers take reads.
async fn reads(stage: &Stage) -> usize {
    let servers: Vec<Row> = stage.dauphin.operator().await.query("SHOW SERVERS").await.unwrap();
    servers.iter().filter(|row| row.get::<String, _>("reads").unwrap() == "yes").count()
}

#[test]
fn a_connection_kept_for_its_warnings_does_not_hold_up_a_switchover() {
    check_apart(ALONE, async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY);; INSERT INTO t VALUES (1)").await;
        let mut client = stage.client().await;
        let mut operator = stage.dauphin.operator().await;
        for to in ["db2", "db1"] {
            client.query_drop("INSERT IGNORE INTO t VALUES (1)").await.unwrap();
            // Longer than [pool] linger, which would end by itself.
            tokio::time::sleep(Duration::from_millis(1500)).await;
            let asked = Instant::now();
            operator.query_drop(format!("SWITCHOVER TO {to}")).await.unwrap();
            assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
            client.query_drop("INSERT IGNORE INTO t VALUES (1)").await.unwrap();
        }
    });
}
