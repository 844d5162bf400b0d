//! A dauphin of the test's own, in front of a cluster.

use std::{
    fs::File,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use mysql_async::Conn;

use super::{
    cluster::{Cluster, options},
    reaper,
};

/// A copy of the binary: the original may be built anew while the tests run.
pub static BINARY: LazyLock<PathBuf> = LazyLock::new(|| {
    let copy = reaper::directory().join("dauphin");
    std::fs::copy(env!("CARGO_BIN_EXE_dauphin"), &copy).expect("the temporary directory is writable");
    copy
});

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A running dauphin; ended when dropped. A failing test shows the last lines of its log.
pub struct Dauphin {
    process: Child,
    directory: PathBuf,
    /// How often it has been started.
    runs: usize,
    pub address: SocketAddr,
    /// Its admin port, and the one for HTTP.
    pub admin: SocketAddr,
    pub http: SocketAddr,
}

/// A directory of its own.
pub fn new_directory() -> PathBuf {
    let directory = reaper::directory().join(COUNT.fetch_add(1, Ordering::Relaxed).to_string());
    std::fs::create_dir_all(&directory).expect("the temporary directory is writable");
    directory
}

impl Dauphin {
    /// Logged in at the admin port, as its first user.
    pub async fn operator(&self) -> Conn {
        let options = options(self.admin.ip().to_string(), self.admin.port(), "admin", "");
        Conn::new(options).await.expect("an operator can log in")
    }

    /// Starts one that serves `cluster`; `options` are lines of config with dotted names, such as `pool.linger = "0s"`.
    /// `{directory}` in them stands for a directory of its own.
    pub async fn start(cluster: &Cluster, options: &str) -> Self {
        let servers: Vec<_> = cluster.nodes.iter().map(|node| (node.name, node.address())).collect();
        // Whoever takes a server away in one of these stories means it to stay away.
        let mode = if options.contains("failover.mode") { "" } else { "failover.mode = \"manual\"\n" };
        Self::start_for(&servers, &format!("{mode}{options}")).await
    }

    /// Starts one that serves the servers of these names and addresses.
    pub async fn start_for(servers: &[(&str, IpAddr)], options: &str) -> Self {
        let directory = new_directory();
        let servers: String = servers
            .iter()
            .map(|(name, address)| (name, SocketAddr::new(*address, 3306)))
            .map(|(name, address)| format!("[[servers]]\nname = \"{name}\"\naddress = \"{address}\"\n"))
            .collect();
        let mut config = options.replace("{directory}", directory.to_str().expect("its name is text")) + "\n";
        let state_file = directory.join("state.json");
        for (name, default) in [
            ("account.user", "dauphin"),
            ("account.password", "dauphin"),
            ("listen.address", "127.0.0.1:0"),
            ("admin.address", "127.0.0.1:0"),
            ("admin.http_address", "127.0.0.1:0"),
            ("log.level", "info,dauphin=debug"),
            ("tls.client.directory", directory.to_str().expect("a temporary directory's name is text")),
            ("failover.state_file", state_file.to_str().expect("a temporary directory's name is text")),
        ] {
            if !options.contains(name) {
                config += &format!("{name} = \"{default}\"\n");
            }
        }
        for line in std::env::var("DAUPHIN_TEST_OPTIONS").unwrap_or_default().lines() {
            // The story's own word counts.
            if !options.contains(line.split('=').next().unwrap_or_default().trim()) {
                config += &format!("{line}\n");
            }
        }
        std::fs::write(directory.join("dauphin.toml"), config + &servers)
            .expect("the temporary directory is writable");
        let process = spawn(&directory, 0, &[]);
        let none = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut dauphin = Self { process, directory, runs: 1, address: none, admin: none, http: none };
        dauphin.wait_for_ports().await;
        dauphin
    }

    /// Ends it as a crash would, if it has not ended, and starts it again where it listened before.
    #[allow(dead_code)] // only tests/faults ends it
    pub async fn restart(&mut self, environment: &[(&str, &str)]) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let file = self.directory.join("dauphin.toml");
        let config = std::fs::read_to_string(&file).expect("it was written at the start");
        let same = format!("listen.address = \"{}\"", self.address);
        std::fs::write(&file, config.replacen("listen.address = \"127.0.0.1:0\"", &same, 1))
            .expect("the temporary directory is writable");
        self.process = spawn(&self.directory, self.runs, environment);
        self.runs += 1;
        self.wait_for_ports().await;
    }

    async fn wait_for_ports(&mut self) {
        self.address = self.listening().await;
        self.admin = self.logged("listening for operators address=").expect("the admin port is logged");
        self.http = self.logged(" http=").expect("the port for HTTP is logged");
    }

    /// Whether it has ended by itself.
    #[allow(dead_code)] // only tests/faults expects it to
    pub fn has_ended(&mut self) -> bool {
        self.process.try_wait().expect("a child can be asked").is_some()
    }

    async fn listening(&mut self) -> SocketAddr {
        let start = Instant::now();
        loop {
            if let Some(address) = self.logged("listening for clients address=") {
                return address;
            }
            let log = self.log();
            let ended = self.process.try_wait().expect("a child can be asked");
            assert!(ended.is_none(), "dauphin has ended: {log}");
            assert!(start.elapsed() < Duration::from_secs(20), "dauphin does not listen after 20 s: {log}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The first address that the log has behind `words`.
    fn logged(&self, words: &str) -> Option<SocketAddr> {
        self.log_of(self.runs - 1)
            .split(words)
            .nth(1)?
            .split_whitespace()
            .next()?
            .trim_matches('"')
            .parse()
            .ok()
    }

    /// Where its config file is.
    pub fn config(&self) -> PathBuf {
        self.directory.join("dauphin.toml")
    }

    /// Asks it to stop, as a service manager does.
    pub fn terminate(&self) {
        let id = self.process.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().expect("kill is there");
        assert!(sent.success());
    }

    /// Waits until it has ended by itself; whether it ended well.
    pub async fn ended(&mut self, at_most: Duration) -> bool {
        let start = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().expect("a child can be asked") {
                return status.success();
            }
            assert!(start.elapsed() < at_most, "dauphin still runs after {at_most:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The directory of its config, log and certificate.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// All it has logged.
    pub fn log(&self) -> String {
        (0..self.runs).map(|run| self.log_of(run)).collect()
    }

    fn log_of(&self, run: usize) -> String {
        std::fs::read_to_string(log_file(&self.directory, run)).unwrap_or_default()
    }

    /// How many file descriptors it has open.
    #[allow(dead_code)] // only tests/faults counts them
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.process.id())).expect("it runs").count()
    }

    /// Memory in use, in bytes.
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS is there");
        line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).expect("VmRSS is a number")
            * 1024
    }
}

fn log_file(directory: &Path, run: usize) -> PathBuf {
    directory.join(format!("log-{run}"))
}

fn spawn(directory: &Path, run: usize, environment: &[(&str, &str)]) -> Child {
    let log = File::create(log_file(directory, run)).expect("the temporary directory is writable");
    let process = Command::new(&*BINARY)
        .arg("--config")
        .arg(directory.join("dauphin.toml"))
        .env("NO_COLOR", "1")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("dauphin starts");
    reaper::watch(process.id());
    process
}

impl Drop for Dauphin {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let last = lines.len().saturating_sub(25);
            eprintln!("the last lines of dauphin's log:\n{}", lines[last..].join("\n"));
        }
    }
}
