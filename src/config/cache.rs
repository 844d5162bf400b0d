//! `[cache]`: what dauphin remembers of statements.

use super::kind::{count, size};
use super::options::{Settable, options};
use super::section::Section;

options! {
    /// What dauphin remembers of statements.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Cache {
        /// How many statements' classifications are remembered.
        classifications: usize = count(1, 10_000_000).or(20_000);
        /// How much memory the remembered texts may take.
        classification_bytes: usize = size("64KiB", "16GiB").or("16MiB");
        /// The longest text whose classification is remembered; longer ones are classified each time.
        max_text: usize = size("64B", "16MiB").or("16KiB");
        /// The most prepared statements on one connection to a server; the longest unused is closed.
        prepared_per_connection: usize = count(1, 1_000_000).or(250);
        /// The most prepared statements that one session may hold.
        prepared_per_session: usize = count(1, 4_194_304).or(16_384);
        /// How many words of causal hints are remembered; a read with a forgotten one waits for what it may have meant.
        causal_tokens: usize = count(0, 10_000_000).or(100_000);
    }
}

impl Cache {
    /// As `read`, and a text that is to be remembered must fit.
    pub(super) fn read_fitting(section: &Section<'_>) -> Option<Self> {
        let cache = Self::read(section)?;
        if cache.max_text > cache.classification_bytes {
            let cause = "is more than classification_bytes, the room for all texts";
            section.wrong("max_text", cause, "lower max_text or raise classification_bytes");
        }
        Some(cache)
    }
}
