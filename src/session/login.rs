//! A client's login: who is it, and does a server accept it?
//!
//! dauphin has no passwords of its own (but for `[[users]]`): it gets the client to prove one, and proves it by logging
//! in to a server with it. What a client must send depends on what is known: see [`Challenge`].

use std::{io, sync::Arc};

use dauphin_proto::{
    CapabilityFlags, ProtocolError, auth,
    connect::{AUTH_MORE_DATA, AuthSwitch, ChangeUser, Greeting, Login, NONCE, SSL_REQUEST},
    packet::HEADER,
    reply::status,
};
use ipnet::IpNet;
use zeroize::Zeroizing;

use super::{accounts::Fitting, client::Client, context::Context};
use crate::{
    backend::{
        Account, Lease, Profile, Proof,
        connect::{ConnectError, MUST_CHANGE_PASSWORD},
        connection_attributes::Attributes,
        profile,
        server::LeaseError,
        state::State,
    },
    config::{ClientTlsMode, ReadAccounts},
    error::{Answer, ClientError},
    net::{compress::Method, tls::Acceptor},
    topology::Flavour,
};

/// A client that has logged in.
#[derive(Debug)]
pub struct LoggedIn {
    /// Whose session it is.
    pub account: Arc<Account>,
    /// How its backend connections are logged in.
    pub profile: Profile,
    /// What the client says of itself: part of the profile, by a number that holds while this is held.
    pub attributes: Arc<Attributes>,
    /// The default schema, known to exist and to be open to the account.
    pub schema: Option<Vec<u8>>,
    /// The number of the packet that ends the login.
    pub sequence: u8,
    /// The connection that the session is bound to from the beginning: its account's password has expired.
    pub expired: Option<Lease>,
    /// What the OK packet says of dauphin's certificate; mostly nothing.
    pub certificate_proof: Vec<u8>,
}

/// Why a login failed.
#[derive(Debug)]
pub enum LoginError {
    /// The client has gone, or breaks the protocol beyond an answer.
    Gone(io::Error),
    /// The client is told why, in a packet of this number.
    Refused(Answer, u8),
}

impl From<io::Error> for LoginError {
    fn from(error: io::Error) -> Self {
        Self::Gone(error)
    }
}

/// The longest packet of a login, in bytes: names, an answer, and 64 KiB of connection attributes.
pub(crate) const LOGIN_LIMIT: usize = 72 << 10;

/// Greets a client and logs it in; the OK packet is left to the caller.
///
/// # Errors
/// See [`LoginError`].
pub async fn log_in(
    mut client: Client,
    context: &Context,
    id: u32,
) -> Result<(Client, LoggedIn), (Client, LoginError)> {
    let nonce = match greet(&mut client, context, id).await {
        Ok(nonce) => nonce,
        Err(error) => return Err((client, error.into())),
    };
    let (mut client, login, sequence) =
        read_login(client, context.acceptor.as_ref(), &context.config.listen.proxy_protocol_networks).await?;
    match answer_login(&mut client, context, login, nonce, sequence).await {
        Ok(logged_in) => Ok((client, logged_in)),
        Err(error) => Err((client, error)),
    }
}

async fn greet(client: &mut Client, context: &Context, id: u32) -> io::Result<[u8; NONCE]> {
    let nonce = context.nonce();
    let table = context.published.load();
    let mut capabilities = profile::offered_to_clients(table.version.as_ref());
    capabilities
        .set(CapabilityFlags::CLIENT_SSL, context.acceptor.is_some() && client.stream.can_begin_tls());
    let greeting = Greeting {
        version: context.version(),
        connection_id: id,
        nonce,
        capabilities,
        extended: profile::offered_extended(table.version.as_ref()),
        collation: DEFAULT_COLLATION,
        status: status::AUTOCOMMIT,
        plugin: context.default_plugin().to_owned(),
    };
    let mut payload = Vec::new();
    greeting.put(&mut payload);
    client.send_payload(&payload, 0).await?;
    Ok(nonce)
}

/// utf8mb4_general_ci: the greeting's collation informs only; the client's own counts.
const DEFAULT_COLLATION: u8 = 45;

/// Reads what a client answers to its greeting, under TLS if it wants that and there is an acceptor. Load balancers of
/// these networks are believed where the client comes from.
///
/// # Errors
/// See [`LoginError`].
pub(crate) async fn read_login(
    mut client: Client,
    acceptor: Option<&Acceptor>,
    balancers: &[IpNet],
) -> Result<(Client, Login, u8), (Client, LoginError)> {
    let (mut payload, mut sequence) = match client.first_packet(LOGIN_LIMIT, balancers).await {
        Ok(packet) => packet,
        Err(error) => return Err((client, error.into())),
    };
    if payload.len() == SSL_REQUEST
        && let Some(acceptor) = acceptor.filter(|_| client.stream.can_begin_tls())
    {
        let Client { stream, max_command, host, .. } = client;
        let stream = match stream.accept_tls(&acceptor.tls).await {
            Ok(stream) => stream,
            Err(error) => return Err((Client::closed(max_command), error.into())),
        };
        client = Client { host, ..Client::new(stream, max_command) };
        (payload, sequence) = match client.packet(LOGIN_LIMIT).await {
            Ok(packet) => packet,
            Err(error) => return Err((client, error.into())),
        };
    }
    match Login::parse(&payload) {
        Ok(login) => Ok((client, login, sequence)),
        Err(error) => {
            tracing::debug!(client = %client.host, %error, "bad handshake");
            Err((client, refuse(ClientError::bad_handshake(), sequence)))
        }
    }
}

/// What a client has negotiated; zlib where it asks for both, as libmysqlclient has it.
fn compression(capabilities: CapabilityFlags, zstd_level: u8) -> Option<Method> {
    if capabilities.contains(CapabilityFlags::CLIENT_COMPRESS) {
        return Some(Method::Zlib);
    }
    let zstd = capabilities.contains(CapabilityFlags::CLIENT_ZSTD_COMPRESSION_ALGORITHM);
    zstd.then_some(Method::Zstd(zstd_level))
}

fn refuse(error: impl Into<Answer>, sequence: u8) -> LoginError {
    LoginError::Refused(error.into(), sequence.wrapping_add(1))
}

async fn answer_login(
    client: &mut Client,
    context: &Context,
    login: Login,
    nonce: [u8; NONCE],
    sequence: u8,
) -> Result<LoggedIn, LoginError> {
    if context.config.tls.client.mode == ClientTlsMode::Required && !client.stream.is_private() {
        return Err(refuse(ClientError::tls_required(), sequence));
    }
    let table = context.published.load();
    client.capabilities = login.capabilities & profile::offered_to_clients(table.version.as_ref());
    client.extended = login.extended & profile::offered_extended(table.version.as_ref());
    client.compression = compression(client.capabilities, login.zstd_level);
    let attributes = context.fleet.attributes.of_login(&login.attributes);
    let profile = Profile::of_client(client.capabilities, client.extended, login.collation)
        .with_attributes(attributes.set);
    let is_native = login.plugin == auth::NATIVE;
    let mut challenge = Challenge {
        client,
        context,
        user: &login.user,
        nonce,
        sequence,
        is_native,
        is_libmysql: is_libmysql(&attributes),
        is_expired: false,
    };
    let account = challenge.prove(&login.plugin, &login.response, profile).await?;
    let certificate_proof = challenge.certificate_proof(&account);
    let proven = Proven { account, is_expired: challenge.is_expired, sequence: challenge.sequence };
    let logged_in = finish(context, proven, profile, attributes, login.schema).await?;
    Ok(LoggedIn { certificate_proof, ..logged_in })
}

/// Logs in anew on a connection that is logged in already.
///
/// # Errors
/// See [`LoginError`].
pub async fn change_user(
    client: &mut Client,
    context: &Context,
    request: &ChangeUser,
    nonce_of_greeting: Option<[u8; NONCE]>,
    collation: u8,
) -> Result<LoggedIn, LoginError> {
    let attributes = context.fleet.attributes.of_login(&request.attributes);
    let profile = Profile::of_client(client.capabilities, client.extended, collation)
        .with_attributes(attributes.set)
        .after_reset(context.flavour());
    // The greeting's challenge is not kept for the life of a session: the method is switched to, with a new one.
    let nonce = nonce_of_greeting.unwrap_or_else(|| context.nonce());
    let mut challenge = Challenge {
        client,
        context,
        user: &request.user,
        nonce,
        sequence: 0,
        is_native: false,
        is_libmysql: is_libmysql(&attributes),
        is_expired: false,
    };
    // An empty answer does not say that there is no password: libmysqlclient wants a challenge first.
    let account = if request.plugin == auth::NATIVE || context.default_plugin() == auth::NATIVE {
        let answer = challenge.switch(auth::NATIVE).await?;
        challenge.prove(auth::NATIVE, &answer, profile).await?
    } else {
        challenge.switch_and_prove(profile).await?
    };
    let proven = Proven { account, is_expired: challenge.is_expired, sequence: challenge.sequence };
    finish(context, proven, profile, attributes, request.schema.clone()).await
}

/// Refuses the character sets that no client of MySQL's may have: where the password is known, no server is asked.
fn check_charset(context: &Context, collation: u8, sequence: u8) -> Result<(), LoginError> {
    let charset = match collation {
        35 | 90 | 128..=151 | 159 => "ucs2",
        54 | 55 | 101..=124 => "utf16",
        56 | 62 => "utf16le",
        60 | 61 | 160..=183 => "utf32",
        _ => return Ok(()),
    };
    if context.flavour() == Flavour::MySql {
        return Err(refuse(ClientError::not_for_clients(charset), sequence));
    }
    Ok(())
}

/// An account whose password the client has shown to know.
struct Proven {
    account: Arc<Account>,
    /// A server has just said that its password has expired.
    is_expired: bool,
    /// The number of the client's last packet.
    sequence: u8,
}

async fn finish(
    context: &Context,
    proven: Proven,
    profile: Profile,
    attributes: Arc<Attributes>,
    schema: Option<Vec<u8>>,
) -> Result<LoggedIn, LoginError> {
    let Proven { mut account, mut is_expired, sequence } = proven;
    let attributes = context.fleet.attributes.keep(attributes);
    let profile = profile.with_attributes(attributes.set);
    check_charset(context, profile.collation, sequence)?;
    if let Some(schema) = schema.as_ref().filter(|_| !is_expired) {
        is_expired = match check_schema(context, &account, profile, schema).await {
            Ok(()) => false,
            Err(Answer::Server(error)) if error.code == MUST_CHANGE_PASSWORD => true,
            Err(answer) => return Err(refuse(answer, sequence)),
        };
    }
    let mut expired = None;
    if is_expired {
        let bound = Box::pin(context.bind_expired(&account, profile, schema.as_deref())).await;
        (account, expired) = bound.map_err(|answer| refuse(answer, sequence))?;
    }
    let sequence = sequence.wrapping_add(1);
    Ok(LoggedIn { account, profile, attributes, schema, sequence, expired, certificate_proof: Vec::new() })
}

/// Enters the schema on a connection of the account's, as a login would; the connection stays in it, for the session.
async fn check_schema(
    context: &Context,
    account: &Arc<Account>,
    profile: Profile,
    schema: &[u8],
) -> Result<(), Answer> {
    let mut wanted = Arc::new(State::default());
    State::change(&mut wanted, |state| state.schema = Some(schema.into()));
    context.any_connection(account, profile, &wanted).await
}

/// How libmysqlclient's `caching_sha2_password` says that there is no password; it takes nothing but an OK or an error then.
const NO_PASSWORD: [u8; 1] = [0];

/// Whether the client says that it is libmysqlclient, or a program of MySQL's.
fn is_libmysql(attributes: &Attributes) -> bool {
    attributes.get(b"_client_name") == Some(b"libmysql")
}

/// One exchange in which a client proves who it is.
struct Challenge<'a> {
    client: &'a mut Client,
    context: &'a Context,
    user: &'a [u8],
    nonce: [u8; NONCE],
    /// The number of the client's last packet.
    sequence: u8,
    /// Whether the method is `mysql_native_password`.
    is_native: bool,
    /// Whether the client can be asked by `sha256_password`.
    is_libmysql: bool,
    /// Whether a server has accepted the password and said that it has expired.
    is_expired: bool,
}

impl Challenge<'_> {
    /// The account behind the first answer, made with the method `plugin`; asks for more where that does not settle it.
    async fn prove(
        &mut self,
        plugin: &str,
        answer: &[u8],
        profile: Profile,
    ) -> Result<Arc<Account>, LoginError> {
        let has_none = answer.is_empty() || (plugin == auth::CACHING_SHA2 && *answer == NO_PASSWORD);
        if has_none && (plugin == auth::CACHING_SHA2 || plugin == auth::NATIVE) {
            return self.settle(Proof::Password(Zeroizing::default()), profile).await;
        }
        match plugin {
            auth::CACHING_SHA2 => self.by_sha2(answer, profile).await,
            auth::NATIVE => self.by_native(answer, profile).await,
            _ => self.switch_and_prove(profile).await,
        }
    }

    async fn switch_and_prove(&mut self, profile: Profile) -> Result<Arc<Account>, LoginError> {
        let answer = self.switch(auth::CACHING_SHA2).await?;
        if answer.is_empty() || *answer == NO_PASSWORD {
            return self.settle(Proof::Password(Zeroizing::default()), profile).await;
        }
        self.by_sha2(&answer, profile).await
    }

    /// `caching_sha2_password`: three hashes if the account has proven itself lately, else the password itself.
    async fn by_sha2(&mut self, answer: &[u8], profile: Profile) -> Result<Arc<Account>, LoginError> {
        let accounts = &self.context.accounts;
        let fast = match accounts.configured(self.user) {
            Some(password) => self.verifies_configured(password.reveal(), answer).then(|| {
                let proof = Proof::Password(Zeroizing::new(password.reveal().to_vec()));
                Fitting { account: accounts.candidate(self.user, proof), trusted: true }
            }),
            None => accounts.by_sha2(self.user, &self.nonce, answer),
        };
        if let Some(fitting) = fast {
            let account = self.trust_again(fitting, profile).await?;
            self.say(&[AUTH_MORE_DATA, auth::SHA2_FAST_OK]).await?;
            if accounts.configured(self.user).is_some() {
                accounts.proven(&account);
            }
            // The client answers nothing to this: OK follows at once.
            return Ok(account);
        }
        // Without TLS libmysqlclient asks for no key by this method unless it is told to, and for one by the other always.
        let password = if self.is_libmysql && !self.client.stream.is_private() && self.is_of_sha256().await {
            let answer = self.switch(auth::SHA256).await?;
            self.password_in(answer, auth::SHA256_REQUEST_KEY).await?
        } else {
            self.say(&[AUTH_MORE_DATA, auth::SHA2_FULL]).await?;
            let answer = self.hear().await?;
            self.password_in(answer, auth::SHA2_REQUEST_KEY).await?
        };
        self.settle(Proof::Password(password), profile).await
    }

    /// Whether the servers would ask for the password by `sha256_password`, as far as dauphin may know.
    async fn is_of_sha256(&self) -> bool {
        self.context.config.auth.read_accounts == ReadAccounts::Auto
            && self.context.flavour() == Flavour::MySql
            && self.context.uses_sha256(self.user).await
    }

    fn verifies_configured(&self, password: &[u8], answer: &[u8]) -> bool {
        auth::verify_sha2(&self.nonce, answer, &auth::sha2_verifier(password))
    }

    /// The password itself: as it is where nobody can read along, else encrypted with dauphin's RSA key, for which the
    /// client asks with `request_key`.
    async fn password_in(
        &mut self,
        answer: Vec<u8>,
        request_key: u8,
    ) -> Result<Zeroizing<Vec<u8>>, LoginError> {
        let mut payload = Zeroizing::new(answer);
        if !self.client.stream.is_private() {
            if *payload == [request_key] {
                let key = self.context.password_key().await;
                self.say(&[&[AUTH_MORE_DATA], key.public_pem().as_bytes()].concat()).await?;
                payload = Zeroizing::new(self.hear().await?);
            }
            // RSA takes about a millisecond: not on a thread that others wait for.
            let (key, hidden) = (self.context.password_key().await, payload);
            let clear = tokio::task::spawn_blocking(move || key.decrypt(&hidden)).await.ok().flatten();
            payload = clear.ok_or_else(|| self.denied(true))?;
            auth::xor_with_nonce(&mut payload, &self.nonce);
        }
        if payload.last() == Some(&0) {
            payload.pop();
        }
        Ok(payload)
    }

    /// `mysql_native_password`: the stored hash and the answer give SHA1(password); without the hash the client is
    /// asked to use the other method.
    async fn by_native(&mut self, answer: &[u8], profile: Profile) -> Result<Arc<Account>, LoginError> {
        let accounts = &self.context.accounts;
        if let Some(password) = accounts.configured(self.user) {
            let stored = auth::native_stored(password.reveal());
            let right = auth::native_secret(&self.nonce, answer, &stored).is_some();
            let proof = Proof::Password(Zeroizing::new(password.reveal().to_vec()));
            return if right { self.settle(proof, profile).await } else { Err(self.denied(true)) };
        }
        if let Some(fitting) = accounts.by_native(self.user, &self.nonce, answer) {
            return self.trust_again(fitting, profile).await;
        }
        if self.context.config.auth.read_accounts == ReadAccounts::Auto {
            let stored = self.context.native_hashes(self.user).await;
            let secret = stored.iter().find_map(|stored| auth::native_secret(&self.nonce, answer, stored));
            if let Some(secret) = secret {
                return self.settle(Proof::NativeHash(Zeroizing::new(secret)), profile).await;
            }
            if !stored.is_empty() {
                return Err(self.denied(true));
            }
        }
        self.switch_and_prove(profile).await
    }

    /// Asks a server whether the proof is one; the connection that this opens is kept for the session.
    async fn settle(&mut self, proof: Proof, profile: Profile) -> Result<Arc<Account>, LoginError> {
        let with_password = !matches!(&proof, Proof::Password(password) if password.is_empty());
        if let Proof::Password(password) = &proof
            && let Some(account) = self.context.accounts.by_password(self.user, password)
        {
            return Ok(account);
        }
        if let (Some(configured), Proof::Password(password)) =
            (self.context.accounts.configured(self.user), &proof)
            && auth::sha2_verifier(configured.reveal()) != auth::sha2_verifier(password)
        {
            return Err(self.denied(with_password));
        }
        if self.context.config.auth.only_configured && self.context.accounts.configured(self.user).is_none() {
            return Err(self.denied(with_password));
        }
        let account = self.context.accounts.candidate(self.user, proof);
        self.ask_server(account, with_password, profile).await
    }

    /// An account that fits what the client has answered, if a server has accepted it lately or does so now: with the
    /// password that is held in memory, as some clients cannot send it on a plain connection.
    async fn trust_again(&mut self, fitting: Fitting, profile: Profile) -> Result<Arc<Account>, LoginError> {
        if fitting.trusted {
            return Ok(fitting.account);
        }
        self.ask_server(fitting.account, true, profile).await
    }

    async fn ask_server(
        &mut self,
        account: Arc<Account>,
        with_password: bool,
        profile: Profile,
    ) -> Result<Arc<Account>, LoginError> {
        match self.context.prove(&account, profile).await {
            Ok(()) => Ok(account),
            Err(LeaseError::Connect(ConnectError::Refused(error))) if error.code == 1045 => {
                self.context.forget(&account);
                Err(self.denied(with_password))
            }
            Err(LeaseError::Connect(ConnectError::Refused(error))) if error.code == MUST_CHANGE_PASSWORD => {
                self.is_expired = true;
                Ok(account)
            }
            Err(LeaseError::Connect(ConnectError::Refused(error))) => Err(refuse(error, self.sequence)),
            Err(LeaseError::Connect(ConnectError::Method(method))) => {
                tracing::warn!(user = %account.name(), method, "account cannot be logged in to a server");
                Err(self.denied(with_password))
            }
            Err(error) => Err(refuse(
                ClientError::no_server(format!("no server can check the login: {error}")),
                self.sequence,
            )),
        }
    }

    /// By which a MariaDB client can trust a certificate that it cannot check.
    fn certificate_proof(&self, account: &Account) -> Vec<u8> {
        let Some(acceptor) = self.context.acceptor.as_ref().filter(|_| self.client.stream.is_tls()) else {
            return Vec::new();
        };
        let stored = match &account.proof {
            Proof::Password(password) if password.is_empty() => return Vec::new(),
            Proof::Password(password) => auth::native_stored(password),
            Proof::NativeHash(hash) => auth::native_stored_from_hash(hash),
        };
        if !self.is_native || self.context.flavour() != Flavour::MariaDb {
            return Vec::new();
        }
        auth::certificate_proof(&stored, &self.nonce, &acceptor.fingerprint)
    }

    fn denied(&self, with_password: bool) -> LoginError {
        let user = String::from_utf8_lossy(self.user);
        refuse(ClientError::access_denied(&user, &self.client.host, with_password), self.sequence)
    }

    async fn switch(&mut self, plugin: &str) -> Result<Vec<u8>, LoginError> {
        self.nonce = self.context.nonce();
        self.is_native = plugin == auth::NATIVE;
        let mut payload = Vec::new();
        AuthSwitch { plugin: plugin.to_owned(), nonce: self.nonce.to_vec() }.put(&mut payload);
        self.say(&payload).await?;
        self.hear().await
    }

    async fn say(&mut self, payload: &[u8]) -> Result<(), LoginError> {
        self.sequence =
            self.client.send_payload(payload, self.sequence.wrapping_add(1)).await?.wrapping_sub(1);
        Ok(())
    }

    async fn hear(&mut self) -> Result<Vec<u8>, LoginError> {
        let (payload, sequence) = self.client.packet(LOGIN_LIMIT + HEADER).await?;
        let expected = self.sequence.wrapping_add(1);
        if sequence != expected {
            let error = ProtocolError::OutOfOrder { got: sequence, expected };
            return Err(LoginError::Gone(io::Error::new(io::ErrorKind::InvalidData, error)));
        }
        self.sequence = sequence;
        Ok(payload)
    }
}

/// The method to suggest to clients: what the servers' own accounts most likely use.
pub fn default_plugin(flavour: Flavour, hashes_readable: bool) -> &'static str {
    match flavour {
        Flavour::MariaDb if hashes_readable => auth::NATIVE,
        _ => auth::CACHING_SHA2,
    }
}
