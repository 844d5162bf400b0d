//! dauphin: a read/write-splitting proxy for MySQL and MariaDB. ARCHITECTURE.md is the map of the house.

pub mod backend;
pub mod config;
pub mod net;
pub mod topology;
