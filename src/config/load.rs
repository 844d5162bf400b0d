//! From a file to a `Config`: every section is read, and then what spans several is checked.

use std::path::Path;

use zeroize::Zeroizing;

use super::admin::report_open_door;
use super::file::{Environment, FileConfig};
use super::secret::world_readable;
use super::{
    Account, Admin, Auth, Cache, ClientTls, ClientTlsMode, Config, ConfigErrors, Failover, Limits, Listen,
    Log, Mistake, Monitor, Pool, Routing, Server, ServerTls, Threads, Tls, User, options, unknown,
};

impl Config {
    pub(super) fn read_file(
        path: &Path,
        text: &str,
        environment: Environment<'_>,
    ) -> Result<Self, ConfigErrors> {
        let file = FileConfig::parse(path, text, environment);
        let config = Self::read(&file);
        unknown::report(&file, &options());
        let (mistakes, noticed) = file.into_findings();
        match config {
            Some(config) if mistakes.is_empty() => Ok(Self { noticed, ..config }),
            _ => Err(ConfigErrors::new(path, mistakes)),
        }
    }

    /// Reads every section before giving up on any, so that all mistakes come to light.
    fn read(file: &FileConfig<'_>) -> Option<Self> {
        let account = Account::read(&file.section("account"));
        let listen = Listen::read(&file.section("listen"));
        let client_tls = ClientTls::read(&file.section("tls.client"));
        let server_tls = ServerTls::read(&file.section("tls.server"));
        let auth = Auth::read(&file.section("auth"));
        let users = User::read_all(&file.root());
        let pool = Pool::read(&file.section("pool"));
        let servers = Server::read_all(&file.root(), pool.as_ref());
        let routing = Routing::read(&file.section("routing"));
        let cache = Cache::read_fitting(&file.section("cache"));
        let limits = Limits::read(&file.section("limits"));
        let monitor = Monitor::read(&file.section("monitor"));
        let failover = Failover::read(&file.section("failover"));
        let admin = Admin::read(&file.section("admin"));
        let log = Log::read(&file.section("log"));
        let threads = Threads::read(&file.section("threads"));
        let tls_disabled = client_tls.as_ref().is_some_and(|tls| tls.mode == ClientTlsMode::Disabled);
        report_open_door(file, admin.as_ref(), tls_disabled);
        report_nobody_may_log_in(file, auth.as_ref(), users.as_deref());
        warn_of_bare_password(file);
        Some(Self {
            servers: servers?,
            account: account?,
            listen: listen?,
            tls: Tls { client: client_tls?, server: server_tls? },
            auth: auth?,
            users: users?,
            pool: pool?,
            routing: routing?,
            cache: cache?,
            limits: limits?,
            monitor: monitor?,
            failover: failover?,
            admin: admin?,
            log: log?,
            threads: threads?,
            noticed: Vec::new(),
        })
    }
}

/// The file's text, wiped from memory when dropped: it may hold passwords.
pub(super) fn read_text(path: &Path) -> Result<Zeroizing<String>, ConfigErrors> {
    let unreadable = |line, cause: String, remedy: &str| {
        let (place, remedy) = (String::new(), remedy.to_owned());
        ConfigErrors::new(path, vec![Mistake { line, place, cause, remedy }])
    };
    let bytes = std::fs::read(path).map(Zeroizing::new).map_err(|error| {
        unreadable(None, format!("cannot be read: {error}"), "check the path and the file's permissions")
    })?;
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(error) => {
            let line = 1 + bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
            Err(unreadable(Some(line), "is not UTF-8".to_owned(), "save the file as UTF-8"))
        }
    }
}

fn report_nobody_may_log_in(file: &FileConfig<'_>, auth: Option<&Auth>, users: Option<&[User]>) {
    if auth.is_some_and(|auth| auth.only_configured) && users.is_some_and(<[User]>::is_empty) {
        let remedy = "add [[users]], or write only_configured = false";
        file.section("auth").lacks("only_configured", "there are no users, so nobody could log in", remedy);
    }
}

fn warn_of_bare_password(file: &FileConfig<'_>) {
    if file.holds_a_password() && world_readable(file.path()) {
        let path = file.path().display();
        file.warn(format!(
            "{path} holds a password and anyone can read it; use password_file, or chmod 600 {path}"
        ));
    }
}
