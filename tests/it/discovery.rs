//! Servers that are in no config are found through replication, and take part as if they were.

use std::{net::IpAddr, time::Duration};

use mysql_async::{Row, prelude::Queryable as _};

use crate::support::{Flavour, Stage, check_nameless, dauphin::Dauphin, eventually};

const ALONE: &str =
    "failover.mode = \"automatic\"\nmonitor.discover = \"200ms\"\nlisten.drain_timeout = \"1s\"\n";

/// Of each server these columns, in the servers' order.
async fn servers<const N: usize>(stage: &Stage, columns: [&str; N]) -> Vec<[String; N]> {
    let rows: Vec<Row> = stage.dauphin.operator().await.query("SHOW SERVERS").await.unwrap();
    let value = |row: &Row, column| row.get::<Option<String>, _>(column).expect("the column is there");
    rows.iter().map(|row| columns.map(|column| value(row, column).unwrap_or_default())).collect()
}

/// Has dauphin know only these nodes to begin with.
async fn list_only(stage: &mut Stage, nodes: &[usize], options: &str) {
    stage.dauphin.terminate();
    assert!(stage.dauphin.ended(Duration::from_secs(15)).await, "it ends well");
    let listed: Vec<(&str, IpAddr)> =
        nodes.iter().map(|&at| (stage.cluster.nodes[at].name, stage.cluster.nodes[at].address())).collect();
    stage.dauphin = Dauphin::start_for(&listed, options).await;
}

fn address(stage: &Stage, node: usize) -> String {
    format!("{}:3306", stage.cluster.nodes[node].address())
}

/// How many servers take reads as replicas.
async fn readers(stage: &Stage) -> usize {
    servers(stage, ["reads"]).await.iter().filter(|[reads]| reads == "yes").count()
}

#[test]
fn servers_that_nobody_listed_are_found_and_used() {
    check_nameless("discovery", "", async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY)").await;
        a_server_that_is_listed_under_two_names_is_one(stage).await;
        who_is_not_wanted_takes_no_part(stage).await;
        with_a_replica_s_address_the_primary_is_found(stage).await;
        with_one_address_the_replicas_are_found_read_from_and_promoted(stage).await;
    });
}

async fn with_one_address_the_replicas_are_found_read_from_and_promoted(stage: &mut Stage) {
    list_only(stage, &[0], ALONE).await;
    eventually(20, "both replicas take reads", async || readers(stage).await == 2).await;
    let mut origins = servers(stage, ["server", "role", "origin"]).await;
    origins[1..].sort();
    let mut expected = vec![["db1".to_owned(), "primary".into(), "config".into()]];
    let mut found = [address(stage, 1), address(stage, 2)];
    found.sort();
    expected.extend(found.map(|address| [address, "replica".into(), "discovered".into()]));
    assert_eq!(origins, expected);
    let (mark, mut client) = (stage.mark(), stage.client().await);
    for _ in 0..10 {
        client.query_drop(format!("SELECT * FROM t /* {mark} */")).await.unwrap();
    }
    let ran = stage.ran(&mark).await;
    ran.only_on_replicas(10);
    assert!(ran.0[1] > 0 && ran.0[2] > 0, "both share them: {ran}");

    stage.cluster.nodes[0].kill();
    client.query_drop("INSERT INTO t VALUES (1)").await.expect("it waits for the failover");
    let primary = async |stage: &Stage| -> Option<String> {
        let servers = servers(stage, ["server", "role"]).await;
        servers.into_iter().find(|[_, role]| role == "primary").map(|[name, _]| name)
    };
    let promoted = primary(stage).await.expect("one is the primary");
    assert!(found_at(stage, &promoted) > 0, "{promoted}");

    // The one that is listed is gone: the others are remembered.
    stage.dauphin.restart(&[]).await;
    stage.client().await.query_drop("INSERT INTO t VALUES (2)").await.unwrap();
    assert_eq!(primary(stage).await, Some(promoted));
    eventually(20, "the other replica takes reads", async || readers(stage).await == 1).await;

    stage.cluster.nodes[0].start().await;
    eventually(60, "the old primary takes reads", async || readers(stage).await == 2).await;
    stage.dauphin.operator().await.query_drop("SWITCHOVER TO db1").await.unwrap();
    eventually(20, "the old primary rules", async || primary(stage).await.as_deref() == Some("db1")).await;
    let mut client = stage.client().await;
    let rows: Vec<u32> = client.query("SELECT id FROM t ORDER BY id").await.unwrap();
    assert_eq!(rows, [1, 2, 10, 11]);
}

/// Which node's address this is.
fn found_at(stage: &Stage, name: &str) -> usize {
    (0..3).find(|&at| address(stage, at) == name).unwrap_or_default()
}

async fn with_a_replica_s_address_the_primary_is_found(stage: &mut Stage) {
    // As this machine reaches it, too; the cluster's own names are known to its containers only.
    let host = stage.cluster.primary().address();
    let change = match stage.flavour {
        Flavour::MySql => format!("CHANGE REPLICATION SOURCE TO SOURCE_HOST = '{host}'"),
        Flavour::MariaDb => format!("CHANGE MASTER TO MASTER_HOST = '{host}'"),
    };
    let replica = stage.admin(1).await;
    for statement in ["STOP REPLICA", &change, "START REPLICA"] {
        replica.query_drop(statement).await.unwrap();
    }
    list_only(stage, &[1], ALONE).await;
    let mut client = stage.client().await;
    client.query_drop("INSERT INTO t VALUES (11)").await.expect("it waits for the primary");
    eventually(20, "both replicas take reads", async || readers(stage).await == 2).await;
    let primary = address(stage, 0);
    let shown = servers(stage, ["server", "role"]).await;
    assert!(shown.contains(&[primary, "primary".into()]), "{shown:?}");
}

async fn who_is_not_wanted_takes_no_part(stage: &mut Stage) {
    let except = format!("monitor.discover_except = [\"{}\"]\n", address(stage, 2));
    list_only(stage, &[0], &format!("{ALONE}{except}")).await;
    eventually(20, "one replica takes reads", async || readers(stage).await == 1).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let shown = servers(stage, ["server"]).await;
    assert_eq!(shown, [["db1".to_owned()], [address(stage, 1)]]);

    list_only(stage, &[0], "monitor.discover = \"off\"\n").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(servers(stage, ["server"]).await.len(), 1);
}

async fn a_server_that_is_listed_under_two_names_is_one(stage: &mut Stage) {
    stage.dauphin.terminate();
    assert!(stage.dauphin.ended(Duration::from_secs(15)).await, "it ends well");
    let at = stage.cluster.primary().address();
    let IpAddr::V4(v4) = at else { panic!("{at} is no IPv4 address") };
    let same = IpAddr::V6(v4.to_ipv6_mapped());
    let listed = [("one", at), ("other", same)];
    stage.dauphin = Dauphin::start_for(&listed, "monitor.discover = \"off\"\n").await;
    let mut client = stage.client().await;
    client.query_drop("INSERT INTO t VALUES (10)").await.expect("one of the two takes it");
    let causes = servers(stage, ["cause"]).await;
    let refused = causes.iter().filter(|[cause]| cause.contains("listed twice"));
    assert_eq!(refused.count(), 1, "{causes:?}");
}
