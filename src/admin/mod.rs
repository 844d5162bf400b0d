//! The operators' side: a port that speaks MySQL's protocol, one that speaks HTTP, and the command line over the first.
//!
//! All answer from one table of [`command`]s. It runs on the control plane's thread, shares no limit with the clients,
//! and takes no connection from a pool: it answers also when the data path is full.

mod act;
mod chatter;
pub mod command;
pub mod command_line;
mod http;
mod login;
mod mysql;
pub mod order;
pub mod prometheus;
mod show;
pub mod table;
#[cfg(test)]
mod tests;
mod who;

use std::{path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::{ConfigFile, ListenAddress},
    control::Control,
    error::ClientError,
    listener::Listener,
    session::Context,
};
use command::{COMMANDS, Command, Verb};
use order::Order;
use table::Table;
pub use who::Who;

/// What operators see and steer.
pub struct Admin {
    context: Arc<Context>,
    control: Arc<Control>,
    /// Where the config was read from.
    path: PathBuf,
    /// The config that holds; one RELOAD at a time changes it.
    config: ArcSwap<ConfigFile>,
    reloading: tokio::sync::Mutex<()>,
    /// Makes another log level hold.
    set_log_level: SetLogLevel,
    /// Asks dauphin to stop.
    stop: CancellationToken,
}

/// Makes another log level hold; the error says why not.
pub type SetLogLevel = Box<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").finish_non_exhaustive()
    }
}

/// Why an order was not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It is not understood.
    Wrong(String),
    /// Whoever asks may not: why.
    NotAllowed(String),
    /// There is no such session.
    NoSession(u64),
    /// It was not done, or not all of it: why, and how things are.
    NotDone(String),
}

impl From<Failure> for ClientError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Wrong(what) => Self::syntax(&what),
            Failure::NotAllowed(why) => Self::not_allowed(&why),
            Failure::NoSession(id) => Self::no_such_thread(id),
            Failure::NotDone(why) => Self::not_done(why),
        }
    }
}

impl Admin {
    /// Over what the sessions and the control plane share. `config` was read from `path`; cancelling `stop` makes
    /// dauphin stop.
    pub fn new(
        context: Arc<Context>,
        control: Arc<Control>,
        path: PathBuf,
        config: ConfigFile,
        set_log_level: SetLogLevel,
        stop: CancellationToken,
    ) -> Arc<Self> {
        let (config, reloading) = (ArcSwap::from_pointee(config), tokio::sync::Mutex::default());
        Arc::new(Self { context, control, path, config, reloading, set_log_level, stop })
    }

    /// Carries out an order of `who`, if they may give it. Dropping the future does not stop what has begun.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn carry_out(&self, order: &Order, who: &Who) -> Result<Table, Failure> {
        who.may(order)?;
        let table = match order.command.verb {
            Verb::Help => self.help(order)?,
            Verb::Show(subject) => Table { columns: order.command.columns, rows: self.show(subject) },
            Verb::Act(deed) => return self.act(deed, order, &who.by).await,
        };
        Ok(match &order.arguments.like {
            Some(pattern) => table.like(pattern),
            None => table,
        })
    }

    fn help(&self, order: &Order) -> Result<Table, Failure> {
        let columns = order.command.columns;
        let Some(topic) = &order.arguments.topic else {
            let rows = COMMANDS.iter().map(|command| vec![command.syntax().into(), command.help.into()]);
            return Ok(Table { columns, rows: rows.collect() });
        };
        let topic = topic.split_whitespace().collect::<Vec<_>>().join(" ");
        let of_topic = |command: &&Command| command.name.eq_ignore_ascii_case(&topic);
        let command = COMMANDS
            .iter()
            .find(of_topic)
            .ok_or_else(|| Failure::Wrong(format!("there is no command {topic}: {}", order::hint(&topic))))?;
        let method = if matches!(command.verb, Verb::Act(_)) { "POST" } else { "GET" };
        let mut rows = vec![
            vec![command.syntax().into(), command.help.into()],
            vec!["(HTTP)".into(), format!("{method} /api/v1/{}", command.path).into()],
            vec!["(role)".into(), format!("takes the role {}", who::takes(command.verb).label()).into()],
        ];
        rows.extend(command.columns.iter().map(|column| vec![column.name.into(), column.meaning.into()]));
        Ok(Table { columns, rows })
    }

    /// Whether statements can be served, for whoever sends clients here; else why not.
    ///
    /// Ready is a dauphin that is not stopping and has a primary, or at least one server that takes reads.
    ///
    /// # Errors
    /// Why not.
    pub fn ready(&self) -> Result<String, String> {
        if self.stop.is_cancelled() {
            return Err("dauphin is stopping".to_owned());
        }
        let table = self.context.published.load();
        let primary = table.term().filter(|term| !term.server.is_suspect());
        let readable = table.replicas.servers().iter().filter(|server| !server.is_suspect()).count();
        match primary {
            Some(term) => Ok(format!("primary {}, {readable} servers take reads", term.server.name)),
            None if readable > 0 => Ok(format!("no primary; {readable} servers take reads")),
            None => Err("no server takes reads or writes".to_owned()),
        }
    }

    /// Opens both ports.
    ///
    /// # Errors
    /// An address is taken, or may not be used.
    pub fn listen(&self) -> anyhow::Result<Listening> {
        let admin = &self.context.config.admin;
        let bind = |place: &str, addresses: &[ListenAddress]| -> anyhow::Result<Vec<_>> {
            let listener =
                |address: &ListenAddress| Ok((Listener::bind_for(place, address, 128)?, !address.is_local()));
            addresses.iter().map(listener).collect()
        };
        let listening = Listening {
            mysql: bind("[admin] address", &admin.addresses)?,
            http: bind("[admin] http_address", &admin.http_addresses)?,
        };
        let names = |listeners: &[(Listener, bool)]| {
            listeners.iter().map(|(listener, _)| listener.address()).collect::<Vec<_>>().join(",")
        };
        let (address, http) = (names(&listening.mysql), names(&listening.http));
        tracing::info!(address, http, user = admin.user, "listening for operators");
        if admin.is_open() {
            tracing::info!(
                user = admin.user,
                "operators on this machine need no password; [admin] password would ask for one"
            );
        }
        Ok(listening)
    }

    /// Serves operators for ever. Cancel safe: connections are closed, what was begun goes on.
    pub async fn serve(self: Arc<Self>, listening: Listening) {
        let tasks = TaskTracker::new();
        let places = || Arc::new(tokio::sync::Semaphore::new(self.context.config.admin.max_connections));
        let (mysql_places, http_places) = (places(), places());
        for (listener, is_open) in listening.mysql {
            tasks.spawn(mysql::listen(self.clone(), listener, is_open, mysql_places.clone()));
        }
        for (listener, is_open) in listening.http {
            tasks.spawn(http::listen(self.clone(), listener, is_open, http_places.clone()));
        }
        tasks.close();
        tasks.wait().await;
    }

    /// Whether others on the path must not read along on a port that other machines reach.
    fn requires_tls(&self, is_open: bool) -> bool {
        is_open && self.context.config.admin.require_tls
    }
}

/// The ports, open and not yet served; each with whether other machines can reach it.
#[derive(Debug)]
pub struct Listening {
    mysql: Vec<(Listener, bool)>,
    http: Vec<(Listener, bool)>,
}
