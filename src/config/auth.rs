//! `[auth]`: how clients prove who they are.

use std::time::Duration;

use super::kind::{choice, count, duration, flag};
use super::options::{Settable, options};

/// The authentication plugin that dauphin names first to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultPlugin {
    /// MySQL: caching_sha2_password. MariaDB: mysql_native_password if the account table may be read, else
    /// caching_sha2_password.
    Auto,
    /// caching_sha2_password.
    CachingSha2Password,
    /// mysql_native_password.
    MysqlNativePassword,
}

/// Whether dauphin reads the servers' account tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadAccounts {
    /// If its own account may.
    Auto,
    /// Never.
    Never,
}

options! {
    /// How clients prove who they are.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Auth {
        /// How long a proven password is trusted before a login asks the server again.
        recheck: Duration = duration("0s", "1d").or("60s");
        /// The plugin named first to a client; "auto" suits the servers' flavour.
        default_plugin: DefaultPlugin = choice([
            ("auto", DefaultPlugin::Auto),
            ("caching_sha2_password", DefaultPlugin::CachingSha2Password),
            ("mysql_native_password", DefaultPlugin::MysqlNativePassword),
        ]).or("auto");
        /// Whether dauphin reads the servers' account tables, if its account may.
        read_accounts: ReadAccounts = choice([
            ("auto", ReadAccounts::Auto),
            ("never", ReadAccounts::Never),
        ]).or("auto");
        /// How many accounts dauphin remembers.
        cached_accounts: usize = count(1, 10_000_000).or(10_000);
        /// Whether only the users of this file may log in.
        only_configured: bool = flag().or(false);
    }
}
