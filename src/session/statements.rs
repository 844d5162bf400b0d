//! The binary prepared-statement family: ids are dauphin's own, and each statement is prepared on a server when it is
//! first needed there.

use std::sync::Arc;

use dauphin_proto::{
    command::{self, code},
    execute::{Execute, STATEMENT_ID_AT},
    packet::HEADER,
    reply::status,
    response::Shape,
};

use super::{
    Session, SessionError,
    binding::Binding,
    bulk::{self, Rows},
    catch_up::{CatchUp, CatchUpError},
    client::Packet,
    freshness::Behind,
    prepared::{Place, PreparedStatement},
    relay::{Manner, Outcome, has},
    route::{LONG, Role},
    run::{Again, Attempt, Attempts, Borrowed, Failure, role_of, sample},
};
use crate::{
    backend::{BackendLost, Lease, State, prepared::Source},
    error::ClientError,
    routing::decide::Reason,
    sql::{Change, Code, Effect, Needs, Statement},
    topology::Flavour,
};

/// What is needed of a statement to execute it, without keeping hold of the session.
pub(super) struct Executed {
    pub source: Arc<Source>,
    pub statement: Arc<Statement>,
    pub parameters: u16,
    pub columns: u16,
    pub types: Option<Box<[u8]>>,
    pub rows: Rows,
    /// Whether the client asks for a cursor.
    pub opens_cursor: bool,
    /// Whether some of its parameters were sent before.
    pub long_data: bool,
}

impl Executed {
    /// `types`: what the client says now of the parameters' types, or nothing.
    pub fn of(prepared: &mut PreparedStatement, types: Option<&[u8]>, rows: Rows) -> Self {
        if let Some(types) = types
            && prepared.types.as_deref() != Some(types)
        {
            prepared.types = Some(types.into());
        }
        Self {
            source: prepared.source.clone(),
            statement: prepared.statement.clone(),
            parameters: prepared.parameters,
            columns: prepared.columns,
            types: prepared.types.clone(),
            rows,
            opens_cursor: false,
            long_data: prepared.long_data,
        }
    }
}

impl Session {
    /// COM_STMT_PREPARE.
    pub(super) async fn prepare(&mut self, packet: &mut Packet) -> Result<(), SessionError> {
        let limit = self.context.config.cache.prepared_per_session;
        self.prepared.note_last(None);
        if self.prepared.len() >= limit {
            return Ok(self.say(ClientError::too_many_statements(limit)).await?);
        }
        let outcome = self.prepare_somewhere(packet).await;
        self.tell(outcome).await
    }

    async fn prepare_somewhere(&mut self, packet: &mut Packet) -> Result<(), Failure> {
        let syntax = self.syntax();
        let statement = if packet.is_partial() {
            LONG.clone()
        } else {
            self.context.classifications.classify(&packet.payload()[1..], &syntax)
        };
        self.hint_stack.change(&statement);
        // A text too long to be kept cannot be prepared anywhere else either: it is bound to where it is.
        let id = self.prepared.next_id();
        let mut attempts = Attempts::default();
        loop {
            let Some(borrowed) = self.borrow(&statement, &mut attempts).await? else { continue };
            let may_repeat = !borrowed.bound && !packet.is_partial();
            let (exchange, sent) = match self.send(borrowed, packet, &NO_NEEDS, may_repeat).await? {
                Attempt::Done(sent) => sent,
                Attempt::Again(again) => {
                    attempts.learn(again, &self.context.metrics)?;
                    continue;
                }
            };
            let manner = Manner { statement_id: Some(id), ..self.manner(Shape::Prepare) };
            match self.receive(exchange, manner, &sent, may_repeat).await? {
                Attempt::Again(again) => attempts.learn(again, &self.context.metrics)?,
                Attempt::Done((mut lease, outcome)) => {
                    if let Some(prepared) = outcome.prepared {
                        let text = packet.payload().get(1..).unwrap_or_default();
                        let source = self.source(text);
                        let limit = self.context.config.cache.prepared_per_connection;
                        lease.connection().prepared.insert(&source, prepared.statement_id, limit);
                        self.context.metrics.prepared(statement.digest, || Some(sample(text, &syntax)));
                        let statement = statement.clone();
                        let prepared = PreparedStatement {
                            source,
                            statement,
                            parameters: prepared.parameters,
                            columns: prepared.columns,
                            types: None,
                            place: Place::Nowhere,
                            long_data: false,
                        };
                        self.prepared.insert(id, prepared);
                        // To MySQL it is an id like any other.
                        self.prepared.note_last(Some(id).filter(|_| self.flavour() == Flavour::MariaDb));
                    }
                    self.settle(lease, &NO_NEEDS, &outcome, sent.bound).await;
                    self.route.done(statement);
                    return Ok(());
                }
            }
        }
    }

    /// A source that no other statement of the session's has, as each has a cursor and long data of its own.
    fn source(&self, text: &[u8]) -> Arc<Source> {
        let sources = &self.context.fleet.sources;
        let source = sources.intern(text, &self.state, 0);
        match self.prepared.free_copy(&source) {
            0 => source,
            copy => {
                let another = sources.intern(text, &self.state, copy);
                sources.release(source);
                another
            }
        }
    }

    /// What a server says has found the id to be unknown.
    pub(super) fn stage(&self, mariadb: &'static str) -> &'static str {
        if self.flavour() == Flavour::MySql { "mysql_stmt_precheck" } else { mariadb }
    }

    /// COM_STMT_EXECUTE.
    pub(super) async fn execute(&mut self, packet: &mut Packet, id: u32) -> Result<(), SessionError> {
        let Some(prepared) = self.prepared.get(id) else {
            return Ok(self
                .say(ClientError::unknown_statement(id, self.stage("mysqld_stmt_execute")))
                .await?);
        };
        let parsed = match Execute::parse(packet.payload(), prepared.parameters, self.profile.queries()) {
            Ok(parsed) => parsed,
            Err(_) => return Ok(self.say(ClientError::malformed_packet()).await?),
        };
        let opens_cursor = parsed.opens_cursor();
        let executed = Executed::of(prepared, parsed.types.as_deref(), Rows::One);
        prepared.long_data = false;
        let mut executed = Executed { opens_cursor, ..executed };
        let place = std::mem::take(&mut prepared.place);
        executed.statement = self.resolved(executed.statement).await;
        let outcome = self.execute_somewhere(packet, id, &executed, place).await;
        self.route.done(executed.statement);
        self.tell(outcome).await
    }

    pub(super) async fn execute_somewhere(
        &mut self,
        packet: &mut Packet,
        id: u32,
        executed: &Executed,
        place: Place,
    ) -> Result<(), Failure> {
        self.note_token(&executed.statement);
        let _changing = self.changes_code(&executed.statement);
        let _setting = self.sets_globals(&executed.statement);
        let mut own = match place {
            Place::Kept(name) => self.kept_to_execute(name, executed).await?,
            Place::Bound | Place::Nowhere => None,
        };
        if own.is_none() {
            self.end_read_only(&executed.statement).await?;
            self.carry_before(&executed.statement).await?;
        }
        let shares = executed.opens_cursor && executed.statement.effect == Effect::Read;
        let for_cursor = shares.then(|| executed.source.clone());
        let mut attempts = Attempts::for_cursor(for_cursor);
        loop {
            let is_own = own.is_some();
            let borrowed = match own.take() {
                // Its long data is there, or its old cursor, which executing closes.
                Some(lease) => {
                    let role = role_of(&lease);
                    Borrowed { lease, role, reason: Reason::Pinned("cursor"), bound: true, wait: None }
                }
                None => match self.borrow(&executed.statement, &mut attempts).await? {
                    Some(borrowed) => borrowed,
                    None => continue,
                },
            };
            match self.execute_on(borrowed, is_own, packet, id, executed).await? {
                Attempt::Done(()) => return Ok(()),
                Attempt::Again(again) => attempts.learn(again, &self.context.metrics)?,
            }
        }
    }

    async fn execute_on(
        &mut self,
        borrowed: Borrowed,
        is_own: bool,
        packet: &mut Packet,
        id: u32,
        executed: &Executed,
    ) -> Result<Attempt<()>, Failure> {
        let is_whole = !packet.is_partial();
        let may_repeat = self.repeatable(&executed.statement, &borrowed) && is_whole;
        let mut borrowed = match self.prepare_there(borrowed, &executed.source, may_repeat).await? {
            Attempt::Done(borrowed) => borrowed,
            Attempt::Again(again) => return Ok(Attempt::Again(again)),
        };
        match executed.rows {
            Rows::One => address(&mut borrowed.lease, packet, executed)?,
            Rows::Many { .. } => bulk::address(&mut borrowed.lease, packet, executed)?,
        }
        let (exchange, sent) = match self.send(borrowed, packet, &executed.statement, may_repeat).await? {
            Attempt::Done(sent) => sent,
            Attempt::Again(again) => return Ok(Attempt::Again(again)),
        };
        let manner = Manner {
            withhold: self.withhold(&executed.statement, &sent, is_whole && executed.rows == Rows::One),
            tells_errors: executed.rows != Rows::One || executed.statement.kill.is_some(),
            value: self.value(&executed.statement, sent.elsewhere),
            ..self.manner(Shape::Query)
        };
        match self.receive(exchange, manner, &sent, may_repeat).await? {
            Attempt::Again(again) => {
                if matches!(again, Again::OnPrimary(Reason::RefusedByReplica)) {
                    self.context.misrouted.insert(executed.statement.digest);
                }
                Ok(Attempt::Again(again))
            }
            Attempt::Done((mut lease, mut outcome)) => {
                if let Some(kill) = executed.statement.kill.filter(|_| executed.rows == Rows::One) {
                    let refused = Box::pin(self.kill_refused(lease, kill, &mut outcome)).await;
                    let Some(kept) = refused.map_err(Failure::Client)? else {
                        return Ok(Attempt::Done(()));
                    };
                    lease = kept;
                }
                if executed.rows != Rows::One {
                    // Rare, and large: not a part of every session's future.
                    let done = Box::pin(self.bulk_done(lease, executed, &mut outcome));
                    let Some(done) = done.await? else {
                        self.lose_binding(sent.bound);
                        return Ok(Attempt::Done(()));
                    };
                    lease = done;
                }
                let cursor = outcome.status.is_some_and(|now| has(now, status::CURSOR_EXISTS))
                    && outcome.error.is_none();
                let was_bound = sent.bound && !is_own;
                if outcome.error.is_none() {
                    self.check_lock_names(&executed.statement, Some(&executed.source.state));
                }
                if cursor {
                    self.keep_cursor(lease, id, executed, &outcome, was_bound).await;
                } else {
                    if is_own {
                        lease.connection().prepared.let_go_of(&executed.source);
                    }
                    self.settle(lease, &executed.statement, &outcome, was_bound).await;
                }
                Ok(Attempt::Done(()))
            }
        }
    }

    /// A cursor is open: its connection is the session's, or is kept for the cursor.
    async fn keep_cursor(
        &mut self,
        mut lease: Lease,
        id: u32,
        executed: &Executed,
        outcome: &Outcome,
        was_bound: bool,
    ) {
        lease.connection().prepared.hold(&executed.source);
        let in_transaction = outcome.status.is_some_and(|now| has(now, status::IN_TRANS))
            || self.leaves_locks(&executed.statement);
        // A connection that is kept for cursors goes back with the last of them, and the lock would go along.
        let leaves_more = executed.statement.changes.iter().any(|change| match change {
            Change::NamedLock(_) => true,
            Change::StoredCode(code) => *code != Code::NOTHING,
            _ => false,
        });
        let becomes_bound = leaves_more && self.binding.lease().is_none();
        let place = if was_bound || in_transaction || becomes_bound {
            self.settle(lease, &executed.statement, outcome, was_bound).await;
            if self.binding.lease().is_some() { Place::Bound } else { Place::Nowhere }
        } else {
            if let Some(now) = outcome.status {
                self.status = now & status::OF_SESSION;
            }
            let name = lease.name();
            // Nobody would find it there: see `InsertId`.
            if let Some(lease) = self.keep_insert_id(lease).await {
                self.cursors.keep(lease);
            }
            Place::Kept(name)
        };
        if let Some(prepared) = self.prepared.get(id) {
            prepared.place = place;
        }
    }

    /// The state under which a statement from `source` is prepared by now: user variables are those of today.
    pub(super) fn prepared_under(&self, source: &Source) -> Arc<State> {
        let mut then = source.state.clone();
        if then.user_variables != self.state.user_variables {
            State::change(&mut then, |state| state.user_variables = self.state.user_variables.clone());
        }
        then
    }

    /// Makes sure that the statement is prepared on the borrowed connection, under the state it was prepared under.
    async fn prepare_there(
        &mut self,
        mut borrowed: Borrowed,
        source: &Arc<Source>,
        may_repeat: bool,
    ) -> Result<Attempt<Borrowed>, Failure> {
        if borrowed.lease.connection().prepared.get(source).is_some() {
            return Ok(Attempt::Done(borrowed));
        }
        let Borrowed { mut lease, role, reason, bound, wait } = borrowed;
        let server = lease.server().clone();
        let then = self.prepared_under(source);
        let waits = wait.as_ref().map(|wait| wait.at_most);
        let catch_up = CatchUp::with(lease.queries()).behind(self.flavour(), wait);
        let mut catch_up = catch_up.and_state(lease.connection(), &then);
        command::put_command(&mut catch_up.bytes, code::STMT_PREPARE, &source.text);
        let caught_up = match lease.send(&catch_up.bytes).await {
            Ok(exchange) => self.caught_up(catch_up, exchange, waits, Behind::Prepare).await?,
            Err(lost) => Err(lost.into()),
        };
        let prepared = async {
            let mut exchange = caught_up?;
            let answer = exchange.own_response(Shape::Prepare).await?;
            Ok::<_, CatchUpError>((exchange.finish()?, answer))
        };
        match prepared.await {
            Ok((mut lease, answer)) => {
                if let Some(prepared) = answer.prepared {
                    let limit = self.context.config.cache.prepared_per_connection;
                    lease.connection().prepared.insert(source, prepared.statement_id, limit);
                    return Ok(Attempt::Done(Borrowed { lease, role, reason, bound, wait: None }));
                }
                let error = answer.error;
                self.return_unused(lease, bound);
                match error {
                    // A replica may lack a table that the primary has by now.
                    _ if role == Role::Replica && !bound => {
                        Ok(Attempt::Again(Again::OnPrimary(Reason::ReplicaFailed)))
                    }
                    Some(error) => Err(Failure::Told(error.into())),
                    None => Err(ClientError::malformed_packet().into()),
                }
            }
            Err(CatchUpError::Lost(lost)) => {
                server.suspect(&lost.to_string());
                if bound {
                    return Err(Failure::Fatal(ClientError::lost(format!("{}: {lost}", server.name)), None));
                }
                // Nothing was executed yet, whatever the statement does.
                let _ = may_repeat;
                Ok(Attempt::Again(if role == Role::Replica {
                    Again::NotOn(server.id)
                } else {
                    Again::Anywhere(lost.to_string())
                }))
            }
            Err(CatchUpError::Stale { .. }) => Ok(Attempt::Again(Again::OnPrimary(Reason::Stale))),
            Err(CatchUpError::Refused(_)) if role == Role::Replica && !bound => {
                Ok(Attempt::Again(Again::OnPrimary(Reason::ReplicaFailed)))
            }
            Err(CatchUpError::Refused(error)) => Err(Failure::Told(error.into())),
            Err(CatchUpError::Interrupted) => Err(ClientError::interrupted().into()),
        }
    }

    /// Puts back a connection on which nothing of the session was changed.
    pub(super) fn return_unused(&mut self, lease: Lease, bound: bool) {
        if !bound {
            return self.give_back(lease);
        }
        // Without autocommit there may be one that the server does not tell of: see `leaves_locks`.
        let in_transaction = has(self.status, status::IN_TRANS) || !self.state.autocommit();
        self.binding = if in_transaction { Binding::Transaction(lease) } else { Binding::Pinned(lease) };
    }

    /// COM_STMT_SEND_LONG_DATA: it has no answer, so what goes wrong shows when the statement is executed.
    pub(super) async fn send_long_data(&mut self, packet: &mut Packet, id: u32) -> Result<(), SessionError> {
        match self.send_long_data_somewhere(packet, id).await {
            Err(Failure::Client(error)) => Err(error.into()),
            Err(Failure::Told(_)) | Ok(()) => Ok(()),
            Err(other) => self.tell::<()>(Err(other)).await,
        }
    }

    async fn send_long_data_somewhere(&mut self, packet: &mut Packet, id: u32) -> Result<(), Failure> {
        let Some(prepared) = self.prepared.get(id) else { return Ok(()) };
        let (source, statement) = (prepared.source.clone(), prepared.statement.clone());
        let mut own = match std::mem::take(&mut prepared.place) {
            Place::Kept(name) => Some(self.take_kept(name).await?),
            Place::Bound | Place::Nowhere => None,
        };
        let for_cursor = (statement.effect == Effect::Read).then(|| source.clone());
        let mut attempts = Attempts::for_cursor(for_cursor);
        loop {
            let borrowed = match own.take() {
                Some(lease) => {
                    let role = role_of(&lease);
                    Borrowed { lease, role, reason: Reason::Pinned("long_data"), bound: false, wait: None }
                }
                None => match self.borrow(&statement, &mut attempts).await? {
                    Some(borrowed) => borrowed,
                    None => continue,
                },
            };
            let mut borrowed = match self.prepare_there(borrowed, &source, true).await? {
                Attempt::Done(borrowed) => borrowed,
                Attempt::Again(again) => {
                    attempts.learn(again, &self.context.metrics)?;
                    continue;
                }
            };
            set_statement_id(&mut borrowed.lease, packet, &source);
            let (exchange, sent) = match self.send(borrowed, packet, &NO_NEEDS, true).await? {
                Attempt::Done(sent) => sent,
                Attempt::Again(again) => {
                    attempts.learn(again, &self.context.metrics)?;
                    continue;
                }
            };
            self.registered.entry.ends();
            let mut lease = exchange.finish().map_err(|lost| lost_long_data(&lost))?;
            lease.connection().prepared.hold(&source);
            let place = if sent.bound {
                self.return_unused(lease, true);
                Place::Bound
            } else {
                Place::Kept(self.cursors.keep(lease))
            };
            if let Some(prepared) = self.prepared.get(id) {
                prepared.place = place;
                prepared.long_data = true;
            }
            return Ok(());
        }
    }

    /// COM_STMT_CLOSE: no answer, also for an unknown id.
    pub(super) async fn close_statement(&mut self, id: u32) {
        let Some(prepared) = self.prepared.remove(id) else { return };
        match prepared.place {
            Place::Nowhere => {}
            // An open cursor or long data must not meet the next one who executes it there.
            Place::Kept(name) => self.close_kept(name, &prepared.source).await,
            Place::Bound => {
                if let Binding::Transaction(lease) | Binding::Pinned(lease) = &mut self.binding {
                    lease.connection().prepared.remove(&prepared.source);
                }
            }
        }
        self.context.fleet.sources.release(prepared.source);
        if self.pins.is_empty()
            && !self.prepared.on_binding()
            && let Binding::Pinned(_) = self.binding
            && let Some(lease) = self.binding.take()
        {
            lease.release();
        }
    }

    /// COM_STMT_RESET: closes the cursor and drops long data.
    pub(super) async fn reset_statement(&mut self, packet: &mut Packet, id: u32) -> Result<(), SessionError> {
        let Some(prepared) = self.prepared.get(id) else {
            return Ok(self.say(ClientError::unknown_statement(id, self.stage("mysqld_stmt_reset"))).await?);
        };
        let source = prepared.source.clone();
        prepared.long_data = false;
        // As after a COM_PING ROW_COUNT() is 0, and all else as it was (seen on MySQL 9.7 and MariaDB 11.8).
        self.pinged = true;
        match std::mem::take(&mut prepared.place) {
            Place::Nowhere => self.say_ok().await?,
            Place::Kept(name) => {
                let lease = match self.take_kept(name).await {
                    Ok(lease) => lease,
                    Err(failure) => return self.tell::<()>(Err(failure)).await,
                };
                let outcome = self.on_own(packet, &source, lease, self.manner(Shape::Status)).await;
                if let Ok((mut lease, _)) = outcome {
                    lease.connection().prepared.let_go_of(&source);
                    self.give_back(lease);
                    return Ok(());
                }
                return self.tell(outcome).await;
            }
            Place::Bound => {
                let Some(lease) = self.binding.take() else { return Ok(self.say_ok().await?) };
                let outcome = self.on_own(packet, &source, lease, self.manner(Shape::Status)).await;
                match outcome {
                    Ok((lease, outcome)) => self.settle(lease, &NO_NEEDS, &outcome, true).await,
                    Err(failure) => return self.tell::<()>(Err(failure)).await,
                }
            }
        }
        Ok(())
    }

    /// COM_STMT_FETCH: rows from the cursor, wherever that is.
    pub(super) async fn fetch(&mut self, packet: &mut Packet, id: u32) -> Result<(), SessionError> {
        let Some(prepared) = self.prepared.get(id) else {
            return Ok(self.say(ClientError::unknown_statement(id, self.stage("mysqld_stmt_fetch"))).await?);
        };
        let (source, statement) = (prepared.source.clone(), prepared.statement.clone());
        let (lease, own) = match std::mem::take(&mut prepared.place) {
            Place::Kept(name) => match self.take_kept(name).await {
                Ok(lease) => (Some(lease), true),
                Err(failure) => return self.tell::<()>(Err(failure)).await,
            },
            Place::Bound => (self.binding.take(), false),
            Place::Nowhere => (None, false),
        };
        let Some(lease) = lease else {
            return Ok(self.say(ClientError::no_cursor(id, self.flavour())).await?);
        };
        let manner = Manner { value: self.value(&statement, false), ..self.manner(Shape::Rows) };
        let (mut lease, outcome) = match self.on_own(packet, &source, lease, manner).await {
            Ok(done) => done,
            Err(failure) => return self.tell::<()>(Err(failure)).await,
        };
        let ended =
            outcome.error.is_some() || outcome.status.is_some_and(|now| has(now, status::LAST_ROW_SENT));
        let place = match (own, ended) {
            (true, false) => Place::Kept(self.cursors.keep(lease)),
            (true, true) => {
                lease.connection().prepared.let_go_of(&source);
                self.give_back(lease);
                Place::Nowhere
            }
            (false, _) => {
                if let (false, Some(prepared)) = (ended, self.prepared.get(id)) {
                    prepared.place = Place::Bound;
                }
                self.settle(lease, &NO_NEEDS, &outcome, true).await;
                return Ok(());
            }
        };
        if let Some(prepared) = self.prepared.get(id) {
            prepared.place = place;
        }
        Ok(())
    }

    /// Runs a command about a statement on the connection that has it.
    async fn on_own(
        &mut self,
        packet: &mut Packet,
        source: &Arc<Source>,
        mut lease: Lease,
        manner: Manner<'_>,
    ) -> Result<(Lease, Box<Outcome>), Failure> {
        let role = role_of(&lease);
        set_statement_id(&mut lease, packet, source);
        self.on_lease(
            packet,
            Borrowed { lease, role, reason: Reason::Pinned("cursor"), bound: true, wait: None },
            manner,
        )
        .await
    }

    /// Runs a command on this connection and no other.
    pub(super) async fn on_lease(
        &mut self,
        packet: &mut Packet,
        borrowed: Borrowed,
        manner: Manner<'_>,
    ) -> Result<(Lease, Box<Outcome>), Failure> {
        let Attempt::Done((exchange, sent)) = self.send(borrowed, packet, &NO_NEEDS, false).await? else {
            return Err(Failure::Broken("the connection with what was asked for is lost"));
        };
        match self.receive(exchange, manner, &sent, false).await? {
            Attempt::Done(done) => Ok(done),
            Attempt::Again(_) => Err(Failure::Broken("the connection with what was asked for is lost")),
        }
    }
}

/// A statement that needs and changes nothing: for commands about statements, which do not run them.
static NO_NEEDS: std::sync::LazyLock<Arc<Statement>> = std::sync::LazyLock::new(|| {
    Arc::new(Statement {
        effect: Effect::Session,
        reason: crate::sql::Reason::Prepare,
        needs: Needs::NONE,
        // COM_STMT_PREPARE counts as a change of state on servers.
        changes: vec![crate::sql::Change::SystemVariables],
        variables: Vec::new(),
        tables: Vec::new(),
        tables_known: true,
        calls: Vec::new(),
        as_read: None,
        hint: None,
        freshness: None,
        hint_stack: None,
        statements: 1,
        digest: 0,
        kill: None,
    })
});

fn lost_long_data(lost: &BackendLost) -> Failure {
    ClientError::lost(lost).into()
}

pub(super) fn set_statement_id(lease: &mut Lease, packet: &mut Packet, source: &Arc<Source>) {
    if let Some(on_server) = lease.connection().prepared.get(source) {
        let at = HEADER + STATEMENT_ID_AT;
        packet.bytes_mut()[at..at + 4].copy_from_slice(&on_server.id.to_le_bytes());
    }
}

/// Gives the command the server's id for the statement, and the parameters' types where the client told them another
/// connection.
fn address(lease: &mut Lease, packet: &mut Packet, executed: &Executed) -> Result<(), Failure> {
    set_statement_id(lease, packet, &executed.source);
    let queries = lease.queries();
    let Some(on_server) = lease.connection().prepared.get(&executed.source) else {
        return Err(Failure::Broken("a statement that was just prepared is not"));
    };
    let parsed = Execute::parse(packet.payload(), executed.parameters, queries)
        .map_err(|_| ClientError::malformed_packet())?;
    let Some(types) = &executed.types else { return Ok(()) };
    let told = on_server.types.as_deref() == Some(&**types);
    let says_types = parsed.types.is_some();
    if !told {
        on_server.types = Some(types.clone());
    }
    match parsed.bind_flag_at {
        Some(at) if !told && !says_types => {
            let mut head = packet.payload()[..at].to_vec();
            parsed.put_types(&mut head, types, queries);
            packet.replace_head(&head, at + 1);
        }
        _ => packet.unchanged(),
    }
    Ok(())
}
