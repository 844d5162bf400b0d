//! Prepared statements: prepared once by the client, wherever they are needed on the servers.

use dauphin_proto::{command::code, field::put_lenenc_bytes, reply::status};
use mysql_async::prelude::Queryable as _;

use crate::own_writes::delay;
use crate::support::{
    Stage, check, check_apart, check_with, eventually,
    raw::{Answer, Raw, Refusal},
};

#[test]
fn a_read_prepared_once_is_executed_on_both_replicas() {
    check(async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY);; INSERT INTO t VALUES (1), (2), (3)").await;
        let mark = stage.mark();
        let mut client = stage.client().await;
        let statement = client.prep(format!("SELECT id FROM t WHERE id = ? /* {mark} */")).await.unwrap();
        for round in 0..10 {
            let wanted = round % 3 + 1;
            let id: Option<u32> = client.exec_first(&statement, (wanted,)).await.unwrap();
            assert_eq!(id, Some(wanted));
        }
        let executed = stage.ran(&mark).await;
        assert_eq!(executed.0, [0, 5, 5]);
        assert_eq!(held(stage, &mark).await, [0, 1, 1], "prepared once on each connection that executes it");
    });
}

#[test]
fn a_prepared_write_goes_to_the_primary_and_its_reads_follow_it() {
    check(async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY)").await;
        let (write, read) = (stage.mark(), stage.mark());
        let mut client = stage.client().await;
        let insert = client.prep(format!("INSERT INTO t VALUES (?) /* {write} */")).await.unwrap();
        let count = client.prep(format!("SELECT COUNT(*) FROM t /* {read} */")).await.unwrap();
        for id in 1..=10_u32 {
            client.exec_drop(&insert, (id,)).await.unwrap();
            let seen: Option<u32> = client.exec_first(&count, ()).await.unwrap();
            assert_eq!(seen, Some(id), "the session sees its own write");
        }
        stage.ran(&write).await.only_on_primary(10);
        assert_eq!(stage.ran(&read).await.0.iter().sum::<usize>(), 10);
    });
}

#[test]
fn preparing_within_a_transaction_keeps_its_connection() {
    check(async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY)").await;
        let (mut client, mut other) = (stage.client().await, stage.client().await);
        client.query_drop("BEGIN").await.unwrap();
        let insert = client.prep("INSERT INTO t VALUES (?)").await.unwrap();
        other.query_drop("INSERT INTO t VALUES (1)").await.unwrap();
        client.exec_drop(&insert, (2,)).await.unwrap();
        client.query_drop("ROLLBACK").await.unwrap();
        let query = format!("SELECT id FROM {}.t", stage.schema);
        let ids: Vec<u32> = stage.admin(0).await.query(query).await.unwrap();
        assert_eq!(ids, [1], "the other session's row, and not the one that was rolled back");
    });
}

#[test]
fn closing_a_statement_frees_it_on_every_server() {
    check(async |stage| {
        let mark = stage.mark();
        let mut client = stage.client().await;
        let statement = client.prep(format!("SELECT ? /* {mark} */")).await.unwrap();
        for value in 0..4 {
            client.exec_drop(&statement, (value,)).await.unwrap();
        }
        assert_eq!(held(stage, &mark).await, [0, 1, 1], "both replicas hold it");
        client.close(statement).await.unwrap();
        client.ping().await.unwrap();
        eventually(15, "no server holds the closed statement", async || held(stage, &mark).await == [0; 3])
            .await;
    });
}

#[test]
fn a_client_that_leaves_frees_its_statements_on_every_server() {
    check(async |stage| {
        let mark = stage.mark();
        let mut client = stage.client().await;
        let statement = client.prep(format!("SELECT ? /* {mark} */")).await.unwrap();
        for value in 0..4 {
            client.exec_drop(&statement, (value,)).await.unwrap();
        }
        client.disconnect().await.unwrap();
        eventually(15, "no server holds the statement", async || held(stage, &mark).await == [0; 3]).await;
    });
}

/// How many statements with this mark are prepared on the servers now.
async fn held(stage: &mut Stage, mark: &str) -> [usize; 3] {
    let mut held = [0; 3];
    for (node, held) in held.iter_mut().enumerate() {
        let query = format!(
            "SELECT COUNT(*) FROM performance_schema.prepared_statements_instances WHERE sql_text LIKE '%{mark}%'"
        );
        *held = stage.admin(node).await.query_first(query).await.unwrap().unwrap();
    }
    held
}

#[test]
fn a_cursor_is_fetched_from_piece_by_piece() {
    check(async |stage| {
        let (rows, other) = (stage.mark(), stage.mark());
        let mut client = stage.raw().await;
        let hundred = "WITH RECURSIVE n (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < 100) SELECT id FROM n";
        let statement = client.prepare(&format!("{hundred} ORDER BY id /* {rows} */")).await.unwrap();
        let opened = client.execute(statement, 1).await.unwrap();
        assert_ne!(opened.status & status::CURSOR_EXISTS, 0, "a cursor is open");
        let mut fetched = Vec::new();
        let last = loop {
            let piece = client.fetch(statement, 30).await.unwrap();
            assert!(piece.rows.len() <= 30);
            fetched.extend(piece.rows);
            if piece.status & status::LAST_ROW_SENT != 0 {
                break piece.status;
            }
            client.query(&format!("SELECT 1 /* {other} */")).await.unwrap();
            assert!(fetched.len() <= 100);
        };
        assert_ne!(last & status::LAST_ROW_SENT, 0);
        // A binary row: 0x00, one byte of null bitmap, then the number.
        let ids: Vec<u8> = fetched.iter().map(|row| row[2]).collect();
        assert_eq!(ids, (1..=100).collect::<Vec<u8>>());
        client.command(code::STMT_CLOSE, &statement.to_le_bytes()).await.unwrap();
        assert_eq!(client.query("SELECT 1").await.unwrap().rows.len(), 1);
        stage.ran(&rows).await.only_on_replicas(1);
    });
}

#[test]
fn one_that_cannot_be_prepared_uses_up_a_number_as_on_a_server() {
    check(async |stage| {
        let server = (stage.cluster.nodes[0].address(), 3306).into();
        for address in [server, stage.dauphin.address] {
            let mut client = Raw::connect(address, "app", "app", None).await.unwrap();
            let mut numbers = Vec::new();
            for text in ["SELECT 1", "SELEC", "SELECT 2", "SELECT * FROM nowhere.t", "", "SELECT 3"] {
                numbers.push(client.prepare(text).await.ok());
            }
            // MariaDB counts on where the connection left off that had the thread before.
            let before = if address == server { numbers[0].unwrap() - 1 } else { 0 };
            let numbers: Vec<_> = numbers.iter().map(|number| number.map(|number| number - before)).collect();
            assert_eq!(numbers, [Some(1), None, Some(3), None, None, Some(6)], "{address}");
        }
    });
}

#[test]
fn fetching_without_a_cursor_is_the_servers_error() {
    check(async |stage| {
        let mut client = stage.raw().await;
        let statement = client.prepare("SELECT 1").await.unwrap();
        client.execute(statement, 0).await.unwrap();
        let error = client.fetch(statement, 1).await.unwrap_err();
        let refusal = error.downcast::<crate::support::raw::Refusal>().unwrap();
        assert_eq!((refusal.code, refusal.sqlstate.as_str()), (1421, "HY000"), "{refusal}");
        assert_eq!(client.query("SELECT 1").await.unwrap().rows.len(), 1);
    });
}

#[test]
fn long_data_arrives_whole() {
    check(async |stage| {
        stage.given("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, body LONGBLOB)").await;
        let mut client = stage.raw().await;
        // Read and write: the first runs on a replica, the second on the primary.
        for text in ["SELECT LENGTH(?), 'x'", "INSERT INTO t (body) VALUES (?)"] {
            let statement = client.prepare(text).await.unwrap();
            for piece in 0..5_u8 {
                let data = [&statement.to_le_bytes()[..], &0_u16.to_le_bytes(), &vec![b'a' + piece; 1 << 20]]
                    .concat();
                client.command(code::STMT_SEND_LONG_DATA, &data).await.unwrap();
            }
            // No cursor, one iteration, not null, types follow: a blob. Its value was sent before.
            let execute = [&statement.to_le_bytes()[..], &[0, 1, 0, 0, 0, 0, 1, 0xfc, 0]].concat();
            client.command(code::STMT_EXECUTE, &execute).await.unwrap();
            let answer = client.answer().await.unwrap();
            if let Some(row) = answer.rows.first() {
                let length = u32::from_le_bytes(row[2..6].try_into().unwrap());
                assert_eq!(length, 5 << 20);
            }
        }
        let stored: Option<(usize, String)> = stage
            .admin(0)
            .await
            .query_first("SELECT LENGTH(body), CONCAT(LEFT(body, 1), RIGHT(body, 1)) FROM t")
            .await
            .unwrap();
        assert_eq!(stored, Some((5 << 20, "ae".to_owned())));
    });
}

#[test]
fn statements_prepared_as_text_stay_with_their_session() {
    check(async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY);; INSERT INTO t VALUES (7)").await;
        let mut client = stage.client().await;
        client.query_drop("PREPARE wanted FROM 'SELECT id FROM t WHERE id = ?'").await.unwrap();
        client.query_drop("SET @id = 7").await.unwrap();
        for _ in 0..4 {
            let id: Option<u32> = client.query_first("EXECUTE wanted USING @id").await.unwrap();
            assert_eq!(id, Some(7));
        }
        client.query_drop("DEALLOCATE PREPARE wanted").await.unwrap();
        let error = crate::support::server_error(client.query_drop("EXECUTE wanted USING @id").await);
        assert_eq!(error.code, 1243);
    });
}

#[test]
fn a_long_execute_without_types_runs_on_a_connection_that_has_not_heard_them() {
    const MIB: usize = 1 << 20;
    check_apart("", async |stage| {
        let mut client = stage.raw().await;
        let id = client.prepare("SELECT LENGTH(?), CRC32(?)").await.unwrap();
        let execute = |types: bool, body: &[u8]| {
            let mut argument = [&id.to_le_bytes()[..], &[0], &1_u32.to_le_bytes(), &[0]].concat();
            argument.push(u8::from(types));
            // MYSQL_TYPE_VAR_STRING, twice.
            argument.extend_from_slice(if types { &[0xfd, 0, 0xfd, 0] } else { &[] });
            for _ in 0..2 {
                put_lenenc_bytes(&mut argument, body);
            }
            argument
        };
        client.command(code::STMT_EXECUTE, &execute(true, b"short")).await.unwrap();
        let short = client.answer().await.unwrap().rows;
        let packet = (1 << 24) - 1;
        // 12 bytes stand in front of the values, and 4 in front of each: the longest packet, and a little more or less.
        for length in [
            MIB,
            packet / 2 - 15,
            packet / 2 - 12,
            packet / 2 - 10,
            packet / 2 - 8,
            9 * MIB,
            packet + 5,
            20 * MIB,
        ] {
            // Another connection each time: the session's own are closed under it.
            for node in 0..3 {
                let own = "SELECT id FROM information_schema.processlist WHERE user = 'app'";
                let admin = stage.admin(node).await;
                for thread in admin.query::<u64, _>(own).await.unwrap() {
                    let _ = admin.query_drop(format!("KILL {thread}")).await;
                }
            }
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            let body: Vec<u8> = (0..length).map(|n| b'a' + (n * 7 / 255 % 26) as u8).collect();
            client.command(code::STMT_EXECUTE, &execute(false, &body)).await.unwrap();
            let got = client.answer().await.unwrap_or_else(|error| panic!("{length}: {error}")).rows;
            let text = format!("SELECT {length}, CRC32('{}')", String::from_utf8_lossy(&body));
            let expected: Option<(u64, u64)> = stage.admin(0).await.query_first(text).await.unwrap();
            let row = &got[0];
            // A binary row: OK, the NULL bitmap, then 8 bytes of each where the server says BIGINT, 4 where it says INT.
            let values = &row[2..];
            let wide = values.len() / 2;
            let read = |bytes: &[u8]| bytes.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte));
            let (first, second) = if values.len() == 12 {
                values.split_at(if stage.is_mysql() { 8 } else { 4 })
            } else {
                values.split_at(wide)
            };
            assert_eq!(Some((read(first), read(second))), expected, "{length}");
        }
        assert_eq!(short.len(), 1);
        assert_eq!(client.query("SELECT 1").await.unwrap().rows.len(), 1, "the session is in step");
    });
}

/// Opens a cursor for each statement, reads some of each by turns, and closes them in every way; answers what came.
async fn many_cursors(client: &mut Raw, schema: &str) -> Vec<String> {
    let mut said = Vec::new();
    let mut statements = Vec::new();
    for at in 0..60 {
        // Every third has the text of the first.
        let least = if at % 3 == 0 { 0 } else { at };
        let text = format!("SELECT id FROM {schema}.t WHERE id > {least} ORDER BY id");
        statements.push(client.prepare(&text).await.unwrap());
    }
    let mut note = |what: &str, answer: anyhow::Result<Answer>| {
        let told = answer
            .map(|answer| (answer.rows, answer.status & (status::CURSOR_EXISTS | status::LAST_ROW_SENT)));
        said.push(match told {
            Ok(told) => format!("{what}: {told:?}"),
            Err(error) => format!("{what}: error {}", error.downcast::<Refusal>().unwrap().code),
        });
    };
    for &id in &statements {
        note("open", client.execute(id, 1).await);
    }
    for &id in &statements {
        note("fetch", client.fetch(id, 3).await);
    }
    note("query", client.query("SELECT COUNT(*) FROM t").await);
    for (at, &id) in statements.iter().enumerate() {
        match at % 6 {
            0 => client.command(code::STMT_CLOSE, &id.to_le_bytes()).await.unwrap(),
            1 => {
                client.command(code::STMT_RESET, &id.to_le_bytes()).await.unwrap();
                note("reset", client.answer().await);
            }
            2 => note("open again", client.execute(id, 1).await),
            3 => {
                note("open again", client.execute(id, 1).await);
                note("open once more", client.execute(id, 1).await);
            }
            4 => note("to the end", client.fetch(id, 1000).await),
            _ => {}
        }
    }
    for &id in &statements {
        note("after", client.fetch(id, 2).await);
    }
    note("begin", client.query("BEGIN").await);
    note("open in it", client.execute(statements[1], 1).await);
    note("open beside", client.execute(statements[4], 1).await);
    for &id in &statements {
        note("within", client.fetch(id, 1).await);
    }
    note("commit", client.query("COMMIT").await);
    note("temporary", client.query("CREATE TEMPORARY TABLE mine SELECT 1 AS one").await);
    note("open", client.execute(statements[7], 1).await);
    note("mine", client.query("SELECT * FROM mine").await);
    note("gone", client.query("DROP TEMPORARY TABLE mine").await);
    for &id in &statements {
        note("at last", client.fetch(id, 100).await);
    }
    said
}

#[test]
fn a_session_has_many_cursors_on_few_connections() {
    check_with("pool.max_connections_per_server = 4\npool.wait_timeout = \"500ms\"", async |stage| {
        let rows: Vec<_> = (1..=80).map(|id| format!("({id})")).collect();
        let rows = rows.join(",");
        stage.given(&format!("CREATE TABLE t (id INT PRIMARY KEY);; INSERT INTO t VALUES {rows}")).await;
        let schema = stage.schema.clone();
        let server = (stage.cluster.nodes[0].address(), 3306).into();
        let mut direct = Raw::connect(server, "app", "app", Some(&schema)).await.unwrap();
        let expected = many_cursors(&mut direct, &schema).await;
        let mut client = stage.raw().await;
        let said = many_cursors(&mut client, &schema).await;
        for (at, (said, expected)) in said.iter().zip(&expected).enumerate() {
            assert_eq!(said, expected, "answer {at}");
        }
        assert_eq!(said.len(), expected.len());
    });
}

#[test]
fn the_id_of_an_insert_is_known_behind_a_cursor() {
    check(async |stage| {
        stage.given("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY) AUTO_INCREMENT = 70").await;
        let mut client = stage.raw().await;
        // To the primary: where the insert has run.
        let cursor = client.prepare("SELECT id FROM t /* dauphin:primary */").await.unwrap();
        client.query("INSERT INTO t VALUES (NULL)").await.unwrap();
        let opened = client.execute(cursor, 1).await.unwrap();
        assert_ne!(opened.status & status::CURSOR_EXISTS, 0, "a cursor is open");
        let id = client.query("SELECT LAST_INSERT_ID()").await.unwrap();
        assert_eq!(id.rows, [b"\x0270"]);
    });
}

/// A cursor on a replica, of which a row is left; its statement.
async fn half_read_cursor(stage: &mut Stage, client: &mut Raw) -> u32 {
    stage.given("CREATE TABLE t (id INT PRIMARY KEY);; INSERT INTO t VALUES (1), (2)").await;
    let read = stage.mark();
    let cursor = client.prepare(&format!("SELECT id FROM t ORDER BY id DESC /* {read} */")).await.unwrap();
    client.execute(cursor, 1).await.unwrap();
    assert_eq!(client.fetch(cursor, 1).await.unwrap().rows, [b"\0\0\x02\0\0\0"]);
    cursor
}

#[test]
fn a_cursor_opened_again_in_a_transaction_sees_what_that_has_written() {
    check(async |stage| {
        let mut client = stage.raw().await;
        let cursor = half_read_cursor(stage, &mut client).await;
        client.query("BEGIN").await.unwrap();
        client.query("INSERT INTO t VALUES (3)").await.unwrap();
        client.execute(cursor, 1).await.unwrap();
        assert_eq!(client.fetch(cursor, 1).await.unwrap().rows, [b"\0\0\x03\0\0\0"]);
        client.query("ROLLBACK").await.unwrap();
        client.execute(cursor, 1).await.unwrap();
        assert_eq!(client.fetch(cursor, 1).await.unwrap().rows, [b"\0\0\x02\0\0\0"]);
    });
}

#[test]
fn a_cursor_opened_again_sees_the_session_s_own_writes() {
    check_apart("routing.max_replica_lag = \"off\"", async |stage| {
        let mut client = stage.raw().await;
        let cursor = half_read_cursor(stage, &mut client).await;
        delay(stage, 3600).await;
        client.query("INSERT INTO t VALUES (3)").await.unwrap();
        client.execute(cursor, 1).await.unwrap();
        let rows = client.fetch(cursor, 1).await.unwrap().rows;
        delay(stage, 0).await;
        assert_eq!(rows, [b"\0\0\x03\0\0\0"]);
        stage.cluster.replicated().await.unwrap();
    });
}
