//! What operators do: the control plane's actions, KILL, RELOAD and SHUTDOWN.

use std::{sync::Arc, time::Duration};

use super::{
    Admin, Failure,
    command::{Command, Deed, Verb},
    order::{Arguments, Order},
    table::{Table, Value},
};
use crate::{
    config::{ConfigFile, Difference},
    control::Action,
    session::{
        kill::end_statement,
        registry::{Entry, Running},
    },
};

/// How long the answer to SHUTDOWN may take.
const ANSWERED_BY: Duration = Duration::from_millis(100);

impl Admin {
    pub(super) async fn act(&self, deed: Deed, order: &Order, by: &str) -> Result<Table, Failure> {
        let Arguments { server, force, .. } = order.arguments.clone();
        tracing::info!(order = order.command.name, ?server, force, by, "an operator gives an order");
        let server = server.map(|name| self.full_name(&name)).transpose()?;
        let needed = || server.clone().ok_or_else(|| Failure::Wrong("names no server".to_owned()));
        let action = match deed {
            Deed::SwitchOver => Action::SwitchOver { to: server, force },
            Deed::FailOver => Action::FailOver { to: server, force },
            Deed::Drain => Action::Drain(needed()?),
            Deed::Undrain => Action::Undrain(needed()?),
            Deed::Pause => Action::Pause,
            Deed::Resume => Action::Resume,
            Deed::Kill => return self.kill(order, by).await,
            Deed::Reload => return self.reload(by).await,
            Deed::Shutdown => return Ok(self.shut_down(by)),
        };
        let done = self.control.ask(action, by).await.map_err(Failure::NotDone)?;
        Ok(result(deed, done))
    }

    /// The server's name as the config has it, from the name in any case or its address.
    fn full_name(&self, name: &str) -> Result<String, Failure> {
        let servers = &self.context.fleet.servers;
        let is_meant = |server: &&Arc<crate::backend::Server>| {
            server.name.eq_ignore_ascii_case(name) || server.address.to_string() == name
        };
        servers.iter().find(is_meant).map(|server| server.name.clone()).ok_or_else(|| {
            let names: Vec<_> = servers.iter().map(|server| server.name.as_str()).collect();
            Failure::Wrong(format!("there is no server {name:?}; the servers are {}", names.join(", ")))
        })
    }

    async fn kill(&self, order: &Order, by: &str) -> Result<Table, Failure> {
        let (id, query_only) = (order.arguments.id.unwrap_or_default(), order.arguments.query);
        // One that has been ended may not be gone yet.
        let found = self.context.sessions.find(id).filter(|entry| !entry.killed.is_cancelled());
        let Some(entry) = found else { return Err(Failure::NoSession(id)) };
        let waited = entry.interrupt();
        let running = entry.running();
        let stopped = match running {
            Some(running) => self.kill_query(&entry, running).await,
            None => Ok(()),
        };
        if !query_only {
            entry.killed.cancel();
        }
        let user = entry.account().map(|account| account.name().into_owned()).unwrap_or_default();
        let ends = waited || running.is_some();
        let what = match (query_only, ends) {
            (false, _) => format!("session {id} of {user} was ended"),
            (true, true) => format!("the statement of session {id} of {user} was ended"),
            (true, false) => {
                let state = entry.snapshot().activity.label();
                format!("session {id} of {user} runs no statement on a server ({state}); KILL {id} ends it")
            }
        };
        if !query_only || ends {
            self.control.events.record("killed", None, format!("{what}, by {by}"));
        }
        match stopped {
            Ok(()) => Ok(result(Deed::Kill, what)),
            Err(why) if query_only => Err(Failure::NotDone(why)),
            // Its connection is closed, and the server will notice.
            Err(why) => Ok(result(Deed::Kill, format!("{what}; {why}"))),
        }
    }

    /// As the session's own user, who needs no privilege for it; else as dauphin, who may have one.
    async fn kill_query(&self, entry: &Entry, running: Running) -> Result<(), String> {
        let server = &self.context.fleet.servers[running.server.0];
        let own = self.context.own_account().clone();
        let mut last = String::new();
        for account in entry.account().into_iter().chain([own]) {
            match end_statement(server, entry, running, &account).await {
                Ok(()) => return Ok(()),
                Err(error) => last = error.to_string(),
            }
        }
        Err(format!("the statement could not be ended on {}: {last}", server.name))
    }

    /// All or nothing: a change that needs a restart keeps the others back too, so that what runs is never a mixture
    /// that no file says.
    async fn reload(&self, by: &str) -> Result<Table, Failure> {
        let _turn = self.reloading.lock().await;
        let path = self.path.clone();
        // Reading may wait for a disk.
        let read = tokio::task::spawn_blocking(move || ConfigFile::load(path)).await;
        let new = read
            .map_err(|error| Failure::NotDone(error.to_string()))?
            .map_err(|errors| Failure::NotDone(format!("nothing was applied:\n{errors}")))?;
        let old = self.config.load_full();
        let differences = old.differences(&new);
        let applies = differences.iter().all(|difference| difference.live);
        if applies && !differences.is_empty() {
            self.apply(&new)?;
            let paths: Vec<_> = differences.iter().map(|difference| difference.path.as_str()).collect();
            let message = format!("{} changed, by {by}", paths.join(", "));
            self.control.events.record("config_reloaded", None, message);
            self.config.store(Arc::new(new));
        }
        let row = |difference: Difference| {
            let effect = match (applies, difference.live) {
                (true, _) => "applied",
                (false, true) => "not applied",
                (false, false) => "needs a restart",
            };
            vec![difference.path.into(), difference.old.into(), difference.new.into(), effect.into()]
        };
        let columns = Command::of(Verb::Act(Deed::Reload)).columns;
        Ok(Table { columns, rows: differences.into_iter().map(row).collect() })
    }

    /// The options that are live; the one that can fail first.
    fn apply(&self, new: &ConfigFile) -> Result<(), Failure> {
        let config = &new.config;
        (self.set_log_level)(&config.log.level)
            .map_err(|why| Failure::NotDone(format!("nothing was applied: [log] level: {why}")))?;
        self.context.sessions.limit(config.listen.max_connections);
        self.context.hold.limit(config.routing.hold_max, config.routing.hold_timeout);
        self.context.set_drain_timeout(config.listen.drain_timeout);
        Ok(())
    }

    fn shut_down(&self, by: &str) -> Table {
        let sessions = self.context.sessions.len();
        let at_most = self.context.drain_timeout();
        let what = format!(
            "stopping: no new clients; {sessions} sessions, of which running statements and open transactions have {at_most:?} to end"
        );
        self.control.events.record("shutdown", None, format!("{what}; by {by}"));
        let stop = self.stop.clone();
        tokio::spawn(async move {
            // First the operator gets the answer: with no sessions the process ends at once.
            tokio::time::sleep(ANSWERED_BY).await;
            stop.cancel();
        });
        result(Deed::Shutdown, what)
    }
}

fn result(deed: Deed, what: String) -> Table {
    Table { columns: Command::of(Verb::Act(deed)).columns, rows: vec![vec![Value::Text(what)]] }
}
