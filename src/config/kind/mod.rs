//! The kinds of value an option can have: each reads one written value, or says what is wrong with it.

mod address;
mod choice;
mod count;
mod duration;
mod filter;
mod flag;
mod network;
mod path;
mod size;
mod text;

pub(super) use address::{ListenAddresses, ServerAddressKind, ServerAddresses};
pub(super) use choice::{Choice, choice};
pub(super) use count::count;
pub(super) use duration::{duration, duration_or_off};
pub(super) use filter::log_filter;
pub(super) use flag::flag;
pub(super) use network::Networks;
pub(super) use path::{path, readable_file};
pub(super) use size::size;
pub(super) use text::text;

use super::written::Written;

/// What can be written for an option, and what it becomes.
pub(super) trait Kind {
    type Value;

    /// The value, or `None` with the mistake on record.
    fn read(&self, written: &Written<'_>) -> Option<Self::Value>;

    /// What may be written, in words.
    fn range(&self) -> String;
}
