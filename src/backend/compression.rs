//! Which compression a new connection asks its server for.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use dauphin_proto::{CapabilityFlags, connect::Login};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::profile::{Compressed, Profile};
use crate::{
    config,
    net::compress::{Method, ZSTD_LEVEL},
};

/// For how long it is taken that a server which has refused a connection in clear refuses others.
const REMEMBERED: Duration = Duration::from_secs(60);

/// What the config wants of a server, and whether it has been said that the server does not offer it.
#[derive(Debug)]
pub(super) struct Compression {
    wanted: config::Compression,
    is_missed: AtomicBool,
    /// When it last refused a connection for being in clear.
    refused_in_clear: Mutex<Option<Instant>>,
}

impl Compression {
    pub(super) fn new(wanted: config::Compression) -> Self {
        Self { wanted, is_missed: AtomicBool::new(false), refused_in_clear: Mutex::new(None) }
    }

    /// Whether sessions' connections are compressed if the server offers that.
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted != config::Compression::Off || self.is_required()
    }

    /// Whether the server takes no connections in clear, as far as is known.
    pub(super) fn is_required(&self) -> bool {
        self.refused_in_clear.lock().is_some_and(|at| at.elapsed() < REMEMBERED)
    }

    /// The server has refused a connection for being in clear.
    pub(super) fn refused_in_clear(&self, server: &str) {
        if self.refused_in_clear.lock().replace(Instant::now()).is_none() {
            tracing::warn!(
                server,
                "the server takes no uncompressed connections: they are compressed as it offers"
            );
        }
    }

    /// Has `login` ask for the algorithm that is wanted, or for any where there must be one, if the server offers it:
    /// everything after the login is then compressed so.
    pub(super) fn agree(
        &self,
        login: &mut Login,
        offered: CapabilityFlags,
        profile: Profile,
        server: &str,
    ) -> Option<Method> {
        let mut agreed = self.of_config(offered, profile, server);
        if agreed.is_none() && profile.compressed != Compressed::Never && self.is_required() {
            agreed = [ZSTD, ZLIB].into_iter().find(|(_, flag)| offered.contains(*flag));
        }
        let (method, flag) = agreed?;
        login.capabilities |= flag;
        login.zstd_level = ZSTD_LEVEL;
        Some(method)
    }

    fn of_config(&self, offered: CapabilityFlags, profile: Profile, server: &str) -> Option<Algorithm> {
        let wanted = match self.wanted {
            config::Compression::Zlib => ZLIB,
            config::Compression::Zstd => ZSTD,
            config::Compression::Off => return None,
        };
        if profile.compressed != Compressed::AsWanted {
            return None;
        }
        let is_missing = !offered.contains(wanted.1);
        let was_missing = self.is_missed.swap(is_missing, Relaxed);
        if is_missing && !was_missing {
            tracing::warn!(server, wanted = ?self.wanted, "the server does not offer this compression: it is spoken to uncompressed");
        }
        (!is_missing).then_some(wanted)
    }
}

/// How it is done, and the capability by which it is asked for.
type Algorithm = (Method, CapabilityFlags);
const ZLIB: Algorithm = (Method::Zlib, CapabilityFlags::CLIENT_COMPRESS);
const ZSTD: Algorithm = (Method::Zstd(ZSTD_LEVEL), CapabilityFlags::CLIENT_ZSTD_COMPRESSION_ALGORITHM);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_algorithm_is_asked_for_where_it_is_wanted_and_offered() {
        use config::Compression::{Off, Zlib, Zstd};
        const ZLIB: CapabilityFlags = CapabilityFlags::CLIENT_COMPRESS;
        const ZSTD: CapabilityFlags = CapabilityFlags::CLIENT_ZSTD_COMPRESSION_ALGORITHM;
        let profile = Profile::of_client(CapabilityFlags::empty(), 0, 45);
        let both = ZLIB | ZSTD;
        for (wanted, offered, asked, method) in [
            (Off, both, CapabilityFlags::empty(), None),
            (Zlib, both, ZLIB, Some(Method::Zlib)),
            (Zstd, both, ZSTD, Some(Method::Zstd(3))),
            (Zstd, ZLIB, CapabilityFlags::empty(), None),
            (Zlib, ZSTD, CapabilityFlags::empty(), None),
        ] {
            let (compression, mut login) = (Compression::new(wanted), Login::default());
            assert_eq!(compression.agree(&mut login, offered, profile, "db1"), method, "{wanted:?}");
            assert_eq!(login.capabilities, asked, "{wanted:?}");
            let mut login = Login::default();
            assert_eq!(compression.agree(&mut login, offered, profile.uncompressed(), "db1"), None);
            assert_eq!(login, Login::default());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_is_offered_is_asked_for_where_a_server_has_refused_a_connection_in_clear() {
        use config::Compression::{Off, Zlib};
        let profiles = [Profile::of_client(CapabilityFlags::empty(), 0, 45), Profile::own()];
        for (wanted, offered, required, afterwards) in [
            (Off, ZLIB.1 | ZSTD.1, Some(ZSTD.0), None),
            (Off, ZLIB.1, Some(ZLIB.0), None),
            (Zlib, ZSTD.1, Some(ZSTD.0), None),
            (Off, CapabilityFlags::empty(), None, None),
        ] {
            let compression = Compression::new(wanted);
            let agree = |profile| compression.agree(&mut Login::default(), offered, profile, "db1");
            compression.refused_in_clear("db1");
            assert!(compression.is_wanted());
            for profile in profiles {
                assert_eq!(agree(profile), required);
                assert_eq!(
                    agree(profile.uncompressed()),
                    None,
                    "a reader of the binary log has no use for it"
                );
            }
            tokio::time::advance(REMEMBERED).await;
            assert!(profiles.into_iter().all(|profile| agree(profile) == afterwards));
        }
    }
}
