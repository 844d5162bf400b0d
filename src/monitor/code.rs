//! Asking each server for its stored code, on connections of its own, for the catalogue.
//!
//! A server is asked for sums first, and for the code only if these are others than before.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

use super::grants::Grants;
use crate::{
    backend::{
        Account, Fleet, Own, Server,
        own::{AskError, OwnConnection},
    },
    catalogue::{Catalogue, KnownCode, Routine, Source, Trigger, View},
    config::Monitor as Config,
    routing::Published,
    sql,
    topology::{Flavour, code, flavour::Version},
};

/// How long one server may take for all of it.
const PATIENCE: Duration = Duration::from_secs(10);

/// How soon servers are asked again that do not have the same code, and how often: one of them is probably behind.
const SOON: (Duration, u32) = (Duration::from_millis(500), 20);

/// What the code was found out with.
#[derive(Debug)]
pub struct Parts {
    /// The servers.
    pub fleet: Arc<Fleet>,
    /// dauphin's account on them.
    pub account: Arc<Account>,
    /// Which of them is the primary.
    pub published: Arc<Published>,
    /// Where what they say goes.
    pub known: Arc<KnownCode>,
}

/// Keeps what is known of the servers' stored code up to date, for ever. Cancel safe: all it holds is connections.
pub async fn watch(parts: Parts, config: Config) {
    let Parts { fleet, account, published, known } = parts;
    let mut readers = Vec::new();
    let mut soon_again = 0;
    let mut tables = published.changes();
    let mut analysed = None;
    loop {
        tables.mark_unchanged();
        readers.extend(fleet.servers.iter().skip(readers.len()).cloned().map(Reader::new));
        let (began, at) = (known.begins_to_read(), Instant::now());
        let answered = ask_all(std::mem::take(&mut readers), &account, &config).await;
        let primary = published.load().term().map(|term| term.server.id);
        let primary = answered.iter().find(|(reader, _)| primary == Some(reader.server.id));
        // Whoever waits for the latest waits on until the primary has said it.
        let (is_complete, is_latest) =
            primary.map_or((false, false), |(reader, has_answered)| (reader.is_complete(), *has_answered));
        readers = answered.into_iter().map(|(reader, _)| reader).collect();
        if readers.iter_mut().fold(false, |any, reader| any | std::mem::take(&mut reader.has_changed)) {
            soon_again = SOON.1;
            analysed = None;
        }
        let extent = (is_complete, readers.iter().all(|reader| reader.source.is_some()));
        if is_latest && analysed != Some(extent) {
            analysed = analyse(&readers, extent, &known).await.then_some(extent);
        }
        if is_latest && analysed.is_some() {
            known.is_as_of(began);
        }
        let differ = readers.windows(2).any(|pair| pair[0].sums != pair[1].sums) || !is_latest;
        let mut pause = config.code_interval;
        if differ && soon_again > 0 {
            soon_again -= 1;
            pause = pause.min(SOON.0);
        }
        tokio::select! {
            () = sleep_until(at + pause) => {}
            () = known.wanted() => {}
            _ = tables.changed(), if !is_latest => {}
        }
    }
}

/// Publishes what the sources come to, if that could be found out. Off this thread, which others watch the servers on: there
/// may be megabytes to read. `extent`: see [`Catalogue::new`].
async fn analyse(readers: &[Reader], extent: (bool, bool), known: &KnownCode) -> bool {
    let sources: Vec<Arc<Source>> = readers.iter().filter_map(|reader| reader.source.clone()).collect();
    let (complete, everywhere) = extent;
    let catalogue = tokio::task::spawn_blocking(move || {
        Catalogue::new(sources.iter().map(|source| &**source), complete, everywhere)
    });
    match catalogue.await {
        Ok(catalogue) => known.publish(catalogue),
        Err(_) => return false,
    }
    true
}

/// Asks all servers at the same time; with each, whether it has answered.
async fn ask_all(readers: Vec<Reader>, account: &Arc<Account>, config: &Config) -> Vec<(Reader, bool)> {
    let mut asking = JoinSet::new();
    for (at, mut reader) in readers.into_iter().enumerate() {
        let (account, config) = (account.clone(), config.clone());
        asking.spawn(async move {
            let has_answered = reader.ask(&account, &config).await;
            (at, reader, has_answered)
        });
    }
    let mut answered = asking.join_all().await;
    answered.sort_by_key(|(at, ..)| *at);
    answered.into_iter().map(|(_, reader, has_answered)| (reader, has_answered)).collect()
}

/// One server's code, as it was when the server last said that it had changed.
#[derive(Debug)]
struct Reader {
    server: Arc<Server>,
    connection: Option<Connection>,
    sums: Vec<Vec<Option<Vec<u8>>>>,
    source: Option<Arc<Source>>,
    may_see_all: bool,
    has_changed: bool,
    is_told: bool,
}

#[derive(Debug)]
struct Connection {
    own: OwnConnection,
    version: Version,
}

impl Reader {
    fn new(server: Arc<Server>) -> Self {
        Self {
            server,
            connection: None,
            sums: Vec::new(),
            source: None,
            may_see_all: false,
            has_changed: true,
            is_told: false,
        }
    }

    fn is_complete(&self) -> bool {
        self.may_see_all && self.source.is_some()
    }

    /// Brings what is known of the server up to date; whether it has answered.
    async fn ask(&mut self, account: &Account, config: &Config) -> bool {
        let Some(mut connection) = self.connect(account).await else { return false };
        match timeout(PATIENCE, self.read(&mut connection, config)).await {
            Ok(Ok(())) => {
                // Privileges are looked at when a connection begins: a missing one may be granted in between.
                self.connection = Some(connection).filter(|_| self.may_see_all);
                true
            }
            Ok(Err(error)) => {
                tracing::debug!(server = %self.server.name, %error, "the server's stored code cannot be read");
                false
            }
            Err(_) => false,
        }
    }

    async fn connect(&mut self, account: &Account) -> Option<Connection> {
        if let Some(connection) = self.connection.take() {
            return Some(connection);
        }
        let open = async {
            let mut own = OwnConnection::open(&self.server, account).await.ok()?;
            let version = own.ask("SELECT VERSION()").await.ok()?;
            let version = Version::parse(&String::from_utf8_lossy(version.first_value().unwrap_or_default()));
            let grants = Grants::new(&own.ask("SHOW GRANTS").await.ok()?);
            let mut enough = code::shows_routines(version.flavour).iter();
            let may_see_all = enough.any(|(privilege, level)| grants.include(privilege, level));
            Some((Connection { own, version }, may_see_all, grants.account().to_owned()))
        };
        let (connection, may_see_all, account) = timeout(PATIENCE, open).await.ok().flatten()?;
        self.may_see_all = may_see_all;
        if !may_see_all && !std::mem::replace(&mut self.is_told, true) {
            let remedy = code::grants(connection.version.flavour)
                .iter()
                .map(|grant| format!("GRANT {grant} TO {account}"));
            tracing::warn!(
                server = %self.server.name,
                remedy = %format!("run on the primary: {}", Vec::from_iter(remedy).join("; ")),
                "dauphin's account may not read stored routines: each is taken to lock by GET_LOCK, so that a session that \
                 has called one keeps its connection, and none is taken to only read"
            );
        }
        Some(connection)
    }

    async fn read(&mut self, connection: &mut Connection, config: &Config) -> Result<(), AskError> {
        let sums = rows(connection.own.ask_all(code::SUMS).await)?.concat();
        if sums == self.sums {
            return Ok(());
        }
        let total = |column: usize| -> usize {
            let numbers = sums.iter().filter_map(|row| text(row, column).parse::<f64>().ok());
            numbers.sum::<f64>() as usize
        };
        let (entries, bytes) = (total(0), total(1));
        self.source = if entries > config.code_entries || bytes > config.code_size {
            tracing::warn!(
                server = %self.server.name, entries, bytes,
                "more stored code than [monitor] code_entries and code_size allow to be read: each routine is taken to \
                 lock by GET_LOCK, and none is taken to only read"
            );
            None
        } else {
            Some(Arc::new(source(connection).await?))
        };
        self.sums = sums;
        self.has_changed = true;
        Ok(())
    }
}

async fn source(connection: &mut Connection) -> Result<Source, AskError> {
    let Connection { own, version } = connection;
    let questions = [code::ROUTINES, code::PARAMETERS, code::VIEWS, code::TRIGGERS];
    let mut answers = rows(own.ask_all(&questions).await)?.into_iter();
    let mut next = || answers.next().unwrap_or_default();
    let (routines, parameters, views, triggers) = (next(), next(), next(), next());
    let mut parameters_of: HashMap<[String; 3], Vec<String>> = HashMap::new();
    for row in &parameters {
        parameters_of.entry([text(row, 0), text(row, 1), text(row, 2)]).or_default().push(text(row, 3));
    }
    Ok(Source {
        flavour: match version.flavour {
            Flavour::MySql => sql::Flavour::MySql,
            Flavour::MariaDb => sql::Flavour::MariaDb,
        },
        version: version.number,
        routines: routines.iter().map(|row| routine(row, &mut parameters_of)).collect(),
        views: views
            .iter()
            .map(|row| View { schema: text(row, 0), name: text(row, 1), definition: text(row, 2) })
            .collect(),
        triggers: triggers
            .iter()
            .map(|row| Trigger {
                schema: text(row, 0),
                table: text(row, 1),
                body: text(row, 2),
                sql_mode: text(row, 3),
            })
            .collect(),
    })
}

fn routine(row: &Row, parameters_of: &mut HashMap<[String; 3], Vec<String>>) -> Routine {
    let (schema, name, kind) = (text(row, 0), text(row, 1), text(row, 2));
    let is_sql = text(row, 3) == "SQL" && row.get(4).is_some_and(Option::is_some);
    let (access, is_deterministic) = (text(row, 5), text(row, 6) == "YES");
    let reads = matches!(access.as_str(), "READS SQL DATA" | "NO SQL");
    Routine {
        is_function: kind == "FUNCTION",
        body: is_sql.then(|| text(row, 4)),
        declared_harmless: reads || is_deterministic && access != "MODIFIES SQL DATA",
        sql_mode: text(row, 7),
        parameters: parameters_of.remove(&[schema.clone(), name.clone(), kind]).unwrap_or_default(),
        schema,
        name,
    }
}

type Row = Vec<Option<Vec<u8>>>;

/// The rows of all answers; the first error if there is one.
fn rows(answers: Vec<Result<Own, AskError>>) -> Result<Vec<Vec<Row>>, AskError> {
    answers.into_iter().map(|answer| answer.map(|answer| answer.rows)).collect()
}

fn text(row: &Row, column: usize) -> String {
    let value = row.get(column).and_then(Option::as_deref).unwrap_or_default();
    String::from_utf8_lossy(value).into_owned()
}
