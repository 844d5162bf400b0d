//! What operators order and what happened is known after a restart of dauphin; a drained server takes nothing.

use std::{io::Write as _, time::Duration};

use mysql_async::{Row, prelude::Queryable as _};

use crate::support::{Stage, check, check_with, eventually};

/// What SHOW EVENTS has: id, kind and message of each.
async fn events(stage: &Stage) -> Vec<(u64, String, String)> {
    let rows: Vec<Row> = stage.dauphin.operator().await.query("SHOW EVENTS").await.unwrap();
    let text = |row: &Row, column: &str| row.get::<String, _>(column).unwrap();
    rows.iter().map(|row| (row.get("id").unwrap(), text(row, "kind"), text(row, "message"))).collect()
}

async fn status(stage: &Stage, server: &str) -> Option<String> {
    let row: Option<Row> =
        stage.dauphin.operator().await.query_first(format!("SHOW SERVERS LIKE '{server}'")).await.unwrap();
    row.unwrap().get("status")
}

/// Where so many reads went.
async fn reads(stage: &mut Stage, times: usize) -> [usize; 3] {
    let (mark, mut client) = (stage.mark(), stage.client().await);
    for _ in 0..times {
        client.query_drop(format!("SELECT '{mark}'")).await.unwrap();
    }
    stage.ran(&mark).await.0
}

#[test]
fn the_events_of_before_a_restart_are_shown_after_it() {
    check(async |stage| {
        let mut operator = stage.dauphin.operator().await;
        operator.query_drop("DRAIN db2").await.unwrap();
        operator.query_drop("UNDRAIN db2").await.unwrap();
        let before = events(stage).await;
        assert!(before.iter().any(|(_, kind, _)| kind == "undrained"), "{before:?}");
        stage.dauphin.terminate();
        assert!(stage.dauphin.ended(Duration::from_secs(15)).await);
        // As a crash in the middle of a line leaves it, and worse.
        let trail = stage.dauphin.directory().join("state.events.jsonl");
        let mut file = std::fs::OpenOptions::new().append(true).open(trail).unwrap();
        file.write_all(b"\xff\xfe\n{\"id\":99,\"at\":\"2026-").unwrap();
        for restart in 1..=2 {
            // The second time it has not ended: it is killed.
            stage.dauphin.restart(&[]).await;
            let after = events(stage).await;
            assert_eq!(after[..before.len()], before[..]);
            assert!(
                after.iter().any(|(_, kind, _)| kind == "shutdown"),
                "what was told last was written: {after:?}"
            );
            let ids: Vec<u64> = after.iter().map(|(id, ..)| *id).collect();
            assert_eq!(ids, (1..=ids.len() as u64).collect::<Vec<_>>());
            let starts = after.iter().filter(|(_, kind, _)| kind == "started").count();
            assert_eq!(starts, 1 + restart, "{after:?}");
        }
        let log = stage.dauphin.log();
        assert_eq!(log.matches("lines of the event trail are no events").count(), 2, "once at each start");
        assert!(log.contains("damaged=2"), "{log}");
    });
}

#[test]
fn what_was_drained_and_paused_before_a_restart_still_is() {
    check_with("routing.hold_timeout = \"60s\"", async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY)").await;
        let mut before = stage.dauphin.operator().await;
        before.query_drop("DRAIN db2").await.unwrap();
        before.query_drop("PAUSE").await.unwrap();
        stage.dauphin.restart(&[]).await;
        assert_eq!(status(stage, "db2").await.as_deref(), Some("drained"));
        let told = events(stage).await;
        for (kind, said) in
            [("drained", "it was drained before dauphin was started"), ("paused", "PAUSE was given before")]
        {
            let found = told.iter().any(|(_, known, message)| known == kind && message.contains(said));
            assert!(found, "{kind}: {told:?}");
        }
        assert_eq!(reads(stage, 6).await, [0, 0, 6]);
        let mut client = stage.client().await;
        let write = tokio::spawn(async move { client.query_drop("INSERT INTO t VALUES (1)").await });
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert!(!write.is_finished(), "it waits");
        let mut after = stage.dauphin.operator().await;
        after.query_drop("RESUME").await.unwrap();
        tokio::time::timeout(Duration::from_secs(10), write).await.expect("it goes on").unwrap().unwrap();
        after.query_drop("UNDRAIN db2").await.unwrap();
        stage.dauphin.restart(&[]).await;
        eventually(10, "db2 takes reads", async || status(stage, "db2").await.as_deref() == Some("online"))
            .await;
        stage.client().await.query_drop("INSERT INTO t VALUES (2)").await.expect("nothing is paused");
    });
}

/// What SHOW POOLS says of a server: open and idle connections.
async fn pool(stage: &Stage, server: &str) -> (u64, u64) {
    let row: Option<Row> =
        stage.dauphin.operator().await.query_first(format!("SHOW POOLS LIKE '{server}'")).await.unwrap();
    let row = row.unwrap();
    (row.get("open").unwrap(), row.get("idle").unwrap())
}

#[test]
fn a_drained_server_is_let_go_of_and_takes_reads_again_when_it_is_undrained() {
    check(async |stage| {
        let mut clients = Vec::new();
        for _ in 0..4 {
            let mut client = stage.client().await;
            // The warnings stay with the connection, which is kept for them.
            client.query_drop("SELECT CAST('no number' AS SIGNED)").await.unwrap();
            clients.push(client);
        }
        // Longer than [pool] linger: only the warnings keep them.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let (open, idle) = pool(stage, "db2").await;
        assert_eq!(open - idle, 2, "two connections are kept for their warnings");
        stage.dauphin.operator().await.query_drop("DRAIN db2").await.unwrap();
        eventually(2, "nobody keeps a connection of db2", async || {
            let (open, idle) = pool(stage, "db2").await;
            open == idle
        })
        .await;
        assert_eq!(reads(stage, 6).await, [0, 0, 6]);
        for client in &mut clients {
            client.query_drop("SELECT 1").await.expect("no client notices");
        }
        stage.dauphin.operator().await.query_drop("UNDRAIN db2").await.unwrap();
        eventually(5, "db2 takes reads again", async || reads(stage, 4).await == [0, 2, 2]).await;
    });
}
