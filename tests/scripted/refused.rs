//! A server refuses a statement as read-only: a replica, what looked like a read; a primary that somebody has closed, a write.

use std::time::{Duration, Instant};

use dauphin_proto::reply::status;

use crate::support::{Act, Answer, House, answer, run};

const READ_ONLY: &str =
    "The MySQL server is running with the --read-only option so it cannot execute this statement";

#[test]
fn a_read_that_a_replica_refuses_runs_on_the_primary_and_its_like_go_there_at_once() {
    for code in [1290, 1792, 1836] {
        run(async move {
            let house = House::new(1).await;
            let mut client = house.client().await;
            house.replica().always("SELECT", Act::error(code, READ_ONLY));
            assert_eq!(client.query("SELECT a FROM v WHERE id = 1").await, Answer::one("db01"));
            assert_eq!(client.query("SELECT a FROM v WHERE id = 2").await, Answer::one("db01"));
            assert_eq!(house.replica().count("SELECT a"), 1, "{code}: the digest is remembered");
            let mut other = house.client().await;
            assert_eq!(other.query("SELECT a FROM v WHERE id = 3").await, Answer::one("db01"));
            assert_eq!(house.replica().count("SELECT a"), 1, "{code}: for other sessions too");
        });
    }
}

#[test]
fn a_prepared_read_that_a_replica_refuses_runs_on_the_primary_and_is_remembered() {
    run(async {
        let house = House::new(1).await;
        let mut client = house.client().await;
        house.replica().always("COM_STMT_EXECUTE", Act::error(1290, READ_ONLY));
        let id = client.prepare("SELECT a FROM v").await;
        assert_eq!(client.execute(id, 0).await, Answer::one("db01"));
        assert_eq!(client.execute(id, 0).await, Answer::one("db01"));
        assert_eq!(house.replica().count("COM_STMT_EXECUTE"), 1);
    });
}

#[test]
fn a_refusal_behind_rows_is_passed_on() {
    run(async {
        let house = House::new(1).await;
        let mut client = house.client().await;
        let mut payloads = answer::row_payloads(&["c"], &[&["one"], &["two"]], status::AUTOCOMMIT);
        payloads.pop();
        payloads.push(answer::error_payload(1290, READ_ONLY));
        house.replica().on("SELECT", Act::bytes(answer::packets(&payloads)));
        let answer = client.query("SELECT a FROM v").await;
        assert!(matches!(answer, Answer::Error { code: 1290, rows: 2, .. }), "{answer:?}");
        assert_eq!(client.query("SELECT 1").await, Answer::one("db02"), "the session goes on");
        assert_eq!(house.primary().count("SELECT a"), 0);
    });
}

/// A write that its primary refuses once.
const INSERT: &str = "INSERT INTO t VALUES (1)";

#[test]
fn a_write_that_the_primary_refuses_is_tried_again_when_it_may_be_open_again() {
    for option in ["--read-only", "--super-read-only"] {
        run(async move {
            let house = House::new(1).await;
            let mut client = house.client().await;
            let refusal = format!(
                "Der MySQL-Server laeuft mit der Option {option} und kann diese Anweisung nicht ausfuehren"
            );
            house.primary().on("INSERT", Act::error(1290, &refusal));
            house.primary().on("INSERT", Act::error(1290, &refusal));
            assert_eq!(client.query(INSERT).await.code(), None);
            assert_eq!((house.primary().count("INSERT"), house.replica().count("INSERT")), (3, 0));
        });
    }
}

#[test]
fn a_prepared_write_that_the_primary_refuses_is_tried_again() {
    run(async {
        let house = House::new(1).await;
        let mut client = house.client().await;
        let id = client.prepare(INSERT).await;
        house.primary().on("COM_STMT_EXECUTE", Act::error(1290, READ_ONLY));
        assert_eq!(client.execute(id, 0).await.code(), None);
        assert_eq!(house.primary().count("COM_STMT_EXECUTE"), 2);
    });
}

#[test]
fn a_write_that_the_primary_refuses_waits_as_long_as_it_is_read_only() {
    run(async {
        let house = House::new(1).await;
        let (mut client, mut other) = (house.client().await, house.client().await);
        house.primary().set_read_only(true);
        house.primary().on("INSERT", Act::error(1290, READ_ONLY));
        let waiting = tokio::spawn(async move { client.query(INSERT).await });
        let mut changes = house.context.published.changes();
        while house.context.published.load().term().is_some() {
            changes.changed().await.unwrap();
        }
        let too = tokio::spawn(async move { other.query(INSERT).await });
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(house.primary().count("INSERT"), 1, "nobody asks one that says that it is read-only");
        assert!(!waiting.is_finished() && !too.is_finished());
        house.primary().set_read_only(false);
        assert_eq!((waiting.await.unwrap().code(), too.await.unwrap().code()), (None, None));
        assert_eq!(house.primary().count("INSERT"), 3);
    });
}

#[test]
fn a_write_that_no_primary_takes_in_time_gets_the_primary_s_own_words() {
    run(async {
        let house = House::with(1, |config| config.routing.hold_timeout = Duration::from_millis(700)).await;
        let mut client = house.client().await;
        house.primary().always("INSERT", Act::error(1290, READ_ONLY));
        let began = Instant::now();
        let refusal = Answer::Error { code: 1290, message: READ_ONLY.to_owned(), rows: 0 };
        assert_eq!(client.query(INSERT).await, refusal);
        assert!((700..2000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
        assert!((3..9).contains(&house.count("INSERT")), "{}", house.count("INSERT"));
        assert_eq!(client.query("SELECT 1").await.code(), None, "the session goes on");
        house.primary().set_read_only(true);
        let mut changes = house.context.published.changes();
        while house.context.published.load().term().is_some() {
            changes.changed().await.unwrap();
        }
        assert_eq!(client.query(INSERT).await.code(), Some(9001), "it is known to be read-only");
    });
}

#[test]
fn what_the_primary_refuses_for_another_reason_or_half_way_is_passed_on() {
    const OTHER: &str =
        "The MySQL server is running with the --secure-file-priv option so it cannot execute this statement";
    for (text, code, words) in [
        (INSERT, 1290, OTHER),
        (INSERT, 1836, "Running in read-only mode"),
        (INSERT, 1792, "Cannot execute statement in a READ ONLY transaction."),
        // What came before the refusal in it may have been done.
        ("CALL p()", 1290, READ_ONLY),
        ("INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)", 1290, READ_ONLY),
        ("INSERT INTO t VALUES (f())", 1290, READ_ONLY),
        ("INSERT INTO t VALUES (@a := @a + 1)", 1290, READ_ONLY),
        ("INSERT INTO t VALUES (LAST_INSERT_ID())", 1290, READ_ONLY),
    ] {
        run(async move {
            let house = House::new(1).await;
            let mut client = house.client().await;
            let word = text.split(' ').next().unwrap();
            house.primary().on(word, Act::error(code, words));
            assert_eq!(client.query(text).await.code(), Some(code), "{text}");
            assert_eq!(house.count(word), 1, "{text}");
            assert_eq!(client.query("SELECT 1").await.code(), None);
        });
    }
}

#[test]
fn a_refusal_in_a_transaction_is_passed_on() {
    for begin in ["BEGIN", "SET autocommit = 0"] {
        run(async move {
            let house = House::new(1).await;
            let mut client = house.client().await;
            client.query(begin).await;
            house.primary().on("INSERT", Act::error(1290, READ_ONLY));
            assert_eq!(client.query(INSERT).await.code(), Some(1290), "{begin}");
            assert_eq!(house.count("INSERT"), 1);
        });
    }
}

#[test]
fn another_error_of_a_replica_s_is_passed_on() {
    run(async {
        let house = House::new(1).await;
        let mut client = house.client().await;
        house.replica().on("SELECT", Act::error(1146, "Table 'app.v' doesn't exist"));
        assert_eq!(client.query("SELECT a FROM v").await.code(), Some(1146));
        assert_eq!(house.count("SELECT a"), 1);
    });
}
