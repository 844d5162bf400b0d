//! A stage for one story: a cluster, a dauphin and a schema of the story's own, and the servers' general logs as witnesses.

use std::{
    fmt,
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use dauphin_proto::CapabilityFlags;
use mysql_async::{Conn, OptsBuilder, prelude::Queryable as _};
use tokio::{runtime::Runtime, sync::OnceCell, time::timeout};

use super::{
    cluster::{Cluster, Flavour, NODES, options},
    dauphin::Dauphin,
    raw::Raw,
};

/// One runtime for all stories: clusters outlive each of them.
pub static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime starts")
});

static SHARED: [OnceCell<Cluster>; 2] = [const { OnceCell::const_new() }; 2];
/// For stories that kill servers or stop replication; one story at a time.
static APART: [OnceCell<Cluster>; 2] = [const { OnceCell::const_new() }; 2];
static APART_IN_USE: [tokio::sync::Mutex<()>; 2] = [const { tokio::sync::Mutex::const_new(()) }; 2];
static COUNT: AtomicU32 = AtomicU32::new(0);

/// No story takes longer, its turn on the cluster that others disturb aside.
const LONGEST: Duration = Duration::from_secs(240);

/// What a story plays on.
pub struct Stage {
    pub flavour: Flavour,
    pub cluster: &'static Cluster,
    pub dauphin: Dauphin,
    /// The story's own schema; it is on all servers.
    pub schema: String,
    number: u32,
    marks: u32,
    admins: [Option<Conn>; 3],
}

/// How often each server was sent something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ran(pub [usize; 3]);

impl Ran {
    pub fn on_primary(self) -> usize {
        self.0[0]
    }

    pub fn on_replicas(self) -> usize {
        self.0[1] + self.0[2]
    }

    #[track_caller]
    pub fn only_on_primary(self, times: usize) {
        assert_eq!(self, Self([times, 0, 0]), "times on db1 (the primary), db2 and db3");
    }

    /// A read that waits for its replica in vain runs there too, behind the wait and for nobody.
    #[track_caller]
    pub fn on_primary_after_waits(self, times: usize) {
        assert_eq!(self.on_primary(), times, "times on the primary: {self}");
        assert!(self.on_replicas() <= times, "in vain on replicas: {self}");
    }

    #[track_caller]
    pub fn only_on_replicas(self, times: usize) {
        assert_eq!(
            (self.on_primary(), self.on_replicas()),
            (0, times),
            "times on the primary and on replicas: {self}"
        );
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [db1, db2, db3] = self.0;
        write!(f, "db1 (primary) {db1}, db2 {db2}, db3 {db3}")
    }
}

/// Plays a story on MySQL and on MariaDB.
pub fn check(story: impl AsyncFn(&mut Stage) + Sync) {
    check_with("", story);
}

/// Plays it with options for dauphin, lines of config with dotted names.
pub fn check_with(options: &str, story: impl AsyncFn(&mut Stage) + Sync) {
    on_both(async |flavour| {
        let cluster = SHARED[flavour as usize].get_or_init(async || start(flavour, "shared").await).await;
        play(cluster, options, &story).await;
    });
}

/// Plays a story that harms its servers, where no other story sees it.
pub fn check_apart(options: &str, story: impl AsyncFn(&mut Stage) + Sync) {
    on_both(async |flavour| {
        let _turn = APART_IN_USE[flavour as usize].lock().await;
        let cluster = APART[flavour as usize].get_or_init(async || start(flavour, "apart").await).await;
        cluster.mend().await.expect("the cluster can be mended");
        cluster.forget_log().await.expect("the log can be emptied");
        play(cluster, options, &story).await;
    });
}

/// Plays a story that changes the primary, on servers of its own: where it fails, no other story finds them so.
#[allow(dead_code)] // not every test has such stories
pub fn check_own(name: &str, flavours: &[Flavour], options: &str, story: impl AsyncFn(&mut Stage) + Sync) {
    on_both(async |flavour| {
        if flavours.contains(&flavour) {
            let cluster = start(flavour, name).await;
            play_and_end(cluster, options, &story).await;
        }
    });
}

/// The same, on servers that know others by their addresses: containers' names mean nothing on this machine.
#[allow(dead_code)] // not every test has such stories
pub fn check_nameless(name: &str, options: &str, story: impl AsyncFn(&mut Stage) + Sync) {
    on_both(async |flavour| {
        let cluster = Cluster::start_with(flavour, name, &["--skip-name-resolve"]).await;
        let cluster = cluster.unwrap_or_else(|error| panic!("cluster of {}: {error:#}", flavour.name()));
        play_and_end(cluster, options, &story).await;
    });
}

/// Plays a story on three members of a replication group of MySQL's, which are its own.
pub fn check_group(options: &str, story: impl AsyncFn(&mut Stage) + Sync) {
    on_both(async |flavour| {
        if flavour == Flavour::MySql {
            let cluster = Cluster::start_group("group").await.unwrap_or_else(|error| panic!("{error:#}"));
            play_and_end(cluster, options, &story).await;
        }
    });
}

async fn start(flavour: Flavour, name: &str) -> Cluster {
    Cluster::start(flavour, name)
        .await
        .unwrap_or_else(|error| panic!("cluster of {}: {error:#}", flavour.name()))
}

/// Plays on servers that nobody needs afterwards: they would be in the way of other stories until all are played.
async fn play_and_end(cluster: Cluster, options: &str, story: &impl AsyncFn(&mut Stage)) {
    let cluster = Box::leak(Box::new(cluster));
    play(cluster, options, story).await;
    cluster.end().await;
}

async fn play(cluster: &'static Cluster, options: &str, story: &impl AsyncFn(&mut Stage)) {
    let mut stage = timeout(LONGEST, Stage::set(cluster, options)).await.expect("the stage is set in time");
    timeout(LONGEST, story(&mut stage))
        .await
        .unwrap_or_else(|_| panic!("the story has not ended within {LONGEST:?}"));
}

/// Each flavour on a thread of its own, named in what a failure prints.
fn on_both(play: impl AsyncFn(Flavour) + Sync) {
    let only = std::env::var("DAUPHIN_IT_FLAVOUR").ok();
    let flavours = [Flavour::MySql, Flavour::MariaDb];
    let failed: Vec<_> = std::thread::scope(|scope| {
        let play = &play;
        let running = flavours
            .into_iter()
            .filter(|flavour| only.as_ref().is_none_or(|only| only == flavour.name()))
            .map(|flavour| {
                let thread = std::thread::Builder::new().name(format!("the story on {}", flavour.name()));
                let thread = thread.spawn_scoped(scope, move || RUNTIME.block_on(play(flavour)));
                (flavour, thread.expect("a thread starts"))
            });
        let running: Vec<_> = running.collect();
        running.into_iter().filter_map(|(flavour, thread)| thread.join().err().map(|_| flavour)).collect()
    });
    assert!(failed.is_empty(), "failed on {failed:?}");
}

impl Stage {
    async fn set(cluster: &'static Cluster, options: &str) -> Self {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let schema = format!("app_{number}");
        let mut primary = cluster.primary().admin().await.expect("the primary answers");
        primary.query_drop(format!("CREATE DATABASE {schema}")).await.expect("a schema can be made");
        cluster.replicated().await.expect("replicas catch up");
        let dauphin = Dauphin::start(cluster, options).await;
        Self {
            flavour: cluster.flavour,
            cluster,
            dauphin,
            schema,
            number,
            marks: 0,
            admins: [Some(primary), None, None],
        }
    }

    pub fn is_mysql(&self) -> bool {
        self.flavour == Flavour::MySql
    }

    /// A word that occurs nowhere else: whatever carries it can be found in the servers' logs.
    pub fn mark(&mut self) -> String {
        self.marks += 1;
        format!("mark_{}_{}_", self.number, self.marks)
    }

    /// A client of dauphin's, logged in as `app`, in the story's schema.
    pub async fn client(&self) -> Conn {
        self.try_client(self.options("app", "app").db_name(Some(&self.schema)))
            .await
            .expect("app can log in through dauphin")
    }

    pub async fn try_client(&self, options: OptsBuilder) -> mysql_async::Result<Conn> {
        timeout(Duration::from_secs(20), Conn::new(options)).await.expect("a login ends within 20 s")
    }

    pub fn options(&self, user: &str, password: &str) -> OptsBuilder {
        options(self.dauphin.address.ip().to_string(), self.dauphin.address.port(), user, password)
    }

    /// A client that speaks the protocol byte by byte, logged in as `app`, in the story's schema.
    pub async fn raw(&self) -> Raw {
        Raw::connect(self.dauphin.address, "app", "app", Some(&self.schema))
            .await
            .expect("app can log in through dauphin")
    }

    /// The same with more capabilities.
    pub async fn raw_with(&self, more: CapabilityFlags) -> anyhow::Result<Raw> {
        Raw::connect_with(self.dauphin.address, "app", "app", Some(&self.schema), more).await
    }

    /// A connection to a server itself, with all privileges; 0 is the primary.
    pub async fn admin(&mut self, node: usize) -> &mut Conn {
        let admin = &mut self.admins[node];
        let is_usable = match admin {
            Some(connection) => connection.ping().await.is_ok(),
            None => false,
        };
        if !is_usable {
            *admin = Some(self.cluster.nodes[node].admin().await.expect("a server answers"));
        }
        admin.as_mut().expect("it was just opened")
    }

    /// Statements for the primary itself, separated by `;;`, which are on all servers then.
    pub async fn given(&mut self, statements: &str) {
        let schema = self.schema.clone();
        let primary = self.admin(0).await;
        primary.query_drop(format!("USE {schema}")).await.expect("the schema is there");
        for statement in statements.split(";;").map(str::trim).filter(|statement| !statement.is_empty()) {
            primary.query_drop(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
        self.cluster.replicated().await.expect("replicas catch up");
    }

    /// How often each server was sent a statement with this mark in it (preparing not counted).
    pub async fn ran(&mut self, mark: &str) -> Ran {
        let mut ran = Ran::default();
        for node in 0..NODES.len() {
            let query = format!(
                "SELECT COUNT(*) FROM mysql.general_log WHERE command_type IN ('Query', 'Execute') AND user_host LIKE '%@%[%.%' \
                 AND argument LIKE '%{mark}%'"
            );
            ran.0[node] = self
                .admin(node)
                .await
                .query_first(query)
                .await
                .expect("the log can be read")
                .expect("a count is a row");
        }
        ran
    }
}
