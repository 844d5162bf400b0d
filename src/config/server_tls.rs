//! `[tls.server]`: whether dauphin encrypts towards the servers, and what they must prove.

use std::path::PathBuf;

use super::kind::{Kind, choice, readable_file};
use super::options::{KnownOption, Settable, options};
use super::section::Section;
use super::written::Written;

/// TLS between dauphin and the servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerTls {
    /// Never.
    Disabled,
    /// If the server offers it; nothing is verified.
    Preferred,
    /// Always; nothing is verified.
    Required,
    /// Always; the server's certificate must come from this authority.
    VerifyCa(Ca),
    /// Always; the certificate must come from this authority and name the server's host.
    VerifyIdentity(Ca),
}

/// Which certificate authorities are trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ca {
    /// Those of this PEM file.
    File(PathBuf),
    /// Those that the operating system trusts.
    System,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ServerTlsMode {
    Disabled,
    Preferred,
    Required,
    VerifyCa,
    VerifyIdentity,
}

options! {
    /// `[tls.server]` as written.
    struct ServerOptions {
        /// Whether dauphin uses TLS towards the servers and what it then verifies.
        mode: ServerTlsMode = choice([
            ("disabled", ServerTlsMode::Disabled),
            ("preferred", ServerTlsMode::Preferred),
            ("required", ServerTlsMode::Required),
            ("verify-ca", ServerTlsMode::VerifyCa),
            ("verify-identity", ServerTlsMode::VerifyIdentity),
        ]).or("preferred");
        /// Who must have signed the servers' certificates, for the verify modes only; README.md says which certificates do.
        ca: Option<Ca> = CaKind.optional();
    }
}

impl ServerTls {
    pub(super) fn read(section: &Section<'_>) -> Option<Self> {
        let ServerOptions { mode, ca } = ServerOptions::read(section)?;
        match (mode, ca) {
            (ServerTlsMode::Disabled, None) => Some(Self::Disabled),
            (ServerTlsMode::Preferred, None) => Some(Self::Preferred),
            (ServerTlsMode::Required, None) => Some(Self::Required),
            (ServerTlsMode::VerifyCa, Some(ca)) => Some(Self::VerifyCa(ca)),
            (ServerTlsMode::VerifyIdentity, Some(ca)) => Some(Self::VerifyIdentity(ca)),
            (_, None) => {
                section.lacks(
                    "mode",
                    "there is no ca to verify with",
                    r#"add ca = "ca.pem" or ca = "system""#,
                );
                None
            }
            (_, Some(_)) => {
                let remedy = r#"write mode = "verify-ca" or "verify-identity", or leave out ca"#;
                section.wrong("ca", "the mode verifies nothing", remedy);
                None
            }
        }
    }

    pub(super) fn options() -> Vec<KnownOption> {
        ServerOptions::options()
    }
}

struct CaKind;

impl Kind for CaKind {
    type Value = Ca;

    fn read(&self, written: &Written<'_>) -> Option<Ca> {
        if written.text() == Some("system") {
            return Some(Ca::System);
        }
        readable_file().read(written).map(Ca::File)
    }

    fn range(&self) -> String {
        r#"a PEM file that dauphin can read, or "system""#.to_owned()
    }
}
