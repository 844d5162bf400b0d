//! What stored functions, procedures, triggers and views do decides where statements run that use them, and what they pin.

use mysql_async::{Conn, Row, prelude::Queryable as _};

use crate::support::{Dauphin, Stage, check, check_with, server_error};

/// What keeps the session on its connection, by what a statement for the primary says of its route.
async fn route(client: &mut Conn) -> String {
    client.query_drop("DELETE FROM t WHERE FALSE").await.unwrap();
    let route: Row = client.query_first("SHOW LAST ROUTE").await.unwrap().unwrap();
    route.get("reason").unwrap()
}

async fn is_free(stage: &mut Stage, name: &str) -> bool {
    let query = format!("SELECT IS_FREE_LOCK('{name}')");
    stage.admin(0).await.query_first(query).await.unwrap() == Some(1)
}

/// As `given`, and dauphin knows of it.
async fn given_and_known(stage: &mut Stage, statements: &str) {
    stage.given(statements).await;
    known(stage).await;
}

/// Has dauphin ask the servers for their code: whoever changes code through it does.
async fn known(stage: &mut Stage) {
    let mut client = stage.client().await;
    client.query_drop("DROP FUNCTION IF EXISTS nobody_has_this").await.unwrap();
    client.query_drop("CALL nobody_has_this()").await.unwrap_err();
}

/// Whether the text runs on replicas.
async fn runs_on_replicas(stage: &mut Stage, client: &mut Conn, text: &str) -> bool {
    let mark = stage.mark();
    for _ in 0..2 {
        client
            .query_drop(format!("{text} /* {mark} */"))
            .await
            .unwrap_or_else(|error| panic!("{text}: {error}"));
    }
    let ran = stage.ran(&mark).await;
    assert!(matches!((ran.on_primary(), ran.on_replicas()), (2, 0) | (0, 2)), "{text}: {ran}");
    ran.on_replicas() == 2
}

/// Waits until the text runs on replicas: the servers are asked again by and by.
async fn comes_to_run_on_replicas(stage: &mut Stage, client: &mut Conn, text: &str) {
    for _ in 0..100 {
        let mark = stage.mark();
        client.query_drop(format!("{text} /* {mark} */")).await.unwrap();
        if stage.ran(&mark).await.on_replicas() == 1 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("{text} does not run on replicas");
}

const LOCKING: &str = "CREATE TABLE t (id INT PRIMARY KEY);;
    CREATE FUNCTION take() RETURNS INT DETERMINISTIC RETURN GET_LOCK(CONCAT(DATABASE(), '.code'), 0);;
    CREATE PROCEDURE takes() DO GET_LOCK(CONCAT(DATABASE(), '.code'), 0);;
    CREATE PROCEDURE nested() BEGIN CALL takes(); END;;
    CREATE PROCEDURE takes_and_fails() BEGIN DO GET_LOCK(CONCAT(DATABASE(), '.code'), 0); INSERT INTO t VALUES (1), (1); END;;
    CREATE PROCEDURE dynamic() BEGIN
      SET @text = 'SELECT GET_LOCK(CONCAT(DATABASE(), ''.code''), 0) INTO @got';
      PREPARE s FROM @text; EXECUTE s; DEALLOCATE PREPARE s; END;;
    CREATE PROCEDURE harmless(a INT) BEGIN DECLARE b INT DEFAULT 1; SET b = a + b; INSERT INTO t VALUES (b); DELETE FROM t; END;;
    CREATE TABLE watched (id INT);;
    CREATE TRIGGER watches BEFORE INSERT ON watched FOR EACH ROW SET NEW.id = GET_LOCK(CONCAT(DATABASE(), '.code'), 0);;
    CREATE VIEW taking AS SELECT take() AS n";

#[test]
fn a_lock_taken_by_stored_code_keeps_the_session_until_all_are_released() {
    check(async |stage| {
        given_and_known(stage, LOCKING).await;
        let name = format!("{}.code", stage.schema);
        for text in [
            "SELECT take()",
            "DO take()",
            "CALL takes()",
            "CALL nested()",
            "CALL takes_and_fails()",
            "INSERT INTO watched VALUES (1)",
            "SELECT n FROM taking",
        ] {
            let mut client = stage.client().await;
            assert!(is_free(stage, &name).await, "before {text}");
            let outcome = client.query_drop(text).await;
            assert_eq!(outcome.is_err(), text.contains("fails"), "{text}");
            assert!(!is_free(stage, &name).await, "{text} has taken it");
            client.query_drop("COMMIT").await.unwrap();
            assert_eq!(route(&mut client).await, "named_lock", "{text}");
            // Whatever its name was: only this frees all.
            client.query_drop(format!("DO RELEASE_LOCK('{name}')")).await.unwrap();
            assert_eq!(route(&mut client).await, "named_lock", "{text}");
            client.query_drop("DO RELEASE_ALL_LOCKS()").await.unwrap();
            assert_eq!(route(&mut client).await, "data_change", "{text}");
        }
        let mut client = stage.client().await;
        client.query_drop("CALL dynamic()").await.unwrap();
        assert!(!is_free(stage, &name).await);
        client.query_drop("DO RELEASE_ALL_LOCKS()").await.unwrap();
        // Prepared, and until the connection is reset.
        let mut client = stage.client().await;
        let statement = client.prep("CALL takes()").await.unwrap();
        client.exec_drop(&statement, ()).await.unwrap();
        assert_eq!(route(&mut client).await, "named_lock");
        client.reset().await.unwrap();
        assert_eq!(route(&mut client).await, "data_change");
        assert!(is_free(stage, &name).await);
    });
}

#[test]
fn a_harmless_procedure_keeps_nobody_from_sharing() {
    let options = "pool.max_connections_per_server = 1\npool.wait_timeout = \"2s\"";
    check_with(options, async |stage| {
        given_and_known(stage, LOCKING).await;
        let (mut one, mut other) = (stage.client().await, stage.client().await);
        let statement = one.prep("CALL harmless(?)").await.unwrap();
        for _ in 0..3 {
            one.query_drop("CALL harmless(1)").await.unwrap();
            one.exec_drop(&statement, (2,)).await.unwrap();
            other.query_drop("CALL harmless(2)").await.unwrap();
        }
        assert_eq!(route(&mut one).await, "data_change");
        server_error(one.query_drop("CALL harmless(1, 2)").await);
        server_error(one.query_drop("CALL there_is_none()").await);
        server_error(one.query_drop("SELECT there_is_none()").await);
        one.query_drop("COMMIT").await.unwrap();
        assert_eq!(route(&mut one).await, "data_change");
        other.query_drop("CALL harmless(2)").await.unwrap();
        one.query_drop("CALL takes()").await.unwrap();
        server_error(other.query_drop("CALL harmless(2)").await);
    });
}

#[test]
fn a_function_that_only_reads_runs_on_replicas() {
    check(async |stage| {
        given_and_known(
            stage,
            "CREATE TABLE t (id INT PRIMARY KEY);;
             INSERT INTO t VALUES (1), (2);;
             CREATE FUNCTION counted(least INT) RETURNS INT READS SQL DATA
             BEGIN DECLARE n INT; SELECT COUNT(*) INTO n FROM t WHERE id >= least; RETURN n; END;;
             CREATE FUNCTION tenfold(least INT) RETURNS INT READS SQL DATA RETURN counted(least) * 10;;
             CREATE FUNCTION undeclared() RETURNS INT NOT DETERMINISTIC CONTAINS SQL RETURN 1;;
             CREATE FUNCTION writes() RETURNS INT READS SQL DATA
             BEGIN DECLARE n INT; UPDATE t SET id = id; SELECT COUNT(*) INTO n FROM t; RETURN n; END;;
             CREATE FUNCTION set_it() RETURNS INT DETERMINISTIC BEGIN SET @set_by_code = 1; RETURN 1; END;;
             CREATE VIEW safe AS SELECT counted(1) AS n;;
             CREATE VIEW unsafe AS SELECT writes() AS n;;
             CREATE VIEW over_unsafe AS SELECT n FROM unsafe",
        )
        .await;
        let mut client = stage.client().await;
        comes_to_run_on_replicas(stage, &mut client, "SELECT tenfold(1)").await;
        for (text, on_replicas) in [
            ("SELECT counted(2) + tenfold(1) FROM t", true),
            ("SELECT 1 FROM t ORDER BY counted(id)", true),
            ("EXPLAIN SELECT counted(1)", true),
            ("SELECT n FROM safe", true),
            ("SELECT undeclared()", false),
            ("SELECT writes()", false),
            ("SELECT counted(1), writes()", false),
            ("SELECT counted(1) FROM t FOR UPDATE", false),
            ("SELECT n FROM unsafe", false),
            ("SELECT n FROM over_unsafe", false),
        ] {
            assert_eq!(runs_on_replicas(stage, &mut client, text).await, on_replicas, "{text}");
        }
        let schema = stage.schema.clone();
        assert!(runs_on_replicas(stage, &mut client, &format!("SELECT `{schema}`.`Counted`(1)")).await);
        let (mark, statement) = (stage.mark(), "SELECT counted(?)");
        let statement = client.prep(format!("{statement} /* {mark} */")).await.unwrap();
        assert_eq!(client.exec_first(&statement, (2,)).await.unwrap(), Some(1));
        stage.ran(&mark).await.only_on_replicas(1);
        let reason = async |client: &mut Conn, text: &str| -> String {
            let row: Row = client.query_first(format!("EXPLAIN ROUTE {text}")).await.unwrap().unwrap();
            row.get("reason").unwrap()
        };
        assert_eq!(reason(&mut client, "SELECT counted(1)").await, "harmless_function");
        assert_eq!(reason(&mut client, "SELECT writes()").await, "stored_function");
        assert_eq!(reason(&mut client, "SELECT n FROM unsafe").await, "view_over_function");
        // A table of the session's own may hide the one that the function reads.
        client.query_drop("CREATE TEMPORARY TABLE t (id INT)").await.unwrap();
        assert!(!runs_on_replicas(stage, &mut client, "SELECT tenfold(1)").await);
        let mut other = stage.client().await;
        other.query_drop("SELECT set_it()").await.unwrap();
        assert_eq!(other.query_first("SELECT @set_by_code").await.unwrap(), Some(1));
    });
}

#[test]
fn code_that_is_changed_through_dauphin_is_known_at_once() {
    check_with("monitor.code_interval = \"1h\"", async |stage| {
        stage.given("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY)").await;
        let (mut client, mut other) = (stage.client().await, stage.client().await);
        for _ in 0..3 {
            let harmless = "CREATE FUNCTION f() RETURNS INT READS SQL DATA RETURN (SELECT COUNT(*) FROM t)";
            client.query_drop(harmless).await.unwrap();
            comes_to_run_on_replicas(stage, &mut other, "SELECT f()").await;
            client.query_drop("DROP FUNCTION f").await.unwrap();
            let writes = "CREATE FUNCTION f() RETURNS INT READS SQL DATA BEGIN INSERT INTO t () VALUES (); RETURN 1; END";
            client.query_drop(writes).await.unwrap();
            assert!(!runs_on_replicas(stage, &mut other, "SELECT f()").await);
            client.query_drop("DROP FUNCTION f").await.unwrap();
        }
        client.query_drop("CREATE PROCEDURE p() DO 1").await.unwrap();
        other.query_drop("CALL p()").await.unwrap();
        assert_eq!(route(&mut other).await, "data_change");
        client.query_drop("DROP PROCEDURE p").await.unwrap();
        client.query_drop("CREATE PROCEDURE p() DO GET_LOCK(DATABASE(), 0)").await.unwrap();
        other.query_drop("CALL p()").await.unwrap();
        assert_eq!(route(&mut other).await, "named_lock");
    });
}

#[test]
fn code_that_is_changed_behind_dauphin_s_back_heals_itself_and_is_known_later() {
    check_with("monitor.code_interval = \"3s\"", async |stage| {
        let function =
            |body: &str| format!("CREATE FUNCTION f() RETURNS INT READS SQL DATA BEGIN {body} RETURN 1; END");
        given_and_known(
            stage,
            &format!("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY);; {}", function("")),
        )
        .await;
        let mut client = stage.client().await;
        comes_to_run_on_replicas(stage, &mut client, "SELECT f()").await;
        stage.given(&format!("DROP FUNCTION f;; {}", function("INSERT INTO t () VALUES ();"))).await;
        let mark = stage.mark();
        // The text is another one each time: a text that a replica has refused once is remembered.
        for count in 0..3 {
            let columns = "1,".repeat(count);
            let text = format!("SELECT {columns} f() /* {mark} */");
            assert!(client.query_first::<Row, _>(text).await.unwrap().is_some(), "no error is seen");
        }
        let written: Option<usize> =
            client.query_first("SELECT /* dauphin:primary */ COUNT(*) FROM t").await.unwrap();
        assert_eq!(written, Some(3), "each was done once");
        let ran = stage.ran(&mark).await;
        assert_eq!(ran.on_primary(), 3, "{ran}");
        tokio::time::sleep(std::time::Duration::from_secs(4)).await;
        let mark = stage.mark();
        client.query_drop(format!("SELECT 1, 2, 3, 4, f() /* {mark} */")).await.unwrap();
        stage.ran(&mark).await.only_on_primary(1);
    });
}

#[test]
fn without_the_privilege_the_worst_is_assumed() {
    check(async |stage| {
        let user = format!("blind_{}", stage.schema);
        let (may_watch, remedy) = if stage.is_mysql() {
            ("REPLICATION CLIENT", "GRANT SHOW_ROUTINE ON *.*")
        } else {
            ("SLAVE MONITOR", "GRANT SELECT ON mysql.proc")
        };
        stage
            .given(&format!(
                "CREATE TABLE t (id INT PRIMARY KEY);;
                 CREATE PROCEDURE harmless() DO 1;;
                 CREATE FUNCTION constant() RETURNS INT NO SQL RETURN 1;;
                 CREATE USER {user} IDENTIFIED BY 'blind';;
                 GRANT {may_watch} ON *.* TO {user}"
            ))
            .await;
        let options = format!("account.user = \"{user}\"\naccount.password = \"blind\"");
        stage.dauphin = Dauphin::start(stage.cluster, &options).await;
        let mut client = stage.client().await;
        assert!(!runs_on_replicas(stage, &mut client, "SELECT constant()").await);
        assert_eq!(route(&mut client).await, "unknown_state", "it may have made a temporary table");
        client.reset().await.unwrap();
        assert_eq!(route(&mut client).await, "data_change");
        client.query_drop("CALL harmless()").await.unwrap();
        assert_eq!(route(&mut client).await, "unknown_state");
        let log = stage.dauphin.log();
        assert!(log.contains(remedy), "{log}");
    });
}

#[test]
fn state_that_failing_code_has_set_is_not_handed_to_others() {
    check(async |stage| {
        given_and_known(
            stage,
            "CREATE TABLE t (id INT PRIMARY KEY);;
             CREATE PROCEDURE sets_and_fails()
             BEGIN SET @left_by_code = 1; CREATE TEMPORARY TABLE left_too (a INT); SIGNAL SQLSTATE '45000'; END",
        )
        .await;
        let mut client = stage.client().await;
        assert_eq!(server_error(client.query_drop("CALL sets_and_fails()").await).code, 1644);
        client.query_drop("COMMIT").await.unwrap();
        assert_eq!(route(&mut client).await, "unknown_state");
        assert_eq!(client.query_first("SELECT @left_by_code").await.unwrap(), Some(1));
        client.query_drop("SELECT * FROM left_too").await.unwrap();
    });
}
