//! `[failover] fence_command`: what it is told, and that nobody waits for ever for it.

use std::{
    os::unix::fs::PermissionsExt as _,
    time::{Duration, Instant},
};

use mysql_async::{Row, prelude::Queryable as _};

use crate::support::{Flavour, Stage, check_own, cluster::Node, eventually};

const OPTIONS: &str = "log.level = \"info\"\nfailover.mode = \"automatic\"\nfailover.quiet_time = \"0s\"\nfailover.fence_command = \"{directory}/fence\"\n";

/// The messages of the events of a kind.
async fn told(stage: &Stage, kind: &str) -> Vec<String> {
    let rows: Vec<Row> = stage.dauphin.operator().await.query("SHOW EVENTS").await.unwrap();
    let is_it = |row: &&Row| row.get::<String, _>("kind").unwrap() == kind;
    rows.iter().filter(is_it).map(|row| row.get("message").unwrap()).collect()
}

fn set_command(stage: &Stage, script: &str) {
    let path = stage.dauphin.directory().join("fence");
    // Under another name first: what runs cannot be written to.
    let new = path.with_extension("new");
    std::fs::write(&new, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::rename(new, path).unwrap();
}

/// Whether both replicas take reads and one of them could be promoted.
async fn is_settled(stage: &Stage) -> bool {
    let mut operator = stage.dauphin.operator().await;
    let servers: Vec<Row> = operator.query("SHOW SERVERS").await.unwrap();
    let readable = servers.iter().filter(|row| row.get::<String, _>("reads").unwrap() == "yes").count();
    let plan: Vec<(String, Option<String>)> = operator.query("SHOW FAILOVER PLAN").await.unwrap();
    readable == 2 && plan.iter().any(|(item, value)| item == "candidate" && value.is_some())
}

/// db1 is lost and replaced for the `time`th time; how long that took. Afterwards it is the primary again.
async fn lose_the_primary(
    stage: &mut Stage,
    time: usize,
    lose: impl Fn(&Node),
    find: impl AsyncFn(&Node),
) -> Duration {
    eventually(60, "a failover could be done", async || is_settled(stage).await).await;
    let began = Instant::now();
    lose(stage.cluster.primary());
    eventually(40, "a failover", async || told(stage, "failover_done").await.len() == time).await;
    let took = began.elapsed();
    find(stage.cluster.primary()).await;
    eventually(60, "db1 is back", async || {
        let back = told(stage, "rejoined").await;
        back.iter().filter(|message| message.starts_with("db1 ")).count() == time
    })
    .await;
    let mut operator = stage.dauphin.operator().await;
    eventually(30, "db1 is the primary again", async || {
        operator.query_drop("SWITCHOVER TO db1").await.is_ok()
    })
    .await;
    took
}

#[test]
fn the_fence_command_is_told_whom_to_cut_off_once_and_may_fail_or_hang() {
    check_own("fence", &[Flavour::MySql, Flavour::MariaDb], OPTIONS, async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY)").await;
        let fenced = stage.dauphin.directory().join("fenced");
        set_command(stage, &format!("echo \"$# $1 $2\" >> {}", fenced.display()));
        let state = stage.dauphin.directory().join("state.json");
        let is_known = || std::fs::read_to_string(&state).unwrap_or_default().contains("\"db1\": ");
        eventually(20, "the primary is known", async || is_known()).await;
        let address = stage.cluster.primary().address();
        let took = lose_the_primary(stage, 1, Node::kill, Node::start_unlogged).await;
        let cut_off = std::fs::read_to_string(&fenced).unwrap();
        assert_eq!(cut_off, format!("2 db1 {address}:3306\n"), "once, and nobody else");
        assert_eq!(told(stage, "fence_command").await, ["fence_command ended with exit status: 0"]);
        println!("with a command that ends: {took:?}");

        set_command(stage, "exit 3");
        lose_the_primary(stage, 2, Node::kill, Node::start_unlogged).await;
        assert_eq!(told(stage, "fence_command").await[1..], ["fence_command ended with exit status: 3"]);

        set_command(stage, "exec sleep 600");
        let took = lose_the_primary(stage, 3, Node::kill, Node::start_unlogged).await;
        assert_eq!(told(stage, "fence_command").await[2..], ["fence_command did not end within 5 s"]);
        assert!(took < Duration::from_secs(20), "{took:?}");
        println!("with one that hangs: {took:?}");

        set_command(stage, &format!("echo \"$# $1 $2\" >> {}", fenced.display()));
        let hang = |node: &Node| node.stand_still(true);
        let took = lose_the_primary(stage, 4, hang, async |node| node.stand_still(false)).await;
        assert_eq!(
            std::fs::read_to_string(&fenced).unwrap(),
            cut_off.repeat(2),
            "once more, and no more than that"
        );
        assert_eq!(told(stage, "fence_command").await[3..], ["fence_command ended with exit status: 0"]);
        println!("a primary that hangs: {took:?}");

        stage.client().await.query_drop("INSERT INTO t VALUES (1)").await.unwrap();
    });
}
