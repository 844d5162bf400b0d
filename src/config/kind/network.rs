//! IP addresses and networks.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Kind;
use crate::config::written::{Written, quoted};

/// A list of IP addresses and networks.
pub(in crate::config) struct Networks;

impl Kind for Networks {
    type Value = Vec<IpNet>;

    fn read(&self, written: &Written<'_>) -> Option<Vec<IpNet>> {
        let Some(members) = written.members() else {
            return written.not_a("a list", format!("write {}", self.range()));
        };
        let read: Vec<_> = members.iter().map(|member| self.read_one(member)).collect();
        read.into_iter().collect()
    }

    fn range(&self) -> String {
        r#"a list of IP addresses and networks, such as ["10.0.0.7", "10.1.0.0/16"]"#.to_owned()
    }
}

impl Networks {
    fn read_one(&self, written: &Written<'_>) -> Option<IpNet> {
        let Some(text) = written.text() else {
            return written.not_a("an address", format!("write {}", self.range()));
        };
        let address = || text.parse::<IpAddr>().map(IpNet::from);
        match text.parse::<IpNet>().or_else(|_| address()) {
            Ok(network) => Some(network),
            Err(_) => written.wrong(
                format!("{} is neither an IP address nor a network", quoted(text)),
                format!("write {}", self.range()),
            ),
        }
    }
}
