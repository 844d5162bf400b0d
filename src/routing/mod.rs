//! Where a statement goes: the published table, the pure decision, the choice among equals, and waiting for a primary.

pub mod balance;
pub mod decide;
pub mod hold;
pub mod not_chosen;
pub mod table;

pub use table::{Epoch, Primary, Published, RoutingTable, Term};
