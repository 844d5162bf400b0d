//! CONNECTION_ID(): what the client is told is the id that it can KILL.

use std::time::Duration;

use dauphin_proto::{
    command::code,
    reply::{self, status},
};
use mysql_async::{Conn, Row, prelude::Queryable as _};

use crate::support::{Stage, check, eventually, server_error};

const SPELLINGS: [&str; 6] = [
    "SELECT CONNECTION_ID()",
    "select connection_id ( ) ;",
    "/* who? */ SELECT /* am */ Connection_ID() # I",
    "SELECT CONNECTION_ID() AS 'my id' LIMIT 1",
    "SELECT CONNECTION_ID() id FROM DUAL",
    "SELECT CONNECTION_ID() AS `a b` FROM DUAL LIMIT 1;",
];

/// What tells one column's definition from another.
fn definition(row: &Row) -> (String, String, String) {
    let column = &row.columns_ref()[0];
    let kind = format!("{:?} {:?}", column.column_type(), column.flags());
    let size = format!("{} {} {}", column.column_length(), column.character_set(), column.decimals());
    (column.name_str().into_owned(), kind, size)
}

#[test]
fn the_plain_question_is_answered_with_the_id_that_the_greeting_gave() {
    check(async |stage| {
        let mut client = stage.client().await;
        let id = client.id();
        for text in SPELLINGS {
            let (direct, prepared_direct) = {
                let admin = stage.admin(1).await;
                let row: Row = admin.query_first(text).await.unwrap().unwrap();
                assert_eq!(row.get::<u32, _>(0), Some(admin.id()), "{text}");
                let prepared: Row = admin.exec_first(text, ()).await.unwrap().unwrap();
                (definition(&row), definition(&prepared))
            };
            let row: Row = client.query_first(text).await.unwrap().unwrap();
            assert_eq!((row.get(0), definition(&row)), (Some(id), direct), "{text}");
            let prepared: Row = client.exec_first(text, ()).await.unwrap().unwrap();
            assert_eq!((prepared.get(0), definition(&prepared)), (Some(id), prepared_direct), "{text}");
            assert_eq!(prepared.columns_ref().len(), 1);
        }
    });
}

#[test]
fn any_other_question_is_the_server_s_to_answer() {
    check(async |stage| {
        let mut client = stage.client().await;
        for text in [
            "SELECT CONNECTION_ID() + 0",
            "SELECT CONNECTION_ID() FROM DUAL WHERE TRUE",
            "SELECT MAX(CONNECTION_ID())",
            "SELECT (SELECT CONNECTION_ID())",
            "SELECT CONNECTION_ID(), 1",
        ] {
            let row: Row = client.query_first(text).await.unwrap().unwrap();
            let id: u64 = row.get(0).unwrap();
            assert!(id < 1_000_000_000, "{text}: {id}");
        }
        let none: Option<u64> = client.query_first("SELECT CONNECTION_ID() LIMIT 0").await.unwrap();
        assert_eq!(none, None);
        assert_eq!(server_error(client.query_drop("SELECT CONNECTION_ID(1)").await).code, 1582);
    });
}

#[test]
fn it_leaves_the_session_as_any_read_does() {
    check(async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY)").await;
        let mut client = stage.client().await;
        let id = client.id();
        let asked = async |client: &mut Conn| {
            let said: Option<u32> = client.query_first("SELECT CONNECTION_ID()").await.unwrap();
            assert_eq!(said, Some(id));
        };
        client.query_drop("BEGIN").await.unwrap();
        client.query_drop("INSERT INTO t VALUES (1), (2)").await.unwrap();
        asked(&mut client).await;
        client.query_drop("ROLLBACK").await.unwrap();
        let rows: Option<u32> = client.query_first("SELECT COUNT(*) FROM t").await.unwrap();
        assert_eq!(rows, Some(0), "the transaction was the same before and after");
        client.query_drop("INSERT INTO t VALUES (1), (2)").await.unwrap();
        asked(&mut client).await;
        let row_count: Option<i64> = client.query_first("SELECT ROW_COUNT()").await.unwrap();
        assert_eq!(row_count, Some(-1));
        client.query_drop("SELECT SQL_CALC_FOUND_ROWS id FROM t LIMIT 1").await.unwrap();
        asked(&mut client).await;
        let found: Option<i64> = client.query_first("SELECT FOUND_ROWS()").await.unwrap();
        assert_eq!(found, Some(1));
        client.query_drop("SELECT CAST('x' AS SIGNED)").await.unwrap();
        asked(&mut client).await;
        let warnings: Vec<Row> = client.query("SHOW WARNINGS").await.unwrap();
        assert!(warnings.is_empty());
    });
}

/// A client without DEPRECATE_EOF, and with a cursor, whose row is fetched.
#[test]
fn an_older_client_and_a_cursor_get_the_id_too() {
    check(async |stage| {
        let mut client = stage.raw().await;
        let id = client.id;
        let answer = client.query("SELECT CONNECTION_ID()").await.unwrap();
        assert_eq!(answer.rows, [[&[10], id.to_string().as_bytes()].concat()]);
        let autocommit_off = client.query("SET autocommit = 0").await.unwrap().status;
        assert_eq!(autocommit_off & status::AUTOCOMMIT, 0);
        let answer = client.query("SELECT CONNECTION_ID()").await.unwrap();
        assert_eq!(answer.rows, [[&[10], id.to_string().as_bytes()].concat()]);
        assert_eq!(answer.status & status::AUTOCOMMIT, 0);
        client.query("SET autocommit = 1").await.unwrap();
        let statement = client.prepare("SELECT CONNECTION_ID()").await.unwrap();
        let binary = |row: &[u8]| u32::from_le_bytes(row[2..6].try_into().unwrap());
        let answer = client.execute(statement, 0).await.unwrap();
        assert_eq!(answer.rows.iter().map(|row| binary(row)).collect::<Vec<_>>(), [id]);
        let opened = client.execute(statement, 1).await.unwrap();
        let mut rows = opened.rows;
        if opened.status & reply::status::CURSOR_EXISTS != 0 {
            rows.extend(client.fetch(statement, 10).await.unwrap().rows);
        }
        assert_eq!(rows.iter().map(|row| binary(row)).collect::<Vec<_>>(), [id]);
        client.command(code::STMT_CLOSE, &statement.to_le_bytes()).await.unwrap();
    });
}

#[test]
fn the_id_that_a_client_is_told_is_the_one_to_kill() {
    check(async |stage: &mut Stage| {
        let (mut killer, mut victim) = (stage.client().await, stage.client().await);
        let id: u32 = victim.query_first("SELECT CONNECTION_ID()").await.unwrap().unwrap();
        let mark = stage.mark();
        let statement = format!("SELECT SLEEP(20) /* {mark} */");
        let running = tokio::spawn(async move { victim.query_first::<u32, _>(statement).await });
        eventually(10, "it runs", async || stage.ran(&mark).await.on_replicas() == 1).await;
        killer.query_drop(format!("KILL QUERY {id}")).await.unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(10), running).await.expect("it ends").unwrap();
        // An interrupted SLEEP() says 1, or is an error.
        assert!(matches!(ended, Ok(Some(1)) | Err(_)), "{ended:?}");
    });
}
