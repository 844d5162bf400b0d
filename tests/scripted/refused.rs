//! A replica refuses a statement as read-only.

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

#[test]
fn a_refusal_by_the_primary_is_passed_on() {
    run(async {
        let house = House::new(1).await;
        let mut client = house.client().await;
        house.primary().on("INSERT", Act::error(1290, READ_ONLY));
        assert_eq!(client.query("INSERT INTO t VALUES (1)").await.code(), Some(1290));
        assert_eq!(house.count("INSERT"), 1);
        assert_eq!(client.query("SELECT 1").await.code(), None);
    });
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
