//! `servers` or `[[servers]]`: the MySQL or MariaDB servers behind dauphin.

use std::collections::HashSet;

use super::address::ServerAddress;
use super::kind::{ServerAddressKind, count, text};
use super::options::{Absent, KnownOption, Settable, options};
use super::pool::{Compression, Pool, compression};
use super::section::Section;
use super::written::{Written, quoted};

/// One server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// The name in logs, metrics and commands; unlike any other server's.
    pub name: String,
    /// Where it is; unlike any other server's.
    pub address: ServerAddress,
    /// Its share of the reads: twice the weight, twice the reads; 0 takes none.
    pub weight: u32,
    /// The most connections dauphin opens to it: its own limit, or the pool's.
    pub max_connections: usize,
    /// Where it stands, such as a data centre.
    pub zone: Option<String>,
    /// Of equally good candidates the highest is promoted; 0 never is.
    pub priority: u32,
    /// Where other servers reach it, if not at `address`.
    pub replication_address: Option<ServerAddress>,
    /// How connections to it are compressed; without a word of it, as the pool says.
    pub compression: Option<Compression>,
}

const DEFAULT_WEIGHT: u32 = 100;
const DEFAULT_PRIORITY: u32 = 100;

options! {
    /// One server as written.
    struct ServerOptions {
        /// The name that logs, metrics and commands use; without one, the address.
        name: Option<String> = text(255).optional();
        /// Where the server is.
        address: ServerAddress = ServerAddressKind.required(r#""db1:3306""#);
        /// Its share of the reads: twice the weight, twice the reads; 0 takes none.
        weight: u32 = count(0, 1_000).or(DEFAULT_WEIGHT);
        /// The most connections dauphin opens to it; without one, [pool] max_connections_per_server.
        max_connections: Option<usize> = count(1, 100_000).optional();
        /// Where it stands, such as a data centre; shown in logs and metrics.
        zone: Option<String> = text(64).optional();
        /// Of the replicas that are equally far, the one of the highest priority is promoted; 0 never is.
        priority: u32 = count(0, 1_000).or(DEFAULT_PRIORITY);
        /// Where the other servers reach it when they replicate from it; without one, at its address.
        replication_address: Option<ServerAddress> = ServerAddressKind.optional();
        /// Whether connections to it are compressed, and how; without a word of it, as [pool] compression says.
        compression: Option<Compression> = compression().optional();
    }
}

const HEADING: &str = "[[servers]]";
const REMEDY: &str = r#"write for example servers = ["db1:3306", "db2:3306"]"#;

impl Server {
    /// Every server of the file, at least one, no two alike.
    pub(super) fn read_all(root: &Section<'_>, pool: Option<&Pool>) -> Option<Vec<Self>> {
        let Some(written) = root.get("servers") else {
            root.lacks("servers", "is missing", REMEDY);
            return None;
        };
        let Some(members) = written.members() else {
            return written.not_a("a list of servers", REMEDY);
        };
        if members.is_empty() {
            return written.wrong("is empty", REMEDY);
        }
        let servers: Vec<_> = members.iter().map(ServerOptions::read_one).collect();
        report_twins(&members);
        let limit = pool?.max_connections_per_server;
        servers.into_iter().map(|server| Some(server?.into_server(limit))).collect()
    }

    /// The list itself, as `servers` names it.
    pub(super) fn list() -> KnownOption {
        let doc = "The servers behind dauphin: their addresses, or a [[servers]] section for each.";
        KnownOption::new("servers", doc, "at least one".to_owned(), Absent::Required)
    }

    pub(super) fn options() -> Vec<KnownOption> {
        ServerOptions::options()
    }
}

impl Server {
    /// One that is in no file: it was found at this address, which is its name, and takes this many connections.
    pub fn discovered(address: ServerAddress, max_connections: usize) -> Self {
        ServerOptions::at(address).into_server(max_connections)
    }
}

impl ServerOptions {
    /// A server is an address, or a table that holds one.
    fn read_one(written: &Written<'_>) -> Option<Self> {
        if let Some(section) = written.section(HEADING) {
            return Self::read(&section);
        }
        super::kind::Kind::read(&ServerAddressKind, written).map(Self::at)
    }

    /// One of which nothing is said but where it is.
    const fn at(address: ServerAddress) -> Self {
        Self {
            name: None,
            address,
            weight: DEFAULT_WEIGHT,
            max_connections: None,
            zone: None,
            priority: DEFAULT_PRIORITY,
            replication_address: None,
            compression: None,
        }
    }

    fn into_server(self, limit: usize) -> Server {
        Server {
            name: self.name.unwrap_or_else(|| self.address.to_string()),
            address: self.address,
            weight: self.weight,
            max_connections: self.max_connections.unwrap_or(limit),
            zone: self.zone,
            priority: self.priority,
            replication_address: self.replication_address,
            compression: self.compression,
        }
    }
}

/// Compares the servers as written, so that one mistake in a server does not hide another.
fn report_twins(members: &[Written<'_>]) {
    let (mut names, mut addresses) = (HashSet::new(), HashSet::new());
    for member in members {
        let section = member.section(HEADING);
        let text = |key| section.as_ref().and_then(|section| section.get(key)?.text());
        let address: Option<ServerAddress> =
            text("address").or(member.text()).and_then(|text| text.parse().ok());
        let name = text("name").map(str::to_owned).or(address.as_ref().map(ServerAddress::to_string));
        if let Some(twin) = address.filter(|address| !addresses.insert(address.clone())) {
            member.wrong::<()>(format!("{twin} is named twice"), "keep one of the two");
        } else if let Some(twin) = name.filter(|name| !names.insert(name.clone())) {
            member.wrong::<()>(
                format!("two servers have the name {}", quoted(&twin)),
                "give each its own name",
            );
        }
    }
}
