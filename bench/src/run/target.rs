//! What is compared: how each target is configured and started.

use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde::Serialize;

use super::{
    Arguments,
    process::{self, Process},
};
use crate::{blocking::Connection, limits, login::Credentials};

const STARTING: Duration = Duration::from_secs(15);

/// Something to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// The servers themselves
    Direct,
    /// HAProxy in TCP mode, one thread: understands nothing of what it forwards
    Haproxy,
    /// This project
    Dauphin,
    /// ProxySQL with one worker thread
    Proxysql,
}

impl Target {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Haproxy => "haproxy",
            Self::Dauphin => "dauphin",
            Self::Proxysql => "proxysql",
        }
    }
}

/// A target that takes connections.
#[derive(Debug)]
pub struct Running {
    /// What it is.
    pub target: Target,
    /// Where to connect to for statements that only read; several, separated by commas.
    pub reads: String,
    /// Where to connect to for all others.
    pub writes: String,
    /// The proxy; none for [`Target::Direct`].
    pub process: Option<Process>,
}

/// What targets are started with.
#[derive(Debug)]
pub struct Scene {
    /// The servers' addresses, the primary's first.
    pub servers: Vec<String>,
    /// Who logs in.
    pub credentials: Credentials,
    /// Where configurations and logs go.
    pub directory: PathBuf,
    /// The core for proxies.
    pub proxy_core: Option<usize>,
    /// The core for load and fake servers.
    pub load_core: Option<usize>,
}

impl Scene {
    /// Starts a target and waits until it lets a client in.
    pub fn start(&self, target: Target, arguments: &Arguments) -> Result<Running> {
        let mut running = match target {
            Target::Direct => self.direct(),
            Target::Haproxy => self.haproxy(arguments)?,
            Target::Dauphin => self.dauphin(arguments)?,
            Target::Proxysql => self.proxysql(arguments)?,
        };
        self.wait_for(&mut running).with_context(|| {
            let log = fs::read_to_string(self.log(target.name())).unwrap_or_default();
            let last: Vec<&str> = log.lines().rev().take(10).collect();
            format!("{} does not answer; its last words:\n{}", target.name(), join_reversed(&last))
        })?;
        Ok(running)
    }

    fn wait_for(&self, running: &mut Running) -> Result<()> {
        let start = Instant::now();
        for address in running.reads.split(',').chain([running.writes.as_str()]) {
            while let Err(error) = Connection::open(address, &self.credentials) {
                if let Some(process) = &mut running.process {
                    process.check()?;
                }
                if start.elapsed() > STARTING {
                    return Err(error);
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        Ok(())
    }

    fn direct(&self) -> Running {
        let writes = self.servers[0].clone();
        Running { target: Target::Direct, reads: self.servers.join(","), writes, process: None }
    }

    fn haproxy(&self, arguments: &Arguments) -> Result<Running> {
        let (reads, writes) = (arguments.address(1), arguments.address(2));
        let mut config = format!(
            "global\n  nbthread 1\n  maxconn {}\n\
             defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n\
             listen writes\n  bind {writes}\n  server s0 {}\n\
             listen reads\n  bind {reads}\n  balance roundrobin\n",
            (limits::open_files() - 100) / 2,
            self.servers[0]
        );
        for (i, server) in self.servers.iter().enumerate() {
            config += &format!("  server s{i} {server}\n");
        }
        let file = self.write("haproxy.cfg", &config)?;
        let mut command = process::command(Path::new("haproxy"), self.proxy_core);
        command.arg("-db").arg("-f").arg(file);
        self.spawn(Target::Haproxy, &mut command, reads, writes)
    }

    fn dauphin(&self, arguments: &Arguments) -> Result<Running> {
        let address = arguments.address(3);
        let servers: Vec<String> = self.servers.iter().map(|server| format!("{server:?}")).collect();
        let more = arguments.dauphin_config.as_ref().map_or(Ok(String::new()), fs::read_to_string)?;
        let config = format!(
            "servers = [{}]\n\
             [account]\nuser = {:?}\npassword = {:?}\n\
             [listen]\naddress = {address:?}\nmax_connections = 20000\n\
             [admin]\naddress = \"127.0.0.1:0\"\nhttp_address = \"127.0.0.1:0\"\n\
             [tls.client]\ndirectory = \".\"\n[tls.server]\nmode = \"disabled\"\n\
             [threads]\ndata = {}\n{more}",
            servers.join(", "),
            arguments.account_user,
            arguments.account_password,
            arguments.dauphin_threads,
        );
        let file = self.write("dauphin.toml", &config)?;
        let mut command = process::command(&arguments.dauphin, self.proxy_core);
        command.arg("--config").arg(file);
        self.spawn(Target::Dauphin, &mut command, address.clone(), address)
    }

    /// Not tried on this project's own machines, which have no ProxySQL.
    fn proxysql(&self, arguments: &Arguments) -> Result<Running> {
        let (address, admin) = (arguments.address(5), arguments.address(6));
        let data = self.directory.join("proxysql");
        fs::create_dir_all(&data)?;
        let Credentials { user, password, schema, .. } = &self.credentials;
        let mut servers = Vec::new();
        for (i, server) in self.servers.iter().enumerate() {
            let (host, port) = server.rsplit_once(':').context("a server without a port")?;
            let hostgroup = u8::from(i > 0);
            servers.push(format!(
                "{{ address={host:?}, port={port}, hostgroup={hostgroup}, max_connections=2000 }}"
            ));
        }
        let config = format!(
            "datadir={data:?}\n\
             admin_variables={{ admin_credentials=\"admin:admin\"; mysql_ifaces={admin:?} }}\n\
             mysql_variables={{ threads=1; max_connections=20000; interfaces={address:?}; monitor_enabled=false; \
             default_schema={schema:?}; server_version=\"8.0.36\" }}\n\
             mysql_servers=( {} )\n\
             mysql_users=( {{ username={user:?}, password={password:?}, default_hostgroup=0, active=1, \
             max_connections=20000, transaction_persistent=1 }} )\n\
             mysql_query_rules=( {{ rule_id=1, active=1, match_digest=\"^SELECT\", destination_hostgroup=1, apply=1 }} )\n",
            servers.join(", ")
        );
        let file = self.write("proxysql.cnf", &config)?;
        let mut command = process::command(Path::new("proxysql"), self.proxy_core);
        command.args(["-f", "--initial", "-c"]).arg(file).arg("-D").arg(&data);
        self.spawn(Target::Proxysql, &mut command, address.clone(), address)
    }

    fn spawn(
        &self,
        target: Target,
        command: &mut std::process::Command,
        reads: String,
        writes: String,
    ) -> Result<Running> {
        let process = Some(Process::start(command, target.name(), &self.log(target.name()))?);
        Ok(Running { target, reads, writes, process })
    }

    /// A fake primary and two fake replicas, in one process.
    pub fn start_fake_servers(&self) -> Result<Process> {
        let mut command = process::command(&std::env::current_exe()?, self.load_core);
        command.arg("fake-server").args(["--listen", &self.servers[0]]);
        for replica in &self.servers[1..] {
            command.args(["--replica", replica]);
        }
        let mut process = Process::start(&mut command, "fake-server", &self.log("fake-server"))?;
        let mut direct = self.direct();
        self.wait_for(&mut direct).or_else(|error| {
            process.check()?;
            bail!("the fake servers do not answer: {error:#}")
        })?;
        Ok(process)
    }

    fn log(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.log"))
    }

    /// Writes a configuration for our eyes only, as it holds passwords.
    fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.directory.join(name);
        let mut options = fs::OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&path);
        file.and_then(|mut file| file.write_all(text.as_bytes()))
            .with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }
}

fn join_reversed(lines: &[&str]) -> String {
    lines.iter().rev().map(|line| format!("  {line}\n")).collect()
}
