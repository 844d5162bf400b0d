//! User variables whose values were computed: read from the connection that has them before the session leaves it, once, and
//! carried from then on as literals. What no literal says exactly stays where it is, and the session with it.
//!
//! Nobody is asked for a value before the next statement has come, or the connection's time is up: the question takes the
//! place of the statement before it, whose warnings and counts the client may ask for.

use dauphin_proto::{reply::status, response::Shape};

use super::{
    Session,
    binding::Binding,
    lingering::Lingering,
    relay::has,
    route::Role,
    run::{Failure, role_of},
    value::{Found, Kind, Question, narrow},
};
use crate::{
    backend::{
        ColumnType, Exchange, Lease, State,
        exchange::{BackendLost, Own, Row},
    },
    error::ClientError,
    sql::{Change, Needs, Reason, Statement},
};

/// So many are read at a time: three columns each, of which a server takes 4096.
const MOST: usize = 1_000;
/// So many bytes all their values may have: their literals have twice as many digits.
const LARGEST: usize = 4 << 20;

type Name = Box<str>;

/// What has been read of a variable.
#[derive(Debug, Clone)]
enum Value {
    /// It was never set.
    Unset,
    /// This says it.
    Literal(String),
}

impl Session {
    /// The connection that only user variables pin, all of which may be carried.
    pub(super) fn carriable(&self) -> Option<&Lease> {
        let Binding::Pinned(lease) = &self.binding else { return None };
        let may_be = self.pins.may_be_carried()
            && !self.prepared.on_binding()
            && self.state.autocommit()
            && has(self.status, status::AUTOCOMMIT)
            && !self.is_full();
        may_be.then_some(lease)
    }

    /// Whether the session leaves the connection that user variables pin before this statement. It does not where the
    /// statement may ask what the one before it has left, or computes the next value there.
    pub(super) fn is_carried_before(&self, statement: &Statement) -> bool {
        let stays = |change: &Change| match change {
            Change::Unknown | Change::StoredCode(_) => true,
            change => computed(change).is_some(),
        };
        self.carriable().is_some()
            && !statement.needs.intersects(Needs::FOLLOW_UP)
            && (statement.is_read() || !statement.changes.iter().any(stays))
    }

    /// Takes the session off a connection that only user variables pin, with their values, if that may be before
    /// `statement`.
    pub(super) async fn carry_before(&mut self, statement: &Statement) -> Result<(), Failure> {
        if !self.is_carried_before(statement) || Box::pin(self.carry()).await {
            return Ok(());
        }
        Err(Failure::Fatal(ClientError::lost("the connection that had the user variables".to_owned()), None))
    }

    /// The same for an idle session, whose connection's time is up.
    pub(super) async fn carry_idle(&mut self) {
        if !self.carry().await {
            return self.lose_binding(true);
        }
        if self.binding.lease().is_none() {
            self.registered.entry.is_free();
        }
    }

    /// Whether the connection lives; the session is free of it unless there is a value that cannot be carried.
    async fn carry(&mut self) -> bool {
        let Some(lease) = self.binding.take() else { return true };
        let Some(lease) = self.carry_user_variables(lease, self.pins.user_variables()).await else {
            return false;
        };
        if !self.pins.is_empty() {
            self.binding = Binding::Pinned(lease);
        } else if self.insert_id.is_on(&lease) && self.lingering.is_none() {
            let keeps = Needs::LAST_INSERT_ID;
            self.lingering = Some(Lingering { lease, keeps, kept: self.kept_for(keeps) });
        } else if let Some(lease) = self.keep_insert_id(lease).await {
            lease.release();
        }
        true
    }

    /// The user variables that would be left behind on this connection, as the session does not stay there: on a replica,
    /// and where GET DIAGNOSTICS was for another connection than the session's own.
    pub(super) fn left_behind(&self, lease: &Lease, statement: &Statement, succeeded: bool) -> Vec<Name> {
        if self.binding.lease().is_some() {
            let computed = statement.changes.iter().filter(|_| succeeded).filter_map(computed);
            computed.map(Into::into).collect()
        } else if role_of(lease) == Role::Replica && !has(self.status, status::IN_TRANS) {
            self.pins.user_variables()
        } else {
            Vec::new()
        }
    }

    /// Takes the values of variables along from a connection that the session leaves whatever becomes of them; `None` if
    /// the connection is lost.
    pub(super) async fn carry_or_give_up(&mut self, lease: Lease, names: Vec<Name>) -> Option<Lease> {
        let lease = self.carry_user_variables(lease, names.clone()).await?;
        if self.binding.lease().is_some() {
            let pinned = self.pins.user_variables();
            self.give_up(names.into_iter().filter(|name| pinned.contains(name)));
        }
        Some(lease)
    }

    /// The variables that `statement` has set stay on its connection, as asking for them would end the warnings there that the next
    /// statement may ask for; `names` are those, and are empty from here on. `false`: they are to be carried now.
    pub(super) fn owe(&mut self, statement: &Statement, names: &mut Vec<Name>) -> bool {
        let lingers = statement.reason == Reason::Diagnostics && !self.context.config.pool.linger.is_zero();
        if !lingers || self.owed.len() + names.len() > MOST {
            return false;
        }
        names.iter().for_each(|name| self.pins.carried(name));
        self.owed.append(names);
        true
    }

    /// Fetches what is owed, as the next statement runs elsewhere.
    pub(super) async fn collect_owed(&mut self) {
        self.let_go().await;
        let lost = std::mem::take(&mut self.owed);
        self.give_up(lost);
    }

    /// The same from the connection that has it; `None` if that is lost.
    pub(super) async fn collect_from(&mut self, lease: Lease) -> Option<Lease> {
        let names = std::mem::take(&mut self.owed);
        if names.is_empty() {
            return Some(lease);
        }
        // Rare, and large: not a part of every session's future.
        let lease = Box::pin(self.carry_user_variables(lease, names.clone())).await;
        let uncarried = self.pins.user_variables();
        self.give_up(names.into_iter().filter(|name| lease.is_none() || uncarried.contains(name)));
        lease
    }

    fn give_up(&mut self, names: impl IntoIterator<Item = Name>) {
        for name in names {
            tracing::warn!(variable = %name, "a value that cannot be carried is given up: it is NULL from here on");
            self.pins.carried(&name);
            let given_up = [(name, Value::Literal("NULL".to_owned()))];
            State::change(&mut self.state, |state| take_in(state, &given_up));
        }
    }

    /// Reads the values of user variables from the connection that has them, into the session's state; those that cannot
    /// be carried are noted. `None` if the connection is lost.
    pub(super) async fn carry_user_variables(&mut self, mut lease: Lease, names: Vec<Name>) -> Option<Lease> {
        let limits = &self.context.config.limits;
        let is_few =
            names.len() <= MOST && self.state.user_variables.len() + names.len() < limits.user_variables;
        let mut values = vec![None; names.len()];
        if is_few && names.iter().all(|name| name.is_ascii()) {
            let room = limits.state_bytes.saturating_sub(self.state.size()).min(LARGEST / names.len().max(1));
            (lease, values) = self.values(lease, &names, room / 2).await.ok()?;
        }
        let size = |(name, value): (&Name, &Option<Value>)| match value {
            Some(Value::Literal(literal)) => name.len() + literal.len(),
            _ => 0,
        };
        let more: usize = names.iter().zip(&values).map(size).sum();
        let fits = self.state.size() + more < self.context.config.limits.state_bytes;
        let mut known = Vec::new();
        for (name, value) in names.into_iter().zip(values) {
            match value.filter(|_| fits) {
                Some(value) => {
                    self.pins.carried(&name);
                    known.push((name, value));
                }
                None => self.pins.not_carried(&name),
            }
        }
        let in_step = State::same(&lease.connection().state, &self.state);
        State::change(&mut self.state, |state| take_in(state, &known));
        if in_step {
            lease.connection().state = self.state.clone();
        } else {
            State::change(&mut lease.connection().state, |state| take_in(state, &known));
        }
        Some(lease)
    }

    /// The variables' values, each of at most so many bytes; `None` where no literal says it.
    async fn values(
        &self,
        lease: Lease,
        names: &[Name],
        at_most: usize,
    ) -> Result<(Lease, Vec<Option<Value>>), BackendLost> {
        let variables: Vec<_> = names.iter().map(|name| format!("@`{}`", name.replace('`', "``"))).collect();
        // LIMIT, as sql_select_limit may be 0; and the first is asked for its columns' types alone.
        let types = format!("SELECT {} LIMIT 0", variables.join(","));
        let mut bytes = Vec::new();
        let omits = self.omits_definitions();
        if omits {
            lease.queries().put(&mut bytes, b"SET resultset_metadata=FULL");
        }
        lease.queries().put(&mut bytes, types.as_bytes());
        if omits {
            lease.queries().put(&mut bytes, b"SET resultset_metadata=NONE");
        }
        lease.queries().put(&mut bytes, question(&variables, at_most).as_bytes());
        let mut exchange = lease.send(&bytes).await?;
        if omits {
            exchange.own_response(Shape::Query).await?;
        }
        let types = exchange.own_response(Shape::Query).await?.types;
        if omits {
            exchange.own_response(Shape::Query).await?;
        }
        let row = first_row(&mut exchange).await?;
        let mut lease = exchange.finish()?;
        let flavour = self.flavour();
        let found = |(at, &column): (usize, &ColumnType)| {
            let [collation, is_too_long, value] = row.get(3 * at..3 * at + 3)? else { return None };
            if is_too_long.as_deref().is_some_and(|answer| narrow(answer) != b"0") {
                return None;
            }
            Kind::of(column)?.literal(flavour, collation.as_deref()?, value.as_deref())
        };
        let mut values = vec![None; names.len()];
        let mut questions = Vec::new();
        for (at, found) in types.iter().enumerate().map(|column| (column.0, found(column))).take(names.len())
        {
            match found {
                Some(Found::Unset) => values[at] = Some(Value::Unset),
                Some(Found::Literal(literal)) => values[at] = Some(Value::Literal(literal)),
                Some(Found::Ask(question)) => questions.push((at, question)),
                None => {}
            }
        }
        if !questions.is_empty() {
            let answers;
            (lease, answers) = ask(lease, &variables, &questions).await?;
            for ((at, question), answer) in questions.into_iter().zip(answers) {
                values[at] = answer.and_then(|answer| question.answered(&answer)).map(Value::Literal);
            }
        }
        Ok((lease, values))
    }
}

/// The name of a user variable whose value the statement's text does not say.
fn computed(change: &Change) -> Option<&str> {
    match change {
        Change::UserVariable { name, value } if !value.as_ref().is_some_and(|literal| literal.is_ascii()) => {
            Some(name)
        }
        _ => None,
    }
}

fn take_in(state: &mut State, known: &[(Name, Value)]) {
    for (name, value) in known {
        match value {
            Value::Unset => drop(state.user_variables.remove(name)),
            Value::Literal(literal) => {
                state.user_variables.insert(name.clone(), literal.as_str().into());
            }
        }
    }
}

/// Asks for three columns for each variable: its collation, whether it is too long, and its bytes if it is not.
fn question(variables: &[String], at_most: usize) -> String {
    let columns = |variable: &String| {
        // A literal must go into one packet of the servers'.
        let is_too_long = format!("LENGTH({variable})>LEAST({at_most},@@max_allowed_packet DIV 8)");
        format!("COLLATION({variable}),{is_too_long},IF({is_too_long},NULL,CAST({variable} AS BINARY))")
    };
    let columns: Vec<_> = variables.iter().map(columns).collect();
    format!("SELECT {} LIMIT 1", columns.join(","))
}

/// Asks what there is to ask of some of the variables.
async fn ask(
    lease: Lease,
    variables: &[String],
    questions: &[(usize, Question)],
) -> Result<(Lease, Row), BackendLost> {
    let columns: Vec<_> =
        questions.iter().map(|(at, question)| question.expression(&variables[*at])).collect();
    let mut bytes = Vec::new();
    lease.queries().put(&mut bytes, format!("SELECT {} LIMIT 1", columns.join(",")).as_bytes());
    let mut exchange = lease.send(&bytes).await?;
    let row = first_row(&mut exchange).await?;
    Ok((exchange.finish()?, row))
}

/// Empty where the server answers with an error.
async fn first_row(exchange: &mut Exchange) -> Result<Row, BackendLost> {
    let Own { rows, .. } = exchange.own_response(Shape::Query).await?;
    Ok(rows.into_iter().next().unwrap_or_default())
}
