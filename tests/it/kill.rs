//! KILL with the ids that dauphin gives its clients.

use std::time::{Duration, Instant};

use dauphin_proto::command::code;
use mysql_async::prelude::Queryable as _;

use crate::support::{check, eventually, server_error};

#[test]
fn killing_a_query_ends_it_wherever_it_runs_and_leaves_its_session() {
    check(async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY);; INSERT INTO t VALUES (1), (2), (3)").await;
        let mut killer = stage.client().await;
        // A read, on a replica, and a write, on the primary.
        for text in ["SELECT SUM(SLEEP(20)) FROM t", "DELETE FROM t WHERE SLEEP(20) = 1"] {
            let (mark, mut victim) = (stage.mark(), stage.client().await);
            let id = victim.id();
            let statement = format!("{text} /* {mark} */");
            let running = tokio::spawn(async move {
                let outcome = victim.query_drop(statement).await;
                (outcome, victim)
            });
            eventually(10, "it runs", async || stage.ran(&mark).await.0.iter().sum::<usize>() == 1).await;
            let start = Instant::now();
            killer.query_drop(format!("KILL QUERY {id}")).await.unwrap();
            let (outcome, mut victim) =
                tokio::time::timeout(Duration::from_secs(10), running).await.expect("it ends").unwrap();
            assert!(start.elapsed() < Duration::from_secs(10));
            assert_eq!(server_error(outcome).code, 1317, "{text}");
            assert_eq!(
                victim.query_first::<u32, _>("SELECT 1").await.unwrap(),
                Some(1),
                "the session goes on"
            );
        }
    });
}

#[test]
fn killing_a_connection_ends_its_session() {
    check(async |stage| {
        let (mut killer, mut victim) = (stage.client().await, stage.client().await);
        killer.query_drop(format!("KILL {}", victim.id())).await.unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(5), victim.query_drop("SELECT 1"))
            .await
            .expect("it ends");
        assert!(ended.is_err());
        killer.query_drop("SELECT 1").await.unwrap();
    });
}

#[test]
fn another_users_query_cannot_be_killed() {
    check(async |stage| {
        let user = format!("it_{}", stage.schema);
        stage.given(&format!("CREATE USER {user}@'%' IDENTIFIED BY 'secret'")).await;
        let victim = stage.client().await;
        let mut killer = stage.try_client(stage.options(&user, "secret")).await.unwrap();
        let error = server_error(killer.query_drop(format!("KILL QUERY {}", victim.id())).await);
        assert_eq!(
            (error.code, error.message),
            (1095, format!("You are not owner of thread {}", victim.id()))
        );
    });
}

#[test]
fn another_users_sessions_are_ended_by_who_has_the_privilege_for_it() {
    check(async |stage| {
        let user = format!("it_{}", stage.schema);
        let privilege = if stage.is_mysql() { "CONNECTION_ADMIN" } else { "CONNECTION ADMIN" };
        stage
            .given(&format!(
                "CREATE USER {user}@'%' IDENTIFIED BY 'secret';; GRANT {privilege} ON *.* TO {user}@'%'"
            ))
            .await;
        let mut killer = stage.try_client(stage.options(&user, "secret")).await.unwrap();
        let mut victim = stage.client().await;
        let (mark, id) = (stage.mark(), victim.id());
        let statement = format!("DO SLEEP(20) /* {mark} dauphin:primary */");
        let running = tokio::spawn(async move {
            let outcome = victim.query_drop(statement).await;
            (outcome, victim)
        });
        eventually(10, "it runs", async || stage.ran(&mark).await.0.iter().sum::<usize>() == 1).await;
        killer.query_drop(format!("KILL QUERY {id}")).await.unwrap();
        let (_, mut victim) =
            tokio::time::timeout(Duration::from_secs(10), running).await.expect("it ends").unwrap();
        victim.query_drop("SELECT 1").await.unwrap();
        // It runs nothing now.
        killer.query_drop(format!("KILL {id}")).await.unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(5), victim.query_drop("SELECT 1"));
        assert!(ended.await.expect("it ends").is_err());
        if stage.is_mysql() {
            // An account with SYSTEM_USER is for its like only.
            let mut system = stage.try_client(stage.options("admin", "admin")).await.unwrap();
            let error = server_error(killer.query_drop(format!("KILL {}", system.id())).await);
            assert_eq!(error.code, 1095);
            system.query_drop("SELECT 1").await.unwrap();
        }
    });
}

#[test]
fn a_client_that_leaves_takes_its_running_query_along() {
    check(async |stage| {
        let (mark, mut client) = (stage.mark(), stage.raw().await);
        client.command(code::QUERY, format!("SELECT SLEEP(30) /* {mark} */").as_bytes()).await.unwrap();
        eventually(10, "it runs", async || stage.ran(&mark).await.on_replicas() == 1).await;
        drop(client);
        eventually(15, "no server runs it any more", async || {
            let mut count = 0;
            for node in 0..3 {
                let query = format!("SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP%{mark}%'");
                count += stage.admin(node).await.query_first::<usize, _>(query).await.unwrap().unwrap();
            }
            count == 0
        })
        .await;
    });
}
