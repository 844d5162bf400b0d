//! A backend connection is lost while nothing binds the session to it: what is sent again, and what is not.

use std::time::Duration;

use dauphin_proto::{packet, reply::status};

use crate::support::{Act, Answer, Client, Gate, Greet, House, answer, run};

/// Ways to fail before the client can have got a byte of the answer.
fn failures() -> Vec<(&'static str, Act)> {
    let ok = answer::ok(status::AUTOCOMMIT);
    let mut out_of_order = ok.clone();
    out_of_order[3] = 7;
    let long = answer::packets(&[answer::ok_payload(0, status::AUTOCOMMIT, &vec![b'x'; 2 << 20], b"")]);
    vec![
        ("closed without a byte", Act::close()),
        ("reset without a byte", Act::reset()),
        ("closed in the first header", Act::bytes(&ok[..3]).then(Act::close())),
        ("closed in the first packet", Act::bytes(&ok[..ok.len() - 1]).then(Act::close())),
        ("an OK packet that ends inside a field", Act::bytes(answer::packets(&[vec![0, 0]]))),
        ("an empty packet", Act::bytes(answer::packets(&[vec![]]))),
        ("a wrong sequence number", Act::bytes(out_of_order)),
        ("an OK packet of 2 MiB", Act::bytes(long)),
    ]
}

fn is_told_that_the_outcome_is_unknown(answer: &Answer) -> bool {
    matches!(answer, Answer::Error { code: 1053, message, rows: 0 } if message.contains("not known"))
}

#[test]
fn a_read_whose_replica_fails_before_it_answers_runs_on_another_replica() {
    for (failure, act) in failures() {
        run(async move {
            let house = House::new(2).await;
            let mut client = house.client().await;
            house.replica().on("SELECT 1", act);
            assert_eq!(client.query("SELECT 1").await, Answer::one("db03"), "{failure}");
            assert_eq!(house.count("SELECT 1"), 2, "{failure}");
            assert_eq!(client.query("SELECT 2").await.code(), None, "{failure}: the session goes on");
        });
    }
}

#[test]
fn a_read_that_every_replica_fails_runs_on_the_primary() {
    run(async {
        let house = House::new(2).await;
        let mut client = house.client().await;
        house.servers[1..].iter().for_each(|replica| replica.always("SELECT 1", Act::close()));
        assert_eq!(client.query("SELECT 1").await, Answer::one("db01"));
        assert_eq!(house.count("SELECT 1"), 3);
    });
}

#[test]
fn a_read_that_every_server_fails_is_given_up_after_a_bounded_number_of_attempts() {
    run(async {
        let house = House::new(2).await;
        let mut client = house.client().await;
        house.servers.iter().for_each(|server| server.always("SELECT 1", Act::close()));
        let answer = client.query("SELECT 1").await;
        assert!(matches!(answer, Answer::Error { rows: 0, .. }), "{answer:?}");
        assert!(house.count("SELECT 1") < 20, "{} attempts", house.count("SELECT 1"));
    });
}

#[test]
fn a_read_is_not_sent_again_where_the_config_says_so() {
    run(async {
        let house = House::with(2, |config| config.routing.retry_reads = false).await;
        let mut client = house.client().await;
        house.replica().on("SELECT 1", Act::close());
        let answer = client.query("SELECT 1").await;
        assert!(matches!(answer, Answer::Error { .. }), "{answer:?}");
        assert_eq!(house.count("SELECT 1"), 1);
    });
}

#[test]
fn a_write_whose_outcome_is_unknown_is_told_and_never_sent_again() {
    for (failure, act) in failures() {
        run(async move {
            let house = House::new(1).await;
            let mut client = house.client().await;
            house.primary().on("INSERT", act);
            let answer = client.query("INSERT INTO t VALUES (1)").await;
            assert!(is_told_that_the_outcome_is_unknown(&answer), "{failure}: {answer:?}");
            client.ends().await;
            let mut other = house.client().await;
            assert_eq!(other.query("UPDATE t SET a = 1").await.code(), None, "{failure}: others go on");
            assert_eq!(house.count("INSERT"), 1, "{failure}");
        });
    }
}

#[test]
fn no_failure_costs_a_place_in_the_pool() {
    run(async {
        let house = House::with(1, |config| config.pool.max_connections_per_user = 1).await;
        for (failure, act) in failures() {
            for bind in ["SELECT 1", "BEGIN", "SELECT GET_LOCK('a', 1)"] {
                let mut client = house.client().await;
                client.query(bind).await;
                house.primary().on("INSERT", act.clone());
                assert!(
                    matches!(client.query("INSERT INTO t VALUES (1)").await, Answer::Error { .. }),
                    "{failure}"
                );
                client.ends().await;
                let mut client = house.client().await;
                house.replica().on("SELECT 2", act.clone());
                assert_eq!(client.query("SELECT 2").await, Answer::one("db01"), "{failure} after {bind}");
            }
        }
        for (server, fake) in house.context.fleet.servers.iter().zip(&house.servers) {
            assert_eq!(server.pool.usage().open, fake.open(), "{}", fake.name);
        }
    });
}

#[test]
fn a_write_on_a_pooled_connection_that_the_server_has_left_runs_on_a_new_one() {
    let unasked = answer::error(4031, "The client was disconnected by the server because of inactivity.");
    let ways = [Act::close(), Act::reset(), Act::bytes(unasked).then(Act::close())];
    for way in ways {
        run(async move {
            let house = House::new(1).await;
            let mut client = house.client().await;
            client.query("UPDATE t SET a = 1").await;
            let pooled = house.primary().heard("UPDATE").await;
            house.primary().interrupt(pooled, way);
            house.primary().ended(pooled).await;
            assert_eq!(client.query("INSERT INTO t VALUES (1)").await, Answer::Ok(status::AUTOCOMMIT));
            assert_eq!(house.count("INSERT"), 1);
        });
    }
}

/// A session that keeps the connection of its last insert at hand, and that connection's id on the primary.
async fn after_an_insert(house: &House) -> (Client, usize) {
    let mut client = house.client().await;
    house.primary().on("INSERT INTO first", Act::bytes(answer::inserted(7)));
    client.query("INSERT INTO first VALUES (1)").await;
    let kept = house.primary().heard("INSERT INTO first").await;
    (client, kept)
}

async fn house_that_lingers() -> House {
    House::with(1, |config| config.pool.linger = Duration::from_secs(60)).await
}

#[test]
fn a_write_that_cannot_be_sent_on_the_kept_connection_is_sent_on_another() {
    run(async {
        let house = house_that_lingers().await;
        let (mut client, kept) = after_an_insert(&house).await;
        house.primary().interrupt(kept, Act::reset());
        house.primary().ended(kept).await;
        assert_eq!(client.query("INSERT INTO t VALUES (1)").await, Answer::Ok(status::AUTOCOMMIT));
        assert_eq!(house.count("INSERT INTO t"), 1);
    });
}

#[test]
fn a_write_whose_kept_connection_the_server_has_closed_runs_on_a_new_one() {
    run(async {
        let house = house_that_lingers().await;
        let (mut client, kept) = after_an_insert(&house).await;
        house.primary().interrupt(kept, Act::close());
        house.primary().ended(kept).await;
        assert_eq!(client.query("INSERT INTO t VALUES (1)").await, Answer::Ok(status::AUTOCOMMIT));
        assert_eq!(house.count("INSERT INTO t"), 1);
    });
}

#[test]
fn an_unasked_error_on_the_kept_connection_is_not_taken_for_the_next_answer() {
    run(async {
        let house = house_that_lingers().await;
        let (mut client, kept) = after_an_insert(&house).await;
        house.primary().interrupt(kept, Act::error(4031, "inactivity").then(Act::close()));
        house.primary().ended(kept).await;
        assert_eq!(client.query("INSERT INTO t VALUES (1)").await, Answer::Ok(status::AUTOCOMMIT));
    });
}

#[test]
fn the_connection_of_the_last_insert_is_lost_without_harm_to_a_read_elsewhere() {
    run(async {
        let house = house_that_lingers().await;
        let (mut client, kept) = after_an_insert(&house).await;
        house.primary().interrupt(kept, Act::close());
        house.primary().ended(kept).await;
        assert_eq!(client.query("SELECT 1").await, Answer::one("db02"));
    });
}

#[test]
fn the_last_insert_s_id_is_not_another_one_when_its_connection_is_lost() {
    for read_between in [false, true] {
        run(async move {
            let house = house_that_lingers().await;
            let (mut client, kept) = after_an_insert(&house).await;
            house.primary().interrupt(kept, Act::close());
            house.primary().ended(kept).await;
            if read_between {
                client.query("SELECT 1").await;
            }
            // What a connection says that has inserted nothing, unless it is told.
            house.servers.iter().for_each(|s| {
                s.always("SELECT LAST_INSERT_ID()", Act::bytes(answer::rows(&["c"], &[&["0"]])))
            });
            let answer = client.query("SELECT LAST_INSERT_ID()").await;
            let told = house.count("SET SESSION last_insert_id=7") == 1;
            assert!(told || matches!(answer, Answer::Error { .. }), "the insert made 7: {answer:?}");
        });
    }
}

/// The packets of three rows, one by one.
fn three_rows() -> Vec<Vec<u8>> {
    let rows: &[&[&str]] =
        &[&["one"], &["two"], &["three, which is longer than an error would be: ".repeat(9).leak()]];
    let payloads = answer::row_payloads(&["c"], rows, status::AUTOCOMMIT);
    let mut sequence = 1;
    let mut packets = Vec::new();
    for payload in payloads {
        let mut out = Vec::new();
        sequence = packet::put(&mut out, &payload, sequence);
        packets.push(out);
    }
    packets
}

#[test]
fn a_read_lost_between_rows_ends_in_an_error_and_is_not_sent_again() {
    run(async {
        let house = House::new(2).await;
        let mut client = house.client().await;
        house.replica().on("SELECT 1", Act::bytes(three_rows()[..4].concat()).then(Act::close()));
        let answer = client.query("SELECT 1").await;
        assert!(matches!(answer, Answer::Error { code: 1053, rows: 2, .. }), "{answer:?}");
        client.ends().await;
        assert_eq!(house.count("SELECT 1"), 1);
    });
}

#[test]
fn a_read_lost_in_the_middle_of_a_row_ends_with_the_connection_and_no_error_inside_the_row() {
    run(async {
        let house = House::new(2).await;
        let mut client = house.client().await;
        let packets = three_rows();
        let cut = [&packets[..4].concat()[..], &packets[4][..20]].concat();
        house.replica().on("SELECT 1", Act::bytes(cut).then(Act::close()));
        assert_eq!(client.query("SELECT 1").await, Answer::Lost { rows: 2, partial: 20 });
        assert_eq!(house.count("SELECT 1"), 1);
    });
}

#[test]
fn a_row_cut_short_by_less_than_an_error_is_not_completed_with_the_error() {
    run(async {
        let house = House::new(2).await;
        let mut client = house.client().await;
        let packets = three_rows();
        let cut = [&packets[..4].concat()[..], &packets[4][..packets[4].len() - 10]].concat();
        house.replica().on("SELECT 1", Act::bytes(cut).then(Act::close()));
        let answer = client.query("SELECT 1").await;
        assert!(matches!(answer, Answer::Lost { rows: 2, .. }), "a third row was made up: {answer:?}");
    });
}

#[test]
fn a_malformed_packet_behind_rows_ends_the_session() {
    run(async {
        let house = House::new(2).await;
        let mut client = house.client().await;
        let mut bytes = three_rows()[..4].concat();
        let rows = bytes.len();
        bytes.extend_from_slice(b"\x01\x00\x00\x63\xff");
        house.replica().on("SELECT 1", Act::split(&bytes, rows));
        let answer = client.query("SELECT 1").await;
        assert!(matches!(answer, Answer::Error { code: 1053, rows: 2, .. }), "{answer:?}");
        client.ends().await;
        let lost = house.replica().heard("SELECT 1").await;
        assert!(house.replica().ended(lost).await, "dauphin closes the connection that is out of step");
    });
}

#[test]
fn a_connection_on_which_more_came_than_the_answer_is_not_used_again() {
    run(async {
        let house = House::new(1).await;
        let mut client = house.client().await;
        let twice = answer::ok(status::AUTOCOMMIT).repeat(2);
        house.primary().on("INSERT", Act::bytes(twice));
        assert_eq!(client.query("INSERT INTO t VALUES (1)").await, Answer::Ok(status::AUTOCOMMIT));
        let out_of_step = house.primary().heard("INSERT").await;
        assert!(house.primary().ended(out_of_step).await);
        assert_eq!(house.client().await.query("UPDATE t SET a = 1").await, Answer::Ok(status::AUTOCOMMIT));
        assert_eq!(house.count("INSERT"), 1);
    });
}

#[test]
fn a_server_that_closes_right_behind_a_whole_answer_does_no_harm() {
    run(async {
        let house = House::new(1).await;
        let mut client = house.client().await;
        house.primary().on("INSERT", Act::usual().then(Act::close()));
        assert_eq!(client.query("INSERT INTO t VALUES (1)").await, Answer::Ok(status::AUTOCOMMIT));
        assert_eq!(client.query("UPDATE t SET a = 1").await, Answer::Ok(status::AUTOCOMMIT));
    });
}

#[test]
fn a_statement_that_is_never_answered_ends_with_kill_and_its_connection_is_not_used_again() {
    run(async {
        let house = House::new(1).await;
        let (mut client, mut other) = (house.client().await, house.client().await);
        house.primary().on("UPDATE", Act::never());
        client.ask("UPDATE t SET a = 1").await;
        let stuck = house.primary().heard("UPDATE").await;
        other.query(&format!("KILL {}", client.id)).await;
        client.ends().await;
        assert!(house.primary().ended(stuck).await);
        assert_eq!(house.count("KILL QUERY"), 1);
        assert_eq!(house.count("UPDATE"), 1);
    });
}

#[test]
fn kill_leaves_a_connection_alone_whose_statement_has_ended_meanwhile() {
    run(async {
        let house = House::new(1).await;
        let (mut client, mut other) = (house.client().await, house.client().await);
        let gate = Gate::new();
        house.primary().on("UPDATE", Act::wait(&gate).then(Act::usual()));
        client.ask("UPDATE t SET a = 1").await;
        house.primary().heard("UPDATE").await;
        house.primary().greet(Greet::Held);
        other.ask(&format!("KILL QUERY {}", client.id)).await;
        house.primary().heard("(connects)").await;
        gate.cancel();
        assert_eq!(client.answer().await, Answer::Ok(status::AUTOCOMMIT));
        house.primary().let_in();
        assert_eq!(other.answer().await, Answer::Ok(status::AUTOCOMMIT));
        assert_eq!(house.count("KILL QUERY"), 0);
    });
}

#[test]
fn kill_says_so_where_the_statement_could_not_be_ended() {
    for (kill, begins) in [("KILL QUERY", "the statement of session "), ("KILL", "session ")] {
        run(async move {
            let house = House::new(1).await;
            let (mut client, mut other) = (house.client().await, house.client().await);
            let gate = Gate::new();
            house.primary().on("UPDATE", Act::wait(&gate).then(Act::usual()));
            client.ask("UPDATE t SET a = 1").await;
            house.primary().heard("UPDATE").await;
            house.primary().greet(Greet::TooMany);
            let answer = other.query(&format!("{kill} {}", client.id)).await;
            let Answer::Error { code: 1105, message, .. } = &answer else { panic!("{answer:?}") };
            let ends = message.ends_with(": ERROR 1040 (HY000): Too many connections");
            assert!(
                message.starts_with(begins) && message.contains("could not be ended on") && ends,
                "{message}"
            );
            gate.cancel();
            if kill == "KILL" {
                client.ends().await;
            } else {
                assert_eq!(client.answer().await, Answer::Ok(status::AUTOCOMMIT), "the session goes on");
            }
        });
    }
}

#[test]
fn a_statement_waits_for_a_primary_that_was_out_of_reach_for_a_moment_only() {
    run(async {
        let house = House::new(1).await;
        let mut client = house.client().await;
        // The session's connection is refused; the monitor's own connection, and the next one, are not.
        house.primary().greet(Greet::Closed);
        assert_eq!(client.query("INSERT INTO t VALUES (1)").await, Answer::Ok(status::AUTOCOMMIT));
        assert_eq!(house.count("INSERT"), 1);
    });
}

#[test]
fn a_prepared_read_lost_in_its_execution_runs_on_another_replica() {
    run(async {
        let house = House::new(2).await;
        let mut client = house.client().await;
        let id = client.prepare("SELECT 1").await;
        house.servers[1..].iter().for_each(|replica| replica.on("COM_STMT_EXECUTE", Act::usual()));
        house.servers[1].on("COM_STMT_EXECUTE", Act::close());
        for _ in 0..4 {
            let answer = client.execute(id, 0).await;
            assert!(matches!(answer, Answer::Rows(_)), "{answer:?}");
        }
        assert_eq!(house.count("COM_STMT_EXECUTE"), 5);
    });
}

#[test]
fn a_prepared_write_whose_outcome_is_unknown_is_told_and_not_executed_again() {
    run(async {
        let house = House::new(1).await;
        let mut client = house.client().await;
        let id = client.prepare("INSERT INTO t VALUES (1)").await;
        house.primary().on("COM_STMT_EXECUTE", Act::close());
        let answer = client.execute(id, 0).await;
        assert!(is_told_that_the_outcome_is_unknown(&answer), "{answer:?}");
        client.ends().await;
        assert_eq!(house.count("COM_STMT_EXECUTE"), 1);
    });
}

#[test]
fn a_connection_lost_while_preparing_for_an_execution_is_replaced_even_for_a_write() {
    run(async {
        let house = House::new(1).await;
        let mut client = house.client().await;
        let id = client.prepare("INSERT INTO t VALUES (1)").await;
        let first = house.primary().heard("COM_STMT_PREPARE").await;
        house.primary().interrupt(first, Act::close());
        house.primary().ended(first).await;
        house.primary().on("COM_STMT_PREPARE", Act::close());
        assert_eq!(client.execute(id, 0).await, Answer::Ok(status::AUTOCOMMIT));
        assert_eq!((house.count("COM_STMT_PREPARE"), house.count("COM_STMT_EXECUTE")), (3, 1));
    });
}

#[test]
fn a_replica_lost_while_preparing_for_an_execution_is_replaced_by_another_server() {
    run(async {
        let house = House::new(2).await;
        let mut client = house.client().await;
        let id = client.prepare("SELECT 1").await;
        house.servers[1..].iter().for_each(|replica| replica.always("COM_STMT_PREPARE", Act::close()));
        for _ in 0..2 {
            let answer = client.execute(id, 0).await;
            assert!(matches!(answer, Answer::Rows(_)), "{answer:?}");
        }
    });
}

#[test]
fn two_sessions_that_wait_at_one_lost_server_are_both_answered() {
    run(async {
        let house = House::new(1).await;
        let (mut one, mut two) = (house.client().await, house.client().await);
        let gate = Gate::new();
        (0..2).for_each(|_| house.replica().on("SELECT", Act::wait(&gate).then(Act::close())));
        one.ask("SELECT 1").await;
        two.ask("SELECT 2").await;
        house.replica().heard_times("SELECT 1", 1).await;
        house.replica().heard_times("SELECT 2", 1).await;
        gate.cancel();
        assert_eq!(one.answer().await, Answer::one("db01"));
        assert_eq!(two.answer().await, Answer::one("db01"));
    });
}
