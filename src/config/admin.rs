//! `[admin]`: where operators see and steer dauphin, and how they prove who they are.

use super::address::ListenAddress;
use super::file::FileConfig;
use super::kind::{ListenAddresses, count, flag, text};
use super::options::{KnownOption, Settable, options};
use super::secret::{OptionalSecret, Secret};
use super::section::Section;

/// Where operators see and steer dauphin.
#[derive(Debug, Clone)]
pub struct Admin {
    /// Where it speaks MySQL's protocol.
    pub addresses: Vec<ListenAddress>,
    /// Where it speaks HTTP.
    pub http_addresses: Vec<ListenAddress>,
    /// The operators' user.
    pub user: String,
    /// Its password; `None`: the empty one, for this machine only.
    pub password: Option<Secret>,
    /// Whether clients from other machines must use TLS.
    pub require_tls: bool,
    /// The most operators' connections at a time, on each of the two ports.
    pub max_connections: usize,
    /// How many digests of statements are counted; 0: none.
    pub digests: usize,
}

options! {
    /// The section as written.
    struct AdminOptions {
        /// Where operators connect with any MySQL client; other machines only with a password.
        address: Vec<ListenAddress> = ListenAddresses.or("127.0.0.1:6032");
        /// Where metrics, health checks and the JSON API are served; other machines only with a password.
        http_address: Vec<ListenAddress> = ListenAddresses.or("127.0.0.1:6080");
        /// The operators' user, known to dauphin only.
        user: String = text(128).or("admin");
        /// The password of that user; without one, it is empty and only this machine may connect.
        password: Option<Secret> = OptionalSecret;
        /// Whether those who connect from other machines must use TLS, with the certificate of [tls.client].
        require_tls: bool = flag().or(true);
        /// The most connections at a time, on each of the two ports.
        max_connections: usize = count(1, 10_000).or(100);
        /// How many digests of statements are counted for SHOW DIGESTS; 0 counts none.
        digests: usize = count(0, 1_000_000).or(1_000);
    }
}

impl Admin {
    pub(super) fn read(section: &Section<'_>) -> Option<Self> {
        let AdminOptions { address, http_address, user, password, require_tls, max_connections, digests } =
            AdminOptions::read(section)?;
        Some(Self {
            addresses: address,
            http_addresses: http_address,
            user,
            password,
            require_tls,
            max_connections,
            digests,
        })
    }

    pub(super) fn options() -> Vec<KnownOption> {
        AdminOptions::options()
    }

    /// Whether no password is asked for.
    pub fn is_open(&self) -> bool {
        self.password.as_ref().is_none_or(Secret::is_empty)
    }
}

/// Other machines are let in by a password only, and under TLS unless the file says otherwise.
pub(super) fn report_open_door(file: &FileConfig<'_>, admin: Option<&Admin>, tls_disabled: bool) {
    let Some(admin) = admin else { return };
    let section = file.section("admin");
    for (name, addresses) in [("address", &admin.addresses), ("http_address", &admin.http_addresses)] {
        let Some(open) = addresses.iter().find(|address| !address.is_local()) else { continue };
        if admin.is_open() {
            let remedy = "give one of password, password_file and password_env, or listen on 127.0.0.1";
            section.wrong(
                name,
                format!("{open} is open to other machines, and there is no password"),
                remedy,
            );
        }
        if admin.require_tls && tls_disabled {
            let remedy =
                r#"write [tls.client] mode = "preferred", or require_tls = false, or listen on 127.0.0.1"#;
            let cause = format!("{open} is open to other machines, and [tls.client] mode is \"disabled\"");
            section.wrong(name, cause, remedy);
        }
    }
}
