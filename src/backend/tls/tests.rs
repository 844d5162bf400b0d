//! Each mode against servers that prove themselves well, badly or not at all, from the greeting to the login.

use std::{io, net::SocketAddr, path::PathBuf};

use dauphin_proto::{
    CapabilityFlags, auth,
    connect::{Greeting, Login, NONCE},
    packet::{self, HEADER},
    reply,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{
    ServerConfig, SupportedProtocolVersion,
    pki_types::PrivateKeyDer,
    sign::{CertifiedKey, SingleCertAndKey},
    version::{TLS12, TLS13},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::{
    backend::{
        Fleet,
        account::Account,
        connect::{ConnectError, connect},
        profile::Profile,
    },
    config::Config,
};

/// What the servers here are dialled by.
const HOST: &str = "127.0.0.1";
const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

#[tokio::test]
async fn from_the_right_ca_and_for_the_right_name_is_good_for_every_mode() {
    let ca = Authority::new("right");
    let identity = ca.signs(&["db1.example", HOST]);
    for version in VERSIONS {
        for mode in [ServerTls::Preferred, ServerTls::Required, ca.verify_ca(), ca.verify_identity()] {
            assert_eq!(met(&mode, Some(identity.server(version))).await, "logs in under TLS", "{mode:?}");
        }
    }
}

#[tokio::test]
async fn another_name_or_none_is_good_for_verify_ca_only() {
    let ca = Authority::new("names");
    // MySQL's own certificates name nobody.
    for names in [&["db1.example", "127.0.0.2"][..], &[]] {
        let identity = ca.signs(names);
        for version in VERSIONS {
            let by_ca = met(&ca.verify_ca(), Some(identity.server(version))).await;
            assert_eq!(by_ca, "logs in under TLS", "{names:?}");
            let by_name = met(&ca.verify_identity(), Some(identity.server(version))).await;
            assert!(by_name.contains("TLS handshake failed: invalid peer certificate"), "{by_name}");
            assert!(by_name.contains("not valid for name \"127.0.0.1\""), "{by_name}");
        }
    }
}

#[tokio::test]
async fn from_another_ca_or_from_itself_is_good_for_neither() {
    let (ca, other) = (Authority::new("ours"), Authority::new("theirs"));
    let namesake = Authority::called("ours", "namesake");
    for (identity, why) in [
        (other.signs(&[HOST]), "UnknownIssuer"),
        (namesake.signs(&[HOST]), "BadSignature"),
        (Identity::self_signed(HOST), "UnknownIssuer"),
    ] {
        for mode in [ca.verify_ca(), ca.verify_identity()] {
            let error = met(&mode, Some(identity.server(&TLS13))).await;
            let expected = format!("TLS handshake failed: invalid peer certificate: {why}");
            assert_eq!(error, expected, "{mode:?}");
        }
    }
}

#[tokio::test]
async fn an_expired_certificate_is_good_for_neither() {
    let ca = Authority::new("expired");
    let mut params = params(&[HOST]);
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let identity = ca.signs_these(&params);
    for mode in [ca.verify_ca(), ca.verify_identity()] {
        let error = met(&mode, Some(identity.server(&TLS13))).await;
        assert!(error.contains("certificate expired"), "{mode:?}: {error}");
    }
}

#[tokio::test]
async fn a_copied_certificate_without_its_key_is_good_for_neither() {
    let ca = Authority::new("copied");
    let identity = Identity { key: key(), ..ca.signs(&[HOST]) };
    for version in VERSIONS {
        for mode in [ca.verify_ca(), ca.verify_identity()] {
            let error = met(&mode, Some(identity.server(version))).await;
            assert!(error.contains("BadSignature"), "{mode:?}: {error}");
        }
    }
}

#[tokio::test]
async fn required_and_preferred_take_a_self_signed_certificate() {
    let identity = Identity::self_signed("db9.example");
    for version in VERSIONS {
        for mode in [ServerTls::Required, ServerTls::Preferred] {
            assert_eq!(met(&mode, Some(identity.server(version))).await, "logs in under TLS", "{mode:?}");
        }
    }
}

#[tokio::test]
async fn a_server_without_tls_is_good_for_preferred_and_disabled_only() {
    let ca = Authority::new("without");
    for mode in [ServerTls::Required, ca.verify_ca(), ca.verify_identity()] {
        let error = met(&mode, None).await;
        assert_eq!(error, "does not offer TLS, which [tls.server] mode requires", "{mode:?}");
    }
    for mode in [ServerTls::Preferred, ServerTls::Disabled] {
        assert_eq!(met(&mode, None).await, "logs in plainly", "{mode:?}");
    }
}

#[tokio::test]
async fn disabled_does_not_take_up_an_offer() {
    let offer = Some(Identity::self_signed(HOST).server(&TLS13));
    assert_eq!(met(&ServerTls::Disabled, offer).await, "logs in plainly");
}

#[tokio::test]
async fn every_ca_of_the_file_is_trusted() {
    // The CAs that MySQL servers make for themselves all have one name.
    let (first, second) = (Authority::called("MySQL", "first"), Authority::called("MySQL", "second"));
    let both = File::new("both", &(first.issuer.pem() + &second.issuer.pem()));
    let mode = ServerTls::VerifyIdentity(Ca::File(both.0.clone()));
    for ca in [&first, &second] {
        assert_eq!(met(&mode, Some(ca.signs(&[HOST]).server(&TLS13))).await, "logs in under TLS");
    }
}

#[test]
fn a_ca_file_without_a_certificate_is_refused() {
    let file = File::new("empty", "no certificate\n");
    for mode in
        [ServerTls::VerifyCa(Ca::File(file.0.clone())), ServerTls::VerifyIdentity(Ca::File(file.0.clone()))]
    {
        assert!(Tls::new(&mode).is_err(), "{mode:?}");
    }
}

/// How a login to a server that has this TLS, or none, goes: which way the login came there, or dauphin's error.
async fn met(mode: &ServerTls, tls: Option<TlsAcceptor>) -> String {
    let listener = TcpListener::bind((HOST, 0)).await.expect("a port is free");
    let address: SocketAddr = listener.local_addr().expect("it is bound");
    let mut config = Config::for_tests(&[&address.to_string()]);
    config.tls.server = mode.clone();
    let fleet = Fleet::new(&config).expect("the CA file can be read");
    let account = Account::with_password(b"app", b"secret");
    let serve = async {
        let (tcp, _) = listener.accept().await.expect("dauphin dials");
        serve(tcp, tls).await
    };
    let (served, connected) = tokio::join!(serve, connect(&fleet.servers[0], &account, Profile::own()));
    match connected.expect_err("the server lets nobody in") {
        // What the server says to every login.
        ConnectError::Refused(error) if error.code == 1045 => served.expect("a login has come").to_owned(),
        error => {
            assert!(served.is_err(), "no login may come where dauphin turns away");
            error.to_string()
        }
    }
}

/// A server up to the login, which it refuses. Which way the login came.
async fn serve(mut tcp: TcpStream, tls: Option<TlsAcceptor>) -> io::Result<&'static str> {
    let mut capabilities = CapabilityFlags::all();
    capabilities.set(CapabilityFlags::CLIENT_SSL, tls.is_some());
    let greeting = Greeting {
        version: "8.4.9".into(),
        connection_id: 1,
        nonce: [b'n'; NONCE],
        capabilities,
        extended: 0,
        collation: 255,
        status: 0,
        plugin: auth::CACHING_SHA2.into(),
    };
    let mut payload = Vec::new();
    greeting.put(&mut payload);
    say(&mut tcp, 0, &payload).await?;
    let first = hear(&mut tcp).await?;
    match tls {
        Some(acceptor) if is_ssl_request(&first) => {
            let mut stream = acceptor.accept(tcp).await?;
            let login = hear(&mut stream).await?;
            refuse(&mut stream, 3, &login).await?;
            Ok("logs in under TLS")
        }
        _ => {
            refuse(&mut tcp, 2, &first).await?;
            Ok("logs in plainly")
        }
    }
}

/// An SSLRequest is a login that ends before the user's name.
fn is_ssl_request(payload: &[u8]) -> bool {
    payload.len() == 32
}

async fn refuse(stream: &mut (impl AsyncWrite + Unpin), sequence: u8, login: &[u8]) -> io::Result<()> {
    assert_eq!(Login::parse(login).expect("dauphin's login is well-formed").user, b"app");
    let error = reply::Err { code: 1045, sqlstate: *b"28000", message: b"Access denied" };
    let mut payload = Vec::new();
    error.put(&mut payload);
    say(stream, sequence, &payload).await
}

async fn say(stream: &mut (impl AsyncWrite + Unpin), sequence: u8, payload: &[u8]) -> io::Result<()> {
    let mut out = Vec::new();
    packet::put(&mut out, payload, sequence);
    stream.write_all(&out).await?;
    stream.flush().await
}

/// The next packet's payload.
async fn hear(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut header = [0; HEADER];
    stream.read_exact(&mut header).await?;
    let mut payload = vec![0; u32::from_le_bytes([header[0], header[1], header[2], 0]) as usize];
    stream.read_exact(&mut payload).await?;
    Ok(payload)
}

fn key() -> KeyPair {
    KeyPair::generate().expect("randomness")
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    CertificateParams::new(names).expect("the names are names")
}

/// A certificate, and a key that need not be its own.
struct Identity {
    certificate: CertificateDer<'static>,
    key: KeyPair,
}

impl Identity {
    fn self_signed(name: &str) -> Self {
        let key = key();
        let certificate = params(&[name]).self_signed(&key).expect("it can be signed");
        Self { certificate: certificate.der().clone(), key }
    }

    /// The TLS of a server that shows the certificate and signs with the key, fitting or not.
    fn server(&self, version: &'static SupportedProtocolVersion) -> TlsAcceptor {
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).expect("a key");
        let key = provider().key_provider.load_private_key(key).expect("a key that can sign");
        let shown = SingleCertAndKey::from(CertifiedKey::new(vec![self.certificate.clone()], key));
        let config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[version])
            .expect("the provider has this version")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(shown));
        Arc::new(config).into()
    }
}

/// A CA with its certificate in a file.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: File,
}

impl Authority {
    /// The name is its file's too: no other test's.
    fn new(name: &str) -> Self {
        Self::called(name, name)
    }

    fn called(name: &str, file: &str) -> Self {
        let mut params = params(&[]);
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, key()).expect("it can be signed");
        let file = File::new(file, &issuer.pem());
        Self { issuer, file }
    }

    fn signs(&self, names: &[&str]) -> Identity {
        self.signs_these(&params(names))
    }

    fn signs_these(&self, params: &CertificateParams) -> Identity {
        let key = key();
        let certificate = params.signed_by(&key, &self.issuer).expect("it can be signed");
        Identity { certificate: certificate.der().clone(), key }
    }

    fn verify_ca(&self) -> ServerTls {
        ServerTls::VerifyCa(Ca::File(self.file.0.clone()))
    }

    fn verify_identity(&self) -> ServerTls {
        ServerTls::VerifyIdentity(Ca::File(self.file.0.clone()))
    }
}

/// A PEM file; removed when dropped.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("dauphin-ca-{}-{name}.pem", std::process::id()));
        std::fs::write(&path, text).expect("the temporary directory is writable");
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
