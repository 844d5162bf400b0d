//! A session's reads see its own writes, however far behind the replicas are.

use mysql_async::{Row, prelude::Queryable as _};

use crate::support::{Flavour, Stage, check, check_apart, check_own};

#[test]
fn a_session_reads_its_own_writes_two_hundred_times_in_a_row() {
    check(async |stage| {
        stage.given("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, n INT)").await;
        let read = stage.mark();
        write_and_read(stage, &read, 200).await;
        let ran = stage.ran(&read).await;
        assert!(ran.on_replicas() >= 100, "replicas that keep up serve most of the reads: {ran}");
    });
}

#[test]
fn replicas_that_apply_late_never_answer_stale() {
    check_apart("routing.max_replica_lag = \"off\"", async |stage| {
        stage.given("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, n INT)").await;
        delay(stage, 3600).await;
        let (read, others) = (stage.mark(), stage.mark());
        write_and_read(stage, &read, 15).await;
        let mut other = stage.client().await;
        for _ in 0..4 {
            other.query_drop(format!("SELECT COUNT(*) FROM t /* {others} */")).await.unwrap();
        }
        delay(stage, 0).await;
        stage.ran(&read).await.on_primary_after_waits(15);
        stage.ran(&others).await.only_on_replicas(4);
        stage.cluster.replicated().await.unwrap();
    });
}

#[test]
fn a_session_that_has_written_past_the_binary_log_reads_from_the_primary() {
    check(async |stage| {
        let user = format!("it_{}", stage.mark());
        let account =
            format!("CREATE USER {user}@'%' IDENTIFIED BY 'secret';; GRANT ALL ON *.* TO {user}@'%'");
        stage.given(&account).await;
        let options = stage.options(&user, "secret").db_name(Some(&stage.schema));
        let (before, after, others) = (stage.mark(), stage.mark(), stage.mark());
        let mut client = stage.try_client(options).await.unwrap();
        client.query_drop("SET sql_log_bin = 0").await.unwrap();
        client.query_drop(format!("SELECT 1 /* {before} */")).await.unwrap();
        client.query_drop("CREATE TABLE here_only (id INT PRIMARY KEY)").await.unwrap();
        client.query_drop("INSERT INTO here_only VALUES (1), (2)").await.unwrap();
        for log in [0, 1] {
            client.query_drop(format!("SET sql_log_bin = {log}")).await.unwrap();
            let read = format!("SELECT COUNT(*) FROM here_only /* {after} */");
            assert_eq!(client.query_first::<u8, _>(read).await.unwrap(), Some(2));
        }
        stage.client().await.query_drop(format!("SELECT 1 /* {others} */")).await.unwrap();
        client.query_drop("SET sql_log_bin = 0").await.unwrap();
        client.query_drop("DROP TABLE here_only").await.unwrap();
        stage.ran(&before).await.only_on_replicas(1);
        stage.ran(&after).await.only_on_primary(2);
        stage.ran(&others).await.only_on_replicas(1);
    });
}

#[test]
fn after_the_primarys_binary_log_was_emptied_nobody_reads_from_replicas_that_miss_what_comes_next() {
    check_own("emptied", &[Flavour::MySql, Flavour::MariaDb], "", async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY);; INSERT INTO t VALUES (1), (2), (3)").await;
        let (own, others) = (stage.mark(), stage.mark());
        let options = stage.options("admin", "admin").db_name(Some(&stage.schema));
        let mut client = stage.try_client(options).await.unwrap();
        let mut other = stage.client().await;
        let reset = match stage.cluster.flavour {
            Flavour::MySql => "RESET BINARY LOGS AND GTIDS",
            Flavour::MariaDb => "RESET MASTER",
        };
        client.query_drop(reset).await.unwrap();
        client.query_drop("INSERT INTO t VALUES (4)").await.unwrap();
        let read = format!("SELECT COUNT(*) FROM t /* {own} */");
        assert_eq!(client.query_first::<u8, _>(read).await.unwrap(), Some(4));
        stage.ran(&own).await.only_on_primary(1);
        let read = format!("SELECT COUNT(*) FROM t /* {others} */");
        crate::support::eventually(10, "the others read from the primary, too", async || {
            other.query_first::<u8, _>(&read).await.unwrap() == Some(4)
        })
        .await;
        let cause = "has transactions that the primary has lost";
        for replica in ["db2", "db3"] {
            crate::support::eventually(10, "operators see why", async || {
                let servers: Vec<Row> = stage.dauphin.operator().await.query("SHOW SERVERS").await.unwrap();
                let of = |row: &Row, column| row.get::<Option<String>, _>(column).unwrap();
                let row = servers.iter().find(|row| of(row, "server").as_deref() == Some(replica)).unwrap();
                of(row, "cause").is_some_and(|its| its.contains(cause))
            })
            .await;
        }
        for _ in 0..10 {
            assert_eq!(other.query_first::<u8, _>(&read).await.unwrap(), Some(4));
        }
    });
}

#[test]
fn replicas_whose_applier_is_stopped_take_no_reads() {
    check_apart("routing.causal_wait = \"200ms\"", async |stage| {
        stage.given("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, n INT)").await;
        for replica in 1..3 {
            stage.admin(replica).await.query_drop("STOP REPLICA SQL_THREAD").await.unwrap();
        }
        let read = stage.mark();
        write_and_read(stage, &read, 30).await;
        let ran = stage.ran(&read).await;
        ran.on_primary_after_waits(30);
        assert!(ran.on_replicas() <= 4, "once it is known to be behind nobody waits for it: {ran}");
        let (later, restarted) = (stage.mark(), stage.mark());
        let mut client = stage.client().await;
        client.query_drop(format!("SELECT '{later}'")).await.unwrap();
        stage.ran(&later).await.only_on_primary(1);
        for replica in 1..3 {
            stage.admin(replica).await.query_drop("START REPLICA SQL_THREAD").await.unwrap();
        }
        crate::support::eventually(15, "replicas take reads again", async || {
            client.query_drop(format!("SELECT '{restarted}'")).await.unwrap();
            stage.ran(&restarted).await.on_replicas() > 0
        })
        .await;
    });
}

async fn write_and_read(stage: &mut Stage, read: &str, times: u64) {
    let mut client = stage.client().await;
    for n in 0..times {
        client.query_drop(format!("INSERT INTO t (n) VALUES ({n})")).await.unwrap();
        let id = client.last_insert_id().unwrap();
        let seen: Option<u64> =
            client.query_first(format!("SELECT n FROM t WHERE id = {id} /* {read} */")).await.unwrap();
        assert_eq!(seen, Some(n), "write number {n}");
    }
}

/// Lets both replicas apply what they receive this many seconds later.
pub async fn delay(stage: &mut Stage, seconds: u32) {
    let change = match stage.flavour {
        Flavour::MySql => format!("CHANGE REPLICATION SOURCE TO SOURCE_DELAY = {seconds}"),
        Flavour::MariaDb => format!("CHANGE MASTER TO MASTER_DELAY = {seconds}"),
    };
    for replica in 1..3 {
        let admin = stage.admin(replica).await;
        for statement in ["STOP REPLICA", &change, "START REPLICA"] {
            admin.query_drop(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
    }
    // The monitor has seen them replicate again.
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
}
