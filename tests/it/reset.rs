//! COM_RESET_CONNECTION and COM_CHANGE_USER: nothing of what was is left, on any server.

use mysql_async::{ChangeUserOpts, Conn, prelude::Queryable as _};

use crate::support::{Stage, check, server_error};

/// A session with something of everything.
async fn laden(stage: &mut Stage) -> Conn {
    stage.given("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY)").await;
    let mut client = stage.client().await;
    let lock = format!("SELECT GET_LOCK('{}', 5)", stage.schema);
    for statement in [
        "SET @left = 1, time_zone = '+07:00'",
        "CREATE TEMPORARY TABLE scratch (id INT)",
        "INSERT INTO t VALUES (NULL)",
        "PREPARE named FROM 'SELECT 1'",
        &lock,
        "BEGIN",
        "INSERT INTO t VALUES (NULL)",
    ] {
        client.query_drop(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    client
}

async fn is_like_new(stage: &mut Stage, client: &mut Conn) {
    for _ in 0..4 {
        let (left, default): (Option<String>, bool) =
            client.query_first("SELECT @left, @@time_zone = 'SYSTEM'").await.unwrap().unwrap();
        assert_eq!((left, default), (None, true));
    }
    let schema = stage.schema.clone();
    assert_eq!(client.query_first("SELECT DATABASE()").await.unwrap(), Some(schema));
    assert_eq!(client.query_first("SELECT LAST_INSERT_ID()").await.unwrap(), Some(0_u64));
    assert_eq!(server_error(client.query_drop("SELECT * FROM scratch").await).code, 1146);
    assert_eq!(server_error(client.query_drop("EXECUTE named").await).code, 1243);
    crate::support::eventually(5, "the transaction is rolled back and the lock free", async || {
        let query = format!("SELECT IS_FREE_LOCK('{0}'), (SELECT COUNT(*) FROM {0}.t)", stage.schema);
        let admin = stage.admin(0).await;
        admin.query_first::<(u32, u32), _>(query).await.unwrap() == Some((1, 1))
    })
    .await;
}

#[test]
fn resetting_the_connection_clears_everything() {
    check(async |stage| {
        let mut client = laden(stage).await;
        let statement = client.prep("SELECT ?").await.unwrap();
        assert!(client.reset().await.unwrap());
        server_error(client.exec_drop(&statement, (1,)).await);
        is_like_new(stage, &mut client).await;
    });
}

#[test]
fn changing_the_user_clears_everything_and_is_another_account_on_every_server() {
    check(async |stage| {
        let schema = stage.schema.clone();
        let user = format!("it_{schema}");
        stage
            .given(&format!(
                "CREATE USER {user}@'%' IDENTIFIED BY 'other';; GRANT ALL ON {schema}.* TO {user}@'%'"
            ))
            .await;
        let mut client = laden(stage).await;
        let to = ChangeUserOpts::new().with_user(Some(user.clone())).with_pass(Some("other".to_owned()));
        client.change_user(to.with_db_name(Some(schema))).await.unwrap();
        is_like_new(stage, &mut client).await;
        for hint in ["primary", "server=db2", "server=db3"] {
            let account: Option<String> =
                client.query_first(format!("SELECT /* dauphin:{hint} */ CURRENT_USER()")).await.unwrap();
            assert_eq!(account, Some(format!("{user}@%")), "{hint}");
        }
    });
}

#[test]
fn changing_to_a_user_with_a_wrong_password_is_refused() {
    check(async |stage| {
        let mut client = stage.client().await;
        let to = ChangeUserOpts::new().with_pass(Some("wrong".to_owned()));
        assert_eq!(server_error(client.change_user(to).await).code, 1045);
    });
}

#[test]
fn a_lock_is_free_once_its_session_s_reset_is_answered() {
    check(async |stage| {
        let mut client = stage.client().await;
        for n in 0..30 {
            let name = format!("{}_{n}", stage.schema);
            let free = format!("SELECT IS_FREE_LOCK('{name}')");
            client.query_drop(format!("SELECT GET_LOCK('{name}', 1)")).await.unwrap();
            assert_eq!(client.query_first(&free).await.unwrap(), Some(0));
            client.reset().await.unwrap();
            assert_eq!(client.query_first(&free).await.unwrap(), Some(1), "after {n} resets");
        }
    });
}
