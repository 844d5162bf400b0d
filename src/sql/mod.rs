//! What a statement does, told from its text: pure functions, no state but the cache's.
//!
//! [`classify`] reads a text the way the server would under the session's [`Syntax`] and says what routing and the
//! session must know: a [`Statement`]. It calls a text a read only if it understood all of it; everything else is
//! for the primary. Where a statement then goes is decided in `routing`.

mod cache;
mod called;
mod change;
mod classify;
mod cursor;
mod digest;
mod hint;
mod lexer;
mod needs;
mod reason;
mod statement;
mod syntax;
mod words;

pub use cache::ClassificationCache;
pub use called::{Called, Kind as CalledKind};
pub use change::{Change, Code, XaStep};
pub use classify::{Body, Program, Reads, classify, read_body, setting};
pub use digest::normalise;
pub use needs::Needs;
pub use reason::Reason;
pub use statement::{
    Access, Consistency, Effect, End, Freshness, Hint, Kill, LagLimit, OwnStatement, Setting, StackChange,
    Statement, Wish,
};
pub use syntax::{Charset, Flavour, Syntax};
