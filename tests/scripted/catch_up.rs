//! The session's state, brought to a connection in front of a command; and the wait for the session's own writes.

use std::time::{Duration, Instant};

use dauphin::{
    config::Consistency,
    topology::{Flavour, gtid},
};
use dauphin_proto::reply::status;

use crate::support::{Act, Answer, Client, Dialect, Gate, House, answer, run};

/// A session that has set `sql_mode`, on a connection that is gone: every other must be told.
async fn with_state(house: &House) -> Client {
    let mut client = house.client().await;
    let reported = answer::variable("sql_mode", "ANSI");
    house.servers.iter().for_each(|server| server.on("SET sql_mode", Act::bytes(answer::ok_with(&reported))));
    assert!(matches!(client.query("SET sql_mode = 'ANSI'").await, Answer::Ok(_)));
    for server in house.servers.iter().filter(|server| server.count("SET sql_mode") > 0) {
        let id = server.heard("SET sql_mode").await;
        server.interrupt(id, Act::close());
        server.ended(id).await;
    }
    client
}

const STATE: &str = "SET SESSION sql_mode";

#[test]
fn state_and_command_go_out_together_and_their_answers_may_come_in_one_segment() {
    run(async {
        let house = House::new(2).await;
        let mut client = with_state(&house).await;
        house.servers.iter().for_each(|s| s.on(STATE, Act::with_the_next(answer::ok(status::AUTOCOMMIT))));
        for _ in 0..3 {
            let answer = client.query("SELECT 1").await;
            assert!(matches!(answer, Answer::Rows(_)), "{answer:?}");
        }
        assert_eq!(house.count(STATE), 2, "one connection to each replica");
    });
}

#[test]
fn the_answers_to_a_catch_up_and_to_the_command_may_be_split_at_any_byte() {
    for dialect in [Dialect::New, Dialect::Old] {
        run(async move {
            // Two sessions of different state take turns on one connection.
            let house = House::with(1, |config| config.pool.max_connections_per_user = 1).await;
            let mut sessions = [with_state(&house).await, house.client_of(dialect).await];
            sessions[0].query("SELECT 1").await;
            let both = [answer::ok(status::AUTOCOMMIT), answer::rows(&["c"], &[&["x"]])].concat();
            for at in 0..=both.len() {
                house.replica().on(STATE, Act::silence());
                house.replica().on("SELECT 1", Act::split(&both, at));
                let turn = (at + 1) % 2;
                assert_eq!(sessions[turn].query("SELECT 1").await, Answer::one("x"), "split at {at}");
            }
        });
    }
}

#[test]
fn the_answer_to_a_catch_up_may_come_byte_by_byte() {
    run(async {
        let house = House::new(2).await;
        let mut client = with_state(&house).await;
        house.servers.iter().for_each(|s| s.on(STATE, Act::trickle(answer::ok(status::AUTOCOMMIT))));
        for _ in 0..3 {
            let answer = client.query("SELECT 1").await;
            assert!(matches!(answer, Answer::Rows(_)), "{answer:?}");
        }
    });
}

#[test]
fn a_read_whose_replica_is_lost_in_the_catch_up_runs_elsewhere() {
    for act in [Act::close(), Act::reset(), Act::bytes(b"\x07\x00\x00\x01\x00".to_vec()).then(Act::close())] {
        run(async move {
            let house = House::new(2).await;
            let mut client = with_state(&house).await;
            house.servers[1..].iter().for_each(|replica| replica.always(STATE, act.clone()));
            for _ in 0..2 {
                assert_eq!(client.query("SELECT 1").await, Answer::one("db01"));
            }
        });
    }
}

#[test]
fn a_write_behind_a_lost_catch_up_is_told_or_runs_once() {
    run(async {
        let house = House::new(1).await;
        let mut client = with_state(&house).await;
        house.primary().on(STATE, Act::close());
        match client.query("INSERT INTO t VALUES (1)").await {
            Answer::Ok(_) => {}
            Answer::Error { code: 1053, .. } => client.ends().await,
            other => panic!("{other:?}"),
        }
        assert_eq!(house.count(STATE), 1 + house.count("INSERT"));
    });
}

#[test]
fn a_replica_that_does_not_take_the_state_is_passed_over() {
    run(async {
        let house = House::new(1).await;
        let mut client = with_state(&house).await;
        house
            .replica()
            .always(STATE, Act::error(1231, "Variable 'sql_mode' can't be set to the value of 'ANSI'"));
        assert_eq!(client.query("SELECT 1").await, Answer::one("db01"));
        assert_eq!(client.query("SELECT 1").await, Answer::one("db01"));
    });
}

#[test]
fn a_connection_that_did_not_take_the_state_is_not_used_again() {
    run(async {
        let house = House::new(1).await;
        let mut client = with_state(&house).await;
        house.replica().on(STATE, Act::error(1231, "no"));
        client.query("SELECT 1").await;
        let refused = house.replica().heard(STATE).await;
        assert!(house.replica().ended(refused).await);
    });
}

#[test]
fn a_write_is_not_executed_where_the_state_in_front_of_it_was_refused() {
    run(async {
        let house = House::new(1).await;
        let mut client = house.client().await;
        house.servers.iter().for_each(|s| s.on("USE b", Act::bytes(answer::ok_with(&answer::schema("b")))));
        client.query("USE b").await;
        let mut other = house.client().await;
        other.query("UPDATE u SET a = 1").await;
        house
            .servers
            .iter()
            .for_each(|s| s.always("COM_INIT_DB b", Act::error(1049, "Unknown database 'b'")));
        let answer = client.query("INSERT INTO t VALUES (1)").await;
        assert_eq!(answer.code(), Some(1049), "the client is told why");
        // The statement came in the same write: a server that refuses the state goes on to execute it, in whatever
        // schema the connection was in. The next statement is answered behind that.
        client.query("UPDATE u SET a = 1").await;
        assert_eq!(house.count("INSERT"), 0, "the client was told of a failure, and the write has run");
    });
}

/// A session that has written, on a connection that reports the write's GTID.
async fn after_a_write(house: &House) -> Client {
    let mut client = house.client().await;
    let reported = answer::gtids(&format!("{SOURCE}:5"));
    house.primary().on("INSERT", Act::bytes(answer::ok_with(&reported)));
    client.query("INSERT INTO t VALUES (1)").await;
    client
}

/// Whose writes they are.
const SOURCE: &str = "00000000-0000-0000-0000-000000000001";
const WAIT: &str = "SELECT WAIT_FOR_EXECUTED_GTID_SET";

#[test]
fn a_read_behind_a_write_waits_on_the_replica_and_runs_there() {
    run(async {
        let house = House::new(1).await;
        let mut client = after_a_write(&house).await;
        assert_eq!(client.query("SELECT 1").await, Answer::one("db02"));
        assert_eq!(client.query("SELECT 1").await, Answer::one("db02"));
        assert_eq!(house.replica().count(WAIT), 1, "what the replica has is remembered");
    });
}

/// The replica's word that it does not have it.
fn not_there() -> Vec<u8> {
    answer::rows(&["c"], &[&["1"]])
}

#[test]
fn a_wait_goes_out_with_the_read_and_their_answers_may_come_in_one_segment() {
    run(async {
        let house = House::new(1).await;
        let mut client = after_a_write(&house).await;
        house.replica().on(WAIT, Act::with_the_next(answer::rows(&["c"], &[&["0"]])));
        assert_eq!(client.query("SELECT 1").await, Answer::one("db02"));
    });
}

/// The session has written again, up to `last`; both replicas have it, and say so together with their next answer.
async fn writes_again(house: &House, client: &mut Client, last: u32) {
    house.primary().on("INSERT", Act::bytes(answer::ok_with(&answer::gtids(&format!("{SOURCE}:{last}")))));
    client.query("INSERT INTO t VALUES (1)").await;
    let has = answer::rows(&["c"], &[&["0"]]);
    house.servers[1..].iter().for_each(|replica| replica.on(WAIT, Act::with_the_next(has.clone())));
}

#[test]
fn a_wait_goes_out_with_the_preparation_of_a_statement_or_else_with_its_execution() {
    run(async {
        let house = House::new(2).await;
        let mut client = house.client().await;
        let id = client.prepare("SELECT 1").await;
        assert_eq!(house.count("COM_STMT_PREPARE"), 1);
        // The other replica's turn, which has it prepared from then on.
        for last in [5, 6] {
            writes_again(&house, &mut client, last).await;
            assert_ne!(client.execute(id, 0).await, Answer::one("db01"), "{last}");
            assert_eq!(house.count("COM_STMT_PREPARE"), 2);
        }
        assert_eq!(house.count(WAIT), 2);
    });
}

#[test]
fn a_read_whose_replica_does_not_catch_up_in_time_runs_on_the_primary() {
    run(async {
        let house = House::new(1).await;
        let mut client = after_a_write(&house).await;
        house.replica().on(WAIT, Act::bytes(not_there()));
        assert_eq!(client.query("SELECT 1").await, Answer::one("db01"));
        let first = house.replica().heard(WAIT).await;
        // What the replica has answered behind the wait is nobody's, and its connection is of use again.
        assert_eq!(house.replica().heard("SELECT 1").await, first);
        assert_eq!(client.query("SELECT 2").await, Answer::one("db02"), "the replica is tried again");
        assert_eq!(house.replica().heard("SELECT 2").await, first);
        assert_eq!(house.replica().count("KILL"), 0);
    });
}

#[test]
fn a_read_behind_a_wait_in_vain_is_ended_if_it_takes_long_or_opens_a_cursor() {
    run(async {
        let long = answer::rows(&["c"], &[&["x".repeat(100 << 10).as_str()]]);
        for act in [Act::never(), Act::bytes(long), Act::bytes(answer::cursor_opened())] {
            let house = House::new(1).await;
            let mut client = after_a_write(&house).await;
            house.replica().on(WAIT, Act::bytes(not_there()));
            house.replica().on("SELECT 1", act);
            assert_eq!(client.query("SELECT 1").await, Answer::one("db01"));
            let id = house.replica().heard("SELECT 1").await;
            house.replica().heard(&format!("KILL {}", 1000 + id)).await;
            assert!(house.replica().ended(id).await, "dauphin closes it");
        }
    });
}

#[test]
fn few_connections_at_a_time_end_reads_that_nobody_wants() {
    run(async {
        let house = House::new(1).await;
        (0..6).for_each(|_| house.replica().on("SELECT 1", Act::never()));
        let gate = Gate::new();
        (0..4).for_each(|_| house.replica().on("KILL", Act::wait(&gate).then(Act::usual())));
        let mut sessions = Vec::new();
        for _ in 0..6 {
            let mut client = after_a_write(&house).await;
            house.replica().on(WAIT, Act::bytes(not_there()));
            assert_eq!(client.query("SELECT 1").await, Answer::one("db01"));
            sessions.push(client);
        }
        house.replica().heard_times("KILL", 4).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(house.replica().count("KILL"), 4, "the others wait for their turn");
        gate.cancel();
        house.replica().heard_times("KILL", 6).await;
    });
}

#[test]
fn a_read_that_waits_is_ended_by_kill_query_and_never_runs() {
    run(async {
        let house = House::with(1, |config| config.routing.causal_wait = Duration::from_secs(30)).await;
        let mut client = after_a_write(&house).await;
        house.replica().on(WAIT, Act::never());
        client.ask("SELECT 1").await;
        let id = house.replica().heard(WAIT).await;
        let mut other = house.client().await;
        assert!(matches!(other.query(&format!("KILL QUERY {}", client.id)).await, Answer::Ok(_)));
        assert_eq!(client.answer().await.code(), Some(1317));
        house.replica().heard(&format!("KILL {}", 1000 + id)).await;
        assert!(house.replica().ended(id).await);
        assert_eq!(house.count("SELECT 1"), 0);
        assert_eq!(client.query("SELECT 2").await, Answer::one("db02"), "the session goes on");
    });
}

/// A KILL QUERY that comes a moment before dauphin begins to wait reaches the server.
#[test]
fn a_read_whose_wait_is_ended_on_its_server_never_runs() {
    run(async {
        let house = House::new(1).await;
        let mut client = after_a_write(&house).await;
        house.replica().on(WAIT, Act::error(1317, "Query execution was interrupted"));
        house.replica().on("SELECT 1", Act::never());
        assert_eq!(client.query("SELECT 1").await.code(), Some(1317));
        let id = house.replica().heard("SELECT 1").await;
        house.replica().heard(&format!("KILL {}", 1000 + id)).await;
        assert_eq!(house.primary().count("SELECT 1"), 0);
        assert_eq!(client.query("SELECT 2").await, Answer::one("db02"), "the session goes on");
    });
}

#[test]
fn a_schema_that_the_replica_does_not_have_yet_is_waited_for_first() {
    run(async {
        let house = House::with(1, |config| config.pool.max_connections_per_user = 1).await;
        let mut sessions = [house.client().await, house.client().await];
        for (session, schema) in sessions.iter_mut().zip(["b", "c"]) {
            let uses = Act::bytes(answer::ok_with(&answer::schema(schema)));
            house.servers.iter().for_each(|server| server.on(&format!("USE {schema}"), uses.clone()));
            session.query(&format!("USE {schema}")).await;
            assert_eq!(session.query("SELECT 0").await, Answer::one("db02"));
        }
        let [client, _] = &mut sessions;
        house.primary().on("INSERT", Act::bytes(answer::ok_with(&answer::gtids(&format!("{SOURCE}:5")))));
        client.query("INSERT INTO t VALUES (1)").await;
        house.replica().on(WAIT, Act::bytes(not_there()));
        house.replica().on("COM_INIT_DB b", Act::error(1049, "Unknown database 'b'"));
        assert_eq!(client.query("SELECT 1").await, Answer::one("db01"));
        let id = house.replica().heard("COM_INIT_DB b").await;
        assert_eq!(house.replica().heard(WAIT).await, id);
        assert!(house.replica().ended(id).await, "its state is not known");
    });
}

#[test]
fn a_read_does_not_wait_where_the_config_gives_no_time_to_it() {
    run(async {
        let house = House::with(1, |config| config.routing.causal_wait = Duration::ZERO).await;
        let mut client = after_a_write(&house).await;
        assert_eq!(client.query("SELECT 1").await, Answer::one("db01"));
        assert_eq!(house.replica().count(WAIT), 0);
    });
}

#[test]
fn a_replica_that_fails_in_the_wait_is_passed_over() {
    for act in [Act::close(), Act::reset(), Act::error(1227, "Access denied"), Act::bytes(answer::ok(2))] {
        run(async move {
            let house = House::new(1).await;
            let mut client = after_a_write(&house).await;
            house.replica().on(WAIT, act);
            assert_eq!(client.query("SELECT 1").await, Answer::one("db01"));
        });
    }
}

#[test]
fn a_replica_that_never_answers_the_wait_does_not_hold_the_read_beyond_the_wait_s_time() {
    run(async {
        let house = House::new(1).await;
        let mut client = after_a_write(&house).await;
        house.replica().on(WAIT, Act::never());
        assert_eq!(client.query("SELECT 1").await, Answer::one("db01"));
    });
}

/// What the primary says it has executed, asked now.
fn primary_has(house: &House, executed: &str) {
    let reaches = gtid::reaches(Flavour::MySql, executed);
    house.context.fleet.servers[0].note_reaches(Instant::now(), reaches);
}

#[test]
fn a_write_that_went_down_with_a_primary_is_not_waited_for_for_ever() {
    run(async {
        let house = House::with(1, |config| config.routing.consistency = Consistency::Global).await;
        let (mut client, mut other) = (after_a_write(&house).await, house.client().await);
        house.replica().always(WAIT, Act::bytes(answer::rows(&["c"], &[&["1"]])));
        for _ in 0..2 {
            assert_eq!(client.query("SELECT 1").await, Answer::one("db01"), "it may come yet");
        }
        assert_eq!(house.replica().count(WAIT), 2);
        primary_has(&house, "00000000-0000-0000-0000-000000000001:1-4");
        for session in [&mut client, &mut other] {
            assert_eq!(session.query("SELECT 1").await, Answer::one("db02"));
        }
        assert_eq!(house.replica().count(WAIT), 2, "nobody has it, and nobody waits");
        assert!(house.context.writes.all().ends().is_empty(), "it is forgotten");
    });
}

#[test]
fn a_wait_asks_for_all_that_came_before_but_never_for_numbers_that_do_not_exist() {
    for (executed, asked) in [("1-9", "1-5"), ("1-3:5-9", "5"), ("", "5")] {
        run(async move {
            let house = House::new(1).await;
            let mut client = after_a_write(&house).await;
            primary_has(&house, &format!("{SOURCE}:{executed}"));
            assert_eq!(client.query("SELECT 1").await, Answer::one("db02"));
            assert_eq!(
                house.replica().count(&format!("{WAIT}(_utf8mb4'{SOURCE}:{asked}',")),
                1,
                "{executed}"
            );
        });
    }
}

#[test]
fn who_must_see_a_write_waits_for_it_and_nobody_else() {
    for (hint, waits) in [
        ("", 0),
        ("/* dauphin:consistency=global */", 1),
        ("/* dauphin:causal=a */", 1),
        ("/* dauphin:causal=b */", 0),
        ("/* dauphin:causal=a,consistency=eventual */", 1),
    ] {
        run(async move {
            let house = House::new(1).await;
            let mut writer = house.client().await;
            let reported = answer::gtids("00000000-0000-0000-0000-000000000001:5");
            house.primary().on("COMMIT", Act::bytes(answer::ok_with(&reported)));
            for text in ["BEGIN", "INSERT /* dauphin:causal=a */ INTO t VALUES (1)", "COMMIT"] {
                assert!(matches!(writer.query(text).await, Answer::Ok(_)), "{text}");
            }
            let mut reader = house.client().await;
            let answer = reader.query(&format!("SELECT 1 {hint}")).await;
            assert_eq!((answer, house.replica().count(WAIT)), (Answer::one("db02"), waits), "{hint}");
        });
    }
}
