//! A former primary with transactions of its own is rebuilt by the commands that dauphin lists for it.

use std::time::Duration;

use mysql_async::{Row, prelude::Queryable as _};

use crate::support::{Flavour, Stage, check_own, eventually};

const OPTIONS: &str = "failover.mode = \"automatic\"\nfailover.quiet_time = \"0s\"\n";

/// A column of the rows of SHOW SERVERS with this server.
async fn of_server(stage: &Stage, server: &str, column: &str) -> String {
    let rows: Vec<Row> = stage.dauphin.operator().await.query("SHOW SERVERS").await.unwrap();
    let row = rows.iter().find(|row| row.get::<String, _>("server").unwrap() == server).unwrap();
    row.get::<Option<String>, _>(column).unwrap().unwrap_or_default()
}

async fn has_happened(stage: &Stage, kind: &str) -> bool {
    let rows: Vec<Row> = stage.dauphin.operator().await.query("SHOW EVENTS").await.unwrap();
    rows.iter().any(|row| row.get::<String, _>("kind").unwrap() == kind)
}

/// db1 is replaced, and has then a transaction that no other server has; what dauphin says of it.
async fn go_astray(stage: &mut Stage) -> String {
    let state = stage.dauphin.directory().join("state.json");
    let is_known = || std::fs::read_to_string(&state).unwrap_or_default().contains("\"db1\": ");
    eventually(20, "the primary is known", async || is_known()).await;
    stage.cluster.primary().kill();
    eventually(40, "a failover", async || has_happened(stage, "failover_done").await).await;
    stage.dauphin.terminate();
    assert!(stage.dauphin.ended(Duration::from_secs(15)).await);
    stage.cluster.primary().start_unlogged().await;
    let astray = stage.admin(0).await;
    for statement in [
        "SET GLOBAL rpl_semi_sync_source_enabled = OFF",
        "SET GLOBAL read_only = OFF",
        "CREATE DATABASE astray",
    ] {
        astray.query_drop(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    stage.dauphin.restart(&[]).await;
    eventually(20, "db1 is left alone", async || {
        of_server(stage, "db1", "cause").await.contains("rebuild it")
    })
    .await;
    assert_eq!(of_server(stage, "db1", "role").await, "quarantined");
    of_server(stage, "db1", "cause").await
}

#[test]
fn a_server_with_transactions_of_its_own_is_rebuilt_by_the_listed_commands() {
    // What is listed for MariaDB takes mariadb-backup, which is not in the image of these tests.
    check_own("rebuild", &[Flavour::MySql], OPTIONS, async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY)").await;
        let cause = go_astray(stage).await;
        println!("{cause}");
        let (_, commands) = cause.split_once("rebuild it: ").expect("commands are listed");
        let (commands, _) = commands.split_once("; dauphin makes it a replica").expect("and what follows");
        let commands = commands.replace("<user>", "admin").replace("<password>", "admin");
        let mut node = None;
        for command in commands.split("; ") {
            let mut statement = command;
            for (at, name) in ["db1", "db2", "db3"].into_iter().enumerate() {
                if let Some(there) = command.strip_prefix(&format!("on {name}: ")) {
                    (node, statement) = (Some(at), there);
                }
            }
            let done = stage.admin(node.expect("it says where")).await.query_drop(statement).await;
            println!("{node:?}: {statement}: {done:?}");
            // Nothing starts a server again in a container: it ends (3707), and is started below.
            assert!(statement.starts_with("CLONE") || done.is_ok(), "{statement}: {done:?}");
        }
        let db1 = stage.cluster.primary();
        eventually(30, "db1 ends", async || db1.admin().await.is_err()).await;
        // While its data is replaced it says that it has no transactions.
        assert!(!has_happened(stage, "rejoined").await, "a server without any data was taken for a replica");
        db1.ended().await;
        db1.start_unlogged().await;
        eventually(60, "db1 is a replica again", async || {
            of_server(stage, "db1", "role").await == "replica"
                && of_server(stage, "db1", "reads").await == "yes"
        })
        .await;
        let left: Vec<String> = stage.admin(0).await.query("SHOW DATABASES LIKE 'astray'").await.unwrap();
        assert!(left.is_empty(), "what it had of its own is gone");
        assert_eq!(of_server(stage, "db1", "errant").await, "");
        let mut operator = stage.dauphin.operator().await;
        eventually(30, "db1 is the primary again", async || {
            operator.query_drop("SWITCHOVER TO db1").await.is_ok()
        })
        .await;
        stage.client().await.query_drop("INSERT INTO t VALUES (1)").await.unwrap();
    });
}
