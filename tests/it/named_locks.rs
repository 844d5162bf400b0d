//! A lock of GET_LOCK is on one connection: the session stays there until it is released, and no longer.

use dauphin_proto::{command::code, reply::status};
use mysql_async::{Conn, Row, prelude::Queryable as _};

use crate::support::{Stage, check, check_with, server_error};

/// Whether the session is kept on its connection, by what a statement for the primary says of its route.
async fn is_pinned(client: &mut Conn) -> bool {
    client.query_drop("DELETE FROM t WHERE FALSE").await.unwrap();
    let route: Row = client.query_first("SHOW LAST ROUTE").await.unwrap().unwrap();
    let reason: String = route.get("reason").unwrap();
    assert_eq!(route.get::<String, _>("role").as_deref(), Some("primary"));
    reason == "named_lock"
}

async fn value(client: &mut Conn, query: &str) -> Option<i64> {
    client.query_first(query).await.unwrap_or_else(|error| panic!("{query}: {error}")).flatten()
}

async fn is_free(stage: &mut Stage, name: &str) -> bool {
    let query = format!("SELECT IS_FREE_LOCK('{name}')");
    stage.admin(0).await.query_first(query).await.unwrap() == Some(1)
}

#[test]
fn a_lock_keeps_the_session_until_it_is_released() {
    check(async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY)").await;
        let (reads, name) = (stage.mark(), format!("{}.one", stage.schema));
        let (mut client, mut other) = (stage.client().await, stage.client().await);
        for _ in 0..2 {
            assert_eq!(value(&mut client, &format!("SELECT GET_LOCK('{name}', 5)")).await, Some(1));
            client.query_drop(format!("SELECT COUNT(*) FROM t /* {reads} */")).await.unwrap();
            assert!(is_pinned(&mut client).await);
            assert_eq!(value(&mut other, &format!("SELECT GET_LOCK('{name}', 0)")).await, Some(0));
            assert_eq!(value(&mut client, &format!("SELECT RELEASE_LOCK('{name}')")).await, Some(1));
            assert!(!is_pinned(&mut client).await);
            assert_eq!(value(&mut other, &format!("SELECT GET_LOCK('{name}', 5)")).await, Some(1));
            other.query_drop(format!("DO RELEASE_LOCK('{name}')")).await.unwrap();
            assert!(!is_pinned(&mut other).await);
            assert!(is_free(stage, &name).await);
        }
        stage.ran(&reads).await.only_on_replicas(2);
        // The first session asks at each of its two releases; so does the other one, whose lock that it did not get is
        // remembered too.
        stage.ran(&format!("IS_USED_LOCK(''{name}'')<=>CONNECTION_ID()")).await.only_on_primary(4);
    });
}

#[test]
fn after_a_release_the_connection_serves_others() {
    let options = "pool.max_connections_per_server = 1\npool.wait_timeout = \"300ms\"";
    check_with(options, async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY)").await;
        let name = format!("{}.scarce", stage.schema);
        let (mut holder, mut other) = (stage.client().await, stage.client().await);
        holder.query_drop(format!("SELECT GET_LOCK('{name}', 5)")).await.unwrap();
        server_error(other.query_drop("INSERT INTO t VALUES (1)").await);
        holder.query_drop(format!("SELECT RELEASE_LOCK('{name}')")).await.unwrap();
        other.query_drop("INSERT INTO t VALUES (1)").await.unwrap();
    });
}

#[test]
fn what_is_held_still_keeps_the_session() {
    check(async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY)").await;
        let name = stage.schema.clone();
        let mut client = stage.client().await;
        let run = async |client: &mut Conn, text: &str| {
            value(client, &text.replace("{n}", &name)).await;
            is_pinned(client).await
        };
        // Twice taken, twice released.
        assert!(run(&mut client, "SELECT GET_LOCK('{n}.a', 0) + GET_LOCK('{n}.a', 0)").await);
        assert!(run(&mut client, "SELECT RELEASE_LOCK('{n}.a')").await);
        assert!(!is_free(stage, &format!("{name}.a")).await);
        assert!(!run(&mut client, "SELECT RELEASE_LOCK(CONCAT('{n}', '.a'))").await);
        assert!(is_free(stage, &format!("{name}.a")).await);
        // Two of them; releasing another one changes nothing.
        assert!(run(&mut client, "SELECT GET_LOCK('{n}.a', 0) + GET_LOCK('it''s {n}', 0)").await);
        assert!(run(&mut client, "SELECT RELEASE_LOCK('{n}.none')").await);
        assert!(run(&mut client, "SELECT RELEASE_LOCK('{n}.a')").await);
        assert!(!run(&mut client, "SELECT RELEASE_LOCK('it''s {n}')").await);
        // A name that the text does not tell.
        assert!(run(&mut client, "SELECT GET_LOCK(CONCAT('{n}', '.b'), 0)").await);
        assert!(run(&mut client, "SELECT RELEASE_LOCK('{n}.b')").await);
        assert!(!run(&mut client, "SELECT RELEASE_ALL_LOCKS()").await);
        // Prepared statements: a literal in their text, or a parameter.
        let statement = client.prep(format!("SELECT GET_LOCK('{name}.c', 0)")).await.unwrap();
        client.exec_drop(&statement, ()).await.unwrap();
        assert!(run(&mut client, "SELECT 1").await);
        let release = client.prep("SELECT RELEASE_LOCK(?)").await.unwrap();
        client.exec_drop(&release, (format!("{name}.c"),)).await.unwrap();
        assert!(!run(&mut client, "SELECT 1").await);
        let statement = client.prep("SELECT GET_LOCK(?, 0)").await.unwrap();
        client.exec_drop(&statement, (format!("{name}.c"),)).await.unwrap();
        client.exec_drop(&release, (format!("{name}.c"),)).await.unwrap();
        assert!(run(&mut client, "SELECT 1").await);
        assert!(!run(&mut client, "SELECT RELEASE_ALL_LOCKS()").await);
    });
}

#[test]
fn a_lock_of_a_statement_that_failed_is_kept_too() {
    check(async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY)").await;
        let name = format!("{}.failed", stage.schema);
        let mut client = stage.client().await;
        let query = format!("SELECT GET_LOCK('{name}', 0), EXP(1000)");
        assert_eq!(server_error(client.query_drop(query).await).code, 1690);
        let errors: Vec<Row> = client.query("SHOW ERRORS").await.unwrap();
        assert_eq!(errors.len(), 1, "the client can still ask what was wrong");
        assert!(!is_free(stage, &name).await, "the server has evaluated it");
        assert!(is_pinned(&mut client).await);
        client.query_drop(format!("SELECT RELEASE_LOCK('{name}')")).await.unwrap();
        assert!(!is_pinned(&mut client).await);
        server_error(client.query_drop("SELECT GET_LOCK('never taken', ").await);
        assert!(!is_pinned(&mut client).await);
    });
}

#[test]
fn the_question_is_not_noticed() {
    check(async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY);; INSERT INTO t VALUES (1), (2)").await;
        let name = format!("{}.quiet", stage.schema);
        let asked = format!("IS_USED_LOCK(''{name}'')<=>CONNECTION_ID()");
        let mut client = stage.client().await;
        for (count, of_ok) in [(-1, false), (0, true)] {
            client.query_drop(format!("SELECT GET_LOCK('{name}', 0), GET_LOCK('{name}', 0)")).await.unwrap();
            for _ in 0..2 {
                let release = if of_ok { "DO" } else { "SELECT" };
                client.query_drop(format!("{release} RELEASE_LOCK('{name}')")).await.unwrap();
                let said = value(&mut client, "SELECT ROW_COUNT()").await;
                assert_eq!(said, Some(count), "{release}");
            }
            assert!(!is_pinned(&mut client).await);
        }
        stage.ran(&asked).await.only_on_primary(4);
        // With a warning to be read, and with several rows, it is put off.
        client.query_drop(format!("SELECT GET_LOCK('{name}', 0)")).await.unwrap();
        client.query_drop(format!("SELECT RELEASE_LOCK('{name}'), CAST('12x' AS SIGNED)")).await.unwrap();
        assert_eq!(client.query::<Row, _>("SHOW WARNINGS").await.unwrap().len(), 1);
        stage.ran(&asked).await.only_on_primary(4);
        client.query_drop(format!("SELECT RELEASE_LOCK('{name}') FROM t")).await.unwrap();
        let found = value(&mut client, "SELECT FOUND_ROWS()").await;
        assert_eq!(found, Some(2));
        client.query_drop(format!("SELECT IS_FREE_LOCK('{name}')")).await.unwrap();
        assert!(!is_pinned(&mut client).await, "asked by now");
    });
}

#[test]
fn the_question_opens_no_transaction() {
    check(async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY)").await;
        let name = format!("{}.quiet", stage.schema);
        let asked = format!("IS_USED_LOCK(''{name}'')<=>CONNECTION_ID()");
        let mut client = stage.client().await;
        client.query_drop(format!("SELECT GET_LOCK('{name}', 0)")).await.unwrap();
        client.query_drop("SET autocommit = 0").await.unwrap();
        client.query_drop(format!("SELECT RELEASE_LOCK('{name}')")).await.unwrap();
        stage.ran(&asked).await.only_on_primary(0);
        client.query_drop("SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED").await.unwrap();
        stage.ran(&asked).await.only_on_primary(0);
        client.query_drop("INSERT INTO t VALUES (1)").await.unwrap();
        client.query_drop("SELECT 1").await.unwrap();
        client.query_drop("ROLLBACK").await.unwrap();
        client.query_drop("SET autocommit = 1").await.unwrap();
        assert!(!is_pinned(&mut client).await);
        stage.ran(&asked).await.only_on_primary(1);
        // In a transaction it does no harm.
        client.query_drop("BEGIN").await.unwrap();
        client.query_drop(format!("SELECT GET_LOCK('{name}', 0)")).await.unwrap();
        client.query_drop("INSERT INTO t VALUES (1)").await.unwrap();
        client.query_drop(format!("SELECT RELEASE_LOCK('{name}')")).await.unwrap();
        // The question comes behind the answer, and before the next statement.
        client.query_drop("ROLLBACK").await.unwrap();
        stage.ran(&asked).await.only_on_primary(2);
        assert!(!is_pinned(&mut client).await);
        let count = value(&mut client, "SELECT COUNT(*) FROM t").await;
        assert_eq!(count, Some(0));
    });
}

#[test]
fn a_name_in_wide_characters_is_not_relied_on() {
    check(async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY)").await;
        let name = format!("{}.wide", stage.schema);
        let mut client = stage.client().await;
        client.query_drop("SET character_set_connection = utf16").await.unwrap();
        client.query_drop(format!("SELECT GET_LOCK('{name}', 0)")).await.unwrap();
        client.query_drop("SET NAMES utf8mb4").await.unwrap();
        client.query_drop("SELECT RELEASE_LOCK('another')").await.unwrap();
        assert!(is_pinned(&mut client).await);
        client.query_drop("SELECT RELEASE_ALL_LOCKS()").await.unwrap();
        assert!(!is_pinned(&mut client).await);
    });
}

#[test]
fn a_lock_that_came_through_a_cursor_keeps_the_session() {
    check(async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY)").await;
        let name = format!("{}.cursor", stage.schema);
        let mut client = stage.raw().await;
        let statement = client.prepare(&format!("SELECT GET_LOCK('{name}', 0)")).await.unwrap();
        let opened = client.execute(statement, 1).await.unwrap();
        assert_ne!(opened.status & status::CURSOR_EXISTS, 0, "a cursor is open");
        assert_eq!(client.fetch(statement, 1).await.unwrap().rows.len(), 1);
        client.command(code::STMT_CLOSE, &statement.to_le_bytes()).await.unwrap();
        for (release, reason) in [("none", "named_lock"), (&name, "data_change")] {
            client.query(&format!("SELECT RELEASE_LOCK('{release}')")).await.unwrap();
            client.query("DELETE FROM t WHERE FALSE").await.unwrap();
            let route = client.query("SHOW LAST ROUTE").await.unwrap();
            let route = String::from_utf8_lossy(&route.rows[0]).into_owned();
            assert!(route.contains(reason), "{route:?} after the release of {release}");
        }
        assert!(is_free(stage, &name).await);
    });
}

#[test]
fn a_lock_taken_by_a_prepared_text_keeps_the_session() {
    check(async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY)").await;
        let name = format!("{}.prepared", stage.schema);
        let mut client = stage.client().await;
        client.query_drop("PREPARE harmless FROM 'SELECT 1'").await.unwrap();
        client.query_drop("EXECUTE harmless").await.unwrap();
        client.query_drop("DEALLOCATE PREPARE harmless").await.unwrap();
        assert!(!is_pinned(&mut client).await);
        client.query_drop(format!("PREPARE locks FROM 'SELECT GET_LOCK(\"{name}\", 0)'")).await.unwrap();
        client.query_drop("EXECUTE locks").await.unwrap();
        client.query_drop("DEALLOCATE PREPARE locks").await.unwrap();
        assert!(is_pinned(&mut client).await);
        let mine = format!("SELECT IS_USED_LOCK('{name}') <=> CONNECTION_ID()");
        assert_eq!(value(&mut client, &mine).await, Some(1));
        client.query_drop("DO RELEASE_ALL_LOCKS()").await.unwrap();
        assert!(!is_pinned(&mut client).await);
    });
}
