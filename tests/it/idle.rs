//! A session that has set `wait_timeout` is ended as a server ends it.

use std::{net::SocketAddr, time::Duration};

use tokio::time::{sleep, timeout};

use crate::support::{check, raw::Raw, stage::Stage};

/// What a client finds that comes back after its `wait_timeout`.
async fn found_after(statements: &[&str], mut raw: Raw) -> String {
    for statement in statements {
        raw.query(statement).await.unwrap();
    }
    sleep(Duration::from_millis(1300)).await;
    // What it does meanwhile counts from then on.
    raw.query("SELECT 1").await.unwrap();
    sleep(Duration::from_millis(1300)).await;
    raw.query("SELECT 1").await.unwrap();
    // The packet comes unasked, and then the connection ends.
    match timeout(Duration::from_secs(5), raw.unasked()).await {
        Ok(answer) => {
            let error = answer.unwrap_err().to_string();
            // A connection that ends may say so in several ways.
            if error.starts_with("4031") { error } else { "closed".to_owned() }
        }
        Err(_) => "still open".to_owned(),
    }
}

async fn check_same(stage: &Stage, statements: &[&str]) {
    let primary = SocketAddr::new(stage.cluster.primary().address(), 3306);
    let direct = Raw::connect(primary, "app", "app", Some(&stage.schema)).await.unwrap();
    let (direct, through) =
        tokio::join!(found_after(statements, direct), found_after(statements, stage.raw().await));
    assert_eq!(through, direct, "{statements:?}");
    assert_ne!(through, "still open", "{statements:?}");
}

#[test]
fn a_client_that_says_nothing_for_its_wait_timeout_is_disconnected_as_by_a_server() {
    check(async |stage| {
        check_same(stage, &["SET wait_timeout = 2"]).await;
        check_same(stage, &["SET wait_timeout = 2, autocommit = 0"]).await;
        check_same(stage, &["SET wait_timeout = 2", "BEGIN"]).await;
    });
}

#[test]
fn a_session_may_stay_idle_if_it_has_set_no_wait_timeout() {
    check(async |stage| {
        let mut raw = stage.raw().await;
        raw.query("SET wait_timeout = 1").await.unwrap();
        raw.query("SET wait_timeout = DEFAULT").await.unwrap();
        sleep(Duration::from_millis(1500)).await;
        raw.query("SELECT 1").await.unwrap();
    });
}
