//! Addresses: where a server is, and where dauphin listens.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use thiserror::Error;

/// Linux's `sun_path` is 108 bytes, its closing zero included (unix(7)).
const MAX_SOCKET_PATH: usize = 107;

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ServerAddress {
    /// A host, by name or IP address (without brackets, in small letters), and a port.
    Tcp {
        /// The name or IP address.
        host: String,
        /// The port, never 0.
        port: u16,
    },
    /// A Unix socket.
    Unix(PathBuf),
}

/// Where dauphin listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// An IP address and port; port 0 lets the system choose.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// What is wrong with an address, to follow the address itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AddressError {
    /// `db1`
    #[error("has no port")]
    NoPort,
    /// `db1:sql`, `db1:0`, `db1:99999`
    #[error("has a port that is not a number from 1 to 65535")]
    BadPort,
    /// `db 1:3306`, `::1:3306`
    #[error("has a host that is neither a name, an IPv4 address nor an [IPv6] address in brackets")]
    BadHost,
    /// `localhost:6033`
    #[error("is not an IP address and port")]
    NotAnIpAddress,
    /// A socket whose path the system would refuse.
    #[error("is too long for the path of a socket (107 bytes)")]
    PathTooLong,
}

impl ServerAddress {
    /// Whether what is sent there stays on this machine.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Unix(_) => true,
            Self::Tcp { host, .. } => {
                host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
            }
        }
    }
}

impl ListenAddress {
    /// Whether only this machine can connect to it.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Unix(_) => true,
            Self::Tcp(address) => address.ip().is_loopback(),
        }
    }
}

impl FromStr for ServerAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.starts_with('/') {
            return socket(text).map(Self::Unix);
        }
        let (host, port) = split(text)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or(AddressError::BadPort)?;
        Ok(Self::Tcp { host, port })
    }
}

impl FromStr for ListenAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.starts_with('/') {
            return socket(text).map(Self::Unix);
        }
        text.parse().map(Self::Tcp).map_err(|_| AddressError::NotAnIpAddress)
    }
}

fn socket(text: &str) -> Result<PathBuf, AddressError> {
    if text.len() > MAX_SOCKET_PATH { Err(AddressError::PathTooLong) } else { Ok(Path::new(text).to_owned()) }
}

fn split(text: &str) -> Result<(String, &str), AddressError> {
    if let Some(bracketed) = text.strip_prefix('[') {
        let (host, rest) = bracketed.split_once(']').ok_or(AddressError::BadHost)?;
        let ip: std::net::Ipv6Addr = host.parse().map_err(|_| AddressError::BadHost)?;
        return Ok((ip.to_string(), rest.strip_prefix(':').ok_or(AddressError::NoPort)?));
    }
    let (host, port) = text.rsplit_once(':').ok_or(AddressError::NoPort)?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if host.is_empty() || host.len() > 253 || !host.chars().all(is_name) {
        return Err(AddressError::BadHost);
    }
    Ok((host.to_ascii_lowercase(), port))
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_address_is_read_and_shown_alike() {
        for text in ["db1:3306", "10.0.0.1:3306", "[::1]:3306", "/run/mysqld.sock", "a-b_c.example:1"] {
            let address: ServerAddress = text.parse().expect(text);
            assert_eq!(address.to_string(), text);
        }
        assert_eq!("DB1:3306".parse::<ServerAddress>(), "db1:3306".parse());
        assert_eq!("[0:0::1]:3306".parse::<ServerAddress>(), "[::1]:3306".parse());
    }

    #[test]
    fn a_wrong_server_address_says_what_is_wrong() {
        use AddressError::*;
        for (text, wrong) in [
            ("", NoPort),
            ("db1", NoPort),
            ("[::1]", NoPort),
            ("db1:", BadPort),
            ("db1:0", BadPort),
            ("db1:65536", BadPort),
            ("db1:sql", BadPort),
            (":3306", BadHost),
            ("::1:3306", BadHost),
            ("[::1:3306", BadHost),
            ("[db1]:3306", BadHost),
            ("db 1:3306", BadHost),
            ("mysql://db1:3306", BadHost),
            (&format!("/{}", "s".repeat(107)), PathTooLong),
        ] {
            assert_eq!(text.parse::<ServerAddress>(), Err(wrong), "{text}");
        }
    }

    #[test]
    fn a_listen_address_is_an_ip_address_or_a_socket() {
        for text in ["0.0.0.0:6033", "[::]:6033", "127.0.0.1:0", "/run/dauphin.sock"] {
            assert_eq!(text.parse::<ListenAddress>().expect(text).to_string(), text);
        }
        for text in ["", "6033", ":6033", "localhost:6033", "*:6033", "0.0.0.0", "0.0.0.0:70000"] {
            assert_eq!(text.parse::<ListenAddress>(), Err(AddressError::NotAnIpAddress), "{text}");
        }
    }

    #[test]
    fn local_means_this_machine() {
        for (text, local) in [
            ("localhost:3306", true),
            ("127.0.0.53:3306", true),
            ("[::1]:3306", true),
            ("/run/mysqld.sock", true),
            ("db1:3306", false),
            ("10.0.0.1:3306", false),
        ] {
            assert_eq!(text.parse::<ServerAddress>().expect(text).is_local(), local, "{text}");
        }
    }
}
