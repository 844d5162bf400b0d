//! All servers, and the housekeeping of their pools.

use std::{sync::Arc, time::Duration};

use super::{
    pool::{Limits, Pool},
    prepared::Sources,
    server::{Server, ServerId},
    tls::Tls,
};
use crate::config::Config;

/// The servers of the config, and what their connections share.
#[derive(Debug)]
pub struct Fleet {
    /// In the config's order; a server's id is its index.
    pub servers: Vec<Arc<Server>>,
    /// What is prepared, for all connections of all servers.
    pub sources: Sources,
}

/// How often idle connections are looked through.
const TIDY_EVERY: Duration = Duration::from_secs(1);

impl Fleet {
    /// The config's servers, with empty pools.
    ///
    /// # Errors
    /// The CA file for TLS towards servers cannot be used.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        let tls = Tls::new(&config.tls.server)?;
        let servers = config.servers.iter().enumerate().map(|(index, server)| {
            let limits = Limits {
                per_server: server.max_connections,
                per_user: config.pool.max_connections_per_user,
                waiting: config.pool.max_waiting,
                wait_timeout: config.pool.wait_timeout,
                idle_timeout: config.pool.idle_timeout,
                max_age: config.pool.max_age,
            };
            let pool = Pool::new(limits);
            Arc::new(Server::new(ServerId(index), server, pool, tls.clone(), config.pool.connect_timeout))
        });
        Ok(Self { servers: servers.collect(), sources: Sources::default() })
    }

    /// Keeps the pools tidy, for ever. Cancel safe.
    pub async fn keep_tidy(&self) {
        let mut ticks = tokio::time::interval(TIDY_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            for server in &self.servers {
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
