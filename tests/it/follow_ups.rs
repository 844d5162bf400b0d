//! What one statement leaves behind for the next: ids, counts, warnings.

use mysql_async::{Row, prelude::Queryable as _};

use crate::support::{check, check_with};

#[test]
fn the_last_insert_id_survives_other_statements() {
    check(async |stage| {
        stage.given("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, n INT) AUTO_INCREMENT = 41").await;
        let mut client = stage.client().await;
        client.query_drop("INSERT INTO t (n) VALUES (1)").await.unwrap();
        assert_eq!(client.last_insert_id(), Some(41));
        for _ in 0..5 {
            let _: Option<u32> = client.query_first("SELECT COUNT(*) FROM t").await.unwrap();
        }
        let id: Option<u64> = client.query_first("SELECT LAST_INSERT_ID()").await.unwrap();
        assert_eq!(id, Some(41));
        tokio::time::sleep(std::time::Duration::from_millis(1500)).await; // longer than [pool] linger
        let id: Option<u64> = client.query_first("SELECT LAST_INSERT_ID()").await.unwrap();
        assert_eq!(id, Some(41), "also when the connection has been given back");
        let note: Option<u32> =
            client.query_first("SELECT n FROM t WHERE id = LAST_INSERT_ID()").await.unwrap();
        assert_eq!(note, Some(1));
        client.query_drop("INSERT INTO t (n) VALUES (LAST_INSERT_ID())").await.unwrap();
        let note: Option<u64> =
            client.query_first("SELECT n FROM t WHERE id = LAST_INSERT_ID()").await.unwrap();
        assert_eq!(note, Some(41));
    });
}

#[test]
fn a_sequence_made_with_last_insert_id_counts() {
    check(async |stage| {
        stage.given("CREATE TABLE sequence (id BIGINT);; INSERT INTO sequence VALUES (0)").await;
        let (mut first, mut second) = (stage.client().await, stage.client().await);
        for round in 0..5_u64 {
            for (offset, client) in [(1, &mut first), (2, &mut second)] {
                client.query_drop("UPDATE sequence SET id = LAST_INSERT_ID(id + 1)").await.unwrap();
                let id: Option<u64> = client.query_first("SELECT LAST_INSERT_ID()").await.unwrap();
                assert_eq!(id, Some(round * 2 + offset));
            }
        }
    });
}

#[test]
fn row_count_is_that_of_the_previous_statement() {
    check(async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY);; INSERT INTO t VALUES (1), (2), (3)").await;
        let mut client = stage.client().await;
        client.query_drop("DELETE FROM t WHERE id > 1").await.unwrap();
        let count: Option<i64> = client.query_first("SELECT ROW_COUNT()").await.unwrap();
        assert_eq!(count, Some(2));
        let count: Option<i64> = client.query_first("SELECT ROW_COUNT()").await.unwrap();
        assert_eq!(count, Some(-1), "the previous statement was a SELECT");
    });
}

#[test]
fn row_count_outlives_the_connection_that_it_is_about() {
    check_with("pool.linger = \"0s\"", async |stage| {
        stage
            .given("CREATE TABLE t (id INT PRIMARY KEY, n INT);; INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)")
            .await;
        let mut client = stage.client().await;
        for text in ["SELECT ROW_COUNT()", "select row_count() AS n FROM DUAL LIMIT 1"] {
            client.query_drop("UPDATE t SET n = n + 1 WHERE id > 1").await.unwrap();
            let count: Option<i64> = client.query_first(text).await.unwrap();
            assert_eq!(count, Some(2), "{text}");
            let count: Option<i64> = client.query_first(text).await.unwrap();
            assert_eq!(count, Some(-1), "{text}: the previous statement was a SELECT");
            client.query_drop("DELETE FROM t WHERE id = 0").await.unwrap();
            let count: Option<i64> = client.query_first(text).await.unwrap();
            assert_eq!(count, Some(0), "{text}");
            client.query_drop("UPDATE t SET n = n + 1").await.unwrap();
            client.ping().await.unwrap();
            let count: Option<i64> = client.exec_first(text, ()).await.unwrap();
            assert_eq!(count, Some(0), "{text}: the previous command was a COM_PING");
        }
        let prepared = client.prep("SELECT ROW_COUNT()").await.unwrap();
        client.query_drop("UPDATE t SET n = n + 1").await.unwrap();
        let count: Option<i64> = client.exec_first(&prepared, ()).await.unwrap();
        assert_eq!(count, Some(3));
    });
}

#[test]
fn found_rows_is_that_of_the_previous_read() {
    check(async |stage| {
        stage
            .given("CREATE TABLE t (id INT PRIMARY KEY);; INSERT INTO t VALUES (1), (2), (3), (4), (5)")
            .await;
        let mut client = stage.client().await;
        for _ in 0..4 {
            client.query_drop("SELECT SQL_CALC_FOUND_ROWS id FROM t WHERE id > 1 LIMIT 2").await.unwrap();
            let found: Option<u32> = client.query_first("SELECT FOUND_ROWS()").await.unwrap();
            assert_eq!(found, Some(4));
        }
    });
}

#[test]
fn warnings_are_those_of_the_previous_statement() {
    check(async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY, n TINYINT);; INSERT INTO t VALUES (1, 1)").await;
        let mut client = stage.client().await;
        // A read: on a replica. A write: on the primary. An error is a warning too.
        for (statement, code) in [
            ("SELECT CAST('12x' AS SIGNED)", 1292),
            ("INSERT IGNORE INTO t VALUES (1, 5)", 1062),
            ("DROP TABLE IF EXISTS was_never_there", 1051),
        ] {
            for _ in 0..2 {
                client.query_drop(statement).await.unwrap();
                assert_eq!(client.get_warnings(), 1, "{statement}");
                let warnings: Vec<Row> = client.query("SHOW WARNINGS").await.unwrap();
                let codes: Vec<u16> = warnings.iter().map(|row| row.get(1).unwrap()).collect();
                assert_eq!(codes, [code], "{statement}");
                let count: Option<u32> = client.query_first("SELECT @@warning_count").await.unwrap();
                assert_eq!(count, Some(1), "{statement}");
            }
        }
        // For people, who type: longer than [pool] linger.
        for statement in ["SELECT CAST('12x' AS SIGNED)", "INSERT IGNORE INTO t VALUES (1, 5)"] {
            client.query_drop(statement).await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
            assert_eq!(client.query::<Row, _>("SHOW WARNINGS").await.unwrap().len(), 1, "{statement}");
        }
        client.query_drop("SELECT * FROM not_there").await.unwrap_err();
        let errors: Vec<Row> = client.query("SHOW ERRORS").await.unwrap();
        let codes: Vec<u16> = errors.iter().map(|row| row.get(1).unwrap()).collect();
        assert_eq!(codes, [1146]);
        client.query_drop("SELECT 1").await.unwrap();
        assert_eq!(client.query::<Row, _>("SHOW WARNINGS").await.unwrap().len(), 0);
    });
}

#[test]
fn warnings_do_not_keep_others_waiting() {
    check_with("pool.max_connections_per_server = 1\npool.wait_timeout = \"2s\"", async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY);; INSERT INTO t VALUES (1)").await;
        let (mut first, mut second) = (stage.client().await, stage.client().await);
        for _ in 0..3 {
            first.query_drop("INSERT IGNORE INTO t VALUES (1)").await.unwrap();
            let others = tokio::spawn(async move {
                second.query_drop("SELECT 1 /* dauphin:primary */").await.unwrap();
                second
            });
            assert_eq!(first.query::<Row, _>("SHOW WARNINGS").await.unwrap().len(), 1);
            second = others.await.unwrap();
            first.query_drop("INSERT IGNORE INTO t VALUES (1)").await.unwrap();
            second.query_drop("SELECT 1 /* dauphin:primary */").await.unwrap();
        }
    });
}

#[test]
fn what_a_connection_counts_and_records_is_of_what_the_session_did() {
    check(async |stage| {
        stage
            .given("CREATE TABLE t (id INT PRIMARY KEY, n INT);; INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)")
            .await;
        let schema = stage.schema.clone();
        let count = format!("SELECT COUNT(*) FROM {schema}.t WHERE n > 1");
        let mut read = Vec::new();
        let mut client = stage.client().await;
        for connection in [&mut client, stage.admin(0).await] {
            let mut before = None;
            for _ in 0..3 {
                let status = "SHOW SESSION STATUS LIKE 'Handler_read_rnd_next'";
                let row: Option<(String, u64)> = connection.query_first(status).await.unwrap();
                let now = row.unwrap().1;
                read.extend(before.map(|before| now - before));
                before = Some(now);
                connection.query_drop(&count).await.unwrap();
            }
        }
        assert_eq!(read[..2], read[2..], "rows between two questions, through dauphin and direct");
        assert!(read[0] >= 3, "{read:?}");

        let mut client = stage.client().await;
        client.query_drop("SHOW STATUS LIKE 'Ssl_version'").await.unwrap();
        client.query_drop("SHOW GLOBAL STATUS").await.unwrap();
        client.query_drop("SET profiling = 0").await.unwrap();
        let mark = stage.mark();
        client.query_drop(format!("SELECT '{mark}'")).await.unwrap();
        stage.ran(&mark).await.only_on_replicas(1);

        client.query_drop("SET profiling = 1").await.unwrap();
        for n in 1..=3 {
            client.query_drop(format!("SELECT {n} /* {mark} */")).await.unwrap();
        }
        client.query_drop("SET profiling = 0").await.unwrap();
        let profiles: Vec<(u32, f64, String)> = client.query("SHOW PROFILES").await.unwrap();
        let marked = profiles.iter().filter(|(_, _, text)| text.contains(&mark)).count();
        assert_eq!(marked, 3, "{profiles:?}");

        let mut client = stage.client().await;
        client.query_drop("SET optimizer_trace = 'enabled=on'").await.unwrap();
        client.query_drop(&count).await.unwrap();
        let traced: Option<String> =
            client.query_first("SELECT query FROM information_schema.optimizer_trace").await.unwrap();
        assert_eq!(traced, Some(count));
        client.reset().await.unwrap();
        client.query_drop(format!("SELECT '{mark}'")).await.unwrap();
        assert_eq!(stage.ran(&mark).await.on_replicas(), 2, "a new session is free");
    });
}

#[test]
fn an_insert_that_returns_rows_has_an_id_to_ask_for() {
    check(async |stage| {
        if stage.is_mysql() {
            return;
        }
        stage.given("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, n INT) AUTO_INCREMENT = 58").await;
        let mut client = stage.client().await;
        let returned: Option<u64> =
            client.query_first("INSERT INTO t (n) VALUES (1) RETURNING id").await.unwrap();
        assert_eq!(returned, Some(58));
        for _ in 0..3 {
            let _: Option<u32> = client.query_first("SELECT COUNT(*) FROM t").await.unwrap();
        }
        tokio::time::sleep(std::time::Duration::from_millis(1500)).await; // longer than [pool] linger
        let id: Option<u64> = client.query_first("SELECT LAST_INSERT_ID()").await.unwrap();
        assert_eq!(id, Some(58));
        let deleted: Option<u64> = client.query_first("DELETE FROM t RETURNING n").await.unwrap();
        assert_eq!(deleted, Some(1));
        let id: Option<u64> = client.query_first("SELECT LAST_INSERT_ID()").await.unwrap();
        assert_eq!(id, Some(58), "a DELETE leaves it as it was");
    });
}

/// Nobody has asked for FOUND_ROWS(), after which each read's own connection would be kept.
#[test]
fn a_read_elsewhere_is_the_last_statement_whatever_the_insert_s_connection_keeps() {
    check(async |stage| {
        stage.given("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, n TINYINT)").await;
        let mut client = stage.client().await;
        let mark = stage.mark();
        client.query_drop("INSERT IGNORE INTO t (n) VALUES (1000)").await.unwrap();
        assert_eq!(client.get_warnings(), 1);
        // Of a table that is on the replicas already.
        let read = "SELECT /* dauphin:consistency=eventual */ COUNT(*) FROM information_schema.SCHEMATA";
        client.query_drop(format!("{read} /* {mark} */")).await.unwrap();
        stage.ran(&mark).await.only_on_replicas(1);
        assert_eq!(client.query::<Row, _>("SHOW WARNINGS").await.unwrap().len(), 0);
        let id: Option<u64> = client.query_first("SELECT LAST_INSERT_ID()").await.unwrap();
        assert_eq!(id, Some(1));
    });
}

/// MariaDB forgets them at the next statement that uses a table, and not before.
#[test]
fn warnings_stay_with_who_was_warned() {
    check_with("pool.max_connections_per_server = 1", async |stage| {
        let (mut warned, mut client) = (stage.client().await, stage.client().await);
        // From here on each of the account's reads is taken to be asked about.
        let _: Option<u64> = client.query_first("SELECT FOUND_ROWS()").await.unwrap();
        for _ in 0..2 {
            let mark = stage.mark();
            for _ in 0..2 {
                warned.query_drop(format!("SELECT '{mark}', CAST('x' AS SIGNED)")).await.unwrap();
                assert_eq!(warned.get_warnings(), 1);
            }
            warned.query_drop("BEGIN").await.unwrap();
            for _ in 0..2 {
                client.query_drop(format!("SELECT '{mark}'")).await.unwrap();
                assert_eq!(client.query::<Row, _>("SHOW WARNINGS").await.unwrap().len(), 0);
            }
            client.query_drop("DO 0").await.unwrap();
            assert_eq!(client.query::<Row, _>("SHOW WARNINGS").await.unwrap().len(), 0);
            assert_eq!(stage.ran(&mark).await.0, [0, 2, 2], "both on each");
            warned.query_drop("ROLLBACK").await.unwrap();
        }
    });
}
