//! What all sessions share.

use std::{
    collections::{HashSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use dauphin_proto::{auth, connect::NONCE};
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::{
    accounts::Accounts,
    catch_up::{CatchUp, CatchUpError},
    freshness::Terms,
    global_variables::GlobalVariables,
    login,
    registry::Registry,
    writes::SharedWrites,
};
use crate::{
    backend::{
        Account, Fleet, Lease, Pool, Profile, Server, State, connect,
        exchange::{OWN_RESPONSE_LIMIT, Row},
        pool::Key,
        server::LeaseError,
    },
    catalogue::KnownCode,
    config::{Config, DefaultPlugin},
    error::{Answer, ClientError},
    metrics::Metrics,
    net::tls::{Acceptor, PasswordKey},
    routing::{Published, hold::Hold},
    sql::ClassificationCache,
    topology::Flavour,
};

/// Shared by all sessions; changed by none but through the types inside.
pub struct Context {
    /// The config.
    pub config: Arc<Config>,
    /// The servers.
    pub fleet: Arc<Fleet>,
    /// Who is primary and who takes reads.
    pub published: Arc<Published>,
    /// The statements that wait for a primary.
    pub hold: Hold,
    /// Who has proven a password.
    pub accounts: Accounts,
    /// TLS for clients, if they can have it.
    pub acceptor: Option<Acceptor>,
    /// What statements do.
    pub classifications: ClassificationCache,
    /// What the servers' stored code does.
    pub code: Arc<KnownCode>,
    /// Reads that a replica has refused as writes.
    pub misrouted: Misrouted,
    /// What sessions have written, for reads that must see other sessions' writes.
    pub writes: SharedWrites,
    pub(super) terms: Terms,
    pub(super) globals: GlobalVariables,
    /// What is counted.
    pub metrics: Metrics,
    /// All sessions, by the id that their clients know.
    pub sessions: Registry,
    drain_timeout_ms: AtomicU64,
    own_account: Arc<Account>,
    password_key: OnceCell<Arc<PasswordKey>>,
    hashes_readable: AtomicBool,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").finish_non_exhaustive()
    }
}

impl Context {
    /// A context over these servers.
    ///
    /// # Errors
    /// The certificate for clients cannot be used.
    pub fn new(config: Arc<Config>, fleet: Arc<Fleet>, published: Arc<Published>) -> anyhow::Result<Self> {
        let own = &config.account;
        Ok(Self {
            hold: Hold::new(config.routing.hold_max, config.routing.hold_timeout),
            accounts: Accounts::new(&config.users, config.auth.recheck, config.auth.cached_accounts),
            acceptor: crate::net::tls::acceptor(&config.tls.client)?,
            classifications: ClassificationCache::new(
                config.cache.classifications,
                config.cache.classification_bytes,
                config.cache.max_text,
            ),
            code: Arc::default(),
            misrouted: Misrouted::new(config.routing.digest_memory),
            writes: SharedWrites::new(config.cache.causal_tokens),
            terms: Terms::default(),
            globals: GlobalVariables::default(),
            metrics: Metrics::new(
                fleet.servers.capacity(),
                config.threads.data_threads(),
                config.admin.digests,
            ),
            sessions: Registry::new(config.listen.max_connections),
            drain_timeout_ms: AtomicU64::new(config.listen.drain_timeout.as_millis() as u64),
            own_account: Arc::new(Account::with_password(own.user.as_bytes(), own.password.reveal())),
            password_key: OnceCell::new(),
            hashes_readable: AtomicBool::new(true),
            config,
            fleet,
            published,
        })
    }

    /// dauphin's own account on the servers.
    pub fn own_account(&self) -> &Arc<Account> {
        &self.own_account
    }

    /// How long running statements and open transactions may go on when dauphin stops.
    pub fn drain_timeout(&self) -> Duration {
        Duration::from_millis(self.drain_timeout_ms.load(Ordering::Relaxed))
    }

    /// It is another one from now on.
    pub fn set_drain_timeout(&self, timeout: Duration) {
        self.drain_timeout_ms.store(timeout.as_millis() as u64, Ordering::Relaxed);
    }

    /// The version that clients are told: the lowest of the servers.
    pub fn version(&self) -> String {
        self.published
            .load()
            .version
            .as_ref()
            .map_or_else(|| "8.0.0".to_owned(), |version| version.text.clone())
    }

    /// Whose dialect the servers speak.
    pub fn flavour(&self) -> Flavour {
        self.published.load().version.as_ref().map_or(Flavour::MySql, |version| version.flavour)
    }

    /// The method to suggest to clients.
    pub fn default_plugin(&self) -> &'static str {
        match self.config.auth.default_plugin {
            DefaultPlugin::CachingSha2Password => auth::CACHING_SHA2,
            DefaultPlugin::MysqlNativePassword => auth::NATIVE,
            DefaultPlugin::Auto => {
                login::default_plugin(self.flavour(), self.hashes_readable.load(Ordering::Relaxed))
            }
        }
    }

    /// A new challenge: 20 random bytes without NUL, which old clients take for the end.
    pub fn nonce(&self) -> [u8; NONCE] {
        let mut nonce = [0; NONCE];
        aws_lc_rs::rand::fill(&mut nonce).expect("the system has randomness");
        nonce.map(|byte| (byte & 0x7f).max(1))
    }

    /// The RSA key for passwords, made when first asked for.
    pub async fn password_key(&self) -> Arc<PasswordKey> {
        let make = || async {
            let made = tokio::task::spawn_blocking(PasswordKey::generate)
                .await
                .expect("making a key does not panic");
            Arc::new(made.expect("the system has randomness"))
        };
        self.password_key.get_or_init(make).await.clone()
    }

    /// Logs in to a server with the account, newly; on success it is trusted and the connection kept for use.
    ///
    /// # Errors
    /// The server's refusal, or that no server can be reached.
    pub async fn prove(&self, account: &Arc<Account>, profile: Profile) -> Result<(), LeaseError> {
        let mut last = None;
        for server in self.servers_to_ask().await {
            match connect::connect(&server, account, profile).await {
                Ok(connection) => {
                    Pool::adopt(&server, Key { account: account.clone(), profile }, connection);
                    if let Some(old) = self.accounts.proven(account) {
                        self.purge(&old);
                    }
                    return Ok(());
                }
                Err(error) if error.is_unreachable() => {
                    server.suspect(&error.to_string());
                    last = Some(error);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(last.unwrap_or_else(|| std::io::Error::other("no server is in rotation").into()).into())
    }

    /// The account proves nothing any more: nobody gets one of its connections.
    pub fn forget(&self, account: &Account) {
        self.accounts.refused(account);
        self.purge(account);
    }

    fn purge(&self, account: &Account) {
        self.fleet.servers.iter().for_each(|server| server.pool.purge(account));
    }

    /// The primary first, then the replicas, those that fail last. While none is known to answer, a primary is waited for.
    async fn servers_to_ask(&self) -> Vec<Arc<Server>> {
        let servers = self.servers_in_rotation();
        if servers.iter().any(|server| !server.is_suspect()) {
            return servers;
        }
        // Whoever asks says why there is none.
        let _ = self.hold.primary(&self.published).await;
        self.servers_in_rotation()
    }

    fn servers_in_rotation(&self) -> Vec<Arc<Server>> {
        let table = self.published.load();
        let mut servers: Vec<_> = table.term().map(|term| term.server.clone()).into_iter().collect();
        servers.extend(table.replicas.servers().iter().cloned());
        servers.sort_by_key(|server| server.is_suspect());
        servers
    }

    /// Brings some connection of the account's to `wanted` and gives it back.
    ///
    /// # Errors
    /// What the client is to be told: the server's error, or that no server can be reached.
    pub async fn any_connection(
        &self,
        account: &Arc<Account>,
        profile: Profile,
        wanted: &Arc<State>,
    ) -> Result<(), Answer> {
        let mut last = "no server is in rotation".to_owned();
        for server in self.servers_to_ask().await {
            match Self::bring_to(&server, account, profile, wanted).await {
                Ok(()) => return Ok(()),
                Err(Reached::No(cause)) => last = cause,
                Err(Reached::Refused(answer)) => return Err(answer),
            }
        }
        Err(ClientError::no_server(last).into())
    }

    async fn bring_to(
        server: &Arc<Server>,
        account: &Arc<Account>,
        profile: Profile,
        wanted: &Arc<State>,
    ) -> Result<(), Reached> {
        let mut lease = server.lease(account, profile, wanted).await?;
        let catch_up = CatchUp::new(lease.connection(), wanted);
        if !catch_up.is_empty() {
            let mut exchange = lease.send(&catch_up.bytes).await.map_err(Reached::no)?;
            catch_up.answers(&mut exchange).await?;
            lease = exchange.finish().map_err(Reached::no)?;
        }
        lease.release();
        Ok(())
    }

    /// Opens the connection for a session whose account's password has expired, to the primary and in this schema; `None` if
    /// it has been changed meanwhile. It is of an account of its own, so that its place in the pool is nobody else's, and
    /// the next login asks a server again.
    ///
    /// # Errors
    /// What the client is to be told.
    pub async fn bind_expired(
        &self,
        account: &Account,
        profile: Profile,
        schema: Option<&[u8]>,
    ) -> Result<(Arc<Account>, Option<Lease>), Answer> {
        self.accounts.refused(account);
        let account = Arc::new(Account::new(&account.user, account.proof.clone()));
        let lease = self.lease_expired(&account, profile, schema).await?;
        if lease.is_expired() {
            return Ok((account, Some(lease)));
        }
        lease.release();
        Ok((account, None))
    }

    async fn lease_expired(
        &self,
        account: &Arc<Account>,
        profile: Profile,
        schema: Option<&[u8]>,
    ) -> Result<Lease, Answer> {
        loop {
            let held = self.hold.primary(&self.published).await;
            let term = held.map_err(ClientError::no_server)?;
            let leased = term.server.lease_expired(account, profile, schema).await;
            let mut lease = leased.map_err(|error| match Reached::from(error) {
                Reached::Refused(answer) => answer,
                Reached::No(cause) => ClientError::no_server(cause).into(),
            })?;
            lease.lent_for_writes(true);
            // Counted first and looked second: whoever ends the term counts after it has said so.
            if self.published.serves(&term) {
                return Ok(lease);
            }
        }
    }

    /// The hashes of the user's accounts that use `mysql_native_password`, as the servers store them; none if dauphin
    /// may not read them.
    pub async fn native_hashes(&self, user: &[u8]) -> Vec<[u8; 20]> {
        let native = "plugin IN ('mysql_native_password','')";
        let rows = self.of_accounts(user, "authentication_string", native).await;
        let first = rows.iter().filter_map(|row| row.first()?.as_deref());
        first.filter_map(auth::parse_native_stored).collect()
    }

    /// Whether all of the user's accounts use `sha256_password`, as far as dauphin may know.
    pub async fn uses_sha256(&self, user: &[u8]) -> bool {
        let rows = self.of_accounts(user, "plugin", "TRUE").await;
        let is_sha256 = |row: &Row| row.first() == Some(&Some(auth::SHA256.as_bytes().to_vec()));
        !rows.is_empty() && rows.iter().all(is_sha256)
    }

    /// What the servers have stored of the user's accounts; nothing if dauphin may not read it.
    async fn of_accounts(&self, user: &[u8], column: &str, condition: &str) -> Vec<Row> {
        let hex: String = user.iter().map(|byte| format!("{byte:02x}")).collect();
        let query = format!(
            "SELECT {column} FROM mysql.user WHERE user = CONVERT(X'{hex}' USING utf8mb4) AND {condition}"
        );
        if user.len() * 2 > OWN_RESPONSE_LIMIT {
            return Vec::new();
        }
        for server in self.servers_to_ask().await {
            match self.ask(&server, &query).await {
                Ok(rows) => return rows,
                Err(Asked::NotAllowed) => {
                    if self.hashes_readable.swap(false, Ordering::Relaxed) {
                        tracing::info!(
                            "dauphin's account may not read mysql.user: clients of mysql_native_password accounts are \
                             asked for the password itself (`dauphin grants` prints the privilege)"
                        );
                    }
                    return Vec::new();
                }
                Err(Asked::NoAnswer) => {}
            }
        }
        Vec::new()
    }

    async fn ask(&self, server: &Arc<Server>, query: &str) -> Result<Vec<Row>, Asked> {
        self.ask_server(server, &self.own_account, Profile::own(), query).await
    }

    /// Asks a server on a connection of the account's, the primary first; `None` if none answers with rows.
    pub async fn ask_as(&self, account: &Arc<Account>, profile: Profile, query: &str) -> Option<Vec<Row>> {
        for server in self.servers_in_rotation() {
            match self.ask_server(&server, account, profile, query).await {
                Ok(rows) => return Some(rows),
                Err(Asked::NotAllowed) => return None,
                Err(Asked::NoAnswer) => {}
            }
        }
        None
    }

    async fn ask_server(
        &self,
        server: &Arc<Server>,
        account: &Arc<Account>,
        profile: Profile,
        query: &str,
    ) -> Result<Vec<Row>, Asked> {
        let fresh = Arc::default();
        let lease = server.lease(account, profile, &fresh).await.map_err(|_| Asked::NoAnswer)?;
        let mut bytes = Vec::new();
        lease.queries().put(&mut bytes, query.as_bytes());
        let mut exchange = lease.send(&bytes).await.map_err(|_| Asked::NoAnswer)?;
        let answer = exchange
            .own_response(dauphin_proto::response::Shape::Query)
            .await
            .map_err(|_| Asked::NoAnswer)?;
        exchange.finish().map_err(|_| Asked::NoAnswer)?.release();
        if answer.error.is_some() { Err(Asked::NotAllowed) } else { Ok(answer.rows) }
    }
}

enum Asked {
    NotAllowed,
    NoAnswer,
}

/// Whether a server could be reached at all.
enum Reached {
    No(String),
    Refused(Answer),
}

impl Reached {
    fn no(cause: impl ToString) -> Self {
        Self::No(cause.to_string())
    }
}

impl From<LeaseError> for Reached {
    fn from(error: LeaseError) -> Self {
        match error {
            LeaseError::Connect(connect::ConnectError::Refused(refused)) if refused.code != 1053 => {
                Self::Refused(refused.into())
            }
            other => Self::No(other.to_string()),
        }
    }
}

impl From<CatchUpError> for Reached {
    fn from(error: CatchUpError) -> Self {
        match error {
            CatchUpError::Refused(refused) => Self::Refused(refused.into()),
            other => Self::No(other.to_string()),
        }
    }
}

/// Digests of statements that looked like reads and that a replica refused; bounded, the oldest goes first.
#[derive(Debug)]
pub struct Misrouted {
    known: Mutex<(HashSet<u64>, VecDeque<u64>)>,
    any: AtomicBool,
    most: usize,
}

impl Misrouted {
    fn new(most: usize) -> Self {
        Self { known: Mutex::default(), any: AtomicBool::new(false), most }
    }

    /// Whether a replica has refused a statement like this.
    pub fn contains(&self, digest: u64) -> bool {
        self.any.load(Ordering::Relaxed) && self.known.lock().0.contains(&digest)
    }

    /// Remembers it.
    pub fn insert(&self, digest: u64) {
        if self.most == 0 {
            return;
        }
        let mut known = self.known.lock();
        let (set, order) = &mut *known;
        if set.insert(digest) {
            order.push_back(digest);
            if order.len() > self.most {
                order.pop_front().map(|oldest| set.remove(&oldest));
            }
        }
        self.any.store(true, Ordering::Relaxed);
    }
}
