//! How a backend connection is logged in, apart from the account: what a client negotiated and a server acts upon.

use dauphin_proto::{CapabilityFlags, command::Queries, connect};

use super::connection_attributes::AttributeSet;
use crate::topology::{Flavour, flavour::Version};

/// Sessions of equal profile can share connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Profile {
    capabilities: u32,
    /// MariaDB's extended capabilities.
    extended: u32,
    /// The collation that the session starts with: the lower 8 bits of its number.
    pub collation: u8,
    /// What the client says of itself.
    attributes: AttributeSet,
    /// Whether what passes is compressed.
    pub(super) compressed: Compressed,
}

/// Whether what passes on a connection is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Compressed {
    /// As the config has it for each server.
    AsWanted,
    /// Where the server takes no other connection.
    IfRequired,
    /// Whatever the server says to that.
    Never,
}

/// utf8mb4_general_ci, which every server knows.
const UTF8MB4: u8 = 45;

impl Profile {
    /// The profile of a client that asked for `capabilities`, and for `extended` of MariaDB's, without attributes.
    pub fn of_client(capabilities: CapabilityFlags, extended: u32, collation: u8) -> Self {
        Self {
            capabilities: (capabilities & of_the_client()).bits(),
            extended,
            collation,
            attributes: AttributeSet::NONE,
            compressed: Compressed::AsWanted,
        }
    }

    /// The profile of dauphin's own connections.
    pub fn own() -> Self {
        Self {
            capabilities: 0,
            extended: 0,
            collation: UTF8MB4,
            attributes: AttributeSet::OWN,
            compressed: Compressed::IfRequired,
        }
    }

    /// The same with these connection attributes.
    pub fn with_attributes(self, attributes: AttributeSet) -> Self {
        Self { attributes, ..self }
    }

    /// Which connection attributes to log in with.
    pub fn attributes(self) -> AttributeSet {
        self.attributes
    }

    /// The same, but never compressed.
    pub fn uncompressed(self) -> Self {
        Self { compressed: Compressed::Never, ..self }
    }

    /// What to ask a server for, of what it offers.
    pub fn capabilities(self, offered: CapabilityFlags) -> CapabilityFlags {
        (CapabilityFlags::from_bits_retain(self.capabilities) | always()) & (offered | always())
    }

    /// What queries look like, the client's and dauphin's own.
    pub fn queries(self) -> Queries {
        if self.capabilities & CapabilityFlags::CLIENT_QUERY_ATTRIBUTES.bits() == 0 {
            Queries::Plain
        } else {
            Queries::WithAttributes
        }
    }

    /// Whether the client may send several statements in one text, from its login on.
    pub fn multi_statements(self) -> bool {
        self.capabilities & CapabilityFlags::CLIENT_MULTI_STATEMENTS.bits() != 0
    }

    /// What to ask a MariaDB server for, of the extended capabilities that it offers.
    pub fn extended(self, offered: u32) -> u32 {
        self.extended & offered
    }

    /// The same after a reset, which makes MariaDB forget that names may stand apart from their parenthesis.
    pub fn after_reset(self, flavour: Flavour) -> Self {
        match flavour {
            Flavour::MySql => self,
            Flavour::MariaDb => Self {
                capabilities: self.capabilities & !CapabilityFlags::CLIENT_IGNORE_SPACE.bits(),
                ..self
            },
        }
    }

    /// Whether somebody sits at the client: what it may be idle for is another variable's.
    pub fn is_interactive(self) -> bool {
        self.capabilities & CapabilityFlags::CLIENT_INTERACTIVE.bits() != 0
    }

    /// Whether names may stand apart from their parenthesis.
    pub fn ignore_space(self) -> bool {
        self.capabilities & CapabilityFlags::CLIENT_IGNORE_SPACE.bits() != 0
    }
}

/// What changes the server's behaviour towards a session, so that connections differing in it must not be mixed.
fn of_the_client() -> CapabilityFlags {
    CapabilityFlags::CLIENT_FOUND_ROWS
        | CapabilityFlags::CLIENT_NO_SCHEMA
        | CapabilityFlags::CLIENT_ODBC
        | CapabilityFlags::CLIENT_LOCAL_FILES
        | CapabilityFlags::CLIENT_IGNORE_SPACE
        | CapabilityFlags::CLIENT_INTERACTIVE
        | CapabilityFlags::CLIENT_MULTI_STATEMENTS
        | CapabilityFlags::CLIENT_MULTI_RESULTS
        | CapabilityFlags::CLIENT_PS_MULTI_RESULTS
        | CapabilityFlags::CLIENT_CAN_HANDLE_EXPIRED_PASSWORDS
        | CapabilityFlags::CLIENT_QUERY_ATTRIBUTES
        | CapabilityFlags::CLIENT_OPTIONAL_RESULTSET_METADATA
}

fn always() -> CapabilityFlags {
    CapabilityFlags::CLIENT_LONG_PASSWORD
        | CapabilityFlags::CLIENT_LONG_FLAG
        | CapabilityFlags::CLIENT_PROTOCOL_41
        | CapabilityFlags::CLIENT_TRANSACTIONS
        | CapabilityFlags::CLIENT_RESERVED
        | CapabilityFlags::CLIENT_SECURE_CONNECTION
        | CapabilityFlags::CLIENT_PLUGIN_AUTH
        | CapabilityFlags::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA
        | CapabilityFlags::CLIENT_CONNECT_ATTRS
        | CapabilityFlags::CLIENT_SESSION_TRACK
        | CapabilityFlags::CLIENT_DEPRECATE_EOF
}

/// What dauphin offers to clients of servers of this version; TLS comes on top where there is a certificate.
pub fn offered_to_clients(version: Option<&Version>) -> CapabilityFlags {
    let is_mysql_since =
        |number| version.is_some_and(|known| known.flavour == Flavour::MySql && known.number >= number);
    let mut offered = always()
        | of_the_client()
        | CapabilityFlags::CLIENT_CONNECT_WITH_DB
        | CapabilityFlags::CLIENT_COMPRESS;
    offered.set(CapabilityFlags::CLIENT_ZSTD_COMPRESSION_ALGORITHM, is_mysql_since(80_018));
    // MySQL has them since 8.0.23, and with prepared statements since 8.0.26.
    offered.set(CapabilityFlags::CLIENT_QUERY_ATTRIBUTES, is_mysql_since(80_026));
    offered.set(CapabilityFlags::CLIENT_OPTIONAL_RESULTSET_METADATA, is_mysql_since(80_003));
    offered
}

/// The same of MariaDB's extended capabilities.
pub fn offered_extended(version: Option<&Version>) -> u32 {
    let number =
        version.filter(|known| known.flavour == Flavour::MariaDb).map_or(0, |version| version.number);
    // Since when MariaDB has them.
    let since = [
        (100_207, connect::BULK_OPERATIONS),
        (100_502, connect::EXTENDED_METADATA),
        (110_501, connect::BULK_UNIT_RESULTS),
    ];
    since.iter().filter(|(first, _)| number >= *first).fold(0, |offered, (_, bit)| offered | bit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extended_capabilities_are_offered_where_servers_have_them() {
        let check = |version: &str, expected: u32| {
            assert_eq!(offered_extended(Some(&Version::parse(version))), expected, "{version}");
        };
        let (bulk, metadata, units) =
            (connect::BULK_OPERATIONS, connect::EXTENDED_METADATA, connect::BULK_UNIT_RESULTS);
        check("9.7.4", 0);
        check("5.5.5-10.2.6-MariaDB", 0);
        check("5.5.5-10.4.34-MariaDB", bulk);
        check("5.5.5-10.11.6-MariaDB", bulk | metadata);
        check("11.4.2-MariaDB", bulk | metadata);
        check("11.8.6-MariaDB-4 from Debian", bulk | metadata | units);
        assert_eq!(offered_extended(None), 0);
    }
}
