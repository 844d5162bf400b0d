//! Finding servers that nobody has listed: those that the known ones replicate from, or to.
//!
//! Replication says who they are and where they claim to be. Each is looked at before it is believed: it must be reached
//! there with dauphin's account, and be who replication says it is. What counts as one of the cluster's is then the
//! controller's to use.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};

use super::ask::{self, Memory, text};
use crate::{
    backend::{Account, Fleet, MOST_DISCOVERED, Own, Server, own::OwnConnection},
    config::{Server as Listed, ServerAddress},
    control::{Control, ServerView, View},
    topology::{
        Flavour, dialect,
        report::{Problem, Report},
    },
};

/// What comes of looking.
#[derive(Debug)]
pub enum Finding {
    /// A server of the cluster's that is not in the fleet.
    Server {
        /// As if it were listed.
        server: Listed,
        /// When it was asked.
        asked_at: Instant,
        /// What it said.
        report: Box<Report>,
        /// How it was found, for people.
        how: String,
    },
    /// Those that an earlier dauphin discovered have been looked for; what there is of them has been sent before this.
    LookedForRemembered,
}

/// What a scout goes by.
#[derive(Debug)]
pub struct Scout {
    /// The servers.
    pub fleet: Arc<Fleet>,
    /// dauphin's account on them.
    pub account: Arc<Account>,
    /// Where the latest reports are seen, and where it is told what cannot be used.
    pub control: Arc<Control>,
    /// How often it looks.
    pub every: Duration,
    /// Addresses that are not to be used.
    pub except: Vec<ServerAddress>,
    /// The most connections to a discovered server.
    pub max_connections: usize,
    /// Where findings go.
    pub findings: mpsc::Sender<Finding>,
}

/// Somebody of whom replication tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    /// Who: as `Report::identity`.
    pub identity: String,
    /// Where it is, the likeliest first.
    pub addresses: Vec<ServerAddress>,
    /// Where it may be, or another replica is: nobody says which is which.
    pub guesses: Vec<ServerAddress>,
    /// Who tells of it and what.
    pub how: String,
}

/// How long one server may take to tell of its replicas, and a neighbour to tell who it is, the login not included.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a neighbour that cannot be used is left alone, at first and at most.
const REST: (Duration, Duration) = (Duration::from_secs(4), Duration::from_secs(600));
/// How soon to look again while no server has told anything: at the start it is the primary that may be found.
const SOON: Duration = Duration::from_millis(100);
/// How many neighbours are looked at in one round.
const MOST_AT_ONCE: usize = 2 * MOST_DISCOVERED;

/// Why a neighbour was not used, and until when it is not tried again.
#[derive(Debug)]
struct Refusal {
    until: Instant,
    rest: Duration,
    why: String,
}

impl Scout {
    /// Looks for these at first, and then again and again for all that the known servers tell of. Cancel safe.
    pub async fn run(self, remembered: Vec<Neighbour>) {
        let mut refusals = HashMap::new();
        if !remembered.is_empty() {
            let known = self.all_asked().await;
            self.look_at(strangers(remembered, &known.servers), &mut refusals).await;
        }
        let mut is_heard = self.findings.send(Finding::LookedForRemembered).await.is_ok();
        let mut connections = HashMap::new();
        while is_heard {
            let view = self.all_asked().await;
            let mut neighbours = sources(&view.servers);
            let asked = view.servers.iter().enumerate().filter_map(|(at, seen)| {
                let version = &seen.report.as_ref()?.as_ref().ok()?.version;
                Some((self.fleet.servers.get(at)?, version.clone(), connections.remove(&at)))
            });
            let asked: Vec<_> = asked.collect();
            let told = asked.into_iter().map(async |(server, version, connection)| {
                let told = timeout(PATIENCE, self.replicas_of(server, &version, connection)).await;
                (server, told.ok().flatten())
            });
            for (server, told) in join_all(told).await {
                let Some((connection, replicas)) = told else { continue };
                connections.insert(server.id.0, connection);
                neighbours.extend(replicas);
            }
            is_heard = self.look_at(strangers(neighbours, &view.servers), &mut refusals).await;
            let has_asked = !connections.is_empty();
            sleep(if has_asked { self.every } else { self.every.min(SOON) }).await;
        }
    }

    /// What is known once every known server has been asked: whom one knows by a name one must not meet by another address
    /// first.
    async fn all_asked(&self) -> Arc<View> {
        loop {
            let view = self.control.view.load_full();
            if !view.servers.is_empty() && view.servers.iter().all(|server| server.report.is_some()) {
                return view;
            }
            sleep(self.every.min(SOON)).await;
        }
    }

    /// What a server tells of its replicas and of its group, and the connection for the next time.
    async fn replicas_of(
        &self,
        server: &Server,
        version: &crate::topology::flavour::Version,
        connection: Option<OwnConnection>,
    ) -> Option<(OwnConnection, Vec<Neighbour>)> {
        let mut connection = match connection {
            Some(connection) => connection,
            None => OwnConnection::open(server, &self.account).await.ok()?,
        };
        let mut questions = vec![dialect::replicas(version), dialect::receivers(version.flavour)];
        if version.flavour == Flavour::MySql {
            questions.push(dialect::MEMBERS);
        }
        let answers = connection.ask_all(&questions).await;
        if answers.len() < questions.len() {
            return None;
        }
        // A question that the account may not ask is as one with no answer: the others may do.
        let answers: Vec<Own> = answers.into_iter().map(Result::unwrap_or_default).collect();
        let [replicas, receivers, members @ ..] = &answers[..] else { return None };
        let mut neighbours = replicas_in(&server.name, replicas, receivers);
        neighbours.extend(members.iter().flat_map(|members| members_in(&server.name, members)));
        Some((connection, neighbours))
    }

    /// Looks at each, all at the same time; whether anybody wants to know.
    async fn look_at(&self, mut neighbours: Vec<Neighbour>, refusals: &mut HashMap<String, Refusal>) -> bool {
        neighbours.truncate(MOST_AT_ONCE);
        refusals.retain(|identity, _| neighbours.iter().any(|neighbour| neighbour.identity == *identity));
        let now = Instant::now();
        neighbours.retain_mut(|neighbour| {
            let is_wanted = !neighbour.addresses.iter().any(|address| self.except.contains(address));
            neighbour.guesses.retain(|address| !self.except.contains(address));
            is_wanted && refusals.get(&neighbour.identity).is_none_or(|refusal| refusal.until <= now)
        });
        let looked_at = join_all(neighbours.iter().map(|neighbour| self.meet(neighbour))).await;
        for (neighbour, met) in neighbours.into_iter().zip(looked_at) {
            match met {
                Ok((address, asked_at, report)) => {
                    refusals.remove(&neighbour.identity);
                    let server = Listed::discovered(address, self.max_connections);
                    let finding =
                        Finding::Server { server, asked_at, report: Box::new(report), how: neighbour.how };
                    if self.findings.send(finding).await.is_err() {
                        return false;
                    }
                }
                Err(why) => self.refuse(neighbour, why, refusals),
            }
        }
        !self.findings.is_closed()
    }

    fn refuse(&self, neighbour: Neighbour, why: String, refusals: &mut HashMap<String, Refusal>) {
        let earlier = refusals.get(&neighbour.identity);
        let rest = earlier.map_or(REST.0, |earlier| (earlier.rest * 2).min(REST.1));
        if earlier.is_none_or(|earlier| earlier.why != why) {
            let message = format!("{} and cannot be used: {why}", neighbour.how);
            self.control.events.record("discovery_failed", None, message);
        }
        refusals.insert(neighbour.identity, Refusal { until: Instant::now() + rest, rest, why });
    }

    /// Goes to see whether it is there, and is who it is said to be.
    async fn meet(&self, neighbour: &Neighbour) -> Result<(ServerAddress, Instant, Report), String> {
        let mut whys = Vec::new();
        for address in neighbour.addresses.iter().chain(&neighbour.guesses) {
            let server = Listed::discovered(address.clone(), self.max_connections);
            let server = self.fleet.stranger(&server);
            let asked_at = Instant::now();
            match self.ask(&server).await {
                Ok(report) if report.identity.eq_ignore_ascii_case(&neighbour.identity) => {
                    return Ok((address.clone(), asked_at, report));
                }
                Ok(report) => whys.push(format!("at {address} is another server ({})", report.identity)),
                Err(problem) => whys.push(format!("at {address}: {problem}")),
            }
        }
        if whys.is_empty() {
            whys.push("nobody tells where it is; set its report_host".to_owned());
        }
        Err(whys.join("; "))
    }

    async fn ask(&self, server: &Server) -> Result<Report, Problem> {
        let mut connection = OwnConnection::open(server, &self.account).await?;
        let mut memory = Memory::default();
        timeout(PATIENCE, ask::ask(&mut connection, &mut memory, None))
            .await
            .map_err(|_| Problem::Silent("no answer in time".to_owned()))?
    }
}

/// Those that are nobody known, each once.
fn strangers(neighbours: Vec<Neighbour>, known: &[ServerView]) -> Vec<Neighbour> {
    let identities = known.iter().filter_map(|view| Some(&view.report.as_ref()?.as_ref().ok()?.identity));
    let identities: HashSet<_> = identities.map(|identity| identity.to_lowercase()).collect();
    let addresses: HashSet<_> = known.iter().map(|view| view.address.as_str()).collect();
    let mut strangers: Vec<Neighbour> = Vec::new();
    for mut neighbour in neighbours {
        neighbour.guesses.retain(|guess| !addresses.contains(guess.to_string().as_str()));
        let is_known = identities.contains(&neighbour.identity.to_lowercase());
        // One that has not answered yet has no identity, but an address.
        let is_listed =
            neighbour.addresses.iter().any(|address| addresses.contains(address.to_string().as_str()));
        if neighbour.identity.is_empty() || is_known || is_listed {
            continue;
        }
        let earlier =
            strangers.iter_mut().find(|other| other.identity.eq_ignore_ascii_case(&neighbour.identity));
        match earlier {
            Some(earlier) => {
                add_new(&mut earlier.addresses, neighbour.addresses);
                add_new(&mut earlier.guesses, neighbour.guesses);
            }
            None => strangers.push(neighbour),
        }
    }
    strangers
}

fn add_new(addresses: &mut Vec<ServerAddress>, more: impl IntoIterator<Item = ServerAddress>) {
    for address in more {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
}

/// Whom the known servers replicate from.
fn sources(known: &[ServerView]) -> Vec<Neighbour> {
    let source = |view: &ServerView| {
        let replication = view.report.as_ref()?.as_ref().ok()?.replication.as_ref()?;
        let (host, port) = &replication.source_address;
        Some(Neighbour {
            identity: replication.source.clone(),
            addresses: address(host, *port).into_iter().collect(),
            guesses: Vec::new(),
            how: format!("{host}:{port} is the source of {}", view.name),
        })
    };
    known.iter().filter_map(source).collect()
}

/// The replicas of this server: who they are is what they registered with; where, what they say themselves
/// (`--report-host`) or else from where they are connected.
fn replicas_in(source: &str, replicas: &Own, receivers: &Own) -> Vec<Neighbour> {
    let rows = |answer: &Own| 0..answer.rows.len();
    let column = |answer: &Own, row: usize, names: &[&str]| {
        names.iter().find_map(|name| text(answer, row, name)).unwrap_or_default()
    };
    let neighbour = |row| {
        let identity = column(replicas, row, &["Replica_UUID", "Slave_UUID", "Server_id"]);
        let port = column(replicas, row, &["Port"]).parse().unwrap_or_default();
        let host = column(replicas, row, &["Host"]);
        let mut addresses: Vec<_> = address(&host, port).into_iter().collect();
        let mut guesses = Vec::new();
        for at in rows(receivers) {
            let whose = column(receivers, at, &["identity"]);
            let host = column(receivers, at, &["host"]);
            let from = address(without_port(&host), port);
            if whose.is_empty() {
                add_new(&mut guesses, from);
            } else if whose.eq_ignore_ascii_case(&identity) {
                add_new(&mut addresses, from);
            }
        }
        let at = addresses.first().map_or_else(|| identity.clone(), ToString::to_string);
        Neighbour { identity, addresses, guesses, how: format!("{at} replicates from {source}") }
    };
    rows(replicas).map(neighbour).collect()
}

/// The members of this server's replication group.
fn members_in(server: &str, members: &Own) -> Vec<Neighbour> {
    let member = |row| {
        let column = |name| text(members, row, name).unwrap_or_default();
        let (host, port) = (column("host"), column("port").parse().unwrap_or_default());
        Neighbour {
            identity: column("identity"),
            addresses: address(&host, port).into_iter().collect(),
            guesses: Vec::new(),
            how: format!("{host}:{port} is in the replication group of {server}"),
        }
    };
    (0..members.rows.len()).map(member).collect()
}

/// As a config would have it; `None` if there is none.
fn address(host: &str, port: u16) -> Option<ServerAddress> {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    format!("{host}:{port}").parse().ok()
}

/// MariaDB's processlist has the client's port at the end.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') && port.parse::<u16>().is_ok() => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::ask::tests::answer, *};

    fn places(neighbours: &[Neighbour]) -> Vec<(String, String, String)> {
        let list = |addresses: &[ServerAddress]| {
            addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        let place = |it: &Neighbour| (it.identity.clone(), list(&it.addresses), list(&it.guesses));
        neighbours.iter().map(place).collect()
    }

    /// As MySQL 9.7 and MariaDB 11.8 say it.
    #[test]
    fn replicas_are_where_they_say_or_where_they_connect_from() {
        let replicas = answer(
            &["Server_Id", "Host", "Port", "Source_Id", "Replica_UUID"],
            &[&["3", "db3", "3307", "1", "c"], &["2", "", "3306", "1", "b"]],
        );
        let receivers = answer(&["identity", "host"], &[&["b", "10.0.0.2"], &["c", "fd00::3"]]);
        let mysql = replicas_in("db1", &replicas, &receivers);
        let expected = [("c", "db3:3307 [fd00::3]:3307", ""), ("b", "10.0.0.2:3306", "")];
        assert_eq!(places(&mysql), expected.map(|(a, b, c)| (a.into(), b.into(), c.into())));
        assert_eq!(mysql[1].how, "10.0.0.2:3306 replicates from db1");
        let replicas = answer(&["Server_id", "Host", "Port", "Master_id"], &[&["3", "", "3306", "1"]]);
        let receivers = answer(&["identity", "host"], &[&["", "10.0.0.2:46436"], &["", "host:51730"]]);
        let mariadb = replicas_in("db1", &replicas, &receivers);
        let expected = ("3".to_owned(), String::new(), "10.0.0.2:3306 host:3306".to_owned());
        assert_eq!(places(&mariadb), [expected]);
    }

    #[test]
    fn who_is_known_by_identity_or_address_is_no_stranger_and_each_is_one() {
        let neighbour = |identity: &str, at: &str| Neighbour {
            identity: identity.to_owned(),
            addresses: vec![at.parse().unwrap()],
            guesses: Vec::new(),
            how: String::new(),
        };
        let report = crate::topology::observed::tests::report_of(1, "");
        let known = [
            view("db1", "10.0.0.1:3306", Some(report.clone())),
            // It has not answered yet.
            view("db2", "10.0.0.2:3306", None),
        ];
        let told = vec![
            neighbour(&report.identity.to_uppercase(), "other:3306"),
            neighbour("b", "10.0.0.2:3306"),
            neighbour("c", "10.0.0.3:3306"),
            neighbour("C", "db3:3306"),
            neighbour("", "10.0.0.4:3306"),
        ];
        let expected = ("c".to_owned(), "10.0.0.3:3306 db3:3306".to_owned(), String::new());
        assert_eq!(places(&strangers(told, &known)), [expected]);
    }

    fn view(name: &str, address: &str, report: Option<Report>) -> ServerView {
        ServerView {
            name: name.to_owned(),
            address: address.to_owned(),
            role: crate::control::Role::Unknown,
            out: None,
            lag: None,
            errant: String::new(),
            report: report.map(|report| Ok(Arc::new(report))),
            drained: false,
        }
    }
}
