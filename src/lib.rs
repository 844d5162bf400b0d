//! dauphin: a read/write-splitting proxy for MySQL and MariaDB. ARCHITECTURE.md is the map of the house.

pub mod admin;
pub mod backend;
pub mod catalogue;
pub mod config;
pub mod control;
pub mod error;
pub mod failover;
pub mod fault;
pub mod grants;
pub mod listener;
pub mod metrics;
pub mod monitor;
pub mod net;
pub mod routing;
pub mod session;
pub mod sql;
pub mod topology;
