//! Whose connection it is: a user of the servers, with what proves it.

use std::{
    fmt,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use zeroize::Zeroizing;

/// What a connection of the account's is opened with. Kept in memory only, wiped when dropped, never shown.
#[derive(Clone)]
pub enum Proof {
    /// The password: the one thing that opens a connection on every server, whatever its caches hold.
    Password(Zeroizing<Vec<u8>>),
    /// SHA1(password), which is all that `mysql_native_password` needs.
    NativeHash(Zeroizing<[u8; 20]>),
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A user with one proof. A changed password is another account: connections of the old one are not lent any more.
#[derive(Debug)]
pub struct Account {
    /// Tells accounts apart, also two of one user.
    pub id: u64,
    /// The user's name as the client wrote it.
    pub user: Box<[u8]>,
    /// How to log in.
    pub proof: Proof,
    /// Whether sessions of this account ask for FOUND_ROWS() after plain reads, so that reads must leave their
    /// connection at hand.
    pub asks_found_rows: AtomicBool,
}

impl Account {
    /// A new account for `user`.
    pub fn new(user: &[u8], proof: Proof) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { id, user: user.into(), proof, asks_found_rows: AtomicBool::new(false) }
    }

    /// An account that logs in with a password.
    pub fn with_password(user: &[u8], password: &[u8]) -> Self {
        Self::new(user, Proof::Password(Zeroizing::new(password.to_vec())))
    }

    /// The user's name for messages and logs.
    pub fn name(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.user)
    }
}
