//! Running a statement: decide, borrow, catch up, send, relay; and again where nothing was lost by it.

use std::{io, pin::pin, sync::Arc};

use dauphin_proto::{command, reply::status, response::Shape};
use tokio::time::Instant;

use super::{
    Session, SessionError,
    binding::Binding,
    catch_up::{CatchUp, CatchUpError, Wait},
    client::Packet,
    freshness::Behind,
    learn,
    lingering::{InsertId, Left, Lingering},
    registry::Activity,
    relay::{self, Listener, Manner, Outcome, RelayError, Relayed, SERVER_IS_READ_ONLY, SHUTTING_DOWN},
    route::{self, Last, Role},
    settle::sets_only_names,
};
use crate::{
    backend::{
        BackendLost, ConnectError, Exchange, Lease, Server, ServerId,
        connect::{MUST_CHANGE_PASSWORD, ServerError},
        prepared::Source,
        server::LeaseError,
        state::is_on,
    },
    catalogue::Changing,
    error::{Answer, ClientError},
    fault::ClientFault,
    metrics::{DIGEST_TEXT, Metrics, Place, Retry},
    routing::{
        Term,
        decide::{Decision, Reason, Situation, Target, decide},
    },
    sql::{self, Change, Effect, Kill, Needs, Statement, Syntax, normalise},
    topology::{Flavour, gtid::Written},
};

/// Errors by which a read-only server refuses a write; MySQL's 1290 and 1792, and 1836 while it is in read-only mode.
const READ_ONLY_SERVER: [u16; 4] = [SERVER_IS_READ_ONLY, 1792, 1836, SHUTTING_DOWN];

/// How often a statement is tried anew before its last error is told, whatever the number of servers.
const MOST_ATTEMPTS: usize = 16;

/// A lease and how the session came by it.
pub(super) struct Borrowed {
    pub lease: Lease,
    pub role: Role,
    pub reason: Reason,
    /// Whether it is the connection that the session was bound to.
    pub bound: bool,
    /// What its server must wait for first.
    pub wait: Option<Box<Wait>>,
}

/// What an attempt at a statement came to.
pub(super) enum Attempt<T> {
    /// It is done.
    Done(T),
    /// Nothing was lost: once more, elsewhere.
    Again(Again),
}

/// What the next attempt must know.
pub(super) enum Again {
    /// Not on this replica.
    NotOn(ServerId),
    /// On the primary, for this reason.
    OnPrimary(Reason),
    /// Wherever it is decided now.
    Anywhere(String),
    /// Once there is a primary again: its term ended before anything was sent.
    Held,
    /// Once there is a primary that takes writes: it has refused this one, of which nothing was done, as read-only.
    ReadOnly(Box<ServerError>),
}

/// What earlier attempts at a statement have taught.
#[derive(Default)]
pub(super) struct Attempts {
    tried: Vec<ServerId>,
    to_primary: Option<Reason>,
    count: usize,
    last: String,
    refused: Option<Box<Refused>>,
    /// What a cursor is to be opened for, or long data is for: a connection will do that is kept for such.
    for_cursor: Option<Arc<Source>>,
}

/// The primary is read-only.
struct Refused {
    /// Its words.
    error: Box<ServerError>,
    /// Since when that is known.
    since: Instant,
    /// Whether it was so at the last attempt.
    again: bool,
}

impl Attempts {
    /// Of a statement whose cursor or long data stays open, if there is a source.
    pub fn for_cursor(source: Option<Arc<Source>>) -> Self {
        Self { for_cursor: source, ..Self::default() }
    }

    /// Takes in how the last attempt went.
    ///
    /// # Errors
    /// There have been enough.
    pub fn learn(&mut self, again: Again, metrics: &Metrics) -> Result<(), ClientError> {
        let cause = match again {
            Again::Held => return Ok(()),
            Again::ReadOnly(error) => {
                let since = self.refused.as_ref().map_or_else(Instant::now, |refused| refused.since);
                self.refused = Some(Box::new(Refused { error, since, again: true }));
                return Ok(());
            }
            Again::NotOn(server) => {
                self.tried.push(server);
                Retry::OtherReplica
            }
            Again::OnPrimary(reason) => {
                self.to_primary = Some(reason);
                Retry::OnPrimary
            }
            Again::Anywhere(cause) => {
                self.last = cause;
                Retry::Anywhere
            }
        };
        self.count += 1;
        metrics.retried(cause);
        if self.count > MOST_ATTEMPTS { Err(ClientError::no_server(&self.last)) } else { Ok(()) }
    }
}

/// Why a statement cannot be run; what the client is told, and whether the session can go on.
pub(super) enum Failure {
    /// The client is told; the session goes on.
    Told(Answer),
    /// The client is told, in a packet of this number if the response had begun, and the session ends: what it was bound
    /// to is lost, or whether a write was done is not known.
    Fatal(ClientError, Option<u8>),
    /// The client has gone.
    Client(io::Error),
    /// The client has got a part of a response that cannot be completed.
    Broken(&'static str),
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Told(error.into())
    }
}

impl Session {
    /// COM_QUERY.
    pub(super) async fn query(&mut self, packet: &mut Packet) -> Result<(), SessionError> {
        if packet.is_partial() {
            return self.run_known(packet, &route::LONG).await;
        }
        let syntax = self.syntax();
        let statement = self.context.classifications.classify(packet.text(), &syntax);
        self.hint_stack.change(&statement);
        if let Effect::Own(own) = &statement.effect {
            return Box::pin(self.own(own, packet)).await;
        }
        if let Some(Kill { query_only, id: Some(id) }) = statement.kill {
            return Box::pin(self.kill(id, query_only, packet)).await;
        }
        let statement = self.resolved(statement).await;
        let outcome = self.run_known(packet, &statement).await;
        self.route.done(statement);
        outcome
    }

    /// The statement, with what is known of the stored code that it uses. Whether a write runs any, by a trigger, is known
    /// only from the servers: after code of its own making a session waits until they have been asked again.
    pub(super) async fn resolved(&mut self, statement: Arc<Statement>) -> Arc<Statement> {
        let code = &self.context.code;
        let may_trigger =
            self.defined_code && statement.effect == Effect::Write && !statement.tables.is_empty();
        let fresh = !may_trigger && statement.calls.is_empty() || code.is_fresh().await;
        self.defined_code &= !may_trigger;
        match code.load().resolve(&statement, self.schema(), fresh) {
            Some(resolved) => Arc::new(resolved),
            None => statement,
        }
    }

    /// The default schema.
    pub(super) fn schema(&self) -> Option<&str> {
        std::str::from_utf8(self.state.schema.as_deref()?).ok()
    }

    /// Until this is dropped nobody relies on what was known of stored code, if the statement changes some.
    pub(super) fn changes_code(&mut self, statement: &Statement) -> Option<Changing> {
        let defines = statement.changes.contains(&Change::DefinesCode);
        self.defined_code |= defines;
        defines.then(|| self.context.code.changing())
    }

    /// Runs a command whose statement is known, and tells the client if that cannot be done.
    pub(super) async fn run_known(
        &mut self,
        packet: &mut Packet,
        statement: &Arc<Statement>,
    ) -> Result<(), SessionError> {
        let shape = dauphin_proto::command::Command::parse(packet.payload())
            .map_or(Shape::Status, |command| command.shape());
        let outcome = self.attempts(packet, statement, shape).await;
        self.tell(outcome).await
    }

    /// Tells the client of a failure, if there is one.
    pub(super) async fn tell<T>(&mut self, outcome: Result<T, Failure>) -> Result<(), SessionError> {
        match outcome {
            Ok(_) => Ok(()),
            Err(Failure::Told(answer)) => Ok(self.say(answer).await?),
            Err(Failure::Fatal(error, sequence)) => {
                let sequence = sequence.unwrap_or(self.client.reply_sequence);
                tracing::warn!(session = self.registered.entry.id, %error, "session ends");
                self.client.error(error, sequence).await?;
                Err(SessionError::Ended("backend connection lost"))
            }
            Err(Failure::Client(error)) => {
                if ClientFault::of(&error) == ClientFault::TooLarge {
                    self.say(ClientError::packet_too_large()).await?;
                }
                Err(error.into())
            }
            Err(Failure::Broken(why)) => Err(SessionError::Ended(why)),
        }
    }

    async fn attempts(
        &mut self,
        packet: &mut Packet,
        statement: &Arc<Statement>,
        shape: Shape,
    ) -> Result<(), Failure> {
        let _changing = self.changes_code(statement);
        let _setting = self.sets_globals(statement);
        self.end_read_only(statement).await?;
        self.carry_before(statement).await?;
        let mut attempts = Attempts::default();
        loop {
            let Some(borrowed) = self.borrow(statement, &mut attempts).await? else { continue };
            match self.attempt(borrowed, packet, statement, shape).await? {
                Attempt::Done(()) => return Ok(()),
                Attempt::Again(again) => attempts.learn(again, &self.context.metrics)?,
            }
        }
    }

    /// Decides, and borrows a connection accordingly; `None` if it must be decided anew.
    pub(super) async fn borrow(
        &mut self,
        statement: &Arc<Statement>,
        attempts: &mut Attempts,
    ) -> Result<Option<Borrowed>, Failure> {
        if let Some(refused) = attempts.refused.as_mut().filter(|refused| refused.again) {
            refused.again = false;
            Box::pin(self.await_reopened(refused)).await?;
        }
        self.route.forget_last();
        self.borrowed_keeps = Needs::NONE;
        self.note_token(statement);
        if !self.owed.is_empty() && !self.runs_where_owed(statement, attempts) {
            self.collect_owed().await;
        }
        let wanted = self.wanted(statement);
        let decision = self.decide(statement, attempts, &wanted);
        let taken = match decision.target {
            Target::Bound => Ok(self.take_bound(decision.reason)?),
            Target::Previous => self.take_lingering(decision.reason).await,
            Target::Primary => self.take_primary(decision.reason, attempts).await?,
            Target::Replica(server) => {
                let missing = if server.has_all(&wanted) { Vec::new() } else { wanted.into_owned() };
                self.take_replica(&server, decision.reason, &missing, attempts).await?
            }
            Target::Nowhere => return Err(self.too_stale(statement).into()),
        };
        match taken {
            Ok(borrowed) => Ok(Some(borrowed)),
            Err(again) => {
                attempts.learn(again, &self.context.metrics)?;
                Ok(None)
            }
        }
    }

    fn runs_where_owed(&self, statement: &Statement, attempts: &Attempts) -> bool {
        let decision = self.decide(statement, attempts, &self.wanted(statement));
        matches!(decision.target, Target::Previous)
    }

    pub(super) fn decide(&self, statement: &Statement, attempts: &Attempts, wanted: &[Written]) -> Decision {
        let situation = Situation {
            in_transaction: matches!(self.binding, Binding::Transaction(_)),
            pinned: self.pinned(statement),
            has_primary: self.binding.lease().is_some_and(Lease::is_for_writes),
            previous: self.previous(statement),
            autocommit: self.state.autocommit() && relay::has(self.status, status::AUTOCOMMIT),
            serializable: self.is_serializable(),
            unlogged_writes: self.unlogged_writes,
            auto_is_null: self.state.variable("sql_auto_is_null").is_some_and(is_on),
            read_only: self.is_read_only(),
            hint: statement.hint.as_ref().or_else(|| self.hint_stack.hint()),
            last: self.route.last_server(),
            access_mode: self.wishes.access_mode,
            refused_by_replica: statement.digest != 0 && self.context.misrouted.contains(statement.digest),
            depends_on_server: self.depends_on_server(statement),
            sets_uncarried: self.is_full()
                || statement.variables.iter().any(|name| learn::is_not_carried(name) || learn::records(name)),
            tried: &attempts.tried,
            to_primary: attempts.to_primary,
            demand: self.demand(statement, wanted),
        };
        decide(statement, situation, &self.context.published.load(), &self.context.published)
    }

    /// What the previous statement's connection has for this one, if that may run there.
    fn previous(&self, statement: &Statement) -> Needs {
        let may_run = |lingering: &&Lingering| {
            role_of(&lingering.lease) == Role::Primary || self.may_run_on_replica(statement, false)
        };
        self.lingering.as_ref().filter(may_run).map_or(Needs::NONE, |lingering| lingering.keeps)
    }

    /// The word for what keeps `statement` on the pinned connection, if something does.
    fn pinned(&self, statement: &Statement) -> Option<&'static str> {
        let Binding::Pinned(lease) = &self.binding else { return None };
        if self.prepared.on_binding() && statement.effect != Effect::Read {
            return Some("cursor");
        }
        if statement.needs.intersects(Needs::FOLLOW_UP) && self.last_on_binding {
            return Some(Reason::FollowUp.label());
        }
        if statement.needs.contains(Needs::LAST_INSERT_ID) && self.insert_id.is_on(lease) {
            return Some(Reason::LastInsertId.label());
        }
        self.pins.binds(statement).map(|reason| reason.label())
    }

    fn depends_on_server(&self, statement: &Statement) -> bool {
        self.schema().is_some_and(|schema| statement.depends_on_server(schema))
    }

    /// The bound connection, and no other: what is open there is nowhere else.
    fn take_bound(&mut self, reason: Reason) -> Result<Borrowed, Failure> {
        let lease = self.binding.take().expect("a decision for the bound connection needs one");
        let role = role_of(&lease);
        let moved =
            self.context.published.load().term().is_some_and(|term| term.server.id != lease.server().id);
        if role == Role::Primary && moved {
            let lost = format!("{} is not the primary any more", lease.server().name);
            return Err(Failure::Fatal(ClientError::lost(lost), None));
        }
        Ok(Borrowed { lease, role, reason, bound: true, wait: None })
    }

    async fn take_lingering(&mut self, reason: Reason) -> Result<Borrowed, Again> {
        let mut lingering = self.lingering.take().expect("a decision for the previous connection needs one");
        if lingering.lease.is_stale() {
            self.insert_id = self.insert_id.lost();
            return Err(Again::Anywhere("the previous statement's connection is lost".to_owned()));
        }
        let role = role_of(&lingering.lease);
        self.borrowed_keeps = lingering.keeps;
        Ok(Borrowed { lease: lingering.lease, role, reason, bound: false, wait: None })
    }

    /// As what a server would run a statement now.
    pub(super) fn role_now(&self, server: &Server) -> Role {
        let table = self.context.published.load();
        if table.term().is_some_and(|term| term.server.id == server.id) {
            Role::Primary
        } else {
            Role::Replica
        }
    }

    async fn take_primary(
        &mut self,
        reason: Reason,
        attempts: &Attempts,
    ) -> Result<Result<Borrowed, Again>, Failure> {
        if !self.context.hold.is_open(&self.context.published) {
            // Whoever changes the primary waits for the connections to the old one.
            self.let_go().await;
        }
        let held = {
            let primary = pin!(self.context.hold.primary(&self.context.published));
            self.waits(Activity::WaitingForPrimary, primary).await?
        };
        let term: Arc<Term> = held.map_err(ClientError::no_server)?;
        let kept = attempts.for_cursor.as_ref().and_then(|source| self.lend_kept(&term.server, source));
        let on_primary = |lingering: &mut Lingering| lingering.lease.server().id == term.server.id;
        if kept.is_none()
            && let Some(mut lingering) = self.lingering.take_if(on_primary)
        {
            if !lingering.lease.is_stale() && self.context.published.serves(&term) {
                self.borrowed_keeps = lingering.keeps;
                return Ok(Ok(Borrowed {
                    lease: lingering.lease,
                    role: Role::Primary,
                    reason,
                    bound: false,
                    wait: None,
                }));
            }
            self.insert_id = self.insert_id.lost();
        }
        // Not to hold one connection while waiting for another.
        self.let_go().await;
        let leased = match kept {
            Some(lease) => Ok(lease),
            None => self.lease(&term.server).await?,
        };
        Ok(match leased {
            Ok(mut lease) => {
                lease.lent_for_writes(true);
                // Counted first and looked second: whoever ends the term counts after it has said so.
                if self.context.published.serves(&term) {
                    Ok(Borrowed { lease, role: Role::Primary, reason, bound: false, wait: None })
                } else {
                    self.give_back(lease);
                    Err(Again::Held)
                }
            }
            // A login that was trusted without asking a server: none would have let it in but to change the password.
            Err(LeaseError::Connect(ConnectError::Refused(error)))
                if error.code == MUST_CHANGE_PASSWORD && self.route.last_server().is_none() =>
            {
                Box::pin(self.find_expired()).await.map_err(Failure::Told)?;
                Err(Again::Anywhere(error.to_string()))
            }
            Err(error) => Err(self.not_leased(&term.server, error, Role::Primary)?),
        })
    }

    /// Waits for a primary that takes writes; if there is none in time, the client is told what the last one said.
    async fn await_reopened(&mut self, refused: &Refused) -> Result<(), Failure> {
        // Whoever changes the primary waits for the connections to the old one.
        self.let_go().await;
        let hold = &self.context.hold;
        let reopened = pin!(hold.reopened(&self.context.published, refused.since + hold.timeout()));
        let reopened = self.waits(Activity::WaitingForPrimary, reopened).await?;
        reopened.map(drop).map_err(|_| Failure::Told(ServerError::clone(&refused.error).into()))
    }

    async fn take_replica(
        &mut self,
        server: &Arc<Server>,
        reason: Reason,
        wanted: &[Written],
        attempts: &Attempts,
    ) -> Result<Result<Borrowed, Again>, Failure> {
        // What the previous statement left is asked for at once or not at all; an insert's id may be asked for later.
        let is_due = |lingering: &Lingering| {
            !lingering.keeps.contains(Needs::LAST_INSERT_ID)
                || lingering.lease.server().pool.usage().waiting > 0
        };
        if self.lingering.as_ref().is_some_and(is_due) {
            self.let_go().await;
        }
        // On a connection with cursors nothing is waited for.
        let for_cursor = attempts.for_cursor.as_ref().filter(|_| wanted.is_empty());
        let leased = match for_cursor.and_then(|source| self.lend_kept(server, source)) {
            Some(lease) => Ok(lease),
            None => self.lease(server).await?,
        };
        let mut lease = match leased {
            Ok(lease) => lease,
            Err(error) => return Ok(Err(self.not_leased(server, error, Role::Replica)?)),
        };
        let role = self.role_now(server);
        lease.lent_for_writes(role == Role::Primary);
        let waiting = self.wait_for(lease, wanted);
        Ok(waiting.map(|(lease, wait)| Borrowed { lease, role, reason, bound: false, wait }))
    }

    async fn lease(&self, server: &Arc<Server>) -> Result<Result<Lease, LeaseError>, ClientError> {
        let lease = pin!(server.lease(&self.account, self.profile, &self.state));
        self.waits(Activity::WaitingForConnection, lease).await
    }

    /// What a statement waits for in dauphin, unless it is ended by KILL QUERY meanwhile: nothing was sent of it. `what` is
    /// pinned by the caller: an idle session's memory is the size of its future, and each call by value would add to it.
    pub(super) async fn waits<T>(
        &self,
        activity: Activity,
        what: impl Future<Output = T> + Unpin,
    ) -> Result<T, ClientError> {
        self.registered.entry.waits(activity, what).await.ok_or_else(ClientError::interrupted)
    }

    /// What to do when a server does not lend a connection.
    fn not_leased(&self, server: &Server, error: LeaseError, role: Role) -> Result<Again, Failure> {
        match error {
            LeaseError::Connect(ConnectError::Refused(refused))
                if refused.code == 1045 && role == Role::Primary =>
            {
                // The password was changed or the account dropped; a replica perhaps has not heard of the account yet.
                self.context.forget(&self.account);
                let error = ClientError::access_denied(&self.account.name(), &self.client.host, true);
                Err(Failure::Fatal(error, None))
            }
            error if role == Role::Replica => {
                tracing::debug!(server = %server.name, %error, "no connection to a replica");
                Ok(Again::NotOn(server.id))
            }
            LeaseError::Connect(error) if error.is_unreachable() => Ok(Again::Anywhere(error.to_string())),
            LeaseError::Connect(ConnectError::Refused(refused)) => {
                if refused.code == MUST_CHANGE_PASSWORD {
                    self.context.accounts.refused(&self.account);
                }
                Err(Failure::Told(refused.into()))
            }
            error => Err(ClientError::too_many_connections(&format!("{}: {error}", server.name)).into()),
        }
    }

    pub(super) fn flavour(&self) -> Flavour {
        self.context.flavour()
    }

    /// One attempt: the state that the connection lacks and the command in one write, then the answers.
    async fn attempt(
        &mut self,
        borrowed: Borrowed,
        packet: &mut Packet,
        statement: &Arc<Statement>,
        shape: Shape,
    ) -> Result<Attempt<()>, Failure> {
        let is_whole = !packet.is_partial();
        let may_repeat = self.repeatable(statement, &borrowed) && is_whole;
        let sent = self.send(borrowed, packet, statement, may_repeat).await?;
        let (exchange, borrowed) = match sent {
            Attempt::Done(sent) => sent,
            Attempt::Again(again) => return Ok(Attempt::Again(again)),
        };
        let manner = Manner {
            withhold: self.withhold(statement, &borrowed, is_whole),
            tells_errors: statement.kill.is_some(),
            value: self.value(statement, borrowed.elsewhere),
            ..self.manner(shape)
        };
        match self.receive(exchange, manner, &borrowed, may_repeat).await? {
            Attempt::Done((mut lease, mut outcome)) => {
                if let Some(kill) = statement.kill {
                    // Rare, and large: not a part of every session's future.
                    let refused = Box::pin(self.kill_refused(lease, kill, &mut outcome)).await;
                    let Some(kept) = refused.map_err(Failure::Client)? else {
                        return Ok(Attempt::Done(()));
                    };
                    lease = kept;
                }
                if is_whole && outcome.warnings > 0 && sets_only_names(statement) {
                    // Rare, and large: not a part of every session's future.
                    let asked = Box::pin(self.names_that_warned(lease, statement, packet, &mut outcome));
                    let Some(asked) = asked.await else {
                        self.lose_binding(borrowed.bound);
                        return Ok(Attempt::Done(()));
                    };
                    lease = asked;
                }
                self.settle(lease, statement, &outcome, borrowed.bound).await;
                Ok(Attempt::Done(()))
            }
            Attempt::Again(again) => {
                if matches!(again, Again::OnPrimary(Reason::RefusedByReplica)) {
                    self.context.misrouted.insert(statement.digest);
                    tracing::info!(
                        server = borrowed.lease_server.name,
                        "a statement that looked like a read was refused by a replica; it and its like go to the primary"
                    );
                }
                Ok(Attempt::Again(again))
            }
        }
    }

    /// Sends the command behind what the connection lacks of the session's state, and reads the answers to that.
    pub(super) async fn send(
        &mut self,
        borrowed: Borrowed,
        packet: &mut Packet,
        statement: &Statement,
        may_repeat: bool,
    ) -> Result<Attempt<(Exchange, Sent)>, Failure> {
        let Borrowed { mut lease, role, reason, bound, wait } = borrowed;
        let server = lease.server().clone();
        if role == Role::Replica && !self.may_run_on_replica(statement, bound) {
            // read_only does not stop an account with SUPER: nothing but what is proven harmless leaves for a replica.
            tracing::error!(server = %server.name, reason = reason.label(), "a statement for the primary was about to run on a replica");
            if bound {
                let lost =
                    ClientError::lost(format!("{} is a replica, and its transaction has ended", server.name));
                return Err(Failure::Fatal(lost, None));
            }
            drop(lease);
            return Ok(Attempt::Again(Again::OnPrimary(Reason::Text(statement.reason))));
        }
        let elsewhere = !bound && reason != Reason::FollowUp;
        let waits = wait.as_ref().map(|wait| wait.at_most);
        let mut catch_up = match self.catch_up(&mut lease, statement, elsewhere, wait).await {
            Ok(catch_up) => catch_up,
            Err(lost) => return self.lost(lost, &server, role, bound, may_repeat),
        };
        self.registered.entry.begins(super::registry::Running { server: server.id, connection: lease.id() });
        if waits.is_none() {
            self.note_sent(&server, role, reason, packet, statement);
        }
        // Of a command too long to be kept nothing could be sent again after a wait in vain.
        let is_kept = waits.is_none() || !packet.is_partial();
        let together = statement.effect == Effect::Read && is_kept || catch_up.is_empty();
        let mut bytes = std::mem::take(&mut catch_up.bytes);
        let sent = if bytes.is_empty() {
            lease.send(packet.to_send()).await
        } else {
            if together {
                bytes.extend_from_slice(packet.to_send());
            }
            lease.send(&bytes).await
        };
        let mut exchange = match sent {
            Ok(exchange) => exchange,
            Err(lost) => return self.lost(lost, &server, role, bound, !packet.is_partial()),
        };
        if together && packet.is_partial() {
            self.stream_rest(&mut exchange, packet).await?;
        }
        let behind = if together { Behind::Read(statement) } else { Behind::Nothing };
        let answered = self.caught_up(catch_up, exchange, waits, behind).await?;
        if waits.is_some() && answered.is_ok() {
            self.note_sent(&server, role, reason, packet, statement);
        }
        let mut exchange = match answered {
            Ok(exchange) => exchange,
            // Of a command that waits for these answers nothing was sent.
            Err(CatchUpError::Lost(lost)) => {
                return self.lost(lost, &server, role, bound, may_repeat || !together);
            }
            Err(CatchUpError::Refused(error)) => {
                tracing::info!(server = %server.name, %error, "the server does not take the session's state");
                if role == Role::Replica && !bound && (may_repeat || !together) {
                    return Ok(Attempt::Again(Again::OnPrimary(Reason::ReplicaFailed)));
                }
                return Err(Failure::Told(error.into()));
            }
            Err(CatchUpError::Stale { .. }) => return Ok(Attempt::Again(Again::OnPrimary(Reason::Stale))),
            Err(CatchUpError::Interrupted) => return Err(ClientError::interrupted().into()),
        };
        if !together {
            // What changes anything must not run under a state that the server has refused.
            exchange = match exchange.finish() {
                Ok(lease) => match lease.send(packet.to_send()).await {
                    Ok(exchange) => exchange,
                    Err(lost) => return self.lost(lost, &server, role, bound, !packet.is_partial()),
                },
                Err(lost) => return self.lost(lost, &server, role, bound, true),
            };
            if packet.is_partial() {
                self.stream_rest(&mut exchange, packet).await?;
            }
        }
        Ok(Attempt::Done((exchange, Sent { lease_server: server, role, bound, elsewhere })))
    }

    /// Counts the statement, and remembers where it went.
    fn note_sent(
        &mut self,
        server: &Arc<Server>,
        role: Role,
        reason: Reason,
        packet: &Packet,
        statement: &Statement,
    ) {
        let place = Place::new(server.id, role, reason);
        self.registered.entry.sent(place);
        self.context.metrics.sent(place, packet.bytes().len(), statement.digest, || {
            let is_query = packet.payload().first() == Some(&command::code::QUERY);
            is_query.then(|| sample(packet.text(), &self.syntax()))
        });
        self.route.last = Some(Last { server: server.clone(), role, reason, statement: None });
        self.route.sent_to = Some((server.id, role));
    }

    /// Reads, settings, and what a read-only transaction that is open there lets through.
    fn may_run_on_replica(&self, statement: &Statement, bound: bool) -> bool {
        match statement.effect {
            Effect::Read | Effect::Session | Effect::Begin { .. } => true,
            _ => bound && relay::has(self.status, status::IN_TRANS_READONLY),
        }
    }

    /// What the connection lacks; an insert's id that is on another connection is fetched from there.
    /// `elsewhere`: it is not the connection that ran the session's previous statement.
    async fn catch_up(
        &mut self,
        lease: &mut Lease,
        statement: &Statement,
        elsewhere: bool,
        wait: Option<Box<Wait>>,
    ) -> Result<CatchUp, BackendLost> {
        if lease.is_expired() {
            return Ok(CatchUp::with(lease.queries()));
        }
        lease.connection().prepared.sweep(&self.context.fleet.sources);
        let tracking_lost = std::mem::take(&mut lease.connection().tracking_lost);
        let catch_up = CatchUp::with(lease.queries()).behind(self.flavour(), wait);
        let mut catch_up = catch_up.and_state(lease.connection(), &self.state);
        if tracking_lost {
            catch_up.tracking(self.flavour());
        }
        if statement.needs.contains(Needs::LAST_INSERT_ID) && !self.insert_id.is_on(lease) {
            self.let_go().await;
            if let InsertId::Known(value) = self.insert_id {
                catch_up.last_insert_id(value);
                self.insert_id = InsertId::on(lease, value);
            }
        }
        if elsewhere && statement.needs.intersects(Needs::FOLLOW_UP) {
            catch_up.like_previous(self.flavour(), self.left);
        } else if elsewhere && statement.tables.is_empty() && std::mem::take(&mut lease.connection().warned) {
            catch_up.forget_warnings();
        }
        if self.pinged && statement.needs.contains(Needs::ROW_COUNT) {
            catch_up.ping();
        }
        Ok(catch_up)
    }

    /// The rest of a command that is too long to be kept: from the client to the server as it comes.
    async fn stream_rest(&mut self, exchange: &mut Exchange, packet: &mut Packet) -> Result<(), Failure> {
        let mut changed = Vec::new();
        while let Some(bytes) =
            self.client.more_to_send(packet, &mut changed).await.map_err(Failure::Client)?
        {
            if let Err(lost) = exchange.send_more(bytes).await {
                // The server refuses the rest, and may have said why.
                tracing::debug!(%lost, "server stopped reading a long command");
                while self.client.more(packet).await.map_err(Failure::Client)?.is_some() {}
                break;
            }
        }
        Ok(())
    }

    /// An ordinary response of this shape.
    pub(super) fn manner(&self, shape: Shape) -> Manner<'static> {
        let result_buffer = self.context.config.limits.result_buffer;
        Manner { shape, statement_id: None, withhold: &[], tells_errors: false, result_buffer, value: None }
    }

    /// What the session knows of the one value that the statement asks for. `elsewhere`: it was sent to another connection
    /// than the statement before it.
    pub(super) fn value(&self, statement: &Statement, elsewhere: bool) -> Option<u64> {
        if !statement.needs.contains(Needs::ONE_VALUE) {
            return None;
        }
        if !statement.needs.contains(Needs::ROW_COUNT) {
            return Some(self.registered.entry.id.into());
        }
        match self.left {
            Left::Changed(rows) if elsewhere && !self.pinged => Some(rows),
            _ => None,
        }
    }

    /// Forwards the response.
    pub(super) async fn receive(
        &mut self,
        exchange: Exchange,
        manner: Manner<'_>,
        sent: &Sent,
        may_repeat: bool,
    ) -> Result<Attempt<(Lease, Box<Outcome>)>, Failure> {
        let flavour = self.flavour();
        let listener = Listener {
            state: &mut self.state,
            tracks: &mut self.tracks,
            flavour,
            status: self.status,
            own_writes: &mut self.own_writes,
            all_writes: &self.context.writes,
            tokens: &self.tokens,
        };
        let mut relayed = relay::relay(exchange, &mut self.client, listener, manner).await;
        self.registered.entry.ends();
        if flavour == Flavour::MariaDb
            && let Ok(relayed) = &mut relayed
        {
            relayed.note_warnings();
        }
        match relayed {
            Ok(Relayed::Whole(lease, outcome)) => {
                self.context.metrics.relayed(outcome.bytes);
                Ok(Attempt::Done((lease, outcome)))
            }
            Ok(Relayed::Untold(lease, error)) => {
                let (code, untold) = (Some(error.code), Some(error));
                let outcome = Outcome { error: code, warnings: 1, untold, ..Outcome::default() };
                Ok(Attempt::Done((lease, Box::new(outcome))))
            }
            Ok(Relayed::Withheld(lease, error)) if error.code == SHUTTING_DOWN => {
                drop(lease);
                sent.lease_server.suspect("it is shutting down");
                Ok(Attempt::Again(match sent.role {
                    Role::Replica => Again::NotOn(sent.lease_server.id),
                    Role::Primary => Again::Anywhere(format!("{} is shutting down", sent.lease_server.name)),
                }))
            }
            Ok(Relayed::Withheld(lease, _)) if sent.bound => {
                self.return_unused(lease, true);
                Err(ClientError::read_only_transaction(self.flavour()).into())
            }
            Ok(Relayed::Withheld(lease, error)) if sent.role == Role::Primary => {
                sent.lease_server.look_again();
                if let Some(lease) = self.keep_insert_id(lease).await {
                    self.give_back(lease);
                }
                Ok(Attempt::Again(Again::ReadOnly(Box::new(error))))
            }
            Ok(Relayed::Withheld(lease, _)) => {
                self.give_back(lease);
                Ok(Attempt::Again(Again::OnPrimary(Reason::RefusedByReplica)))
            }
            Err(RelayError::Client(error)) => Err(Failure::Client(error)),
            Err(RelayError::Backend { lost, delivered: false, .. }) => {
                self.lost(lost, &sent.lease_server, sent.role, sent.bound, may_repeat)
            }
            Err(RelayError::Backend { lost, sequence, .. }) => {
                self.context.metrics.lost(sent.lease_server.id, lost.cause());
                let error = ClientError::lost(format!("{}: {lost}", sent.lease_server.name));
                // Between packets the client can be told; inside one only the end of the connection says it.
                match sequence {
                    Some(sequence) => Err(Failure::Fatal(error, Some(sequence))),
                    None => Err(Failure::Broken("server lost in the middle of a packet")),
                }
            }
        }
    }

    /// Whether running it twice is as good as once.
    pub(super) fn repeatable(&self, statement: &Statement, borrowed: &Borrowed) -> bool {
        !borrowed.bound && matches!(statement.effect, Effect::Read) && self.context.config.routing.retry_reads
    }

    /// Errors that are not for the client: a read that is none after all goes to the primary, a write that the primary does
    /// not take waits until it does, and in a read-only transaction the primary would name the transaction, not the server,
    /// as the reason. `is_whole`: the command can be sent again.
    pub(super) fn withhold(&self, statement: &Statement, sent: &Sent, is_whole: bool) -> &'static [u16] {
        let plain_read = statement.effect == Effect::Read && statement.statements == 1;
        match (sent.role, sent.bound) {
            (_, false) if !is_whole => &[],
            (Role::Primary, false) if plain_read => &[SHUTTING_DOWN],
            (Role::Primary, false) if self.is_undone_by_refusal(statement) => &[SERVER_IS_READ_ONLY],
            (Role::Replica, false) if plain_read => &READ_ONLY_SERVER,
            (Role::Replica, true) if relay::has(self.status, status::IN_TRANS_READONLY) => {
                &[SERVER_IS_READ_ONLY]
            }
            _ => &[],
        }
    }

    /// Whether nothing is done of a statement that a server refuses as read-only. It does so before the statement begins, and
    /// at the commit, with a rollback; stored code and assignments may have done something before that.
    fn is_undone_by_refusal(&self, statement: &Statement) -> bool {
        statement.effect == Effect::Write
            && statement.reason == sql::Reason::DataChange
            && statement.statements == 1
            && statement.changes.is_empty()
            && !statement.needs.contains(Needs::LAST_INSERT_ID)
            && self.state.autocommit()
    }

    /// A connection was lost before the client got anything.
    fn lost<T>(
        &mut self,
        lost: BackendLost,
        server: &Server,
        role: Role,
        bound: bool,
        may_repeat: bool,
    ) -> Result<Attempt<T>, Failure> {
        self.registered.entry.ends();
        self.context.metrics.lost(server.id, lost.cause());
        tracing::info!(server = %server.name, session = self.registered.entry.id, %lost, bound, may_repeat, "backend connection lost");
        if bound {
            self.prepared.binding_ended();
            return Err(Failure::Fatal(ClientError::lost(format!("{}: {lost}", server.name)), None));
        }
        if may_repeat || matches!(lost, BackendLost::BeforeSend(_)) {
            return Ok(Attempt::Again(if role == Role::Replica {
                Again::NotOn(server.id)
            } else {
                Again::Anywhere(format!("{}: {lost}", server.name))
            }));
        }
        let detail = format!("{}: {lost}; whether the statement was executed is not known", server.name);
        Err(Failure::Fatal(ClientError::lost(detail), None))
    }
}

/// A command that was sent, and where.
pub(super) struct Sent {
    pub lease_server: Arc<Server>,
    pub role: Role,
    pub bound: bool,
    /// Another connection has run the session's previous statement.
    pub elsewhere: bool,
}

/// A text without its literals, for people.
pub(super) fn sample(text: &[u8], syntax: &Syntax) -> String {
    normalise(text, syntax, DIGEST_TEXT)
}

/// As what a connection was lent: it stays that for what is bound to it.
pub(super) fn role_of(lease: &Lease) -> Role {
    if lease.is_for_writes() { Role::Primary } else { Role::Replica }
}
