//! End-to-end stories on real MySQL and real MariaDB in Docker: one module per behaviour.
//!
//! Where a statement ran is never dauphin's word: each statement carries a mark, and the servers' own general logs are
//! asked for it. `DAUPHIN_IT_FLAVOUR=mysql` (or `mariadb`) plays the stories on one flavour only.
//! `DAUPHIN_TEST_OPTIONS='pool.compression = "zstd"'` gives every dauphin these lines of config, here and in tests/routing.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

#[path = "../support/mod.rs"]
mod support;

mod admin;
mod batches;
mod big_packets;
mod binary_log;
mod bulk;
mod carried;
mod command_line;
mod commands;
mod compression;
mod connection_attributes;
mod consistency;
mod discovery;
mod errors;
mod expired_passwords;
mod fence_command;
mod follow_ups;
mod group_replication;
mod idle;
mod kill;
mod lag;
mod login;
mod lost_servers;
mod named_locks;
mod optional_metadata;
mod orders;
mod own_id;
mod own_statements;
mod own_writes;
mod pool;
mod prepared;
mod proxy_protocol;
mod query_attributes;
mod rebuild;
mod reset;
mod restarts;
mod splitting;
mod state;
mod stored_code;
mod temporary_tables;
mod turned_away;
