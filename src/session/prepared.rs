//! The session's prepared statements: ids of dauphin's own, each prepared on a server when first needed there.

use std::{collections::HashMap, sync::Arc};

use dauphin_proto::bulk::LAST_PREPARED;

use crate::{
    backend::{ConnectionName, prepared::Source},
    sql::Statement,
};

/// One prepared statement, as the client knows it.
#[derive(Debug)]
pub struct PreparedStatement {
    /// What it was prepared from.
    pub source: Arc<Source>,
    /// What it does.
    pub statement: Arc<Statement>,
    /// How many parameters it has.
    pub parameters: u16,
    /// How many columns its result has; 0 for none.
    pub columns: u16,
    /// The parameters' types, as the client last said them.
    pub types: Option<Box<[u8]>>,
    /// Where its cursor or its long data is.
    pub place: Place,
    /// Whether there is long data.
    pub long_data: bool,
}

/// Where an open cursor, or the long data of the next execution, lives.
#[derive(Debug, Default)]
pub enum Place {
    /// There is none.
    #[default]
    Nowhere,
    /// On the connection that the session is bound to.
    Bound,
    /// On this connection, which is kept for it and its like.
    Kept(ConnectionName),
}

/// All of a session's prepared statements; empty costs nothing.
#[derive(Debug, Default)]
pub struct PreparedStatements {
    by_id: HashMap<u32, PreparedStatement>,
    last_id: u32,
    /// What [`LAST_PREPARED`] stands for: the last statement, if preparing it went well.
    last: Option<u32>,
}

impl PreparedStatements {
    /// The id that the next statement will have.
    pub fn next_id(&mut self) -> u32 {
        self.last_id = if self.last_id + 1 == LAST_PREPARED { 1 } else { self.last_id + 1 };
        self.last_id
    }

    /// Remembers a statement.
    pub fn insert(&mut self, id: u32, statement: PreparedStatement) {
        self.by_id.insert(id, statement);
    }

    /// The first copy of this source that no statement of the session's has.
    pub fn free_copy(&self, source: &Source) -> u32 {
        let like = self.by_id.values().map(|prepared| &prepared.source).filter(|other| other.is_like(source));
        let mut taken: Vec<_> = like.map(|other| other.copy).collect();
        taken.sort_unstable();
        (0..).zip(&taken).find(|(free, taken)| free != *taken).map_or(taken.len() as u32, |(free, _)| free)
    }

    /// [`LAST_PREPARED`] stands for the statement of this id from now on, or for none.
    pub fn note_last(&mut self, id: Option<u32>) {
        self.last = id;
    }

    /// The statement of this id.
    pub fn get(&mut self, id: u32) -> Option<&mut PreparedStatement> {
        self.by_id.get_mut(&self.last.filter(|_| id == LAST_PREPARED).unwrap_or(id))
    }

    /// Forgets the statement.
    pub fn remove(&mut self, id: u32) -> Option<PreparedStatement> {
        self.by_id.remove(&self.last.filter(|_| id == LAST_PREPARED).unwrap_or(id))
    }

    /// Forgets all of them.
    pub fn drain(&mut self) -> impl Iterator<Item = PreparedStatement> + use<> {
        self.last = None;
        std::mem::take(&mut self.by_id).into_values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Cursors and long data on the bound connection are gone with it.
    pub fn binding_ended(&mut self) {
        for statement in self.by_id.values_mut() {
            if matches!(statement.place, Place::Bound) {
                statement.place = Place::Nowhere;
            }
        }
    }

    /// What is on this connection is on the bound one: it is bound by now.
    pub fn bind(&mut self, name: ConnectionName) {
        for statement in self.by_id.values_mut() {
            if matches!(statement.place, Place::Kept(on) if on == name) {
                statement.place = Place::Bound;
            }
        }
    }

    /// Whether the bound connection holds a cursor or long data.
    pub fn on_binding(&self) -> bool {
        self.by_id.values().any(|statement| matches!(statement.place, Place::Bound))
    }
}
