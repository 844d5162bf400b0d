//! Replicas that are too far behind take no reads: by the cluster's limit, a session's or a statement's.

use std::time::{Duration, Instant};

use mysql_async::{Conn, Row, prelude::Queryable as _};

use crate::support::{Dauphin, Flavour, Stage, check_apart, eventually, server_error};

const HOUR: u32 = 3600;

#[test]
fn a_late_replica_leaves_rotation_and_comes_back() {
    check_apart("routing.max_replica_lag = \"2s\"", async |stage| {
        prepare(stage, &[2]).await;
        let mut client = stage.client().await;
        assert_eq!(shares(stage, &mut client, "", 8).await, [0, 4, 4], "nobody is behind");
        stage.admin(0).await.query_drop("INSERT INTO n VALUES (2)").await.unwrap();
        eventually(15, "db3 leaves", async || shares(stage, &mut client, "", 4).await == [0, 4, 0]).await;
        let why = explained(&mut client, "db3").await;
        assert!(lag_in(&why) > 2000 && why.contains("limit 2000 ms"), "{why}");
        delay(stage, 2, 0).await;
        eventually(15, "db3 returns", async || shares(stage, &mut client, "", 4).await == [0, 2, 2]).await;
    });
}

#[test]
fn a_session_and_a_statement_have_limits_of_their_own() {
    check_apart("routing.max_replica_lag = \"10m\"", async |stage| {
        prepare(stage, &[2]).await;
        let (mut client, mut other) = (stage.client().await, stage.client().await);
        stage.admin(0).await.query_drop("INSERT INTO n VALUES (2)").await.unwrap();
        let tight = "/* dauphin:max_lag=300 */";
        eventually(15, "db3 is passed over, by a comment", async || {
            shares(stage, &mut client, tight, 4).await == [0, 4, 0]
        })
        .await;
        assert_eq!(shares(stage, &mut client, "", 4).await, [0, 2, 2], "and only then");
        client.query_drop("ROUTER SET max_replica_lag = 300").await.unwrap();
        assert_eq!(shares(stage, &mut client, "", 4).await, [0, 4, 0], "by the session's setting");
        assert_eq!(shares(stage, &mut client, "/* dauphin:max_lag=5m */", 4).await, [0, 2, 2]);
        assert_eq!(shares(stage, &mut other, "", 4).await, [0, 2, 2], "another session has its own");
        let why = explained(&mut client, "db3").await;
        assert!(lag_in(&why) > 300 && why.ends_with("limit 300 ms"), "{why}");
        client.query_drop("ROUTER SET max_replica_lag = default").await.unwrap();
        assert_eq!(shares(stage, &mut client, "", 4).await, [0, 2, 2]);
        // A prepared statement's comment holds too.
        let read = stage.mark();
        let prepared = client.prep(format!("{tight} SELECT COUNT(*) FROM n WHERE id > ? /* {read} */")).await;
        let prepared = prepared.unwrap();
        for id in 0..4 {
            client.exec_drop(&prepared, (id,)).await.unwrap();
        }
        assert_eq!(stage.ran(&read).await.0, [0, 4, 0]);
        delay(stage, 2, 0).await;
    });
}

#[test]
fn an_idle_primary_leaves_nobody_behind_and_a_limit_costs_nothing_then() {
    check_apart("routing.max_replica_lag = \"500ms\"", async |stage| {
        prepare(stage, &[1, 2]).await;
        let mut client = stage.client().await;
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert_eq!(shares(stage, &mut client, "/* dauphin:max_lag=1 */", 4).await, [0, 2, 2]);
        delay(stage, 1, 0).await;
        delay(stage, 2, 0).await;
    });
}

#[test]
fn when_all_are_too_far_behind_the_policy_decides() {
    check_apart("routing.max_replica_lag = \"1s\"", async |stage| {
        all_behind(stage).await;
        let mut client = stage.client().await;
        assert_eq!(shares(stage, &mut client, "", 4).await, [4, 0, 0]);
        let route: Vec<(String, String, String, String)> = client.query("SHOW LAST ROUTE").await.unwrap();
        assert_eq!(route[0], ("db1".into(), "yes".into(), "primary".into(), "stale_replica".into()));
        for (server, chosen, role, why) in &route[1..] {
            assert_eq!((chosen.as_str(), role.as_str()), ("no", "replica"), "{server}");
            assert!(lag_in(why) > 1000, "{server}: {why}");
        }
        restore(stage).await;
    });
    check_apart("routing.max_replica_lag = \"1s\"\nrouting.when_stale = \"replica\"", async |stage| {
        all_behind(stage).await;
        let mut client = stage.client().await;
        let [primary, nearer, later] = shares(stage, &mut client, "", 4).await;
        assert_eq!((primary, nearer + later), (0, 4));
        restore(stage).await;
    });
    check_apart("routing.max_replica_lag = \"1s\"\nrouting.when_stale = \"error\"", async |stage| {
        all_behind(stage).await;
        let mut client = stage.client().await;
        let error = server_error(client.query_drop("SELECT COUNT(*) FROM n").await);
        assert_eq!(error.code, 9001);
        assert!(error.message.contains("further behind than 1000 ms"), "{}", error.message);
        let route: Vec<Row> = client.query("SHOW LAST ROUTE").await.unwrap();
        assert!(route.is_empty(), "it went nowhere");
        client.query_drop("SET @a = 1").await.unwrap();
        client.query_drop("INSERT INTO n VALUES (77)").await.unwrap();
        assert_eq!(shares(stage, &mut client, "/* dauphin:primary */", 2).await, [2, 0, 0]);
        assert_eq!(
            shares(stage, &mut client, "/* dauphin:max_lag=off,consistency=eventual */", 4).await[0],
            0
        );
        restore(stage).await;
    });
}

#[test]
fn a_running_read_finishes_on_a_replica_that_falls_behind() {
    check_apart("routing.max_replica_lag = \"1s\"", async |stage| {
        prepare(stage, &[1, 2]).await;
        let (mut slow, mut client) = (stage.client().await, stage.client().await);
        let read = stage.mark();
        let text = format!("SELECT SLEEP(20) FROM n LIMIT 1 /* {read} */");
        let running = tokio::spawn(async move { slow.query_first::<i64, _>(text).await.unwrap() });
        eventually(5, "it runs on a replica", async || stage.ran(&read).await.on_replicas() == 1).await;
        stage.admin(0).await.query_drop("INSERT INTO n VALUES (2)").await.unwrap();
        eventually(18, "both are out", async || shares(stage, &mut client, "", 2).await == [2, 0, 0]).await;
        assert!(!running.is_finished(), "the replica has left while the read runs");
        assert_eq!(running.await.unwrap(), Some(0), "it was not cut off");
        restore(stage).await;
    });
}

#[test]
fn lag_is_shown_within_a_second_of_arising() {
    check_apart("", async |stage| {
        prepare(stage, &[]).await;
        let mut operator = stage.dauphin.operator().await;
        let dauphin = &stage.dauphin;
        eventually(10, "nobody is behind", async || lag_ms(dauphin, "db3").await == Some(0)).await;
        stage.admin(2).await.query_drop("STOP REPLICA SQL_THREAD").await.unwrap();
        let by_stopped = shown_after(stage, &mut operator, 2).await;
        stage.admin(2).await.query_drop("START REPLICA SQL_THREAD").await.unwrap();
        let dauphin = &stage.dauphin;
        eventually(10, "db3 catches up", async || lag_ms(dauphin, "db3").await == Some(0)).await;
        delay(stage, 2, HOUR).await;
        settled(stage).await;
        let by_delayed = shown_after(stage, &mut operator, 3).await;
        println!("{}: stopped applier {by_stopped:?}, delayed replica {by_delayed:?}", stage.flavour.name());
        assert!(by_stopped.max(by_delayed) < Duration::from_secs(1), "{by_stopped:?} {by_delayed:?}");
        delay(stage, 2, 0).await;
    });
}

/// After which time SHOW LAG has db3 behind a write that it does not apply.
async fn shown_after(stage: &mut Stage, operator: &mut Conn, id: u32) -> Duration {
    stage.admin(0).await.query_drop(format!("INSERT INTO n VALUES ({id})")).await.unwrap();
    let written = Instant::now();
    loop {
        let row: Option<Row> = operator.query_first("SHOW LAG LIKE 'db3'").await.unwrap();
        if row.unwrap().get::<Option<u64>, _>("lag_ms").unwrap() > Some(0) {
            return written.elapsed();
        }
        assert!(written.elapsed() < Duration::from_secs(10), "it is never shown");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn a_heartbeat_shows_how_late_a_replica_is_that_was_late_before_dauphin_started() {
    check_apart("monitor.heartbeat = \"off\"", async |stage| {
        let mut dauphin = with_heartbeat(stage, "").await;
        let beats = "SELECT COUNT(*) FROM dauphin.heartbeat WHERE server = 'db1'";
        eventually(10, "the row is on the replicas", async || {
            let (db2, db3) = (count(stage, 1, beats).await, count(stage, 2, beats).await);
            (db2, db3) == (1, 1)
        })
        .await;
        delay(stage, 2, HOUR).await;
        // Nobody writes but the heartbeat: to a replica that does not apply it, an idle primary is no excuse.
        stage.admin(1).await.query_drop("STOP REPLICA SQL_THREAD").await.unwrap();
        eventually(10, "both fall behind", async || {
            lag_ms(&dauphin, "db2").await > Some(1000) && lag_ms(&dauphin, "db3").await > Some(4000)
        })
        .await;
        let restarted = Instant::now();
        dauphin.restart(&[]).await;
        stage.admin(1).await.query_drop("START REPLICA SQL_THREAD").await.unwrap();
        eventually(10, "db3 is known to be as late as it is", async || {
            lag_ms(&dauphin, "db3").await > Some(restarted.elapsed().as_millis() as u64 + 3000)
        })
        .await;
        eventually(10, "db2 catches up", async || lag_ms(&dauphin, "db2").await < Some(500)).await;
        assert_eq!(count(stage, 0, "SELECT COUNT(*) FROM dauphin.heartbeat").await, 1, "the same row");
        without_heartbeat(stage, dauphin).await;
        delay(stage, 2, 0).await;
    });
}

#[test]
fn without_a_heartbeat_a_replica_that_was_late_before_dauphin_started_says_itself_how_late_or_nobody_knows() {
    check_apart("monitor.heartbeat = \"off\"", async |stage| {
        prepare(stage, &[2]).await;
        stage.admin(1).await.query_drop("STOP REPLICA SQL_THREAD").await.unwrap();
        stage.admin(0).await.query_drop("INSERT INTO n VALUES (2)").await.unwrap();
        let late_since = Instant::now();
        tokio::time::sleep(Duration::from_secs(5)).await;
        let dauphin = Dauphin::start(stage.cluster, "monitor.heartbeat = \"off\"").await;
        let known_since = Instant::now();
        eventually(10, "db3 is known to be as late as it says", async || {
            // It counts in whole seconds.
            lag_ms(&dauphin, "db3").await > Some(late_since.elapsed().as_millis() as u64 - 1500)
        })
        .await;
        assert!(
            known_since.elapsed() < Duration::from_secs(4),
            "by itself its lag would be as great by then"
        );
        assert_eq!(lag_ms(&dauphin, "db2").await, None, "it says nothing, as its applier is stopped");
        stage.admin(1).await.query_drop("START REPLICA SQL_THREAD").await.unwrap();
        eventually(10, "db2 catches up", async || lag_ms(&dauphin, "db2").await.is_some_and(|lag| lag < 500))
            .await;
        delay(stage, 2, 0).await;
    });
}

#[test]
fn a_heartbeat_that_waits_for_an_operators_lock_deposes_nobody() {
    check_apart("monitor.heartbeat = \"off\"", async |stage| {
        let options = "failover.mode = \"automatic\"\nfailover.write_timeout = \"1s\"";
        let dauphin = with_heartbeat(stage, options).await;
        eventually(10, "it is written", async || fact(&dauphin, "diagnosis").await == "healthy").await;
        assert!(tells_of_full_disks(&stage.dauphin).await && !tells_of_full_disks(&dauphin).await);
        let row = "SELECT COUNT(*) FROM dauphin.heartbeat";
        let beats = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'dauphin'";
        eventually(10, "the table is there", async || {
            count(stage, 0, beats).await == 1 && count(stage, 0, row).await == 1
        })
        .await;
        stage.admin(0).await.query_drop("FLUSH TABLES WITH READ LOCK").await.unwrap();
        eventually(10, "it is seen", async || fact(&dauphin, "diagnosis").await == "primary_stalled").await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(fact(&dauphin, "diagnosis").await, "primary_stalled");
        assert_eq!(fact(&dauphin, "primary").await, "db1");
        stage.admin(0).await.query_drop("UNLOCK TABLES").await.unwrap();
        eventually(10, "it is over", async || fact(&dauphin, "diagnosis").await == "healthy").await;
        assert!(!dauphin.log().contains("failover_started"));
        without_heartbeat(stage, dauphin).await;
    });
}

/// A dauphin that may write heartbeats, and does, ten each second.
async fn with_heartbeat(stage: &mut Stage, options: &str) -> Dauphin {
    let grant = "GRANT CREATE, SELECT, INSERT, UPDATE ON dauphin.* TO dauphin@'%'";
    stage.admin(0).await.query_drop(grant).await.unwrap();
    Dauphin::start(stage.cluster, &format!("monitor.heartbeat = \"100ms\"\n{options}")).await
}

async fn without_heartbeat(stage: &mut Stage, dauphin: Dauphin) {
    drop(dauphin);
    for statement in ["REVOKE ALL ON dauphin.* FROM dauphin@'%'", "DROP DATABASE dauphin"] {
        stage.admin(0).await.query_drop(statement).await.unwrap();
    }
}

/// The number that a query finds on a server; 0 if it fails.
async fn count(stage: &mut Stage, node: usize, query: &str) -> u64 {
    stage.admin(node).await.query_first(query).await.ok().flatten().unwrap_or(0)
}

/// What SHOW LAG says.
async fn lag_ms(dauphin: &Dauphin, server: &str) -> Option<u64> {
    let row: Option<Row> =
        dauphin.operator().await.query_first(format!("SHOW LAG LIKE '{server}'")).await.unwrap();
    row.unwrap().get::<Option<u64>, _>("lag_ms").unwrap()
}

/// What SHOW FAILOVER PLAN says.
async fn fact(dauphin: &Dauphin, item: &str) -> String {
    let row: Option<(String, String)> =
        dauphin.operator().await.query_first(format!("SHOW FAILOVER PLAN LIKE '{item}'")).await.unwrap();
    row.map(|(_, value)| value).unwrap_or_default()
}

/// Whether SHOW FAILOVER PLAN says that a full disk would not be noticed.
async fn tells_of_full_disks(dauphin: &Dauphin) -> bool {
    let obstacles: Vec<(String, String)> =
        dauphin.operator().await.query("SHOW FAILOVER PLAN LIKE 'obstacle'").await.unwrap();
    obstacles.iter().any(|(_, obstacle)| obstacle.contains("a primary whose disk is full is not noticed"))
}

/// A table with one row, and these replicas late.
async fn prepare(stage: &mut Stage, late: &[usize]) {
    stage.given("CREATE TABLE n (id INT PRIMARY KEY);; INSERT INTO n VALUES (1)").await;
    for replica in late {
        delay(stage, *replica, HOUR).await;
    }
    settled(stage).await;
}

/// Both replicas are an hour late, and the primary has gone on.
async fn all_behind(stage: &mut Stage) {
    stage.given("CREATE TABLE n (id INT PRIMARY KEY);; INSERT INTO n VALUES (1)").await;
    for replica in [1, 2] {
        delay(stage, replica, HOUR).await;
    }
    settled(stage).await;
    stage.admin(0).await.query_drop("INSERT INTO n VALUES (2)").await.unwrap();
    let mut client = stage.client().await;
    eventually(15, "both are too far behind", async || {
        let row: Option<(String, String, String, String)> =
            client.query_first("EXPLAIN ROUTE SELECT COUNT(*) FROM n").await.unwrap();
        row.is_some_and(|row| row.3 == "stale_replica")
    })
    .await;
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
    let probe = "/* dauphin:max_lag=off */";
    eventually(10, "both replicas take reads", async || {
        shares(stage, &mut client, probe, 2).await == [0, 1, 1]
    })
    .await;
}

/// Where so many reads went.
async fn shares(stage: &mut Stage, client: &mut Conn, hint: &str, times: usize) -> [usize; 3] {
    let read = stage.mark();
    for _ in 0..times {
        client.query_drop(format!("{hint} SELECT COUNT(*) FROM n /* {read} */")).await.unwrap();
    }
    stage.ran(&read).await.0
}

/// The milliseconds in `lag 2300 ms, limit 500 ms`.
fn lag_in(why: &str) -> u64 {
    let lag = why.strip_prefix("lag ").and_then(|rest| rest.split(' ').next()?.parse().ok());
    lag.unwrap_or_else(|| panic!("{why}"))
}

/// Why a read would not go to `server`.
async fn explained(client: &mut Conn, server: &str) -> String {
    let rows: Vec<(String, String, String, String)> =
        client.query("EXPLAIN ROUTE SELECT COUNT(*) FROM n").await.unwrap();
    rows.into_iter().find(|row| row.0 == server).unwrap().3
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
