//! What ties a session to one backend connection: a transaction, or state that cannot be carried to another one.

use std::collections::HashSet;

use super::named_locks::NamedLocks;
use crate::{
    backend::Lease,
    sql::{Change, Code, Effect, Needs, Statement, XaStep},
};

/// Whether the session has a connection of its own for now.
#[derive(Debug, Default)]
pub enum Binding {
    /// Any connection will do.
    #[default]
    Free,
    /// A transaction is open on this one.
    Transaction(Lease),
    /// This one has what cannot be carried elsewhere: see [`Pins`].
    Pinned(Lease),
}

impl Binding {
    /// Takes the connection out, if there is one.
    pub fn take(&mut self) -> Option<Lease> {
        match std::mem::take(self) {
            Self::Free => None,
            Self::Transaction(lease) | Self::Pinned(lease) => Some(lease),
        }
    }

    /// The connection's lease, left where it is.
    pub fn lease(&self) -> Option<&Lease> {
        match self {
            Self::Free => None,
            Self::Transaction(lease) | Self::Pinned(lease) => Some(lease),
        }
    }
}

/// A kind of state that ties a session to its connection, and the word for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PinReason {
    /// LOCK TABLES, FLUSH TABLES WITH READ LOCK, LOCK INSTANCE.
    Locks,
    /// An XA transaction.
    Xa,
    /// SET TRANSACTION, for the next transaction only.
    NextTransaction,
    /// SET ROLE.
    Role,
    /// A session variable that acts once or cannot be set to a known value.
    Variable,
    /// State that no statement's text accounts for.
    UnknownState,
    /// A temporary table.
    TemporaryTable,
    /// GET_LOCK.
    NamedLock,
    /// HANDLER ... OPEN.
    Handler,
    /// PREPARE ... FROM.
    TextPrepared,
    /// A user variable whose value is not known here.
    UserVariable,
    /// Its connection records or counts what it does, and the session looks at that: `SHOW STATUS`, `profiling`,
    /// `optimizer_trace`. What is recorded lives as long as the connection.
    SessionRecords,
    /// The connection was logged in with a password that had expired: until that is changed there is no other, and after it
    /// dauphin does not know the new one.
    ExpiredPassword,
}

impl PinReason {
    /// Every reason, in the order of its declaration.
    pub const ALL: [Self; 13] = [
        Self::Locks,
        Self::Xa,
        Self::NextTransaction,
        Self::Role,
        Self::Variable,
        Self::UnknownState,
        Self::TemporaryTable,
        Self::NamedLock,
        Self::Handler,
        Self::TextPrepared,
        Self::UserVariable,
        Self::SessionRecords,
        Self::ExpiredPassword,
    ];

    /// A short name for logs, metrics and people.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Locks => "locks",
            Self::Xa => "xa_transaction",
            Self::NextTransaction => "next_transaction",
            Self::Role => "role",
            Self::Variable => "session_variable",
            Self::UnknownState => "unknown_state",
            Self::TemporaryTable => "temporary_table",
            Self::NamedLock => "named_lock",
            Self::Handler => "handler",
            Self::TextPrepared => "text_prepared",
            Self::UserVariable => "user_variable",
            Self::SessionRecords => "session_records",
            Self::ExpiredPassword => "expired_password",
        }
    }
}

/// All that pins a session, reason by reason; each ends when its reason ends.
#[derive(Debug, Default)]
pub struct Pins {
    temporary_tables: HashSet<Box<str>>,
    handlers: HashSet<Box<str>>,
    text_prepared: HashSet<Box<str>>,
    user_variables: HashSet<Box<str>>,
    /// Those of them whose values cannot be carried as literals.
    uncarried: HashSet<Box<str>>,
    /// Code that is not seen here may have set some.
    hidden_user_variables: bool,
    variables: HashSet<Box<str>>,
    pub(super) named_locks: NamedLocks,
    table_locks: bool,
    instance_lock: bool,
    xa: bool,
    next_transaction: bool,
    role: bool,
    records: bool,
    unknown: bool,
    expired_password: bool,
}

impl Pins {
    /// Whether nothing pins the session.
    pub fn is_empty(&self) -> bool {
        self.any().is_none()
    }

    /// The weightiest reason, if there is one.
    pub fn any(&self) -> Option<PinReason> {
        self.binds_all().or_else(|| self.binds_some())
    }

    /// A reason for which every statement must run on the pinned connection.
    fn binds_all(&self) -> Option<PinReason> {
        let reasons = [
            (self.expired_password, PinReason::ExpiredPassword),
            (self.unknown, PinReason::UnknownState),
            (self.table_locks || self.instance_lock, PinReason::Locks),
            (self.xa, PinReason::Xa),
            (self.next_transaction, PinReason::NextTransaction),
            (self.role, PinReason::Role),
            (!self.variables.is_empty(), PinReason::Variable),
            (self.records, PinReason::SessionRecords),
        ];
        reasons.into_iter().find(|(holds, _)| *holds).map(|(_, reason)| reason)
    }

    fn binds_some(&self) -> Option<PinReason> {
        let reasons = [
            (!self.temporary_tables.is_empty(), PinReason::TemporaryTable),
            (!self.named_locks.is_empty(), PinReason::NamedLock),
            (!self.handlers.is_empty(), PinReason::Handler),
            (!self.text_prepared.is_empty(), PinReason::TextPrepared),
            (self.holds_user_variables(), PinReason::UserVariable),
        ];
        reasons.into_iter().find(|(holds, _)| *holds).map(|(_, reason)| reason)
    }

    /// The reason for which `statement` must run on the pinned connection; a read that touches nothing of what pins
    /// the session may run anywhere.
    pub fn binds(&self, statement: &Statement) -> Option<PinReason> {
        // GET DIAGNOSTICS belongs to the statement before; what it sets is carried.
        if statement.effect != Effect::Read && !statement.is_get_diagnostics() {
            return self.any();
        }
        if let Some(reason) = self.binds_all() {
            return Some(reason);
        }
        let hidden = |table: &str| self.temporary_tables.contains(table);
        if !self.temporary_tables.is_empty()
            && (!statement.tables_known || statement.tables.iter().any(|table| hidden(table)))
        {
            return Some(PinReason::TemporaryTable);
        }
        if self.holds_user_variables() && statement.needs.contains(Needs::USER_VARIABLES) {
            return Some(PinReason::UserVariable);
        }
        None
    }

    fn holds_user_variables(&self) -> bool {
        self.hidden_user_variables || !self.user_variables.is_empty()
    }

    /// Whether nothing pins the session but user variables whose values may be read and carried.
    pub fn may_be_carried(&self) -> bool {
        self.any() == Some(PinReason::UserVariable)
            && !self.hidden_user_variables
            && self.uncarried.is_empty()
    }

    /// The user variables whose values only the connection has.
    pub fn user_variables(&self) -> Vec<Box<str>> {
        self.user_variables.iter().cloned().collect()
    }

    /// The value of a user variable is known by now.
    pub fn carried(&mut self, name: &str) {
        self.user_variables.remove(name);
        self.uncarried.remove(name);
    }

    /// The value of a user variable can only be had from its connection, until it is set anew.
    pub fn not_carried(&mut self, name: &str) {
        if self.user_variables.contains(name) {
            self.uncarried.insert(name.into());
        }
    }

    /// A statement with these changes has succeeded. `unexplained`: the server says that state has changed, and no
    /// change named here or by the server accounts for it.
    pub fn learn(&mut self, changes: &[Change], unexplained: bool) {
        for change in changes {
            self.learn_one(change);
        }
        if changes.iter().any(|change| matches!(change, Change::Unknown)) {
            self.named_locks.hidden();
        }
        self.unknown |= unexplained;
    }

    /// A statement with these changes has failed, but not before it began: a lock that it took by then is held.
    /// `reports_later`: what stored code has set by then, the server reports with the next statement.
    pub fn learn_failed(&mut self, changes: &[Change], reports_later: bool) {
        for change in changes {
            match change {
                Change::NamedLock(name) => {
                    self.named_locks.taken(name.as_deref());
                    self.named_locks.doubt();
                }
                Change::StoredCode(code) => {
                    if code.may_lock {
                        self.named_locks.taken(None);
                    }
                    self.unknown |= code.may_set && !reports_later;
                    self.learn_unreported(*code);
                }
                // It may have been assigned in an earlier row than the one that failed.
                Change::UserVariable { value: None, .. } => self.learn_one(change),
                _ => {}
            }
        }
    }

    fn learn_one(&mut self, change: &Change) {
        match change {
            Change::UserVariable { name, value: Some(literal) } if literal.is_ascii() => self.carried(name),
            Change::UserVariable { name, .. } => {
                self.uncarried.remove(name);
                self.user_variables.insert(name.clone());
            }
            Change::TransactionOnce => self.next_transaction = true,
            Change::Role => self.role = true,
            Change::SessionRecords => self.records = true,
            Change::CreateTemporaryTable(name) => {
                self.temporary_tables.insert(name.clone());
            }
            Change::DropTables { names, .. } => names.iter().for_each(|name| {
                self.temporary_tables.remove(name);
            }),
            Change::RenameTables(pairs) => pairs.iter().for_each(|(old, new)| {
                if self.temporary_tables.remove(old) {
                    self.temporary_tables.insert(new.clone());
                }
            }),
            Change::LockTables | Change::GlobalReadLock => self.table_locks = true,
            Change::UnlockTables => self.table_locks = false,
            Change::LockInstance => self.instance_lock = true,
            Change::UnlockInstance => self.instance_lock = false,
            Change::NamedLock(name) => self.named_locks.taken(name.as_deref()),
            Change::ReleaseNamedLock => self.named_locks.doubt(),
            Change::ReleaseAllNamedLocks => self.named_locks.released_all(),
            Change::HandlerOpen(name) => {
                self.handlers.insert(name.clone());
            }
            Change::HandlerClose(name) => {
                self.handlers.remove(name);
            }
            Change::Xa(XaStep::Start | XaStep::End) => self.xa = true,
            Change::Xa(XaStep::Prepare | XaStep::Finish) => self.xa = false,
            Change::TextPrepare(name) => {
                self.text_prepared.insert(name.clone());
            }
            Change::TextDeallocate(name) => {
                self.text_prepared.remove(name);
            }
            // The server reports these itself, or they are not the session's, or they are kept apart.
            Change::Schema(_)
            | Change::SystemVariables
            | Change::Names
            | Change::GlobalState
            | Change::ResetBinaryLog
            | Change::GlobalVariable(_)
            | Change::DefinesCode
            | Change::LastInsertId => {}
            Change::StoredCode(code) => {
                if code.may_lock {
                    self.named_locks.taken(None);
                }
                self.learn_unreported(*code);
            }
            // What it has changed is the server's to say.
            Change::Unknown => {}
        }
    }

    /// Code that is not seen here has run: takes in what no server says of it.
    fn learn_unreported(&mut self, code: Code) {
        self.hidden_user_variables |= code.may_assign;
        // It may hide any table.
        self.unknown |= code.may_create;
    }

    /// A session variable that cannot be carried.
    pub fn variable(&mut self, name: &str) {
        self.variables.insert(name.into());
    }

    /// Its connection was logged in with an expired password.
    pub fn expired_password(&mut self) {
        self.expired_password = true;
    }

    /// Whether the session has had such a connection, which it never leaves.
    pub fn has_expired_password(&self) -> bool {
        self.expired_password
    }

    /// Its connection records what the session does.
    pub fn records(&mut self) {
        self.records = true;
    }

    /// The transaction that SET TRANSACTION was for has ended.
    pub fn transaction_ended(&mut self) {
        self.next_transaction = false;
    }

    /// Whether an XA transaction is open.
    pub fn in_xa(&self) -> bool {
        self.xa
    }

    /// Whether SET TRANSACTION waits for its transaction.
    pub fn awaits_transaction(&self) -> bool {
        self.next_transaction
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{Syntax, classify};

    fn pins(changes: &[Change]) -> Pins {
        let mut pins = Pins::default();
        pins.learn(changes, false);
        pins
    }

    fn check(pins: &Pins, text: &str, expected: Option<PinReason>) {
        assert_eq!(pins.binds(&classify(text.as_bytes(), &Syntax::default())), expected, "{text}");
    }

    #[test]
    fn a_read_that_does_not_touch_a_temporary_table_is_free() {
        let mut pins = pins(&[Change::CreateTemporaryTable("t".into())]);
        check(&pins, "SELECT * FROM u", None);
        check(&pins, "SELECT * FROM T", Some(PinReason::TemporaryTable));
        check(&pins, "INSERT INTO u VALUES (1)", Some(PinReason::TemporaryTable));
        pins.learn(&[Change::DropTables { names: vec!["t".into()], temporary_only: true }], false);
        assert!(pins.is_empty());
    }

    #[test]
    fn a_user_variable_binds_those_who_read_it_until_it_is_known_again() {
        let mut pins = pins(&[Change::UserVariable { name: "x".into(), value: None }]);
        check(&pins, "SELECT 1", None);
        check(&pins, "SELECT @x", Some(PinReason::UserVariable));
        pins.learn(&[Change::UserVariable { name: "x".into(), value: Some("1".into()) }], false);
        assert!(pins.is_empty());
    }

    #[test]
    fn user_variables_may_be_carried_where_nothing_else_pins() {
        let computed = |name: &str| Change::UserVariable { name: name.into(), value: None };
        let mut pins = pins(&[computed("x"), computed("y")]);
        assert!(pins.may_be_carried());
        pins.learn(&[Change::CreateTemporaryTable("t".into())], false);
        assert!(!pins.may_be_carried());
        pins.learn(&[Change::DropTables { names: vec!["t".into()], temporary_only: true }], false);
        pins.not_carried("x");
        assert!(!pins.may_be_carried() && pins.user_variables().len() == 2);
        pins.learn(&[computed("x")], false);
        assert!(pins.may_be_carried(), "it has another value now");
        pins.carried("x");
        pins.carried("y");
        assert!(pins.is_empty());
        pins.learn_failed(&[computed("x")], true);
        assert!(pins.may_be_carried());
    }

    #[test]
    fn what_stored_code_may_have_left_unreported_binds_whether_it_succeeded_or_not() {
        let after = |code: Code| {
            let (mut succeeded, mut failed) = (Pins::default(), Pins::default());
            succeeded.learn(&[Change::StoredCode(code)], false);
            failed.learn_failed(&[Change::StoredCode(code)], true);
            [succeeded, failed]
        };
        for pins in after(Code { may_assign: true, ..Code::NOTHING }) {
            check(&pins, "SELECT * FROM t", None);
            check(&pins, "SELECT @x", Some(PinReason::UserVariable));
        }
        for pins in after(Code { may_create: true, ..Code::NOTHING }) {
            check(&pins, "SELECT * FROM t", Some(PinReason::UnknownState));
        }
        for pins in after(Code { may_set: true, ..Code::NOTHING }) {
            assert!(pins.is_empty(), "the server says whether it did");
        }
    }

    #[test]
    fn table_locks_bind_everything_and_unlock_frees() {
        let mut pins = pins(&[Change::LockTables]);
        check(&pins, "SELECT 1", Some(PinReason::Locks));
        pins.learn(&[Change::UnlockTables], false);
        check(&pins, "SELECT 1", None);
    }

    #[test]
    fn a_named_lock_binds_all_but_reads() {
        let mut pins = pins(&[Change::NamedLock(Some("a".into()))]);
        check(&pins, "SELECT 1", None);
        check(&pins, "INSERT INTO t VALUES (1)", Some(PinReason::NamedLock));
        pins.learn(&[Change::ReleaseNamedLock], false);
        check(&pins, "INSERT INTO t VALUES (1)", Some(PinReason::NamedLock));
        pins.learn(&[Change::ReleaseAllNamedLocks], false);
        assert!(pins.is_empty());
    }

    #[test]
    fn a_statement_that_fails_may_have_taken_a_lock() {
        let mut pins = Pins::default();
        pins.learn_failed(&[Change::LockTables, Change::NamedLock(None)], true);
        assert_eq!(pins.any(), Some(PinReason::NamedLock));
    }

    #[test]
    fn state_that_nobody_accounts_for_binds_everything() {
        let mut pins = Pins::default();
        pins.learn(&[Change::Unknown], true);
        check(&pins, "SELECT 1", Some(PinReason::UnknownState));
    }
}
