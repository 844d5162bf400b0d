//! Real servers: one primary and two replicas in Docker, replicating by GTID.

use std::{net::IpAddr, path::Path, process::Command, sync::RwLock, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use mysql_async::{Conn, OptsBuilder, prelude::Queryable as _};
use testcontainers::{
    ContainerAsync, ContainerRequest, GenericImage, ImageExt as _,
    core::{AccessMode, Mount, WaitFor},
    runners::AsyncRunner as _,
};
use tokio::time::{Instant, sleep, timeout};

use super::reaper;

/// Whose servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// MySQL.
    MySql,
    /// MariaDB.
    MariaDb,
}

impl Flavour {
    pub fn name(self) -> &'static str {
        match self {
            Self::MySql => "mysql",
            Self::MariaDb => "mariadb",
        }
    }

    /// The image of its servers, which has its client too.
    pub fn image(self) -> String {
        let (variable, default) = match self {
            Self::MySql => ("DAUPHIN_MYSQL_IMAGE", "dauphin-test/mysql:9.7"),
            Self::MariaDb => ("DAUPHIN_MARIADB_IMAGE", "dauphin-test/mariadb:11.8"),
        };
        std::env::var(variable).unwrap_or_else(|_| default.to_owned())
    }
}

/// A server.
pub struct Node {
    pub name: &'static str,
    /// Docker may give a container another one when it starts again.
    address: RwLock<IpAddr>,
    flavour: Flavour,
    /// Its name for other containers.
    host: String,
    container: ContainerAsync<GenericImage>,
}

/// db1, the primary, and db2 and db3, its replicas.
pub struct Cluster {
    pub flavour: Flavour,
    pub nodes: [Node; 3],
}

pub const NODES: [&str; 3] = ["db1", "db2", "db3"];

impl Node {
    /// A connection with all privileges whose statements are not in the general log.
    pub async fn admin(&self) -> Result<Conn> {
        let mut connection = Conn::new(self.options("admin", "admin"))
            .await
            .with_context(|| format!("admin at {}", self.name))?;
        connection.query_drop("SET SESSION sql_log_off = 1").await?;
        Ok(connection)
    }

    pub fn options(&self, user: &str, password: &str) -> OptsBuilder {
        options(self.address().to_string(), 3306, user, password)
    }

    pub fn address(&self) -> IpAddr {
        *self.address.read().expect("nothing panics in here")
    }

    /// As a crash would end it.
    pub fn kill(&self) {
        let killed =
            Command::new("docker").args(["kill", self.container.id()]).output().expect("docker starts");
        assert!(killed.status.success(), "{killed:?}");
    }

    /// Waits until its container has ended by itself.
    #[allow(dead_code)] // few tests have a server end itself
    pub async fn ended(&self) {
        let wait = tokio::process::Command::new("docker").args(["wait", self.container.id()]).output();
        let ended = timeout(Duration::from_secs(60), wait).await.expect("it ends").expect("docker starts");
        assert!(ended.status.success(), "{ended:?}");
    }

    /// Its processes stand still, or go on.
    #[allow(dead_code)] // not every test has a server hang
    pub fn stand_still(&self, still: bool) {
        let word = if still { "pause" } else { "unpause" };
        let done = Command::new("docker").args([word, self.container.id()]).output().expect("docker starts");
        assert!(done.status.success(), "{done:?}");
    }

    /// As an operator would end it.
    pub async fn stop(&self) {
        self.container.stop().await.expect("Docker stops a container");
    }

    /// Starts it if it does not run, and has it log what it is asked again.
    pub async fn start(&self) {
        if self.container.is_running().await.unwrap_or(false) {
            return;
        }
        self.start_unlogged().await;
        // A dauphin that sees a former primary come back cuts its clients off.
        let mut tries = 5;
        while let Err(error) = log_everything(self, self.flavour).await {
            tries -= 1;
            assert!(tries > 0, "the general log cannot be used: {error:#}");
            sleep(Duration::from_millis(500)).await;
        }
    }

    /// Starts it, and leaves the log of what it is asked off: a dauphin may cut off whoever comes there first.
    pub async fn start_unlogged(&self) {
        self.container.start().await.expect("Docker starts a container");
        let address =
            self.container.get_bridge_ip_address().await.expect("a running container has an address");
        *self.address.write().expect("nothing panics in here") = address;
        first_answer(self).await.expect("the server answers");
    }
}

/// How these tests connect: nothing is asked of the server that the test did not write.
pub fn options(host: String, port: u16, user: &str, password: &str) -> OptsBuilder {
    OptsBuilder::default()
        .ip_or_hostname(host)
        .tcp_port(port)
        .user(Some(user))
        .pass(Some(password))
        .prefer_socket(false)
        .max_allowed_packet(Some(64 << 20))
        .wait_timeout(Some(28_800))
}

impl Cluster {
    /// Starts one; `name` tells it from others of the flavour.
    pub async fn start(flavour: Flavour, name: &str) -> Result<Self> {
        Self::start_with(flavour, name, &[]).await
    }

    /// Starts one whose servers have these options, too.
    pub async fn start_with(flavour: Flavour, name: &str, more: &[&str]) -> Result<Self> {
        let cluster = Self::of_nodes(flavour, name, ["primary", "replica", "replica"], |host| {
            // Its name for people: no other container knows it by that.
            let name = host.rsplit('-').next().unwrap_or(host);
            let more = more.iter().map(|option| (*option).to_owned());
            [format!("--report-host={name}")].into_iter().chain(more).collect()
        });
        let cluster = cluster.await?;
        cluster.set_up().await?;
        Ok(cluster)
    }

    /// Three members of a replication group, of which db1 is the primary.
    pub async fn start_group(name: &str) -> Result<Self> {
        let cluster = Self::of_nodes(Flavour::MySql, name, ["group"; 3], |host| {
            let network = host.trim_end_matches(|last| last != '-');
            vec![
                format!("--report-host={host}"),
                format!("--loose-group-replication-local-address={host}:33061"),
                format!(
                    "--loose-group-replication-group-seeds={}",
                    NODES.map(|name| format!("{network}{name}:33061")).join(",")
                ),
            ]
        });
        let cluster = cluster.await?;
        let [first, others @ ..] = &cluster.nodes;
        root(first, BEGIN_GROUP).await.context("beginning a group")?;
        takes_writes(first).await?;
        root(first, accounts(Flavour::MySql)).await.context("accounts")?;
        root(first, "GRANT GROUP_REPLICATION_ADMIN ON *.* TO dauphin@'%'").await?;
        for node in others {
            cluster.join(node).await?;
        }
        cluster.replicated().await?;
        for node in &cluster.nodes {
            log_everything(node, Flavour::MySql).await?;
        }
        Ok(cluster)
    }

    /// Lets a server join the replication group, which returns when it has begun to.
    pub async fn join(&self, node: &Node) -> Result<()> {
        root(node, JOIN_GROUP).await.with_context(|| format!("{} joins the group", node.name))
    }

    async fn of_nodes(
        flavour: Flavour,
        name: &str,
        roles: [&str; 3],
        arguments: impl Fn(&str) -> Vec<String>,
    ) -> Result<Self> {
        let network = format!("{}-{}-{name}-{}", *reaper::LABEL, std::process::id(), flavour.name());
        let start = |number: usize| {
            let host = format!("{network}-{}", NODES[number - 1]);
            let mut all = vec![format!("--server-id={number}")];
            all.extend(arguments(&host));
            let (network, role) = (network.clone(), roles[number - 1]);
            async move { node(flavour, &network, number, role, all).await }
        };
        let (db1, db2, db3) = tokio::try_join!(start(1), start(2), start(3))?;
        let cluster = Self { flavour, nodes: [db1, db2, db3] };
        let [db1, db2, db3] = &cluster.nodes;
        tokio::try_join!(first_answer(db1), first_answer(db2), first_answer(db3))?;
        Ok(cluster)
    }

    /// Ends its servers, those that run.
    #[allow(dead_code)] // most clusters live as long as their test program
    pub async fn end(&self) {
        for node in &self.nodes {
            if node.container.is_running().await.unwrap_or(false) {
                node.kill();
            }
        }
    }

    pub fn primary(&self) -> &Node {
        &self.nodes[0]
    }

    async fn set_up(&self) -> Result<()> {
        root(self.primary(), accounts(self.flavour)).await.context("accounts")?;
        for node in &self.nodes[1..] {
            root(node, &replication(self.flavour, &self.primary().host))
                .await
                .with_context(|| format!("replication on {}", node.name))?;
        }
        self.replicated().await?;
        for node in &self.nodes {
            log_everything(node, self.flavour).await?;
        }
        Ok(())
    }

    /// Waits until both replicas have all that the primary has.
    pub async fn replicated(&self) -> Result<()> {
        let (position, wait) = match self.flavour {
            Flavour::MySql => ("SELECT @@GLOBAL.gtid_executed", "SELECT WAIT_FOR_EXECUTED_GTID_SET(?, 30)"),
            Flavour::MariaDb => ("SELECT @@GLOBAL.gtid_binlog_pos", "SELECT MASTER_GTID_WAIT(?, 30)"),
        };
        let mut primary = self.primary().admin().await?;
        let position: String = primary.query_first(position).await?.context("a position")?;
        // Accounts reach a replica by replication: at first only root is there.
        for node in &self.nodes[1..] {
            let mut replica = Conn::new(node.options("root", "root")).await?;
            replica.query_drop("SET SESSION sql_log_off = 1").await?;
            let timed_out: Option<i64> = replica.exec_first(wait, (&position,)).await?;
            ensure!(timed_out == Some(0), "{} has not applied {position} within 30 s", node.name);
        }
        Ok(())
    }

    /// Empties the primary's general log, in which stories look for their statements: long ones of other stories make that
    /// take seconds.
    pub async fn forget_log(&self) -> Result<()> {
        let mut admin = self.primary().admin().await?;
        admin.query_drop("SET SESSION sql_log_bin = OFF").await?;
        admin.query_drop("TRUNCATE TABLE mysql.general_log").await?;
        Ok(admin.disconnect().await?)
    }

    /// All servers run and replicate, whatever an earlier story did to them.
    pub async fn mend(&self) -> Result<()> {
        for node in &self.nodes {
            node.start().await;
        }
        self.primary().admin().await?.query_drop("SET GLOBAL read_only = OFF").await?;
        for node in &self.nodes[1..] {
            let mut replica = node.admin().await?;
            let undelayed = match self.flavour {
                Flavour::MySql => "CHANGE REPLICATION SOURCE TO SOURCE_DELAY = 0",
                Flavour::MariaDb => "CHANGE MASTER TO MASTER_DELAY = 0",
            };
            for statement in ["STOP REPLICA", undelayed, "START REPLICA"] {
                replica
                    .query_drop(statement)
                    .await
                    .with_context(|| format!("{statement} on {}", node.name))?;
            }
        }
        timeout(Duration::from_secs(60), self.replicated()).await.context("replicas catch up within 60 s")?
    }
}

async fn node(
    flavour: Flavour,
    network: &str,
    number: usize,
    role: &str,
    arguments: Vec<String>,
) -> Result<Node> {
    let name = NODES[number - 1];
    let (image, host) = (flavour.image(), format!("{network}-{name}"));
    let (repository, tag) = image.rsplit_once(':').context("an image's name has a tag")?;
    let config = |file: &str, order: u8| {
        let host = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("config")
            .join(flavour.name())
            .join(format!("{file}.cnf"));
        let inside = format!("/etc/mysql/conf.d/{order}-{file}.cnf");
        Mount::bind_mount(host.display().to_string(), inside).with_access_mode(AccessMode::ReadOnly)
    };
    let request: ContainerRequest<GenericImage> = GenericImage::new(repository, tag)
        .with_wait_for(WaitFor::Nothing)
        .with_cmd(arguments)
        .with_network(network)
        .with_container_name(&host)
        .with_label(reaper::LABEL.as_str(), std::process::id().to_string())
        .with_env_var("MYSQL_ROOT_PASSWORD", "root")
        .with_env_var("MARIADB_ROOT_PASSWORD", "root")
        .with_env_var("MYSQL_ROOT_HOST", "%")
        .with_mount(config("common", 10))
        .with_mount(config(role, 20))
        .with_mount(config("test-fast", 30))
        .with_host_config_modifier(|host| host.publish_all_ports = Some(false));
    let container = request
        .start()
        .await
        .with_context(|| format!("starting {name} of {image} (scripts/image makes the image)"))?;
    let address = container.get_bridge_ip_address().await?;
    Ok(Node { name, address: RwLock::new(address), flavour, host, container })
}

async fn first_answer(node: &Node) -> Result<()> {
    let start = Instant::now();
    while let Err(error) = root(node, "DO 1").await {
        if start.elapsed() > Duration::from_secs(120) {
            bail!("{} has not answered within 120 s: {error:#}", node.name);
        }
        sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

/// MySQL 8.0 says that a group has begun before its first member takes writes.
async fn takes_writes(node: &Node) -> Result<()> {
    let start = Instant::now();
    while let Err(error) = root(node, "CREATE DATABASE IF NOT EXISTS app").await {
        ensure!(start.elapsed() < Duration::from_secs(30), "{} takes no writes: {error:#}", node.name);
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// As root, whom every server has before any replication.
async fn root(node: &Node, statements: &str) -> Result<()> {
    let mut connection = timeout(Duration::from_secs(10), Conn::new(node.options("root", "root"))).await??;
    for statement in statements.split(';').map(str::trim).filter(|statement| !statement.is_empty()) {
        connection.query_drop(statement).await.with_context(|| statement.to_owned())?;
    }
    Ok(())
}

/// Fills `mysql.general_log`. Where the server died while it wrote, that table is to be repaired.
async fn log_everything(node: &Node, flavour: Flavour) -> Result<()> {
    let repair = "SET SESSION sql_log_bin = 0; SET GLOBAL general_log = OFF; REPAIR TABLE mysql.general_log";
    let statements = match flavour {
        Flavour::MariaDb => repair.to_owned(),
        Flavour::MySql => format!(
            "SET @before = @@GLOBAL.super_read_only; SET GLOBAL super_read_only = OFF; {repair};
             SET GLOBAL super_read_only = @before"
        ),
    };
    let statements = format!("{statements}; SET GLOBAL general_log = ON");
    root(node, &statements).await.with_context(|| format!("the general log of {}", node.name))
}

/// What a new group's first member is told. It logs in to the others, to catch up, as root, whom all have by themselves.
const BEGIN_GROUP: &str = "CHANGE REPLICATION SOURCE TO SOURCE_USER = 'root', SOURCE_PASSWORD = 'root'
       FOR CHANNEL 'group_replication_recovery';
     SET GLOBAL group_replication_bootstrap_group = ON;
     START GROUP_REPLICATION;
     SET GLOBAL group_replication_bootstrap_group = OFF";

const JOIN_GROUP: &str = "CHANGE REPLICATION SOURCE TO SOURCE_USER = 'root', SOURCE_PASSWORD = 'root'
       FOR CHANNEL 'group_replication_recovery';
     START GROUP_REPLICATION";

/// The statements that make the accounts; they switch semi-synchronous replication off, for no replica is there yet.
pub fn accounts(flavour: Flavour) -> &'static str {
    match flavour {
        Flavour::MySql => {
            "SET GLOBAL rpl_semi_sync_source_enabled = OFF;
             CREATE USER replicator@'%' IDENTIFIED BY 'replicator';
             GRANT REPLICATION SLAVE, CONNECTION_ADMIN ON *.* TO replicator@'%';
             CREATE USER dauphin@'%' IDENTIFIED BY 'dauphin';
             GRANT REPLICATION CLIENT, REPLICATION SLAVE, REPLICATION_SLAVE_ADMIN, SYSTEM_VARIABLES_ADMIN, CONNECTION_ADMIN, RELOAD,
               PROCESS, PERSIST_RO_VARIABLES_ADMIN, SHOW_ROUTINE ON *.* TO dauphin@'%';
             GRANT SELECT, SHOW VIEW, TRIGGER ON `app%`.* TO dauphin@'%';
             GRANT SELECT ON performance_schema.* TO dauphin@'%';
             CREATE USER admin@'%' IDENTIFIED BY 'admin';
             GRANT ALL ON *.* TO admin@'%' WITH GRANT OPTION;
             CREATE USER app@'%' IDENTIFIED BY 'app';
             GRANT ALL ON `app%`.* TO app@'%';
             GRANT SELECT ON performance_schema.* TO app@'%'"
        }
        Flavour::MariaDb => {
            "SET GLOBAL rpl_semi_sync_master_enabled = OFF;
             CREATE USER replicator@'%' IDENTIFIED BY 'replicator';
             GRANT REPLICATION SLAVE, CONNECTION ADMIN ON *.* TO replicator@'%';
             CREATE USER dauphin@'%' IDENTIFIED BY 'dauphin';
             GRANT REPLICA MONITOR, REPLICATION SLAVE, REPLICATION SLAVE ADMIN, REPLICATION MASTER ADMIN, READ_ONLY ADMIN,
               CONNECTION ADMIN, BINLOG MONITOR, RELOAD, PROCESS ON *.* TO dauphin@'%';
             GRANT SELECT (User, plugin, authentication_string) ON mysql.user TO dauphin@'%';
             GRANT SELECT ON mysql.proc TO dauphin@'%';
             GRANT SELECT, SHOW VIEW, TRIGGER ON `app%`.* TO dauphin@'%';
             CREATE USER admin@'%' IDENTIFIED BY 'admin';
             GRANT ALL ON *.* TO admin@'%' WITH GRANT OPTION;
             CREATE USER app@'%' IDENTIFIED BY 'app';
             GRANT ALL ON `app%`.* TO app@'%';
             GRANT SELECT ON performance_schema.* TO app@'%'"
        }
    }
}

/// The statements that make a replica of a server.
pub fn replication(flavour: Flavour, primary: &str) -> String {
    match flavour {
        Flavour::MySql => format!(
            "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '{primary}', SOURCE_USER = 'replicator',
               SOURCE_PASSWORD = 'replicator', SOURCE_AUTO_POSITION = 1, SOURCE_SSL = 1, SOURCE_CONNECT_RETRY = 1,
               SOURCE_RETRY_COUNT = 86400, SOURCE_HEARTBEAT_PERIOD = 0.2;
             START REPLICA;
             SET PERSIST super_read_only = ON"
        ),
        Flavour::MariaDb => format!(
            "CHANGE MASTER TO MASTER_HOST = '{primary}', MASTER_USER = 'replicator', MASTER_PASSWORD = 'replicator',
               MASTER_USE_GTID = slave_pos, MASTER_SSL = 1, MASTER_SSL_VERIFY_SERVER_CERT = 0,
               MASTER_CONNECT_RETRY = 1, MASTER_HEARTBEAT_PERIOD = 0.2;
             START REPLICA"
        ),
    }
}
