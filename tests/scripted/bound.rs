//! The session is tied to one connection and loses it: an error, the end of the session, and nothing sent again.

use dauphin_proto::reply::status;

use crate::support::{Act, Answer, Client, House, answer, run};

/// Opens a session, ties it to a connection by `bind`, lets `fault` happen to `statement`: the client is told, the
/// session ends, and the statement was sent `sent` times.
async fn check(bind: &[&str], statement: &str, fault: Act, sent: usize) {
    let house = House::new(2).await;
    let mut client = house.client().await;
    for text in bind {
        client.query(text).await;
    }
    house.servers.iter().for_each(|server| server.on(statement, fault.clone()));
    let answer = client.query(statement).await;
    assert!(matches!(answer, Answer::Error { code: 1053, rows: 0, .. }), "{bind:?} {statement}: {answer:?}");
    client.ends().await;
    assert_eq!(house.count(statement), sent, "{bind:?} {statement}");
    let mut other = house.client().await;
    assert_eq!(other.query("UPDATE u SET a = 1").await, Answer::Ok(status::AUTOCOMMIT), "others go on");
}

#[test]
fn a_statement_lost_inside_a_transaction_ends_the_session() {
    for statement in ["INSERT INTO t VALUES (1)", "SELECT 1", "COMMIT"] {
        for fault in [Act::close(), Act::reset(), Act::bytes(b"\x07\x00\x00".to_vec()).then(Act::close())] {
            run(check(&["BEGIN"], statement, fault, 1));
        }
    }
}

#[test]
fn a_statement_lost_on_a_pinned_connection_ends_the_session() {
    run(check(&["SELECT GET_LOCK('a', 1)"], "INSERT INTO t VALUES (1)", Act::close(), 1));
    run(check(&["LOCK TABLES t READ"], "SELECT a FROM t", Act::close(), 1));
}

/// The bound connection is gone before the next statement is written: still nobody else may run it.
async fn check_gone_before(bind: &str, way: Act) {
    let house = House::new(1).await;
    let mut client = house.client().await;
    client.query(bind).await;
    let bound = house.primary().heard(bind).await;
    house.primary().interrupt(bound, way);
    house.primary().ended(bound).await;
    let answer = client.query("INSERT INTO t VALUES (1)").await;
    assert!(matches!(answer, Answer::Error { code: 1053, rows: 0, .. }), "{bind}: {answer:?}");
    client.ends().await;
    assert_eq!(house.count("INSERT"), 0, "{bind}");
}

#[test]
fn a_transaction_whose_connection_is_gone_before_the_statement_is_sent_ends_in_an_error() {
    run(check_gone_before("BEGIN", Act::close()));
    run(check_gone_before("BEGIN", Act::reset()));
}

#[test]
fn a_pin_whose_connection_is_gone_before_the_statement_is_sent_ends_in_an_error() {
    run(check_gone_before("SELECT GET_LOCK('a', 1)", Act::reset()));
    run(check_gone_before("LOCK TABLES t WRITE", Act::close()));
}

#[test]
fn a_transaction_lost_behind_rows_ends_in_an_error_behind_them() {
    run(async {
        let house = House::new(1).await;
        let mut client = house.client().await;
        client.query("BEGIN").await;
        let payloads = answer::row_payloads(&["c"], &[&["one"]], status::AUTOCOMMIT);
        house.primary().on("SELECT", Act::bytes(answer::packets(&payloads[..3])).then(Act::close()));
        let answer = client.query("SELECT a FROM t").await;
        assert!(matches!(answer, Answer::Error { code: 1053, rows: 1, .. }), "{answer:?}");
        client.ends().await;
        assert_eq!(house.count("SELECT a"), 1);
    });
}

async fn with_a_cursor(house: &House) -> (Client, u32, usize) {
    let mut client = house.client().await;
    let id = client.prepare("SELECT a FROM t").await;
    assert_eq!(client.execute(id, 1).await, Answer::Rows(Vec::new()));
    assert_eq!(client.fetch(id).await, Answer::one("db02"));
    let connection = house.replica().heard("COM_STMT_FETCH").await;
    (client, id, connection)
}

#[test]
fn the_loss_of_a_cursor_s_connection_is_told_at_the_next_fetch() {
    for way in [Act::close(), Act::reset()] {
        run(async move {
            let house = House::new(1).await;
            let (mut client, id, connection) = with_a_cursor(&house).await;
            house.replica().interrupt(connection, way);
            house.replica().ended(connection).await;
            let answer = client.fetch(id).await;
            assert!(matches!(answer, Answer::Error { rows: 0, .. }), "{answer:?}");
            client.ends().await;
        });
    }
}

#[test]
fn a_cursor_s_connection_lost_in_a_fetch_is_told_and_the_fetch_not_sent_again() {
    run(async {
        let house = House::new(1).await;
        let (mut client, id, _) = with_a_cursor(&house).await;
        house.replica().on("COM_STMT_FETCH", Act::close());
        let answer = client.fetch(id).await;
        assert!(matches!(answer, Answer::Error { code: 1053, rows: 0, .. }), "{answer:?}");
        client.ends().await;
        assert_eq!(house.count("COM_STMT_FETCH"), 2);
    });
}

#[test]
fn a_statement_executed_again_while_its_cursor_is_open_has_a_cursor_again() {
    run(async {
        let house = House::new(1).await;
        let (mut client, id, connection) = with_a_cursor(&house).await;
        assert_eq!(client.execute(id, 1).await, Answer::Rows(Vec::new()));
        assert_eq!(client.fetch(id).await, Answer::one("db02"));
        assert_eq!(
            house.replica().heard("COM_STMT_FETCH").await,
            connection,
            "executing closes the old cursor"
        );
        assert_eq!(house.client().await.query("SELECT 1").await, Answer::one("db02"));
        assert_ne!(house.replica().heard("SELECT 1").await, connection, "nobody else gets it meanwhile");
    });
}

#[test]
fn a_lost_replica_in_a_read_only_transaction_ends_the_session() {
    run(check(&["START TRANSACTION READ ONLY"], "SELECT 1", Act::close(), 1));
}

#[test]
fn a_begin_that_is_lost_is_not_sent_again_by_guess() {
    run(async {
        let house = House::new(1).await;
        let mut client = house.client().await;
        house.primary().on("BEGIN", Act::close());
        let answer = client.query("BEGIN").await;
        // Nothing was written: to begin anew, or to tell, are both right; to go on without a transaction is not.
        match answer {
            Answer::Error { .. } => client.ends().await,
            Answer::Ok(flags) => assert_ne!(flags & status::IN_TRANS, 0),
            other => panic!("{other:?}"),
        }
    });
}
