//! `[account]`: dauphin's own account on the servers.

use super::kind::text;
use super::options::{Settable, options};
use super::secret::{Secret, secret};

options! {
    /// The account with which dauphin itself asks the servers how they are.
    #[derive(Debug, Clone)]
    pub struct Account {
        /// The user with which dauphin itself logs in to every server.
        user: String = text(128).required(r#""dauphin""#);
        /// The password of that user.
        password: Secret = secret();
    }
}
