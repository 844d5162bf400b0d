//! KILL with the ids that dauphin gives its clients.

use std::time::{Duration, Instant};

use dauphin_proto::command::code;
use mysql_async::{Conn, prelude::Queryable as _};

use crate::support::{Stage, check, check_with, eventually, server_error};

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

/// Of a session that runs a long statement: what `KILL QUERY` and then `KILL` of these expressions do, once `@id` is its id.
async fn killed_by(stage: &mut Stage, killer: &mut Conn, query: &str, connection: &str) {
    let (mark, mut victim) = (stage.mark(), stage.client().await);
    killer.query_drop(format!("SET @id = {}", victim.id())).await.unwrap();
    let statement = format!("DO SLEEP(20) /* {mark} dauphin:primary */");
    let running = tokio::spawn(async move {
        let outcome = victim.query_drop(statement).await;
        (outcome, victim)
    });
    eventually(10, "it runs", async || stage.ran(&mark).await.0.iter().sum::<usize>() == 1).await;
    let start = Instant::now();
    killer.query_drop(query).await.unwrap_or_else(|error| panic!("{query}: {error}"));
    let (_, mut victim) =
        tokio::time::timeout(Duration::from_secs(10), running).await.expect("it ends").unwrap();
    assert!(start.elapsed() < Duration::from_secs(10), "{query}");
    victim.query_drop("SELECT 1").await.expect("the session goes on");
    killer.query_drop(connection).await.unwrap_or_else(|error| panic!("{connection}: {error}"));
    let error = server_error(killer.query_drop(connection).await);
    let id = victim.id();
    assert_eq!((error.code, error.message), (1094, format!("Unknown thread id: {id}")), "{connection}");
    assert!(victim.query_drop("SELECT 1").await.is_err(), "{connection}");
}

#[test]
fn an_expression_names_a_session_as_its_value_does() {
    check(async |stage| {
        let mut killer = stage.client().await;
        killed_by(stage, &mut killer, "KILL QUERY @id", "KILL @id").await;
        // The variable is on the connection that computed it.
        killer.query_drop("SET @half = (SELECT 500000000)").await.unwrap();
        killed_by(stage, &mut killer, "KILL QUERY @id - @half + @half", "KILL CONNECTION (SELECT @id)").await;
        killer.query_drop("BEGIN").await.unwrap();
        killed_by(stage, &mut killer, "KILL QUERY CONCAT(@id, 'x')", "KILL (@id)").await;
        killer.query_drop("COMMIT").await.unwrap();
        if !stage.is_mysql() {
            killed_by(stage, &mut killer, "KILL HARD QUERY @id", "KILL SOFT CONNECTION @id").await;
            let prepared = killer.prep("KILL ?").await.unwrap();
            let victim = stage.client().await;
            killer.exec_drop(&prepared, (victim.id(),)).await.unwrap();
            let error = server_error(killer.exec_drop(&prepared, (victim.id(),)).await);
            assert_eq!(error.code, 1094);
        }
        killer.query_drop("SELECT 1").await.unwrap();
    });
}

/// What a statement is answered with, and whether the session goes on.
async fn answer_to(mut client: Conn, statement: &str) -> (Option<(u16, String)>, bool) {
    let outcome = client.query_drop(statement).await;
    let refused = outcome.err().map(|error| server_error::<()>(Err(error)));
    (refused.map(|error| (error.code, error.message)), client.query_drop("SELECT 1").await.is_ok())
}

#[test]
fn an_expression_that_names_no_session_is_answered_as_by_a_server() {
    check(async |stage| {
        for statement in [
            "KILL QUERY NULL",
            "KILL @unset",
            "KILL 1.7e6",
            "KILL -1",
            "KILL 'x'",
            "KILL no_column",
            "KILL QUERY (SELECT 1, 2)",
            "KILL QUERY (SELECT id FROM information_schema.processlist LIMIT 1)",
            "KILL CONNECTION_ID()",
        ] {
            let direct = stage.cluster.primary().admin().await.unwrap();
            let direct = answer_to(direct, statement).await;
            let through = stage.client().await;
            assert_eq!(answer_to(through, statement).await, direct, "{statement}");
        }
        // Not another user's.
        let user = format!("it_{}", stage.schema);
        stage.given(&format!("CREATE USER {user}@'%' IDENTIFIED BY 'secret'")).await;
        let victim = stage.client().await;
        let mut killer = stage.try_client(stage.options(&user, "secret")).await.unwrap();
        let error = server_error(killer.query_drop(format!("KILL QUERY {} + 0", victim.id())).await);
        assert_eq!(error.code, 1095);
    });
}

/// A server has closed it by then.
#[test]
fn a_killed_client_s_connection_is_closed_before_the_killer_is_answered() {
    check(async |stage| {
        let mut killer = stage.client().await;
        for round in 0..40 {
            let mut victim = stage.raw().await;
            victim.query("SELECT 1").await.unwrap();
            assert!(!victim.is_at_end());
            killer.query_drop(format!("KILL {}", victim.id)).await.unwrap();
            assert!(victim.is_at_end(), "round {round}");
        }
    });
}

#[test]
fn a_statement_that_waits_for_a_primary_can_be_killed() {
    check_with("routing.hold_timeout = \"60s\"", async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY)").await;
        let mut operator = stage.dauphin.operator().await;
        killed_while_it_waits(stage, "waiting_for_primary", &["PAUSE"], &["RESUME"], &mut operator).await;
    });
}

#[test]
fn a_statement_that_waits_for_a_connection_can_be_killed() {
    let full = "pool.max_connections_per_server = 1\npool.wait_timeout = \"60s\"";
    check_with(full, async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY)").await;
        let mut holder = stage.client().await;
        let (hold, let_go) = (["START TRANSACTION", "INSERT INTO t VALUES (0)"], ["ROLLBACK"]);
        killed_while_it_waits(stage, "waiting_for_connection", &hold, &let_go, &mut holder).await;
    });
}

#[test]
fn a_statement_is_ended_though_all_connections_are_in_use() {
    check_with("pool.max_connections_per_server = 1", async |stage| {
        let (mut killer, mut victim) = (stage.client().await, stage.client().await);
        let (mark, id) = (stage.mark(), victim.id());
        let statement = format!("DO SLEEP(20) /* {mark} dauphin:primary */");
        let running = tokio::spawn(async move {
            let outcome = victim.query_drop(statement).await;
            (outcome, victim)
        });
        eventually(10, "it runs", async || stage.ran(&mark).await.0.iter().sum::<usize>() == 1).await;
        let start = Instant::now();
        killer.query_drop(format!("KILL QUERY {id}")).await.unwrap();
        let (_, mut victim) =
            tokio::time::timeout(Duration::from_secs(10), running).await.expect("it ends").unwrap();
        assert!(start.elapsed() < Duration::from_secs(10));
        victim.query_drop("SELECT 1").await.unwrap();
    });
}

#[test]
fn an_id_that_is_no_sessions_is_unknown_and_a_servers_own_goes_to_the_primary() {
    check(async |stage| {
        let mut client = stage.client().await;
        assert!((1_000_000_000..1 << 31).contains(&client.id()));
        for (id, on_primary) in [(1_999_999_999, 0), (999_999_999, 1), (1_u32 << 31, 1)] {
            let mark = stage.mark();
            let error = server_error(client.query_drop(format!("KILL {id} /* {mark} */")).await);
            assert_eq!((error.code, error.message), (1094, format!("Unknown thread id: {id}")));
            stage.ran(&mark).await.only_on_primary(on_primary);
        }
    });
}

/// A write that waits because of what `holder` does: KILL QUERY ends it and leaves its session, KILL ends both.
async fn killed_while_it_waits(
    stage: &mut Stage,
    state: &str,
    hold: &[&str],
    let_go: &[&str],
    holder: &mut Conn,
) {
    let (mut killer, mut victim) = (stage.client().await, stage.client().await);
    let mut operator = stage.dauphin.operator().await;
    let id = victim.id();
    for kill in ["KILL QUERY", "KILL"] {
        for statement in hold {
            holder.query_drop(*statement).await.unwrap();
        }
        let waiting = tokio::spawn(async move {
            let outcome = victim.query_drop("INSERT INTO t VALUES (1)").await;
            (outcome, victim)
        });
        eventually(5, "it waits", async || {
            let shown = format!("SHOW SESSIONS LIKE '{id}'");
            let row: Option<mysql_async::Row> = operator.query_first(shown).await.unwrap();
            row.and_then(|row| row.get::<String, _>("state")).is_some_and(|is| is == state)
        })
        .await;
        killer.query_drop(format!("{kill} {id}")).await.unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(5), waiting).await.expect("it ends").unwrap();
        let (outcome, after) = ended;
        victim = after;
        for statement in let_go {
            holder.query_drop(*statement).await.unwrap();
        }
        if kill == "KILL QUERY" {
            assert_eq!(server_error(outcome).code, 1317);
            let rows: Option<u32> = victim.query_first("SELECT COUNT(*) FROM t").await.unwrap();
            assert_eq!(rows, Some(0), "the session goes on, and nothing was written");
        } else {
            assert!(outcome.is_err());
            assert!(victim.query_drop("SELECT 1").await.is_err(), "its session has ended");
        }
    }
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
