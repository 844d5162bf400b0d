//! MariaDB's COM_STMT_BULK_EXECUTE, and the id that means "the statement prepared last". MySQL knows neither.

use std::net::SocketAddr;

use dauphin_proto::{
    CapabilityFlags,
    bulk::{LAST_PREPARED, flag},
    command::code,
    connect::{BULK_OPERATIONS, BULK_UNIT_RESULTS},
};
use mysql_async::prelude::Queryable as _;

use super::own_writes::delay;
use crate::support::{
    Stage, check, check_apart,
    raw::{Answer, Raw, Refusal},
};

/// MYSQL_TYPE_LONG and MYSQL_TYPE_VAR_STRING
const LONG: u16 = 3;
const VAR_STRING: u16 = 253;

/// Indicators in place of a value.
const NULL: &[u8] = &[1];
const DEFAULT: &[u8] = &[2];
const IGNORE: &[u8] = &[3];

fn number(value: i32) -> Vec<u8> {
    [&[0], &value.to_le_bytes()[..]].concat()
}

fn text(value: &str) -> Vec<u8> {
    [&[0, value.len() as u8], value.as_bytes()].concat()
}

/// A COM_STMT_BULK_EXECUTE's argument.
fn bulk(id: u32, types: &[u16], values: &[&[u8]], flags: u16) -> Vec<u8> {
    let flags = if types.is_empty() { flags } else { flags | flag::TYPES };
    let types: Vec<u8> = types.iter().flat_map(|kind| kind.to_le_bytes()).collect();
    [&id.to_le_bytes()[..], &flags.to_le_bytes(), &types, &values.concat()].concat()
}

async fn ask(client: &mut Raw, code: u8, argument: &[u8]) -> Result<Answer, Refusal> {
    client.command(code, argument).await.unwrap();
    refused_or(client.answer().await)
}

fn refused_or<T>(answer: anyhow::Result<T>) -> Result<T, Refusal> {
    answer.map_err(|error| error.downcast().expect("an ERR packet"))
}

async fn connect(address: SocketAddr, schema: &str, extended: u32) -> Raw {
    let none = CapabilityFlags::empty();
    Raw::connect_extended(address, "app", "app", Some(schema), none, extended).await.unwrap()
}

/// A client that speaks bulk; `None` where servers do not.
async fn client(stage: &Stage) -> Option<Raw> {
    let all = BULK_OPERATIONS | BULK_UNIT_RESULTS;
    let client = connect(stage.dauphin.address, &stage.schema, all).await;
    assert_eq!(client.extended, if stage.is_mysql() { 0 } else { all });
    Some(client).filter(|client| client.extended != 0)
}

fn primary(stage: &Stage) -> SocketAddr {
    SocketAddr::new(stage.cluster.primary().address(), 3306)
}

fn execute(id: u32, rest: &[u8]) -> Vec<u8> {
    [&id.to_le_bytes()[..], &[0, 1, 0, 0, 0], rest].concat()
}

async fn one(client: &mut Raw, query: &str) -> String {
    let answer = client.query(query).await.unwrap();
    String::from_utf8_lossy(&answer.rows[0][1..]).into_owned()
}

const TABLE: &str =
    "CREATE TABLE {}.t (id INT AUTO_INCREMENT PRIMARY KEY, n INT DEFAULT 7, s VARCHAR(20), CHECK (n < 100))";

/// A statement, its parameters' types if they are told, values row by row, flags.
type Step<'a> = (&'a str, &'a [u16], &'a [&'a [u8]], u16);

#[test]
fn answers_are_those_of_the_primary() {
    check(async |stage| {
        let Some(mut client) = client(stage).await else { return };
        let other = format!("{}_direct", stage.schema);
        let tables = [&stage.schema, &other].map(|schema| TABLE.replace("{}", schema)).join(";;");
        stage.given(&format!("CREATE DATABASE {other};; {tables}")).await;
        let mut direct = connect(primary(stage), &other, client.extended).await;
        assert_eq!(direct.extended, client.extended);
        let mark = stage.mark();
        let (n, s) = (number(5), text("five"));
        let both: &[u16] = &[LONG, VAR_STRING];
        let units = flag::UNIT_RESULTS;
        let insert = "INSERT INTO t (n, s) VALUES (?, ?)";
        let update = "UPDATE t SET n = ? WHERE id = ?";
        let mut refused = 0;
        let steps: [Step<'_>; 17] = [
            (insert, both, &[&n, &s, NULL, NULL, DEFAULT, DEFAULT, IGNORE, IGNORE], 0),
            (insert, &[], &[&n, &s], 0),
            (insert, both, &[&n, &s], 0),
            (insert, both, &[&n, &s, &n, &s, &n, NULL], units),
            ("INSERT INTO t (n, s) VALUES (?, ?) RETURNING id, s", both, &[&n, &s, &n, &s], 0),
            (update, &[LONG, LONG], &[&n, &number(2), IGNORE, &number(1), &n, &number(99)], 0),
            (update, &[LONG, LONG], &[&number(6), &number(2), &number(6), &number(1)], units),
            (update, &[LONG, LONG], &[&number(8), &number(2), &number(500), &number(1)], 0),
            ("DELETE FROM t WHERE id = ?", &[LONG], &[&number(3), &number(4)], 0),
            ("REPLACE INTO t (id, s) VALUES (?, ?)", both, &[&number(1), &s, &number(90), &s], 0),
            ("INSERT INTO t (id) VALUES (?)", &[LONG], &[&number(91), &number(91)], 0),
            ("INSERT INTO t (id) VALUES (?)", &[LONG], &[&number(91), &number(91)], units),
            ("SELECT ? + 1", &[LONG], &[&n], 0),
            ("SELECT 1", &[], &[], 0),
            ("SET @n = ?", &[LONG], &[&n], 0),
            (insert, both, &[&n], 0),
            (insert, both, &[&n, &s], 1),
        ];
        for (statement, types, values, flags) in steps {
            let statement = format!("{statement} /* {mark} */");
            let mut answers = Vec::new();
            for client in [&mut direct, &mut client] {
                let id = client.prepare(&statement).await.unwrap();
                let answer = ask(client, code::STMT_BULK_EXECUTE, &bulk(id, types, values, flags)).await;
                // Whatever it was, its types and its warnings are known now.
                let again = match types.len() {
                    2 => ask(client, code::STMT_BULK_EXECUTE, &bulk(id, &[], &[NULL, NULL], 0)).await,
                    _ => Ok(Answer::default()),
                };
                let rows = client.query("SELECT id, n, s, ROW_COUNT() FROM t ORDER BY id").await.unwrap();
                let insert_id = client.query("SELECT LAST_INSERT_ID()").await.unwrap();
                let answer = answer.map_err(|refusal| Refusal {
                    message: refusal.message.replace(&other, &stage.schema),
                    ..refusal
                });
                answers.push((answer, again, rows, insert_id));
            }
            refused += usize::from(answers[1].0.is_err());
            assert_eq!(answers[1], answers[0], "{statement} {types:?} {values:?} {flags}");
        }
        assert_eq!(refused, 9);
        let ran = stage.ran(&mark).await;
        assert_eq!(ran.on_replicas(), 0, "{ran}");
        assert!(ran.on_primary() > 20, "{ran}");
        // Without the capability it is refused, as an unknown statement is with it.
        for (extended, id) in [(0, 1), (BULK_OPERATIONS, 999)] {
            let mut answers = Vec::new();
            for address in [stage.dauphin.address, primary(stage)] {
                let mut client = connect(address, &stage.schema, extended).await;
                client.prepare(insert).await.unwrap();
                let argument = bulk(id, both, &[&n, &s], 0);
                answers.push(ask(&mut client, code::STMT_BULK_EXECUTE, &argument).await.unwrap_err());
            }
            assert_eq!(answers[0], answers[1]);
        }
        stage.given(&format!("DROP DATABASE {other}")).await;
    });
}

#[test]
fn a_session_sees_what_it_has_written_in_bulk() {
    check_apart("routing.max_replica_lag = \"off\"", async |stage| {
        let Some(mut client) = client(stage).await else { return };
        stage.given(&TABLE.replace("{}", &stage.schema)).await;
        delay(stage, 3600).await;
        let insert = client.prepare("INSERT INTO t (n) VALUES (?)").await.unwrap();
        let update = client.prepare("UPDATE t SET n = ? WHERE id = ?").await.unwrap();
        let count = async |client: &mut Raw| one(client, "SELECT CONCAT(COUNT(*), ':', SUM(n)) FROM t").await;
        for (flags, seen) in [(0, "2:3"), (flag::UNIT_RESULTS, "4:6")] {
            let argument = bulk(insert, &[LONG], &[&number(1), &number(2)], flags);
            ask(&mut client, code::STMT_BULK_EXECUTE, &argument).await.unwrap();
            assert_eq!(count(&mut client).await, seen);
        }
        // Replicas have all of that, and will not have what comes.
        delay(stage, 0).await;
        stage.cluster.replicated().await.unwrap();
        delay(stage, 3600).await;
        // The first row is updated and committed, the second refused: 1 -> 11.
        let rows: [&[u8]; 4] = [&number(11), &number(1), &number(500), &number(2)];
        let argument = bulk(update, &[LONG, LONG], &rows, 0);
        let refusal = ask(&mut client, code::STMT_BULK_EXECUTE, &argument).await.unwrap_err();
        assert_eq!(one(&mut client, "SHOW COUNT(*) ERRORS").await, "1");
        assert_eq!(refusal.code, 4025, "{refusal}");
        assert_eq!(count(&mut client).await, "4:16");
        client.query("BEGIN").await.unwrap();
        ask(&mut client, code::STMT_BULK_EXECUTE, &argument).await.unwrap_err();
        let argument = bulk(insert, &[], &[&number(4)], 0);
        ask(&mut client, code::STMT_BULK_EXECUTE, &argument).await.unwrap();
        assert_eq!(count(&mut client).await, "5:20");
        client.query("ROLLBACK").await.unwrap();
        assert_eq!(count(&mut client).await, "4:16");
        delay(stage, 0).await;
        stage.cluster.replicated().await.unwrap();
    });
}

#[test]
fn the_last_id_of_a_bulk_follows_the_session() {
    check_apart("pool.linger = \"50ms\"", async |stage| {
        let Some(mut client) = client(stage).await else { return };
        stage.given(&TABLE.replace("{}", &stage.schema)).await;
        let insert = client.prepare("INSERT INTO t (n) VALUES (?)").await.unwrap();
        let update = client.prepare("UPDATE t SET n = ? WHERE id = ?").await.unwrap();
        for (flags, first) in [(0, "1"), (flag::UNIT_RESULTS, "4"), (flag::UNIT_RESULTS, "7")] {
            let argument = bulk(insert, &[LONG], &[&number(1), &number(2), &number(3)], flags);
            ask(&mut client, code::STMT_BULK_EXECUTE, &argument).await.unwrap();
            // Another session has its own on the connection that this one has given back.
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            let mut other = stage.client().await;
            other.query_drop("SET @before = LAST_INSERT_ID()").await.unwrap();
            let argument = bulk(update, &[LONG, LONG], &[&number(4), &number(1)], flag::UNIT_RESULTS);
            ask(&mut client, code::STMT_BULK_EXECUTE, &argument).await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            assert_eq!(one(&mut client, "SELECT LAST_INSERT_ID()").await, first);
        }
    });
}

#[test]
fn a_connection_that_has_not_heard_the_types_is_told() {
    const MIB: usize = 1 << 20;
    check_apart("", async |stage| {
        let Some(mut client) = client(stage).await else { return };
        stage.given("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, n INT, body LONGTEXT)").await;
        let id = client.prepare("INSERT INTO t (n, body) VALUES (?, ?)").await.unwrap();
        let small = bulk(id, &[LONG, VAR_STRING], &[&number(1), &text("x")], 0);
        ask(&mut client, code::STMT_BULK_EXECUTE, &small).await.unwrap();
        let packet = (1 << 24) - 1;
        // 7 bytes stand in front of the rows, 10 in front of the first long body, 10 more before the other: about the
        // longest packet, and what the types add.
        for length in [100, MIB, packet / 2 - 20, packet / 2 - 15, packet / 2 - 13, packet / 2 - 10, 10 * MIB]
        {
            for node in 0..3 {
                let own = "SELECT id FROM information_schema.processlist WHERE user = 'app'";
                let admin = stage.admin(node).await;
                for thread in admin.query::<u64, _>(own).await.unwrap() {
                    let _ = admin.query_drop(format!("KILL {thread}")).await;
                }
            }
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            let body: Vec<u8> = (0..length).map(|n| b'a' + (n * 7 / 255 % 26) as u8).collect();
            let mut value = vec![0];
            dauphin_proto::field::put_lenenc_bytes(&mut value, &body);
            let argument = bulk(id, &[], &[&number(2), &value, &number(3), &value], 0);
            let answer = ask(&mut client, code::STMT_BULK_EXECUTE, &argument).await;
            let answer = answer.unwrap_or_else(|error| panic!("{length}: {error}"));
            assert_eq!(answer.affected, 2, "{length}");
            let found = format!(
                "SELECT COUNT(*) FROM {}.t WHERE id >= {} AND body = '{}'",
                stage.schema,
                answer.inserted,
                String::from_utf8_lossy(&body)
            );
            let found: Option<u32> = stage.admin(0).await.query_first(found).await.unwrap();
            assert_eq!(found, Some(2), "{length}");
            let value = [&[0, 1], &number(9)[1..], b"\x01y"].concat();
            let alone = execute(id, &[&value[..1], &[0], &value[2..]].concat());
            assert_eq!(ask(&mut client, code::STMT_EXECUTE, &alone).await.unwrap().affected, 1, "{length}");
        }
        assert_eq!(one(&mut client, "SELECT COUNT(*) FROM t").await, "22");
    });
}

#[test]
fn the_highest_id_means_the_statement_prepared_last() {
    check(async |stage| {
        let mut client = connect(stage.dauphin.address, &stage.schema, BULK_OPERATIONS).await;
        let mut direct = connect(primary(stage), &stage.schema, BULK_OPERATIONS).await;
        stage.given(&TABLE.replace("{}", &stage.schema)).await;
        let mark = stage.mark();
        let read = format!("SELECT 5, 'x' /* {mark} */");
        let insert = "INSERT INTO t (n) VALUES (?)";
        let last = LAST_PREPARED.to_le_bytes();
        let run = execute(LAST_PREPARED, &[]);
        let run_one =
            execute(LAST_PREPARED, &[&[0, 1][..], &LONG.to_le_bytes(), &8_i32.to_le_bytes()].concat());
        let many = bulk(LAST_PREPARED, &[LONG], &[&number(1), &number(2)], 0);
        let long_data = [&last[..], &[0, 0], b"long"].concat();
        let run_long = execute(LAST_PREPARED, &[0, 1, 252, 0]);
        // Each is sent in one write, its answers compared: whether the statement could be prepared, and what came then.
        let steps: [&[(u8, &[u8])]; 13] = [
            &[(code::STMT_EXECUTE, &run), (code::STMT_RESET, &last)],
            &[(code::STMT_PREPARE, read.as_bytes()), (code::STMT_EXECUTE, &run)],
            &[(code::QUERY, b"SELECT 1"), (code::STMT_EXECUTE, &run), (code::STMT_RESET, &last)],
            &[(code::STMT_PREPARE, b"SELEC 5"), (code::STMT_EXECUTE, &run), (code::QUERY, b"SELECT 2")],
            &[(code::STMT_PREPARE, b"SELECT * FROM nowhere"), (code::STMT_EXECUTE, &run)],
            &[(code::STMT_EXECUTE, &run)],
            &[(code::STMT_PREPARE, insert.as_bytes()), (code::STMT_EXECUTE, &run_one)],
            &[(code::STMT_PREPARE, insert.as_bytes()), (code::STMT_BULK_EXECUTE, &many)],
            &[(code::STMT_PREPARE, b"INSERT INTO nowhere VALUES (?)"), (code::STMT_BULK_EXECUTE, &many)],
            &[(code::STMT_PREPARE, b"SELECT ?"), (code::STMT_SEND_LONG_DATA, &long_data)],
            &[(code::STMT_EXECUTE, &run_long), (code::STMT_FETCH, &[&last[..], &[1, 0, 0, 0]].concat())],
            &[(code::STMT_CLOSE, &last), (code::STMT_EXECUTE, &run)],
            &[
                (code::STMT_PREPARE, read.as_bytes()),
                (code::RESET_CONNECTION, b""),
                (code::STMT_EXECUTE, &run),
            ],
        ];
        for commands in steps {
            let mut answers = Vec::new();
            for client in [&mut direct, &mut client] {
                answers.push(all(client, commands).await);
            }
            // One table takes what both insert: the ids differ.
            let [direct, through] = &mut answers[..] else { panic!("two") };
            for answer in direct.iter_mut().chain(through.iter_mut()).flatten() {
                answer.inserted = 0;
            }
            assert_eq!(through, direct, "{commands:?}");
        }
        let ran = stage.ran(&mark).await;
        // The direct one's on the primary, dauphin's on replicas; on MySQL no id meant any of them.
        let times = usize::from(!stage.is_mysql()) * 2;
        assert_eq!((ran.on_primary(), ran.on_replicas()), (times, times), "{ran}");
    });
}

/// What the commands are answered with, which go in one write; the ids that statements get are not told.
async fn all(client: &mut Raw, commands: &[(u8, &[u8])]) -> Vec<Result<Answer, Refusal>> {
    client.ahead(commands).await.unwrap();
    let mut answers = Vec::new();
    for (command, _) in commands {
        let client = client.next_answer();
        match *command {
            code::STMT_CLOSE | code::STMT_SEND_LONG_DATA => {}
            code::STMT_PREPARE => {
                answers.push(refused_or(client.prepared().await).map(|_| Answer::default()));
            }
            _ => answers.push(refused_or(client.answer().await)),
        }
    }
    answers
}
