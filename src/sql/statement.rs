//! What a text does, as far as routing and the session care.

use std::time::Duration;

use super::called::Called;
use super::change::Change;
use super::needs::Needs;
use super::reason::Reason;

/// What a text does, as far as routing and the session care.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Where it may run.
    pub effect: Effect,
    /// Why.
    pub reason: Reason,
    /// What it depends on that lives in a connection.
    pub needs: Needs,
    /// What it changes in its connection's state, in order.
    pub changes: Vec<Change>,
    /// The session system variables that it sets by name, lower-cased; `SET NAMES` and the like count as the variables
    /// they stand for.
    pub variables: Vec<Box<str>>,
    /// The lower-cased unqualified names of all tables it names, and perhaps some names more.
    pub tables: Vec<Box<str>>,
    /// Whether `tables` is complete; if not, it may use any table.
    pub tables_known: bool,
    /// The routines that it calls by name. What they do is not told from the text: see `catalogue`.
    pub calls: Vec<Called>,
    /// The reason it would have as a read, if nothing but its calls of stored functions speaks against its being one.
    pub as_read: Option<Reason>,
    /// Where its author wished it to go, in a comment; the first such wish wins.
    pub hint: Option<Hint>,
    /// How fresh its author wished the data, in comments; `None` if they do not say. Of each kind the first wish wins.
    pub freshness: Option<Box<Freshness>>,
    /// What its author wished for the statements after it, in a comment; the first such comment counts.
    pub hint_stack: Option<Box<StackChange>>,
    /// How many statements the text holds.
    pub statements: u32,
    /// A hash of the text without its literals, comments and spacing; the same in every process.
    pub digest: u64,
    /// What it ends, if it is a KILL of a thread.
    pub kill: Option<Kill>,
}

impl Statement {
    /// Whether a replica may run it.
    pub fn is_read(&self) -> bool {
        self.effect == Effect::Read
    }

    /// Whether it is one GET DIAGNOSTICS.
    pub fn is_get_diagnostics(&self) -> bool {
        self.statements == 1 && self.effect == Effect::Session && self.reason == Reason::Diagnostics
    }
}

/// What a text does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Only reads what all servers have alike: safe on a replica.
    Read,
    /// Only sets the session's own state: see [`Statement::changes`].
    Session,
    /// Anything for the primary: see [`Statement::reason`].
    Write,
    /// Opens a transaction.
    Begin {
        /// What it says of reading and writing.
        access: Access,
        /// `WITH CONSISTENT SNAPSHOT`: the snapshot is taken now, so it cannot be put off.
        consistent_snapshot: bool,
    },
    /// Ends a transaction.
    End {
        /// How.
        end: End,
        /// `AND CHAIN`: the next one opens at once.
        chain: bool,
        /// `RELEASE`: the server closes the connection.
        release: bool,
    },
    /// dauphin answers it itself.
    Own(OwnStatement),
}

/// What START TRANSACTION says of reading and writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// `READ WRITE`.
    ReadWrite,
    /// `READ ONLY`.
    ReadOnly,
    /// Nothing: the session's `transaction_read_only` holds.
    Unspecified,
}

/// How a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// `COMMIT`.
    Commit,
    /// `ROLLBACK`.
    Rollback,
}

/// A statement that dauphin answers itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnStatement {
    /// `EXPLAIN ROUTE statement`: where would it go, and why?
    ExplainRoute {
        /// Where the text of the inner statement begins, its comments included.
        offset: usize,
    },
    /// `SHOW LAST ROUTE`: where did the last statement go, and why?
    LastRoute,
    /// `ROUTER SET name = value`.
    RouterSet(Setting),
}

/// What `ROUTER SET` sets for its session (MySQL Router's syntax).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// `access_mode`: `None` for `auto`.
    AccessMode(Option<Access>),
    /// `wait_for_my_writes`.
    WaitForMyWrites(bool),
    /// `wait_for_my_writes_timeout`.
    WaitForMyWritesTimeout(Duration),
    /// `trace`.
    Trace(bool),
    /// `max_replica_lag`.
    MaxReplicaLag(LagLimit),
    /// `consistency`: `None` for what the config says.
    Consistency(Option<Consistency>),
    /// A name or a value that is not known: the text of what was wrong.
    Wrong(Box<str>),
}

/// What the author of a statement wishes, said in a comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// To the primary.
    Primary,
    /// To a replica.
    Replica,
    /// To the server of this name.
    Server(Box<str>),
    /// To the server that ran the session's last statement.
    Last,
}

/// One wish of an author.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// Where it is to go.
    Where(Hint),
    /// How far a replica may be behind.
    MaxLag(LagLimit),
    /// Whose writes a read must see.
    Consistency(Consistency),
    /// The word that ties reads to writes.
    Causal(Box<str>),
    /// The transactions that a read must see.
    MinGtid(Box<str>),
}

/// What becomes of a session's stack of hints, of which the uppermost holds for statements that say nothing themselves
/// (MaxScale's way).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StackChange {
    /// Gives a wish a name.
    Prepare(Box<str>, Wish),
    /// Puts on a wish: this one, which is known by the name from then on if there is one.
    Begin(Option<Box<str>>, Wish),
    /// Puts on the wish of this name.
    BeginNamed(Box<str>),
    /// Takes the uppermost off.
    End,
}

/// How fresh the author of a statement wishes the data, said in comments.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Freshness {
    /// How far a replica may be behind.
    pub max_lag: Option<LagLimit>,
    /// Whose writes a read must see.
    pub consistency: Option<Consistency>,
    /// A word that ties reads to writes across connections: a read with it sees every write with it.
    pub causal: Option<Box<str>>,
    /// Transactions that a read must see, as a server writes them.
    pub min_gtid: Option<Box<str>>,
}

/// How far a replica may be behind to serve a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LagLimit {
    /// As far as the cluster's limit says.
    #[default]
    Cluster,
    /// However far.
    Off,
    /// So far at most.
    AtMost(Duration),
}

/// Whose writes a read must see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Consistency {
    /// Nobody's for certain.
    Eventual,
    /// The session's own.
    Session,
    /// Those of all sessions of this dauphin.
    Global,
}

impl Consistency {
    /// Reads its word.
    pub fn of(word: &str) -> Option<Self> {
        match word.to_ascii_lowercase().as_str() {
            "eventual" => Some(Self::Eventual),
            "session" => Some(Self::Session),
            "global" => Some(Self::Global),
            _ => None,
        }
    }
}

/// Which thread a KILL means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kill {
    /// Whether only the running statement is to end, not the connection.
    pub query_only: bool,
    /// The connection's id as the client knows it; `None` if a server must work it out.
    pub id: Option<u64>,
}
