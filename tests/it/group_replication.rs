//! Three members of a replication group: it elects its primary itself, and dauphin follows.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use mysql_async::{Conn, OptsBuilder, Row, prelude::Queryable as _};

use crate::support::{Stage, check_group, eventually, server_error};

const AUTOMATIC: &str = "failover.mode = \"automatic\"\nrouting.hold_timeout = \"30s\"";

#[test]
fn a_replication_group_elects_its_primary_and_dauphin_follows() {
    check_group(AUTOMATIC, async |stage| {
        let schema = stage.schema.clone();
        stage.given("CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, n INT UNIQUE)").await;
        its_members_are_recognised(stage).await;
        let writer = Writer::start(stage).await;
        a_switchover_has_the_group_elect_another(stage, &writer).await;
        a_member_that_has_left_takes_no_reads(stage).await;
        writer.has_had_no_error();
        a_dead_primary_is_replaced_by_the_group(stage, &writer).await;
        let acknowledged = writer.stop().await;
        let rows: Option<u64> =
            stage.admin(0).await.query_first(format!("SELECT COUNT(*) FROM {schema}.t")).await.unwrap();
        let rows = rows.unwrap();
        assert!(acknowledged <= rows, "{acknowledged} were acknowledged, {rows} are there");
        of_several_primaries_one_takes_statements(stage).await;
    });
}

async fn its_members_are_recognised(stage: &mut Stage) {
    let mut client = stage.client().await;
    assert_eq!(runs(stage, &mut client, "INSERT INTO t (n) VALUES (-1)", 1).await, [1, 0, 0]);
    let mark = stage.mark();
    for n in 2..=9 {
        client.query_drop(format!("INSERT INTO t (n) VALUES (-{n})")).await.unwrap();
        let seen: Option<i64> =
            client.query_first(format!("SELECT COUNT(*) FROM t /* {mark} */")).await.unwrap();
        assert_eq!(seen, Some(n), "a session sees its own write");
    }
    let ran = stage.ran(&mark).await;
    assert_eq!(ran.on_primary() + ran.on_replicas(), 8, "{ran}");
    eventually(20, "both secondaries take reads", async || {
        runs(stage, &mut client, "SELECT COUNT(*) FROM t", 4).await == [0, 2, 2]
    })
    .await;
    assert_eq!(shown(stage, "SHOW SERVERS", "role").await, ["primary", "replica", "replica"]);
    assert_eq!(shown(stage, "SHOW SERVERS", "reads").await, ["no", "yes", "yes"]);
    let groups = shown(stage, "SHOW TOPOLOGY", "group").await;
    assert_eq!(groups, ["ONLINE PRIMARY", "ONLINE SECONDARY", "ONLINE SECONDARY"]);
    let lags = shown(stage, "SHOW LAG", "lag_ms").await;
    assert!(lags.iter().all(|lag| lag.parse::<u64>().is_ok()), "{lags:?}");
    let refused = server_error(stage.dauphin.operator().await.query_drop("FAILOVER TO db2 FORCE").await);
    assert!(refused.message.contains("elects its primary itself"), "{}", refused.message);
}

async fn a_switchover_has_the_group_elect_another(stage: &mut Stage, writer: &Writer) {
    let mut client = stage.client().await;
    for to in ["db2", "db3"] {
        let before = writer.acknowledged();
        stage.dauphin.operator().await.query_drop(format!("SWITCHOVER TO {to}")).await.unwrap();
        eventually(10, "writes go on", async || writer.acknowledged() > before + 20).await;
        writer.has_had_no_error();
    }
    assert_eq!(runs(stage, &mut client, "INSERT INTO t (n) VALUES (NULL)", 2).await, [0, 0, 2]);
    let roles = shown(stage, "SHOW SERVERS", "role").await;
    assert_eq!(roles, ["replica", "replica", "primary"]);
}

async fn a_member_that_has_left_takes_no_reads(stage: &mut Stage) {
    let mut client = stage.client().await;
    stage.admin(1).await.query_drop("STOP GROUP_REPLICATION").await.unwrap();
    eventually(10, "db2 takes no reads", async || shown(stage, "SHOW SERVERS", "reads").await[1] == "no")
        .await;
    let cause = shown(stage, "SHOW SERVERS", "cause").await;
    assert!(cause[1].contains("(OFFLINE)"), "{cause:?}");
    assert_eq!(
        runs(stage, &mut client, "/* dauphin:consistency=eventual */ SELECT 1 FROM t", 4).await,
        [4, 0, 0]
    );
    let refused = server_error(stage.dauphin.operator().await.query_drop("SWITCHOVER TO db2").await);
    assert!(refused.message.contains("not an online member"), "{}", refused.message);
    stage.cluster.join(&stage.cluster.nodes[1]).await.unwrap();
    eventually(20, "db2 takes reads again", async || shown(stage, "SHOW SERVERS", "reads").await[1] == "yes")
        .await;
}

async fn a_dead_primary_is_replaced_by_the_group(stage: &mut Stage, writer: &Writer) {
    stage.cluster.nodes[2].kill();
    // It is back, writable and no member, most likely before the group has missed it.
    stage.cluster.nodes[2].start().await;
    stage.admin(2).await.query_drop("SET GLOBAL read_only = OFF").await.unwrap();
    let before = writer.acknowledged();
    eventually(30, "the group has elected", async || writer.acknowledged() > before).await;
    let roles = shown(stage, "SHOW SERVERS", "role").await;
    assert_eq!(roles.iter().filter(|role| *role == "primary").count(), 1, "{roles:?}");
    assert_ne!(roles[2], "primary");
    let events = shown(stage, "SHOW EVENTS", "kind").await;
    assert!(events.contains(&"group_electing".to_owned()), "{events:?}");
    assert!(!events.iter().any(|kind| kind.starts_with("failover") || kind == "fenced"), "{events:?}");
    // Nothing was written to it meanwhile: what it has, the others have.
    let alone: String =
        stage.admin(2).await.query_first("SELECT @@GLOBAL.gtid_executed").await.unwrap().unwrap();
    let surplus: Option<String> = stage
        .admin(0)
        .await
        .exec_first("SELECT GTID_SUBTRACT(?, @@GLOBAL.gtid_executed)", (alone,))
        .await
        .unwrap();
    assert_eq!(surplus.as_deref(), Some(""));
    stage.cluster.join(&stage.cluster.nodes[2]).await.unwrap();
    eventually(20, "db3 takes reads", async || shown(stage, "SHOW SERVERS", "reads").await[2] == "yes").await;
}

async fn of_several_primaries_one_takes_statements(stage: &mut Stage) {
    let mut client = stage.client().await;
    let primary =
        shown(stage, "SHOW SERVERS", "role").await.iter().position(|role| role == "primary").unwrap();
    let switch = "SELECT group_replication_switch_to_multi_primary_mode()";
    stage.admin(primary).await.query_drop(switch).await.unwrap();
    eventually(10, "the others take no reads", async || {
        shown(stage, "SHOW SERVERS", "reads").await.iter().all(|reads| reads == "no")
    })
    .await;
    let mut expected = [0; 3];
    expected[primary] = 4;
    assert_eq!(runs(stage, &mut client, "INSERT INTO t (n) VALUES (NULL)", 4).await, expected);
    assert_eq!(runs(stage, &mut client, "SELECT COUNT(*) FROM t", 4).await, expected);
    let refused = server_error(stage.dauphin.operator().await.query_drop("SWITCHOVER").await);
    assert!(refused.message.contains("multi-primary mode"), "{}", refused.message);
}

/// One client that inserts, one row after another.
struct Writer {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    errors: Arc<AtomicU64>,
    running: tokio::task::JoinHandle<()>,
}

impl Writer {
    async fn start(stage: &Stage) -> Self {
        let (stop, acknowledged, errors) = (Arc::default(), Arc::default(), Arc::default());
        let options = stage.options("app", "app").db_name(Some(&stage.schema));
        let running =
            tokio::spawn(write(options, Arc::clone(&stop), Arc::clone(&acknowledged), Arc::clone(&errors)));
        Self { stop, acknowledged, errors, running }
    }

    fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::SeqCst)
    }

    #[track_caller]
    fn has_had_no_error(&self) {
        assert_eq!(self.errors.load(Ordering::SeqCst), 0);
    }

    async fn stop(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        self.running.await.unwrap();
        self.acknowledged.load(Ordering::SeqCst)
    }
}

async fn write(
    options: OptsBuilder,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    errors: Arc<AtomicU64>,
) {
    let mut n = 0;
    let mut connection: Option<Conn> = None;
    while !stop.load(Ordering::SeqCst) {
        let Some(client) = &mut connection else {
            connection = Conn::new(options.clone()).await.ok();
            continue;
        };
        n += 1;
        match client.exec_drop("INSERT INTO t (n) VALUES (?)", (n,)).await {
            Ok(()) => _ = acknowledged.fetch_add(1, Ordering::SeqCst),
            Err(_) => {
                errors.fetch_add(1, Ordering::SeqCst);
                connection = None;
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A column of what dauphin shows; NULL is empty.
async fn shown(stage: &Stage, command: &str, column: &str) -> Vec<String> {
    let rows: Vec<Row> = stage.dauphin.operator().await.query(command).await.unwrap();
    let value = |row: &Row| row.get::<Option<String>, _>(column).expect("the column is there");
    rows.iter().map(|row| value(row).unwrap_or_default()).collect()
}

/// Where so many of a statement ran, by the servers' own logs.
async fn runs(stage: &mut Stage, client: &mut Conn, statement: &str, times: usize) -> [usize; 3] {
    let mark = stage.mark();
    for _ in 0..times {
        client.query_drop(format!("{statement} /* {mark} */")).await.unwrap();
    }
    stage.ran(&mark).await.0
}
