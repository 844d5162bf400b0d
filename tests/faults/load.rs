//! The load: writers and readers through dauphin, each with a log of its own of what it was told.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use mysql_async::{Conn, OptsBuilder, prelude::Queryable as _};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

/// Between two operations of one worker: the load is to meet the fault, not to fill the machine.
const PAUSE: Duration = Duration::from_millis(5);
/// After an error: a client that finds nobody does not spin.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(50);
/// dauphin holds a statement for at most 15 s (`routing.hold_timeout`); one that has no answer after this was forgotten.
pub const LONGEST: Duration = Duration::from_secs(25);

/// What a worker does, over and over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    /// An insert by itself, as text.
    Insert,
    /// An insert by itself, prepared.
    PreparedInsert,
    /// Two inserts in a transaction.
    Transaction,
    /// Two prepared inserts in a transaction.
    PreparedTransaction,
    /// An insert, and reads that must see it.
    OwnRead,
    /// The same, prepared.
    PreparedOwnRead,
    /// Reads, as text.
    Read,
    /// Reads, prepared.
    PreparedRead,
}

/// Two clients do each of these.
const WORK: [Work; 8] = [
    Work::Insert,
    Work::PreparedInsert,
    Work::Transaction,
    Work::PreparedTransaction,
    Work::OwnRead,
    Work::PreparedOwnRead,
    Work::Read,
    Work::PreparedRead,
];
const CLIENTS_EACH: u32 = 2;

/// What a client asked for and what it was told.
#[derive(Debug, Clone)]
pub struct Event {
    pub worker: u32,
    pub began: Instant,
    pub ended: Instant,
    pub what: What,
    pub told: Told,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A new connection.
    Login,
    /// Rows `first..=last` of this worker, which are written all or none.
    Write { first: u64, last: u64 },
    /// A read of whatever is there.
    Read,
    /// A read of what this session has just written.
    OwnRead,
}

#[derive(Debug, Clone)]
pub enum Told {
    /// It was done.
    Done,
    /// A read of the session's own write did not find it.
    Missed,
    /// It was not done.
    Refused(Failure),
    /// It may have been done or not.
    Unknown(Failure),
}

/// An error as a client sees it; code 0 is a lost connection.
#[derive(Debug, Clone)]
pub struct Failure {
    pub code: u16,
    pub text: String,
}

impl Failure {
    fn unanswered() -> Self {
        Self { code: 0, text: format!("no answer within {LONGEST:?}") }
    }

    /// Whether the statement was given up by the client, with nothing heard.
    pub fn is_unanswered(&self) -> bool {
        self.code == 0 && self.text.starts_with("no answer")
    }

    /// Whether a write that ended so may have been done: the connection was lost; 1053 shutdown (dauphin's word for a lost
    /// server, too), 1180 error during commit, 1317 and 1927 interrupted, 2013 lost, 3032 offline, 3100 and 3101 hooks.
    pub fn leaves_in_doubt(&self) -> bool {
        matches!(self.code, 0 | 1053 | 1180 | 1317 | 1927 | 2013 | 3032 | 3100 | 3101)
    }

    pub fn ends_connection(&self) -> bool {
        matches!(self.code, 0 | 1053 | 1927 | 2013 | 3032)
    }

    fn told(self) -> Told {
        if self.leaves_in_doubt() { Told::Unknown(self) } else { Told::Refused(self) }
    }
}

impl From<mysql_async::Error> for Failure {
    fn from(error: mysql_async::Error) -> Self {
        match error {
            mysql_async::Error::Server(error) => Self { code: error.code, text: error.message },
            other => Self { code: 0, text: other.to_string() },
        }
    }
}

/// What the live display shows.
#[derive(Debug, Default)]
pub struct Counts {
    pub writes: AtomicU64,
    pub reads: AtomicU64,
    pub errors: AtomicU64,
    stop: AtomicBool,
}

/// The running workers.
pub struct Load {
    pub counts: Arc<Counts>,
    workers: JoinSet<Vec<Event>>,
}

impl Load {
    /// Starts all workers, clients of the dauphin that `options` leads to.
    pub fn start(options: &OptsBuilder) -> Self {
        let (counts, mut workers) = (Arc::new(Counts::default()), JoinSet::new());
        for number in 0..WORK.len() as u32 * CLIENTS_EACH {
            let worker = Worker {
                number,
                work: WORK[(number / CLIENTS_EACH) as usize],
                options: options.clone(),
                counts: counts.clone(),
                connection: None,
                sequence: 0,
                events: Vec::new(),
            };
            workers.spawn(worker.run());
        }
        Self { counts, workers }
    }

    /// Ends the workers, each after the operation it is in, and gives all they were told.
    pub async fn stop(self) -> Vec<Event> {
        self.counts.stop.store(true, Ordering::Relaxed);
        self.workers.join_all().await.into_iter().flatten().collect()
    }
}

struct Worker {
    number: u32,
    work: Work,
    options: OptsBuilder,
    counts: Arc<Counts>,
    connection: Option<Conn>,
    /// The last row that it has tried to write.
    sequence: u64,
    events: Vec<Event>,
}

impl Worker {
    async fn run(mut self) -> Vec<Event> {
        while !self.counts.stop.load(Ordering::Relaxed) {
            let pause = if self.round().await { PAUSE } else { PAUSE_AFTER_ERROR };
            sleep(pause).await;
        }
        self.events
    }

    /// One operation; whether all of it went well.
    async fn round(&mut self) -> bool {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let began = Instant::now();
                match answer(Conn::new(self.options.clone())).await {
                    Ok(connection) => connection,
                    Err(failure) => {
                        self.note(What::Login, began, Told::Refused(failure));
                        return false;
                    }
                }
            }
        };
        match self.operation(&mut connection).await {
            Ok(()) => {
                self.connection = Some(connection);
                true
            }
            Err(failure) if failure.ends_connection() => false,
            Err(_) => {
                // A refused statement leaves a transaction open.
                if answer(connection.query_drop("ROLLBACK")).await.is_ok() {
                    self.connection = Some(connection);
                }
                false
            }
        }
    }

    async fn operation(&mut self, connection: &mut Conn) -> Result<(), Failure> {
        match self.work {
            Work::Insert | Work::PreparedInsert => self.insert(connection).await,
            Work::Transaction | Work::PreparedTransaction => self.transaction(connection).await,
            Work::OwnRead | Work::PreparedOwnRead => {
                self.insert(connection).await?;
                for _ in 0..3 {
                    self.own_read(connection).await?;
                }
                Ok(())
            }
            Work::Read | Work::PreparedRead => {
                let began = Instant::now();
                let read = self.read(connection).await;
                self.end(What::Read, began, read.map(|()| Told::Done), Told::Refused)
            }
        }
    }

    async fn insert(&mut self, connection: &mut Conn) -> Result<(), Failure> {
        self.sequence += 1;
        let (what, began) = (What::Write { first: self.sequence, last: self.sequence }, Instant::now());
        let done = self.write(connection, self.sequence).await;
        self.end(what, began, done.map(|()| Told::Done), Failure::told)
    }

    /// Whatever fails before COMMIT is sent has certainly not been done.
    async fn transaction(&mut self, connection: &mut Conn) -> Result<(), Failure> {
        let what = What::Write { first: self.sequence + 1, last: self.sequence + 2 };
        self.sequence += 2;
        let began = Instant::now();
        let open = async {
            answer(connection.query_drop("BEGIN")).await?;
            self.write(connection, self.sequence - 1).await?;
            self.write(connection, self.sequence).await
        }
        .await;
        self.end_if_failed(what, began, open)?;
        let done = answer(connection.query_drop("COMMIT")).await;
        self.end(what, began, done.map(|()| Told::Done), Failure::told)
    }

    fn end_if_failed(
        &mut self,
        what: What,
        began: Instant,
        result: Result<(), Failure>,
    ) -> Result<(), Failure> {
        if let Err(failure) = &result {
            self.note(what, began, Told::Refused(failure.clone()));
        }
        result
    }

    async fn write(&self, connection: &mut Conn, sequence: u64) -> Result<(), Failure> {
        const INSERT: &str = "INSERT INTO app_faults.w (worker, seq, server) VALUES";
        let worker = self.number;
        if matches!(self.work, Work::PreparedInsert | Work::PreparedTransaction | Work::PreparedOwnRead) {
            let insert = format!("{INSERT} (?, ?, @@server_id)");
            answer(connection.exec_drop(insert, (worker, sequence))).await
        } else {
            answer(connection.query_drop(format!("{INSERT} ({worker}, {sequence}, @@server_id)"))).await
        }
    }

    async fn own_read(&mut self, connection: &mut Conn) -> Result<(), Failure> {
        const READ: &str = "SELECT COUNT(*) FROM app_faults.w WHERE";
        let (worker, sequence, began) = (self.number, self.sequence, Instant::now());
        let found: Result<Option<u64>, Failure> = if self.work == Work::PreparedOwnRead {
            let read = format!("{READ} worker = ? AND seq = ?");
            answer(connection.exec_first(read, (worker, sequence))).await
        } else {
            answer(connection.query_first(format!("{READ} worker = {worker} AND seq = {sequence}"))).await
        };
        let told =
            found.map(|found| if found.is_some_and(|rows| rows > 0) { Told::Done } else { Told::Missed });
        self.end(What::OwnRead, began, told, Told::Refused)
    }

    async fn read(&self, connection: &mut Conn) -> Result<(), Failure> {
        const READ: &str = "SELECT id, seq FROM app_faults.w WHERE worker =";
        let worker = self.number % 4;
        if self.work == Work::PreparedRead {
            answer(connection.exec_drop(format!("{READ} ? ORDER BY seq DESC LIMIT 1"), (worker,))).await
        } else {
            answer(connection.query_drop(format!("{READ} {worker} ORDER BY seq DESC LIMIT 1"))).await
        }
    }

    /// Notes how something ended, and passes a failure on.
    fn end(
        &mut self,
        what: What,
        began: Instant,
        result: Result<Told, Failure>,
        failed: impl FnOnce(Failure) -> Told,
    ) -> Result<(), Failure> {
        match result {
            Ok(told) => {
                self.note(what, began, told);
                Ok(())
            }
            Err(failure) => {
                self.note(what, began, failed(failure.clone()));
                Err(failure)
            }
        }
    }

    fn note(&mut self, what: What, began: Instant, told: Told) {
        let count = match (&told, what) {
            (Told::Refused(_) | Told::Unknown(_), _) => &self.counts.errors,
            (Told::Done | Told::Missed, What::Write { .. }) => &self.counts.writes,
            (Told::Done | Told::Missed, _) => &self.counts.reads,
        };
        count.fetch_add(1, Ordering::Relaxed);
        self.events.push(Event { worker: self.number, began, ended: Instant::now(), what, told });
    }
}

/// What comes of it within [`LONGEST`].
pub async fn answer<T>(what: impl Future<Output = mysql_async::Result<T>>) -> Result<T, Failure> {
    timeout(LONGEST, what).await.map_err(|_| Failure::unanswered())?.map_err(Failure::from)
}
