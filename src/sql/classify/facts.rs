//! What has been learnt of one statement so far.

use crate::sql::called::Called;
use crate::sql::change::{Change, Code};
use crate::sql::needs::Needs;
use crate::sql::reason::Reason;
use crate::sql::statement::{Effect, Kill};

/// What has been learnt of one statement so far.
pub(super) struct Facts {
    pub(super) effect: Effect,
    pub(super) reason: Reason,
    pub(super) needs: Needs,
    pub(super) changes: Vec<Change>,
    /// Session system variables that it sets.
    pub(super) variables: Vec<Box<str>>,
    pub(super) tables: Vec<Box<str>>,
    pub(super) tables_known: bool,
    pub(super) calls: Vec<Called>,
    /// The reason it would have as a read if it did not call stored functions.
    pub(super) as_read: Option<Reason>,
    pub(super) kill: Option<Kill>,
    /// A query stands in an expression.
    pub(super) has_query: bool,
    /// It changes how the server reads what follows: `sql_mode`, the character set.
    pub(super) changes_syntax: bool,
}

impl Facts {
    pub(super) fn new(effect: Effect, reason: Reason) -> Self {
        Self {
            effect,
            reason,
            needs: Needs::NONE,
            changes: Vec::new(),
            variables: Vec::new(),
            tables: Vec::new(),
            tables_known: true,
            calls: Vec::new(),
            as_read: None,
            kill: None,
            has_query: false,
            changes_syntax: false,
        }
    }

    /// A read until something speaks against it.
    pub(super) fn read(reason: Reason) -> Self {
        Self::new(Effect::Read, reason)
    }

    /// A setting of session state until something speaks against it.
    pub(super) fn session(reason: Reason) -> Self {
        Self::new(Effect::Session, reason)
    }

    pub(super) fn write(reason: Reason) -> Self {
        Self::new(Effect::Write, reason)
    }

    /// For the primary, and then nothing is certain.
    pub(super) fn unknown(reason: Reason) -> Self {
        let mut facts = Self::write(reason);
        facts.forget();
        facts
    }

    /// With one change.
    pub(super) fn changing(mut self, change: Change) -> Self {
        self.changes.push(change);
        self
    }

    /// It runs a text that is not looked into again, which may leave this.
    pub(super) fn running(mut self, code: Code) -> Self {
        if code.may_lock {
            self.changes.push(Change::NamedLock(None));
        }
        let rest = Code { may_lock: false, ..code };
        if rest != Code::NOTHING {
            self.changes.push(Change::StoredCode(rest));
        }
        self
    }

    /// Something speaks against it: for the primary. The first reason stays.
    pub(super) fn refuse(&mut self, reason: Reason) {
        self.as_read = None;
        if self.effect != Effect::Write {
            self.effect = Effect::Write;
            self.reason = reason;
        }
    }

    /// It calls a stored function, of which the text does not say whether it only reads.
    pub(super) fn calls_function(&mut self, called: Called) {
        if self.effect == Effect::Read {
            self.effect = Effect::Write;
            self.as_read = Some(std::mem::replace(&mut self.reason, Reason::StoredFunction));
        } else if self.as_read.is_none() {
            self.refuse(Reason::StoredFunction);
        }
        self.note(Change::StoredCode(Code::UNKNOWN));
        self.calls.push(called);
    }

    /// It may change and use anything.
    pub(super) fn forget(&mut self) {
        self.as_read = None;
        self.tables_known = false;
        if self.changes.last() != Some(&Change::Unknown) {
            self.changes.push(Change::Unknown);
        }
    }

    /// It was not understood.
    pub(super) fn give_up(&mut self, reason: Reason) {
        self.effect = Effect::Write;
        self.reason = reason;
        self.forget();
    }

    /// Notes that session variables are set.
    pub(super) fn sets<const N: usize>(&mut self, names: [&str; N]) {
        self.note(Change::SystemVariables);
        self.variables.extend(names.map(Box::from));
    }

    /// Notes a change once, however often it is met in a row.
    pub(super) fn note(&mut self, change: Change) {
        if self.changes.last() != Some(&change) {
            self.changes.push(change);
        }
    }
}
