//! A fake server that does as a script says, a client that sees every byte, and dauphin between them, in one process.
//!
//! For faults that a real server does not commit on demand. Everything runs on one thread; nothing sleeps to wait for
//! something else: the fakes keep a log, and tests wait for what it must say.

pub mod answer;
pub mod client;
pub mod house;
pub mod script;
pub mod server;

pub use client::{Answer, Client, Dialect};
pub use house::{House, run};
pub use script::{Act, Greet};
pub use server::{FakeServer, Gate};
