//! Reads go to the replicas, all else to the primary; what binds a session to one server.

use mysql_async::{TxOpts, prelude::Queryable as _};

use crate::support::{Stage, check, check_with};

#[test]
fn reads_are_spread_over_both_replicas_and_writes_reach_the_primary() {
    check(async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY, note VARCHAR(100))").await;
        let (write, read) = (stage.mark(), stage.mark());
        let mut client = stage.client().await;
        client.query_drop(format!("INSERT INTO t VALUES (1, '{write}')")).await.unwrap();
        stage.cluster.replicated().await.unwrap();
        // A session that has written prefers the replica that is known to have that.
        let mut client = stage.client().await;
        for _ in 0..10 {
            let note: Option<String> =
                client.query_first(format!("SELECT note FROM t /* {read} */")).await.unwrap();
            assert_eq!(note.as_ref(), Some(&write));
        }
        stage.ran(&write).await.only_on_primary(1);
        let reads = stage.ran(&read).await;
        assert_eq!(reads.0, [0, 5, 5], "each replica takes its half");
    });
}

#[test]
fn a_transaction_stays_on_the_primary_reads_included() {
    check(async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY)").await;
        let (inside, after) = (stage.mark(), stage.mark());
        let mut client = stage.client().await;
        let mut transaction = client.start_transaction(TxOpts::default()).await.unwrap();
        transaction.query_drop(format!("SELECT COUNT(*) FROM t /* {inside} */")).await.unwrap();
        transaction.query_drop(format!("INSERT INTO t VALUES (1) /* {inside} */")).await.unwrap();
        let count: Option<u32> =
            transaction.query_first(format!("SELECT COUNT(*) FROM t /* {inside} */")).await.unwrap();
        assert_eq!(count, Some(1));
        transaction.rollback().await.unwrap();
        let count: Option<u32> =
            client.query_first(format!("SELECT COUNT(*) FROM t /* {after} */")).await.unwrap();
        assert_eq!(count, Some(0), "it was rolled back");
        stage.ran(&inside).await.only_on_primary(3);
        stage.ran(&after).await.only_on_replicas(1);
    });
}

#[test]
fn a_read_only_transaction_lives_on_one_replica_and_still_refuses_writes() {
    check(async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY)").await;
        let inside = stage.mark();
        let mut client = stage.client().await;
        client.query_drop(format!("START TRANSACTION /* {inside} */ READ ONLY")).await.unwrap();
        for _ in 0..5 {
            client.query_drop(format!("SELECT COUNT(*) FROM t /* {inside} */")).await.unwrap();
        }
        let refused = crate::support::server_error(client.query_drop("INSERT INTO t VALUES (1)").await);
        assert_eq!((refused.code, refused.state.as_str()), (1792, "25006"));
        client.query_drop(format!("COMMIT /* {inside} */")).await.unwrap();
        let ran = stage.ran(&inside).await;
        assert!(matches!(ran.0, [0, 7, 0] | [0, 0, 7]), "all on one replica: {ran}");
    });
}

#[test]
fn with_autocommit_off_everything_goes_to_the_primary() {
    check(async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY)").await;
        let (off, on) = (stage.mark(), stage.mark());
        let mut client = stage.client().await;
        client.query_drop("SET autocommit = 0").await.unwrap();
        client.query_drop(format!("SELECT COUNT(*) FROM t /* {off} */")).await.unwrap();
        client.query_drop("COMMIT").await.unwrap();
        client.query_drop(format!("SELECT COUNT(*) FROM t /* {off} */")).await.unwrap();
        client.query_drop("SET autocommit = 1").await.unwrap();
        client.query_drop(format!("SELECT COUNT(*) FROM t /* {on} */")).await.unwrap();
        stage.ran(&off).await.only_on_primary(2);
        stage.ran(&on).await.only_on_replicas(1);
    });
}

#[test]
fn what_locks_or_may_write_goes_to_the_primary() {
    check(async |stage| {
        stage
            .given(
                "CREATE TABLE t (id INT PRIMARY KEY);;
                 INSERT INTO t VALUES (1);;
                 CREATE PROCEDURE add_one() INSERT INTO t SELECT MAX(id) + 1 FROM t;;
                 CREATE FUNCTION add_and_count() RETURNS INT MODIFIES SQL DATA
                 BEGIN INSERT INTO t SELECT MAX(id) + 1 FROM t; RETURN (SELECT COUNT(*) FROM t); END",
            )
            .await;
        let mut client = stage.client().await;
        for statement in [
            "SELECT * FROM t FOR UPDATE",
            "SELECT * FROM t LOCK IN SHARE MODE",
            "SELECT (SELECT MAX(id) FROM t FOR UPDATE) AS id",
            "CALL add_one()",
            "SELECT add_and_count()",
            "SELECT 1 FROM (SELECT 1) AS one ORDER BY add_and_count()",
            "SELECT GET_LOCK('it', 1)",
            "SELECT IS_FREE_LOCK('it')",
            "SELECT RELEASE_LOCK('it')",
            "DO RELEASE_LOCK('none')",
        ] {
            ran_on_primary(stage, &mut client, statement).await;
        }
    });
}

async fn ran_on_primary(stage: &mut Stage, client: &mut mysql_async::Conn, statement: &str) {
    let mark = stage.mark();
    client
        .query_drop(format!("{statement} /* {mark} */"))
        .await
        .unwrap_or_else(|error| panic!("{statement}: {error}"));
    let ran = stage.ran(&mark).await;
    assert_eq!(ran.0, [1, 0, 0], "{statement}");
}

#[test]
fn hints_of_several_proxies_are_followed() {
    check(async |stage| {
        let mut client = stage.client().await;
        for (statement, to_primary) in [
            ("SELECT /* dauphin:primary */ 1", true),
            ("/* maxscale route to master */ SELECT 1", true),
            ("SELECT 1 -- maxscale route to master\n", true),
            ("/*FORCE_MASTER*/ SELECT 1", true),
            ("/*master*/ SELECT 1", true),
            ("/*@writer*/ SELECT 1", true),
            ("/* SHARDINGSPHERE_HINT: WRITE_ROUTE_ONLY=true */ SELECT 1", true),
            ("/* pgdog_role: primary */ SELECT 1", true),
            ("SELECT /* dauphin:replica */ 1", false),
            ("/*@reader*/ SELECT 1", false),
            ("SELECT 1 /* nothing of importance */", false),
        ] {
            let mark = stage.mark();
            client.query_drop(format!("{statement} /* {mark} */")).await.unwrap();
            let ran = stage.ran(&mark).await;
            assert_eq!(
                (ran.on_primary(), ran.on_replicas()),
                if to_primary { (1, 0) } else { (0, 1) },
                "{statement}"
            );
        }
        let mark = stage.mark();
        for _ in 0..4 {
            client.query_drop(format!("SELECT /* dauphin:server=db3 */ '{mark}'")).await.unwrap();
        }
        assert_eq!(stage.ran(&mark).await.0, [0, 0, 4]);
        let mark = stage.mark();
        for _ in 0..4 {
            client.query_drop(format!("SELECT /* dauphin:server=db1 */ '{mark}'")).await.unwrap();
        }
        assert_eq!(stage.ran(&mark).await.0, [4, 0, 0], "the primary has a name, too");
    });
}

#[test]
fn hints_of_maxscale_s_hold_until_they_are_taken_off() {
    check(async |stage| {
        let mut client = stage.client().await;
        for (hint, ran) in [
            ("", [0, 1, 1]),
            ("route to server db2", [0, 2, 0]),
            ("route to last", [0, 2, 0]),
            ("here begin route to server db3", [0, 0, 2]),
            ("", [0, 0, 2]),
            ("begin route to master", [2, 0, 0]),
            ("route to slave", [0, 1, 1]),
            ("", [2, 0, 0]),
            ("route to last", [2, 0, 0]),
        ] {
            let mark = stage.mark();
            for hint in [hint, if hint.contains("begin") { "" } else { hint }] {
                client.query_drop(format!("SELECT '{mark}' -- maxscale {hint}")).await.unwrap();
            }
            assert_eq!(stage.ran(&mark).await.0, ran, "{hint}");
        }
        for ran in [vec![0, 0, 1], vec![0, 1, 1]] {
            let mark = stage.mark();
            for _ in 0..ran.iter().sum() {
                client.query_drop(format!("SELECT '{mark}' -- maxscale end")).await.unwrap();
            }
            assert_eq!(stage.ran(&mark).await.0.to_vec(), ran);
        }
        client.query_drop("SELECT 1 -- maxscale here begin").await.unwrap();
        client.reset().await.unwrap();
        let mark = stage.mark();
        for _ in 0..2 {
            client.query_drop(format!("SELECT '{mark}'")).await.unwrap();
        }
        assert_eq!(stage.ran(&mark).await.0, [0, 1, 1], "a new session begins");
    });
}

#[test]
fn a_hint_never_sends_a_write_to_a_replica() {
    check(async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY)").await;
        let mark = stage.mark();
        let mut client = stage.client().await;
        client
            .query_drop(format!("INSERT /* dauphin:replica */ INTO t VALUES (1) /* {mark} */"))
            .await
            .unwrap();
        stage.ran(&mark).await.only_on_primary(1);
    });
}

#[test]
fn a_write_hidden_in_a_view_heals_itself_on_the_primary_and_is_remembered() {
    // What views and functions do is not known to this dauphin.
    check_with("monitor.code_entries = 0", async |stage| {
        stage
            .given(
                "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY);;
                 CREATE FUNCTION hidden() RETURNS INT MODIFIES SQL DATA
                 BEGIN INSERT INTO t () VALUES (); RETURN (SELECT COUNT(*) FROM t); END;;
                 CREATE VIEW innocent AS SELECT hidden() AS n",
            )
            .await;
        let (first, second) = (stage.mark(), stage.mark());
        let mut client = stage.client().await;
        let count: Option<u32> =
            client.query_first(format!("SELECT n FROM innocent WHERE '{first}' <> ''")).await.unwrap();
        assert_eq!(count, Some(1), "the client sees no error, and the write was done once");
        let ran = stage.ran(&first).await;
        assert_eq!((ran.on_primary(), ran.on_replicas()), (1, 1), "a replica refused it: {ran}");
        let count: Option<u32> =
            client.query_first(format!("SELECT n FROM innocent WHERE '{second}' <> ''")).await.unwrap();
        assert_eq!(count, Some(2));
        stage.ran(&second).await.only_on_primary(1);
    });
}
