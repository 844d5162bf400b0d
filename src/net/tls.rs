//! What proves dauphin to its clients: a TLS certificate, self-made at first start when none is given, and the RSA key
//! with which clients without TLS hide a password.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;
use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    rsa::{KeySize, OAEP_SHA1_MGF1SHA1, OaepPrivateDecryptingKey, PrivateDecryptingKey},
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio_rustls::TlsAcceptor;

use crate::config::{Certificate, ClientTls, ClientTlsMode};

/// TLS for clients; `None` if it is disabled.
///
/// # Errors
/// The given files cannot be used.
pub fn acceptor(config: &ClientTls) -> anyhow::Result<Option<Acceptor>> {
    if config.mode == ClientTlsMode::Disabled {
        return Ok(None);
    }
    let (chain, key) = match &config.certificate {
        Certificate::Files { certificate, key } => read(certificate, key)?,
        Certificate::SelfSigned { directory } => self_signed(directory)?,
    };
    let first = chain.first().context("the certificate for clients ([tls.client]) is empty")?;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, first);
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(digest.as_ref());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("the certificate for clients ([tls.client]) and its key do not fit")?;
    Ok(Some(Acceptor { tls: Arc::new(server).into(), fingerprint }))
}

/// TLS for clients.
pub struct Acceptor {
    /// Takes the server's side of handshakes.
    pub tls: TlsAcceptor,
    /// SHA-256 of the certificate.
    pub fingerprint: [u8; 32],
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn read(certificate: &Path, key: &Path) -> anyhow::Result<Identity> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(certificate)
        .with_context(|| format!("reading {}", certificate.display()))?
        .collect();
    let chain = chain.with_context(|| format!("reading {}", certificate.display()))?;
    let key = PrivateKeyDer::from_pem_file(key).with_context(|| format!("reading {}", key.display()))?;
    Ok((chain, key))
}

/// The certificate that an earlier start has made, or a new one. A directory that cannot be written to is no reason not
/// to start: the certificate is then another one after each restart.
fn self_signed(directory: &Path) -> anyhow::Result<Identity> {
    let (certificate, key): (PathBuf, PathBuf) =
        (directory.join("server-cert.pem"), directory.join("server-key.pem"));
    if certificate.exists() && key.exists() {
        return read(&certificate, &key);
    }
    let names = vec!["dauphin".to_owned(), "localhost".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).context("making a self-signed certificate")?;
    match keep(directory, &certificate, made.cert.pem(), &key, made.signing_key.serialize_pem()) {
        Ok(()) => {
            tracing::info!(certificate = %certificate.display(), "made a self-signed certificate for clients")
        }
        Err(error) => tracing::warn!(
            directory = %directory.display(), %error,
            "the self-signed certificate for clients cannot be kept and will change with the next start; \
             set [tls.client] directory, or certificate and key"
        ),
    }
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(anyhow::Error::msg)?;
    Ok((vec![made.cert.der().clone()], key))
}

fn keep(
    directory: &Path,
    certificate: &Path,
    certificate_pem: String,
    key: &Path,
    key_pem: String,
) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    fs::create_dir_all(directory)?;
    let mut private = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(key)?;
    io::Write::write_all(&mut private, key_pem.as_bytes())?;
    fs::write(certificate, certificate_pem)
}

/// An RSA key of 2048 bits that lives as long as the process.
pub struct PasswordKey {
    private: OaepPrivateDecryptingKey,
    public_pem: String,
}

impl PasswordKey {
    /// A new key. Takes some tenths of a second of CPU: not for an async thread.
    ///
    /// # Errors
    /// The system's randomness fails.
    pub fn generate() -> anyhow::Result<Self> {
        let private = PrivateDecryptingKey::generate(KeySize::Rsa2048).context("making an RSA key")?;
        let der =
            AsDer::<PublicKeyX509Der<'_>>::as_der(&private.public_key()).context("encoding an RSA key")?;
        let public_pem = pem(der.as_ref());
        Ok(Self { private: OaepPrivateDecryptingKey::new(private).context("making an RSA key")?, public_pem })
    }

    /// The public key, as clients ask for it.
    pub fn public_pem(&self) -> &str {
        &self.public_pem
    }

    /// What a client encrypted; `None` if it was not encrypted for this key. About a millisecond of CPU.
    pub fn decrypt(&self, hidden: &[u8]) -> Option<zeroize::Zeroizing<Vec<u8>>> {
        let mut clear = zeroize::Zeroizing::new(vec![0; self.private.min_output_size()]);
        let length = self.private.decrypt(&OAEP_SHA1_MGF1SHA1, hidden, &mut clear, None).ok()?.len();
        clear.truncate(length);
        Some(clear)
    }
}

/// PEM of a public key: base64 in lines of 64.
fn pem(der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_encrypted_for_the_key_is_read() {
        let key = PasswordKey::generate().unwrap();
        let hidden =
            dauphin_proto::auth::encrypt_for_server(b"secret\0", key.public_pem().as_bytes()).unwrap();
        assert_eq!(&key.decrypt(&hidden).unwrap()[..], b"secret\0");
        assert!(key.decrypt(b"something else").is_none());
    }

    #[test]
    fn the_self_made_certificate_is_kept() {
        let directory = std::env::temp_dir().join(format!("dauphin-tls-{}", std::process::id()));
        let (first, _) = self_signed(&directory).unwrap();
        let (second, _) = self_signed(&directory).unwrap();
        assert_eq!(first, second);
        fs::remove_dir_all(directory).unwrap();
    }
}
