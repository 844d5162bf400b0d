//! Where a statement goes, and why: pure, short, and always able to say its reason.

use std::sync::Arc;

use super::table::{Published, RoutingTable};
use crate::{
    backend::{Server, ServerId},
    sql::{Access, Effect, Hint, Needs, Reason as Text, Statement},
};

/// Where to.
#[derive(Debug, Clone)]
pub enum Target {
    /// The connection that the session is bound to.
    Bound,
    /// The connection of the previous statement, which the session still has.
    Previous,
    /// The primary.
    Primary,
    /// This replica.
    Replica(Arc<Server>),
}

/// Why there: at once the metric label and the word that people read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// A transaction is open.
    InTransaction,
    /// Session state ties it to a connection; the word says which.
    Pinned(&'static str),
    /// It asks for what the previous statement left behind.
    FollowUp,
    /// It asks for the id of the session's last insert.
    LastInsertId,
    /// A comment in the statement asks for it.
    Hint,
    /// The session asked for it (ROUTER SET access_mode).
    AccessMode,
    /// A replica once refused a statement like this as a write.
    RefusedByReplica,
    /// autocommit is off: any statement may open a transaction that goes on to write.
    AutocommitOff,
    /// Under SERIALIZABLE every read locks.
    Serializable,
    /// What the text does.
    Text(Text),
    /// A transaction that says it only reads.
    ReadOnlyTransaction,
    /// It could run on a replica, but none is in rotation.
    NoReplica,
    /// The replica did not have the session's own writes in time.
    Stale,
    /// The replica that had it failed, or could not take the session's state.
    ReplicaFailed,
    /// The command is too long to be looked at whole.
    TooLong,
}

impl Reason {
    /// The reason's word.
    pub const fn label(self) -> &'static str {
        match self {
            Self::InTransaction => "in_transaction",
            Self::Pinned(word) => word,
            Self::FollowUp => "follow_up",
            Self::LastInsertId => "last_insert_id",
            Self::Hint => "hint",
            Self::AccessMode => "access_mode",
            Self::RefusedByReplica => "refused_by_replica",
            Self::AutocommitOff => "autocommit_off",
            Self::Serializable => "serializable",
            Self::Text(text) => text.label(),
            Self::ReadOnlyTransaction => "read_only_transaction",
            Self::NoReplica => "no_replica",
            Self::Stale => "stale_replica",
            Self::ReplicaFailed => "replica_failed",
            Self::TooLong => "too_long",
        }
    }
}

/// The words for what may pin a session, as far as they are counted one by one.
const PINNED: [&str; 14] = [
    "locks",
    "xa_transaction",
    "next_transaction",
    "role",
    "session_variable",
    "unknown_state",
    "temporary_table",
    "named_lock",
    "handler",
    "text_prepared",
    "user_variable",
    "cursor",
    "long_data",
    "pinned",
];

impl Reason {
    /// Those that are not the text's and no pin.
    const OWN: [Self; 13] = [
        Self::InTransaction,
        Self::FollowUp,
        Self::LastInsertId,
        Self::Hint,
        Self::AccessMode,
        Self::RefusedByReplica,
        Self::AutocommitOff,
        Self::Serializable,
        Self::ReadOnlyTransaction,
        Self::NoReplica,
        Self::Stale,
        Self::ReplicaFailed,
        Self::TooLong,
    ];

    /// One more than the highest [`Self::index`].
    pub const COUNT: usize = Self::OWN.len() + Text::ALL.len() + PINNED.len();

    /// A small number, for counters. Two reasons of one word may have different ones.
    pub fn index(self) -> usize {
        match self {
            Self::InTransaction => 0,
            Self::FollowUp => 1,
            Self::LastInsertId => 2,
            Self::Hint => 3,
            Self::AccessMode => 4,
            Self::RefusedByReplica => 5,
            Self::AutocommitOff => 6,
            Self::Serializable => 7,
            Self::ReadOnlyTransaction => 8,
            Self::NoReplica => 9,
            Self::Stale => 10,
            Self::ReplicaFailed => 11,
            Self::TooLong => 12,
            Self::Text(text) => Self::OWN.len() + text as usize,
            Self::Pinned("follow_up") => 1,
            Self::Pinned("last_insert_id") => 2,
            Self::Pinned(word) => {
                let at = PINNED.iter().position(|known| *known == word).unwrap_or(PINNED.len() - 1);
                Self::OWN.len() + Text::ALL.len() + at
            }
        }
    }

    /// The word of the reason that has this index.
    pub fn label_at(index: usize) -> &'static str {
        let own = Self::OWN.get(index).map(|reason| reason.label());
        let text = || Text::ALL.get(index.checked_sub(Self::OWN.len())?).map(|text| text.label());
        let pinned = || PINNED.get(index.checked_sub(Self::OWN.len() + Text::ALL.len())?).copied();
        own.or_else(text).or_else(pinned).unwrap_or("unknown")
    }
}

/// As what a server runs a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// As the primary.
    Primary,
    /// As a replica.
    Replica,
}

impl Role {
    /// The word for it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Replica => "replica",
        }
    }
}

/// Target and reason.
#[derive(Debug, Clone)]
pub struct Decision {
    /// Where to.
    pub target: Target,
    /// Why.
    pub reason: Reason,
}

/// What of a session the decision depends on.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// A transaction is open on the session's connection.
    pub in_transaction: bool,
    /// The word for what pins the statement to the session's connection, if something does.
    pub pinned: Option<&'static str>,
    /// The session is bound to a connection of the primary's.
    pub has_primary: bool,
    /// What the previous statement's connection is still at hand for.
    pub previous: Needs,
    /// `autocommit`.
    pub autocommit: bool,
    /// `transaction_isolation` is SERIALIZABLE.
    pub serializable: bool,
    /// `sql_auto_is_null`: `IS NULL` may mean the session's last insert.
    pub auto_is_null: bool,
    /// `transaction_read_only`.
    pub read_only: bool,
    /// What ROUTER SET access_mode said.
    pub access_mode: Option<Access>,
    /// A replica refused a statement like this.
    pub refused_by_replica: bool,
    /// It sets a variable that only its own connection will have.
    pub sets_uncarried: bool,
    /// The default schema makes it read what differs from server to server.
    pub depends_on_server: bool,
    /// Replicas that have failed this statement already.
    pub tried: &'a [ServerId],
    /// Why it must be the primary, if an attempt elsewhere said so.
    pub to_primary: Option<Reason>,
}

/// Decides. The published table is needed beside `table` for whose turn it is.
pub fn decide(
    statement: &Statement,
    situation: Situation<'_>,
    table: &RoutingTable,
    published: &Published,
) -> Decision {
    if let Some(decision) = by_binding(statement, situation) {
        return decision;
    }
    let decision = match wants_primary(statement, situation) {
        Some(reason) => Decision { target: Target::Primary, reason },
        None => to_replica(statement, situation, table, published),
    };
    // A session has one connection to the primary: a transaction begun on a second one would be lost sight of.
    match decision.target {
        Target::Primary if situation.has_primary => Decision { target: Target::Bound, ..decision },
        _ => decision,
    }
}

/// What the session is tied to comes first.
fn by_binding(statement: &Statement, situation: Situation<'_>) -> Option<Decision> {
    let bound = |reason| Some(Decision { target: Target::Bound, reason });
    if situation.in_transaction {
        return bound(Reason::InTransaction);
    }
    if let Some(word) = situation.pinned {
        return bound(Reason::Pinned(word));
    }
    let previous = |reason| Some(Decision { target: Target::Previous, reason });
    if statement.needs.intersects(Needs::FOLLOW_UP) && situation.previous.intersects(Needs::FOLLOW_UP) {
        return previous(Reason::FollowUp);
    }
    if statement.needs.contains(Needs::LAST_INSERT_ID) && situation.previous.contains(Needs::LAST_INSERT_ID) {
        return previous(Reason::LastInsertId);
    }
    None
}

/// The reason why it must be the primary, if there is one.
fn wants_primary(statement: &Statement, situation: Situation<'_>) -> Option<Reason> {
    if situation.to_primary.is_some() {
        return situation.to_primary;
    }
    match statement.effect {
        Effect::Begin { access, .. } => {
            let read_only = match access {
                Access::ReadOnly => true,
                Access::ReadWrite => false,
                Access::Unspecified => situation.read_only,
            };
            return (!read_only || is_primary_hint(statement)).then_some(Reason::Text(Text::Begin));
        }
        Effect::Read | Effect::Session => {}
        _ => return Some(Reason::Text(statement.reason)),
    }
    if is_primary_hint(statement) {
        return Some(Reason::Hint);
    }
    let checks = [
        (situation.access_mode == Some(Access::ReadWrite), Reason::AccessMode),
        (!situation.autocommit, Reason::AutocommitOff),
        (situation.serializable, Reason::Serializable),
        (situation.auto_is_null, Reason::LastInsertId),
        (situation.refused_by_replica, Reason::RefusedByReplica),
        (situation.depends_on_server, Reason::Text(Text::ServerTable)),
        (statement.needs.contains(Needs::LAST_INSERT_ID), Reason::LastInsertId),
        (
            statement.effect == Effect::Session
                && (situation.sets_uncarried || binds_its_connection(statement)),
            Reason::Text(statement.reason),
        ),
    ];
    checks.into_iter().find(|(holds, _)| *holds).map(|(_, reason)| reason)
}

fn is_primary_hint(statement: &Statement) -> bool {
    statement.hint == Some(Hint::Primary)
}

/// Whether the session will be bound to the connection on which this sets something: that is better the primary, where
/// everything can run.
fn binds_its_connection(statement: &Statement) -> bool {
    use crate::sql::Change::{Schema, SystemVariables, UserVariable};
    statement.changes.iter().any(|change| match change {
        Schema(_) | SystemVariables => false,
        // A literal in the client's character set means the same only there.
        UserVariable { value, .. } => value.as_deref().is_none_or(|literal| !literal.is_ascii()),
        _ => true,
    })
}

fn to_replica(
    statement: &Statement,
    situation: Situation<'_>,
    table: &RoutingTable,
    published: &Published,
) -> Decision {
    let reason = match statement.effect {
        Effect::Begin { .. } => Reason::ReadOnlyTransaction,
        _ if statement.hint.is_some() => Reason::Hint,
        _ => Reason::Text(statement.reason),
    };
    let unfit = |server: &Server| server.is_suspect() || situation.tried.contains(&server.id);
    if let Some(Hint::Server(name)) = &statement.hint {
        let named = table
            .replicas
            .servers()
            .iter()
            .find(|server| server.name.eq_ignore_ascii_case(name) && !unfit(server));
        if let Some(server) = named {
            return Decision { target: Target::Replica(server.clone()), reason };
        }
    }
    match table.replicas.next(published, unfit) {
        Some(server) => Decision { target: Target::Replica(server.clone()), reason },
        None => Decision { target: Target::Primary, reason: Reason::NoReplica },
    }
}

/// Why each server that was not chosen was not.
pub fn not_chosen(decision: &Decision, table: &RoutingTable) -> Vec<(Arc<Server>, &'static str)> {
    let chosen = match &decision.target {
        Target::Replica(server) => Some(server.id),
        _ => None,
    };
    let primary = table.term().map(|term| term.server.clone());
    let mut others = Vec::new();
    if let Some(primary) = &primary
        && matches!(decision.target, Target::Replica(_))
        && chosen != Some(primary.id)
    {
        others.push((primary.clone(), "primary: a replica can serve it"));
    }
    for server in table.replicas.servers().iter().filter(|server| Some(server.id) != chosen) {
        let why = match decision.target {
            _ if primary.as_ref().is_some_and(|primary| primary.id == server.id) => continue,
            _ if server.is_suspect() => "it does not answer",
            Target::Replica(_) if server.weight == 0 => "its weight is 0",
            Target::Replica(_) => "not its turn",
            _ => "the statement cannot run on a replica now",
        };
        others.push((server.clone(), why));
    }
    others.extend(table.out.iter().map(|out| (out.server.clone(), out.cause)));
    others
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{Syntax, classify};

    const FREE: Situation<'_> = Situation {
        in_transaction: false,
        pinned: None,
        has_primary: false,
        previous: Needs::NONE,
        autocommit: true,
        serializable: false,
        auto_is_null: false,
        read_only: false,
        access_mode: None,
        refused_by_replica: false,
        sets_uncarried: false,
        depends_on_server: false,
        tried: &[],
        to_primary: None,
    };

    /// Decides over a table without replicas.
    fn check(text: &str, situation: Situation<'_>, target: &str, reason: Reason) {
        let statement = classify(text.as_bytes(), &Syntax::default());
        let decision = decide(&statement, situation, &RoutingTable::unknown(), &Published::default());
        assert_eq!((format!("{:?}", decision.target).as_str(), decision.reason), (target, reason), "{text}");
    }

    #[test]
    fn a_reason_is_found_again_by_its_index() {
        let texts = Text::ALL.iter().map(|text| Reason::Text(*text));
        let pins = PINNED.iter().map(|word| Reason::Pinned(word));
        let mut seen = std::collections::HashSet::new();
        for reason in Reason::OWN.into_iter().chain(texts).chain(pins) {
            assert_eq!(Reason::label_at(reason.index()), reason.label());
            assert!(reason.index() < Reason::COUNT && seen.insert(reason.index()), "{reason:?}");
        }
        assert_eq!(seen.len(), Reason::COUNT);
        assert_eq!(Reason::label_at(Reason::Pinned("something new").index()), "pinned");
        assert_eq!(Reason::label_at(Reason::COUNT), "unknown");
    }

    #[test]
    fn without_replicas_reads_go_to_the_primary() {
        check("SELECT 1", FREE, "Primary", Reason::NoReplica);
        check("INSERT INTO t VALUES (1)", FREE, "Primary", Reason::Text(Text::DataChange));
        check("SELECT 1 FOR UPDATE", FREE, "Primary", Reason::Text(Text::LockingRead));
    }

    #[test]
    fn a_transaction_keeps_everything() {
        check("SELECT 1", Situation { in_transaction: true, ..FREE }, "Bound", Reason::InTransaction);
    }

    #[test]
    fn a_pinned_session_has_no_second_connection_to_the_primary() {
        // With autocommit off a read may open a transaction, which must not happen beside the pinned connection.
        let pinned = Situation { has_primary: true, autocommit: false, ..FREE };
        check("SELECT 1", pinned, "Bound", Reason::AutocommitOff);
        check("SELECT 1", Situation { has_primary: true, ..FREE }, "Bound", Reason::NoReplica);
        check(
            "SELECT /* dauphin:primary */ 1",
            Situation { has_primary: true, ..FREE },
            "Bound",
            Reason::Hint,
        );
    }

    #[test]
    fn a_follow_up_goes_where_the_previous_statement_ran() {
        let kept = Situation { previous: Needs::DIAGNOSTICS, ..FREE };
        check("SHOW WARNINGS", kept, "Previous", Reason::FollowUp);
        check("SHOW WARNINGS", FREE, "Primary", Reason::NoReplica);
    }

    #[test]
    fn a_refused_read_and_one_under_autocommit_off_go_to_the_primary() {
        check(
            "SELECT 1",
            Situation { refused_by_replica: true, ..FREE },
            "Primary",
            Reason::RefusedByReplica,
        );
        check("SELECT 1", Situation { autocommit: false, ..FREE }, "Primary", Reason::AutocommitOff);
        check(
            "SET insert_id = 1",
            Situation { sets_uncarried: true, ..FREE },
            "Primary",
            Reason::Text(Text::Set),
        );
    }
}
