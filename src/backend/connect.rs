//! Opening a connection: dial, greet, encrypt, log in, and make the server report what dauphin follows.

use std::{
    io,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use dauphin_proto::{
    CapabilityFlags, ProtocolError, auth,
    command::Queries,
    connect::{AUTH_MORE_DATA, AuthSwitch, Greeting, Login, NONCE},
    packet::{self, HEADER},
    reply::{self, marker},
};
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream};
use zeroize::Zeroizing;

use super::{
    account::{Account, Proof},
    connection::{Charsets, Connection},
    own::{AskError, OwnConnection},
    profile::Profile,
    server::Server,
    state::State,
};
use crate::{
    config::ServerAddress,
    fault::NoConnection,
    net::{Buffer, Stream},
    topology::{Flavour, flavour::Version},
};

/// An error that a server answered with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("ERROR {code} ({}): {}", String::from_utf8_lossy(sqlstate), String::from_utf8_lossy(message))]
pub struct ServerError {
    /// MySQL's number.
    pub code: u16,
    /// Five characters.
    pub sqlstate: [u8; 5],
    /// The server's words.
    pub message: Vec<u8>,
}

impl From<reply::Err<'_>> for ServerError {
    fn from(error: reply::Err<'_>) -> Self {
        Self { code: error.code, sqlstate: error.sqlstate, message: error.message.to_vec() }
    }
}

/// Why a connection could not be opened.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ConnectError {
    /// Nobody answers, or the connection broke.
    #[error("cannot be reached: {0}")]
    Unreachable(Arc<io::Error>),
    /// `[pool] connect_timeout` passed.
    #[error("did not complete a login within [pool] connect_timeout")]
    Timeout,
    /// The server said no, in its own words.
    #[error(transparent)]
    Refused(ServerError),
    /// The server breaks the protocol.
    #[error("does not speak the protocol: {0}")]
    Protocol(#[from] ProtocolError),
    /// `[tls.server] mode` asks for TLS and the server has none.
    #[error("does not offer TLS, which [tls.server] mode requires")]
    NoTls,
    /// The session's client has been offered query attributes, and this server has none.
    #[error("has no query attributes, which the client was offered: MySQL has them since 8.0.26")]
    NoQueryAttributes,
    /// The TLS handshake failed, for example for a certificate that is not trusted.
    #[error("TLS handshake failed: {0}")]
    Tls(Arc<io::Error>),
    /// The account uses a method that dauphin has no proof for.
    #[error("wants to authenticate the account by {0}, which dauphin cannot do with what the client gave")]
    Method(String),
}

impl ConnectError {
    /// Whether the server, rather than the account, is the problem.
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Timeout | Self::Protocol(_) | Self::NoTls | Self::Tls(_) => true,
            // Server shutdown in progress; the server is in offline mode.
            Self::Refused(error) => matches!(error.code, 1053 | HOST_IS_BLOCKED | 3032),
            Self::Method(_) | Self::NoQueryAttributes => false,
        }
    }

    /// The word for it in counters.
    pub const fn cause(&self) -> NoConnection {
        match self {
            Self::Unreachable(_) => NoConnection::Unreachable,
            Self::Timeout => NoConnection::Timeout,
            Self::Refused(_) => NoConnection::Refused,
            Self::Protocol(_) => NoConnection::Garbage,
            Self::NoTls | Self::Tls(_) => NoConnection::Tls,
            Self::NoQueryAttributes | Self::Method(_) => NoConnection::Unfit,
        }
    }

    /// Whether the server blocks this host, after `max_connect_errors` connections that broke off before the login.
    pub const fn is_blocked(&self) -> bool {
        matches!(self, Self::Refused(ServerError { code: HOST_IS_BLOCKED, .. }))
    }

    /// Whether server and dauphin do not agree on TLS. A connection that breaks in the middle says nothing of that.
    pub fn is_of_tls(&self) -> bool {
        match self {
            Self::NoTls => true,
            // What rustls says itself, and no name to verify.
            Self::Tls(error) => {
                matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput)
            }
            _ => false,
        }
    }

    /// Whether the server refuses the account, until somebody changes it there or in the config: access denied, to this host,
    /// or without a password; an expired password, at the login and after it; a locked account on MySQL and on MariaDB.
    pub const fn is_of_account(&self) -> bool {
        match self {
            Self::Refused(error) => {
                matches!(error.code, 1045 | 1130 | 1698 | MUST_CHANGE_PASSWORD | 1862 | 3118 | 4151)
            }
            Self::Method(_) => true,
            _ => false,
        }
    }
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<ProtocolError>()) {
            Some(broken) => Self::Protocol(*broken),
            None => Self::Unreachable(Arc::new(error)),
        }
    }
}

/// ER_HOST_IS_BLOCKED
const HOST_IS_BLOCKED: u16 = 1129;

/// A new connection of `account`, tracking set up; where the server has turned everybody away, not tried at once again.
/// Cancel safe: a connection half opened is closed.
///
/// # Errors
/// See [`ConnectError`]; a wrong password is [`ConnectError::Refused`] with 1045.
pub async fn connect(
    server: &Server,
    account: &Account,
    profile: Profile,
) -> Result<Connection, ConnectError> {
    let connect = async {
        let connection = connect_now(server, account, profile, None).await?;
        match connection.expired {
            Some(error) => Err(ConnectError::Refused(*error)),
            None => Ok(connection),
        }
    };
    within_limits(server, connect).await
}

/// A new connection of `account` in this schema, whether or not the account's password has expired: see
/// [`Connection::expired`]. Otherwise as [`connect`].
///
/// # Errors
/// See [`ConnectError`].
pub async fn connect_expired(
    server: &Server,
    account: &Account,
    profile: Profile,
    schema: Option<&[u8]>,
) -> Result<Connection, ConnectError> {
    within_limits(server, connect_now(server, account, profile, schema)).await
}

async fn within_limits(
    server: &Server,
    connect: impl Future<Output = Result<Connection, ConnectError>>,
) -> Result<Connection, ConnectError> {
    server.turned_away.may_try()?;
    let connected =
        tokio::time::timeout(server.connect_timeout, connect).await.unwrap_or(Err(ConnectError::Timeout));
    if let Err(error) = &connected {
        server.no_connection[error.cause() as usize].fetch_add(1, Relaxed);
    }
    server.turned_away.note(&connected, |error| error.is_of_tls() || error.is_blocked());
    connected
}

/// Tries it once more where the server refuses the connection for being in clear.
async fn connect_now(
    server: &Server,
    account: &Account,
    profile: Profile,
    schema: Option<&[u8]>,
) -> Result<Connection, ConnectError> {
    let was_required = server.compression.is_required();
    match connect_once(server, account, profile, schema).await {
        Err(ConnectError::Refused(error)) if error.code == COMPRESSION_REFUSED && !was_required => {
            server.compression.refused_in_clear(&server.name);
            connect_once(server, account, profile, schema).await
        }
        connected => connected,
    }
}

/// ER_WRONG_COMPRESSION_ALGORITHM_CLIENT: the server has others, and `uncompressed` is one.
const COMPRESSION_REFUSED: u16 = 3922;

async fn connect_once(
    server: &Server,
    account: &Account,
    profile: Profile,
    schema: Option<&[u8]>,
) -> Result<Connection, ConnectError> {
    let mut wire = Wire { stream: dial(&server.address).await?, input: Buffer::default(), sequence: 0 };
    let greeting = Greeting::parse(&not_an_error(wire.read().await?)?)?;
    let mut login = login(&greeting, server, account, profile);
    login.capabilities.set(CapabilityFlags::CLIENT_CONNECT_WITH_DB, schema.is_some());
    login.schema = schema.map(<[u8]>::to_vec);
    if profile.queries() == Queries::WithAttributes
        && !greeting.capabilities.contains(CapabilityFlags::CLIENT_QUERY_ATTRIBUTES)
    {
        return Err(ConnectError::NoQueryAttributes);
    }
    let compression = server.compression.agree(&mut login, greeting.capabilities, profile, &server.name);
    wire = encrypt(wire, server, &greeting, &mut login).await?;
    let mut nonce = greeting.nonce;
    login.response = first_answer(&mut login.plugin, &nonce, account);
    let mut payload = Zeroizing::new(Vec::new());
    login.put(&mut payload);
    wire.write(&payload).await?;
    authenticate(&mut wire, &mut nonce, &mut login.plugin, account).await?;
    let stream = match compression {
        Some(method) => wire.stream.compressed(wire.input, method),
        None => wire.stream,
    };
    let mut connection = Connection::new(stream, greeting.connection_id, profile.queries());
    connection.handle = connection.stream.second_handle()?.map(Arc::new);
    if schema.is_some() {
        State::change(&mut connection.state, |state| state.schema = schema.map(Into::into));
    }
    set_up(connection, server, Version::parse(&greeting.version).flavour).await
}

async fn dial(address: &ServerAddress) -> io::Result<Stream> {
    Ok(match address {
        ServerAddress::Tcp { host, port } => {
            let tcp = TcpStream::connect((host.as_str(), *port)).await?;
            tcp.set_nodelay(true)?;
            let keepalive = socket2::TcpKeepalive::new().with_time(Duration::from_secs(30));
            socket2::SockRef::from(&tcp).set_tcp_keepalive(&keepalive)?;
            Stream::Tcp(tcp)
        }
        ServerAddress::Unix(path) => Stream::Unix(UnixStream::connect(path).await?),
    })
}

fn login(greeting: &Greeting, server: &Server, account: &Account, profile: Profile) -> Login {
    Login {
        capabilities: profile.capabilities(greeting.capabilities),
        extended: profile.extended(greeting.extended),
        max_packet: 1 << 30,
        collation: profile.collation,
        user: account.user.to_vec(),
        plugin: greeting.plugin.clone(),
        attributes: server.attributes.get(profile.attributes()).block.to_vec(),
        ..Login::default()
    }
}

async fn encrypt(
    mut wire: Wire,
    server: &Server,
    greeting: &Greeting,
    login: &mut Login,
) -> Result<Wire, ConnectError> {
    let ServerAddress::Tcp { host, .. } = &server.address else { return Ok(wire) };
    let Some(connector) = &server.tls.connector else { return Ok(wire) };
    if !greeting.capabilities.contains(CapabilityFlags::CLIENT_SSL) {
        return if server.tls.required { Err(ConnectError::NoTls) } else { Ok(wire) };
    }
    login.capabilities |= CapabilityFlags::CLIENT_SSL;
    let mut request = Vec::new();
    login.put_ssl_request(&mut request);
    wire.write(&request).await?;
    let failed = |error| ConnectError::Tls(Arc::new(error));
    let name = ServerName::try_from(host.clone())
        .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
    let stream = wire.stream.connect_tls(connector, name).await.map_err(failed)?;
    Ok(Wire { stream, ..wire })
}

/// The answer to the greeting's challenge; names the method that it was made with.
fn first_answer(plugin: &mut String, nonce: &[u8; NONCE], account: &Account) -> Vec<u8> {
    if matches!(account.proof, Proof::NativeHash(_)) {
        *plugin = auth::NATIVE.to_owned();
    }
    // A method that cannot be answered yet: the server asks again by name, or finds that no answer is needed.
    answer(plugin, nonce, account).unwrap_or_default()
}

fn answer(plugin: &str, nonce: &[u8; NONCE], account: &Account) -> Option<Vec<u8>> {
    match (plugin, &account.proof) {
        (auth::CACHING_SHA2, Proof::Password(password)) => Some(auth::answer_sha2(nonce, password)),
        (auth::NATIVE, Proof::Password(password)) => Some(auth::answer_native(nonce, password)),
        (auth::NATIVE, Proof::NativeHash(hash)) => Some(auth::answer_native_from_hash(nonce, hash).to_vec()),
        _ => None,
    }
}

async fn authenticate(
    wire: &mut Wire,
    nonce: &mut [u8; NONCE],
    plugin: &mut String,
    account: &Account,
) -> Result<(), ConnectError> {
    // A server switches methods once and then asks for at most a key and a password.
    for _ in 0..8 {
        let payload = not_an_error(wire.read().await?)?;
        match payload.split_first() {
            Some((&marker::OK, _)) => return Ok(()),
            Some((&marker::EOF, _)) => {
                let switch = AuthSwitch::parse(&payload)?;
                if switch.plugin == auth::CLEAR && wire.stream.is_private() {
                    wire.write(&password_with_nul(account, &switch.plugin)?).await?;
                    continue;
                }
                if switch.plugin == auth::SHA256 {
                    by_sha256(wire, &switch.nonce, account).await?;
                    continue;
                }
                *nonce = switch
                    .nonce
                    .as_slice()
                    .try_into()
                    .map_err(|_| ConnectError::Method(switch.plugin.clone()))?;
                let answer = answer(&switch.plugin, nonce, account);
                *plugin = switch.plugin;
                wire.write(&answer.ok_or_else(|| ConnectError::Method(plugin.clone()))?).await?;
            }
            Some((&AUTH_MORE_DATA, [auth::SHA2_FAST_OK])) => {}
            Some((&AUTH_MORE_DATA, [auth::SHA2_FULL])) => full_exchange(wire, nonce, plugin, account).await?,
            _ => return Err(ProtocolError::Unexpected("an authentication exchange").into()),
        }
    }
    Err(ProtocolError::Unexpected("the length of an authentication exchange").into())
}

async fn full_exchange(
    wire: &mut Wire,
    nonce: &[u8; NONCE],
    plugin: &str,
    account: &Account,
) -> Result<(), ConnectError> {
    let password = password_with_nul(account, plugin)?;
    let is_private = wire.stream.is_private();
    hand_over(wire, nonce, password, is_private, auth::SHA2_REQUEST_KEY).await
}

/// `sha256_password`, which has no fast path, and to which a Unix socket is as open as any (seen on MySQL 9.7).
async fn by_sha256(wire: &mut Wire, nonce: &[u8], account: &Account) -> Result<(), ConnectError> {
    let nonce = nonce.try_into().map_err(|_| ConnectError::Method(auth::SHA256.to_owned()))?;
    let password = password_with_nul(account, auth::SHA256)?;
    if *password == [0] {
        return wire.write(&password).await;
    }
    let is_private = wire.stream.is_tls();
    hand_over(wire, nonce, password, is_private, auth::SHA256_REQUEST_KEY).await
}

/// Hands over the password itself: where the way is private as it is, else encrypted with the server's RSA key.
async fn hand_over(
    wire: &mut Wire,
    nonce: &[u8; NONCE],
    mut password: Zeroizing<Vec<u8>>,
    is_private: bool,
    request_key: u8,
) -> Result<(), ConnectError> {
    if is_private {
        return wire.write(&password).await;
    }
    wire.write(&[request_key]).await?;
    let payload = not_an_error(wire.read().await?)?;
    let Some((&AUTH_MORE_DATA, key)) = payload.split_first() else {
        return Err(ProtocolError::Unexpected("a server's RSA public key").into());
    };
    auth::xor_with_nonce(&mut password, nonce);
    wire.write(&auth::encrypt_for_server(&password, key)?).await
}

fn password_with_nul(account: &Account, plugin: &str) -> Result<Zeroizing<Vec<u8>>, ConnectError> {
    let Proof::Password(password) = &account.proof else {
        return Err(ConnectError::Method(plugin.to_owned()));
    };
    let mut text = Zeroizing::new(Vec::with_capacity(password.len() + 1));
    text.extend_from_slice(password);
    text.push(0);
    Ok(text)
}

fn not_an_error(payload: Vec<u8>) -> Result<Vec<u8>, ConnectError> {
    if payload.first() == Some(&marker::ERR) {
        return Err(ConnectError::Refused(reply::Err::parse(&payload)?.into()));
    }
    Ok(payload)
}

/// ER_MUST_CHANGE_PASSWORD: the password has expired, and all but changing it is refused.
pub const MUST_CHANGE_PASSWORD: u16 = 1820;

/// Switches tracking on and asks for the character sets of the login and of the server, and for its timeouts, in one round trip; unless
/// the server refuses that until the password is changed.
pub(super) async fn set_up(
    connection: Connection,
    server: &Server,
    flavour: Flavour,
) -> Result<Connection, ConnectError> {
    let mut bytes = Vec::new();
    connection.queries().put(&mut bytes, flavour.tracking().as_bytes());
    let of_login = Charsets::NAMES.iter().map(|name| format!("@@{name}"));
    let names: Vec<_> =
        of_login.chain(Charsets::NAMES.iter().map(|name| format!("@@GLOBAL.{name}"))).collect();
    let others = ["@@sql_mode", "@@GLOBAL.wait_timeout", "@@GLOBAL.interactive_timeout"];
    let names = [names, others.map(str::to_owned).to_vec()].concat();
    connection.queries().put(&mut bytes, format!("SELECT {}", names.join(",")).as_bytes());
    let mut own = OwnConnection(connection);
    own.0.stream.send_commands(&bytes).await?;
    let tracking = match own.answer().await {
        Err(AskError::Lost(error)) => return Err(error.into()),
        answered => answered,
    };
    let values = own.answer().await;
    own.0.expired = None;
    // MariaDB lets SET pass.
    let mut values = match tracking.and(values) {
        Ok(values) => values.rows.into_iter().next_back().unwrap_or_default().into_iter(),
        Err(AskError::Refused(error)) if error.code == MUST_CHANGE_PASSWORD => {
            own.0.expired = Some(Box::new(error));
            own.0.input.consume(0);
            return Ok(own.0);
        }
        Err(error) => return Err(refused(error)),
    };
    let mut four =
        || Charsets { values: std::array::from_fn(|_| values.next().flatten().unwrap_or_default().into()) };
    own.0.charsets = Arc::new(four());
    server.set_charsets(four());
    own.0.sql_mode = values.next().flatten().unwrap_or_default().into();
    let mut seconds = || std::str::from_utf8(&values.next()??).ok()?.parse().ok().map(Duration::from_secs);
    server.set_idle_timeouts([seconds(), seconds()]);
    own.0.input.consume(0);
    Ok(own.0)
}

fn refused(error: AskError) -> ConnectError {
    match error {
        AskError::Lost(error) => error.into(),
        AskError::Refused(error) => ConnectError::Refused(error),
    }
}

/// A connection that is not logged in: whole packets, numbered through.
struct Wire {
    stream: Stream,
    input: Buffer,
    sequence: u8,
}

/// The longest packet of a connection phase, in bytes.
const LOGIN_LIMIT: usize = 64 << 10;

impl Wire {
    async fn read(&mut self) -> Result<Vec<u8>, ConnectError> {
        loop {
            if let Some(packet) = packet::whole(self.input.unread()) {
                let (payload, sequence) = (packet[HEADER..].to_vec(), packet[HEADER - 1]);
                let length = packet.len();
                self.input.consume(length);
                self.sequence = sequence.wrapping_add(1);
                return Ok(payload);
            }
            if self.input.unread().len() == LOGIN_LIMIT {
                return Err(
                    ProtocolError::TooLarge { what: "a packet of a login", limit: LOGIN_LIMIT }.into()
                );
            }
            if self.input.fill(&mut self.stream, LOGIN_LIMIT).await? == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed during the login").into());
            }
        }
    }

    async fn write(&mut self, payload: &[u8]) -> Result<(), ConnectError> {
        let mut out = Zeroizing::new(Vec::with_capacity(payload.len() + HEADER));
        self.sequence = packet::put(&mut out, payload, self.sequence);
        Ok(self.stream.send(&out).await?)
    }
}
