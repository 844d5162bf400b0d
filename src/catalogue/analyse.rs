//! From the sources of one server's stored code to what it does, with all that it calls.

use std::collections::{HashMap, HashSet};

use super::{Catalogue, Does, Routines, Source};
use crate::sql::{Called, CalledKind, Code, Program, Syntax, classify, read_body};

/// What the servers bring along reads what is their own.
const SYSTEM_SCHEMAS: [&str; 4] = ["mysql", "sys", "information_schema", "performance_schema"];

/// One routine, view or set of triggers while it is found out what it does.
struct Piece {
    schema: Box<str>,
    does: Does,
    /// Whatever it calls, perhaps.
    calls: Vec<usize>,
    /// What must only read for it to only read.
    relies_on: Vec<usize>,
    uses: Uses,
}

/// What a piece names, before the names are looked up.
#[derive(Default)]
struct Uses {
    calls: Vec<Called>,
    functions: Vec<Called>,
    tables: Vec<Box<str>>,
    /// If it may change rows: all names in it, those of tables with triggers perhaps among them.
    may_write_to: HashSet<Box<str>>,
    /// A view's functions are perhaps written without their schema where it is not the view's (seen on MySQL 9.7).
    any_schema: bool,
}

/// Finds out what one server's code does.
pub(super) fn analyse(source: &Source) -> Catalogue {
    let mut pieces = Vec::new();
    let mut names = Names::default();
    for routine in &source.routines {
        let (schema, name) = (routine.schema.to_lowercase(), routine.name.to_lowercase());
        let kind = if routine.is_function { CalledKind::Function } else { CalledKind::Procedure };
        names.routines.entry((kind, name.into())).or_default().push(pieces.len());
        pieces.push(read_routine(source, routine, schema.into()));
    }
    for view in &source.views {
        let name = view.name.to_ascii_lowercase();
        names.views.entry(name.into()).or_default().push(pieces.len());
        pieces.push(read_view(source, view));
    }
    for trigger in &source.triggers {
        let table = trigger.table.to_ascii_lowercase();
        names.triggers.entry(table.into()).or_default().push(pieces.len());
        pieces.push(read_trigger(source, trigger));
    }
    names.hand_on_triggers(&pieces);
    connect(&mut pieces, &names);
    settle(&mut pieces);
    names.into_catalogue(&pieces)
}

fn syntax(source: &Source, sql_mode: &str) -> Syntax {
    let has = |mode: &str| sql_mode.split(',').any(|one| one.eq_ignore_ascii_case(mode));
    Syntax {
        ansi_quotes: has("ANSI_QUOTES"),
        no_backslash_escapes: has("NO_BACKSLASH_ESCAPES"),
        ignore_space: has("IGNORE_SPACE"),
        flavour: source.flavour,
        version: source.version,
        ..Syntax::default()
    }
}

fn read_routine(source: &Source, routine: &super::Routine, schema: Box<str>) -> Piece {
    let Some(body) = routine.body.as_deref().filter(|_| !speaks_pl_sql(&routine.sql_mode)) else {
        return Piece::new(schema, Does::UNKNOWN, Uses::default());
    };
    let parameters: Vec<Box<str>> = routine.parameters.iter().map(|name| name.as_str().into()).collect();
    let program = Program { body, parameters: &parameters };
    let body = read_body(program, &syntax(source, &routine.sql_mode));
    let is_own = !SYSTEM_SCHEMAS.contains(&&*schema);
    let only_reads = body.reads.is_some() && routine.declared_harmless && is_own;
    let reads = body.reads.unwrap_or_default();
    let uses = Uses {
        calls: body.calls,
        functions: reads.calls,
        tables: reads.tables.clone(),
        may_write_to: if body.may_write { body.names } else { HashSet::new() },
        any_schema: false,
    };
    Piece::new(schema, Does { code: body.code, only_reads, tables: reads.tables }, uses)
}

/// In MariaDB's ORACLE mode procedures are called without CALL, and packages have bodies of several.
fn speaks_pl_sql(sql_mode: &str) -> bool {
    sql_mode.split(',').any(|mode| mode.eq_ignore_ascii_case("ORACLE"))
}

fn read_view(source: &Source, view: &super::View) -> Piece {
    // The servers write a view's query anew, in their own quotes.
    let statement = classify(view.definition.as_bytes(), &syntax(source, ""));
    let is_read = statement.is_read() || statement.as_read.is_some();
    // Only calls leave something, and what these do is added later.
    let only_reads = is_read && statement.tables_known && statement.changes.iter().all(is_of_code);
    let may_lock = statement.changes.iter().any(|change| matches!(change, crate::sql::Change::NamedLock(_)));
    let does = Does { code: Code { may_lock, ..Code::NOTHING }, only_reads, tables: Vec::new() };
    let uses = Uses {
        calls: statement.calls.clone(),
        functions: statement.calls,
        tables: statement.tables,
        may_write_to: HashSet::new(),
        any_schema: true,
    };
    Piece::new(view.schema.to_lowercase().into(), does, uses)
}

fn is_of_code(change: &crate::sql::Change) -> bool {
    matches!(change, crate::sql::Change::StoredCode(_))
}

fn read_trigger(source: &Source, trigger: &super::Trigger) -> Piece {
    let schema: Box<str> = trigger.schema.to_lowercase().into();
    if speaks_pl_sql(&trigger.sql_mode) {
        return Piece::new(schema, Does::UNKNOWN, Uses::default());
    }
    let program = Program { body: &trigger.body, parameters: &[] };
    let body = read_body(program, &syntax(source, &trigger.sql_mode));
    let uses = Uses {
        calls: body.calls,
        may_write_to: if body.may_write { body.names } else { HashSet::new() },
        ..Uses::default()
    };
    Piece::new(schema, Does { code: body.code, only_reads: false, tables: Vec::new() }, uses)
}

impl Piece {
    fn new(schema: Box<str>, does: Does, uses: Uses) -> Self {
        Self { schema, does, calls: Vec::new(), relies_on: Vec::new(), uses }
    }
}

/// Where the pieces are that have a name.
#[derive(Default)]
struct Names {
    routines: HashMap<(CalledKind, Box<str>), Vec<usize>>,
    views: HashMap<Box<str>, Vec<usize>>,
    /// By the table, or by a view through which it may be written to.
    triggers: HashMap<Box<str>, Vec<usize>>,
}

impl Names {
    fn find<'n>(
        &'n self,
        called: &'n Called,
        pieces: &'n [Piece],
        from: &'n Piece,
    ) -> impl Iterator<Item = usize> + 'n {
        let schema = called.schema.as_deref().unwrap_or(&from.schema);
        let anywhere = called.schema.is_none() && from.uses.any_schema;
        let named = self.routines.get(&(called.kind, called.name.clone())).into_iter().flatten().copied();
        named.filter(move |&at| anywhere || *pieces[at].schema == *schema)
    }

    /// Who writes to a view writes to its tables.
    fn hand_on_triggers(&mut self, pieces: &[Piece]) {
        loop {
            let mut more = Vec::new();
            for (view, places) in &self.views {
                let known = self.triggers.get(view);
                let tables = places.iter().flat_map(|&place| &pieces[place].uses.tables);
                let triggers = tables.filter_map(|table| self.triggers.get(table)).flatten();
                let new = triggers.filter(|trigger| known.is_none_or(|known| !known.contains(trigger)));
                more.extend(new.map(|&trigger| (view.clone(), trigger)));
            }
            if more.is_empty() {
                return;
            }
            for (view, trigger) in more {
                let known = self.triggers.entry(view).or_default();
                if !known.contains(&trigger) {
                    known.push(trigger);
                }
            }
        }
    }

    fn into_catalogue(self, pieces: &[Piece]) -> Catalogue {
        let mut catalogue = Catalogue::default();
        for ((kind, name), places) in self.routines {
            let routines: &mut Routines = match kind {
                CalledKind::Function => &mut catalogue.functions,
                CalledKind::Procedure => &mut catalogue.procedures,
            };
            let known = routines.entry(name).or_default();
            for place in places {
                let Piece { schema, does, .. } = &pieces[place];
                // Schemas that differ in case only are not told apart.
                match known.iter_mut().find(|(of, _)| of == schema) {
                    Some((_, known)) => known.add(does),
                    None => known.push((schema.clone(), does.clone())),
                }
            }
        }
        for (name, places) in self.views {
            let mut all = Does::NOTHING;
            places.iter().for_each(|&place| all.add(&pieces[place].does));
            if !all.only_reads || all.code != Code::NOTHING {
                catalogue.views.insert(name, all);
            }
        }
        for (table, places) in self.triggers {
            let code = places.iter().fold(Code::NOTHING, |code, &place| code.and(pieces[place].does.code));
            if code != Code::NOTHING {
                catalogue.triggers.insert(table, code);
            }
        }
        catalogue
    }
}

/// Looks the names up that the pieces use.
fn connect(pieces: &mut [Piece], names: &Names) {
    for at in 0..pieces.len() {
        let piece = &pieces[at];
        let mut calls: Vec<usize> =
            piece.uses.calls.iter().flat_map(|called| names.find(called, pieces, piece)).collect();
        let triggers = names.triggers.iter().filter(|(table, _)| piece.uses.may_write_to.contains(*table));
        calls.extend(triggers.flat_map(|(_, triggers)| triggers));
        let mut relies_on = Vec::new();
        let mut all_known = true;
        for called in &piece.uses.functions {
            let before = relies_on.len();
            relies_on.extend(names.find(called, pieces, piece));
            all_known &= relies_on.len() > before;
        }
        let views = piece.uses.tables.iter().filter_map(|table| names.views.get(table)).flatten();
        relies_on.extend(views);
        calls.extend(&relies_on);
        let piece = &mut pieces[at];
        piece.does.only_reads &= all_known;
        (piece.calls, piece.relies_on) = (calls, relies_on);
    }
}

/// Hands on what pieces do to those that use them, until nothing changes: at most as often as calls are deep.
fn settle(pieces: &mut [Piece]) {
    let mut has_changed = true;
    while has_changed {
        has_changed = false;
        for at in 0..pieces.len() {
            let piece = &pieces[at];
            let code =
                piece.calls.iter().fold(piece.does.code, |code, &called| code.and(pieces[called].does.code));
            let only_reads =
                piece.does.only_reads && piece.relies_on.iter().all(|&used| pieces[used].does.only_reads);
            let mut tables = piece.does.tables.clone();
            if only_reads {
                for &used in &piece.relies_on {
                    for table in &pieces[used].does.tables {
                        if !tables.contains(table) {
                            tables.push(table.clone());
                        }
                    }
                }
            }
            has_changed |= code != piece.does.code
                || only_reads != piece.does.only_reads
                || tables.len() != piece.does.tables.len();
            pieces[at].does = Does { code, only_reads, tables };
        }
    }
}
