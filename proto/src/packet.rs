//! Packets: a payload of up to 16 MiB - 1 behind a header of four bytes; a longer payload goes in several.

/// Bytes in a packet's header: `int<3> payload_length`, `int<1> sequence_id`.
pub const HEADER: usize = 4;
/// The longest payload of one packet; a payload of this length is continued in the next packet.
pub const MAX_PAYLOAD: usize = 0xff_ffff;

/// A packet's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Bytes of payload that follow.
    pub length: usize,
    /// The packet's number within its exchange; wraps at 256.
    pub sequence: u8,
}

impl Header {
    /// The header at the start of `buffer`, if it is there whole.
    pub fn peek(buffer: &[u8]) -> Option<Self> {
        let &[a, b, c, sequence] = buffer.first_chunk::<HEADER>()?;
        Some(Self { length: u32::from_le_bytes([a, b, c, 0]) as usize, sequence })
    }

    /// The header's bytes.
    pub fn encode(self) -> [u8; HEADER] {
        let [a, b, c, _] = (self.length as u32).to_le_bytes();
        [a, b, c, self.sequence]
    }
}

/// The whole packet at the start of `buffer`, header included, if it is there.
pub fn whole(buffer: &[u8]) -> Option<&[u8]> {
    let header = Header::peek(buffer)?;
    buffer.get(..HEADER + header.length)
}

/// The commands in `bytes`, of which the last need not be whole but for its first header: each begins with a packet of number 0.
pub fn commands(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let mut at = 0;
        let end = loop {
            match bytes.get(at..).and_then(Header::peek) {
                Some(header) if at > 0 && header.sequence == 0 => break at,
                Some(header) => at += HEADER + header.length,
                None => break bytes.len(),
            }
        };
        let command;
        (command, bytes) = bytes.split_at(end);
        (!command.is_empty()).then_some(command)
    })
}

/// Appends `payload` as packets numbered from `sequence`; answers the number that comes next.
pub fn put(out: &mut Vec<u8>, payload: &[u8], mut sequence: u8) -> u8 {
    let mut rest = payload;
    loop {
        let length = rest.len().min(MAX_PAYLOAD);
        out.extend_from_slice(&Header { length, sequence }.encode());
        out.extend_from_slice(&rest[..length]);
        sequence = sequence.wrapping_add(1);
        rest = &rest[length..];
        if length < MAX_PAYLOAD {
            return sequence;
        }
    }
}

/// Appends one packet whose payload `write` appends; answers the number that comes next.
///
/// For payloads known to be short: one of [`MAX_PAYLOAD`] or more must go through [`put`].
pub fn put_with(out: &mut Vec<u8>, sequence: u8, write: impl FnOnce(&mut Vec<u8>)) -> u8 {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER]);
    write(out);
    let length = out.len() - start - HEADER;
    if length >= MAX_PAYLOAD {
        let payload = out.split_off(start + HEADER);
        out.truncate(start);
        return put(out, &payload, sequence);
    }
    out[start..start + HEADER].copy_from_slice(&Header { length, sequence }.encode());
    sequence.wrapping_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_of_exactly_the_limit_is_followed_by_an_empty_packet() {
        let mut out = Vec::new();
        assert_eq!(put(&mut out, &vec![1; MAX_PAYLOAD], 0), 2);
        assert_eq!(out.len(), MAX_PAYLOAD + 2 * HEADER);
        assert_eq!(Header::peek(&out[MAX_PAYLOAD + HEADER..]), Some(Header { length: 0, sequence: 1 }));
    }

    #[test]
    fn commands_are_told_apart_and_the_last_may_be_cut_behind_its_header() {
        let (mut all, mut long) = (Vec::new(), Vec::new());
        put(&mut all, b"", 0);
        put(&mut all, b"\x0e", 0);
        put(&mut long, &vec![0; 2 * MAX_PAYLOAD], 0);
        all.extend_from_slice(&long);
        for cut in [HEADER, HEADER + 1, MAX_PAYLOAD + HEADER, MAX_PAYLOAD + HEADER + 2, long.len()] {
            let got: Vec<_> = commands(&all[..HEADER + HEADER + 1 + cut]).map(<[u8]>::len).collect();
            assert_eq!(got, [HEADER, HEADER + 1, cut]);
        }
        assert_eq!(commands(b"").count(), 0);
    }

    #[test]
    fn a_packet_is_whole_only_with_its_last_byte() {
        let mut out = Vec::new();
        put(&mut out, b"abc", 7);
        assert_eq!(whole(&out), Some(&out[..]));
        assert_eq!(whole(&out[..6]), None);
    }
}
