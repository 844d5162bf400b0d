//! Three real servers whose process can be killed, hung and cut off while its container, and so its address, stays.
//!
//! Each is on two networks: the one that dauphin and replication use, which faults cut, and one through which the rig looks
//! at it whatever else is cut.

use std::{net::IpAddr, process::Command, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use mysql_async::{Conn, prelude::Queryable as _};
use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep, timeout},
};

use crate::{
    cluster::{Flavour, NODES, accounts, options, replication},
    reaper,
};

/// How much binary log a server has room for, and how long it keeps it.
#[derive(Debug, Clone, Copy)]
pub struct BinaryLog {
    pub room_mib: u32,
    pub kept_s: u32,
}

impl BinaryLog {
    /// Soon full where a fault fills it.
    pub const SMALL: Self = Self { room_mib: 96, kept_s: 86_400 };
    /// For hours: what is old goes as new files of 64 MiB begin.
    pub const ROLLING: Self = Self { room_mib: 512, kept_s: 600 };
}

/// The schema and the table of the load. Nothing in it is unique but the id, so that a write applied twice shows.
const TABLE: &str = "CREATE DATABASE app_faults;
    CREATE TABLE app_faults.w (id BIGINT AUTO_INCREMENT PRIMARY KEY, worker INT NOT NULL, seq BIGINT NOT NULL,
      server INT NOT NULL, KEY (worker, seq))";

/// The container's first process: it starts the server again whenever that ends, unless /tmp/down is there.
const LOOP: &str = r#"
entrypoint=$(command -v docker-entrypoint.sh entrypoint | head -n 1)
while :; do
  "$entrypoint" "$@" &
  echo $! >/tmp/server.pid
  wait $!
  while [ -e /tmp/down ]; do sleep 0.02; done
done"#;

/// db1, which starts as primary, db2 and db3: the primary first.
pub struct Servers {
    pub flavour: Flavour,
    pub nodes: [Node; 3],
    name: String,
}

/// A server.
#[derive(Clone)]
pub struct Node {
    pub name: &'static str,
    pub flavour: Flavour,
    /// Where dauphin and the other servers find it.
    pub address: IpAddr,
    /// Where the rig finds it, always.
    aside: IpAddr,
    /// This machine's own address on the network that faults cut.
    gateway: String,
    /// That network, as `172.20.0.2/16`.
    network: String,
    container: String,
}

impl Servers {
    /// Starts them; `tag` tells them from others of this process.
    pub async fn start(flavour: Flavour, tag: &str, log: BinaryLog) -> Result<Self> {
        let name = format!("{}-{}-{tag}", *reaper::LABEL, std::process::id());
        docker(&["network", "create", &name]).await?;
        docker(&["network", "create", &format!("{name}-aside")]).await?;
        let (db1, db2, db3) = tokio::join!(
            start(flavour, &name, 1, log),
            start(flavour, &name, 2, log),
            start(flavour, &name, 3, log)
        );
        // Made before anything can fail, for its end removes what has been started.
        let nodes = match (db1, db2, db3) {
            (Ok(db1), Ok(db2), Ok(db3)) => [db1, db2, db3],
            (Err(error), ..) | (_, Err(error), _) | (.., Err(error)) => {
                remove(&name);
                return Err(error);
            }
        };
        let servers = Self { flavour, nodes, name };
        servers.set_up().await?;
        Ok(servers)
    }

    /// Their names and addresses, for dauphin.
    pub fn addresses(&self) -> Vec<(&'static str, IpAddr)> {
        self.nodes.iter().map(|node| (node.name, node.address)).collect()
    }

    /// Puts the one at this place first, whose rows are removed everywhere: another fault can be played.
    pub async fn led_by(&mut self, at: usize) -> Result<()> {
        self.nodes.swap(0, at);
        self.nodes[0].sql("TRUNCATE TABLE app_faults.w").await
    }

    async fn set_up(&self) -> Result<()> {
        let [db1, replicas @ ..] = &self.nodes;
        for node in &self.nodes {
            node.answers(Duration::from_secs(120)).await?;
        }
        db1.sql(accounts(self.flavour)).await?;
        // As `dauphin grants` has it: without this there is no heartbeat, and nobody notices a full disk.
        db1.sql("GRANT CREATE, SELECT, INSERT, UPDATE ON dauphin.* TO dauphin@'%'").await?;
        db1.sql(TABLE).await?;
        for replica in replicas {
            replica.sql(&replication(self.flavour, &db1.address.to_string())).await?;
        }
        let (clients, on) = match self.flavour {
            Flavour::MySql => {
                ("Rpl_semi_sync_source_clients", "SET GLOBAL rpl_semi_sync_source_enabled = ON")
            }
            Flavour::MariaDb => {
                ("Rpl_semi_sync_master_clients", "SET GLOBAL rpl_semi_sync_master_enabled = ON")
            }
        };
        db1.sql(on).await?;
        let start = Instant::now();
        loop {
            let status: Option<(String, u32)> =
                db1.root().await?.query_first(format!("SHOW GLOBAL STATUS LIKE '{clients}'")).await?;
            let tables = replicas[0].tables().await? + replicas[1].tables().await?;
            if status.is_some_and(|(_, clients)| clients == 2) && tables == 2 {
                return Ok(());
            }
            ensure!(start.elapsed() < Duration::from_secs(60), "db2 and db3 do not replicate after 60 s");
            sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

/// Not waited for: it takes seconds.
fn remove(name: &str) {
    let script = r#"docker ps -aq --filter "name=^/$1-db" | xargs -r docker rm -fv; docker network rm "$1" "$1-aside""#;
    let mut command = Command::new("sh");
    command.args(["-c", script, "remove", name]);
    command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
    let _ = command.stderr(std::process::Stdio::null()).status();
}

async fn start(flavour: Flavour, name: &str, number: u32, log: BinaryLog) -> Result<Node> {
    let node = NODES[number as usize - 1];
    let container = format!("{name}-{node}");
    let role = if number == 1 { "primary" } else { "replica" };
    let config = |file: &str, order: u8| {
        let home = env!("CARGO_MANIFEST_DIR");
        format!("{home}/config/{}/{file}.cnf:/etc/mysql/conf.d/{order}-{file}.cnf:ro", flavour.name())
    };
    // Acknowledged means: on a replica, always. The binary log can run out of disk.
    let arguments = match flavour {
        Flavour::MySql => "--loose-rpl-semi-sync-source-timeout=4294967295 --log-bin=/binlog/binlog",
        Flavour::MariaDb => "--rpl-semi-sync-master-timeout=4294967295 --log-bin=/binlog/binlog",
    };
    let kept = format!("--binlog-expire-logs-seconds={}", log.kept_s);
    let room = format!("/binlog:size={}m,mode=1777", log.room_mib);
    let label = format!("{}={}", *reaper::LABEL, std::process::id());
    let (image, server_id) = (flavour.image(), format!("--server-id={number}"));
    let (common, role, fast) = (config("common", 10), config(role, 20), config("test-fast", 30));
    let mut command = vec!["run", "--detach", "--name", &container, "--hostname", node, "--network", name];
    command.extend(["--label", &label, "--tmpfs", &room]);
    command.extend(["-v", &common, "-v", &role, "-v", &fast]);
    for variable in ["MYSQL_ROOT_PASSWORD=root", "MARIADB_ROOT_PASSWORD=root", "MYSQL_ROOT_HOST=%"] {
        command.extend(["-e", variable]);
    }
    command.extend(["--entrypoint", "bash", &image, "-c", LOOP, "loop", &server_id, &kept]);
    command.extend(arguments.split_whitespace());
    docker(&command).await.with_context(|| format!("starting {node} (scripts/image makes the image)"))?;
    docker(&["network", "connect", &format!("{name}-aside"), &container]).await?;
    let address = inspect(&container, name, "IPAddress").await?;
    let aside = inspect(&container, &format!("{name}-aside"), "IPAddress").await?;
    Ok(Node {
        name: node,
        flavour,
        address: address.parse().with_context(|| format!("the address of {node}: {address}"))?,
        aside: aside.parse().with_context(|| format!("the address of {node}: {aside}"))?,
        gateway: inspect(&container, name, "Gateway").await?,
        network: format!("{address}/{}", inspect(&container, name, "IPPrefixLen").await?),
        container,
    })
}

async fn inspect(container: &str, network: &str, field: &str) -> Result<String> {
    let format = format!("{{{{(index .NetworkSettings.Networks \"{network}\").{field}}}}}");
    Ok(docker(&["inspect", "--format", &format, container]).await?.trim().to_owned())
}

impl Node {
    /// A connection with all privileges, which no fault cuts.
    pub async fn root(&self) -> Result<Conn> {
        let options = options(self.aside.to_string(), 3306, "root", "root");
        let connection = timeout(Duration::from_secs(5), Conn::new(options)).await;
        connection.with_context(|| format!("{} does not answer", self.name))?.with_context(|| self.name)
    }

    /// Runs statements, separated by `;`, each in at most 10 s.
    pub async fn sql(&self, statements: &str) -> Result<()> {
        let mut connection = self.root().await?;
        for statement in statements.split(';').map(str::trim).filter(|statement| !statement.is_empty()) {
            let ran = timeout(Duration::from_secs(10), connection.query_drop(statement)).await;
            ran.with_context(|| format!("{}: no answer within 10 s: {statement}", self.name))?
                .with_context(|| format!("{}: {statement}", self.name))?;
        }
        Ok(())
    }

    async fn tables(&self) -> Result<u32> {
        let count = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'app_faults'";
        Ok(self.root().await?.query_first(count).await?.unwrap_or(0))
    }

    /// Waits for its first answer.
    pub async fn answers(&self, limit: Duration) -> Result<()> {
        let start = Instant::now();
        while let Err(error) = self.sql("DO 1").await {
            if start.elapsed() > limit {
                bail!("{} has not answered within {limit:?}: {error:#}", self.name);
            }
            sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// Runs a shell script in the container.
    pub async fn shell(&self, script: &str) -> Result<()> {
        docker(&["exec", &self.container, "bash", "-c", script]).await.map(drop)
    }

    /// `kill -9`; it stays down until [`Self::up`] or, with `again`, comes back at once.
    pub async fn kill(&self, again: bool) -> Result<()> {
        let down = if again { "" } else { "touch /tmp/down; " };
        self.shell(&format!("{down}kill -KILL $(cat /tmp/server.pid)")).await
    }

    /// Asks it to end in order, and waits for nothing; it stays down until [`Self::up`].
    pub async fn shut_down(&self) -> Result<()> {
        self.shell("touch /tmp/down; kill -TERM $(cat /tmp/server.pid)").await
    }

    /// Undoes whatever was done to its process, network and disk.
    pub async fn up(&self) -> Result<()> {
        self.shell("rm -f /tmp/down /binlog/filler; kill -CONT $(cat /tmp/server.pid) 2>/dev/null; true")
            .await?;
        self.firewall("iptables -F").await
    }

    /// From now on nothing passes between it and this machine, as dauphin uses it, silently.
    pub async fn cut_from_dauphin(&self) -> Result<()> {
        self.drop_traffic(&self.gateway).await
    }

    /// From now on nothing passes between it and this server, silently.
    pub async fn cut_from(&self, other: &Self) -> Result<()> {
        self.drop_traffic(&other.address.to_string()).await
    }

    /// From now on nothing passes between it and anything but the rig, silently.
    pub async fn cut_from_all(&self) -> Result<()> {
        self.drop_traffic(&self.network).await
    }

    async fn drop_traffic(&self, with: &str) -> Result<()> {
        self.firewall(&format!("iptables -A INPUT -s {with} -j DROP; iptables -A OUTPUT -d {with} -j DROP"))
            .await
    }

    /// Runs a script with this machine's programs in the container's network, and there alone.
    async fn firewall(&self, script: &str) -> Result<()> {
        let process = docker(&["inspect", "--format", "{{.State.Pid}}", &self.container]).await?;
        let script = format!("set -eu; export PATH=\"$PATH:/usr/sbin:/sbin\"; {script}");
        let enter = ["nsenter", "--target", process.trim(), "--net", "sh", "-c", &script];
        if std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0) {
            run(&enter).await.map(drop)
        } else {
            run(&[&["sudo", "-n"], &enter[..]].concat()).await.map(drop)
        }
    }

    /// Leaves no room for the binary log.
    pub async fn fill_disk(&self) -> Result<()> {
        self.shell("dd if=/dev/zero of=/binlog/filler bs=64k 2>/dev/null; test -s /binlog/filler").await
    }
}

async fn docker(arguments: &[&str]) -> Result<String> {
    run(&[&["docker"], arguments].concat()).await
}

/// What a program prints; an error with its words if it fails.
async fn run(words: &[&str]) -> Result<String> {
    let words: Vec<String> = words.iter().map(ToString::to_string).collect();
    spawn_blocking(move || {
        let output = Command::new(&words[0]).args(&words[1..]).output().with_context(|| words[0].clone())?;
        ensure!(
            output.status.success(),
            "{}: {}",
            words.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    })
    .await?
}
