//! A client's side of the login: packets in, packets out.

use anyhow::{Context, Result, bail};
use dauphin_proto::{
    CapabilityFlags,
    auth::{self, CACHING_SHA2, NATIVE, SHA2_FAST_OK, SHA2_FULL, SHA2_REQUEST_KEY},
    connect::{self, AUTH_MORE_DATA, AuthSwitch, Greeting, NONCE},
    packet,
    reply::{self, marker},
};

use crate::response::Dialect;

/// Who logs in, and to which schema.
#[derive(Debug, Clone, clap::Args)]
pub struct Credentials {
    /// The user's name
    #[arg(long, default_value = "app")]
    pub user: String,
    /// The password
    #[arg(long, default_value = "app")]
    pub password: String,
    /// The default schema
    #[arg(long, default_value = "test")]
    pub schema: String,
    /// Be a client of the old dialect, without CLIENT_DEPRECATE_EOF, like Go's driver
    #[arg(long)]
    pub old_dialect: bool,
}

impl Credentials {
    /// How result sets are to be framed.
    pub fn dialect(&self) -> Dialect {
        if self.old_dialect { Dialect::Old } else { Dialect::New }
    }

    /// The arguments that say the same.
    pub fn to_arguments(&self) -> Vec<String> {
        let Self { user, password, schema, old_dialect } = self;
        let mut arguments =
            vec![format!("--user={user}"), format!("--password={password}"), format!("--schema={schema}")];
        if *old_dialect {
            arguments.push("--old-dialect".into());
        }
        arguments
    }
}

/// A login under way.
#[derive(Debug)]
pub struct Login {
    expecting: Expecting,
    nonce: [u8; NONCE],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expecting {
    Greeting,
    Verdict,
    Key,
}

/// How far the login is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The server's turn.
    UnderWay,
    /// Logged in.
    Done,
}

impl Login {
    /// A login that waits for the server's greeting.
    pub fn new() -> Self {
        Self { expecting: Expecting::Greeting, nonce: [0; NONCE] }
    }

    /// Takes a server's packet and appends the answer to `out`.
    pub fn packet(
        &mut self,
        credentials: &Credentials,
        packet: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Progress> {
        let (header, payload) = packet.split_at(packet::HEADER);
        let sequence = header[3].wrapping_add(1);
        match (self.expecting, payload.first().copied()) {
            (_, Some(marker::ERR)) => {
                let error = reply::Err::parse(payload)?;
                bail!("refused with {}: {}", error.code, String::from_utf8_lossy(error.message));
            }
            (Expecting::Greeting, _) => self.greeting(credentials, payload, sequence, out)?,
            (Expecting::Verdict, Some(marker::OK)) => return Ok(Progress::Done),
            (Expecting::Verdict, Some(marker::EOF)) => self.switch(credentials, payload, sequence, out)?,
            (Expecting::Verdict, Some(AUTH_MORE_DATA)) => match payload.get(1) {
                Some(&SHA2_FAST_OK) => {}
                Some(&SHA2_FULL) => {
                    packet::put(out, &[SHA2_REQUEST_KEY], sequence);
                    self.expecting = Expecting::Key;
                }
                other => bail!("a login answered with more data that starts with {other:?}"),
            },
            (Expecting::Key, Some(AUTH_MORE_DATA)) => self.key(credentials, &payload[1..], sequence, out)?,
            (_, first) => bail!("a login answered with a packet that starts with {first:?}"),
        }
        Ok(Progress::UnderWay)
    }

    fn greeting(
        &mut self,
        credentials: &Credentials,
        payload: &[u8],
        sequence: u8,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let greeting = Greeting::parse(payload)?;
        self.nonce = greeting.nonce;
        let plugin = if greeting.plugin == NATIVE { NATIVE } else { CACHING_SHA2 };
        let login = connect::Login {
            capabilities: wanted(credentials.dialect()) & greeting.capabilities,
            extended: 0,
            max_packet: 1 << 30,
            collation: 45, // utf8mb4_general_ci
            user: credentials.user.clone().into_bytes(),
            response: self.answer(credentials, plugin)?,
            schema: Some(credentials.schema.clone().into_bytes()),
            plugin: plugin.into(),
            attributes: Vec::new(),
            zstd_level: 0,
        };
        packet::put_with(out, sequence, |out| login.put(out));
        self.expecting = Expecting::Verdict;
        Ok(())
    }

    fn switch(
        &mut self,
        credentials: &Credentials,
        payload: &[u8],
        sequence: u8,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let switch = AuthSwitch::parse(payload)?;
        self.nonce = switch.nonce.as_slice().try_into().context("a challenge that is not of 20 bytes")?;
        packet::put(out, &self.answer(credentials, &switch.plugin)?, sequence);
        Ok(())
    }

    fn answer(&self, credentials: &Credentials, plugin: &str) -> Result<Vec<u8>> {
        let password = credentials.password.as_bytes();
        match plugin {
            CACHING_SHA2 => Ok(auth::answer_sha2(&self.nonce, password)),
            NATIVE => Ok(auth::answer_native(&self.nonce, password)),
            other => bail!("the server wants {other}, which this client does not speak"),
        }
    }

    fn key(&mut self, credentials: &Credentials, key: &[u8], sequence: u8, out: &mut Vec<u8>) -> Result<()> {
        let mut password = credentials.password.clone().into_bytes();
        password.push(0);
        auth::xor_with_nonce(&mut password, &self.nonce);
        packet::put(out, &auth::encrypt_for_server(&password, key)?, sequence);
        self.expecting = Expecting::Verdict;
        Ok(())
    }
}

fn wanted(dialect: Dialect) -> CapabilityFlags {
    let all = CapabilityFlags::CLIENT_PROTOCOL_41
        | CapabilityFlags::CLIENT_LONG_PASSWORD
        | CapabilityFlags::CLIENT_LONG_FLAG
        | CapabilityFlags::CLIENT_TRANSACTIONS
        | CapabilityFlags::CLIENT_SECURE_CONNECTION
        | CapabilityFlags::CLIENT_PLUGIN_AUTH
        | CapabilityFlags::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA
        | CapabilityFlags::CLIENT_CONNECT_WITH_DB
        | CapabilityFlags::CLIENT_MULTI_RESULTS
        | CapabilityFlags::CLIENT_PS_MULTI_RESULTS
        | CapabilityFlags::CLIENT_DEPRECATE_EOF;
    if dialect == Dialect::Old { all - CapabilityFlags::CLIENT_DEPRECATE_EOF } else { all }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials() -> Credentials {
        Credentials {
            user: "app".into(),
            password: "secret".into(),
            schema: "test".into(),
            old_dialect: false,
        }
    }

    fn greeting(plugin: &str) -> Vec<u8> {
        let greeting = Greeting {
            version: "9.7.4".into(),
            connection_id: 1,
            nonce: *b"abcdefghijklmnopqrst",
            capabilities: CapabilityFlags::all(),
            extended: 0,
            collation: 255,
            status: 2,
            plugin: plugin.into(),
        };
        let mut out = Vec::new();
        packet::put_with(&mut out, 0, |out| greeting.put(out));
        out
    }

    fn take(login: &mut Login, payload: &[u8], sequence: u8) -> (Progress, Vec<u8>) {
        let (mut packet, mut out) = (Vec::new(), Vec::new());
        packet::put(&mut packet, payload, sequence);
        let progress = login.packet(&credentials(), &packet, &mut out).expect("a login that goes well");
        (progress, out)
    }

    #[test]
    fn a_password_on_the_fast_path_takes_one_answer() {
        let (mut login, mut out) = (Login::new(), Vec::new());
        login.packet(&credentials(), &greeting(CACHING_SHA2), &mut out).expect("a greeting");
        let sent = connect::Login::parse(&out[packet::HEADER..]).expect("a login");
        let verifier = auth::sha2_verifier(b"secret");
        assert!(auth::verify_sha2(b"abcdefghijklmnopqrst", &sent.response, &verifier));
        assert_eq!(take(&mut login, &[AUTH_MORE_DATA, SHA2_FAST_OK], 2), (Progress::UnderWay, vec![]));
        assert_eq!(take(&mut login, &[0, 0, 0, 2, 0, 0, 0], 3).0, Progress::Done);
    }

    #[test]
    fn a_switch_to_the_native_method_is_answered_with_its_proof() {
        let (mut login, mut out) = (Login::new(), Vec::new());
        login.packet(&credentials(), &greeting(CACHING_SHA2), &mut out).expect("a greeting");
        let mut switch = Vec::new();
        AuthSwitch { plugin: NATIVE.into(), nonce: b"tsrqponmlkjihgfedcba".to_vec() }.put(&mut switch);
        let (_, answer) = take(&mut login, &switch, 2);
        assert_eq!(answer[packet::HEADER..], auth::answer_native(b"tsrqponmlkjihgfedcba", b"secret"));
        assert_eq!(answer[3], 3);
    }

    #[test]
    fn a_full_exchange_asks_for_the_key() {
        let (mut login, mut out) = (Login::new(), Vec::new());
        login.packet(&credentials(), &greeting(CACHING_SHA2), &mut out).expect("a greeting");
        assert_eq!(take(&mut login, &[AUTH_MORE_DATA, SHA2_FULL], 2).1, [1, 0, 0, 3, SHA2_REQUEST_KEY]);
    }

    #[test]
    fn a_refusal_says_what_the_server_said() {
        let mut packet = Vec::new();
        packet::put(&mut packet, b"\xff\x10\x04Too many connections", 0);
        let error = Login::new().packet(&credentials(), &packet, &mut Vec::new()).expect_err("a refusal");
        assert_eq!(error.to_string(), "refused with 1040: Too many connections");
    }
}
