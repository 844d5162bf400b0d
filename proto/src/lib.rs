//! The MySQL wire protocol: bytes in, values out. No sockets, no clock, no async.
//!
//! A peer's bytes are untrusted: every read is bounded and ends in a [`ProtocolError`], never in a panic.
//! Layouts are those of the MySQL manual, "Client/Server Protocol", and of MariaDB's knowledge base.

pub mod attributes;
pub mod auth;
pub mod bulk;
pub mod command;
pub mod connect;
mod error;
pub mod execute;
pub mod field;
pub mod packet;
pub mod reframe;
pub mod reply;
pub mod response;
pub mod session_track;

pub use error::ProtocolError;
pub use mysql_common::constants::{CapabilityFlags, StatusFlags};
