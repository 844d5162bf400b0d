//! The stored code of one server, as its catalogue shows it.

use crate::sql::Flavour;

/// The stored code of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Whose dialect it is written in.
    pub flavour: Flavour,
    /// The server's version, as executable comments write it.
    pub version: u32,
    /// Functions and procedures.
    pub routines: Vec<Routine>,
    /// Those that dauphin's account may read.
    pub views: Vec<View>,
    /// Those that dauphin's account may read.
    pub triggers: Vec<Trigger>,
}

/// A stored function or procedure.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Routine {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Whether it is a function; if not, a procedure or a package.
    pub is_function: bool,
    /// Its body in SQL; `None` if it is hidden, or in another language.
    pub body: Option<String>,
    /// The names of its parameters.
    pub parameters: Vec<String>,
    /// Whether it is declared as one that does not write, by READS SQL DATA, NO SQL or DETERMINISTIC.
    pub declared_harmless: bool,
    /// The `sql_mode` under which it is read and runs.
    pub sql_mode: String,
}

/// A view.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct View {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Its query.
    pub definition: String,
}

/// A trigger.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trigger {
    /// Its schema.
    pub schema: String,
    /// The table whose changes start it.
    pub table: String,
    /// Its body.
    pub body: String,
    /// The `sql_mode` under which it is read and runs.
    pub sql_mode: String,
}
