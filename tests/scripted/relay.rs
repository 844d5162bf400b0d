//! The same bytes for the client however they come.

use dauphin_proto::{
    command,
    reply::{marker, status},
};

use crate::support::{Act, Answer, Dialect, House, answer, run};

/// Two result sets and an OK packet that reports a change, with an info text.
fn long_answer() -> Vec<u8> {
    let more = status::AUTOCOMMIT | status::MORE_RESULTS;
    let mut payloads = answer::row_payloads(&["a", "bc"], &[&["1", ""], &["\u{fe}\u{ff}", "x"]], more);
    payloads.extend(answer::row_payloads(&["c"], &[], more));
    payloads.push(answer::ok_payload(
        marker::OK,
        status::AUTOCOMMIT,
        b"done",
        &answer::variable("autocommit", "ON"),
    ));
    answer::packets(&payloads)
}

async fn check_every_offset(dialect: Dialect, text: &str, bytes: Vec<u8>) {
    let house = House::new(1).await;
    let mut client = house.client_of(dialect).await;
    house.servers.iter().for_each(|server| server.on(text, Act::bytes(bytes.clone())));
    let whole = (client.query(text).await, client.raw.clone());
    let server = if house.primary().count(text) > 0 { house.primary() } else { house.replica() };
    for at in 0..=bytes.len() {
        server.on(text, Act::split(&bytes, at));
        assert_eq!(
            (client.query(text).await, &client.raw),
            (whole.0.clone(), &whole.1),
            "{dialect:?} split at {at}"
        );
    }
    server.on(text, Act::trickle(bytes.clone()));
    assert_eq!(
        (client.query(text).await, &client.raw),
        (whole.0.clone(), &whole.1),
        "{dialect:?} byte by byte"
    );
    if dialect == Dialect::New {
        assert_eq!(whole.1, bytes, "what a client of dauphin's own dialect gets is what the server sent");
    }
}

#[test]
fn an_answer_split_at_any_byte_is_the_same_to_a_new_client() {
    run(check_every_offset(Dialect::New, "CALL p()", long_answer()));
}

#[test]
fn an_answer_split_at_any_byte_is_the_same_to_an_old_client() {
    run(check_every_offset(Dialect::Old, "CALL p()", long_answer()));
}

#[test]
fn an_error_behind_rows_split_at_any_byte_is_the_same() {
    let mut payloads = answer::row_payloads(&["a"], &[&["1"]], status::AUTOCOMMIT);
    payloads.pop();
    payloads.push(answer::error_payload(1317, "Query execution was interrupted"));
    for dialect in [Dialect::New, Dialect::Old] {
        run(check_every_offset(dialect, "SELECT 1", answer::packets(&payloads)));
    }
}

#[test]
fn a_short_ok_and_a_short_error_split_at_any_byte_are_the_same() {
    for dialect in [Dialect::New, Dialect::Old] {
        run(check_every_offset(dialect, "INSERT INTO t", answer::ok(status::AUTOCOMMIT)));
        run(check_every_offset(dialect, "INSERT INTO t", answer::error(1062, "Duplicate entry '1'")));
    }
}

#[test]
fn two_commands_in_one_write_are_answered_in_order() {
    for dialect in [Dialect::New, Dialect::Old] {
        run(async move {
            let house = House::new(1).await;
            let mut client = house.client_of(dialect).await;
            let mut both = Vec::new();
            command::put_query(&mut both, b"SELECT 1");
            command::put_query(&mut both, b"SELECT 2 /* primary */ FOR UPDATE");
            command::put_query(&mut both, b"INSERT INTO t VALUES (1)");
            client.send(&both).await;
            assert_eq!(client.answer().await, Answer::one("db02"));
            assert_eq!(client.answer().await, Answer::one("db01"));
            assert_eq!(client.answer().await, Answer::Ok(status::AUTOCOMMIT));
        });
    }
}

#[test]
fn a_command_that_comes_byte_by_byte_is_one_command() {
    run(async {
        let house = House::new(1).await;
        let mut client = house.client().await;
        let mut bytes = Vec::new();
        command::put_query(&mut bytes, b"INSERT INTO t VALUES (1)");
        for byte in bytes {
            client.send(&[byte]).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(client.answer().await, Answer::Ok(status::AUTOCOMMIT));
        assert_eq!(house.primary().count("INSERT INTO t VALUES (1)"), 1);
    });
}

#[test]
fn an_answer_larger_than_every_buffer_comes_whole() {
    run(async {
        let house = House::new(1).await;
        let value = "x".repeat(3 << 20);
        let bytes = answer::rows(&["c"], &[&["small"], &[&value], &["small"]]);
        for dialect in [Dialect::New, Dialect::Old] {
            let mut client = house.client_of(dialect).await;
            house.replica().on("SELECT 1", Act::bytes(bytes.clone()));
            let Answer::Rows(rows) = client.query("SELECT 1").await else { panic!("rows") };
            assert_eq!((rows.len(), rows[1][0].len()), (3, value.len()));
        }
    });
}

#[test]
fn a_row_of_more_than_a_mebibyte_may_be_cut_behind_its_header() {
    run(async {
        let house = House::new(1).await;
        let value = "x".repeat(3 << 20);
        let head = answer::packets(&answer::row_payloads(&["c"], &[], status::AUTOCOMMIT)[..2]).len();
        let bytes = answer::rows(&["c"], &[&[&value]]);
        for dialect in [Dialect::New, Dialect::Old] {
            let mut client = house.client_of(dialect).await;
            house.replica().on("SELECT 1", Act::split(&bytes, head + 4));
            assert!(client.query("SELECT 1").await == Answer::one(&value), "the replica's row comes whole");
        }
    });
}

#[test]
fn more_than_255_packets_keep_their_numbers() {
    run(async {
        let house = House::new(1).await;
        let rows = vec![&["x"][..]; 1000];
        for dialect in [Dialect::New, Dialect::Old] {
            let mut client = house.client_of(dialect).await;
            house.replica().on("SELECT 1", Act::bytes(answer::rows(&["c"], &rows)));
            let Answer::Rows(got) = client.query("SELECT 1").await else { panic!("rows") };
            assert_eq!(got.len(), 1000);
            let mut rest = &client.raw[..];
            let mut expected = 1u8;
            while let Some(packet) = dauphin_proto::packet::whole(rest) {
                assert_eq!(packet[3], expected, "{dialect:?}");
                (rest, expected) = (&rest[packet.len()..], expected.wrapping_add(1));
            }
        }
    });
}

#[test]
fn a_prepared_statement_s_answer_split_at_any_byte_is_the_same_but_for_its_id() {
    for dialect in [Dialect::New, Dialect::Old] {
        run(async move {
            let house = House::new(1).await;
            let mut client = house.client_of(dialect).await;
            let bytes = answer::prepared(77, 2, 1);
            let mut whole = None;
            for at in 0..=bytes.len() {
                house.replica().on("COM_STMT_PREPARE", Act::split(&bytes, at));
                let id = client.prepare("SELECT a FROM t WHERE b = ? AND c = ?").await;
                client.close(id).await;
                // The id is dauphin's own, another one each time.
                let mut raw = client.raw.clone();
                raw[5..9].fill(0);
                assert_eq!(&raw, whole.get_or_insert(raw.clone()), "{dialect:?} split at {at}");
            }
        });
    }
}

#[test]
fn a_binary_result_and_a_cursor_split_at_any_byte_are_the_same() {
    for dialect in [Dialect::New, Dialect::Old] {
        run(async move {
            let house = House::new(1).await;
            let mut client = house.client_of(dialect).await;
            let id = client.prepare("SELECT a FROM t").await;
            let rows = answer::binary_rows("one", status::AUTOCOMMIT);
            for at in 0..=rows.len() {
                house.replica().on("COM_STMT_EXECUTE", Act::split(&rows, at));
                assert_eq!(client.execute(id, 0).await, Answer::one("one"), "{dialect:?} split at {at}");
            }
            let (opened, fetched) = (answer::cursor_opened(), answer::fetched(&["one", "two"], false));
            for at in 0..=opened.len() {
                house.replica().on("COM_STMT_EXECUTE", Act::split(&opened, at));
                house.replica().on("COM_STMT_FETCH", Act::split(&fetched, at.min(fetched.len())));
                let id = client.prepare("SELECT a FROM t").await;
                assert_eq!(
                    client.execute(id, 1).await,
                    Answer::Rows(Vec::new()),
                    "{dialect:?} split at {at}"
                );
                let two = Answer::Rows(vec![vec!["one".into()], vec!["two".into()]]);
                assert_eq!(client.fetch(id).await, two, "{dialect:?} split at {at}");
                client.close(id).await;
            }
        });
    }
}
