//! Where a statement goes, and why: pure, short, and always able to say its reason.

use std::{borrow::Cow, sync::Arc, time::Duration};

use super::table::{Published, RoutingTable};
use crate::{
    backend::{Server, ServerId},
    config::WhenStale,
    sql::{Access, Effect, Hint, LagLimit, Needs, Reason as Text, Statement},
    topology::gtid::Written,
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
    /// Nowhere: every replica is further behind than it may be, and the config wants an error then.
    Nowhere,
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
    /// The session has written with `sql_log_bin` off, or emptied the binary log: no replica will ever have that.
    UnloggedWrites,
    /// What the text does.
    Text(Text),
    /// A transaction that says it only reads.
    ReadOnlyTransaction,
    /// It could run on a replica, but none is in rotation.
    NoReplica,
    /// The replicas are too far behind, or the one that was asked did not have the writes that are to be seen in time.
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
            Self::UnloggedWrites => "unlogged_writes",
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
const PINNED: [&str; 16] = [
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
    "session_records",
    "expired_password",
    "cursor",
    "long_data",
    "pinned",
];

impl Reason {
    /// Those that are not the text's and no pin.
    const OWN: [Self; 14] = [
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
        Self::UnloggedWrites,
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
            Self::UnloggedWrites => 13,
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
    /// The session has written what is in no binary log.
    pub unlogged_writes: bool,
    /// `sql_auto_is_null`: `IS NULL` may mean the session's last insert.
    pub auto_is_null: bool,
    /// `transaction_read_only`.
    pub read_only: bool,
    /// Where the statement's author wishes it to go.
    pub hint: Option<&'a Hint>,
    /// Who ran the session's last statement, if it was sent anywhere.
    pub last: Option<ServerId>,
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
    /// How fresh a replica must be.
    pub demand: Demand<'a>,
}

/// How fresh a replica must be to take a read.
#[derive(Debug, Clone, Copy)]
pub struct Demand<'a> {
    /// How far it may be behind.
    pub limit: LagLimit,
    /// The cluster's limit, for people: who is beyond it is known of each server.
    pub cluster_limit: Option<Duration>,
    /// What happens when all are further behind.
    pub when_stale: WhenStale,
    /// What the read must see: a replica that has it, or probably will have in no time, comes before one that must be
    /// waited for.
    pub wanted: &'a [Written],
    /// How long it may be waited for: one that is further behind would be waited for in vain.
    pub patience: Duration,
}

impl Demand<'_> {
    /// Whether a server is further behind than it may be. One of which that is not known serves no read that names its
    /// own limit; by the cluster's it is as good as it was.
    pub(super) fn excludes(&self, server: &Server, table: &RoutingTable) -> bool {
        let excluded = match self.limit {
            LagLimit::Off => false,
            LagLimit::Cluster => server.is_behind(),
            LagLimit::AtMost(limit) => server.lag().is_none_or(|lag| lag > limit),
        };
        excluded && !is_primary(server, table)
    }

    /// Why such a server is excluded, for people.
    pub(super) fn why_excluded(&self, server: &Server) -> Cow<'static, str> {
        let limit = match self.limit {
            LagLimit::AtMost(limit) => format!("limit {} ms", limit.as_millis()),
            _ => match self.cluster_limit {
                Some(limit) => format!("limit {} ms, back below half of it", limit.as_millis()),
                None => "beyond the cluster's limit".to_owned(),
            },
        };
        match server.lag() {
            Some(lag) => format!("lag {} ms, {limit}", lag.as_millis()).into(),
            None => format!("lag not known, {limit}").into(),
        }
    }
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
    let decision = match wants_primary(statement, situation, table) {
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
    let follows_up = statement.needs.of(Needs::FOLLOW_UP);
    if !follows_up.is_empty() && situation.previous.contains(follows_up) {
        return previous(Reason::FollowUp);
    }
    if statement.needs.contains(Needs::LAST_INSERT_ID) && situation.previous.contains(Needs::LAST_INSERT_ID) {
        return previous(Reason::LastInsertId);
    }
    None
}

/// The reason why it must be the primary, if there is one.
fn wants_primary(statement: &Statement, situation: Situation<'_>, table: &RoutingTable) -> Option<Reason> {
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
            return (!read_only || hints_at_primary(situation, table)).then_some(Reason::Text(Text::Begin));
        }
        Effect::Read | Effect::Session => {}
        _ => return Some(Reason::Text(statement.reason)),
    }
    if hints_at_primary(situation, table) {
        return Some(Reason::Hint);
    }
    let checks = [
        (situation.access_mode == Some(Access::ReadWrite), Reason::AccessMode),
        (!situation.autocommit, Reason::AutocommitOff),
        (situation.serializable, Reason::Serializable),
        (situation.unlogged_writes, Reason::UnloggedWrites),
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

fn hints_at_primary(situation: Situation<'_>, table: &RoutingTable) -> bool {
    situation.hint == Some(&Hint::Primary)
        || table.term().is_some_and(|term| is_meant(&term.server, situation))
}

/// Whether the hint is at this very server.
fn is_meant(server: &Server, situation: Situation<'_>) -> bool {
    match situation.hint {
        Some(Hint::Server(name)) => server.name.eq_ignore_ascii_case(name),
        Some(Hint::Last) => situation.last == Some(server.id),
        Some(Hint::Primary | Hint::Replica) | None => false,
    }
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
        _ if situation.hint.is_some() => Reason::Hint,
        _ => Reason::Text(statement.reason),
    };
    let demand = situation.demand;
    let answers = |server: &Server| !server.is_suspect() && !situation.tried.contains(&server.id);
    let fit = |server: &Server| answers(server) && !demand.excludes(server, table);
    if situation.hint.is_some() {
        // Who names a server means it, whatever holds for the cluster; a limit in the same breath holds for it too.
        let may = |server: &Server| answers(server) && (demand.limit == LagLimit::Cluster || fit(server));
        let meant = table.replicas.servers().iter().find(|server| is_meant(server, situation) && may(server));
        if let Some(server) = meant {
            return Decision { target: Target::Replica(server.clone()), reason };
        }
    }
    let has_wanted = |server: &Server| server.has_all(demand.wanted) || is_primary(server, table);
    // Whoever was not behind a moment ago keeps its turn: to wait for it is cheaper than to burden one with all reads.
    let is_prompt = |server: &Server| has_wanted(server) || server.lag() == Some(Duration::ZERO);
    if let Some(server) = table.replicas.next(published, fit, is_prompt) {
        let in_vain = !has_wanted(server) && server.lag().is_some_and(|lag| lag > demand.patience);
        let server = if in_vain { table.replicas.nearest(fit).unwrap_or(server) } else { server };
        return Decision { target: Target::Replica(server.clone()), reason };
    }
    let Some(nearest) = table.replicas.nearest(answers) else {
        return Decision { target: Target::Primary, reason: Reason::NoReplica };
    };
    let target = match demand.when_stale {
        WhenStale::Primary => Target::Primary,
        WhenStale::Replica => Target::Replica(nearest.clone()),
        WhenStale::Error => Target::Nowhere,
    };
    Decision { target, reason: Reason::Stale }
}

/// The primary takes reads too if the config says so, and is never behind.
fn is_primary(server: &Server, table: &RoutingTable) -> bool {
    table.term().is_some_and(|term| term.server.id == server.id)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        backend::Fleet,
        config::Config,
        routing::{Epoch, Primary, Term, balance::Rotation},
        sql::{Syntax, classify},
        topology::gtid::Position,
    };
    use tokio_util::sync::CancellationToken;

    pub(in crate::routing) const FREE: Situation<'_> = Situation {
        in_transaction: false,
        pinned: None,
        has_primary: false,
        previous: Needs::NONE,
        autocommit: true,
        serializable: false,
        unlogged_writes: false,
        auto_is_null: false,
        read_only: false,
        hint: None,
        last: None,
        access_mode: None,
        refused_by_replica: false,
        sets_uncarried: false,
        depends_on_server: false,
        tried: &[],
        to_primary: None,
        demand: ANY,
    };

    pub(in crate::routing) const ANY: Demand<'_> = Demand {
        limit: LagLimit::Cluster,
        cluster_limit: Some(Duration::from_secs(10)),
        when_stale: WhenStale::Primary,
        wanted: &[],
        patience: Duration::from_millis(100),
    };

    /// db1 is primary; db2 and db3 take reads. How far they are behind, in ms.
    pub(in crate::routing) fn replicas(lag_ms: [Option<u64>; 2]) -> RoutingTable {
        let config = Config::for_tests(&["db1:3306", "db2:3306", "db3:3306"]);
        let servers: Vec<_> = Fleet::new(&config).unwrap().servers.iter().cloned().collect();
        for (server, lag) in servers[1..].iter().zip(lag_ms) {
            server.set_lag(lag.map(Duration::from_millis));
        }
        let term = Term { epoch: Epoch(1), server: servers[0].clone(), ended: CancellationToken::new() };
        RoutingTable {
            primary: Primary::Serving(Arc::new(term)),
            replicas: Rotation::new(servers[1..].to_vec()),
            ..RoutingTable::unknown()
        }
    }

    /// Where a read goes, four times in a row.
    fn reads(table: &RoutingTable, demand: Demand<'_>) -> String {
        let (statement, published) = (classify(b"SELECT 1", &Syntax::default()), Published::default());
        let situation = Situation { demand, ..FREE };
        let targets = (0..4).map(|_| match decide(&statement, situation, table, &published) {
            Decision { target: Target::Replica(server), reason } => {
                format!("{}:{}", &server.name[..3], reason.label())
            }
            Decision { target, reason } => format!("{target:?}:{}", reason.label()),
        });
        let mut targets: Vec<String> = targets.collect();
        targets.sort_unstable();
        targets.dedup();
        targets.join(" ")
    }

    pub(in crate::routing) fn at_most(ms: u64) -> Demand<'static> {
        Demand { limit: LagLimit::AtMost(Duration::from_millis(ms)), ..ANY }
    }

    #[tokio::test]
    async fn a_replica_beyond_the_limit_takes_no_reads() {
        let table = replicas([Some(2300), Some(20)]);
        assert_eq!(
            reads(&table, ANY),
            "db2:plain_read db3:plain_read",
            "nobody is beyond the cluster's limit"
        );
        assert_eq!(reads(&table, at_most(500)), "db3:plain_read");
        assert_eq!(reads(&table, at_most(2300)), "db2:plain_read db3:plain_read");
        assert_eq!(reads(&table, at_most(10)), "Primary:stale_replica");
        table.replicas.servers()[0].set_behind(true);
        assert_eq!(reads(&table, ANY), "db3:plain_read");
        assert_eq!(reads(&table, Demand { limit: LagLimit::Off, ..ANY }), "db2:plain_read db3:plain_read");
    }

    #[tokio::test]
    async fn a_lag_that_is_not_known_keeps_no_promise() {
        let table = replicas([None, None]);
        assert_eq!(reads(&table, ANY), "db2:plain_read db3:plain_read");
        assert_eq!(reads(&table, at_most(60_000)), "Primary:stale_replica");
    }

    #[tokio::test]
    async fn when_all_are_too_far_behind_the_policy_decides() {
        let table = replicas([Some(9000), Some(8000)]);
        let demand = |when_stale| Demand { when_stale, ..at_most(500) };
        assert_eq!(reads(&table, demand(WhenStale::Primary)), "Primary:stale_replica");
        assert_eq!(reads(&table, demand(WhenStale::Replica)), "db3:stale_replica", "the nearest");
        assert_eq!(reads(&table, demand(WhenStale::Error)), "Nowhere:stale_replica");
        table.replicas.servers().iter().for_each(|server| server.suspect("gone"));
        assert_eq!(
            reads(&table, demand(WhenStale::Error)),
            "Primary:no_replica",
            "they are not stale but gone"
        );
    }

    #[tokio::test]
    async fn a_replica_that_has_the_writes_comes_first() {
        let table = replicas([Some(40), Some(40)]);
        let position = Position { source: 1, tag: "".into(), sequence: 7 };
        let wanted = [Written { position: position.clone(), at: std::time::Instant::now() }];
        let demand = Demand { wanted: &wanted, ..ANY };
        assert_eq!(reads(&table, demand), "db2:plain_read db3:plain_read", "none is known to have them");
        table.replicas.servers()[1].note_applied(&position);
        assert_eq!(reads(&table, demand), "db3:plain_read");
        table.replicas.servers()[1].set_behind(true);
        assert_eq!(reads(&table, demand), "db2:plain_read", "a limit is a limit");
        let table = replicas([Some(0), Some(40)]);
        table.replicas.servers()[1].note_applied(&position);
        assert_eq!(reads(&table, demand), "db2:plain_read db3:plain_read", "who is prompt keeps its turn");
        table.replicas.servers()[0].raise_lag(Duration::from_millis(100));
        assert_eq!(reads(&table, demand), "db3:plain_read", "until it was waited for in vain");
        let table = replicas([Some(2300), Some(20)]);
        assert_eq!(reads(&table, demand), "db3:plain_read", "waiting on the other would be in vain");
        table.replicas.servers()[0].note_applied(&position);
        assert_eq!(reads(&table, demand), "db2:plain_read", "it is late, but has this write");
    }

    /// Decides over a table without replicas.
    fn check(text: &str, situation: Situation<'_>, target: &str, reason: Reason) {
        let statement = classify(text.as_bytes(), &Syntax::default());
        let situation = Situation { hint: statement.hint.as_ref(), ..situation };
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

    #[tokio::test]
    async fn a_hint_at_one_server_is_followed_also_at_the_primary() {
        let (table, published) = (replicas([Some(0), Some(0)]), Published::default());
        for (hint, last, target) in [
            (Hint::Server("DB1:3306".into()), None, "Primary"),
            (Hint::Server("db2:3306".into()), None, "Replica(db2:3306)"),
            (Hint::Last, Some(0), "Primary"),
            (Hint::Last, Some(2), "Replica(db3:3306)"),
        ] {
            for statement in ["SELECT 1", "START TRANSACTION READ ONLY"] {
                let statement = classify(statement.as_bytes(), &Syntax::default());
                let situation = Situation { hint: Some(&hint), last: last.map(ServerId), ..FREE };
                let targets: Vec<_> =
                    (0..2).map(|_| decide(&statement, situation, &table, &published).target).collect();
                assert_eq!(format!("{targets:?}"), format!("[{target}, {target}]"), "{hint:?}");
            }
        }
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
