//! A dauphin of the test's own, in front of a cluster.

use std::{
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use super::{cluster::Cluster, reaper};

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
    pub address: SocketAddr,
}

/// A directory of its own.
pub fn new_directory() -> PathBuf {
    let directory = reaper::directory().join(COUNT.fetch_add(1, Ordering::Relaxed).to_string());
    std::fs::create_dir_all(&directory).expect("the temporary directory is writable");
    directory
}

impl Dauphin {
    /// Starts one that serves `cluster`; `options` are lines of config with dotted names, such as `pool.linger = "0s"`.
    /// `{directory}` in them stands for a directory of its own.
    pub async fn start(cluster: &Cluster, options: &str) -> Self {
        let directory = new_directory();
        let servers: String = cluster
            .nodes
            .iter()
            .map(|node| {
                format!("[[servers]]\nname = \"{}\"\naddress = \"{}:3306\"\n", node.name, node.address())
            })
            .collect();
        let mut config = options.replace("{directory}", directory.to_str().expect("its name is text")) + "\n";
        for (name, default) in [
            ("account.user", "dauphin"),
            ("account.password", "dauphin"),
            ("listen.address", "127.0.0.1:0"),
            ("log.level", "info,dauphin=debug"),
            ("tls.client.directory", directory.to_str().expect("a temporary directory's name is text")),
        ] {
            if !options.contains(name) {
                config += &format!("{name} = \"{default}\"\n");
            }
        }
        std::fs::write(directory.join("dauphin.toml"), config + &servers)
            .expect("the temporary directory is writable");
        let log = File::create(directory.join("log")).expect("the temporary directory is writable");
        let process = Command::new(&*BINARY)
            .arg("--config")
            .arg(directory.join("dauphin.toml"))
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("dauphin starts");
        reaper::watch(process.id());
        let mut dauphin = Self { process, directory, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        dauphin.address = dauphin.listening().await;
        dauphin
    }

    async fn listening(&mut self) -> SocketAddr {
        let start = Instant::now();
        loop {
            let log = self.log();
            let address = log.split("listening for clients address=").nth(1);
            let address =
                address.and_then(|rest| rest.split_whitespace().next()?.trim_matches('"').parse().ok());
            if let Some(address) = address {
                return address;
            }
            let ended = self.process.try_wait().expect("a child can be asked");
            assert!(ended.is_none(), "dauphin has ended: {log}");
            assert!(start.elapsed() < Duration::from_secs(20), "dauphin does not listen after 20 s: {log}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The directory of its config, log and certificate.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// All it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    /// Memory in use, in bytes.
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS is there");
        line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).expect("VmRSS is a number")
            * 1024
    }
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
