//! A session that is idle for longer than its `wait_timeout` is ended as a server ends it.

use std::{net::SocketAddr, time::Duration};

use dauphin_proto::CapabilityFlags;
use mysql_async::prelude::Queryable as _;
use tokio::time::{sleep, timeout};

use crate::support::{check, check_apart, raw::Raw, stage::Stage};

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
    found(raw).await
}

/// What a client finds that says nothing.
async fn found(mut raw: Raw) -> String {
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
    let direct = direct(stage, CapabilityFlags::empty()).await;
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

async fn direct(stage: &Stage, kind: CapabilityFlags) -> Raw {
    let primary = SocketAddr::new(stage.cluster.primary().address(), 3306);
    Raw::connect_with(primary, "app", "app", Some(&stage.schema), kind).await.unwrap()
}

/// What a client is told of its timeout, everywhere it asks, and what it finds after it.
async fn told_and_found(mut raw: Raw) -> (Vec<Vec<Vec<u8>>>, String) {
    let mut told = Vec::new();
    for _ in 0..4 {
        told.push(raw.query("SELECT @@wait_timeout, @@interactive_timeout").await.unwrap().rows);
    }
    (told, found(raw).await)
}

#[test]
fn a_new_session_has_the_primary_s_timeouts() {
    check_apart("", async |stage| {
        let mut admin = stage.try_client(stage.options("admin", "admin")).await.unwrap();
        for (kind, wait, interactive) in
            [(CapabilityFlags::empty(), 2, 600), (CapabilityFlags::CLIENT_INTERACTIVE, 600, 2)]
        {
            let set = format!("SET GLOBAL wait_timeout = {wait}, GLOBAL interactive_timeout = {interactive}");
            admin.query_drop(set).await.unwrap();
            let (direct, through) = (direct(stage, kind).await, stage.raw_with(kind).await.unwrap());
            let set = "SET GLOBAL wait_timeout = DEFAULT, GLOBAL interactive_timeout = DEFAULT";
            admin.query_drop(set).await.unwrap();
            let (direct, through) = tokio::join!(told_and_found(direct), told_and_found(through));
            assert_eq!(through, direct);
            assert_ne!(through.1, "still open");
        }
    });
}

#[test]
fn a_timeout_that_the_primary_has_from_elsewhere_holds_too() {
    check_apart("", async |stage| {
        stage.admin(0).await.query_drop("SET GLOBAL wait_timeout = 2").await.unwrap();
        let (raw, direct) = (stage.raw().await, direct(stage, CapabilityFlags::empty()).await);
        stage.admin(0).await.query_drop("SET GLOBAL wait_timeout = DEFAULT").await.unwrap();
        let (direct, through) = tokio::join!(found(direct), found(raw));
        assert_eq!(through, direct);
        assert_ne!(through, "still open");
    });
}
