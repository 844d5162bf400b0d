//! The config: `FileConfig` (as written, all mistakes at once) becomes `Config` (cannot exist invalid).
//!
//! Each section has its own file, where each option's name, type, range, default and meaning stand in one
//! place.

mod account;
mod address;
mod admin;
mod admin_user;
mod auth;
mod cache;
mod catalogue;
mod client_tls;
mod failover;
mod file;
mod given;
mod kind;
mod limits;
mod listen;
mod load;
mod log;
mod mistake;
mod monitor;
mod options;
mod pool;
mod routing;
mod secret;
mod section;
mod server;
mod server_tls;
pub(crate) mod suggest;
mod syntax;
mod threads;
mod tls;
mod unknown;
mod user;
mod warning;
mod written;

#[cfg(test)]
mod tests;

use std::path::Path;

pub use account::Account;
pub use address::{AddressError, ListenAddress, ServerAddress};
pub use admin::Admin;
pub use admin_user::{AdminRole, AdminUser};
pub use auth::{Auth, DefaultPlugin, ReadAccounts};
pub use cache::Cache;
pub use catalogue::options;
pub use client_tls::{Certificate, ClientTls, ClientTlsMode};
pub use failover::{Failover, FailoverMode};
pub use given::{ConfigFile, Difference, Given};
pub use limits::Limits;
pub use listen::Listen;
pub use log::{Log, LogFormat};
pub use mistake::{ConfigErrors, Mistake};
pub use monitor::Monitor;
pub use options::{Absent, KnownOption};
pub use pool::{Compression, Pool};
pub use routing::{Consistency, PrimaryReads, Routing, WhenStale};
pub use secret::Secret;
pub use server::Server;
pub use server_tls::{Ca, ServerTls};
pub use threads::Threads;
pub use tls::Tls;
pub use user::User;

/// A whole and valid config.
#[derive(Debug, Clone)]
pub struct Config {
    /// The servers behind dauphin; at least one, no two with the same name or address.
    pub servers: Vec<Server>,
    /// dauphin's own account on the servers.
    pub account: Account,
    /// Where clients connect, and how many.
    pub listen: Listen,
    /// TLS on both sides of dauphin.
    pub tls: Tls,
    /// How clients prove who they are.
    pub auth: Auth,
    /// The users whose passwords dauphin checks itself; no two of the same name.
    pub users: Vec<User>,
    /// The connections to the servers, shared by sessions of equal user, protocol options and connection attributes.
    pub pool: Pool,
    /// Which server a statement goes to, and what happens when there is none.
    pub routing: Routing,
    /// What dauphin remembers of statements.
    pub cache: Cache,
    /// How much one session may ask dauphin to hold.
    pub limits: Limits,
    /// How often the servers are asked how they are.
    pub monitor: Monitor,
    /// When a replica is promoted, and within which limits.
    pub failover: Failover,
    /// Where operators see and steer dauphin.
    pub admin: Admin,
    /// What dauphin writes about itself.
    pub log: Log,
    /// How many threads carry the clients' traffic.
    pub threads: Threads,
    /// What was noticed while reading; also keeps a `Config` from being put together by hand.
    noticed: Vec<String>,
}

impl Config {
    /// Reads the file; the error lists every mistake in it.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ConfigErrors> {
        let path = path.as_ref();
        let text = load::read_text(path)?;
        Self::read_file(path, &text, &|name| std::env::var_os(name))
    }

    /// Says what `load` would say: for `dauphin check`, which starts nothing.
    pub fn check(path: impl AsRef<Path>) -> Result<Self, ConfigErrors> {
        Self::load(path)
    }

    /// Reads a config that is no file, whose relative paths start from the working directory.
    pub fn from_text(text: &str) -> Result<Self, ConfigErrors> {
        Self::read_file(Path::new("(text)"), text, &|name| std::env::var_os(name))
    }

    /// The defaults, for tests and embedding: these servers, a free port of this machine, no TLS towards
    /// clients, the account `dauphin` with the password `dauphin`.
    ///
    /// Panics when an address is mistaken or given twice.
    pub fn for_tests(servers: &[&str]) -> Self {
        let servers = toml::Value::from(servers.to_vec());
        let text = format!(
            r#"
            servers = {servers}
            account = {{ user = "dauphin", password = "dauphin" }}
            listen.address = "127.0.0.1:0"
            tls.client.mode = "disabled"
            admin = {{ address = "127.0.0.1:0", http_address = "127.0.0.1:0" }}
            "#
        );
        Self::from_text(&text).unwrap_or_else(|errors| panic!("{errors}"))
    }

    /// What is allowed and yet probably not meant, a sentence each.
    pub fn warnings(&self) -> Vec<String> {
        [self.noticed.clone(), warning::of(self)].concat()
    }
}
