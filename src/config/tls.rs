//! `[tls]`: encryption on both sides of dauphin.

use super::client_tls::ClientTls;
use super::server_tls::ServerTls;

/// TLS on both sides of dauphin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Between clients and dauphin.
    pub client: ClientTls,
    /// Between dauphin and the servers.
    pub server: ServerTls,
}
