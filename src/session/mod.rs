//! One client's session, login to quit: the path that every command takes.
//!
//! `command` → what it does (`sql`) → where it goes (`routing::decide`) → a lease (`backend`) → the session's state in
//! front of it (`catch_up`) → the response to the client (`relay`) → what it changed (`settle`).

pub mod accounts;
mod attributes;
mod binding;
mod bulk;
mod carry;
mod catch_up;
mod client;
mod context;
mod cursors;
mod expired;
mod freshness;
mod global_variables;
mod hint_stack;
mod idle;
pub mod kill;
mod learn;
mod lingering;
pub(crate) mod login;
mod named_locks;
mod one_value;
mod own;
mod prepared;
mod read_only;
pub mod registry;
mod relay;
mod replication;
mod route;
mod run;
mod settle;
mod statements;
mod value;
pub mod writes;

use std::{
    io,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use dauphin_proto::{
    command::{self, Command},
    connect::ChangeUser,
    packet,
    reply::{self, status},
    response::Shape,
};

use tokio::time::Instant;

pub use client::Client;
pub use context::Context;

use crate::{
    backend::{
        Account, Profile, State, connection::Charsets, connection_attributes::Attributes, state::is_on,
    },
    config::Consistency,
    error::{Answer, ClientError},
    fault::{ClientFault, is_garbage},
    sql::{Access, Charset, LagLimit, Needs, Syntax},
    topology::{Flavour, gtid::Frontier},
};
use binding::{Binding, Pins};
use client::Packet;
use cursors::CursorConnections;
use hint_stack::HintStack;
use learn::Tracks;
use lingering::{InsertId, Kept, Left, Lingering};
use login::{LoggedIn, LoginError};
use prepared::PreparedStatements;
use registry::{Registered, Registry};
use route::Route;
use writes::TransactionTokens;

/// A session.
pub struct Session {
    context: Arc<Context>,
    client: Client,
    registered: Registered,
    account: Arc<Account>,
    profile: Profile,
    /// Held, as the profile has its number.
    attributes: Arc<Attributes>,
    /// What the session has set, as its servers reported it.
    state: Arc<State>,
    tracks: Tracks,
    binding: Binding,
    pins: Pins,
    /// For how long a connection is kept that only user variables pin.
    pinned_for: Kept,
    lingering: Option<Lingering>,
    /// The user variables whose values only the lingering connection has.
    owed: Vec<Box<str>>,
    insert_id: InsertId,
    prepared: PreparedStatements,
    cursors: CursorConnections,
    /// Status flags of the last response.
    status: u16,
    /// For how long the client may say nothing unless the session says otherwise; `None`: for ever.
    idle_timeout: Option<Duration>,
    /// Whether the last statement ran on the connection that the session is bound to.
    last_on_binding: bool,
    /// What the last statement left to be asked for.
    left: Left,
    /// What the session has written: a replica may not have it yet.
    own_writes: Frontier,
    /// It has written with `sql_log_bin` off, or emptied the binary log.
    unlogged_writes: bool,
    /// It has defined stored code, and has not waited since until the servers were asked for it.
    defined_code: bool,
    /// The causal tokens of the current transaction.
    tokens: TransactionTokens,
    /// Whose writes its user's reads must see.
    consistency: Consistency,
    /// What the borrowed connection kept of the statement before.
    borrowed_keeps: Needs,
    /// Whether a COM_PING, or a COM_STMT_RESET, has come since the last statement.
    pinged: bool,
    wishes: Wishes,
    /// The session's own, while a statement's attributes say otherwise.
    wishes_aside: Option<Box<Wishes>>,
    hint_stack: HintStack,
    route: Route,
}

/// How long a server may take to undo what a session has left on its connection.
const UNDONE_WITHIN: Duration = Duration::from_secs(2);

/// What ROUTER SET has set.
#[derive(Debug, Clone, Default)]
struct Wishes {
    access_mode: Option<Access>,
    /// Whose writes reads must see; `None`: as the config says.
    consistency: Option<Consistency>,
    max_lag: LagLimit,
    wait_timeout: Option<Duration>,
}

/// Why a session ends before the client says so.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The client's connection is lost, or breaks the protocol.
    #[error("client: {0}")]
    Client(#[from] io::Error),
    /// The client was told why.
    #[error("{0}")]
    Ended(&'static str),
}

#[derive(Debug, PartialEq, Eq)]
enum Next {
    Command,
    Quit,
}

/// Serves one client from its greeting to its end. Cancel safe in that everything it holds is closed.
pub async fn serve(context: Arc<Context>, client: Client) {
    let id = context.sessions.next_id();
    let login = login::log_in(client, &context, id);
    let login = tokio::select! {
        login = tokio::time::timeout(context.config.listen.login_timeout, login) => login,
        () = context.sessions.logins_closed() => return,
    };
    let (client, logged_in) = match login {
        Ok(Ok(logged_in)) => logged_in,
        Ok(Err((mut client, LoginError::Refused(answer, sequence)))) => {
            context.metrics.logins_failed.fetch_add(1, Relaxed);
            if matches!(&answer, Answer::Own(error) if *error == ClientError::bad_handshake()) {
                context.metrics.client_failed(ClientFault::LoginGarbage);
            }
            tracing::info!(session = id, client = %client.host, ?answer, "login refused");
            let _ = client.error(answer, sequence).await;
            return;
        }
        Ok(Err((client, LoginError::Gone(error)))) if is_garbage(&error) => {
            context.metrics.logins_failed.fetch_add(1, Relaxed);
            context.metrics.client_failed(ClientFault::LoginGarbage);
            tracing::info!(session = id, client = %client.host, %error, "login breaks the protocol");
            return;
        }
        Ok(Err((client, LoginError::Gone(error)))) => {
            context.metrics.client_failed(ClientFault::LoginGone);
            tracing::debug!(session = id, client = %client.host, %error, "client gone during its login");
            return;
        }
        Err(_) => {
            context.metrics.logins_failed.fetch_add(1, Relaxed);
            context.metrics.client_failed(ClientFault::LoginTimeout);
            tracing::info!(session = id, "login not completed within [listen] login_timeout");
            return;
        }
    };
    let mut logged_in = logged_in;
    let certificate_proof = std::mem::take(&mut logged_in.certificate_proof);
    let mut session = Session::new(context, client, logged_in, id);
    let outcome = session.run(&certificate_proof).await;
    if let Err(SessionError::Client(error)) = &outcome {
        session.context.metrics.client_failed(ClientFault::of(error));
    }
    tracing::debug!(session = id, user = %session.account.name(), ?outcome, "session ended");
}

impl Session {
    fn new(context: Arc<Context>, client: Client, logged_in: LoggedIn, id: u32) -> Self {
        let registered = Registry::enter(&context, id, logged_in.account.clone(), client.host.clone());
        let mut session = Self {
            context,
            client,
            registered,
            account: logged_in.account,
            profile: logged_in.profile,
            attributes: logged_in.attributes,
            state: Arc::default(),
            tracks: Tracks::default(),
            binding: Binding::Free,
            pins: Pins::default(),
            pinned_for: Kept { wanted_from: Instant::now(), until: Instant::now() },
            lingering: None,
            owed: Vec::new(),
            insert_id: InsertId::default(),
            prepared: PreparedStatements::default(),
            cursors: CursorConnections::default(),
            status: status::AUTOCOMMIT,
            idle_timeout: None,
            last_on_binding: false,
            left: Left::default(),
            own_writes: Frontier::default(),
            unlogged_writes: false,
            defined_code: false,
            tokens: TransactionTokens::default(),
            consistency: Consistency::Session,
            borrowed_keeps: Needs::NONE,
            pinged: false,
            wishes: Wishes::default(),
            wishes_aside: None,
            hint_stack: HintStack::default(),
            route: Route::default(),
        };
        session.take_user_s_level();
        session.take_idle_timeout();
        session.enter(logged_in.schema);
        session.bind_expired(logged_in.expired);
        session.route.login_sequence = logged_in.sequence;
        session
    }

    fn enter(&mut self, schema: Option<Vec<u8>>) {
        self.registered.entry.set_schema(schema.as_deref());
        if schema.is_some() {
            State::change(&mut self.state, |state| state.schema = schema.map(Into::into));
        }
    }

    /// What the config promises this user's reads.
    fn take_user_s_level(&mut self) {
        let of_user = self.context.accounts.consistency(&self.account.user);
        self.consistency = of_user.unwrap_or(self.context.config.routing.consistency);
    }

    async fn run(&mut self, certificate_proof: &[u8]) -> Result<(), SessionError> {
        self.take_globals().await;
        self.client.ok_with(certificate_proof, self.status, self.route.login_sequence).await?;
        self.client.compress();
        let killed = self.registered.entry.killed.clone().cancelled_owned();
        tokio::pin!(killed);
        loop {
            self.client.patience = self.client_timeout();
            let packet = tokio::select! {
                biased;
                () = &mut killed => return Err(SessionError::Ended("killed")),
                command = self.next_command() => command,
            };
            let packet = match packet {
                Ok(Some(packet)) => packet,
                Ok(None) => return Err(SessionError::Client(ClientFault::Gone.into())),
                Err(error) if ClientFault::of(&error) == ClientFault::TooLarge => {
                    self.client.error(ClientError::packet_too_large(), 1).await?;
                    return Err(error.into());
                }
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    return self.disconnect_idle().await;
                }
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    self.client.error(ClientError::packets_out_of_order(), 1).await?;
                    return Err(error.into());
                }
                Err(error) => return Err(error.into()),
            };
            tokio::select! {
                biased;
                () = &mut killed => return Err(SessionError::Ended("killed")),
                next = self.command(packet) => if next? == Next::Quit { return Ok(()) },
            }
        }
    }

    /// Runs a command, and notes for others that it runs, how long it took and what it leaves.
    async fn command(&mut self, packet: Packet) -> Result<Next, SessionError> {
        let began = Instant::now();
        if !self.registered.entry.begins_command(began) {
            return Ok(Next::Quit);
        }
        let next = self.run_command(packet).await?;
        let now = Instant::now();
        if let Some((server, role)) = self.route.sent_to.take() {
            self.context.metrics.answered(server, role, now - began);
        }
        let (in_transaction, pin) = match &self.binding {
            Binding::Free => (false, None),
            Binding::Transaction(_) => (true, self.pins.any()),
            Binding::Pinned(_) => (false, self.pins.any()),
        };
        let bound = self.binding.lease().map(|lease| lease.server().id);
        self.registered.entry.ends_command(now, in_transaction, bound, pin);
        Ok(next)
    }

    async fn run_command(&mut self, mut packet: Packet) -> Result<Next, SessionError> {
        if self.is_expired() && Box::pin(self.with_expired_password(&mut packet)).await? {
            while self.client.more(&mut packet).await?.is_some() {}
            self.client.done(packet);
            return Ok(Next::Command);
        }
        let command = match Command::parse(packet.payload()) {
            Ok(command) => command,
            Err(error) => {
                tracing::debug!(%error, "malformed command");
                self.client.error(ClientError::malformed_packet(), 1).await?;
                return Err(SessionError::Client(ClientFault::Garbage.into()));
            }
        };
        match command {
            Command::Quit => return Ok(Next::Quit),
            Command::Ping => self.ping(&mut packet).await?,
            Command::Query(_) => match self.attributes(&mut packet) {
                Ok(()) => {
                    self.query(&mut packet).await?;
                    self.forget_attributes();
                }
                Err(error) => self.say(error).await?,
            },
            Command::InitDb(_) => self.run_known(&mut packet, &route::USE).await?,
            Command::FieldList(_) => self.run_known(&mut packet, &route::FIELD_LIST).await?,
            Command::Refresh(parts) => self.run_known(&mut packet, &route::refresh(parts)).await?,
            Command::Statistics | Command::Debug => self.run_known(&mut packet, &route::SERVER).await?,
            Command::ProcessKill(id) => Box::pin(self.kill(u64::from(id), false, &mut packet)).await?,
            Command::SetOption(option) => self.set_option(option).await?,
            Command::ResetConnection if self.pins.has_expired_password() => {
                Box::pin(self.reset_after_change()).await?;
            }
            Command::ResetConnection => {
                self.profile = self.profile.after_reset(self.context.flavour());
                Box::pin(self.undo_bound()).await;
                self.reset(self.state.schema.as_deref().map(<[u8]>::to_vec));
                self.take_server_charsets();
                self.take_globals().await;
                self.say_ok().await?;
            }
            Command::ChangeUser(argument) => {
                let request = ChangeUser::parse(argument, self.client.capabilities);
                Box::pin(self.change_user(request)).await?;
            }
            Command::Prepare(_) => self.prepare(&mut packet).await?,
            Command::Execute(id) => self.execute(&mut packet, id).await?,
            Command::BulkExecute => Box::pin(self.bulk_execute(&mut packet)).await?,
            Command::SendLongData(id) => self.send_long_data(&mut packet, id).await?,
            Command::CloseStatement(id) => self.close_statement(id).await,
            Command::ResetStatement(id) => self.reset_statement(&mut packet, id).await?,
            Command::Fetch(id) => self.fetch(&mut packet, id).await?,
            Command::RegisterReplica => Box::pin(self.register_replica(&mut packet)).await?,
            Command::DumpBinaryLog => return Box::pin(self.dump_binary_log(&mut packet)).await,
            Command::Other(_) => self.say(ClientError::unknown_command()).await?,
        }
        while self.client.more(&mut packet).await?.is_some() {}
        self.client.done(packet);
        Ok(Next::Command)
    }

    async fn say_ok(&mut self) -> io::Result<()> {
        self.client.ok(self.status, self.client.reply_sequence).await
    }

    async fn say(&mut self, answer: impl Into<Answer>) -> io::Result<()> {
        self.client.error(answer, self.client.reply_sequence).await
    }

    /// COM_SET_OPTION: connections learn it with the next statement that runs on them.
    async fn set_option(&mut self, option: u16) -> io::Result<()> {
        if option > 1 {
            return self.say(ClientError::unknown_command()).await;
        }
        State::change(&mut self.state, |state| state.multi_statements = Some(option == 0));
        let (now, dialect) = (self.status, self.client.dialect());
        let mut out = Vec::new();
        packet::put_with(&mut out, 1, |out| reply::put_rows_end(out, now, dialect));
        self.client.send(&out).await
    }

    /// Lets the server undo what is on the session's own connection before the client hears that it is undone: that the
    /// connection is closed the server notices later, and others find its locks until then.
    async fn undo_bound(&mut self) {
        let Some(lease) = self.binding.take() else { return };
        let undone = async {
            let mut bytes = Vec::new();
            command::put_command(&mut bytes, command::code::RESET_CONNECTION, b"");
            lease.send(&bytes).await?.own_response(Shape::Status).await
        };
        // Whatever comes of it, the connection is closed.
        if let Ok(Err(lost)) = tokio::time::timeout(UNDONE_WITHIN, undone).await {
            tracing::debug!(%lost, "a connection was lost while it was reset");
        }
    }

    /// As after a new login, but for the account. Connections with something of the session on them are closed, which
    /// rolls back, unlocks and drops as the server would.
    fn reset(&mut self, schema: Option<Vec<u8>>) {
        self.lingering = None;
        self.owed.clear();
        self.pins = Pins::default();
        for statement in self.prepared.drain() {
            self.context.fleet.sources.release(statement.source);
        }
        self.cursors = CursorConnections::default();
        self.state = Arc::default();
        self.tracks = Tracks::default();
        self.insert_id = InsertId::default();
        self.status = status::AUTOCOMMIT;
        self.wishes = Wishes::default();
        self.hint_stack = HintStack::default();
        self.tokens.clear();
        self.take_idle_timeout();
        self.enter(schema);
    }

    /// After COM_RESET_CONNECTION, MySQL uses the server's character sets rather than the login's.
    fn take_server_charsets(&mut self) {
        if self.context.flavour() == Flavour::MariaDb {
            return;
        }
        let table = self.context.published.load();
        let primary = table.term().map(|term| &term.server);
        let Some(found) =
            primary.into_iter().chain(table.replicas.servers()).find_map(|server| server.charsets())
        else {
            return;
        };
        State::change(&mut self.state, |state| {
            for (name, value) in Charsets::NAMES.iter().zip(&found.values) {
                state.variables.insert((*name).into(), value.clone());
            }
            state.results_collation = Some(found.values[3].clone());
        });
    }

    async fn change_user(
        &mut self,
        request: Result<ChangeUser, dauphin_proto::ProtocolError>,
    ) -> Result<(), SessionError> {
        let Ok(request) = request else {
            self.say(ClientError::malformed_packet()).await?;
            return Err(SessionError::Client(ClientFault::Garbage.into()));
        };
        let collation = request.collation.unwrap_or(self.profile.collation);
        let login = login::change_user(&mut self.client, &self.context, &request, None, collation);
        match tokio::time::timeout(self.context.config.listen.login_timeout, login).await {
            Ok(Ok(logged_in)) => {
                self.account = logged_in.account;
                self.registered.entry.set_account(self.account.clone());
                self.profile = logged_in.profile;
                self.attributes = logged_in.attributes;
                self.take_user_s_level();
                self.undo_bound().await;
                self.reset(logged_in.schema);
                self.bind_expired(logged_in.expired);
                self.take_globals().await;
                Ok(self.client.ok(self.status, logged_in.sequence).await?)
            }
            Ok(Err(LoginError::Refused(answer, sequence))) => {
                // A server closes the connection when COM_CHANGE_USER fails.
                self.client.error(answer, sequence).await?;
                Err(SessionError::Ended("COM_CHANGE_USER refused"))
            }
            Ok(Err(LoginError::Gone(error))) => Err(error.into()),
            Err(_) => Err(SessionError::Client(ClientFault::LoginTimeout.into())),
        }
    }

    /// How the session's texts are to be read.
    fn syntax(&self) -> Syntax {
        let state = &self.state;
        let mode = state.variable("sql_mode").unwrap_or_default();
        let has = |flag: &[u8]| mode.split(|&byte| byte == b',').any(|set| set == flag);
        let table = self.context.published.load();
        let charset = state.variable("character_set_client").map_or_else(
            || route::charset_of_collation(self.profile.collation),
            |name| Charset::of(&String::from_utf8_lossy(name)),
        );
        Syntax {
            ansi_quotes: has(b"ANSI_QUOTES") || status::ANSI_QUOTES & self.status != 0,
            no_backslash_escapes: has(b"NO_BACKSLASH_ESCAPES")
                || status::NO_BACKSLASH_ESCAPES & self.status != 0,
            ignore_space: has(b"IGNORE_SPACE") || self.profile.ignore_space(),
            charset,
            flavour: match self.context.flavour() {
                Flavour::MySql => crate::sql::Flavour::MySql,
                Flavour::MariaDb => crate::sql::Flavour::MariaDb,
            },
            version: table.version.as_ref().map_or(0, |version| version.number),
            multi_statements: state.multi_statements.unwrap_or_else(|| self.profile.multi_statements()),
        }
    }

    /// Whether servers send this session results without definitions of their columns, dauphin's own questions included.
    fn omits_definitions(&self) -> bool {
        self.state.variable("resultset_metadata") == Some(b"NONE")
    }

    fn is_serializable(&self) -> bool {
        ["transaction_isolation", "tx_isolation"]
            .iter()
            .any(|name| self.state.variable(name) == Some(b"SERIALIZABLE"))
    }

    fn is_read_only(&self) -> bool {
        ["transaction_read_only", "tx_read_only"]
            .iter()
            .any(|name| self.state.variable(name).is_some_and(is_on))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        for statement in self.prepared.drain() {
            self.context.fleet.sources.release(statement.source);
        }
    }
}
