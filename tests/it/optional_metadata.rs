//! CLIENT_OPTIONAL_RESULTSET_METADATA (MySQL): a flag says whether columns are defined, and `resultset_metadata` whether they are.

use dauphin_proto::{CapabilityFlags, command::code, reply::status};

use crate::support::{Flavour, Stage, check_with, raw::Raw};

const OPTIONAL: CapabilityFlags = CapabilityFlags::CLIENT_OPTIONAL_RESULTSET_METADATA;

/// Each command and what it is answered with, packet by packet.
async fn conversation(client: &mut Raw, has_eof: bool) -> Vec<(String, Vec<Vec<u8>>)> {
    let text = |text: &str| (code::QUERY, text.as_bytes().to_vec());
    let once = [&1_u32.to_le_bytes()[..], &[0, 1, 0, 0, 0, 0, 1, 8, 0, 5, 0, 0, 0, 0, 0, 0, 0]].concat();
    let cursor =
        |id: u32| [&id.to_le_bytes()[..], &[1, 1, 0, 0, 0, 0, 1, 8, 0, 5, 0, 0, 0, 0, 0, 0, 0]].concat();
    let fetch = |id: u32| [id.to_le_bytes(), 9_u32.to_le_bytes()].concat();
    let commands = [
        text("SELECT id, v FROM t ORDER BY id"),
        text("DO 1"),
        (code::STMT_PREPARE, b"SELECT id, ? FROM t".to_vec()),
        (code::STMT_EXECUTE, once.clone()),
        text("SET SESSION resultset_metadata = NONE"),
        text("SELECT id, v FROM t ORDER BY id"),
        text("SELECT @@resultset_metadata"),
        text("SELECT 1; SELECT 2, 3; DO 1"),
        text("CALL two_results()"),
        text("SELECT nothing"),
        text("SHOW WARNINGS"),
        (code::STMT_EXECUTE, once),
        (code::STMT_PREPARE, b"SELECT id FROM t WHERE id < ? ORDER BY id".to_vec()),
        (code::STMT_EXECUTE, cursor(2)),
        (code::STMT_FETCH, fetch(2)),
        (code::STMT_PREPARE, b"DO ?".to_vec()),
        (code::STMT_PREPARE, b"SELECT 1".to_vec()),
        (code::STMT_PREPARE, b"DO 1".to_vec()),
        (code::FIELD_LIST, b"t\0".to_vec()),
        // Known to dauphin, and asked for by it.
        text("SELECT CONNECTION_ID() > 0"),
        text("SELECT MAX(id) INTO @most FROM t"),
        text("SELECT id FROM t WHERE id = @most"),
        text("INSERT INTO t VALUES (7, 'x')"),
        text("SELECT id FROM t WHERE id <=> @most"),
        text("SET NAMES latin1"),
        text("SELECT v FROM t ORDER BY id"),
        text("BEGIN"),
        text("SELECT v FROM t ORDER BY id"),
        text("ROLLBACK"),
        text("SET SESSION resultset_metadata = FULL"),
        text("SELECT v FROM t ORDER BY id"),
        text("SET SESSION resultset_metadata = NONE"),
        (code::RESET_CONNECTION, Vec::new()),
        text("SELECT 1"),
    ];
    let (mut said, mut ids) = (Vec::new(), Vec::new());
    for (at, (code, argument)) in commands.iter().enumerate() {
        let mut sent = argument.clone();
        if matches!(*code, code::STMT_EXECUTE | code::STMT_FETCH) {
            let number = usize::from(argument[0]) - 1;
            sent.splice(..4, <[u8; 4]>::clone(&ids[number]));
        }
        client.command(*code, &sent).await.unwrap();
        let mut packets = answer(client, *code, has_eof).await;
        if *code == code::STMT_PREPARE {
            // dauphin counts its own.
            let id = packets[0].splice(1..5, [0; 4]).collect::<Vec<_>>();
            ids.push(<[u8; 4]>::try_from(id).unwrap());
        }
        packets.iter_mut().for_each(|packet| without_flags(packet));
        said.push((format!("{at}: {code:#x} {}", String::from_utf8_lossy(argument)), packets));
    }
    said
}

/// The packets of the whole answer to a command.
async fn answer(client: &mut Raw, command: u8, has_eof: bool) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    loop {
        let first = client.packet().await.unwrap();
        let before_rows = match (command, first[0]) {
            (_, 0xff) => 0,
            (code::STMT_PREPARE, _) => {
                let (columns, parameters, flag) = (first[5], first[7], first[12]);
                let ends = u8::from(has_eof) * (u8::from(columns > 0) + u8::from(parameters > 0));
                (columns + parameters) * flag + ends
            }
            (code::STMT_FETCH | code::FIELD_LIST, _) | (_, 0) => 0,
            (_, columns) => columns * first[1] + u8::from(has_eof),
        };
        let has_rows = match command {
            code::STMT_PREPARE => false,
            code::STMT_FETCH | code::FIELD_LIST => !is_end(&first),
            _ => first[0] != 0 && first[0] != 0xff,
        };
        let is_ok = command != code::STMT_PREPARE && first[0] == 0;
        packets.push(first);
        for _ in 0..before_rows {
            packets.push(client.packet().await.unwrap());
        }
        let opened = has_eof && packets.last().is_some_and(|last| has(last, status::CURSOR_EXISTS));
        if has_rows && !(opened && command == code::STMT_EXECUTE) {
            loop {
                packets.push(client.packet().await.unwrap());
                if packets.last().is_some_and(|last| is_end(last)) {
                    break;
                }
            }
        }
        let last = packets.last().unwrap();
        if !((is_ok || has_rows) && last[0] != 0xff && has(last, status::MORE_RESULTS)) {
            return packets;
        }
    }
}

fn is_end(packet: &[u8]) -> bool {
    packet[0] == 0xff || packet[0] == 0xfe && packet.len() <= 9
}

/// Whether an EOF packet, or an OK packet that names no rows and no id, has the flag.
fn has(packet: &[u8], flag: u16) -> bool {
    packet.len() >= 5 && u16::from_le_bytes([packet[3], packet[4]]) & flag != 0
}

/// An EOF packet behind definitions is dauphin's own, and cannot tell how far the server was: see tests/routing/README.md.
fn without_flags(packet: &mut [u8]) {
    if let [0xfe, warnings, _, flags, more] = packet {
        *warnings = 0;
        *flags &= 0xc0;
        *more = 0;
    }
}

#[test]
fn answers_are_the_server_s_with_and_without_definitions() {
    check_with("", async |stage| {
        if stage.flavour == Flavour::MariaDb {
            return;
        }
        stage
            .given(
                "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(9));; INSERT INTO t VALUES (1, 'a'), (2, 'b');; \
                 CREATE PROCEDURE two_results() BEGIN SELECT 1; SELECT 2, 3; END",
            )
            .await;
        let server = (stage.cluster.nodes[0].address(), 3306).into();
        for more in [OPTIONAL, OPTIONAL | CapabilityFlags::CLIENT_DEPRECATE_EOF] {
            let has_eof = !more.contains(CapabilityFlags::CLIENT_DEPRECATE_EOF);
            let mut direct =
                Raw::connect_with(server, "app", "app", Some(&stage.schema), more).await.unwrap();
            let expected = conversation(&mut direct, has_eof).await;
            assert_eq!(expected[5].1[0], [2, 0], "the server omits definitions");
            stage.given("DELETE FROM t WHERE id = 7").await;
            let mut client = stage.raw_with(more).await.unwrap();
            let said = conversation(&mut client, has_eof).await;
            for (said, expected) in said.iter().zip(&expected) {
                assert_eq!(said, expected);
            }
            stage.given("DELETE FROM t WHERE id = 7").await;
        }
    });
}

#[test]
fn dauphin_s_own_results_have_the_flag_too() {
    check_with("", async |stage| {
        if stage.flavour == Flavour::MariaDb {
            return;
        }
        let mut client = stage.raw_with(OPTIONAL).await.unwrap();
        let explain = "EXPLAIN ROUTE SELECT 1";
        client.command(code::QUERY, explain.as_bytes()).await.unwrap();
        let count = client.packet().await.unwrap();
        let columns = count[0];
        assert_eq!(count, [columns, 1]);
        for _ in 0..columns {
            assert_eq!(client.packet().await.unwrap()[..4], *b"\x03def");
        }
        assert_eq!(client.packet().await.unwrap()[0], 0xfe, "the end of definitions");
        while client.packet().await.unwrap()[0] != 0xfe {}
        client.query("SET resultset_metadata = NONE").await.unwrap();
        client.command(code::QUERY, explain.as_bytes()).await.unwrap();
        assert_eq!(client.packet().await.unwrap(), [columns, 0]);
        assert_eq!(client.packet().await.unwrap()[0], 0xfe, "the end of definitions that are not there");
        while client.packet().await.unwrap()[0] != 0xfe {}
        client.query("DO 1").await.unwrap();
    });
}

#[test]
fn without_the_capability_metadata_cannot_be_switched_off() {
    check_with("", async |stage: &mut Stage| {
        if stage.flavour == Flavour::MariaDb {
            return;
        }
        let mut client = stage.raw().await;
        let refused = client.query("SET SESSION resultset_metadata = NONE").await.unwrap_err();
        assert!(refused.to_string().starts_with("3640"), "{refused}");
        assert_eq!(client.query("SELECT 1").await.unwrap().rows.len(), 1);
    });
}
