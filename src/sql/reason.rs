//! Why a statement has its effect: at once the log word and the metric label.

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident => $label:literal,)*) => {
        /// Why a statement has the effect it has.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// Every reason, in the order of its declaration: `reason as usize` is its place.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// A short name that does not change between releases.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }
        }
    };
}

reasons! {
    /// A SELECT, TABLE, VALUES or WITH that only reads.
    PlainRead => "plain_read",
    /// A read with stored functions that the catalogue shows to do nothing but read.
    HarmlessFunction => "harmless_function",
    /// SHOW, DESCRIBE, EXPLAIN, HELP, CHECKSUM TABLE of what every server has alike.
    CatalogRead => "catalog_read",
    /// DO with harmless functions only.
    Do => "do",
    /// No statement at all: white space and comments.
    Empty => "empty",
    /// SHOW WARNINGS, GET DIAGNOSTICS and the like: of the previous statement.
    Diagnostics => "diagnostics",
    /// SET of user or session variables.
    Set => "set",
    /// USE.
    Use => "use",
    /// SET ROLE.
    SetRole => "set_role",
    /// PREPARE of a literal text.
    Prepare => "prepare",
    /// DEALLOCATE PREPARE.
    Deallocate => "deallocate",
    /// BEGIN, START TRANSACTION.
    Begin => "begin",
    /// COMMIT, ROLLBACK.
    End => "end",
    /// dauphin's own statement, not sent to a server.
    Own => "own",

    /// FOR UPDATE, FOR SHARE, LOCK IN SHARE MODE somewhere in a read.
    LockingRead => "locking_read",
    /// INSERT, UPDATE, DELETE, REPLACE, TRUNCATE, WITH ... UPDATE.
    DataChange => "data_change",
    /// LOAD DATA, LOAD XML, IMPORT TABLE.
    Load => "load",
    /// CREATE, ALTER, DROP, RENAME.
    Definition => "definition",
    /// Accounts, privileges, roles, passwords.
    Account => "account",
    /// CALL.
    Call => "call",
    /// EXECUTE.
    Execute => "execute",
    /// PREPARE from a variable: the text is hidden.
    PrepareHidden => "prepare_hidden",
    /// A call of something that is not in the server's list of functions.
    StoredFunction => "stored_function",
    /// A read of a view that calls such a thing.
    ViewOverFunction => "view_over_function",
    /// GET_LOCK and its kin.
    LockFunction => "lock_function",
    /// A built-in function that reads or waits for the state of one server.
    ServerFunction => "server_function",
    /// NEXTVAL, NEXT VALUE FOR and the like.
    Sequence => "sequence",
    /// LAST_INSERT_ID(expr) in a read: sets the session's value.
    SetsLastInsertId => "sets_last_insert_id",
    /// INTO OUTFILE, INTO DUMPFILE, LOAD_FILE.
    File => "file",
    /// SELECT ... INTO @x.
    IntoVariable => "into_variable",
    /// `:=` outside SET.
    Assignment => "assignment",
    /// A SET whose value comes from a query.
    SetFromQuery => "set_from_query",
    /// SET GLOBAL, SET PERSIST.
    SetGlobal => "set_global",
    /// A system variable that differs from server to server.
    ServerVariable => "server_variable",
    /// A table that differs from server to server: performance_schema, sys, processlist ...
    ServerTable => "server_table",
    /// A SHOW that differs from server to server.
    ServerShow => "server_show",
    /// EXPLAIN of anything but a read, or of a running statement.
    ExplainWrite => "explain_write",
    /// FLUSH, RESET, PURGE.
    Flush => "flush",
    /// ANALYZE, OPTIMIZE, REPAIR, CHECK, CACHE INDEX.
    Maintenance => "maintenance",
    /// LOCK and UNLOCK of tables or the instance, BACKUP.
    Lock => "lock",
    /// HANDLER.
    Handler => "handler",
    /// XA.
    Xa => "xa",
    /// SAVEPOINT, RELEASE SAVEPOINT, ROLLBACK TO.
    Savepoint => "savepoint",
    /// KILL.
    Kill => "kill",
    /// SIGNAL, RESIGNAL.
    Signal => "signal",
    /// START REPLICA, CHANGE REPLICATION SOURCE, BINLOG and the like.
    Replication => "replication",
    /// INSTALL, UNINSTALL, SHUTDOWN, RESTART, CLONE, SET RESOURCE GROUP.
    Server => "server",
    /// A compound statement outside a stored program.
    Compound => "compound",
    /// Several statements of different kinds in one text.
    Batch => "batch",
    /// Not understood.
    Unparsed => "unparsed",
    /// The text can be read in two ways: a version comment, bytes that are not of the character set.
    Ambiguous => "ambiguous",
    /// A character set in which bytes that look like ASCII may be halves of characters.
    EncodingUnsafe => "encoding_unsafe",
}
