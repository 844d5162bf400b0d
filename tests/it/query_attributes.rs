//! Query attributes: they arrive where the statement runs, and what stands behind them is what is routed.

use dauphin_proto::{
    CapabilityFlags,
    command::{Queries, code},
    field::put_lenenc_bytes,
};
use mysql_async::prelude::Queryable as _;

use crate::support::{
    Flavour, Stage, check, check_own,
    raw::{Answer, Raw, Refusal},
};

const ATTRIBUTES: CapabilityFlags = CapabilityFlags::CLIENT_QUERY_ATTRIBUTES;
/// MYSQL_TYPE_STRING and MYSQL_TYPE_LONGLONG
const STRING: u16 = 254;
const LONGLONG: u16 = 8;

/// The null bitmap, "types follow", the types with their names, the values.
fn block(all: &[(&str, u16, &[u8])]) -> Vec<u8> {
    let mut block = vec![0; all.len().div_ceil(8)];
    block.push(1);
    for (name, kind, _) in all {
        block.extend_from_slice(&kind.to_le_bytes());
        put_lenenc_bytes(&mut block, name.as_bytes());
    }
    all.iter().for_each(|(_, _, value)| block.extend_from_slice(value));
    block
}

/// A COM_QUERY's argument, with texts as attributes.
fn query(attributes: &[(&str, &str)], text: &str) -> Vec<u8> {
    let values: Vec<Vec<u8>> =
        attributes.iter().map(|(_, value)| [&[value.len() as u8], value.as_bytes()].concat()).collect();
    let all: Vec<_> =
        attributes.iter().zip(&values).map(|((name, _), value)| (*name, STRING, &value[..])).collect();
    let block = if all.is_empty() { Vec::new() } else { block(&all) };
    [&[all.len() as u8, 1], &block[..], text.as_bytes()].concat()
}

async fn ask(client: &mut Raw, attributes: &[(&str, &str)], text: &str) -> anyhow::Result<Answer> {
    client.command(code::QUERY, &query(attributes, text)).await?;
    client.answer().await
}

/// What came back: rows, or the error's number.
async fn outcome(client: &mut Raw, argument: &[u8]) -> Result<Vec<Vec<u8>>, u16> {
    client.command(code::QUERY, argument).await.unwrap();
    match client.answer().await {
        Ok(answer) => Ok(answer.rows),
        Err(error) => Err(error.downcast::<Refusal>().expect("an ERR packet").code),
    }
}

async fn with_attributes(stage: &Stage) -> Option<Raw> {
    let client = stage.raw_with(ATTRIBUTES).await.unwrap();
    assert_eq!(client.queries == Queries::WithAttributes, stage.is_mysql(), "MariaDB has none to offer");
    Some(client).filter(|client| client.queries == Queries::WithAttributes)
}

#[test]
fn they_arrive_on_the_server_that_runs_the_statement() {
    check_own("attributes", &[Flavour::MySql], "", async |stage| {
        for node in 0..3 {
            let admin = stage.admin(node).await;
            admin.query_drop("SET sql_log_bin = 0").await.unwrap();
            admin.query_drop("SET GLOBAL super_read_only = OFF").await.unwrap();
            admin.query_drop("INSTALL COMPONENT 'file://component_query_attributes'").await.unwrap();
            let off = if node == 0 { "OFF" } else { "ON" };
            admin.query_drop(format!("SET GLOBAL super_read_only = {off}")).await.unwrap();
        }
        let mut client = with_attributes(stage).await.unwrap();
        let (read, executed) = (stage.mark(), stage.mark());
        let asked = "SELECT mysql_query_attribute_string('trace'), mysql_query_attribute_string('n')";
        // Read-only transactions run on replicas whole: there is the evidence for both roles.
        for begin in ["START TRANSACTION READ ONLY", "START TRANSACTION READ WRITE"] {
            ask(&mut client, &[], begin).await.unwrap();
            let two = [("trace", "abc"), ("n", "7")];
            let answer = ask(&mut client, &two, &format!("{asked} /* {read} */")).await.unwrap();
            assert_eq!(answer.rows, [b"\x03abc\x017"]);
            let answer = ask(&mut client, &[], &format!("{asked} /* {read} */")).await.unwrap();
            assert_eq!(answer.rows, [[0xfb, 0xfb]], "they are of one statement");
            ask(&mut client, &[], "COMMIT").await.unwrap();
        }
        let ran = stage.ran(&read).await;
        assert_eq!((ran.on_primary(), ran.on_replicas()), (2, 2), "{ran}");

        let text = "SELECT CAST(? AS UNSIGNED), mysql_query_attribute_string('n')";
        let id = client.prepare(&format!("{text} /* {executed} */")).await.unwrap();
        let head = [&id.to_le_bytes()[..], &[8], &1_u32.to_le_bytes()].concat();
        let both = block(&[("", LONGLONG, &[42, 0, 0, 0, 0, 0, 0, 0]), ("n", STRING, b"\x03def")]);
        // Binary rows: 0, the bitmap of NULLs, 8 bytes, and a text if there is one.
        let (with, without) = (b"\0\0\x2a\0\0\0\0\0\0\0\x03def", b"\0\x08\x2a\0\0\0\0\0\0\0");
        client.command(code::STMT_EXECUTE, &[&head[..], &[2], &both].concat()).await.unwrap();
        assert_eq!(client.answer().await.unwrap().rows, [with]);
        let again = [&head[..], &[1, 0, 0], &42_u64.to_le_bytes()].concat();
        client.command(code::STMT_EXECUTE, &again).await.unwrap();
        assert_eq!(client.answer().await.unwrap().rows, [without], "types as the last time");
        // On connections that have not heard of them.
        ask(&mut client, &[], "START TRANSACTION READ ONLY").await.unwrap();
        client.command(code::STMT_EXECUTE, &again).await.unwrap();
        assert_eq!(client.answer().await.unwrap().rows, [without]);
        ask(&mut client, &[], "COMMIT").await.unwrap();
        let ran = stage.ran(&executed).await;
        assert_eq!((ran.on_primary(), ran.on_replicas()), (2, 1), "{ran}");
        let none = client.prepare("SELECT 1, mysql_query_attribute_string('n')").await.unwrap();
        let alone = block(&[("n", STRING, b"\x01x")]);
        let head = [&none.to_le_bytes()[..], &[8], &1_u32.to_le_bytes()].concat();
        client.command(code::STMT_EXECUTE, &[&head[..], &[1], &alone].concat()).await.unwrap();
        let rows = client.answer().await.unwrap().rows;
        assert!(rows[0].ends_with(b"\x01x"), "a statement without parameters: {rows:x?}");
    });
}

#[test]
fn what_stands_behind_them_is_what_is_routed() {
    check(async |stage| {
        stage.given("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, n INT)").await;
        let Some(mut client) = with_attributes(stage).await else { return };
        let (read, write, hidden) = (stage.mark(), stage.mark(), stage.mark());
        let trace = [("trace", "SELECT 1"), ("more", "")];
        for _ in 0..4 {
            ask(&mut client, &trace, &format!("SELECT 1 /* {read} */")).await.unwrap();
            ask(&mut client, &[], &format!("SELECT 1 /* {read} */")).await.unwrap();
        }
        stage.ran(&read).await.only_on_replicas(8);
        ask(&mut client, &trace, &format!("INSERT INTO t (n) VALUES (1) /* {write} */")).await.unwrap();
        stage.ran(&write).await.only_on_primary(1);
        // Not a read, whatever an attribute says.
        let text = format!("SELECT n FROM t FOR UPDATE /* {hidden} */");
        ask(&mut client, &[("a", "SELECT 1 -- ")], &text).await.unwrap();
        stage.ran(&hidden).await.only_on_primary(1);
    });
}

#[test]
fn dauphins_own_questions_fit_such_connections() {
    check(async |stage| {
        stage.given("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, n INT)").await;
        let Some(mut client) = with_attributes(stage).await else { return };
        // What the session has set goes to each connection, and what is read back comes from there.
        let one = |answer: Answer| String::from_utf8_lossy(&answer.rows[0][1..]).into_owned();
        client.query("SET @name = CONCAT('a', 'da'), SESSION sort_buffer_size = 300000").await.unwrap();
        client.query("SET SESSION sql_mode = CONCAT(@@sql_mode, ',ANSI_QUOTES')").await.unwrap();
        for _ in 0..4 {
            let answer = client.query("SELECT CONCAT(@name, @@sort_buffer_size)").await.unwrap();
            assert_eq!(one(answer), "ada300000");
        }
        client.query("SET SESSION sql_mode = DEFAULT").await.unwrap();
        for n in 1..4 {
            client.query(&format!("INSERT INTO t (n) VALUES ({n})")).await.unwrap();
            assert_eq!(one(client.query("SELECT COUNT(*) FROM t").await.unwrap()), n.to_string());
            assert_eq!(one(client.query("SELECT LAST_INSERT_ID()").await.unwrap()), n.to_string());
        }
        client.query("SELECT n FROM t LIMIT 2").await.unwrap();
        assert_eq!(one(client.query("SELECT FOUND_ROWS()").await.unwrap()), "2");
        assert_eq!(one(client.query("SELECT GET_LOCK('attributes', 1)").await.unwrap()), "1");
        assert_eq!(one(client.query("SELECT RELEASE_LOCK('attributes')").await.unwrap()), "1");
        client.query("SELECT CAST('x' AS SIGNED)").await.unwrap();
        assert_eq!(client.query("SHOW WARNINGS").await.unwrap().rows.len(), 1);
        client.query("SELECT CAST('x' AS SIGNED)").await.unwrap();
        client.query("GET DIAGNOSTICS @conditions = NUMBER").await.unwrap();
        assert_eq!(one(client.query("SELECT @conditions").await.unwrap()), "1");
        // dauphin's own statements have their text there, too.
        let route =
            ask(&mut client, &[("a", "b")], "EXPLAIN ROUTE INSERT INTO t (n) VALUES (9)").await.unwrap();
        assert!(String::from_utf8_lossy(&route.rows[0]).contains("primary"), "{route:?}");
    });
}

#[test]
fn each_value_ends_where_a_server_says_it_ends() {
    check(async |stage| {
        let Some(mut client) = with_attributes(stage).await else { return };
        let mut direct = direct(stage).await;
        // What is taken for a value of up to 83 bytes, as `S` says, ends inside the comment.
        let text = format!("SELECT 1 /* {} */", "x".repeat(100));
        let odd = [0x103, 0x4000, 0x7fff, 0x80ff].into_iter();
        let kinds = (0..256).chain([1, 2, 3, 4, 5, 8, 15, 244, 254].map(|kind| kind | 1 << 15)).chain(odd);
        let mut understood = 0;
        for kind in kinds {
            for value in [&b""[..], b"!", b"!!", b"!!!!", b"!!!!!!!!", b"\x04!!!!", b"\xfc\x02\0!!"] {
                let block = block(&[("a", kind, value)]);
                let argument = [&[1, 1], &block[..], text.as_bytes()].concat();
                let expected = outcome(&mut direct, &argument).await;
                assert_eq!(outcome(&mut client, &argument).await, expected, "{kind:#x} {value:?}");
                understood += usize::from(expected.is_ok());
            }
        }
        assert!(understood >= 256, "each type has values: {understood}");
    });
}

#[test]
fn a_malformed_block_goes_nowhere() {
    check(async |stage| {
        stage.given("CREATE TABLE t (id INT)").await;
        let Some(mut client) = with_attributes(stage).await else { return };
        let mut direct = direct(stage).await;
        let mark = stage.mark();
        let insert = format!("INSERT INTO t VALUES (1) /* {mark} */");
        for head in [
            &b""[..],
            b"\0",
            b"\0\0",
            b"\0\x02",
            b"\0\xfb",
            b"\xfb\x01",
            b"\x01\x01\0\0",                  // types of an earlier one
            b"\x01\x01\0\x01\xf4\0\x01a\x01", // MYSQL_TYPE_BOOL
            b"\x01\x01\0\x01\xfe\0\x7fa",     // a name beyond the packet
            b"\xfe\0\0\x01\0\0\0\0\0\x01",    // 65,536 of them
        ] {
            let argument = [head, insert.as_bytes()].concat();
            let expected = outcome(&mut direct, &argument).await;
            assert_eq!(expected, Err(1835), "{head:x?}: what the server itself says");
            assert_eq!(outcome(&mut client, &argument).await, expected, "{head:x?}");
        }
        // A server cuts a value that is longer than the packet, and has nothing left to run.
        let argument = [&b"\x01\x01\0\x01\xfe\0\x01a\xfc\xff\xff"[..], insert.as_bytes()].concat();
        assert_eq!(outcome(&mut direct, &argument).await, Err(1065));
        assert_eq!(outcome(&mut client, &argument).await, Err(1835));
        assert_eq!(client.query("SELECT 1").await.unwrap().rows.len(), 1, "the session goes on");
        assert_eq!(stage.ran(&mark).await.0, [0; 3]);
    });
}

#[test]
fn those_of_mysql_router_route() {
    check(async |stage| {
        let Some(mut client) = with_attributes(stage).await else { return };
        let (wished, after, written, late) = (stage.mark(), stage.mark(), stage.mark(), stage.mark());
        let mode = |mode| [("Router.Access_Mode", mode)];
        ask(&mut client, &mode("read_write"), &format!("SELECT 1 /* {wished} */")).await.unwrap();
        ask(&mut client, &[], &format!("SELECT 1 /* {after} */")).await.unwrap();
        ask(&mut client, &mode("read_only"), &format!("SELECT 1 /* {after} */")).await.unwrap();
        ask(&mut client, &mode("auto"), &format!("SELECT 1 /* {after} */")).await.unwrap();
        stage.ran(&wished).await.only_on_primary(1);
        stage.ran(&after).await.only_on_replicas(3);
        // A write is one, whatever is wished.
        ask(&mut client, &mode("read_only"), &format!("CREATE TABLE t (id INT) /* {written} */"))
            .await
            .unwrap();
        stage.ran(&written).await.only_on_primary(1);
        // ROUTER SET has the last word, also where it has such an attribute itself.
        let router_set = "ROUTER SET access_mode = 'read_write'";
        ask(&mut client, &mode("read_only"), router_set).await.unwrap();
        ask(&mut client, &mode("read_only"), &format!("SELECT 1 /* {late} */")).await.unwrap();
        stage.ran(&late).await.only_on_primary(1);
        for wrong in [("router.access_mode", "anywhere"), ("router.nonsense", "1")] {
            let error = ask(&mut client, &[wrong], "SELECT 1").await.unwrap_err();
            let refusal = error.downcast::<Refusal>().unwrap();
            assert_eq!(refusal.code, 1064, "{refusal}");
            assert!(refusal.message.contains(wrong.0), "{refusal}");
        }
        assert_eq!(client.query("SELECT 1").await.unwrap().rows.len(), 1);
    });
}

#[test]
fn a_long_query_is_streamed_with_its_attributes() {
    check(async |stage| {
        stage.given("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, body LONGTEXT)").await;
        let Some(mut client) = with_attributes(stage).await else { return };
        for length in [1 << 20, 17 << 20] {
            let insert = format!("INSERT INTO t (body) VALUES ('{}')", "x".repeat(length));
            ask(&mut client, &[("trace", "abc")], &insert).await.unwrap();
        }
        let lengths = client.query("SELECT GROUP_CONCAT(LENGTH(body) ORDER BY id) FROM t").await.unwrap();
        assert_eq!(lengths.rows, [b"\x101048576,17825792"]);
    });
}

async fn direct(stage: &mut Stage) -> Raw {
    let address = (stage.cluster.nodes[0].address(), 3306).into();
    let direct = Raw::connect_with(address, "app", "app", Some(&stage.schema), ATTRIBUTES).await.unwrap();
    assert!(direct.queries == Queries::WithAttributes);
    direct
}
