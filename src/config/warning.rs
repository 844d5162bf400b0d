//! What is allowed and yet probably not meant.

use super::{ClientTlsMode, Config, ServerTls};

/// What these values make doubtful; what the files' permissions do is noticed while reading.
pub(super) fn of(config: &Config) -> Vec<String> {
    let doubts =
        [one_server, no_reads, bare_servers, bare_clients, empty_account, useless_idle_timeout, open_admin];
    doubts.iter().filter_map(|doubt| doubt(config)).collect()
}

fn one_server(config: &Config) -> Option<String> {
    let alone = config.servers.len() == 1 && config.monitor.discover.is_none();
    alone.then(|| "servers: there is only one, and [monitor] discover is off, so nothing can be split or failed over".to_owned())
}

fn no_reads(config: &Config) -> Option<String> {
    let none = config.servers.iter().all(|server| server.weight == 0);
    none.then(|| "[[servers]] weight: every server has 0, so the primary serves every read".to_owned())
}

fn bare_servers(config: &Config) -> Option<String> {
    let bare = config.tls.server == ServerTls::Disabled;
    let far = config.servers.iter().find(|server| !server.address.is_local()).filter(|_| bare)?;
    Some(format!("[tls.server] mode: \"disabled\" sends everything to {} in the clear", far.name))
}

fn bare_clients(config: &Config) -> Option<String> {
    let bare = config.tls.client.mode == ClientTlsMode::Disabled;
    let open = config.listen.addresses.iter().find(|address| !address.is_local()).filter(|_| bare)?;
    Some(format!("[tls.client] mode: \"disabled\" carries everything over {open} in the clear"))
}

fn empty_account(config: &Config) -> Option<String> {
    let empty = config.account.password.is_empty();
    empty.then(|| "[account] password: it is empty, so anyone can log in as this user".to_owned())
}

fn open_admin(config: &Config) -> Option<String> {
    let admin = &config.admin;
    (admin.is_open() && !admin.users.is_empty()).then(|| {
        format!(
            "[admin] password: there is none, so anyone on this machine is the operator {:?}, whatever \
             [[admin.users]] may do",
            admin.user
        )
    })
}

fn useless_idle_timeout(config: &Config) -> Option<String> {
    let useless = config.pool.idle_timeout > config.pool.max_age;
    useless.then(|| "[pool] idle_timeout: it is longer than max_age, so it never applies".to_owned())
}
