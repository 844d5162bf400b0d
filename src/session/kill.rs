//! KILL: the ids that clients see are dauphin's own, and lead to the right backend connection.

use std::{io, time::Duration};

use tokio::time::timeout;

use super::{
    Session, SessionError,
    client::Packet,
    registry::{self, Entry, Running},
    relay::Outcome,
    route,
};
use crate::{
    backend::{
        Account, Lease, Profile, Server,
        connect::ConnectError,
        own::{AskError, OwnConnection},
    },
    error::ClientError,
    sql::Kill,
    topology::Flavour,
};

/// How long a server may take to answer KILL.
const AT_MOST: Duration = Duration::from_secs(5);
/// How long the answer to KILL waits for the end of the session that is ended.
const CLOSED_WITHIN: Duration = Duration::from_secs(1);
/// ER_KILL_DENIED_ERROR
const DENIED: u16 = 1095;
/// ER_NO_SUCH_THREAD
const NO_SUCH_THREAD: u16 = 1094;
/// ER_QUERY_INTERRUPTED and MariaDB's ER_CONNECTION_KILLED: what is said to who kills the connection that it says that on.
const KILLED: [u16; 2] = [1317, 1927];

/// Why a statement could not be ended on its server.
#[derive(Debug, thiserror::Error)]
pub enum NotEnded {
    /// There is no connection to end it from.
    #[error(transparent)]
    Unconnected(#[from] ConnectError),
    /// The server refused, or was lost.
    #[error(transparent)]
    Unanswered(#[from] AskError),
}

impl NotEnded {
    fn is_denied(&self) -> bool {
        matches!(self, Self::Unanswered(AskError::Refused(error)) if error.code == DENIED)
    }
}

/// Ends what the session runs on `server`, if it still is `running`. On a connection of its own as `account`, beside
/// the pools: they may be full. Cancel safe.
///
/// # Errors
/// See [`NotEnded`]; the server's own words where it refuses.
pub async fn end_statement(
    server: &Server,
    entry: &Entry,
    running: Running,
    account: &Account,
) -> Result<(), NotEnded> {
    let connection = OwnConnection::open_as(server, account).await?;
    // It may have ended by itself meanwhile, and the connection be somebody else's by now.
    if entry.running() != Some(running) {
        return Ok(());
    }
    ask(connection, &format!("KILL QUERY {}", running.connection)).await
}

/// Ends a connection to `server` that is `account`'s own and that no session has any more, with what runs there; few at a
/// time on each server, and within [`AT_MOST`]. Cancel safe.
///
/// # Errors
/// See [`NotEnded`]; the server's own words where it refuses, as for one that has ended already.
pub(super) async fn end_connection(server: &Server, account: &Account, id: u32) -> Result<(), NotEnded> {
    let ended = timeout(AT_MOST, async {
        let _turn = server.ending.acquire().await;
        ask(OwnConnection::open_as(server, account).await?, &format!("KILL {id}")).await
    });
    ended.await.unwrap_or_else(|_| Err(AskError::Lost(io::ErrorKind::TimedOut.into()).into()))
}

async fn ask(mut connection: OwnConnection, question: &str) -> Result<(), NotEnded> {
    match timeout(AT_MOST, connection.ask(question)).await {
        Ok(answer) => Ok(answer.map(drop)?),
        Err(_) => Err(AskError::Lost(io::ErrorKind::TimedOut.into()).into()),
    }
}

impl Session {
    /// KILL [QUERY] id, or COM_PROCESS_KILL. An id that cannot be a session's goes to the primary, which has ids of its
    /// own.
    pub(super) async fn kill(
        &mut self,
        id: u64,
        query_only: bool,
        packet: &mut Packet,
    ) -> Result<(), SessionError> {
        if registry::is_session_id(id) {
            return Ok(self.kill_session(id, query_only).await?);
        }
        self.run_known(packet, &route::SERVER).await
    }

    /// KILL of an expression, which the primary has worked out and refused: it says that it knows no such id. If the id is one of
    /// dauphin's, the client gets dauphin's answer. `None` if the statement has ended its own connection, and so its session.
    pub(super) async fn kill_refused(
        &mut self,
        mut lease: Lease,
        kill: Kill,
        outcome: &mut Outcome,
    ) -> io::Result<Option<Lease>> {
        let Some(error) = outcome.untold.take() else { return Ok(Some(lease)) };
        let id =
            number(&error.message).filter(|id| error.code == NO_SUCH_THREAD && registry::is_session_id(*id));
        if let Some(id) = id {
            outcome.error = None;
            outcome.warnings = 0;
            self.kill_session(id, kill.query_only).await?;
            return Ok(Some(lease));
        }
        if !kill.query_only && KILLED.contains(&error.code) {
            match self.ask_status(lease).await {
                Some(alive) => lease = alive,
                None => {
                    self.registered.entry.killed.cancel();
                    self.say(error).await?;
                    return Ok(None);
                }
            }
        }
        self.say(error).await?;
        Ok(Some(lease))
    }

    async fn kill_session(&mut self, id: u64, query_only: bool) -> io::Result<()> {
        let Some(target) = self.context.sessions.find(id) else {
            return self.say(ClientError::no_such_thread(id)).await;
        };
        if !self.may_kill(&target).await {
            return self.say(ClientError::not_owner(id)).await;
        }
        target.interrupt();
        let running = target.running();
        let ended = match running {
            Some(running) => self.kill_statement(&target, running).await,
            None => Ok(()),
        };
        if ended.as_ref().is_err_and(NotEnded::is_denied) {
            return self.say(ClientError::not_owner(id)).await;
        }
        if !query_only {
            target.killed.cancel();
            self.wait_for_end(id).await;
        }
        let (Some(running), Err(why)) = (running, ended) else { return self.say_ok().await };
        let server = &self.context.fleet.servers[running.server.0].name;
        let what = if query_only {
            format!("the statement of session {id} could not be ended on {server}: {why}")
        } else {
            format!("session {id} was ended, but its statement could not be ended on {server}: {why}")
        };
        self.say(ClientError::not_done(what)).await
    }

    /// Waits until another session that was told to end has closed its client's connection: servers answer KILL no earlier
    /// (seen on MySQL 9.7 and MariaDB 11.8), and programs look at once. Not for long: end it will, whatever holds it up.
    async fn wait_for_end(&self, id: u64) {
        if id == u64::from(self.registered.entry.id) {
            return;
        }
        let ended = async {
            while self.context.sessions.find(id).is_some() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let _ = timeout(CLOSED_WITHIN, ended).await;
    }

    /// As this session's user, as the server has the last word.
    async fn kill_statement(&self, target: &Entry, running: Running) -> Result<(), NotEnded> {
        let server = &self.context.fleet.servers[running.server.0];
        end_statement(server, target, running, &self.account).await
    }

    /// A user's own sessions, and with the privilege for it those of others, as a server would have it.
    async fn may_kill(&self, target: &Entry) -> bool {
        let Some(account) = target.account() else { return false };
        if account.user == self.account.user {
            return true;
        }
        let Some(own) = self.privileges(&self.account).await else { return false };
        if !own.may_kill {
            return false;
        }
        // MySQL manual, "SYSTEM_USER": such an account's sessions are for its like only.
        own.is_system || self.privileges(&account).await.is_some_and(|of_target| !of_target.is_system)
    }

    /// What the account may do, in a server's own words; `None` if none can be asked.
    async fn privileges(&self, account: &std::sync::Arc<Account>) -> Option<Privileges> {
        let rows = self.context.ask_as(account, Profile::own(), "SHOW GRANTS").await?;
        let grants = rows.iter().filter_map(|row| row.first()?.as_deref());
        let texts = grants.map(|text| String::from_utf8_lossy(text).into_owned());
        let version = self.context.published.load().version.as_ref().map_or(0, |version| version.number);
        Some(Privileges::of(texts, self.flavour(), version))
    }
}

/// The number in a message, in whatever language that is.
fn number(message: &[u8]) -> Option<u64> {
    let begins = message.iter().position(u8::is_ascii_digit)?;
    let digits = message[begins..].split(|byte| !byte.is_ascii_digit()).next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// What matters for KILL, of what an account may do.
#[derive(Debug, Default, PartialEq, Eq)]
struct Privileges {
    /// It may end other users' sessions.
    may_kill: bool,
    /// Its own may be ended by its like only.
    is_system: bool,
}

impl Privileges {
    /// From the rows of SHOW GRANTS, in which both flavours list what the session's roles give, too.
    fn of(grants: impl Iterator<Item = String>, flavour: Flavour, version: u32) -> Self {
        let mut privileges = Self::default();
        for grant in grants {
            let Some((names, _)) =
                grant.strip_prefix("GRANT ").and_then(|rest| rest.split_once(" ON *.* TO "))
            else {
                continue;
            };
            for name in names.split(',').map(str::trim) {
                match (name, flavour) {
                    ("ALL PRIVILEGES", _) => privileges.may_kill = true,
                    ("CONNECTION_ADMIN" | "SUPER", Flavour::MySql) => privileges.may_kill = true,
                    // MariaDB's release notes: up to 11.0 SUPER contains CONNECTION ADMIN.
                    ("SUPER", Flavour::MariaDb) if version < 110_001 => privileges.may_kill = true,
                    ("CONNECTION ADMIN", Flavour::MariaDb) => privileges.may_kill = true,
                    ("SYSTEM_USER", Flavour::MySql) => privileges.is_system = true,
                    _ => {}
                }
            }
            privileges.is_system |= names == "ALL PRIVILEGES" && flavour == Flavour::MySql;
        }
        // MariaDB knows no such accounts.
        privileges.is_system |= flavour == Flavour::MariaDb && privileges.may_kill;
        privileges
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_found_in_a_message_of_any_language() {
        // MySQL 9.7.4 with lc_messages = 'ja_JP'.
        assert_eq!(number("不明なスレッドIDです: 1000000005".as_bytes()), Some(1_000_000_005));
        assert_eq!(number(b"Unknown thread id: 18446744073709551615"), Some(u64::MAX));
        assert_eq!(number(b"Unknown thread"), None);
    }

    #[test]
    fn privileges_are_read_from_what_servers_say() {
        // SHOW GRANTS of MySQL 9.7.4 and MariaDB 11.8.6, shortened.
        const MYSQL: (Flavour, u32) = (Flavour::MySql, 90_704);
        const MARIADB: (Flavour, u32) = (Flavour::MariaDb, 110_806);
        for ((flavour, version), grants, may_kill, is_system) in [
            (MYSQL, &["GRANT USAGE ON *.* TO `a`@`%`", "GRANT `r1`@`%` TO `a`@`%`"][..], false, false),
            (MYSQL, &["GRANT CONNECTION_ADMIN ON *.* TO `a`@`%`"], true, false),
            (MYSQL, &["GRANT SELECT, SHUTDOWN, SUPER ON *.* TO `a`@`%`"], true, false),
            (MYSQL, &["GRANT CLONE_ADMIN,CONNECTION_ADMIN,SYSTEM_USER ON *.* TO `a`@`%`"], true, true),
            (MYSQL, &["GRANT ALL PRIVILEGES ON `CONNECTION_ADMIN`.* TO `a`@`%`"], false, false),
            ((Flavour::MariaDb, 101_106), &["GRANT SUPER ON *.* TO `a`@`%`"], true, true),
            (MARIADB, &["GRANT SUPER ON *.* TO `a`@`%` IDENTIFIED BY PASSWORD '*6'"], false, false),
            (MARIADB, &["GRANT CONNECTION ADMIN ON *.* TO `r1`"], true, true),
            (MARIADB, &["GRANT ALL PRIVILEGES ON *.* TO `a`@`%` WITH GRANT OPTION"], true, true),
        ] {
            let read = Privileges::of(grants.iter().map(|grant| (*grant).to_owned()), flavour, version);
            assert_eq!(read, Privileges { may_kill, is_system }, "{grants:?}");
        }
    }
}
