//! A server's error reaches the client as it is.

use mysql_async::{Conn, prelude::Queryable as _};

use crate::support::{check, server_error};

#[test]
fn errors_keep_their_number_sqlstate_and_text() {
    check(async |stage| {
        stage
            .given("CREATE TABLE t (id INT PRIMARY KEY, n TINYINT NOT NULL);; INSERT INTO t VALUES (1, 1)")
            .await;
        let options = stage.cluster.primary().options("app", "app").db_name(Some(&stage.schema));
        let mut direct = Conn::new(options).await.unwrap();
        let mut client = stage.client().await;
        for statement in [
            "SELEKT 1",
            "SELECT * FROM not_there",
            "SELECT nothing FROM t",
            "SELECT (SELECT 1 UNION SELECT 2)",
            "SELECT no_such_function(1)",
            "INSERT INTO t VALUES (1, 1)",
            "INSERT INTO t VALUES (2, 1000)",
            "INSERT INTO t (id) VALUES (3, 4)",
            "UPDATE t SET n = NULL",
            "DROP TABLE not_there",
            "CREATE TABLE t (id INT)",
            "USE app_is_not_there",
            "SELECT * FROM mysql.user",
            "SET GLOBAL read_only = 0",
            "CALL not_there()",
            "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'ça ne va pas', MYSQL_ERRNO = 5555",
            "KILL 4294967295",
            "SAVEPOINT; SELECT 1",
            "",
        ] {
            let theirs = direct.query_drop(statement).await;
            let ours = client.query_drop(statement).await;
            assert_eq!(server_error(ours), server_error(theirs), "{statement}");
        }
        for statement in ["SELECT * FROM not_there", "SELEKT ?", "INSERT INTO t VALUES (?)"] {
            let (theirs, ours) = (direct.prep(statement).await, client.prep(statement).await);
            assert_eq!(server_error(ours), server_error(theirs), "preparing {statement}");
        }
        let (theirs, ours) = (
            direct.exec_drop("INSERT INTO t VALUES (1, ?)", (1,)).await,
            client.exec_drop("INSERT INTO t VALUES (1, ?)", (1,)).await,
        );
        assert_eq!(server_error(ours), server_error(theirs), "executing");
    });
}

#[test]
fn after_an_error_the_session_goes_on() {
    check(async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY)").await;
        let mut client = stage.client().await;
        for _ in 0..5 {
            server_error(client.query_drop("SELECT * FROM not_there").await);
            server_error(client.query_drop("INSERT INTO not_there VALUES (1)").await);
            assert_eq!(client.query_first::<u32, _>("SELECT 1").await.unwrap(), Some(1));
        }
        client.query_drop("BEGIN").await.unwrap();
        client.query_drop("INSERT INTO t VALUES (1)").await.unwrap();
        server_error(client.query_drop("INSERT INTO t VALUES (1)").await);
        assert_eq!(
            client.query_first::<u32, _>("SELECT COUNT(*) FROM t").await.unwrap(),
            Some(1),
            "the transaction goes on"
        );
        client.query_drop("COMMIT").await.unwrap();
        assert_eq!(client.query_first::<u32, _>("SELECT COUNT(*) FROM t").await.unwrap(), Some(1));
    });
}
