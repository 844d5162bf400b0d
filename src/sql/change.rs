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
    /// `SET GLOBAL`, `SET PERSIST`: not the session's.
    GlobalState,
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
    /// `LAST_INSERT_ID(expr)`, `SET last_insert_id`, `SET insert_id`.
    LastInsertId,
    /// A stored or loadable function was called: its body may have set user variables, taken named locks, made
    /// temporary tables.
    StoredCode,
    /// It may change anything: `CALL`, `EXECUTE`, a statement not understood.
    Unknown,
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
