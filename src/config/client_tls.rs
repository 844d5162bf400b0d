//! `[tls.client]`: whether clients encrypt, and the certificate that dauphin shows them.

use std::path::PathBuf;

use super::kind::{choice, path, readable_file};
use super::options::{KnownOption, Settable, options};
use super::secret::world_readable;
use super::section::Section;

/// TLS between clients and dauphin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientTls {
    /// Whether clients may or must use it.
    pub mode: ClientTlsMode,
    /// What dauphin shows them.
    pub certificate: Certificate,
}

/// Whether clients may or must use TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientTlsMode {
    /// They cannot.
    Disabled,
    /// They may.
    Preferred,
    /// They must.
    Required,
}

/// The certificate that dauphin shows to clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Certificate {
    /// PEM files: the certificate with its chain, and its private key.
    Files {
        /// The certificate, followed by its chain.
        certificate: PathBuf,
        /// The private key.
        key: PathBuf,
    },
    /// Made at the first start and kept in this directory.
    SelfSigned {
        /// Where it is kept.
        directory: PathBuf,
    },
}

options! {
    /// `[tls.client]` as written.
    struct ClientOptions {
        /// Whether clients cannot, may or must use TLS.
        mode: ClientTlsMode = choice([
            ("disabled", ClientTlsMode::Disabled),
            ("preferred", ClientTlsMode::Preferred),
            ("required", ClientTlsMode::Required),
        ]).or("preferred");
        /// The certificate and its chain, PEM; without it dauphin signs its own at the first start.
        certificate: Option<PathBuf> = readable_file().optional();
        /// The private key of the certificate, PEM.
        key: Option<PathBuf> = readable_file().optional();
        /// Where the self-signed certificate is kept.
        directory: PathBuf = path().or("/var/lib/dauphin");
    }
}

impl ClientTls {
    pub(super) fn read(section: &Section<'_>) -> Option<Self> {
        report_half_a_pair(section);
        let ClientOptions { mode, certificate, key, directory } = ClientOptions::read(section)?;
        let certificate = match (certificate, key) {
            (Some(certificate), Some(key)) => {
                if world_readable(&key) {
                    let key = key.display();
                    section
                        .file()
                        .warn(format!("{key} is a private key and anyone can read it; chmod 600 {key}"));
                }
                Certificate::Files { certificate, key }
            }
            _ => Certificate::SelfSigned { directory },
        };
        Some(Self { mode, certificate })
    }

    pub(super) fn options() -> Vec<KnownOption> {
        ClientOptions::options()
    }
}

fn report_half_a_pair(section: &Section<'_>) {
    for (given, lacking) in [("certificate", "key"), ("key", "certificate")] {
        if section.get(given).is_some() && section.get(lacking).is_none() {
            section.lacks(
                given,
                format!("is given without {lacking}"),
                format!("add {lacking}, or leave out both"),
            );
        }
    }
}
