//! Bad clients and bad servers, against the real process over scripted servers: what each may cost in memory and time, that it
//! is counted, and that a session beside it goes on. docs/bad-peers.md has the table.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod bad_clients;
mod bad_servers;
mod bed;
#[allow(dead_code)] // what the stories of tests/it use besides
#[path = "../support/cluster.rs"]
mod cluster;
#[allow(dead_code)]
#[path = "../support/dauphin.rs"]
mod dauphin;
#[path = "../support/reaper.rs"]
mod reaper;
#[allow(dead_code, unused_imports)] // what the stories of tests/scripted use besides
#[path = "../support/scripted/mod.rs"]
mod scripted;
