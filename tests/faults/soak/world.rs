//! What the clients of the soak share: where dauphin is, and a tally of what they were told.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    future::Future,
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    time::Instant,
};

use mysql_async::{Conn, DriverError, OptsBuilder, prelude::FromRow, prelude::Queryable as _};
use parking_lot::Mutex;
use tokio::time::timeout;

use crate::{
    load::{Failure, LONGEST},
    raw::Refusal,
};

/// Errors that the disturbances explain. 0 is a lost connection.
const EXPLAINED: [(u16, &str); 10] = [
    (0, "connection lost"),
    (1053, "shutdown, or the server was lost"),
    (1152, "aborted connection"),
    (1180, "error during commit"),
    (1205, "lock wait timeout"),
    (1213, "deadlock"),
    (1317, "interrupted by KILL QUERY"),
    (1927, "connection was killed"),
    (2013, "lost connection"),
    (3032, "the server is offline"),
];

/// No more than this many wrong answers are told in full.
const MOST_TOLD: usize = 40;

/// Which error came of what was asked.
pub type Outcome<T> = Result<T, Failure>;

/// One soak, as its clients see it.
pub struct World {
    pub dauphin: SocketAddr,
    pub options: OptsBuilder,
    /// `group_concat_max_len` of a new session.
    pub default_length: u64,
    pub stop: AtomicBool,
    pub answers: AtomicU64,
    pub vanished: AtomicU64,
    /// The slowest answer, in milliseconds.
    pub slowest_ms: AtomicU64,
    /// Each client's connection id, 0 if it has none now.
    pub ids: Vec<AtomicU32>,
    errors: Mutex<BTreeMap<u16, u64>>,
    wrong: Mutex<(u64, Vec<String>)>,
}

/// What ended an exchange otherwise than well.
pub enum Heard {
    Refused(u16, String),
    Lost(String),
    /// What no server says.
    Odd(String),
}

impl From<mysql_async::Error> for Heard {
    fn from(error: mysql_async::Error) -> Self {
        match error {
            mysql_async::Error::Server(error) => Self::Refused(error.code, error.message),
            mysql_async::Error::Io(_) | mysql_async::Error::Driver(DriverError::ConnectionClosed) => {
                Self::Lost(error.to_string())
            }
            other => Self::Odd(other.to_string()),
        }
    }
}

impl From<anyhow::Error> for Heard {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<Refusal>() {
            Ok(refusal) => Self::Refused(refusal.code, refusal.message),
            Err(error) if error.is::<std::io::Error>() => Self::Lost(error.to_string()),
            Err(error) => Self::Odd(format!("{error:#}")),
        }
    }
}

impl World {
    pub fn new(dauphin: SocketAddr, options: OptsBuilder, default_length: u64, clients: u32) -> Self {
        Self {
            dauphin,
            options,
            default_length,
            stop: AtomicBool::new(false),
            answers: AtomicU64::new(0),
            vanished: AtomicU64::new(0),
            slowest_ms: AtomicU64::new(0),
            ids: (0..clients).map(|_| AtomicU32::new(0)).collect(),
            errors: Mutex::default(),
            wrong: Mutex::default(),
        }
    }

    /// Waits for an answer, and counts it; `what` names it where it is wrong.
    pub async fn ask<T, E: Into<Heard>>(
        &self,
        what: &str,
        answer: impl Future<Output = Result<T, E>>,
    ) -> Outcome<T> {
        let began = Instant::now();
        let answer = timeout(LONGEST, answer).await;
        self.slowest_ms.fetch_max(began.elapsed().as_millis() as u64, Ordering::Relaxed);
        let heard = match answer {
            Ok(Ok(answer)) => {
                self.answers.fetch_add(1, Ordering::Relaxed);
                return Ok(answer);
            }
            Ok(Err(error)) => error.into(),
            Err(_) => Heard::Odd(format!("no answer within {LONGEST:?}")),
        };
        let failure = match heard {
            Heard::Refused(code, text) => Failure { code, text },
            Heard::Lost(text) => Failure { code: 0, text },
            Heard::Odd(text) => {
                self.wrong(format!("{what}: {text}"));
                return Err(Failure { code: 0, text });
            }
        };
        *self.errors.lock().entry(failure.code).or_default() += 1;
        if EXPLAINED.iter().all(|(code, _)| *code != failure.code) {
            self.wrong(format!("{what}: error {} {}", failure.code, failure.text));
        }
        Err(failure)
    }

    pub async fn run(&self, connection: &mut Conn, text: &str) -> Outcome<()> {
        self.ask(text, connection.query_drop(text)).await
    }

    pub async fn first<T: FromRow + Send + 'static>(
        &self,
        connection: &mut Conn,
        text: &str,
    ) -> Outcome<Option<T>> {
        self.ask(text, connection.query_first(text)).await
    }

    /// An answer that must be this one.
    pub async fn check<T>(&self, connection: &mut Conn, text: &str, wanted: T) -> Outcome<()>
    where
        T: FromRow + Send + 'static + Debug + PartialEq,
    {
        let got = self.first(connection, text).await?;
        self.expect(text, got, Some(wanted));
        Ok(())
    }

    pub fn expect<T: Debug + PartialEq>(&self, what: &str, got: T, wanted: T) {
        if got != wanted {
            self.wrong(format!("{what}: {got:?}, and not {wanted:?}"));
        }
    }

    pub fn wrong(&self, what: String) {
        let (count, told) = &mut *self.wrong.lock();
        *count += 1;
        if told.len() < MOST_TOLD {
            eprintln!("  WRONG: {what}");
            told.push(what);
        }
    }

    pub fn wrong_count(&self) -> u64 {
        self.wrong.lock().0
    }

    pub fn error_count(&self) -> u64 {
        self.errors.lock().values().sum()
    }

    /// Each code with its meaning and how often it came.
    pub fn errors(&self) -> String {
        let meaning =
            |code| EXPLAINED.iter().find(|(known, _)| *known == code).map_or("unexplained", |it| it.1);
        let errors = self.errors.lock();
        let lines = errors.iter().map(|(code, count)| format!("{count} x {code} ({})", meaning(*code)));
        lines.collect::<Vec<_>>().join(", ")
    }
}
