//! Servers that turn dauphin away until somebody mends something.

use std::time::{Duration, Instant};

use mysql_async::{Conn, prelude::Queryable as _};

use crate::support::{Stage, check_apart, dauphin::Dauphin, eventually};

/// The connection errors that a server holds against the machine that the tests run on, which it forgets when somebody from
/// there logs in; and the logins that it denied.
async fn connection_errors(stage: &mut Stage, node: usize) -> (u64, u64) {
    let sums = "SELECT CAST(COALESCE(SUM(SUM_CONNECT_ERRORS), 0) AS UNSIGNED),
                       CAST(COALESCE(SUM(COUNT_AUTHENTICATION_ERRORS), 0) AS UNSIGNED)
                FROM performance_schema.host_cache";
    stage.admin(node).await.query_first(sums).await.unwrap().expect("one row")
}

async fn is_blocked(stage: &Stage, node: usize) -> bool {
    match Conn::new(stage.cluster.nodes[node].options("root", "root")).await {
        Err(mysql_async::Error::Server(error)) => error.code == 1129,
        _ => false,
    }
}

#[test]
fn a_wrong_ca_or_password_is_tried_ever_less_often_and_a_blocked_host_is_named_with_its_remedy() {
    check_apart("", async |stage| {
        for node in 0..3 {
            stage.admin(node).await;
        }
        let began = Instant::now();
        let ca = stage.dauphin.directory().join("server-cert.pem");
        let wrong_ca = format!("tls.server.mode = \"verify-ca\"\ntls.server.ca = \"{}\"", ca.display());
        let (distrustful, mistaken) = tokio::join!(
            Dauphin::start(stage.cluster, &wrong_ca),
            Dauphin::start(stage.cluster, "account.password = \"wrong\""),
        );
        tokio::time::sleep(Duration::from_secs(8).saturating_sub(began.elapsed())).await;
        for node in 0..3 {
            // After 100, 300, 700 ms and so on. With [monitor] reconnect it would be 80 of each.
            let (broken_off, denied) = connection_errors(stage, node).await;
            let few = 3..12;
            assert!(few.contains(&broken_off), "db{} counts {broken_off} that broke off", node + 1);
            assert!(few.contains(&denied), "db{} has denied {denied}", node + 1);
        }
        assert!(mistaken.log().contains("check [account] user and password"), "{}", mistaken.log());
        assert!(distrustful.log().contains("check [tls.server] mode and ca"), "{}", distrustful.log());

        stage.admin(1).await.query_drop("SET GLOBAL max_connect_errors = 1").await.unwrap();
        eventually(15, "db2 blocks the host", async || is_blocked(stage, 1).await).await;
        drop(distrustful);
        let own = "SELECT id FROM information_schema.processlist WHERE user = 'dauphin'";
        let own: Vec<u64> = stage.admin(1).await.query(own).await.unwrap();
        for id in own {
            // It may have ended meanwhile.
            let _ = stage.admin(1).await.query_drop(format!("KILL {id}")).await;
        }
        let remedy = "run there TRUNCATE TABLE performance_schema.host_cache";
        eventually(10, "the remedy is named", async || stage.dauphin.log().contains(remedy)).await;
        stage.admin(1).await.query_drop("TRUNCATE TABLE performance_schema.host_cache").await.unwrap();
        let again = async || stage.dauphin.log().contains("server can be watched again server=db2");
        eventually(15, "db2 is watched again", again).await;
    });
}
