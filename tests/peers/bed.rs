//! The process, its scripted servers, its counters, and a session that goes on meanwhile.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::AbortHandle,
};

use crate::{
    dauphin::Dauphin,
    scripted::{Answer, Client, Dialect, FakeServer},
};

pub const MIB: u64 = 1 << 20;

/// The longest that a statement of the neighbour's may take on a busy machine, unless a bad server is asked first.
pub const PROMPTLY: Duration = Duration::from_secs(2);

/// Runs one test, bounded.
pub fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(60), test).await.expect("the test ends within its limit");
    });
}

/// dauphin in a process of its own, over one primary and one replica.
pub struct Bed {
    pub dauphin: Dauphin,
    pub primary: FakeServer,
    pub replica: FakeServer,
}

impl Bed {
    /// With these lines of config besides.
    pub async fn new(options: &str) -> Self {
        let (primary, replica) =
            (FakeServer::start("db01", false).await, FakeServer::start("db02", true).await);
        let options = format!(
            "servers = [\"{}\", \"{}\"]\nusers = [{{ name = \"app\", password = \"app\" }}]\npool.linger = \"0s\"\n\
             monitor.heartbeat = \"off\"\nmonitor.discover = \"off\"\nmonitor.interval = \"50ms\"\n\
             failover.mode = \"manual\"\nlog.level = \"info\"\n{options}",
            primary.address, replica.address
        );
        let bed = Self { dauphin: Dauphin::start_for(&[], &options).await, primary, replica };
        bed.eventually("there is a primary", async || bed.count("dauphin_primary_up").await == 1).await;
        bed.eventually("the replica takes reads", async || bed.count("dauphin_server_reads").await == 1)
            .await;
        bed
    }

    pub fn address(&self) -> String {
        self.dauphin.address.to_string()
    }

    /// A client that has logged in.
    pub async fn client(&self) -> Client {
        Client::log_in(&self.address(), Dialect::New).await.expect("the login succeeds")
    }

    /// A client that has been greeted and has said nothing.
    pub async fn greeted(&self) -> Client {
        let mut client = Client::dial(&self.address()).await.unwrap();
        client.packet().await.unwrap().expect("a greeting");
        client
    }

    /// What a metric counts, over all its labels.
    pub async fn count(&self, metric: &str) -> u64 {
        let is_of = |name: &str| {
            name.strip_prefix(metric).is_some_and(|rest| matches!(rest.as_bytes(), [] | [b'{', ..]))
        };
        self.counts().await.iter().filter(|(name, _)| is_of(name)).map(|(_, count)| count).sum()
    }

    /// How many clients have failed for this cause.
    pub async fn faults(&self, cause: &str) -> u64 {
        self.count(&format!("dauphin_clients_failed_total{{cause=\"{cause}\"}}")).await
    }

    /// How many connections to the servers are lent to sessions.
    pub async fn lent(&self) -> u64 {
        let counts = self.counts().await;
        let lent = |name: &str| name.starts_with("dauphin_pool_connections") && name.contains("lent");
        counts.iter().filter(|(name, _)| lent(name)).map(|(_, count)| count).sum()
    }

    /// Every sample of the metrics, by its name and labels.
    pub async fn counts(&self) -> HashMap<String, u64> {
        let mut stream = TcpStream::connect(self.dauphin.http).await.unwrap();
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text.lines()
            .filter_map(|line| line.rsplit_once(' '))
            .filter_map(|(name, count)| Some((name.to_owned(), count.parse().ok()?)))
            .collect()
    }

    /// Tries until it is so, at most 20 s.
    pub async fn eventually(&self, what: &str, mut is_so: impl AsyncFnMut() -> bool) {
        let start = Instant::now();
        while !is_so().await {
            assert!(start.elapsed() < Duration::from_secs(20), "not within 20 s: {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// So many clients have failed for this cause, in the end, and hold nothing.
    pub async fn has_counted(&self, cause: &str, times: u64) {
        self.eventually(&format!("{times} clients counted as {cause}"), async || {
            self.faults(cause).await >= times
        })
        .await;
        assert_eq!(self.faults(cause).await, times, "{cause}");
    }

    /// A session that asks both servers something every few milliseconds from now on.
    pub async fn neighbour(&self) -> Neighbour {
        let mut client = self.client().await;
        let longest = Arc::new(Mutex::new((Duration::ZERO, 0)));
        let noted = longest.clone();
        let task = tokio::spawn(async move {
            loop {
                for text in ["SELECT 'neighbour'", "UPDATE neighbour SET a = 1"] {
                    let began = Instant::now();
                    let answer = client.query(text).await;
                    assert!(matches!(answer, Answer::Rows(_) | Answer::Ok(_)), "{text}: {answer:?}");
                    let mut noted = noted.lock();
                    *noted = (noted.0.max(began.elapsed()), noted.1 + 1);
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        Neighbour { longest, task: task.abort_handle() }
    }
}

/// See [`Bed::neighbour`].
pub struct Neighbour {
    longest: Arc<Mutex<(Duration, u64)>>,
    task: AbortHandle,
}

impl Neighbour {
    /// It has been answered all the time, and still is.
    pub async fn was_answered_within(self, at_most: Duration) {
        let before = self.longest.lock().1;
        let waited = Instant::now();
        while self.longest.lock().1 < before + 2 {
            assert!(!self.task.is_finished(), "the neighbour got an error");
            assert!(waited.elapsed() < at_most, "the neighbour is not answered any more");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.task.abort();
        let (longest, statements) = *self.longest.lock();
        assert!(longest < at_most, "one of {statements} statements took {longest:?}");
    }

    pub async fn was_answered_promptly(self) {
        self.was_answered_within(PROMPTLY).await;
    }
}

/// How much a process grows.
pub struct Memory<'a> {
    dauphin: &'a Dauphin,
    before: u64,
    most: u64,
}

impl<'a> Memory<'a> {
    pub fn of(bed: &'a Bed) -> Self {
        let before = bed.dauphin.resident();
        Self { dauphin: &bed.dauphin, before, most: before }
    }

    /// Looks once.
    pub fn look(&mut self) {
        self.most = self.most.max(self.dauphin.resident());
    }

    /// The process has never been seen larger by more than that.
    pub fn has_grown_by_at_most(mut self, bytes: u64) {
        self.look();
        let grown = self.most - self.before;
        println!("dauphin has grown by {} KiB of {} KiB allowed", grown >> 10, bytes >> 10);
        assert!(grown <= bytes, "dauphin has grown by {} KiB", grown >> 10);
    }
}
