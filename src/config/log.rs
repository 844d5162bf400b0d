//! `[log]`: what dauphin writes about itself.

use super::kind::{choice, log_filter};
use super::options::{Settable, options};

/// How a line of the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object per line.
    Json,
}

options! {
    /// What dauphin writes about itself.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Log {
        /// Lines for people, or one JSON object per line.
        format: LogFormat = choice([("human", LogFormat::Human), ("json", LogFormat::Json)]).or("human");
        /// What is logged: a level, or a filter such as "info,dauphin::pool=debug".
        level: String = log_filter().or("info");
    }
}
