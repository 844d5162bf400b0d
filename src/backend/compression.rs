//! Which compression a new connection asks its server for.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use dauphin_proto::{CapabilityFlags, connect::Login};

use super::profile::Profile;
use crate::{
    config,
    net::compress::{Method, ZSTD_LEVEL},
};

/// What the config wants of a server, and whether it has been said that the server does not offer it.
#[derive(Debug)]
pub(super) struct Compression {
    wanted: config::Compression,
    is_missed: AtomicBool,
}

impl Compression {
    pub(super) fn new(wanted: config::Compression) -> Self {
        Self { wanted, is_missed: AtomicBool::new(false) }
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.wanted != config::Compression::Off
    }

    /// Has `login` ask for the algorithm, if the server offers it: everything after the login is then compressed so.
    pub(super) fn agree(
        &self,
        login: &mut Login,
        offered: CapabilityFlags,
        profile: Profile,
        server: &str,
    ) -> Option<Method> {
        let (method, flag) = match self.wanted {
            config::Compression::Zlib => (Method::Zlib, CapabilityFlags::CLIENT_COMPRESS),
            config::Compression::Zstd => {
                (Method::Zstd(ZSTD_LEVEL), CapabilityFlags::CLIENT_ZSTD_COMPRESSION_ALGORITHM)
            }
            config::Compression::Off => return None,
        };
        if !profile.may_compress {
            return None;
        }
        let is_missing = !offered.contains(flag);
        let was_missing = self.is_missed.swap(is_missing, Relaxed);
        if is_missing {
            if !was_missing {
                tracing::warn!(server, wanted = ?self.wanted, "the server does not offer this compression: it is spoken to uncompressed");
            }
            return None;
        }
        login.capabilities |= flag;
        login.zstd_level = ZSTD_LEVEL;
        Some(method)
    }
}

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
}
