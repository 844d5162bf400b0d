//! A stored function or procedure that a text calls, by the name that it has there.

/// What kind of routine is called; functions and procedures have names of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Called in an expression: a stored function, a loadable one, or one that is built in and not known here.
    Function,
    /// Called by CALL.
    Procedure,
}

/// A routine that a text calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Called {
    /// Which kind of routine.
    pub kind: Kind,
    /// The schema that the name has before it, lower-cased; `None` for the default one.
    pub schema: Option<Box<str>>,
    /// Lower-cased.
    pub name: Box<str>,
}
