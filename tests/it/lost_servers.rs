//! Servers that die and come back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use mysql_async::{Conn, prelude::Queryable as _};

use crate::support::{
    Stage, check_apart,
    cluster::{Node, options},
    eventually, server_error,
};

#[test]
fn no_read_fails_when_a_replica_dies_and_it_takes_reads_again_when_it_is_back() {
    check_apart("", async |stage| reads_survive(stage, async |replica| replica.kill()).await);
}

#[test]
fn no_read_fails_when_a_replica_is_shut_down_and_it_takes_reads_again_when_it_is_back() {
    check_apart("", async |stage| reads_survive(stage, Node::stop).await);
}

async fn reads_survive(stage: &mut Stage, end: impl AsyncFn(&Node)) {
    let (stop, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (client, stop, reads) = (stage.client().await, stop.clone(), reads.clone());
        readers.spawn(read_until(client, stop, reads));
    }
    eventually(10, "reads run", async || reads.load(Ordering::Relaxed) > 200).await;
    end(&stage.cluster.nodes[1]).await;
    let at_death = reads.load(Ordering::Relaxed);
    eventually(10, "reads go on", async || reads.load(Ordering::Relaxed) > at_death + 200).await;
    stage.cluster.nodes[1].start().await;
    let mut client = stage.client().await;
    let again = stage.mark();
    eventually(20, "the replica takes reads again by itself", async || {
        client.query_drop(format!("SELECT '{again}'")).await.unwrap();
        stage.ran(&again).await.0[1] > 0
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    while let Some(reader) = readers.join_next().await {
        reader.unwrap().unwrap_or_else(|error| panic!("a read failed: {error}"));
    }
}

async fn read_until(
    mut client: Conn,
    stop: Arc<AtomicBool>,
    reads: Arc<AtomicUsize>,
) -> mysql_async::Result<()> {
    while !stop.load(Ordering::Relaxed) {
        let read: Option<u32> = client.query_first("SELECT 1 FROM DUAL WHERE SLEEP(0.01) = 0").await?;
        assert_eq!(read, Some(1));
        reads.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

#[test]
fn without_replicas_the_primary_serves_the_reads() {
    check_apart("", async |stage| {
        let mut client = stage.client().await;
        for replica in &stage.cluster.nodes[1..] {
            replica.kill();
        }
        for _ in 0..20 {
            let mark = stage.mark();
            client.query_drop(format!("SELECT '{mark}'")).await.unwrap();
            let query =
                format!("SELECT COUNT(*) FROM mysql.general_log WHERE argument LIKE 'SELECT \\'{mark}%'");
            let count: Option<u32> = stage.admin(0).await.query_first(query).await.unwrap();
            assert_eq!(count, Some(1));
        }
    });
}

#[test]
fn without_a_primary_writes_get_an_error_in_time_and_reads_go_on() {
    check_apart("routing.hold_timeout = \"1s\"", async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY)").await;
        let mut client = stage.client().await;
        client.query_drop("SELECT COUNT(*) FROM t").await.unwrap();
        stage.cluster.primary().kill();
        let start = Instant::now();
        let error = server_error(client.query_drop("INSERT INTO t VALUES (1)").await);
        assert_eq!(error.code, 9001, "{}", error.message);
        assert!(start.elapsed() < Duration::from_secs(6), "after {:?}", start.elapsed());
        for _ in 0..10 {
            assert_eq!(client.query_first::<u32, _>("SELECT COUNT(*) FROM t").await.unwrap(), Some(0));
        }
        let mut newcomer = stage.client().await;
        newcomer.query_drop("SELECT COUNT(*) FROM t").await.unwrap();
        stage.cluster.primary().start().await;
        eventually(20, "writes go on when the primary is back", async || {
            client.query_drop("REPLACE INTO t VALUES (2)").await.is_ok()
        })
        .await;
    });
}

#[test]
fn a_transaction_whose_server_dies_is_told_so() {
    check_apart("routing.hold_timeout = \"1s\"", async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY)").await;
        let mut client = stage.client().await;
        client.query_drop("BEGIN").await.unwrap();
        client.query_drop("INSERT INTO t VALUES (1)").await.unwrap();
        stage.cluster.primary().kill();
        let error = client.query_drop("INSERT INTO t VALUES (2)").await.unwrap_err();
        if let mysql_async::Error::Server(error) = &error {
            assert_eq!((error.code, error.state.as_str()), (1053, "08S01"), "{}", error.message);
        }
        assert!(client.query_drop("COMMIT").await.is_err(), "what was lost is never committed in silence");
    });
}

#[test]
fn a_transaction_whose_server_dies_never_goes_on_elsewhere() {
    check_apart("routing.hold_timeout = \"60s\"", async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY)").await;
        let mut client = stage.client().await;
        client.query_drop("BEGIN").await.unwrap();
        client.query_drop("INSERT INTO t VALUES (1)").await.unwrap();
        stage.cluster.primary().kill();
        let log = "throne=Empty(";
        eventually(10, "dauphin knows", async || stage.dauphin.log().contains(log)).await;
        let second = tokio::spawn(async move { client.query_drop("INSERT INTO t VALUES (2)").await });
        stage.cluster.primary().start().await;
        let second = tokio::time::timeout(Duration::from_secs(20), second).await.expect("it ends").unwrap();
        let query = format!("SELECT COUNT(*) FROM {}.t", stage.schema);
        let count: Option<u32> = stage.admin(0).await.query_first(query).await.unwrap();
        assert!(second.is_err(), "the first half is lost, and the client is not told");
        assert_eq!(count, Some(0), "half a transaction was committed");
    });
}

#[test]
fn a_held_write_goes_on_when_the_primary_is_back() {
    check_apart("routing.hold_timeout = \"60s\"", async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY)").await;
        let mut client = stage.client().await;
        client.query_drop("SELECT COUNT(*) FROM t").await.unwrap();
        stage.cluster.primary().kill();
        let held = tokio::spawn(async move { client.query_drop("INSERT INTO t VALUES (1)").await });
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert!(!held.is_finished(), "it waits");
        stage.cluster.primary().start().await;
        tokio::time::timeout(Duration::from_secs(20), held).await.expect("it goes on").unwrap().unwrap();
        let query = format!("SELECT COUNT(*) FROM {}.t", stage.schema);
        let count: Option<u32> = stage.admin(0).await.query_first(query).await.unwrap();
        assert_eq!(count, Some(1));
    });
}

#[test]
fn without_a_primary_so_many_writes_wait_and_no_longer_than_is_said() {
    check_apart("routing.hold_max = 1\nrouting.hold_timeout = \"3s\"", async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY)").await;
        let (mut first, mut second) = (stage.client().await, stage.client().await);
        stage.cluster.primary().kill();
        eventually(10, "dauphin has noticed", async || stage.dauphin.log().contains("throne=Empty(")).await;
        let waiting = tokio::spawn(async move {
            let start = Instant::now();
            (first.query_drop("INSERT INTO t VALUES (1)").await, start.elapsed())
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        let start = Instant::now();
        let refused = server_error(second.query_drop("INSERT INTO t VALUES (2)").await);
        assert!(refused.message.contains("[routing] hold_max"), "{refused}");
        assert!(start.elapsed() < Duration::from_secs(1), "it is refused at once");
        let (outcome, waited) = waiting.await.unwrap();
        let timed_out = server_error(outcome);
        assert!(timed_out.message.contains("[routing] hold_timeout"), "{timed_out}");
        assert!(waited >= Duration::from_secs(3) && waited < Duration::from_secs(6), "{waited:?}");
        assert_eq!(second.query_first::<u32, _>("SELECT 1").await.unwrap(), Some(1), "reads go on");
    });
}

#[test]
fn no_write_fails_when_somebody_makes_the_primary_read_only_for_a_while() {
    // Nobody looks until the primary has refused a write.
    check_apart("monitor.interval = \"5s\"", async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY)").await;
        let (mut text, mut binary) = (stage.client().await, stage.client().await);
        let insert = binary.prep("INSERT INTO t VALUES (?)").await.unwrap();
        binary.exec_drop(&insert, (0,)).await.unwrap();
        stage.admin(0).await.query_drop("SET GLOBAL read_only = ON").await.unwrap();
        let began = Instant::now();
        let text = tokio::spawn(async move { (text.query_drop("INSERT INTO t VALUES (1)").await, text) });
        let binary = tokio::spawn(async move { binary.exec_drop(&insert, (2,)).await });
        let admin = options("127.0.0.1".to_owned(), stage.dauphin.admin.port(), "admin", "");
        let mut operator = Conn::new(admin).await.unwrap();
        eventually(4, "both wait, and dauphin knows why", async || {
            let plan: Option<(String, String)> =
                operator.query_first("SHOW FAILOVER PLAN LIKE 'diagnosis'").await.unwrap();
            plan.is_some_and(|(_, diagnosis)| diagnosis == "primary_read_only")
        })
        .await;
        assert!(began.elapsed() < Duration::from_secs(4), "it was looked at at once");
        assert!(!text.is_finished() && !binary.is_finished());
        stage.admin(0).await.query_drop("SET GLOBAL read_only = OFF").await.unwrap();
        let (outcome, mut client) = text.await.unwrap();
        outcome.unwrap();
        binary.await.unwrap().unwrap();
        let all = "SELECT COUNT(*) FROM t /* dauphin:primary */"; // a replica owes a session its own writes only
        let rows: Option<u32> = client.query_first(all).await.unwrap();
        assert_eq!(rows, Some(3));
        // In a transaction the client must know: what it did before is not undone.
        client.query_drop("BEGIN").await.unwrap();
        stage.admin(0).await.query_drop("SET GLOBAL read_only = ON").await.unwrap();
        assert_eq!(server_error(client.query_drop("INSERT INTO t VALUES (4)").await).code, 1290);
        stage.admin(0).await.query_drop("SET GLOBAL read_only = OFF").await.unwrap();
    });
}
