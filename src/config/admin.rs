//! `[admin]`: where operators see and steer dauphin, and how they prove who they are.

use super::address::ListenAddress;
use super::admin_user::{AdminRole, AdminUser};
use super::file::FileConfig;
use super::kind::{ListenAddresses, count, flag, text};
use super::options::{KnownOption, Settable, options};
use super::secret::{OptionalSecret, Secret};
use super::section::Section;
use super::written::quoted;

/// Where operators see and steer dauphin.
#[derive(Debug, Clone)]
pub struct Admin {
    /// Where it speaks MySQL's protocol.
    pub addresses: Vec<ListenAddress>,
    /// Where it speaks HTTP.
    pub http_addresses: Vec<ListenAddress>,
    /// The first user, an operator.
    pub user: String,
    /// Its password; `None`: the empty one, for this machine only.
    pub password: Option<Secret>,
    /// The other users; no two of all have the same name.
    pub users: Vec<AdminUser>,
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
        /// The first operator, known to dauphin only; [[admin.users]] adds others.
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
        let options = AdminOptions::read(section);
        let users = AdminUser::read_all(section, options.as_ref().map(|options| options.user.as_str()));
        let AdminOptions { address, http_address, user, password, require_tls, max_connections, digests } =
            options?;
        Some(Self {
            users: users?,
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

    /// The user of this name: its password, empty if none is asked for, and what it may do.
    pub fn known(&self, name: &[u8]) -> Option<(&[u8], AdminRole)> {
        if name == self.user.as_bytes() {
            let password = self.password.as_ref().map(Secret::reveal).unwrap_or_default();
            return Some((password, AdminRole::Operator));
        }
        let user = self.users.iter().find(|user| user.name.as_bytes() == name)?;
        Some((user.password.reveal(), user.role))
    }

    /// Whether the first user is asked for no password.
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
        if let Some(user) = admin.users.iter().find(|user| user.password.is_empty()) {
            let cause = format!(
                "{open} is open to other machines, and the password of {} is empty",
                quoted(&user.name)
            );
            section.wrong(
                name,
                cause,
                "give every one of [[admin.users]] a password, or listen on 127.0.0.1",
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
