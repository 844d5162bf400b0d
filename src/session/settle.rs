//! After a response: what the session has learned, and what becomes of the connection.

use std::time::Duration;

use dauphin_proto::reply::status;
use tokio::time::Instant;

use super::{
    Session,
    binding::{Binding, Pins},
    client::Packet,
    learn,
    lingering::{InsertId, Kept, Left, Lingering},
    read_only,
    relay::{Outcome, has},
    route::Role,
    run::role_of,
    value::narrow,
};
use crate::{
    backend::{Lease, State, state::is_on},
    sql::{Change, Effect, Needs, Reason, Statement},
    topology::Flavour,
};

/// For how long nobody else gets a connection that has warnings to ask for: programs ask at once.
const GRACE: Duration = Duration::from_millis(100);
/// ER_PARSE_ERROR, ER_WRONG_PARAMCOUNT_TO_NATIVE_FCT: found before a statement begins.
const NOTHING_RAN: [u16; 2] = [1064, 1582];

/// ER_SP_DOES_NOT_EXIST.
const ROUTINE_DOES_NOT_EXIST: u16 = 1305;

impl Session {
    /// Takes in what a statement has done on `lease`, and keeps, binds or gives back the connection.
    pub(super) async fn settle(
        &mut self,
        mut lease: Lease,
        statement: &Statement,
        outcome: &Outcome,
        was_bound: bool,
    ) {
        let unreported = self.unreported(statement, outcome);
        if !unreported.is_empty() {
            let Some(asked) = self.ask_for(lease, &unreported).await else {
                return self.lose_binding(was_bound);
            };
            lease = asked;
        }
        if outcome.error.is_some() && was_bound && role_of(&lease) == Role::Replica {
            let Some(asked) = self.ask_status(lease).await else { return self.lose_binding(was_bound) };
            lease = asked;
        }
        let succeeded = outcome.error.is_none();
        // Preparing a statement leaves ROW_COUNT() and FOUND_ROWS() as they were (seen on MySQL 9.7 and MariaDB 11.8).
        if outcome.prepared.is_none() {
            self.pinged = false;
            self.left = match (succeeded, outcome.ok) {
                (true, true) => Left::Changed(outcome.affected),
                (true, false) => Left::Rows(outcome.rows),
                (false, _) => Left::default(),
            };
        }
        if let Some(now) = outcome.status {
            self.status = now & status::OF_SESSION;
        }
        // A part of a failed batch may have run.
        if succeeded || statement.statements > 1 {
            self.learn(statement, outcome);
        }
        let is_write = !matches!(statement.effect, Effect::Read | Effect::Session);
        let is_unlogged = self.state.variable("sql_log_bin").is_some_and(|value| !is_on(value));
        if is_write && is_unlogged || statement.changes.contains(&Change::ResetBinaryLog) {
            self.unlogged_writes = true;
        }
        if let Some(lingering) = &mut self.lingering {
            // It ran beside that connection, whose statement is not the last one any more; preparing one only ends its warnings.
            let gone = if outcome.prepared.is_some() { Needs::DIAGNOSTICS } else { Needs::FOLLOW_UP };
            lingering.keeps = lingering.keeps.without(gone);
        }
        // Connections keep the privileges and the defaults that they were opened with.
        let is_global = |change: &Change| matches!(change, Change::GlobalState | Change::GlobalVariable(_));
        if statement.changes.iter().any(is_global) {
            if succeeded || statement.statements > 1 {
                self.context.globals.note(&statement.changes);
            }
            self.context.accounts.doubt_all();
        }
        let mut left_behind = self.left_behind(&lease, statement, succeeded);
        if !self.owe(statement, &mut left_behind) {
            left_behind.append(&mut self.owed);
        }
        if !left_behind.is_empty() {
            // Rare, and large: not a part of every session's future.
            let Some(asked) = Box::pin(self.carry_or_give_up(lease, left_behind)).await else {
                return self.lose_binding(was_bound);
            };
            lease = asked;
        }
        let began = |code| {
            statement.statements > 1
                || !NOTHING_RAN.contains(&code) && !self.knows_of_nothing(statement, code)
        };
        if outcome.error.is_some_and(began) {
            // MySQL's tracker keeps a change of state for the next OK; MariaDB's forgets it (seen on 9.7 and 11.8).
            self.pins.learn_failed(&statement.changes, self.flavour() == Flavour::MySql);
        }
        if !self.pins.named_locks.is_empty() {
            self.check_lock_names(statement, None);
        }
        if outcome.reported.named {
            self.registered.entry.set_schema(self.state.schema.as_deref());
        }
        lease.connection().state = self.state.clone();
        lease.connection().tracking_lost |= outcome.reported.tracking_lost;
        if outcome.inserted != 0 || statement.changes.contains(&Change::LastInsertId) {
            self.insert_id = InsertId::on(&lease, outcome.inserted);
        }
        if self.binding.lease().is_none() {
            let Some(asked) = self.ask_locks(lease, statement, outcome).await else {
                return self.lose_binding(true);
            };
            lease = asked;
        }
        self.place(lease, statement, outcome, was_bound).await;
    }

    /// Whether an error says that there is no such routine, and none that the statement calls was known.
    fn knows_of_nothing(&self, statement: &Statement, code: u16) -> bool {
        code == ROUTINE_DOES_NOT_EXIST && !self.context.code.load().knows_any(&statement.calls, self.schema())
    }

    /// The variables that a successful statement has set and whose values the server did not report, or, on MariaDB,
    /// did not report reliably: it says `autocommit` for other switches and the old value of some.
    fn unreported<'s>(&mut self, statement: &'s Statement, outcome: &Outcome) -> Vec<&'s str> {
        if outcome.error.is_some() && statement.statements == 1 {
            return Vec::new();
        }
        let mut names = Vec::new();
        for name in &statement.variables {
            // The reported timestamp may be an old one.
            let known = self.flavour() == Flavour::MySql
                && **name != *"timestamp"
                && outcome.reported.variables.contains(name);
            if known || names.contains(&&**name) {
                continue;
            }
            if learn::is_not_carried(name) {
                self.pins.variable(name);
            } else if !learn::is_following(name) {
                names.push(&**name);
            }
        }
        names
    }

    /// `SET NAMES utf8mb3`: MySQL warns of it and does not report its collation, and the question for that would clear the
    /// warning. So the same text is sent once more behind the question, which changes nothing and warns again. `None` if the
    /// connection is lost.
    pub(super) async fn names_that_warned(
        &mut self,
        lease: Lease,
        statement: &Statement,
        packet: &Packet,
        outcome: &mut Outcome,
    ) -> Option<Lease> {
        let unreported = self.unreported(statement, outcome);
        if unreported.is_empty() {
            return Some(lease);
        }
        let lease = self.ask_for(lease, &unreported).await?;
        outcome.reported.variables.extend(unreported.into_iter().map(Into::into));
        let mut exchange = lease.send(packet.to_send()).await.ok()?;
        exchange.own_response(dauphin_proto::response::Shape::Query).await.ok()?;
        exchange.finish().ok()
    }

    /// Asks the connection for the variables' values; `None` if it is lost.
    async fn ask_for(&mut self, lease: Lease, names: &[&str]) -> Option<Lease> {
        let columns: Vec<_> = names.iter().map(|name| format!("@@SESSION.`{name}`")).collect();
        let query = format!("SELECT {}", columns.join(","));
        let mut bytes = Vec::new();
        // Twice: a timestamp that goes on is not set.
        lease.queries().put(&mut bytes, query.as_bytes());
        lease.queries().put(&mut bytes, query.as_bytes());
        let mut exchange = lease.send(&bytes).await.ok()?;
        let first = exchange.own_response(dauphin_proto::response::Shape::Query).await.ok()?;
        let answer = exchange.own_response(dauphin_proto::response::Shape::Query).await.ok()?;
        match answer.rows.first() {
            Some(values) => State::change(&mut self.state, |state| {
                for (at, (name, value)) in names.iter().zip(values).enumerate() {
                    let before = first.rows.first().and_then(|values| values.get(at));
                    if before == Some(value) {
                        // MariaDB gives them in the character set of results, which may be one of wide characters.
                        let value = narrow(value.as_deref().unwrap_or_default());
                        state.variables.insert((*name).into(), value.into());
                    } else {
                        state.variables.remove(*name);
                    }
                }
            }),
            // A variable of another kind than was thought: only this connection has it.
            None => names.iter().for_each(|name| self.pins.variable(name)),
        }
        exchange.finish().ok()
    }

    /// Asks the connection whether its transaction is still open; `None` if it is lost.
    pub(super) async fn ask_status(&mut self, lease: Lease) -> Option<Lease> {
        let mut bytes = Vec::new();
        dauphin_proto::command::put_command(&mut bytes, dauphin_proto::command::code::PING, b"");
        let mut exchange = lease.send(&bytes).await.ok()?;
        let answer = exchange.own_response(dauphin_proto::response::Shape::Status).await.ok()?;
        self.status = answer.status & status::OF_SESSION;
        exchange.finish().ok()
    }

    /// The bound connection was lost behind a response that the client has already: the session ends with its next wait.
    pub(super) fn lose_binding(&mut self, was_bound: bool) {
        if was_bound {
            self.registered.entry.killed.cancel();
        }
    }

    fn learn(&mut self, statement: &Statement, outcome: &Outcome) {
        let reported = &outcome.reported;
        for name in &reported.not_carried {
            self.pins.variable(name);
        }
        for change in &statement.changes {
            if let Change::UserVariable { name, value } = change {
                let literal = value.clone().filter(|literal| literal.is_ascii());
                State::change(&mut self.state, |state| match literal {
                    Some(literal) => drop(state.user_variables.insert(name.clone(), literal)),
                    None => drop(state.user_variables.remove(name)),
                });
            }
        }
        self.learn_results_collation(statement);
        if (reported.named || !statement.variables.is_empty()) && learn::is_recording(&self.state) {
            self.pins.records();
        }
        let hidden = statement.changes.iter().any(|change| match change {
            Change::Unknown => true,
            Change::StoredCode(code) => code.may_set,
            _ => false,
        });
        let explains = |change: &Change| !matches!(change, Change::DefinesCode | Change::StoredCode(_));
        let explained = reported.named || statement.changes.iter().any(explains);
        self.pins.learn(&statement.changes, reported.any_state && (hidden || !explained));
        if self.is_full() && statement.effect != Effect::Read {
            // Too much to carry to every connection: from here on the session stays where it is.
            self.pins.learn(&[], true);
        }
    }

    /// SET NAMES gives results its collation, which only their metadata show; setting their character set forgets it.
    fn learn_results_collation(&mut self, statement: &Statement) {
        if !statement.variables.iter().any(|name| **name == *"character_set_results") {
            return;
        }
        let by_names = statement.statements == 1 && statement.changes.contains(&Change::Names);
        State::change(&mut self.state, |state| {
            let collation = state.variables.get("collation_connection").filter(|_| by_names);
            state.results_collation = collation.cloned();
        });
    }

    /// Whether the session has set as much as may be carried; what sets more is for the primary, to stay there.
    pub(super) fn is_full(&self) -> bool {
        let limits = &self.context.config.limits;
        self.state.user_variables.len() >= limits.user_variables || self.state.size() >= limits.state_bytes
    }

    async fn place(&mut self, lease: Lease, statement: &Statement, outcome: &Outcome, was_bound: bool) {
        let in_transaction = match outcome.status {
            Some(now) => has(now, status::IN_TRANS),
            // COM_STMT_PREPARE's answer has no status flags, and leaves a transaction as it was.
            None => was_bound && has(self.status, status::IN_TRANS),
        };
        let in_transaction = in_transaction
            || self.may_be_in_transaction(statement, outcome, was_bound)
            || self.leaves_locks(statement);
        // What is refused may leave it to the next: MySQL's 1792 does.
        if !in_transaction
            && outcome.error.is_none()
            && self.pins.awaits_transaction()
            && !statement.changes.contains(&Change::TransactionOnce)
        {
            self.pins.transaction_ended();
        }
        if self.binding.lease().is_some() {
            // The session is bound to another connection: this one was borrowed for the one statement.
            self.last_on_binding = false;
            if in_transaction {
                tracing::error!(server = %lease.server().name, "a transaction beside the session's own connection; it is rolled back");
                return drop(lease);
            }
            return self.linger(lease, statement, outcome).await;
        }
        if role_of(&lease) == Role::Replica && !has(self.status, status::IN_TRANS) {
            return self.leave_replica(lease, statement, outcome).await;
        }
        self.last_on_binding = true;
        if in_transaction {
            self.binds_cursors(&lease);
            self.binding = Binding::Transaction(lease);
        } else if !self.pins.is_empty() || self.prepared.on_binding() {
            self.binds_cursors(&lease);
            self.pinned_for = self.kept_for(self.keeps(&lease, statement, outcome));
            self.binding = Binding::Pinned(lease);
        } else {
            self.linger(lease, statement, outcome).await;
        }
    }

    /// A session is never bound to a replica but by a transaction that the server itself says is open: writes would
    /// follow, and read_only does not stop every account.
    async fn leave_replica(&mut self, lease: Lease, statement: &Statement, outcome: &Outcome) {
        if self.pins.is_empty() {
            return self.linger(lease, statement, outcome).await;
        }
        tracing::warn!(
            server = %lease.server().name,
            reason = self.pins.any().map(|reason| reason.label()),
            "state that cannot be carried was set by a read on a replica; it is given up with the connection"
        );
        self.pins = Pins::default();
    }

    /// An ERR packet has no status flags: where a transaction may have been open, it is taken to be until the server
    /// says otherwise.
    fn may_be_in_transaction(&self, statement: &Statement, outcome: &Outcome, was_bound: bool) -> bool {
        if outcome.error.is_none() {
            return false;
        }
        let hidden =
            statement.changes.iter().any(|change| matches!(change, Change::Unknown | Change::StoredCode(_)));
        let was_in_transaction = was_bound && has(self.status, status::IN_TRANS);
        was_in_transaction || hidden || statement.statements > 1 || !self.state.autocommit()
    }

    /// Without autocommit a table stays locked against ALTER and DROP until the commit, also one that knows no transactions,
    /// of which the server says that none is open (seen on MySQL 9.7 with MyISAM).
    pub(super) fn leaves_locks(&self, statement: &Statement) -> bool {
        let uses_tables = !statement.tables.is_empty() || !statement.tables_known;
        !self.state.autocommit()
            && matches!(statement.effect, Effect::Read | Effect::Write)
            && uses_tables
            && !read_only::commits(statement)
    }

    async fn linger(&mut self, lease: Lease, statement: &Statement, outcome: &Outcome) {
        let keeps = self.keeps(&lease, statement, outcome);
        if keeps.is_empty()
            || self.context.config.pool.linger.is_zero() && !keeps.contains(Needs::LAST_INSERT_ID)
        {
            return self.give_back(lease);
        }
        self.let_go().await;
        let kept = self.kept_for(keeps);
        // The last statement's connection knows all of it; one that has prepared a statement, its warnings alone.
        let is_last = outcome.prepared.is_none() && keeps.intersects(Needs::FOLLOW_UP);
        let keeps = if is_last { keeps | Needs::FOLLOW_UP } else { keeps };
        self.lingering = Some(Lingering { lease, keeps, kept });
    }

    /// What the session will probably ask of this connection and of no other.
    fn keeps(&self, lease: &Lease, statement: &Statement, outcome: &Outcome) -> Needs {
        let is_prepared = outcome.prepared.is_some();
        let mut keeps =
            if is_prepared { self.borrowed_keeps.without(Needs::DIAGNOSTICS) } else { Needs::NONE };
        if outcome.warnings > 0 || outcome.error.is_some() || statement.reason == Reason::Diagnostics {
            keeps |= Needs::DIAGNOSTICS;
        }
        let asks = !is_prepared && self.asks_found_rows(statement);
        if asks || statement.needs.intersects(Needs::ALL_ROWS_COUNT | Needs::FOUND_ROWS) {
            keeps |= Needs::FOUND_ROWS;
        }
        if outcome.ok && statement.effect == Effect::Write {
            keeps |= Needs::ROW_COUNT;
        }
        if self.insert_id.is_on(lease) {
            keeps |= Needs::LAST_INSERT_ID;
        }
        keeps
    }

    /// For how long a connection is kept that may be asked for this.
    pub(super) fn kept_for(&self, keeps: Needs) -> Kept {
        let (pool, now) = (&self.context.config.pool, Instant::now());
        let linger = pool.linger;
        // Warnings are rare and nowhere else: they are worth a connection that nobody else wants.
        if keeps.contains(Needs::DIAGNOSTICS) {
            Kept { wanted_from: now + linger.min(GRACE), until: now + linger.max(pool.linger_warnings) }
        } else {
            Kept { wanted_from: now, until: now + linger }
        }
    }

    /// Accounts that have asked for FOUND_ROWS() once are expected to ask again, after any read.
    fn asks_found_rows(&self, statement: &Statement) -> bool {
        use std::sync::atomic::Ordering::Relaxed;
        if statement.needs.contains(Needs::FOUND_ROWS) && !self.account.asks_found_rows.load(Relaxed) {
            self.account.asks_found_rows.store(true, Relaxed);
        }
        statement.effect == Effect::Read && self.account.asks_found_rows.load(Relaxed)
    }
}

/// Whether it does nothing but set character sets, which may be done twice.
pub(super) fn sets_only_names(statement: &Statement) -> bool {
    let is_name = |name: &str| name.starts_with("character_set_") || name == "collation_connection";
    statement.statements == 1
        && statement.effect == Effect::Session
        && statement.variables.iter().all(|name| is_name(name))
        && statement.changes.iter().all(|change| matches!(change, Change::Names | Change::SystemVariables))
}
