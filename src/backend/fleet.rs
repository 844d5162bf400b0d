//! All servers, and the housekeeping of their pools.

use std::{
    ops::Index,
    sync::{Arc, OnceLock},
    time::Duration,
};

use super::{
    connection_attributes::AttributeSets,
    pool::{Limits, Pool},
    prepared::Sources,
    server::{Server, ServerId},
    tls::Tls,
};
use crate::config::{self, Config};

/// All servers, and what their connections share.
#[derive(Debug)]
pub struct Fleet {
    /// The config's in its order, then those that were discovered; a server's id is its index.
    pub servers: Servers,
    /// What is prepared, for all connections of all servers.
    pub sources: Sources,
    /// What clients say of themselves, for the logins of all connections.
    pub attributes: Arc<AttributeSets>,
    limits: Limits,
    tls: Tls,
    connect_timeout: Duration,
    compression: config::Compression,
}

/// How many servers may be discovered beside those of the config.
pub const MOST_DISCOVERED: usize = 32;

/// A list that servers are added to and never taken from, so that an index stays what it is. Readers never wait.
#[derive(Debug)]
pub struct Servers(Box<[OnceLock<Arc<Server>>]>);

impl Servers {
    fn new(capacity: usize) -> Self {
        Self((0..capacity).map(|_| OnceLock::new()).collect())
    }

    /// How many there can ever be.
    pub fn capacity(&self) -> usize {
        self.0.len()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The server of this index, if there is one.
    pub fn get(&self, at: usize) -> Option<&Arc<Server>> {
        self.0.get(at)?.get()
    }

    /// All, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Server>> {
        self.0.iter().map_while(OnceLock::get)
    }
}

impl Index<usize> for Servers {
    type Output = Arc<Server>;

    /// Panics if there is no such server: an index is only ever had from the list.
    fn index(&self, at: usize) -> &Arc<Server> {
        self.get(at).expect("the index of a server")
    }
}

/// How often idle connections are looked through.
const TIDY_EVERY: Duration = Duration::from_secs(1);

impl Fleet {
    /// The config's servers, with empty pools, and room for those that are discovered.
    ///
    /// # Errors
    /// The CA file for TLS towards servers cannot be used.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        let discovered = if config.monitor.discover.is_some() { MOST_DISCOVERED } else { 0 };
        let fleet = Self {
            servers: Servers::new(config.servers.len() + discovered),
            sources: Sources::default(),
            attributes: Arc::default(),
            limits: Limits {
                per_server: config.pool.max_connections_per_server,
                per_user: config.pool.max_connections_per_user,
                waiting: config.pool.max_waiting,
                wait_timeout: config.pool.wait_timeout,
                idle_timeout: config.pool.idle_timeout,
                max_age: config.pool.max_age,
            },
            tls: Tls::new(&config.tls.server)?,
            connect_timeout: config.pool.connect_timeout,
            compression: config.pool.compression,
        };
        for server in &config.servers {
            fleet.add(server);
        }
        Ok(fleet)
    }

    /// Adds a server; its index, or `None` if there is no room left.
    pub fn add(&self, server: &config::Server) -> Option<usize> {
        self.servers.0.iter().enumerate().find_map(|(at, slot)| {
            let is_free = slot.get().is_none();
            (is_free && slot.set(Arc::new(self.server(ServerId(at), server))).is_ok()).then_some(at)
        })
    }

    /// One that is not of the fleet, to look at.
    pub fn stranger(&self, server: &config::Server) -> Server {
        self.server(ServerId(usize::MAX), server)
    }

    fn server(&self, id: ServerId, server: &config::Server) -> Server {
        let limits = Limits { per_server: server.max_connections, ..self.limits.clone() };
        let compression = server.compression.unwrap_or(self.compression);
        let (pool, tls, attributes) = (Pool::new(limits), self.tls.clone(), self.attributes.clone());
        Server::new(id, server, pool, tls, self.connect_timeout, compression, attributes)
    }

    /// Keeps the pools tidy, for ever. Cancel safe.
    pub async fn keep_tidy(&self) {
        let mut ticks = tokio::time::interval(TIDY_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            for server in self.servers.iter() {
                for mut lease in Pool::tidy(server, &self.sources) {
                    let mut closes = Vec::new();
                    lease.connection().prepared.put_closes(&mut closes);
                    if let Ok(exchange) = lease.send(&closes).await
                        && let Ok(lease) = exchange.finish()
                    {
                        lease.release();
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn servers_are_added_while_there_is_room_and_keep_their_place() {
        let fleet = Fleet::new(&Config::for_tests(&["db1:3306", "db2:3306"])).unwrap();
        let first = fleet.servers[0].clone();
        let discovered = |n: usize| config::Server::discovered(format!("found{n}:3306").parse().unwrap(), 7);
        for n in 0..MOST_DISCOVERED {
            assert_eq!(fleet.add(&discovered(n)), Some(2 + n));
        }
        assert_eq!(fleet.add(&discovered(99)), None, "there is no room left");
        assert_eq!(fleet.servers.len(), 2 + MOST_DISCOVERED);
        assert!(Arc::ptr_eq(&first, &fleet.servers[0]));
        let last = fleet.servers.iter().last().unwrap();
        assert_eq!((last.id.0, last.name.as_str()), (1 + MOST_DISCOVERED, "found31:3306"));
    }
}
