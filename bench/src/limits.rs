//! How many files a process may open: raised as far as the machine permits.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Enough for 10,000 sessions with a connection on either side, and more.
const WANTED: u64 = 65_536;

/// Raises the soft limit on open files, and the hard one where we may; children inherit both.
pub fn raise_open_files() {
    let both = Rlimit { current: Some(WANTED), maximum: Some(WANTED) };
    let hard = getrlimit(Resource::Nofile).maximum;
    if hard.is_some_and(|hard| hard < WANTED) && setrlimit(Resource::Nofile, both).is_ok() {
        return;
    }
    let soft = hard.map_or(WANTED, |hard| hard.min(WANTED));
    // Failing leaves the old limit: whoever runs out of it says so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(soft), maximum: hard });
}

/// How many files this process, and each that it starts, may open.
pub fn open_files() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(WANTED)
}
