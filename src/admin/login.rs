//! An operator's login. The passwords are in the config, so whichever way a client proves one can be checked at once.

use std::time::Duration;

use dauphin_proto::{
    CapabilityFlags, auth,
    connect::{AUTH_MORE_DATA, AuthSwitch, Greeting, NONCE},
    reply::status,
};

use super::{Admin, Who, chatter};
use crate::{
    backend::profile,
    config::AdminRole,
    error::ClientError,
    session::{
        Client,
        login::{LOGIN_LIMIT, LoginError, read_login},
    },
};

/// How long a wrong password is left without an answer: nobody tries many.
pub const PENALTY: Duration = Duration::from_millis(500);

/// utf8mb4_general_ci
const COLLATION: u8 = 45;

/// Greets an operator and logs them in; answers the client, the number of the packet that ends the login, and who it is.
///
/// # Errors
/// See [`LoginError`].
pub async fn log_in(
    admin: &Admin,
    client: Client,
    id: u32,
    is_open: bool,
) -> Result<(Client, u8, Who), (Client, LoginError)> {
    let mut client = client;
    let nonce = match greet(admin, &mut client, id).await {
        Ok(nonce) => nonce,
        Err(error) => return Err((client, error.into())),
    };
    let (mut client, login, sequence) = read_login(client, admin.context.acceptor.as_ref(), &[]).await?;
    client.capabilities = login.capabilities & profile::offered_to_clients(None);
    let is_far = client.stream.peer().is_some_and(|peer| !peer.ip().to_canonical().is_loopback());
    if admin.requires_tls(is_open) && is_far && !client.stream.is_private() {
        return Err((client, refuse(ClientError::tls_required(), sequence)));
    }
    let known = admin.context.config.admin.known(&login.user);
    let mut proof = Proof { admin, client: &mut client, user: &login.user, known, nonce, sequence };
    match proof.check(&login.plugin, &login.response).await {
        Ok((sequence, role)) => {
            let user = String::from_utf8_lossy(&login.user);
            let who = Who::new(&user, role, &client.host, "MySQL protocol");
            Ok((client, sequence, who))
        }
        Err(error) => Err((client, error)),
    }
}

async fn greet(admin: &Admin, client: &mut Client, id: u32) -> std::io::Result<[u8; NONCE]> {
    let nonce = admin.context.nonce();
    let mut capabilities = profile::offered_to_clients(None);
    let has_tls = admin.context.acceptor.is_some() && client.stream.can_begin_tls();
    capabilities.set(CapabilityFlags::CLIENT_SSL, has_tls);
    capabilities.remove(CapabilityFlags::CLIENT_LOCAL_FILES | CapabilityFlags::CLIENT_COMPRESS);
    let greeting = Greeting {
        version: chatter::VERSION.to_owned(),
        connection_id: id,
        nonce,
        capabilities,
        extended: 0,
        collation: COLLATION,
        status: status::AUTOCOMMIT,
        plugin: auth::CACHING_SHA2.to_owned(),
    };
    let mut payload = Vec::new();
    greeting.put(&mut payload);
    client.send_payload(&payload, 0).await?;
    Ok(nonce)
}

fn refuse(error: ClientError, sequence: u8) -> LoginError {
    LoginError::Refused(error.into(), sequence.wrapping_add(1))
}

struct Proof<'a> {
    admin: &'a Admin,
    client: &'a mut Client,
    user: &'a [u8],
    /// That user's password and role; `None` if there is no such user.
    known: Option<(&'a [u8], AdminRole)>,
    nonce: [u8; NONCE],
    /// The number of the client's last packet.
    sequence: u8,
}

impl Proof<'_> {
    /// Checks the first answer; a client that answered by another method, or to no challenge, is asked once more.
    async fn check(&mut self, plugin: &str, answer: &[u8]) -> Result<(u8, AdminRole), LoginError> {
        // A client that knows of no methods answers by the oldest.
        let plugin = if plugin.is_empty() { auth::NATIVE } else { plugin };
        let is_known = plugin == auth::CACHING_SHA2 || plugin == auth::NATIVE;
        if is_known && let Some(role) = self.proven(plugin, answer) {
            return Ok((self.accept(plugin).await?, role));
        }
        let with_password = !answer.is_empty();
        if !is_known || (answer.is_empty() && !self.is_open()) {
            let plugin = if is_known { plugin } else { auth::CACHING_SHA2 };
            let answer = self.switch(plugin).await?;
            if let Some(role) = self.proven(plugin, &answer) {
                return Ok((self.accept(plugin).await?, role));
            }
        }
        tokio::time::sleep(PENALTY).await;
        let user = String::from_utf8_lossy(self.user);
        Err(refuse(ClientError::access_denied(&user, &self.client.host, with_password), self.sequence))
    }

    /// Whether the user is asked for no password.
    fn is_open(&self) -> bool {
        self.known.is_some_and(|(password, _)| password.is_empty())
    }

    /// The user's role, if the answer proves their password.
    fn proven(&self, plugin: &str, answer: &[u8]) -> Option<AdminRole> {
        let (password, role) = self.known?;
        let is_right = match (plugin, password.is_empty()) {
            (_, true) => answer.is_empty(),
            (auth::NATIVE, false) => {
                auth::native_secret(&self.nonce, answer, &auth::native_stored(password)).is_some()
            }
            (_, false) => auth::verify_sha2(&self.nonce, answer, &auth::sha2_verifier(password)),
        };
        is_right.then_some(role)
    }

    async fn accept(&mut self, plugin: &str) -> Result<u8, LoginError> {
        if plugin == auth::CACHING_SHA2 && !self.is_open() {
            self.say(&[AUTH_MORE_DATA, auth::SHA2_FAST_OK]).await?;
        }
        Ok(self.sequence.wrapping_add(1))
    }

    async fn switch(&mut self, plugin: &str) -> Result<Vec<u8>, LoginError> {
        self.nonce = self.admin.context.nonce();
        let mut payload = Vec::new();
        AuthSwitch { plugin: plugin.to_owned(), nonce: self.nonce.to_vec() }.put(&mut payload);
        self.say(&payload).await?;
        let (answer, sequence) = self.client.packet(LOGIN_LIMIT).await?;
        self.sequence = sequence;
        Ok(answer)
    }

    async fn say(&mut self, payload: &[u8]) -> Result<(), LoginError> {
        let next = self.client.send_payload(payload, self.sequence.wrapping_add(1)).await?;
        self.sequence = next.wrapping_sub(1);
        Ok(())
    }
}
