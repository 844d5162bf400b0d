//! dauphin in this process, over fake servers.

use std::{future::Future, sync::Arc, time::Duration};

use dauphin::{
    backend::Fleet,
    config::{Config, Secret, User},
    control::Control,
    failover,
    listener::Listener,
    routing::Published,
    session::Context,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Client, Dialect, FakeServer};

/// The longest that one test may take.
const LIMIT: Duration = Duration::from_secs(8);

/// Runs one test on a runtime of its own, bounded.
pub fn run(test: impl Future<Output = ()>) {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime
        .block_on(async { tokio::time::timeout(LIMIT, test).await.expect("the test ends within its limit") });
}

/// dauphin and its servers: one primary, and replicas.
pub struct House {
    /// The primary first.
    pub servers: Vec<FakeServer>,
    /// What the sessions share.
    pub context: Arc<Context>,
    /// Where dauphin listens.
    pub address: String,
}

const NAMES: [&str; 4] = ["db01", "db02", "db03", "db04"];

impl House {
    /// With so many replicas.
    pub async fn new(replicas: usize) -> Self {
        Self::with(replicas, |_| {}).await
    }

    /// With so many replicas and a config of its own.
    pub async fn with(replicas: usize, adjust: impl FnOnce(&mut Config)) -> Self {
        let mut servers = Vec::new();
        for (at, name) in NAMES[..=replicas].iter().enumerate() {
            servers.push(FakeServer::start(name, at > 0).await);
        }
        let addresses: Vec<_> = servers.iter().map(|server| server.address.as_str()).collect();
        let mut config = Config::for_tests(&addresses);
        // What a server was told to write is what the client wrote.
        config.monitor.heartbeat = None;
        config.users = vec![User { name: "app".into(), password: Secret::new("app"), consistency: None }];
        config.monitor.interval = Duration::from_millis(50);
        config.monitor.reconnect = Duration::from_millis(50);
        // Connections go back at once unless a test is about their staying.
        config.pool.linger = Duration::ZERO;
        adjust(&mut config);
        Self::open(servers, Arc::new(config)).await
    }

    async fn open(servers: Vec<FakeServer>, config: Arc<Config>) -> Self {
        let fleet = Arc::new(Fleet::new(&config).expect("a fleet"));
        let published = Arc::new(Published::default());
        let context = Context::new(config.clone(), fleet.clone(), published.clone()).expect("a context");
        let context = Arc::new(context);
        let own = context.own_account().clone();
        let mut changes = published.changes();
        let (control, requests) = Control::new();
        let parts = failover::Parts {
            fleet,
            published: published.clone(),
            control,
            requests,
            journal: Err("the servers are no real ones".to_owned()),
            settings: failover::Settings::new(&config, &own),
            stop: CancellationToken::default(),
        };
        let watched = config.clone();
        tokio::spawn(async move { failover::run(&watched, &own, parts).await });
        while published.load().term().is_none() {
            changes.changed().await.expect("the monitor publishes");
        }
        let listener = Listener::bind(&config.listen.addresses[0], 16).expect("a port is free");
        let address = listener.address();
        tokio::spawn(listener.run(context.clone(), TaskTracker::new(), CancellationToken::new()));
        Self { servers, context, address }
    }

    /// The server that takes writes.
    pub fn primary(&self) -> &FakeServer {
        &self.servers[0]
    }

    /// One that takes reads.
    pub fn replica(&self) -> &FakeServer {
        &self.servers[1]
    }

    /// A client that has logged in.
    pub async fn client(&self) -> Client {
        self.client_of(Dialect::New).await
    }

    /// A client that has logged in and speaks so.
    pub async fn client_of(&self, dialect: Dialect) -> Client {
        Client::log_in(&self.address, dialect).await.expect("the login succeeds")
    }

    /// How often all servers together heard a statement that begins with `text`.
    pub fn count(&self, text: &str) -> usize {
        self.servers.iter().map(|server| server.count(text)).sum()
    }
}
