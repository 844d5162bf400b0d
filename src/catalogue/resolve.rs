//! What a statement does, now that it is known what the code does that it uses.

use super::{Catalogue, Does};
use crate::sql::{Called, CalledKind, Change, Code, Effect, Reason, Statement};

impl Catalogue {
    /// The statement, with what its stored code does; `None` if that changes nothing of what its text says.
    ///
    /// `schema`: the session's default one. `fresh`: nothing that this session could know of has changed since the servers
    /// were asked. Costs nothing where the statement calls nothing and no view and no trigger is of concern.
    pub fn resolve(&self, statement: &Statement, schema: Option<&str>, fresh: bool) -> Option<Statement> {
        let hidden = self.hidden(statement);
        if statement.calls.is_empty() && hidden.is_none() && fresh {
            return None;
        }
        let mut does = if fresh { Does::NOTHING } else { Does::UNKNOWN };
        let schema = schema.map(str::to_lowercase);
        for called in &statement.calls {
            let known = self.find(called, schema.as_deref()).filter(|_| self.complete && fresh);
            match known {
                Some(known) => does.add(known),
                // Built in and not known here, or from a library: these run no SQL, and so take no lock.
                None if self.complete && fresh && is_plain_function(called) => {
                    does.add(&Does { code: Code { may_set: true, ..Code::NOTHING }, ..Does::UNKNOWN });
                }
                None => does.add(&Does::UNKNOWN),
            }
        }
        let mut resolved = statement.clone();
        if let Some(hidden) = &hidden {
            does.add(hidden);
            if !hidden.only_reads && matches!(resolved.effect, Effect::Read) {
                resolved.effect = Effect::Write;
                resolved.reason = Reason::ViewOverFunction;
            }
        }
        match statement.as_read {
            Some(of_read) if does.only_reads && self.everywhere => {
                resolved.effect = Effect::Read;
                resolved.reason =
                    if of_read == Reason::PlainRead { Reason::HarmlessFunction } else { of_read };
                resolved.changes.clear();
                resolved.tables.append(&mut does.tables);
            }
            _ => resolved.leaves(does.code),
        }
        Some(resolved)
    }

    /// What views and triggers add that the statement's tables stand for; `None` if nothing.
    fn hidden(&self, statement: &Statement) -> Option<Does> {
        if self.views.is_empty() && (self.triggers.is_empty() || statement.effect != Effect::Write) {
            return None;
        }
        let mut hidden: Option<Does> = None;
        for table in &statement.tables {
            let of_triggers = self.triggers.get(table).filter(|_| statement.effect == Effect::Write);
            let of_triggers = of_triggers.map(|&code| Does { code, ..Does::NOTHING });
            for does in self.views.get(table).cloned().into_iter().chain(of_triggers) {
                hidden.get_or_insert(Does::NOTHING).add(&does);
            }
        }
        hidden
    }
}

fn is_plain_function(called: &Called) -> bool {
    called.kind == CalledKind::Function && called.schema.is_none()
}

impl Statement {
    /// Its stored code may leave this and no more.
    fn leaves(&mut self, code: Code) {
        let is_of_code = |change: &Change| matches!(change, Change::StoredCode(_));
        self.changes.retain(|change| !is_of_code(change));
        self.changes.push(Change::StoredCode(code));
    }
}
