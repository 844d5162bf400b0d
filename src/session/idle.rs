//! Between two commands: how long a connection is kept that may be given back, and how long the client may say nothing.

use std::{io, time::Duration};

use super::{Session, SessionError, client::Packet};
use crate::{error::ClientError, topology::Flavour};

/// The servers' own default, 8 hours: nobody has asked for it, and whoever says nothing for so long costs little.
const UNASKED: Duration = Duration::from_secs(8 * 60 * 60);

impl Session {
    /// The session is new, or as good as new: it may be idle for as long as on the primary.
    pub(super) fn take_idle_timeout(&mut self) {
        let table = self.context.published.load();
        let of_primary =
            table.term().and_then(|term| term.server.idle_timeout(self.profile.is_interactive()));
        self.idle_timeout = of_primary.filter(|timeout| *timeout < UNASKED);
    }

    /// Waits for a command, at most for the session's own `wait_timeout`.
    ///
    /// # Errors
    /// Those of [`Client::command`](super::Client::command); [`io::ErrorKind::TimedOut`] if `wait_timeout` has passed.
    pub(super) async fn next_command(&mut self) -> io::Result<Option<Packet>> {
        let Some(limit) = self.wait_timeout() else { return self.command_or_due().await };
        // Boxed, as few sessions have a limit and every idle one is as large as this future.
        let waited = Box::pin(tokio::time::timeout(limit, self.command_or_due())).await;
        match waited {
            Ok(command) => command,
            // A command that has begun is [limits] client_timeout's.
            Err(_) if !self.client.input.is_empty() => self.command_or_due().await,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "idle for its wait_timeout")),
        }
    }

    /// Waits for a command; meanwhile the previous statement's connection is kept for its time and then given back, and so
    /// is one that only user variables pin.
    async fn command_or_due(&mut self) -> io::Result<Option<Packet>> {
        loop {
            let due = match (&self.lingering, self.carriable()) {
                (Some(lingering), _) => lingering.kept.due(&lingering.lease),
                (None, Some(lease)) => self.pinned_for.due(lease),
                (None, None) => return self.client.command().await,
            };
            tokio::select! {
                biased;
                command = self.client.command() => return command,
                () = due => {}
            }
            if self.lingering.is_some() {
                self.let_go().await;
            } else {
                // Rare, and large: not a part of every session's future.
                Box::pin(self.carry_idle()).await;
            }
        }
    }

    /// What the session has set `wait_timeout` to, which the server gives in seconds, or what it began with.
    fn wait_timeout(&self) -> Option<Duration> {
        let Some(value) = self.state.variable("wait_timeout") else { return self.idle_timeout };
        std::str::from_utf8(value).ok()?.parse().ok().map(Duration::from_secs)
    }

    /// How long the client may leave off in the middle of a command or an answer: what a server would bear with where the session
    /// has asked it for more than the config has.
    pub(super) fn client_timeout(&self) -> Duration {
        let of_session = ["net_read_timeout", "net_write_timeout"].iter().filter_map(|name| {
            let value = self.state.variable(name)?;
            std::str::from_utf8(value).ok()?.parse().ok().map(Duration::from_secs)
        });
        of_session.fold(self.context.config.limits.client_timeout, Duration::max)
    }

    /// Ends the session as a server ends one whose `wait_timeout` has passed: MySQL with a word, MariaDB without.
    pub(super) async fn disconnect_idle(&mut self) -> Result<(), SessionError> {
        if self.context.flavour() == Flavour::MySql {
            self.client.error(ClientError::idle_too_long(), 0).await?;
        }
        Err(SessionError::Ended("idle for its wait_timeout"))
    }
}
