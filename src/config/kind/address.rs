//! Addresses: one of a server, or a list of those to listen on.

use super::Kind;
use crate::config::address::{ListenAddress, ServerAddress};
use crate::config::written::{Written, quoted};

/// The address of one server.
pub(in crate::config) struct ServerAddressKind;

impl Kind for ServerAddressKind {
    type Value = ServerAddress;

    fn read(&self, written: &Written<'_>) -> Option<ServerAddress> {
        let Some(text) = written.text() else {
            return written.not_a("an address", format!("write {}", self.range()));
        };
        match text.parse() {
            Ok(address) => Some(address),
            Err(wrong) => {
                written.wrong(format!("{} {wrong}", quoted(text)), format!("write {}", self.range()))
            }
        }
    }

    fn range(&self) -> String {
        r#""host:port", "[::1]:port" or "/path/to.sock""#.to_owned()
    }
}

/// A list of servers' addresses, which may be empty.
pub(in crate::config) struct ServerAddresses;

impl Kind for ServerAddresses {
    type Value = Vec<ServerAddress>;

    fn read(&self, written: &Written<'_>) -> Option<Vec<ServerAddress>> {
        let Some(members) = written.members() else {
            return written.not_a("a list", format!("write {}", self.range()));
        };
        // All of them are read, so that each mistake is named.
        let read: Vec<_> = members.iter().map(|member| ServerAddressKind.read(member)).collect();
        read.into_iter().collect()
    }

    fn range(&self) -> String {
        r#"a list of "host:port" and the like"#.to_owned()
    }
}

/// One address to listen on, or a list of them.
pub(in crate::config) struct ListenAddresses;

impl Kind for ListenAddresses {
    type Value = Vec<ListenAddress>;

    fn read(&self, written: &Written<'_>) -> Option<Vec<ListenAddress>> {
        let Some(members) = written.members() else {
            return Some(vec![self.read_one(written)?]);
        };
        if members.is_empty() {
            return written.wrong("is empty", "name at least one address");
        }
        let read: Vec<_> = members.iter().map(|member| self.read_one(member)).collect();
        for (index, (member, address)) in members.iter().zip(&read).enumerate() {
            if address.is_some() && read[..index].contains(address) {
                let text = quoted(member.text().unwrap_or_default());
                return member.wrong(format!("{text} is named twice"), "keep one of the two");
            }
        }
        read.into_iter().collect()
    }

    fn range(&self) -> String {
        r#""ip:port", "[ipv6]:port" or "/path/to.sock", or a list of them"#.to_owned()
    }
}

impl ListenAddresses {
    fn read_one(&self, written: &Written<'_>) -> Option<ListenAddress> {
        let Some(text) = written.text() else {
            return written.not_a("an address", format!("write {}", self.range()));
        };
        match text.parse() {
            Ok(address) => Some(address),
            Err(wrong) => {
                written.wrong(format!("{} {wrong}", quoted(text)), format!("write {}", self.range()))
            }
        }
    }
}
