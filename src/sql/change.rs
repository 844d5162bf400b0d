//! What a statement changes in the state of the connection it runs on.

/// One thing that a statement changes in its connection's state, if it succeeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The default schema becomes this one (`USE`); the name as written, without quotes.
    Schema(Box<str>),
    /// A user variable gets a value.
    UserVariable {
        /// Lower-cased (ASCII only), without quotes.
        name: Box<str>,
        /// The SQL text of a literal, or `None` if the value is not known before the statement has run.
        value: Option<Box<str>>,
    },
    /// Session system variables, `SET NAMES`, `SET CHARACTER SET`, `SET SESSION TRANSACTION`: the server's session
    /// tracker reports the new values.
    SystemVariables,
    /// `SET NAMES`: the collation goes to the results too, where no variable shows it.
    Names,
    /// Accounts and privileges, `RESET PERSIST`: not the session's, but that of all who log in later.
    GlobalState,
    /// `SET GLOBAL`, `SET PERSIST` of a variable by this name, lower-cased: the same.
    GlobalVariable(Box<str>),
    /// The characteristics of the next transaction only.
    TransactionOnce,
    /// `SET ROLE`.
    Role,
    /// A temporary table (or sequence) by this name, unqualified and lower-cased.
    CreateTemporaryTable(Box<str>),
    /// These tables are dropped, temporary ones first.
    DropTables {
        /// Unqualified and lower-cased.
        names: Vec<Box<str>>,
        /// `DROP TEMPORARY TABLE`.
        temporary_only: bool,
    },
    /// These tables change their names, each `(old, new)`, in this order; temporary ones may be among them.
    RenameTables(Vec<(Box<str>, Box<str>)>),
    /// `LOCK TABLES`, `FLUSH TABLES t WITH READ LOCK`, `FLUSH TABLES t FOR EXPORT`, `BACKUP LOCK`.
    LockTables,
    /// `UNLOCK TABLES`, `BACKUP UNLOCK`; it also ends a global read lock.
    UnlockTables,
    /// `FLUSH TABLES WITH READ LOCK`.
    GlobalReadLock,
    /// `LOCK INSTANCE FOR BACKUP`, `BACKUP STAGE`.
    LockInstance,
    /// `UNLOCK INSTANCE`, `BACKUP STAGE END`.
    UnlockInstance,
    /// `GET_LOCK()`; the name if it is a plain literal, which means the same in every `sql_mode` and character set of a client.
    NamedLock(Option<Box<str>>),
    /// `RELEASE_LOCK()`: one lock fewer, perhaps.
    ReleaseNamedLock,
    /// `RELEASE_ALL_LOCKS()`.
    ReleaseAllNamedLocks,
    /// `HANDLER t OPEN`; the alias if it has one, lower-cased.
    HandlerOpen(Box<str>),
    /// `HANDLER t CLOSE`.
    HandlerClose(Box<str>),
    /// A step of an XA transaction.
    Xa(XaStep),
    /// `PREPARE name FROM ...`; lower-cased: such names are case-blind.
    TextPrepare(Box<str>),
    /// `DEALLOCATE PREPARE name`.
    TextDeallocate(Box<str>),
    /// What the connection counts or records of its statements is asked for, or counted anew: `SHOW STATUS`,
    /// `FLUSH STATUS`.
    SessionRecords,
    /// `LAST_INSERT_ID(expr)`, `SET last_insert_id`, `SET insert_id`.
    LastInsertId,
    /// Stored code ran: a function, a procedure, a trigger.
    StoredCode(Code),
    /// `RESET BINARY LOGS AND GTIDS`, `RESET MASTER`: replicas take what is written next for what they have.
    ResetBinaryLog,
    /// A routine, a trigger or a view is defined, altered or dropped.
    DefinesCode,
    /// It may change anything: `EXECUTE`, a statement not understood.
    Unknown,
}

/// What stored code may leave on its connection, as far as that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code {
    /// A named lock.
    pub may_lock: bool,
    /// User variables, session variables, temporary tables: what servers report as a change of state.
    pub may_set: bool,
    /// User variables by anything but SET (`:=`, `INTO`, an argument of `CALL`, `GET DIAGNOSTICS`), of which servers say
    /// nothing (seen on MySQL 9.7 and MariaDB 11.8).
    pub may_assign: bool,
    /// Temporary tables: of those that are made of a query servers say nothing either.
    pub may_create: bool,
}

impl Code {
    /// It leaves nothing.
    pub const NOTHING: Self = Self { may_lock: false, may_set: false, may_assign: false, may_create: false };
    /// Nothing is known of it.
    pub const UNKNOWN: Self = Self { may_lock: true, may_set: true, may_assign: true, may_create: true };

    /// What both together may leave.
    pub const fn and(self, other: Self) -> Self {
        Self {
            may_lock: self.may_lock || other.may_lock,
            may_set: self.may_set || other.may_set,
            may_assign: self.may_assign || other.may_assign,
            may_create: self.may_create || other.may_create,
        }
    }
}

/// A step of an XA transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XaStep {
    /// `XA START`, `XA BEGIN`.
    Start,
    /// `XA END`.
    End,
    /// `XA PREPARE`: from here on the transaction may outlive the connection.
    Prepare,
    /// `XA COMMIT`, `XA ROLLBACK`.
    Finish,
}
