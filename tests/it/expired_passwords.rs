//! An expired password: who logs in with it can do nothing before it is changed, as on the server itself.

use std::net::SocketAddr;

use dauphin_proto::{CapabilityFlags, command::code};

use crate::support::{
    Stage, check,
    raw::{Answer, Raw, Refusal},
};

const TOLD: CapabilityFlags = CapabilityFlags::CLIENT_CAN_HANDLE_EXPIRED_PASSWORDS;

/// The primary itself, and dauphin.
fn both_ways(stage: &Stage) -> [SocketAddr; 2] {
    [(stage.cluster.primary().address(), 3306).into(), stage.dauphin.address]
}

/// An account whose password `old` has expired, on all servers.
async fn expired(stage: &mut Stage) -> String {
    let user = account(stage).await;
    expire(stage, &user).await;
    user
}

async fn account(stage: &mut Stage) -> String {
    let (schema, user) = (stage.schema.clone(), format!("it_{}", stage.mark()));
    let created =
        format!("CREATE USER {user}@'%' IDENTIFIED BY 'old';; GRANT ALL ON {schema}.* TO {user}@'%'");
    stage.given(&created).await;
    user
}

async fn expire(stage: &mut Stage, user: &str) {
    stage.given(&format!("ALTER USER {user}@'%' PASSWORD EXPIRE")).await;
}

fn change(stage: &Stage) -> &'static str {
    if stage.is_mysql() { "ALTER USER USER() IDENTIFIED BY 'new'" } else { "SET PASSWORD = PASSWORD('new')" }
}

fn refusal<T>(outcome: anyhow::Result<T>) -> Option<Refusal> {
    outcome.err().map(|error| error.downcast::<Refusal>().expect("an ERR packet"))
}

/// What came of it, whoever was asked.
fn outcome(answer: anyhow::Result<Answer>) -> Result<Vec<Vec<u8>>, Refusal> {
    answer.map(|answer| answer.rows).map_err(|error| error.downcast().expect("an ERR packet"))
}

#[test]
fn nothing_is_done_before_the_password_is_changed_and_everything_after_it() {
    check(async |stage| {
        let (change, schema) = (change(stage), stage.schema.clone());
        let mut dialogues = Vec::new();
        for address in both_ways(stage) {
            let user = expired(stage).await;
            let mut said = Vec::new();
            let mut client = Raw::connect_with(address, &user, "old", Some(&schema), TOLD).await.unwrap();
            for text in ["SELECT 1", "SET NAMES latin1", "BEGIN", "KILL 1", "DROP TABLE IF EXISTS t", "SET x"]
            {
                said.push(outcome(client.query(text).await));
            }
            let id = 1_u32.to_le_bytes();
            let commands: [(u8, &[u8]); 7] = [
                (code::PING, &[]),
                (code::INIT_DB, schema.as_bytes()),
                (code::RESET_CONNECTION, &[]),
                (code::SET_OPTION, &[0, 0]),
                (code::PROCESS_KILL, &id),
                (code::STMT_RESET, &id),
                (code::CHANGE_USER, b"app\0\0\0\x2d\0mysql_native_password\0"),
            ];
            for (command, argument) in commands {
                client.command(command, argument).await.unwrap();
                said.push(outcome(client.answer().await));
            }
            match client.prepare("SELECT 1").await {
                Ok(statement) => said.push(outcome(client.execute(statement, 0).await)),
                Err(error) => said.push(outcome(Err(error))),
            }
            assert!(said.iter().flat_map(Result::as_ref).flatten().next().is_none(), "rows: {said:?}");

            said.push(outcome(client.query(change).await));
            for text in [
                "SELECT DATABASE() IS NOT NULL",
                "CREATE TABLE t (id INT PRIMARY KEY)",
                "SET sql_mode = 'ANSI_QUOTES'",
                "INSERT INTO t VALUES (7)",
                "SELECT \"id\", @@sql_mode FROM t",
            ] {
                said.push(outcome(client.query(text).await));
            }
            client.command(code::RESET_CONNECTION, &[]).await.unwrap();
            said.push(outcome(client.answer().await));
            for text in ["SELECT \"id\", @@sql_mode = 'ANSI_QUOTES' FROM t", "DROP TABLE t"] {
                said.push(outcome(client.query(text).await));
            }
            let again = Raw::connect(address, &user, "old", None).await;
            said.push(Err(Refusal {
                message: String::new(),
                ..refusal(again).expect("it is the old password")
            }));
            let mut again = Raw::connect(address, &user, "new", Some(&schema)).await.unwrap();
            said.push(outcome(again.query("SELECT 1").await));
            dialogues.push(said);
        }
        let through = dialogues.pop().unwrap();
        assert_eq!(through, dialogues.pop().unwrap());
    });
}

#[test]
fn a_client_that_cannot_be_told_is_answered_as_by_the_server() {
    check(async |stage| {
        let user = expired(stage).await;
        let mut said = Vec::new();
        for address in both_ways(stage) {
            said.push(match Raw::connect(address, &user, "old", None).await {
                Ok(mut client) => outcome(client.query("SELECT 1").await),
                Err(error) => outcome(Err(error)),
            });
            let elsewhere = Raw::connect_with(address, &user, "old", Some("it_is_not_there"), TOLD).await;
            said.push(Err(refusal(elsewhere).expect("there is no such schema")));
        }
        assert_eq!(said[..2], said[2..]);
        let code = said[0].as_ref().unwrap_err().code;
        assert_eq!(code, if stage.is_mysql() { 1862 } else { 1820 }, "disconnect_on_expired_password");
    });
}

#[test]
fn the_session_stays_on_its_connection_to_the_primary() {
    check(async |stage| {
        let (user, mark, change) = (expired(stage).await, stage.mark(), change(stage));
        let connect = Raw::connect_with(stage.dauphin.address, &user, "old", Some(&stage.schema), TOLD);
        let mut client = connect.await.unwrap();
        client.query(change).await.unwrap();
        for _ in 0..3 {
            client.query(&format!("SELECT 1 /* {mark} */")).await.unwrap();
        }
        stage.ran(&mark).await.only_on_primary(3);
        let route = client.query("SHOW LAST ROUTE").await.unwrap();
        let says_why = |row: &Vec<u8>| String::from_utf8_lossy(row).contains("expired_password");
        assert!(route.rows.iter().any(says_why), "{route:?}");

        // Another user's session is as free as any.
        let (mark, expected) = (stage.mark(), 3);
        client.change_user("app", "app", &stage.schema).await.unwrap();
        for _ in 0..expected {
            client.query(&format!("SELECT 1 /* {mark} */")).await.unwrap();
        }
        stage.ran(&mark).await.only_on_replicas(expected);

        // And one that becomes a user whose password has expired is told so.
        let user = expired(stage).await;
        client.change_user(&user, "old", &stage.schema).await.unwrap();
        assert_eq!(refusal(client.query("SELECT 1").await).unwrap().code, 1820);
        client.query(change).await.unwrap();
        client.query("SELECT 1").await.unwrap();
    });
}

#[test]
fn a_password_that_expires_while_its_proof_is_trusted_can_be_changed_too() {
    check(async |stage| {
        for schema in [None, Some(stage.schema.clone())] {
            let user = account(stage).await;
            let address = stage.dauphin.address;
            let connect = async |password| {
                Raw::connect_with(address, &user, password, schema.as_deref(), TOLD).await.unwrap()
            };
            // Has the one connection that its login has opened.
            let mut before = connect("old").await;
            before.query("START TRANSACTION").await.unwrap();
            expire(stage, &user).await;
            let mut client = connect("old").await;
            assert_eq!(refusal(client.query("SELECT 1").await).unwrap().code, 1820);
            client.query(change(stage)).await.unwrap();
            client.query("SELECT 1").await.unwrap();
            before.query("SELECT 1").await.expect("it was there before");
            before.query("COMMIT").await.unwrap();
        }
    });
}
