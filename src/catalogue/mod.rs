//! What stored functions, procedures, triggers and views do, told from their sources; and what that means for a statement
//! that uses them.
//!
//! `source` is what one server says, `analyse` what comes of it, `resolve` applies it to a statement, `known` is how the
//! latest is shared. Asking the servers is `monitor::code`'s.

mod analyse;
mod known;
mod resolve;
mod source;

#[cfg(test)]
mod tests;

use std::collections::HashMap;

pub use known::{Changing, KnownCode};
pub use source::{Routine, Source, Trigger, View};

use crate::sql::{Called, CalledKind, Code};

/// What a piece of stored code does, with all that it calls.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Does {
    /// What it may leave on its connection.
    code: Code,
    /// Whether it does nothing but read what all servers have alike.
    only_reads: bool,
    /// The unqualified lower-cased names of the tables that it reads, if it only reads.
    tables: Vec<Box<str>>,
}

impl Does {
    const UNKNOWN: Self = Self { code: Code::UNKNOWN, only_reads: false, tables: Vec::new() };
    const NOTHING: Self = Self { code: Code::NOTHING, only_reads: true, tables: Vec::new() };

    /// Takes in what another does, be it beside it or on another server.
    fn add(&mut self, other: &Self) {
        self.code = self.code.and(other.code);
        self.only_reads &= other.only_reads;
        self.tables.extend(
            other.tables.iter().filter(|table| !self.tables.contains(table)).cloned().collect::<Vec<_>>(),
        );
    }
}

/// Routines of one kind: by name, then by schema.
type Routines = HashMap<Box<str>, Vec<(Box<str>, Does)>>;

/// What the stored code of all servers does. A routine that not all servers have alike does all that any of its versions
/// does.
#[derive(Debug, Default)]
pub struct Catalogue {
    /// Whether every routine of the primary is here: nothing is told of any otherwise.
    complete: bool,
    /// Whether that is so of every server, so that what is said to only read may run anywhere.
    everywhere: bool,
    functions: Routines,
    procedures: Routines,
    /// The views that do more than read, by unqualified name.
    views: HashMap<Box<str>, Does>,
    /// The tables whose triggers may leave something on their connection, by unqualified name.
    triggers: HashMap<Box<str>, Code>,
}

impl Catalogue {
    /// What comes of what these servers say. `complete`: one of them is the primary, and says all. `everywhere`: these are
    /// all servers; nothing only reads for certain otherwise.
    pub fn new<'s>(sources: impl IntoIterator<Item = &'s Source>, complete: bool, everywhere: bool) -> Self {
        let mut all: Option<Self> = None;
        for source in sources {
            let one = analyse::analyse(source);
            match &mut all {
                None => all = Some(one),
                Some(all) => all.merge(one),
            }
        }
        Self { complete, everywhere, ..all.unwrap_or_default() }
    }

    fn merge(&mut self, other: Self) {
        merge_routines(&mut self.functions, other.functions);
        merge_routines(&mut self.procedures, other.procedures);
        for (name, does) in other.views {
            self.views.entry(name).or_insert(Does::NOTHING).add(&does);
        }
        for (table, code) in other.triggers {
            let known = self.triggers.entry(table).or_insert(Code::NOTHING);
            *known = known.and(code);
        }
    }

    /// Whether one of these is known, in this default schema.
    pub fn knows_any(&self, calls: &[Called], schema: Option<&str>) -> bool {
        let schema = schema.map(str::to_lowercase);
        calls.iter().any(|called| self.find(called, schema.as_deref()).is_some())
    }

    /// `schema`: the default one, lower-cased.
    fn find(&self, called: &Called, schema: Option<&str>) -> Option<&Does> {
        let routines = match called.kind {
            CalledKind::Function => &self.functions,
            CalledKind::Procedure => &self.procedures,
        };
        let schema = called.schema.as_deref().or(schema)?;
        let (_, does) = routines.get(&called.name)?.iter().find(|(of, _)| **of == *schema)?;
        Some(does)
    }
}

fn merge_routines(all: &mut Routines, other: Routines) {
    // What only some servers have must not run on the others.
    for (name, known) in all.iter_mut() {
        for (schema, does) in known {
            let everywhere = other.get(name).is_some_and(|others| others.iter().any(|(of, _)| of == schema));
            does.only_reads &= everywhere;
        }
    }
    for (name, others) in other {
        let known = all.entry(name).or_default();
        for (schema, does) in others {
            match known.iter_mut().find(|(of, _)| *of == schema) {
                Some((_, known)) => known.add(&does),
                None => known.push((schema, Does { only_reads: false, ..does })),
            }
        }
    }
}
