//! Many clients on few server connections.

use std::time::{Duration, Instant};

use mysql_async::{Conn, prelude::Queryable as _};

use crate::support::{Stage, check_with, cluster::options, eventually, server_error};

/// An account that only this story uses, so that its connections can be counted on the servers.
async fn account(stage: &mut Stage) -> String {
    let (schema, user) = (stage.schema.clone(), format!("it_{}", stage.schema));
    stage
        .given(&format!(
            "CREATE USER {user}@'%' IDENTIFIED BY 'secret';; GRANT ALL ON {schema}.* TO {user}@'%'"
        ))
        .await;
    user
}

/// How many connections the account has to each server.
async fn connections(stage: &mut Stage, user: &str) -> [usize; 3] {
    let mut counts = [0; 3];
    for (node, count) in counts.iter_mut().enumerate() {
        let query = format!("SELECT COUNT(*) FROM information_schema.processlist WHERE user = '{user}'");
        *count = stage.admin(node).await.query_first(query).await.unwrap().unwrap();
    }
    counts
}

async fn connect(stage: &Stage, user: &str) -> Conn {
    stage.try_client(stage.options(user, "secret").db_name(Some(&stage.schema))).await.unwrap()
}

#[test]
fn three_hundred_clients_share_a_few_server_connections() {
    check_with("pool.max_connections_per_server = 10\npool.wait_timeout = \"60s\"", async |stage| {
        stage.given("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY)").await;
        let user = account(stage).await;
        let mut clients = Vec::new();
        for _ in 0..300 {
            clients.push(connect(stage, &user).await);
        }
        for round in 0..2 {
            let mut running = tokio::task::JoinSet::new();
            for mut client in std::mem::take(&mut clients) {
                running.spawn(async move {
                    client.query_drop("SET @own = 1, time_zone = '+01:00'").await?;
                    client.query_drop("INSERT INTO t VALUES (NULL)").await?;
                    let _: Option<u32> = client.query_first("SELECT COUNT(*) FROM t").await?;
                    mysql_async::Result::Ok(client)
                });
            }
            while let Some(client) = running.join_next().await {
                clients.push(client.unwrap().unwrap_or_else(|error| panic!("round {round}: {error}")));
            }
            let counts = connections(stage, &user).await;
            assert!(counts.iter().all(|&count| count <= 10), "{counts:?} connections for 300 clients");
        }
        let all = "SELECT COUNT(*) FROM t /* dauphin:primary */"; // a replica owes a session its own writes only
        let rows: Option<u32> = clients[0].query_first(all).await.unwrap();
        assert_eq!(rows, Some(600));
    });
}

#[test]
fn the_limit_of_connections_to_a_server_is_named_in_the_error() {
    the_limit_is_named("max_connections_per_server", false);
}

#[test]
fn the_limit_of_a_users_connections_to_a_server_is_named_in_the_error() {
    the_limit_is_named("max_connections_per_user", true);
}

/// With room for two on a server, the third is told the limit; whether `others`, other users, have room of their own.
fn the_limit_is_named(limit: &str, others: bool) {
    check_with(&format!("pool.{limit} = 2\npool.wait_timeout = \"300ms\""), async |stage| {
        let user = account(stage).await;
        let (mut first, mut second, mut third) =
            (connect(stage, &user).await, connect(stage, &user).await, connect(stage, &user).await);
        first.query_drop("BEGIN").await.unwrap();
        second.query_drop("BEGIN").await.unwrap();
        let error = server_error(third.query_drop("BEGIN").await);
        assert_eq!(error.code, 1040, "{}", error.message);
        assert!(error.message.contains(limit), "{}", error.message);
        assert_eq!(third.query_first::<u32, _>("SELECT 1").await.unwrap(), Some(1), "replicas have room");
        if others {
            stage.client().await.query_drop("BEGIN").await.unwrap();
        }
        first.query_drop("COMMIT").await.unwrap();
        third.query_drop("BEGIN").await.unwrap();
    });
}

#[test]
fn the_limit_of_waiting_sessions_is_named_in_the_error() {
    let full = "pool.max_connections_per_server = 1\npool.max_waiting = 1\npool.wait_timeout = \"60s\"";
    check_with(full, async |stage| {
        let user = account(stage).await;
        let (mut first, mut second, mut third) =
            (connect(stage, &user).await, connect(stage, &user).await, connect(stage, &user).await);
        first.query_drop("BEGIN").await.unwrap();
        let shown = format!("SHOW SESSIONS LIKE '{}'", second.id());
        let waiting = tokio::spawn(async move { second.query_drop("BEGIN").await.map(|()| second) });
        let admin = stage.dauphin.admin;
        let mut operator =
            Conn::new(options(admin.ip().to_string(), admin.port(), "admin", "")).await.unwrap();
        eventually(5, "it waits", async || {
            let row: Option<mysql_async::Row> = operator.query_first(&shown).await.unwrap();
            row.and_then(|row| row.get::<String, _>("state")).is_some_and(|is| is == "waiting_for_connection")
        })
        .await;
        let refused = tokio::time::timeout(Duration::from_secs(5), third.query_drop("BEGIN"));
        let error = server_error(refused.await.expect("it does not wait"));
        assert_eq!(error.code, 1040, "{}", error.message);
        assert!(error.message.contains("max_waiting"), "{}", error.message);
        first.query_drop("COMMIT").await.unwrap();
        let mut second =
            tokio::time::timeout(Duration::from_secs(5), waiting).await.unwrap().unwrap().unwrap();
        second.query_drop("COMMIT").await.unwrap();
        third.query_drop("BEGIN").await.unwrap();
    });
}

#[test]
fn who_waits_for_a_connection_gets_the_first_that_is_free() {
    check_with("pool.max_connections_per_server = 1", async |stage| {
        let user = account(stage).await;
        let (mut first, mut second) = (connect(stage, &user).await, connect(stage, &user).await);
        first.query_drop("BEGIN").await.unwrap();
        let waiting = tokio::spawn(async move { second.query_drop("BEGIN").await });
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!waiting.is_finished());
        first.query_drop("COMMIT").await.unwrap();
        tokio::time::timeout(Duration::from_secs(5), waiting).await.unwrap().unwrap().unwrap();
    });
}

#[test]
fn idle_connections_are_closed() {
    check_with("pool.idle_timeout = \"1s\"", async |stage| {
        let user = account(stage).await;
        let mut client = connect(stage, &user).await;
        for _ in 0..4 {
            client.query_drop("SELECT 1").await.unwrap();
        }
        assert!(connections(stage, &user).await.iter().sum::<usize>() >= 2);
        eventually(10, "the servers have no idle connection left", async || {
            connections(stage, &user).await == [0; 3]
        })
        .await;
        assert_eq!(
            client.query_first::<u32, _>("SELECT 1").await.unwrap(),
            Some(1),
            "the session does not notice"
        );
    });
}

#[test]
fn old_connections_are_closed_though_they_are_used() {
    check_with("pool.max_age = \"2s\"", async |stage| {
        let user = account(stage).await;
        let mut client = connect(stage, &user).await;
        let mut seen = Vec::new();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(5) {
            let id: Option<u32> =
                client.query_first("SELECT CONNECTION_ID() + 0 /* dauphin:primary */").await.unwrap();
            seen.extend(id);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let used = seen.len();
        seen.dedup();
        assert!((2..=4).contains(&seen.len()), "{seen:?} in {used} statements over 5 s");
    });
}
