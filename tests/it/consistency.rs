//! Whose writes a read sees: its session's, those of all sessions, or those with the same causal token. The replicas are
//! an hour late wherever it matters, so that only the promise keeps a read from missing a write.

use mysql_async::{Conn, prelude::Queryable as _};

use crate::support::{Flavour, Stage, check, check_apart, check_with, eventually, server_error};

const HOUR: u32 = 3600;

/// So that being late is no reason in itself.
const NO_LIMIT: &str = "routing.max_replica_lag = \"off\"";

#[test]
fn global_reads_see_what_any_session_wrote_before() {
    check_with("routing.consistency = \"global\"", async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY, n INT);; INSERT INTO t VALUES (1, 0)").await;
        let (mut writer, mut reader) = (stage.client().await, stage.client().await);
        let read = stage.mark();
        for n in 1..=200 {
            writer.query_drop(format!("UPDATE t SET n = {n} WHERE id = 1")).await.unwrap();
            assert_eq!(value(&mut reader, "", &read).await, Some(n), "write number {n}");
        }
        let ran = stage.ran(&read).await;
        assert!(ran.on_replicas() >= 100, "replicas that keep up serve most of the reads: {ran}");
    });
}

#[test]
fn each_level_promises_what_it_says_on_replicas_that_are_late() {
    check_apart(NO_LIMIT, async |stage| {
        late(stage).await;
        let (mut writer, mut other) = (stage.client().await, stage.client().await);
        for n in 1..=8 {
            writer.query_drop(format!("UPDATE t SET n = {n} WHERE id = 1")).await.unwrap();
            let [own, eventual, theirs, global, named] = [(); 5].map(|()| stage.mark());
            assert_eq!(value(&mut writer, "", &own).await, Some(n), "its own writes, by default");
            let hint = "/* dauphin:consistency=eventual */";
            assert_eq!(value(&mut writer, hint, &eventual).await, Some(0));
            assert_eq!(value(&mut other, "", &theirs).await, Some(0), "another session's are not promised");
            let hint = "/* dauphin:consistency=global */";
            assert_eq!(value(&mut other, hint, &global).await, Some(n));
            let written = if stage.is_mysql() { "@@gtid_executed" } else { "@@gtid_binlog_pos" };
            let written: Option<String> =
                stage.admin(0).await.query_first(format!("SELECT {written}")).await.unwrap();
            let hint = format!("/* hostgroup=1;min_gtid={} */", written.unwrap());
            assert_eq!(value(&mut other, &hint, &named).await, Some(n), "{hint}");
            stage.ran(&own).await.on_primary_after_waits(1);
            stage.ran(&eventual).await.only_on_replicas(1);
            stage.ran(&theirs).await.only_on_replicas(1);
            stage.ran(&global).await.on_primary_after_waits(1);
            stage.ran(&named).await.on_primary_after_waits(1);
        }
        let unmarked = stage.mark();
        other.query_drop("ROUTER SET consistency = 'global'").await.unwrap();
        assert_eq!(value(&mut other, "", &unmarked).await, Some(8));
        other.query_drop("ROUTER SET consistency = default").await.unwrap();
        assert_eq!(value(&mut other, "", &unmarked).await, Some(0));
        writer.query_drop("ROUTER SET consistency = 'eventual'").await.unwrap();
        assert_eq!(value(&mut writer, "", &unmarked).await, Some(0));
        writer.query_drop("ROUTER SET wait_for_my_writes = 1").await.unwrap();
        assert_eq!(value(&mut writer, "", &unmarked).await, Some(8));
        restore(stage).await;
    });
}

/// MariaDB reports `last_gtid` by the name of the first of several variables that was set on a connection.
#[test]
fn a_write_is_seen_whatever_was_set_on_its_connection_before() {
    for set in ["SET timestamp = 1500000000", "SET last_insert_id = 7", "SET rand_seed1 = 3"] {
        check_apart(NO_LIMIT, async |stage| {
            late(stage).await;
            let mut client = stage.client().await;
            client.query_drop(set).await.unwrap();
            for n in 1..=3 {
                client.query_drop(format!("UPDATE t SET n = {n} WHERE id = 1")).await.unwrap();
                assert_eq!(value(&mut client, "", "own").await, Some(n), "{set}");
            }
            restore(stage).await;
        });
    }
}

#[test]
fn a_user_has_a_level_of_its_own() {
    let users = "users = [{ name = \"app\", password = \"app\", consistency = \"global\" }]";
    check_apart(&format!("{NO_LIMIT}\nrouting.consistency = \"eventual\"\n{users}"), async |stage| {
        late(stage).await;
        let (mut writer, mut reader) = (stage.client().await, stage.client().await);
        let schema = stage.schema.clone();
        let admin = stage.options("admin", "admin").db_name(Some(schema));
        let mut admin = stage.try_client(admin).await.unwrap();
        let (promised, eventual) = (stage.mark(), stage.mark());
        for n in 1..=4 {
            writer.query_drop(format!("UPDATE t SET n = {n} WHERE id = 1")).await.unwrap();
            assert_eq!(value(&mut reader, "", &promised).await, Some(n));
            assert_eq!(value(&mut admin, "", &eventual).await, Some(0));
        }
        stage.ran(&promised).await.on_primary_after_waits(4);
        stage.ran(&eventual).await.only_on_replicas(4);
        restore(stage).await;
    });
}

#[test]
fn a_token_carries_the_promise_from_one_connection_to_another() {
    check_apart(&format!("{NO_LIMIT}\nrouting.consistency = \"eventual\""), async |stage| {
        late(stage).await;
        let mut reader = stage.client().await;
        let token = "/* dauphin:causal=user:42 */";
        let (with, without, another) = (stage.mark(), stage.mark(), stage.mark());
        for n in 1..=6 {
            // Each on a connection of its own that is gone when the read comes.
            let mut writer = stage.client().await;
            match n % 3 {
                0 => writer.query_drop(format!("{token} UPDATE t SET n = {n} WHERE id = 1")).await.unwrap(),
                1 => {
                    writer.exec_drop(format!("{token} UPDATE t SET n = ? WHERE id = 1"), (n,)).await.unwrap()
                }
                _ => {
                    writer.query_drop("BEGIN").await.unwrap();
                    let write = format!("UPDATE t SET n = {n} WHERE id = 1 {token}");
                    writer.query_drop(write).await.unwrap();
                    writer.query_drop("COMMIT").await.unwrap();
                }
            }
            writer.disconnect().await.unwrap();
            assert_eq!(value(&mut reader, token, &with).await, Some(n), "round {n}");
            let prepared = format!("{token} SELECT n FROM t WHERE id = ? /* {with} */");
            let seen: Option<i32> = reader.exec_first(prepared, (1,)).await.unwrap();
            assert_eq!(seen, Some(n), "round {n}, prepared");
            assert_eq!(value(&mut reader, "", &without).await, Some(0));
            assert_eq!(value(&mut reader, "/* dauphin:causal=user:43 */", &another).await, Some(0));
        }
        stage.ran(&with).await.on_primary_after_waits(12);
        stage.ran(&without).await.only_on_replicas(6);
        stage.ran(&another).await.only_on_replicas(6);
        // A transaction that is rolled back leaves nothing under its token.
        let (mut writer, after) = (stage.client().await, stage.mark());
        writer.query_drop("BEGIN").await.unwrap();
        writer.query_drop("UPDATE t SET n = 99 WHERE id = 1 /* dauphin:causal=other */").await.unwrap();
        writer.query_drop("ROLLBACK").await.unwrap();
        writer.query_drop("UPDATE t SET n = 7 WHERE id = 1").await.unwrap();
        assert_eq!(value(&mut reader, "/* dauphin:causal=other */", &after).await, Some(0));
        stage.ran(&after).await.only_on_replicas(1);
        restore(stage).await;
    });
}

#[test]
fn a_token_that_was_forgotten_still_keeps_its_promise() {
    let options = "routing.consistency = \"eventual\"\ncache.causal_tokens = 2";
    check_apart(&format!("{NO_LIMIT}\n{options}"), async |stage| {
        late(stage).await;
        let (mut writer, mut reader) = (stage.client().await, stage.client().await);
        for n in 1..=5 {
            let write = format!("/* dauphin:causal=token{n} */ UPDATE t SET n = {n} WHERE id = 1");
            writer.query_drop(write).await.unwrap();
        }
        let read = stage.mark();
        for n in 1..=5 {
            let hint = format!("/* dauphin:causal=token{n} */");
            assert_eq!(value(&mut reader, &hint, &read).await, Some(5));
        }
        stage.ran(&read).await.on_primary_after_waits(5);
        restore(stage).await;
    });
}

#[test]
fn a_replica_that_has_the_writes_serves_before_one_that_has_not() {
    check_apart(&format!("{NO_LIMIT}\nrouting.causal_wait = \"30s\""), async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY, n INT);; INSERT INTO t VALUES (1, 0)").await;
        delay(stage, 2, HOUR).await;
        settled(stage).await;
        let (mut writer, read) = (stage.client().await, stage.mark());
        writer.query_drop("UPDATE t SET n = 1 WHERE id = 1").await.unwrap();
        eventually(15, "the polls have told who has it", async || {
            let mut chosen = 0;
            for _ in 0..4 {
                let row: Option<(String, String, String, String)> =
                    writer.query_first("EXPLAIN ROUTE SELECT n FROM t").await.unwrap();
                chosen += u32::from(row.is_some_and(|row| row.0 == "db2"));
            }
            chosen == 4
        })
        .await;
        let begun = std::time::Instant::now();
        for _ in 0..10 {
            assert_eq!(value(&mut writer, "", &read).await, Some(1));
        }
        assert!(begun.elapsed() < std::time::Duration::from_secs(20), "nobody was waited for");
        assert_eq!(stage.ran(&read).await.0, [0, 10, 0]);
        restore(stage).await;
    });
}

#[test]
fn a_read_that_waits_for_its_replica_can_be_killed() {
    check_apart(&format!("{NO_LIMIT}\nrouting.causal_wait = \"60s\""), async |stage| {
        late(stage).await;
        let (mut killer, mut writer) = (stage.client().await, stage.client().await);
        writer.query_drop("UPDATE t SET n = 1 WHERE id = 1").await.unwrap();
        let (id, start) = (writer.id(), std::time::Instant::now());
        let mut waiting = tokio::spawn(async move {
            let outcome = writer.query_drop("SELECT n FROM t").await;
            (outcome, writer)
        });
        // A KILL that comes too early ends nothing.
        let (outcome, mut writer) = loop {
            killer.query_drop(format!("KILL QUERY {id}")).await.unwrap();
            let soon = std::time::Duration::from_millis(50);
            if let Ok(ended) = tokio::time::timeout(soon, &mut waiting).await {
                break ended.unwrap();
            }
        };
        assert!(start.elapsed() < std::time::Duration::from_secs(10));
        assert_eq!(server_error(outcome).code, 1317);
        writer.query_drop("SELECT 1").await.unwrap();
        restore(stage).await;
    });
}

#[test]
fn a_read_only_transaction_sees_what_was_written_before_it() {
    check(async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY, n INT);; INSERT INTO t VALUES (1, 0)").await;
        let (mut writer, mut reader) = (stage.client().await, stage.client().await);
        for n in 1..=30 {
            writer
                .query_drop(format!("UPDATE t SET n = {n} WHERE id = 1 /* dauphin:causal=x */"))
                .await
                .unwrap();
            reader.query_drop("START TRANSACTION READ ONLY /* dauphin:causal=x */").await.unwrap();
            assert_eq!(value(&mut reader, "", "in a transaction").await, Some(n));
            reader.query_drop("COMMIT").await.unwrap();
        }
    });
}

async fn value(client: &mut Conn, hint: &str, mark: &str) -> Option<i32> {
    client.query_first(format!("{hint} SELECT n FROM t WHERE id = 1 /* {mark} */")).await.unwrap()
}

/// A table with one row, and both replicas an hour late.
async fn late(stage: &mut Stage) {
    stage.given("CREATE TABLE t (id INT PRIMARY KEY, n INT);; INSERT INTO t VALUES (1, 0)").await;
    for replica in [1, 2] {
        delay(stage, replica, HOUR).await;
    }
    settled(stage).await;
}

async fn restore(stage: &mut Stage) {
    for replica in [1, 2] {
        delay(stage, replica, 0).await;
    }
    stage.cluster.replicated().await.unwrap();
}

/// Waits until dauphin sends reads to both replicas again, whose replication was interrupted.
async fn settled(stage: &mut Stage) {
    let mut client = stage.client().await;
    eventually(10, "both replicas take reads", async || {
        let read = stage.mark();
        for _ in 0..2 {
            value(&mut client, "", &read).await;
        }
        stage.ran(&read).await.0 == [0, 1, 1]
    })
    .await;
}

/// Lets a replica apply what it receives this many seconds later.
async fn delay(stage: &mut Stage, replica: usize, seconds: u32) {
    let change = match stage.flavour {
        Flavour::MySql => format!("CHANGE REPLICATION SOURCE TO SOURCE_DELAY = {seconds}"),
        Flavour::MariaDb => format!("CHANGE MASTER TO MASTER_DELAY = {seconds}"),
    };
    let admin = stage.admin(replica).await;
    for statement in ["STOP REPLICA", &change, "START REPLICA"] {
        admin.query_drop(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}
