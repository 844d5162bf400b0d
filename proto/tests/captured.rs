//! Bytes of real servers: read as what they are, and followed to their exact end, whole or cut anywhere.
//! See captured/README.md.

use std::path::Path;

use dauphin_proto::{
    CapabilityFlags,
    connect::{AUTH_MORE_DATA, AuthSwitch, Greeting},
    packet::{self, HEADER},
    reply::{self, marker, status},
    response::{Kind, Part, Prepared, Shape, Tracker},
    session_track::{Change, changes},
};

const MYSQL: &str = "mysql-9.7.4";
const MARIADB: &str = "mariadb-11.8.6";
const BOTH: [&str; 2] = [MYSQL, MARIADB];

fn captured(server: &str, name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/captured")
        .join(server)
        .join(name)
        .with_extension("hex");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let digits: Vec<u8> = text.lines().filter(|line| !line.starts_with('#')).flat_map(str::bytes).collect();
    let digit = |byte: u8| char::from(byte).to_digit(16).expect("a hexadecimal digit") as u8;
    digits.chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// The payload of a capture of one packet.
fn payload(server: &str, name: &str) -> Vec<u8> {
    let bytes = captured(server, name);
    assert_eq!(packet::whole(&bytes).map(<[u8]>::len), Some(bytes.len()), "{server}/{name} is one packet");
    bytes[HEADER..].to_vec()
}

/// What a client gets, and the packets that were looked into.
type Followed = (Vec<u8>, Vec<Kind>);

/// Follows a response that comes in two pieces, the second of which begins at `cut`.
fn follow(bytes: &[u8], shape: Shape, insert_eof: bool, cut: usize, first_number: u8) -> Followed {
    let (mut tracker, mut out, mut kinds) = (Tracker::new(shape, insert_eof), Vec::new(), Vec::new());
    tracker.local_file_sent(first_number);
    let mut buffer = bytes[..cut].to_vec();
    for more in [&bytes[cut..], &[]] {
        loop {
            let n = match tracker.next(&mut buffer).expect("a real server keeps to the protocol") {
                Part::Bytes(n) => n,
                Part::Packet { length, kind } => {
                    kinds.push(kind);
                    length
                }
                Part::InsertEof(sequence) => {
                    packet::put_with(&mut out, sequence, |out| reply::put_eof(out, 0, 0));
                    0
                }
                Part::Incomplete | Part::End => break,
            };
            out.extend(buffer.drain(..n));
        }
        buffer.extend_from_slice(more);
    }
    assert!(tracker.is_ended() && buffer.is_empty(), "the response ends with its last byte");
    (out, kinds)
}

fn numbers(mut stream: &[u8]) -> Vec<u8> {
    let mut found = Vec::new();
    while let Some(packet) = packet::whole(stream) {
        found.push(packet[3]);
        stream = &stream[packet.len()..];
    }
    assert!(stream.is_empty(), "whole packets");
    found
}

/// The response of both servers has these packets in it, ends at its end, and `eofs` more for an old client.
fn check(name: &str, shape: Shape, kinds: &[Kind], eofs: usize) {
    for server in BOTH {
        let bytes = captured(server, name);
        let first = bytes[3];
        let whole = follow(&bytes, shape, false, bytes.len(), first);
        assert_eq!((&whole.0, &whole.1[..]), (&bytes, kinds), "{server}/{name}");
        let old = follow(&bytes, shape, true, bytes.len(), first);
        let count = (numbers(&bytes).len() + eofs) as u8;
        assert_eq!(
            numbers(&old.0),
            (first..first + count).collect::<Vec<_>>(),
            "{server}/{name} for an old client"
        );
        assert_eq!(old.1, kinds, "{server}/{name} for an old client");
        for cut in 0..bytes.len() {
            assert_eq!(follow(&bytes, shape, false, cut, first), whole, "{server}/{name} cut at {cut}");
            assert_eq!(
                follow(&bytes, shape, true, cut, first),
                old,
                "{server}/{name} cut at {cut} for an old client"
            );
        }
    }
}

#[test]
fn responses_end_where_their_servers_ended_them() {
    use Kind::{Err, Ok, Prepared, RowsEnd};
    for name in ["ok_schema", "ok_insert_gtid", "ok_variables", "ok_begin", "ok_commit", "ok_info"] {
        check(name, Shape::Query, &[Ok], 0);
    }
    for name in ["result_set", "result_set_empty", "result_set_warning", "binary_result_set"] {
        check(name, Shape::Query, &[RowsEnd], 1);
    }
    check("error", Shape::Query, &[Err], 0);
    check("error_in_rows", Shape::Query, &[Err], 1);
    check("call_with_results", Shape::Query, &[RowsEnd, RowsEnd, Ok], 2);
    check("multi_statement", Shape::Query, &[Ok, RowsEnd, Ok, RowsEnd], 2);
    check("prepared", Shape::Prepare, &[Prepared], 2);
    check("prepared_insert", Shape::Prepare, &[Prepared], 1);
    check("prepared_bare", Shape::Prepare, &[Prepared], 0);
    check("cursor_opened", Shape::Query, &[RowsEnd], 0);
    check("cursor_fetched", Shape::Rows, &[RowsEnd], 0);
    check("cursor_fetched_last", Shape::Rows, &[RowsEnd], 0);
    check("local_infile_done", Shape::Query, &[Ok], 0);
    check("statistics", Shape::Text, &[], 0);
    check("ping", Shape::Status, &[Ok], 0);
    check("reset_connection", Shape::Status, &[Ok], 0);
}

#[test]
fn com_set_option_ends_with_what_ends_rows() {
    for server in BOTH {
        let bytes = captured(server, "set_option");
        assert_eq!(bytes[HEADER], marker::EOF, "{server}");
        follow(&bytes, Shape::Status, false, bytes.len(), 1);
    }
}

#[test]
fn a_request_for_a_local_file_is_seen_and_the_response_goes_on_behind_the_file() {
    for server in BOTH {
        let (mut request, mut done) =
            (captured(server, "local_infile"), captured(server, "local_infile_done"));
        let mut tracker = Tracker::new(Shape::Query, false);
        let length = request.len();
        assert_eq!(tracker.next(&mut request), Ok(Part::Packet { length, kind: Kind::LocalInfile }));
        assert_eq!(&request[HEADER + 1..], b"rows.csv");
        assert!(!tracker.is_ended());
        // The file took two packets, 2 and 3.
        tracker.local_file_sent(4);
        let length = done.len();
        assert_eq!(tracker.next(&mut done), Ok(Part::Packet { length, kind: Kind::Ok }));
        assert!(tracker.is_ended());
    }
}

#[test]
fn greetings() {
    let mysql = Greeting::parse(&payload(MYSQL, "greeting")).unwrap();
    assert!(mysql.version.starts_with("9.7.4"), "{}", mysql.version);
    assert_eq!(
        (mysql.plugin.as_str(), mysql.collation, mysql.status),
        ("caching_sha2_password", 255, status::AUTOCOMMIT)
    );
    assert!(mysql.capabilities.contains(CapabilityFlags::CLIENT_SSL | CapabilityFlags::CLIENT_DEPRECATE_EOF));
    let maria = Greeting::parse(&payload(MARIADB, "greeting")).unwrap();
    assert!(maria.version.starts_with("11.8.6-MariaDB"), "{}", maria.version);
    assert_eq!((maria.plugin.as_str(), maria.status), ("mysql_native_password", status::AUTOCOMMIT));
    // "Not MySQL": MariaDB leaves CLIENT_LONG_PASSWORD out.
    assert!(!maria.capabilities.contains(CapabilityFlags::CLIENT_LONG_PASSWORD));
    for greeting in [mysql, maria] {
        assert!(greeting.capabilities.contains(CapabilityFlags::CLIENT_SESSION_TRACK));
        assert!(greeting.nonce.iter().all(|byte| (1..0x80).contains(byte)), "{:?}", greeting.nonce);
    }
}

#[test]
fn a_greeting_that_ends_early_is_an_error_or_lacks_its_last_field() {
    for server in BOTH {
        let whole = payload(server, "greeting");
        let plugin_at = whole.len() - Greeting::parse(&whole).unwrap().plugin.len() - 2;
        for cut in 0..whole.len() {
            assert_eq!(Greeting::parse(&whole[..cut]).is_ok(), cut >= plugin_at, "{server} cut at {cut}");
        }
    }
}

#[test]
fn authentication_switches() {
    for (server, plugin) in [(MYSQL, "caching_sha2_password"), (MARIADB, "mysql_native_password")] {
        let switch = AuthSwitch::parse(&payload(server, "auth_switch")).unwrap();
        assert_eq!((switch.plugin.as_str(), switch.nonce.len()), (plugin, 20), "{server}");
    }
    assert_eq!(payload(MYSQL, "auth_fast_ok"), [AUTH_MORE_DATA, dauphin_proto::auth::SHA2_FAST_OK]);
}

/// The reported changes, in the words of `Change`'s own display, sorted; those of `noise` left out.
fn reported(server: &str, name: &str, noise: &[&str]) -> Vec<String> {
    let payload = payload(server, name);
    let ok = reply::Ok::parse(&payload).expect("an OK packet");
    assert_ne!(ok.status & status::STATE_CHANGED, 0, "{server}/{name}");
    let mut found: Vec<_> = changes(ok.state).map(|change| change.expect("a change").0.to_string()).collect();
    found.retain(|change| !noise.iter().any(|noise| change.starts_with(noise)));
    found.sort();
    found
}

#[test]
fn a_changed_schema_is_reported() {
    for server in BOTH {
        let found = reported(server, "ok_schema", &["character_set_database", "collation_database"]);
        assert_eq!(found, ["schema=captured", "state"], "{server}");
    }
}

#[test]
fn several_variables_are_reported_in_one_block() {
    for server in BOTH {
        let found = reported(server, "ok_variables", &[]);
        assert_eq!(found.len(), 4, "{server}: {found:?}");
        assert_eq!(
            (&found[0][..], &found[2][..], &found[3][..]),
            ("sort_buffer_size=524288", "state", "time_zone=+02:00")
        );
        assert!(
            found[1].starts_with("sql_mode=") && found[1].contains("NO_ZERO_DATE"),
            "{server}: {found:?}"
        );
    }
}

#[test]
fn the_transaction_of_an_insert_is_reported() {
    let mysql = reported(MYSQL, "ok_insert_gtid", &[]);
    let (uuid, number) =
        mysql[0].strip_prefix("gtids=").and_then(|gtid| gtid.split_once(':')).expect("a GTID");
    assert!(uuid.len() == 36 && number.parse::<u64>().is_ok(), "{mysql:?}");
    let maria = reported(MARIADB, "ok_insert_gtid", &[]);
    let gtid = maria[0].strip_prefix("last_gtid=").expect("a GTID");
    assert_eq!(gtid.split('-').filter(|part| part.parse::<u64>().is_ok()).count(), 3, "{maria:?}");
}

#[test]
fn an_ok_packet_s_fields_are_read() {
    for server in BOTH {
        let payload = payload(server, "ok_insert_gtid");
        let ok = reply::Ok::parse(&payload).unwrap();
        assert_eq!((ok.header, ok.affected_rows, ok.last_insert_id, ok.warnings), (0, 2, 1, 0), "{server}");
        assert_eq!(ok.info, b"Records: 2  Duplicates: 0  Warnings: 0", "{server}");
        let mut again = Vec::new();
        ok.put(&mut again, true);
        assert_eq!(again, payload, "{server}: written back it is the same");
    }
}

#[test]
fn status_flags_follow_a_transaction() {
    let flags = |server, name| reply::Ok::parse(&payload(server, name)).unwrap().status;
    for server in BOTH {
        assert_ne!(flags(server, "ok_begin") & status::IN_TRANS, 0, "{server}");
        assert_eq!(flags(server, "ok_commit") & status::IN_TRANS, 0, "{server}");
        assert_eq!(flags(server, "login_ok") & status::AUTOCOMMIT, status::AUTOCOMMIT, "{server}");
    }
}

#[test]
fn cursors_say_in_their_status_whether_they_are_open() {
    for server in BOTH {
        let flags = |name| {
            let bytes = captured(server, name);
            let (mut rest, mut last) = (&bytes[..], &bytes[..]);
            while let Some(packet) = packet::whole(rest) {
                (last, rest) = (packet, &rest[packet.len()..]);
            }
            reply::Ok::parse(&last[HEADER..]).unwrap().status
        };
        assert_ne!(flags("cursor_opened") & status::CURSOR_EXISTS, 0, "{server}");
        assert_eq!(flags("cursor_fetched") & status::LAST_ROW_SENT, 0, "{server}");
        assert_ne!(flags("cursor_fetched_last") & status::LAST_ROW_SENT, 0, "{server}");
    }
}

#[test]
fn a_prepared_statement_s_counts_are_read() {
    for server in BOTH {
        for (name, counts) in [("prepared", (2, 2)), ("prepared_insert", (0, 1)), ("prepared_bare", (0, 0))] {
            let prepared = Prepared::parse(&captured(server, name)[HEADER..]).unwrap();
            assert_eq!((prepared.columns, prepared.parameters), counts, "{server}/{name}");
            assert_ne!(prepared.statement_id, 0);
        }
    }
}

#[test]
fn an_error_s_fields_are_read() {
    for server in BOTH {
        let payload = payload(server, "error");
        let error = reply::Err::parse(&payload).unwrap();
        assert_eq!((error.code, &error.sqlstate), (1146, b"42S02"), "{server}");
        assert_eq!(error.message, b"Table 'captured.missing' doesn't exist", "{server}");
    }
}

#[test]
fn entries_of_unknown_types_do_not_end_a_block() {
    // A type of a later version between two known entries.
    let block = b"\x01\x05\x04test\x20\x03abc\x02\x011";
    let found: Vec<_> = changes(block).map(|change| change.unwrap().0).collect();
    assert_eq!(found, [Change::Schema(b"test"), Change::Other(0x20), Change::AnyState]);
}
