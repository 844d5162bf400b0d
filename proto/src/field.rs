//! The protocol's basic types: fixed and length-encoded integers, and strings.

use crate::ProtocolError;

/// Reads fields one after the other from a payload.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// A reader over `payload`; `what` names the packet in errors.
    pub fn new(payload: &'a [u8], what: &'static str) -> Self {
        Self { rest: payload, what }
    }

    /// The bytes not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether everything was read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// `string<n>`
    pub fn bytes(&mut self, n: usize) -> Result<&'a [u8], ProtocolError> {
        let Some((head, rest)) = self.rest.split_at_checked(n) else {
            return Err(ProtocolError::Truncated(self.what));
        };
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ProtocolError> {
        let Some((head, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(ProtocolError::Truncated(self.what));
        };
        self.rest = rest;
        Ok(*head)
    }

    /// `int<1>`
    pub fn u8(&mut self) -> Result<u8, ProtocolError> {
        Ok(self.array::<1>()?[0])
    }

    /// `int<2>`
    pub fn u16(&mut self) -> Result<u16, ProtocolError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// `int<4>`
    pub fn u32(&mut self) -> Result<u32, ProtocolError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// `int<lenenc>`
    pub fn lenenc(&mut self) -> Result<u64, ProtocolError> {
        match self.u8()? {
            n @ 0..=0xfa => Ok(n.into()),
            0xfc => Ok(self.u16()?.into()),
            0xfd => {
                let [a, b, c] = self.array()?;
                Ok(u32::from_le_bytes([a, b, c, 0]).into())
            }
            0xfe => Ok(u64::from_le_bytes(self.array()?)),
            _ => Err(ProtocolError::Unexpected(self.what)),
        }
    }

    /// `string<lenenc>`
    pub fn lenenc_bytes(&mut self) -> Result<&'a [u8], ProtocolError> {
        let n = self.lenenc()?;
        self.bytes(usize::try_from(n).unwrap_or(usize::MAX))
    }

    /// `string<NUL>`, without the NUL.
    pub fn nul_terminated(&mut self) -> Result<&'a [u8], ProtocolError> {
        let Some(end) = self.rest.iter().position(|&b| b == 0) else {
            return Err(ProtocolError::Truncated(self.what));
        };
        let text = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        Ok(text)
    }

    /// `string<NUL>` whose NUL may be missing at the end of the packet, as some clients leave it out.
    pub fn nul_or_end(&mut self) -> &'a [u8] {
        self.nul_terminated().unwrap_or_else(|_| self.take_rest())
    }

    /// `string<EOF>`
    pub fn take_rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }
}

/// Appends `int<lenenc>`.
pub fn put_lenenc(out: &mut Vec<u8>, n: u64) {
    match n {
        0..=0xfa => out.push(n as u8),
        0xfb..=0xffff => {
            out.push(0xfc);
            out.extend_from_slice(&(n as u16).to_le_bytes());
        }
        0x1_0000..=0xff_ffff => {
            out.push(0xfd);
            out.extend_from_slice(&(n as u32).to_le_bytes()[..3]);
        }
        _ => {
            out.push(0xfe);
            out.extend_from_slice(&n.to_le_bytes());
        }
    }
}

/// Appends `string<lenenc>`.
pub fn put_lenenc_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_lenenc(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends `string<NUL>`. A NUL inside `bytes` would end it early: callers have excluded it.
pub fn put_nul_terminated(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
    out.push(0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_integer_survives_encoding(n: u64) {
            let mut out = Vec::new();
            put_lenenc(&mut out, n);
            let mut reader = Reader::new(&out, "test");
            prop_assert_eq!(reader.lenenc().unwrap(), n);
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes, "test");
            while reader.lenenc_bytes().is_ok() && !reader.is_empty() {}
            let _ = reader.nul_or_end();
        }
    }

    #[test]
    fn a_length_beyond_the_packet_is_an_error() {
        assert_eq!(
            Reader::new(&[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "x").lenenc_bytes(),
            Err(ProtocolError::Truncated("x"))
        );
    }
}
