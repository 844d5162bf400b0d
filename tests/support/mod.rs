//! What the end-to-end stories share: real servers, a dauphin in front of them, and evidence of where statements ran.

pub mod cluster;
pub mod dauphin;
pub mod raw;
pub mod reaper;
pub mod stage;

pub use cluster::Flavour;
pub use dauphin::Dauphin;
pub use stage::{Stage, check, check_apart, check_group, check_nameless, check_own, check_with};

use std::time::{Duration, Instant};

/// Tries until it is so, at most this many seconds.
pub async fn eventually(seconds: u64, what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !is_so().await {
        assert!(start.elapsed() < Duration::from_secs(seconds), "not within {seconds} s: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The server's (or dauphin's) error: number, SQLSTATE and text.
#[track_caller]
pub fn server_error<T>(result: Result<T, mysql_async::Error>) -> mysql_async::ServerError {
    match result {
        Err(mysql_async::Error::Server(error)) => error,
        Err(other) => panic!("an error from a server was expected, not: {other}"),
        Ok(_) => panic!("an error from a server was expected, not success"),
    }
}
