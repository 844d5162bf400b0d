//! Built-in functions that do or read something beside their arguments and the replicated data.

/// What such a function does or reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Impure {
    /// Takes a named lock.
    NamedLock,
    /// Releases one.
    ReleaseNamedLock,
    /// Releases all of them.
    ReleaseAllNamedLocks,
    /// Asks who has one: each server has its own.
    NamedLockState,
    /// Reads a file of the server's machine.
    File,
    /// Reads or waits for what one server has done.
    Server,
    /// Moves or reads a sequence.
    Sequence,
    /// `LAST_INSERT_ID`: reads the session's value; with an argument it sets it.
    LastInsertId,
    /// Reads the previous statement's count of found rows.
    FoundRows,
    /// Reads the previous statement's count of changed rows.
    RowCount,
    /// Only computes, but has `FOR` among its arguments.
    Substring,
}

/// Each of them, lower-cased.
pub(super) const FUNCTIONS: &[(&str, Impure)] = &[
    ("get_lock", Impure::NamedLock),
    ("release_lock", Impure::ReleaseNamedLock),
    ("release_all_locks", Impure::ReleaseAllNamedLocks),
    ("is_free_lock", Impure::NamedLockState),
    ("is_used_lock", Impure::NamedLockState),
    ("load_file", Impure::File),
    ("master_pos_wait", Impure::Server),
    ("source_pos_wait", Impure::Server),
    ("wait_for_executed_gtid_set", Impure::Server),
    ("wait_until_sql_thread_after_gtids", Impure::Server),
    ("master_gtid_wait", Impure::Server),
    ("binlog_gtid_pos", Impure::Server),
    ("wsrep_last_seen_gtid", Impure::Server),
    ("wsrep_last_written_gtid", Impure::Server),
    ("wsrep_sync_wait_upto_gtid", Impure::Server),
    ("ps_current_thread_id", Impure::Server),
    ("ps_thread_id", Impure::Server),
    ("nextval", Impure::Sequence),
    ("lastval", Impure::Sequence),
    ("setval", Impure::Sequence),
    ("last_insert_id", Impure::LastInsertId),
    ("found_rows", Impure::FoundRows),
    ("row_count", Impure::RowCount),
    ("substr", Impure::Substring),
    ("substring", Impure::Substring),
    ("mid", Impure::Substring),
];
