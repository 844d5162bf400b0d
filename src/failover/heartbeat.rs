//! Writing the heartbeat: to the primary and in its term only, on a connection that the term's end drops. What becomes of a
//! write is a witness for the diagnosis: a primary that answers every question may be unable to write.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};

use crate::{
    backend::{
        Account, Server,
        connect::ServerError,
        own::{AskError, OwnConnection},
    },
    control::Control,
    routing::Term,
    topology::{
        flavour::Version,
        heartbeat::{Heartbeat, PRIVILEGES, Refusal, is_lock, why_it_waits},
        observed::Unwritten,
    },
};

/// How long a write may take before it is asked why, and then how often: much longer than a commit takes.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long such a question may take.
const LOOK_AT_MOST: Duration = Duration::from_secs(1);
/// A server notes that a disk is full while the write before it is being acknowledged: what counts as since then.
const OVERLAP: Duration = Duration::from_secs(1);
/// How often a write must be refused for want of room before that counts.
const REFUSALS: u32 = 2;
/// How long nothing is written where the account may not.
const WITHOUT_PRIVILEGE: Duration = Duration::from_secs(30);

/// What the controller has of it: whose term it is goes in, what has become of the writes comes out.
#[derive(Debug)]
pub struct Pulse {
    terms: watch::Sender<Option<Arc<Term>>>,
    felt: Arc<Mutex<Felt>>,
}

/// What has become of the writes of one term.
#[derive(Debug, Default, Clone)]
struct Felt {
    /// When the last one that was done was sent.
    written_at: Option<Instant>,
    unwritten: Option<Unwritten>,
}

impl Pulse {
    /// Another term, or none.
    pub fn follow(&self, term: Option<&Arc<Term>>) {
        self.terms.send_replace(term.cloned());
    }

    /// The write that has not been done, if there is one.
    pub fn unwritten(&self) -> Option<Unwritten> {
        self.felt.lock().unwritten.clone()
    }

    /// When the last write that was done was sent, in this term.
    pub fn written_at(&self) -> Option<Instant> {
        self.felt.lock().written_at
    }
}

/// Who writes.
#[derive(Debug)]
pub struct Writer {
    heartbeat: Heartbeat,
    interval: Duration,
    account: Arc<Account>,
    control: Arc<Control>,
    terms: watch::Receiver<Option<Arc<Term>>>,
    felt: Arc<Mutex<Felt>>,
    /// What was last told of why nothing is written.
    told: Option<String>,
    /// The account's name on the server that was written to last.
    account_there: String,
}

/// What became of one write.
enum Beat {
    Done,
    /// It is not known, and says nothing of the server.
    Lost,
    Refused(ServerError),
}

/// What a server says of a write that it has not answered.
enum Look {
    /// Nothing.
    Unanswered,
    /// It knows no such connection.
    Gone,
    /// It has it waiting: for room on a full disk and not for somebody's lock, or for anything else.
    Waits { no_room: bool },
}

/// A connection that the heartbeat is written on.
struct Line {
    connection: OwnConnection,
    version: Version,
}

impl Writer {
    /// Writes every `interval`, as `account`; the controller keeps the pulse.
    pub fn new(
        heartbeat: Heartbeat,
        interval: Duration,
        account: Arc<Account>,
        control: Arc<Control>,
    ) -> (Self, Pulse) {
        let (terms, followed) = watch::channel(None);
        let felt = Arc::<Mutex<Felt>>::default();
        let pulse = Pulse { terms, felt: felt.clone() };
        let account_there = String::new();
        let told = None;
        (Self { heartbeat, interval, account, control, terms: followed, felt, told, account_there }, pulse)
    }

    /// Writes as long as there is a controller. Cancel safe: a write that is cut off may be done or not.
    pub async fn run(mut self) {
        loop {
            let term = self.terms.borrow_and_update().clone();
            if let Some(term) = term {
                let ended = term.ended.clone();
                tokio::select! {
                    biased;
                    () = ended.cancelled() => {}
                    () = self.beat_in(&term) => {}
                }
                *self.felt.lock() = Felt::default();
            }
            if self.terms.changed().await.is_err() {
                return;
            }
        }
    }

    /// For as long as the term lasts.
    async fn beat_in(&mut self, term: &Term) {
        let began = Instant::now();
        let mut line = None;
        let (mut refusals, mut refused_since) = (0, None);
        loop {
            let at = Instant::now();
            let mut pause = self.interval;
            match self.beat(term, &mut line, began).await {
                Beat::Done => {
                    *self.felt.lock() = Felt { written_at: Some(at), unwritten: None };
                    (refusals, refused_since) = (0, None);
                }
                Beat::Lost => {
                    line = None;
                    self.felt.lock().unwritten = None;
                }
                Beat::Refused(error) => match Refusal::of(error.code) {
                    Refusal::NoRoom => {
                        refusals += 1;
                        let since = *refused_since.get_or_insert(at);
                        let unwritten = Unwritten { since, no_room: true };
                        self.felt.lock().unwritten = (refusals >= REFUSALS).then_some(unwritten);
                    }
                    refusal => {
                        (refusals, refused_since) = (0, None);
                        self.felt.lock().unwritten = None;
                        if refusal == Refusal::NoPrivilege {
                            pause = WITHOUT_PRIVILEGE;
                            // A new connection has what is granted meanwhile.
                            line = None;
                        }
                        if refusal != Refusal::ReadOnly {
                            self.tell(&term.server, refusal, &error);
                        }
                    }
                },
            }
            sleep_until(at + pause).await;
        }
    }

    /// One write, from its connection to its answer, however long that takes.
    async fn beat(&mut self, term: &Term, line: &mut Option<Line>, began: Instant) -> Beat {
        let mut open = match line.take() {
            Some(open) => open,
            None => match self.open(&term.server).await {
                Some((open, account)) => {
                    self.account_there = account;
                    open
                }
                None => return Beat::Lost,
            },
        };
        let at = Instant::now();
        let (flavour, id) = (open.version.flavour, open.connection.id());
        let (epoch, us) = (term.epoch.0, self.heartbeat.clock.us(at));
        let write = self.heartbeat.write(flavour, &term.server.name, epoch, us);
        let before = self.felt.lock().written_at.unwrap_or(began);
        let mut beside = None;
        let done = {
            let writing = open.connection.ask(&write);
            tokio::pin!(writing);
            loop {
                if let Ok(done) = timeout(LOOK_EVERY, &mut writing).await {
                    break done;
                }
                let full_since = before.elapsed() + OVERLAP;
                let question = why_it_waits(flavour, id, full_since);
                let look = self.look(&term.server, &mut beside, &question);
                match timeout(LOOK_AT_MOST, look).await.unwrap_or(Look::Unanswered) {
                    // The connection was cut without a word.
                    Look::Gone => return Beat::Lost,
                    Look::Waits { no_room } => {
                        self.felt.lock().unwritten = Some(Unwritten { since: at, no_room });
                    }
                    Look::Unanswered => {}
                }
            }
        };
        match done {
            Ok(_) => {
                *line = Some(open);
                Beat::Done
            }
            Err(AskError::Lost(_)) => Beat::Lost,
            Err(AskError::Refused(error)) if Refusal::of(error.code) == Refusal::NoTable => {
                match self.create(&mut open).await {
                    // Written with the next beat.
                    Ok(()) => {
                        *line = Some(open);
                        Beat::Lost
                    }
                    Err(AskError::Lost(_)) => Beat::Lost,
                    Err(AskError::Refused(error)) => Beat::Refused(error),
                }
            }
            Err(AskError::Refused(error)) => {
                *line = Some(open);
                Beat::Refused(error)
            }
        }
    }

    /// A connection, and the account that it has there, as GRANT wants it.
    async fn open(&self, server: &Server) -> Option<(Line, String)> {
        let mut connection = OwnConnection::open(server, &self.account).await.ok()?;
        let question = "SELECT VERSION() AS version, CURRENT_USER() AS account";
        let answer = timeout(LOOK_AT_MOST, connection.ask(question)).await.ok()?.ok()?;
        let version = Version::parse(&answer.value("version")?);
        let account = answer.value("account")?;
        let (user, host) = account.rsplit_once('@')?;
        Some((Line { connection, version }, format!("'{}'@'{host}'", user.replace('\'', "''"))))
    }

    async fn create(&self, open: &mut Line) -> Result<(), AskError> {
        for statement in Heartbeat::create() {
            open.connection.ask(&statement).await?;
        }
        Ok(())
    }

    /// Asks what a write waits for, on a connection beside it.
    async fn look(&self, server: &Server, beside: &mut Option<OwnConnection>, question: &str) -> Look {
        let mut connection = match beside.take() {
            Some(connection) => connection,
            None => match OwnConnection::open(server, &self.account).await {
                Ok(connection) => connection,
                Err(_) => return Look::Unanswered,
            },
        };
        let Ok(answer) = connection.ask(question).await else { return Look::Unanswered };
        *beside = Some(connection);
        let Some(state) = answer.value("state") else { return Look::Gone };
        let is_full = answer.value("no_room").is_some_and(|count| count != "0");
        Look::Waits { no_room: is_full && !is_lock(&state) }
    }

    /// Why nothing is written, once.
    fn tell(&mut self, server: &Server, refusal: Refusal, error: &ServerError) {
        let remedy = match refusal {
            Refusal::NoPrivilege => format!(
                "run on the primary GRANT {PRIVILEGES} ON dauphin.* TO {}, or set [monitor] heartbeat = \"off\"",
                self.account_there
            ),
            _ => "it is tried again".to_owned(),
        };
        let message = format!("no heartbeat is written on {}: {error}; {remedy}", server.name);
        if self.told.as_ref() != Some(&message) {
            self.control.events.record("no_heartbeat", Some(&server.name), message.clone());
            self.told = Some(message);
        }
    }
}
