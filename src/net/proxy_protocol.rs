//! The PROXY protocol, versions 1 and 2: a load balancer in front says where a client really comes from.
//!
//! Source: HAProxy's doc/proxy-protocol.txt. As MariaDB does, dauphin greets first and takes the header in front of the
//! client's first packet, so that whoever sends none loses no time.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use ipnet::IpNet;
use ppp::{v1, v2};
use tokio::io::AsyncReadExt;

use super::Stream;

/// The longest header of version 1, its end of line included.
const V1_MOST: usize = 107;
/// What a header of version 2 has in front of its addresses: the signature, and how many bytes follow.
const V2_FIXED: usize = 16;
/// The most of version 2: addresses and additions of a load balancer.
const V2_MOST: usize = 4096;

/// Whether a connection's first four bytes begin a header; as those of a MySQL packet they would be numbered 0x58 or 0x0a.
pub fn begins_header(head: [u8; 4]) -> bool {
    head == *b"PROX" || head == [0x0d, 0x0a, 0x0d, 0x0a]
}

/// Whether headers from here are believed.
pub fn is_trusted(networks: &[IpNet], peer: Option<SocketAddr>) -> bool {
    peer.is_some_and(|peer| networks.iter().any(|network| network.contains(&peer.ip().to_canonical())))
}

/// Reads the rest of a header, not a byte more, and returns whom it names; `None` where it names nobody, as in the load
/// balancer's own health checks.
///
/// # Errors
/// The connection broke or ended, or the header is none ([`io::ErrorKind::InvalidData`]).
pub async fn read_header(stream: &mut Stream, head: [u8; 4]) -> io::Result<Option<IpAddr>> {
    let mut header = head.to_vec();
    if head == *b"PROX" {
        while !header.ends_with(b"\r\n") {
            if header.len() == V1_MOST {
                return Err(invalid("a PROXY header has no end"));
            }
            header.push(stream.read_u8().await?);
        }
        let header = v1::Header::try_from(&header[..]).map_err(|error| invalid(error.to_string()))?;
        return Ok(match header.addresses {
            v1::Addresses::Tcp4(addresses) => Some(addresses.source_address.into()),
            v1::Addresses::Tcp6(addresses) => Some(addresses.source_address.into()),
            v1::Addresses::Unknown => None,
        });
    }
    header.resize(V2_FIXED, 0);
    stream.read_exact(&mut header[head.len()..]).await?;
    let more = usize::from(u16::from_be_bytes([header[14], header[15]]));
    if more > V2_MOST {
        return Err(invalid("a PROXY header is longer than 4096 bytes"));
    }
    header.resize(V2_FIXED + more, 0);
    stream.read_exact(&mut header[V2_FIXED..]).await?;
    let header = v2::Header::try_from(&header[..]).map_err(|error| invalid(error.to_string()))?;
    Ok(match (header.command, header.addresses) {
        (v2::Command::Proxy, v2::Addresses::IPv4(addresses)) => Some(addresses.source_address.into()),
        (v2::Command::Proxy, v2::Addresses::IPv6(addresses)) => Some(addresses.source_address.into()),
        _ => None,
    })
}

fn invalid(what: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    /// What is read of these bytes, and what is left behind them.
    async fn read(bytes: &[u8]) -> (io::Result<Option<IpAddr>>, Vec<u8>) {
        let (mut client, server) = tokio::io::duplex(8192);
        client.write_all(bytes).await.expect("it fits");
        client.shutdown().await.expect("a pipe ends");
        let mut stream = Stream::Pipe(server);
        let mut head = [0; 4];
        stream.read_exact(&mut head).await.expect("it has four bytes");
        assert!(begins_header(head));
        let header = read_header(&mut stream, head).await;
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.expect("a pipe can be read");
        (header, rest)
    }

    fn v2(command_and_family: [u8; 2], body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).expect("it is short").to_be_bytes();
        [b"\r\n\r\n\0\r\nQUIT\n", &command_and_family[..], &length, body].concat()
    }

    #[tokio::test]
    async fn a_header_names_the_client_and_leaves_what_follows() {
        let addresses4 = [192, 0, 2, 9, 10, 0, 0, 1, 0x12, 0x34, 0x0c, 0xea];
        let ip = |text: &str| Some(text.parse::<IpAddr>().expect("an address"));
        let cases = [
            (b"PROXY TCP4 192.0.2.9 10.0.0.1 4660 3306\r\n".to_vec(), ip("192.0.2.9")),
            (b"PROXY TCP6 2001:db8::9 ::1 4660 3306\r\n".to_vec(), ip("2001:db8::9")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (v2([0x21, 0x11], &addresses4), ip("192.0.2.9")),
            // With an addition behind the addresses, of type PP2_TYPE_NOOP.
            (v2([0x21, 0x11], &[&addresses4[..], &[0x04, 0, 2, 0, 0]].concat()), ip("192.0.2.9")),
            (v2([0x20, 0x00], b""), None),
        ];
        for (header, expected) in cases {
            let (found, rest) = read(&[&header[..], b"login"].concat()).await;
            assert_eq!(found.expect("it is valid"), expected, "{}", header.escape_ascii());
            assert_eq!(rest, b"login");
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_an_error() {
        for bad in [
            b"PROXY TCP4 nobody 10.0.0.1 1 2\r\n".to_vec(),
            [b"PROXY TCP4 ".to_vec(), vec![b'1'; 200]].concat(),
            v2([0x21, 0x11], b"short"),
            [b"\r\n\r\n\0\r\nQUIT\n\x21\x11".to_vec(), vec![0xff, 0xff], vec![0; 5000]].concat(),
            b"\r\n\r\nGET / HTTP/1.1".to_vec(),
        ] {
            assert!(read(&bad).await.0.is_err(), "{}", bad.escape_ascii());
        }
    }
}
