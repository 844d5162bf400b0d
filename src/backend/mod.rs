//! The servers and the connections to them.
//!
//! A connection is lent as a [`Lease`]; sending a command turns it into an [`Exchange`], which turns back into a lease
//! when the response has ended. Whoever drops either closes the connection: only [`Lease::release`] reuses it.

pub mod account;
mod applied;
mod back_off;
mod compression;
pub mod connect;
pub mod connection;
pub mod connection_attributes;
pub mod exchange;
pub mod fleet;
pub mod own;
pub mod pool;
pub mod prepared;
pub mod profile;
pub mod server;
pub mod state;
pub mod tls;

pub use account::{Account, Proof};
pub use connect::ConnectError;
pub use connection::Connection;
pub use exchange::{BackendLost, ColumnType, ConnectionName, Exchange, Lease, Own};
pub use fleet::{Fleet, MOST_DISCOVERED};
pub use pool::{Pool, PoolError};
pub use profile::Profile;
pub use server::{Server, ServerId};
pub use state::State;
