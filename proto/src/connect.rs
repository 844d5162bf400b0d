//! The connection phase: greeting, login, and what an authentication exchange is made of.

use crate::{
    CapabilityFlags, ProtocolError,
    field::{Reader, put_lenenc_bytes, put_nul_terminated},
};

/// Bytes in the random challenge of a greeting.
pub const NONCE: usize = 20;

/// MARIADB_CLIENT_STMT_BULK_OPERATIONS, of the extended capabilities: COM_STMT_BULK_EXECUTE.
pub const BULK_OPERATIONS: u32 = 1 << 2;
/// MARIADB_CLIENT_EXTENDED_METADATA, of the extended capabilities: column definitions name finer types.
pub const EXTENDED_METADATA: u32 = 1 << 3;
/// MARIADB_CLIENT_BULK_UNIT_RESULTS, of the extended capabilities: COM_STMT_BULK_EXECUTE may ask what each row has done.
pub const BULK_UNIT_RESULTS: u32 = 1 << 5;

/// The longest block of connection attributes that servers take, in bytes.
const MOST_ATTRIBUTES: usize = 65_535;

/// Extended capabilities are there where CLIENT_LONG_PASSWORD is not: to MariaDB that flag means "MySQL".
fn extended(capabilities: CapabilityFlags, bytes: u32) -> u32 {
    if capabilities.contains(CapabilityFlags::CLIENT_LONG_PASSWORD) { 0 } else { bytes }
}

fn said(capabilities: CapabilityFlags, extended: u32) -> CapabilityFlags {
    if extended == 0 { capabilities } else { capabilities - CapabilityFlags::CLIENT_LONG_PASSWORD }
}

/// `Protocol::HandshakeV10`: a server's first packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// For example `9.7.4` or `11.8.9-MariaDB`.
    pub version: String,
    /// The connection's id on that server.
    pub connection_id: u32,
    /// The challenge that passwords are scrambled with.
    pub nonce: [u8; NONCE],
    /// What the server offers.
    pub capabilities: CapabilityFlags,
    /// What the server offers of MariaDB's extended capabilities; 0 from MySQL.
    pub extended: u32,
    /// The server's default collation, its lower 8 bits.
    pub collation: u8,
    /// See [`crate::reply::status`].
    pub status: u16,
    /// The authentication method that the server suggests.
    pub plugin: String,
}

impl Greeting {
    /// Reads a greeting's payload.
    ///
    /// # Errors
    /// Another protocol version than 10, or a payload that ends inside a field. (A server may send an ERR packet
    /// instead of a greeting: look at the first byte before.)
    pub fn parse(payload: &[u8]) -> Result<Self, ProtocolError> {
        let mut reader = Reader::new(payload, "a server's greeting");
        if reader.u8()? != 10 {
            return Err(ProtocolError::Unexpected("the protocol version of a server's greeting"));
        }
        let version = String::from_utf8_lossy(reader.nul_terminated()?).into_owned();
        let connection_id = reader.u32()?;
        let mut nonce = [0; NONCE];
        nonce[..8].copy_from_slice(reader.bytes(8)?);
        reader.u8()?; // filler
        let lower = reader.u16()?;
        let collation = reader.u8()?;
        let status = reader.u16()?;
        let upper = reader.u16()?;
        let capabilities = CapabilityFlags::from_bits_retain(u32::from(upper) << 16 | u32::from(lower));
        reader.u8()?; // auth_plugin_data_len
        reader.bytes(6)?; // reserved
        let extended = extended(capabilities, reader.u32()?);
        nonce[8..].copy_from_slice(reader.bytes(12)?);
        if reader.rest().first() == Some(&0) {
            reader.u8()?;
        }
        let plugin = String::from_utf8_lossy(reader.nul_or_end()).into_owned();
        Ok(Self { version, connection_id, nonce, capabilities, extended, collation, status, plugin })
    }

    /// Appends the payload.
    pub fn put(&self, out: &mut Vec<u8>) {
        let capabilities = said(self.capabilities, self.extended).bits();
        out.push(10);
        put_nul_terminated(out, self.version.as_bytes());
        out.extend_from_slice(&self.connection_id.to_le_bytes());
        out.extend_from_slice(&self.nonce[..8]);
        out.push(0);
        out.extend_from_slice(&(capabilities as u16).to_le_bytes());
        out.push(self.collation);
        out.extend_from_slice(&self.status.to_le_bytes());
        out.extend_from_slice(&((capabilities >> 16) as u16).to_le_bytes());
        out.push(NONCE as u8 + 1);
        out.extend_from_slice(&[0; 6]);
        out.extend_from_slice(&self.extended.to_le_bytes());
        out.extend_from_slice(&self.nonce[8..]);
        out.push(0);
        put_nul_terminated(out, self.plugin.as_bytes());
    }
}

/// `Protocol::HandshakeResponse41`: a client's login.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Login {
    /// What the client wants, of what was offered.
    pub capabilities: CapabilityFlags,
    /// What the client wants of MariaDB's extended capabilities; 0 from clients that do not know them.
    pub extended: u32,
    /// The longest packet that the client takes; informative.
    pub max_packet: u32,
    /// The collation that the client starts with, its lower 8 bits.
    pub collation: u8,
    /// The user's name, in the client's character set.
    pub user: Vec<u8>,
    /// The answer to the greeting's challenge.
    pub response: Vec<u8>,
    /// The default schema, if the client names one.
    pub schema: Option<Vec<u8>>,
    /// The method that `response` was made with; empty if the client does not say.
    pub plugin: String,
    /// Connection attributes, name and value, still length-encoded.
    pub attributes: Vec<u8>,
    /// The level that the client would have zstd compress at, where it asks for zstd.
    pub zstd_level: u8,
}

/// Bytes of an SSLRequest: a login's first 32 bytes, sent alone before the connection becomes TLS.
pub const SSL_REQUEST: usize = 32;

impl Login {
    /// Reads a login's payload.
    ///
    /// # Errors
    /// A client of before protocol 4.1, or a payload that ends inside a field.
    pub fn parse(payload: &[u8]) -> Result<Self, ProtocolError> {
        let mut reader = Reader::new(payload, "a client's login");
        let capabilities = CapabilityFlags::from_bits_retain(reader.u32()?);
        if !capabilities.contains(CapabilityFlags::CLIENT_PROTOCOL_41) {
            return Err(ProtocolError::Unexpected("a login of protocol 3.20, which is not spoken any more"));
        }
        let max_packet = reader.u32()?;
        let collation = reader.u8()?;
        reader.bytes(19)?; // filler
        let extended = extended(capabilities, reader.u32()?);
        let user = reader.nul_terminated()?.to_vec();
        let response = if capabilities.contains(CapabilityFlags::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA) {
            reader.lenenc_bytes()?.to_vec()
        } else if capabilities.contains(CapabilityFlags::CLIENT_SECURE_CONNECTION) {
            let length = reader.u8()?;
            reader.bytes(length.into())?.to_vec()
        } else {
            reader.nul_terminated()?.to_vec()
        };
        let mut schema = None;
        if capabilities.contains(CapabilityFlags::CLIENT_CONNECT_WITH_DB) && !reader.is_empty() {
            schema = Some(reader.nul_or_end().to_vec()).filter(|name| !name.is_empty());
        }
        let mut plugin = String::new();
        if capabilities.contains(CapabilityFlags::CLIENT_PLUGIN_AUTH) && !reader.is_empty() {
            plugin = String::from_utf8_lossy(reader.nul_or_end()).into_owned();
        }
        let attributes = connection_attributes(&mut reader, capabilities)?;
        let mut zstd_level = 0;
        if capabilities.contains(CapabilityFlags::CLIENT_ZSTD_COMPRESSION_ALGORITHM) && !reader.is_empty() {
            zstd_level = reader.u8()?;
        }
        Ok(Self {
            capabilities,
            extended,
            max_packet,
            collation,
            user,
            response,
            schema,
            plugin,
            attributes,
            zstd_level,
        })
    }

    /// Appends the payload.
    pub fn put(&self, out: &mut Vec<u8>) {
        self.put_ssl_request(out);
        put_nul_terminated(out, &self.user);
        if self.capabilities.contains(CapabilityFlags::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA) {
            put_lenenc_bytes(out, &self.response);
        } else {
            out.push(self.response.len() as u8);
            out.extend_from_slice(&self.response);
        }
        if self.capabilities.contains(CapabilityFlags::CLIENT_CONNECT_WITH_DB) {
            put_nul_terminated(out, self.schema.as_deref().unwrap_or_default());
        }
        if self.capabilities.contains(CapabilityFlags::CLIENT_PLUGIN_AUTH) {
            put_nul_terminated(out, self.plugin.as_bytes());
        }
        if self.capabilities.contains(CapabilityFlags::CLIENT_CONNECT_ATTRS) {
            put_lenenc_bytes(out, &self.attributes);
        }
        if self.capabilities.contains(CapabilityFlags::CLIENT_ZSTD_COMPRESSION_ALGORITHM) {
            out.push(self.zstd_level);
        }
    }

    /// Appends the payload of an SSLRequest for this login.
    pub fn put_ssl_request(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&said(self.capabilities, self.extended).bits().to_le_bytes());
        out.extend_from_slice(&self.max_packet.to_le_bytes());
        out.push(self.collation);
        out.extend_from_slice(&[0; 19]);
        out.extend_from_slice(&self.extended.to_le_bytes());
    }
}

/// The attributes of a login, as both servers want them: there, if the client has the capability, and not too long. What is
/// inside is not looked at.
fn connection_attributes(
    reader: &mut Reader<'_>,
    capabilities: CapabilityFlags,
) -> Result<Vec<u8>, ProtocolError> {
    if !capabilities.contains(CapabilityFlags::CLIENT_CONNECT_ATTRS) {
        return Ok(Vec::new());
    }
    let block = reader.lenenc_bytes()?;
    if block.len() > MOST_ATTRIBUTES {
        return Err(ProtocolError::TooLarge { what: "connection attributes", limit: MOST_ATTRIBUTES });
    }
    Ok(block.to_vec())
}

/// The payload of COM_CHANGE_USER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeUser {
    /// The user's name.
    pub user: Vec<u8>,
    /// The answer to the connection's challenge.
    pub response: Vec<u8>,
    /// The default schema; `None` for none.
    pub schema: Option<Vec<u8>>,
    /// The collation to start with, if the client says.
    pub collation: Option<u8>,
    /// The method that `response` was made with; empty if the client does not say.
    pub plugin: String,
    /// Connection attributes, name and value, still length-encoded.
    pub attributes: Vec<u8>,
}

impl ChangeUser {
    /// Reads what follows the command byte, of a client with these capabilities.
    ///
    /// # Errors
    /// The payload ends inside a field.
    pub fn parse(argument: &[u8], capabilities: CapabilityFlags) -> Result<Self, ProtocolError> {
        let mut reader = Reader::new(argument, "COM_CHANGE_USER");
        let user = reader.nul_terminated()?.to_vec();
        let length = reader.u8()?;
        let response = reader.bytes(length.into())?.to_vec();
        let schema = Some(reader.nul_or_end().to_vec()).filter(|name| !name.is_empty());
        let collation = if reader.is_empty() { None } else { Some(reader.u16()? as u8) };
        let mut plugin = String::new();
        if capabilities.contains(CapabilityFlags::CLIENT_PLUGIN_AUTH) {
            plugin = String::from_utf8_lossy(reader.nul_or_end()).into_owned();
        }
        let attributes = connection_attributes(&mut reader, capabilities)?;
        Ok(Self { user, response, schema, collation, plugin, attributes })
    }
}

/// `Protocol::AuthSwitchRequest`: use another method, with this challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthSwitch {
    /// The method's name.
    pub plugin: String,
    /// Its challenge, without the NUL that ends it.
    pub nonce: Vec<u8>,
}

impl AuthSwitch {
    /// Reads the payload.
    ///
    /// # Errors
    /// The payload is no AuthSwitchRequest (a lone 0xfe asks for a method of before 4.1).
    pub fn parse(payload: &[u8]) -> Result<Self, ProtocolError> {
        let mut reader = Reader::new(payload, "an authentication switch");
        if reader.u8()? != crate::reply::marker::EOF {
            return Err(ProtocolError::Unexpected("an authentication switch"));
        }
        let plugin = String::from_utf8_lossy(reader.nul_terminated()?).into_owned();
        let rest = reader.take_rest();
        Ok(Self { plugin, nonce: rest.strip_suffix(&[0]).unwrap_or(rest).to_vec() })
    }

    /// Appends the payload.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.push(crate::reply::marker::EOF);
        put_nul_terminated(out, self.plugin.as_bytes());
        put_nul_terminated(out, &self.nonce);
    }
}

/// First byte of `Protocol::AuthMoreData`.
pub const AUTH_MORE_DATA: u8 = 0x01;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn login() -> Login {
        Login {
            capabilities: CapabilityFlags::CLIENT_PROTOCOL_41
                | CapabilityFlags::CLIENT_SECURE_CONNECTION
                | CapabilityFlags::CLIENT_PLUGIN_AUTH
                | CapabilityFlags::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA
                | CapabilityFlags::CLIENT_CONNECT_WITH_DB
                | CapabilityFlags::CLIENT_CONNECT_ATTRS
                | CapabilityFlags::CLIENT_ZSTD_COMPRESSION_ALGORITHM,
            extended: EXTENDED_METADATA,
            max_packet: 1 << 24,
            collation: 255,
            user: b"app".to_vec(),
            response: vec![7; 32],
            schema: Some(b"shop".to_vec()),
            plugin: "caching_sha2_password".into(),
            attributes: b"\x03_os\x05Linux".to_vec(),
            zstd_level: 7,
        }
    }

    #[test]
    fn a_login_survives_encoding() {
        let mut out = Vec::new();
        login().put(&mut out);
        assert_eq!(Login::parse(&out), Ok(login()));
    }

    #[test]
    fn a_greeting_survives_encoding() {
        let greeting = Greeting {
            version: "9.7.4".into(),
            connection_id: 8,
            nonce: *b"abcdefghijklmnopqrst",
            capabilities: CapabilityFlags::from_bits_retain(0xdfff_fffe),
            extended: EXTENDED_METADATA,
            collation: 255,
            status: 2,
            plugin: "caching_sha2_password".into(),
        };
        let mut out = Vec::new();
        greeting.put(&mut out);
        assert_eq!(Greeting::parse(&out), Ok(greeting));
    }

    #[test]
    fn connection_attributes_are_read_as_servers_read_them() {
        let check = |block: &[u8], expected: Option<&[u8]>| {
            let mut out = Vec::new();
            let capabilities = login().capabilities - CapabilityFlags::CLIENT_ZSTD_COMPRESSION_ALGORITHM;
            Login { capabilities, attributes: Vec::new(), ..login() }.put(&mut out);
            out.pop();
            out.extend_from_slice(block);
            assert_eq!(
                Login::parse(&out).ok().map(|login| login.attributes).as_deref(),
                expected,
                "{block:?}"
            );
            let argument = [&b"app\0\0shop\0\x2d\0caching_sha2_password\0"[..], block].concat();
            let request = ChangeUser::parse(&argument, capabilities).ok();
            assert_eq!(request.map(|request| request.attributes).as_deref(), expected, "{block:?}");
        };
        check(b"\x06\x01a\x03bcd", Some(b"\x01a\x03bcd"));
        check(b"\x02\x01a\x03bcd", Some(b"\x01a"));
        check(b"\x02\x09a", Some(b"\x09a"));
        check(b"\0", Some(b""));
        for broken in [&b""[..], b"\x05\x01a", b"\xfb", b"\xff", b"\xfc\x01"] {
            check(broken, None);
        }
        let longest = vec![b'x'; MOST_ATTRIBUTES];
        check(&[&b"\xfd\xff\xff\0"[..], &longest].concat(), Some(&longest));
        check(&[&b"\xfd\0\0\x01"[..], &longest, b"x"].concat(), None);
    }

    #[test]
    fn what_a_client_cannot_say_is_not_read_from_a_change_of_user() {
        let argument = b"app\0\x02ab\0\x2d\0caching_sha2_password\0\x04\x01a\x01b";
        let request = ChangeUser::parse(argument, CapabilityFlags::CLIENT_PLUGIN_AUTH).unwrap();
        assert_eq!((request.collation, request.plugin.as_str()), (Some(45), "caching_sha2_password"));
        assert_eq!(
            (request.response, request.schema, request.attributes),
            (b"ab".to_vec(), None, Vec::new())
        );
        assert_eq!(ChangeUser::parse(argument, CapabilityFlags::empty()).unwrap().plugin, "");
    }

    proptest! {
        #[test]
        fn a_login_cut_anywhere_does_not_panic(cut in 0usize..120) {
            let mut out = Vec::new();
            login().put(&mut out);
            let _ = Login::parse(&out[..cut.min(out.len())]);
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(bytes: Vec<u8>) {
            let _ = Login::parse(&bytes);
            let _ = Greeting::parse(&bytes);
            for capabilities in [CapabilityFlags::empty(), CapabilityFlags::all()] {
                let _ = ChangeUser::parse(&bytes, capabilities);
            }
            let _ = AuthSwitch::parse(&bytes);
        }
    }
}
