//! `[listen]`: where clients connect, and how many.

use std::time::Duration;

use ipnet::IpNet;

use super::address::ListenAddress;
use super::kind::{ListenAddresses, Networks, count, duration};
use super::options::{KnownOption, Settable, options};
use super::section::Section;

/// Where clients connect, and how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// Where dauphin listens; at least one, no two alike.
    pub addresses: Vec<ListenAddress>,
    /// The most clients at a time; one more gets MySQL's error 1040 (Too many connections).
    pub max_connections: usize,
    /// How long a client may take to log in.
    pub login_timeout: Duration,
    /// How many connections may wait for dauphin to accept them (listen(2)).
    pub backlog: u32,
    /// Whose PROXY headers are believed.
    pub proxy_protocol_networks: Vec<IpNet>,
    /// How long open transactions may go on when dauphin stops.
    pub drain_timeout: Duration,
}

options! {
    /// The section as written.
    struct ListenOptions {
        /// Where clients connect: one address or a list; port 0 lets the system choose.
        address: Vec<ListenAddress> = ListenAddresses.or("0.0.0.0:6033");
        /// The most clients at a time; one more is told "Too many connections".
        max_connections: usize = count(1, 1_000_000).or(10_000);
        /// How long a client may take to log in.
        login_timeout: Duration = duration("100ms", "10m").or("10s");
        /// How many connections the system keeps waiting for dauphin to accept them.
        backlog: u32 = count(1, 65_535).or(1_024);
        /// Load balancers that may say where a client comes from, by the PROXY protocol (version 1 or 2); others need not.
        proxy_protocol_networks: Vec<IpNet> = Networks.or(toml::Value::Array(Vec::new()));
        /// How long running statements and open transactions may go on when dauphin stops.
        drain_timeout: Duration = duration("0s", "1h").or("10s");
    }
}

impl Listen {
    pub(super) fn read(section: &Section<'_>) -> Option<Self> {
        let ListenOptions {
            address,
            max_connections,
            login_timeout,
            backlog,
            proxy_protocol_networks,
            drain_timeout,
        } = ListenOptions::read(section)?;
        Some(Self {
            addresses: address,
            max_connections,
            login_timeout,
            backlog,
            proxy_protocol_networks,
            drain_timeout,
        })
    }

    pub(super) fn options() -> Vec<KnownOption> {
        ListenOptions::options()
    }
}
