//! A long command in packets of other lengths than it came in: bytes are put in on its way, and nothing of it is kept.

use crate::packet::{Header, MAX_PAYLOAD};

/// Frames a command anew as its bytes come by. A packet's header says its length, so a packet is begun as soon as that
/// is known: bytes that a packet of the old framing leaves over wait for the next one's header.
#[derive(Debug, Default)]
pub struct Reframer {
    sequence: u8,
    /// Bytes that the current packet still takes.
    room: usize,
    /// Bytes that are announced and have no packet yet.
    announced: usize,
    /// Whether all bytes are announced.
    is_last: bool,
    /// Whether a packet must follow: none was sent yet, or the last one was as long as can be.
    is_open: bool,
    waiting: Vec<u8>,
}

impl Reframer {
    /// For a command that begins with this many bytes of payload; `is_last`: and ends with them.
    pub fn new(announced: usize, is_last: bool) -> Self {
        Self { announced, is_last, is_open: true, ..Self::default() }
    }

    /// More bytes will come, as the next header of the old framing says.
    pub fn announce(&mut self, length: usize, is_last: bool) {
        self.announced += length;
        self.is_last = is_last;
    }

    /// Appends packets with these bytes of payload to `out`.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let waiting = std::mem::take(&mut self.waiting);
        self.put(&waiting, out);
        self.put(bytes, out);
    }

    /// How many packets were begun.
    pub fn packets(&self) -> u8 {
        self.sequence
    }

    fn put(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        loop {
            let n = bytes.len().min(self.room);
            out.extend_from_slice(&bytes[..n]);
            self.room -= n;
            bytes = &bytes[n..];
            if self.room > 0 {
                return;
            }
            if !self.is_open || !self.is_last && self.announced < MAX_PAYLOAD {
                break;
            }
            let length = self.announced.min(MAX_PAYLOAD);
            out.extend_from_slice(&Header { length, sequence: self.sequence }.encode());
            self.sequence = self.sequence.wrapping_add(1);
            self.announced -= length;
            self.room = length;
            self.is_open = length == MAX_PAYLOAD;
        }
        self.waiting.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet;

    /// `put_in` goes in front of a command of `length` bytes, which comes in packets and in pieces.
    fn check(length: usize, put_in: usize, piece: usize) {
        // 251 is prime: no packet's length is a multiple of it.
        let rhythm: Vec<u8> = (0..251).collect();
        let mut payload = rhythm.repeat(length / 251 + 1);
        payload.truncate(length);
        let first = length.min(MAX_PAYLOAD);
        let mut reframer = Reframer::new(put_in + first, first < MAX_PAYLOAD);
        let mut got = Vec::new();
        reframer.push(&vec![7; put_in], &mut got);
        let mut rest = &payload[..];
        loop {
            let (now, later) = rest.split_at(rest.len().min(MAX_PAYLOAD));
            now.chunks(piece).for_each(|bytes| reframer.push(bytes, &mut got));
            if now.len() < MAX_PAYLOAD {
                break;
            }
            let next = later.len().min(MAX_PAYLOAD);
            reframer.announce(next, next < MAX_PAYLOAD);
            reframer.push(b"", &mut got);
            rest = later;
        }
        let mut expected = Vec::new();
        let next = packet::put(&mut expected, &[vec![7; put_in], payload].concat(), 0);
        assert_eq!(reframer.packets(), next, "{length} {put_in} {piece}");
        assert!(got == expected, "{length} {put_in} {piece}");
    }

    #[test]
    fn a_command_is_framed_as_if_it_had_been_whole() {
        for length in
            [0, 5, MAX_PAYLOAD - 6, MAX_PAYLOAD - 5, MAX_PAYLOAD, 2 * MAX_PAYLOAD - 3, 2 * MAX_PAYLOAD + 9]
        {
            for piece in [16 << 10, usize::MAX] {
                check(length, 5, piece);
            }
        }
        check(20, 5, 1);
    }
}
