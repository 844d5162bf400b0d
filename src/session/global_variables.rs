//! What a new session has of the global variables that were set through this dauphin: what it would have on the primary, wherever
//! its statements run. Each server has globals of its own, and SET GLOBAL changes the primary's alone.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::{Context, Session, catch_up::setting, learn, value::narrow};
use crate::{
    backend::{Account, Profile, State, connection::Charsets, own::OwnConnection},
    routing::Epoch,
    sql::{Change, Statement},
};

/// How long the primary may take to say what a new session has.
const AT_MOST: Duration = Duration::from_secs(5);
/// How long a login waits for a SET GLOBAL that runs: its client may have heard that it is done, and dauphin not have noted it.
const NOTED_WITHIN: Duration = Duration::from_millis(100);
/// Variables that are remembered, and what is known of so many accounts: more than there are.
const MOST: usize = 1000;

/// A session variable and its value.
type Variable = (Box<str>, Box<[u8]>);
/// Of which sessions something is known: an account's, logged in alike, in one term.
type Whose = (u64, Profile, Epoch);

/// The global variables that were set.
#[derive(Debug, Default)]
pub struct GlobalVariables {
    any: AtomicBool,
    set: Mutex<Set>,
    /// How many statements that set some are running.
    running: watch::Sender<usize>,
}

/// A statement that sets global variables, from before it is sent until they are noted.
pub(super) struct Running(Arc<Context>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.globals.running.send_modify(|running| *running -= 1);
    }
}

/// What is not known yet.
struct ToAsk {
    names: Vec<Box<str>>,
    count: u64,
}

#[derive(Debug, Default)]
struct Set {
    /// Counts what was set: what was asked for before it is of no use.
    count: u64,
    names: BTreeSet<Box<str>>,
    known: HashMap<Whose, Arc<[Variable]>>,
}

impl GlobalVariables {
    /// A statement has made these changes.
    pub fn note(&self, changes: &[Change]) {
        let mut set = self.set.lock();
        for change in changes {
            let Change::GlobalVariable(name) = change else { continue };
            // The login says the character sets of a session.
            let is_carried = !learn::is_not_carried(name)
                && !learn::is_following(name)
                && !learn::records(name)
                && !Charsets::NAMES.contains(&&**name);
            if is_carried && set.names.len() < MOST {
                set.names.insert(name.clone());
            }
        }
        set.count += 1;
        set.known.clear();
        self.any.store(!set.names.is_empty(), Relaxed);
    }

    /// What is known of such sessions.
    fn known(&self, whose: Whose) -> Result<Arc<[Variable]>, ToAsk> {
        let set = self.set.lock();
        set.known
            .get(&whose)
            .cloned()
            .ok_or_else(|| ToAsk { names: set.names.iter().cloned().collect(), count: set.count })
    }

    fn learn(&self, whose: Whose, variables: &Arc<[Variable]>, count: u64) {
        let mut set = self.set.lock();
        if set.count == count {
            if set.known.len() >= MOST {
                set.known.clear();
            }
            set.known.insert(whose, variables.clone());
        }
    }
}

impl Context {
    /// What the primary gives a new session of the account's of what was set; nothing if it does not say.
    async fn new_session_s(&self, account: &Account, profile: Profile) -> Option<Arc<[Variable]>> {
        let term = self.published.load().term()?.clone();
        let whose = (account.id, profile, term.epoch);
        let ToAsk { names, count } = match self.globals.known(whose) {
            Ok(known) => return Some(known),
            Err(to_ask) => to_ask,
        };
        let asked = async {
            let mut connection = OwnConnection::open_like(&term.server, account, profile).await.ok()?;
            Some(ask(&mut connection, &names).await)
        };
        let variables = tokio::time::timeout(AT_MOST, asked).await.ok()??.into();
        self.globals.learn(whose, &variables, count);
        Some(variables)
    }
}

/// Those of the variables that are a session's, and that the account may set: it will be, on other connections.
async fn ask(connection: &mut OwnConnection, names: &[Box<str>]) -> Vec<Variable> {
    let texts: Vec<_> = names.iter().map(|name| format!("SELECT @@SESSION.`{name}`")).collect();
    let answers = all(connection, &texts).await;
    let values = names.iter().zip(answers).filter_map(|(name, answer)| {
        let value = answer?.rows.into_iter().next()?.into_iter().next()?;
        // In the character set of results, which may be one of wide characters.
        let value = narrow(value.as_deref().unwrap_or_default());
        Some((name.clone(), Box::from(&*value)))
    });
    let variables: Vec<Variable> = values.collect();
    let texts: Vec<_> = variables
        .iter()
        .map(|(name, value)| String::from_utf8_lossy(&setting(name, value)).into_owned())
        .collect();
    let may_set = all(connection, &texts).await;
    let settable = variables.into_iter().zip(may_set).filter(|(_, answer)| answer.is_some());
    settable.map(|(variable, _)| variable).collect()
}

/// The answers to several questions; `None` for each that was refused, and those behind the loss of the connection are left out.
async fn all(connection: &mut OwnConnection, texts: &[String]) -> Vec<Option<crate::backend::exchange::Own>> {
    let texts: Vec<_> = texts.iter().map(String::as_str).collect();
    connection.ask_all(&texts).await.into_iter().map(Result::ok).collect()
}

impl Session {
    /// Until this is dropped logins wait a little, if the statement sets global variables.
    pub(super) fn sets_globals(&self, statement: &Statement) -> Option<Running> {
        let sets = statement.changes.iter().any(|change| matches!(change, Change::GlobalVariable(_)));
        sets.then(|| {
            self.context.globals.running.send_modify(|running| *running += 1);
            Running(self.context.clone())
        })
    }

    /// Gives the session, which is new or as good as new, what it would have on the primary.
    pub(super) async fn take_globals(&mut self) {
        let globals = &self.context.globals;
        if *globals.running.borrow() > 0 {
            let mut running = globals.running.subscribe();
            let none = running.wait_for(|running| *running == 0);
            let _ = Box::pin(tokio::time::timeout(NOTED_WITHIN, none)).await;
        }
        // With an expired password it has no more than the server gives it.
        if !globals.any.load(Relaxed) || self.pins.has_expired_password() {
            return;
        }
        // Rare, and large: not a part of every session's future.
        let found = Box::pin(self.context.new_session_s(&self.account, self.profile)).await;
        let Some(variables) = found else { return };
        State::change(&mut self.state, |state| state.variables.extend(variables.iter().cloned()));
        if !self.state.autocommit() {
            self.status &= !dauphin_proto::reply::status::AUTOCOMMIT;
        }
    }
}
