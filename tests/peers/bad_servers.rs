//! Servers that greet with garbage or half a greeting or not at all, answer with garbage or without an end, or leave at any byte.

use std::time::{Duration, Instant};

use dauphin_proto::reply::status;
use tokio::{io::AsyncReadExt as _, time::timeout};

use crate::{
    bed::{Bed, MIB, Memory, PROMPTLY, run},
    scripted::{Act, Answer, Greet, answer},
};

/// A new session's read while its replica meets every connection so.
async fn check_greeting(how: Greet, cause: &str) {
    let bed = Bed::new("pool.connect_timeout = \"400ms\"\nmonitor.timeout = \"400ms\"").await;
    let mut memory = Memory::of(&bed);
    let neighbour = bed.neighbour().await;
    bed.replica.greet_all(how);
    let name =
        format!("dauphin_connects_failed_total{{server=\"{}\",cause=\"{cause}\"}}", bed.replica.address);
    // More at a time than there are idle connections to the replica.
    bed.eventually(&format!("{name} is counted"), async || {
        let mut clients = [bed.client().await, bed.client().await, bed.client().await];
        for client in &mut clients {
            client.ask("SELECT 1").await;
        }
        for client in &mut clients {
            let began = Instant::now();
            let answer = client.answer().await;
            assert!(matches!(answer, Answer::Rows(_)), "{how:?}: {answer:?}");
            assert!(began.elapsed() < PROMPTLY, "{how:?}: {:?}", began.elapsed());
        }
        memory.look();
        bed.count(&name).await > 0
    })
    .await;
    neighbour.was_answered_promptly().await;
    memory.has_grown_by_at_most(8 * MIB);
    bed.replica.greet_all(Greet::Fast);
    bed.eventually("the replica takes reads again", async || {
        bed.client().await.query("SELECT 1").await == Answer::one("db02")
    })
    .await;
}

#[test]
fn a_garbage_greeting_is_passed_over() {
    run(check_greeting(Greet::Garbage, "garbage"));
}

#[test]
fn a_greeting_larger_than_any_is_passed_over() {
    run(check_greeting(Greet::Huge, "garbage"));
}

#[test]
fn half_a_greeting_is_waited_for_no_longer_than_connect_timeout() {
    run(check_greeting(Greet::Half, "timeout"));
}

#[test]
fn a_silent_server_is_waited_for_no_longer_than_connect_timeout() {
    run(check_greeting(Greet::Silent, "timeout"));
}

#[test]
fn a_server_that_closes_every_new_connection_is_passed_over() {
    run(check_greeting(Greet::Closed, "unreachable"));
}

#[test]
fn garbage_in_an_answer_ends_its_connection_and_a_read_runs_elsewhere() {
    run(async {
        let bed = Bed::new("").await;
        let (neighbour, memory) = (bed.neighbour().await, Memory::of(&bed));
        let garbage: [&[u8]; 5] = [
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            // Out of order; an empty packet; a column count of 2^64 - 1; an OK packet that is cut short.
            b"\x01\x00\x00\x07\x01",
            b"\x00\x00\x00\x01",
            b"\x09\x00\x00\x01\xfe\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\x02\x00\x00\x01\x00\xfe",
        ];
        for bytes in garbage {
            bed.replica.on("SELECT a FROM t", Act::bytes(bytes).then(Act::never()));
            let mut client = bed.client().await;
            let answer = timeout(Duration::from_secs(10), client.query("SELECT a FROM t")).await;
            assert_eq!(answer, Ok(Answer::one("db01")), "{}", bytes.escape_ascii());
        }
        let name =
            format!("dauphin_connections_lost_total{{server=\"{}\",cause=\"garbage\"}}", bed.replica.address);
        assert_eq!(bed.count(&name).await, garbage.len() as u64);
        neighbour.was_answered_promptly().await;
        memory.has_grown_by_at_most(8 * MIB);
    });
}

#[test]
fn a_server_that_leaves_at_any_byte_of_an_answer_costs_that_statement_at_most() {
    run(async {
        let bed = Bed::new("").await;
        let (neighbour, memory) = (bed.neighbour().await, Memory::of(&bed));
        let whole = answer::rows(&["c"], &[&["one"], &["two"]]);
        for at in 0..whole.len() {
            bed.replica.on("SELECT a FROM t", Act::bytes(&whole[..at]).then(Act::close()));
            let mut client = bed.client().await;
            match client.query("SELECT a FROM t").await {
                // Nothing of it was forwarded.
                Answer::Rows(rows) => assert_eq!(rows, [["db01"]], "{at}"),
                Answer::Error { code, .. } => assert_eq!(code, 1053, "{at}"),
                Answer::Lost { .. } => {}
                other => panic!("{at}: {other:?}"),
            }
        }
        let name =
            format!("dauphin_connections_lost_total{{server=\"{}\",cause=\"closed\"}}", bed.replica.address);
        assert_eq!(bed.count(&name).await, whole.len() as u64);
        neighbour.was_answered_promptly().await;
        bed.eventually("all places are given back", async || bed.lent().await == 0).await;
        memory.has_grown_by_at_most(8 * MIB);
    });
}

#[test]
fn an_answer_that_never_ends_takes_little_memory_and_ends_with_its_client() {
    run(async {
        let bed = Bed::new("").await;
        let (neighbour, mut memory) = (bed.neighbour().await, Memory::of(&bed));
        bed.replica.on("SELECT a FROM t", Act::endless_rows());
        let mut client = bed.client().await;
        client.ask("SELECT a FROM t").await;
        let mut piece = vec![0; MIB as usize];
        for _ in 0..200 {
            client.stream.read_exact(&mut piece).await.unwrap();
            memory.look();
        }
        let held = bed.replica.heard("SELECT a FROM t").await;
        drop(client);
        bed.replica.ended(held).await;
        bed.has_counted("gone", 1).await;
        neighbour.was_answered_promptly().await;
        bed.eventually("its place is given back", async || bed.lent().await == 0).await;
        memory.has_grown_by_at_most(8 * MIB);
    });
}

#[test]
fn a_row_of_a_gibibyte_to_a_reader_that_does_not_read_takes_little_memory() {
    run(async {
        let bed = Bed::new("limits.client_timeout = \"1s\"").await;
        let (neighbour, mut memory) = (bed.neighbour().await, Memory::of(&bed));
        bed.replica.on("SELECT a FROM t", Act::long_row(64));
        let mut client = bed.client().await;
        client.ask("SELECT a FROM t").await;
        bed.eventually("it is sent away", async || {
            memory.look();
            bed.faults("not_reading").await == 1
        })
        .await;
        neighbour.was_answered_promptly().await;
        bed.eventually("its place is given back", async || bed.lent().await == 0).await;
        memory.has_grown_by_at_most(8 * MIB);
    });
}

#[test]
fn a_server_that_falls_silent_holds_nothing_once_its_client_has_gone() {
    run(async {
        let bed = Bed::new("").await;
        let neighbour = bed.neighbour().await;
        let rows = answer::row_payloads(&["c"], &[&["one"]], status::AUTOCOMMIT);
        let half = Act::bytes(answer::packets(&rows[..3])).then(Act::never());
        for (server, act, begins) in [
            (&bed.replica, Act::never(), false),
            (&bed.replica, half.clone(), true),
            (&bed.primary, Act::never(), false),
            (&bed.primary, half, true),
        ] {
            let text = if server.name == "db01" { "SELECT a FROM t FOR UPDATE" } else { "SELECT a FROM t" };
            server.on(text, act);
            let mut client = bed.client().await;
            client.ask(text).await;
            let held = server.heard(text).await;
            if begins {
                client.packet().await.unwrap().expect("the beginning of an answer");
            }
            drop(client);
            server.ended(held).await;
            bed.eventually("its place is given back", async || bed.lent().await == 0).await;
        }
        bed.has_counted("gone", 4).await;
        // One that asks beside them has waited for nobody.
        neighbour.was_answered_within(PROMPTLY + Duration::from_secs(1)).await;
    });
}
