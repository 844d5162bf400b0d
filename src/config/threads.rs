//! `[threads]`: how many threads carry the clients' traffic.

use super::kind::count;
use super::options::{Settable, options};

options! {
    /// How many threads carry the clients' traffic.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Threads {
        /// Threads that carry the clients' traffic; 0 is one per core.
        data: usize = count(0, 1_024).or(0);
    }
}

impl Threads {
    /// The number of threads that carry traffic, with 0 resolved to this machine's cores.
    pub fn data_threads(&self) -> usize {
        match self.data {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        }
    }
}
