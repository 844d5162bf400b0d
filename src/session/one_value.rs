//! `SELECT CONNECTION_ID()`: a server answers it as any other read, and in its one row the connection's id is replaced by
//! the session's, which is the one that the client can KILL. So is `SELECT ROW_COUNT()` where the connection of the
//! statement that it asks about has been given back.

use std::ops::Range;

use dauphin_proto::{
    field::put_lenenc_bytes,
    packet::{self, HEADER, Header},
    reply::marker,
    response::Shape,
};

/// No packet of such an answer is nearly as long, in bytes.
const LONGEST: usize = 4 << 10;
/// The head of a binary row of one column: a zero and the bitmap of NULLs.
const BINARY_HEAD: [u8; 2] = [0, 0];

/// What the beginning of an answer has.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// So much of a row, that more bytes are needed.
    NotYet,
    /// No such row: an error, or a cursor.
    Nothing,
    /// The row, where it lies, and what the client gets in its place.
    Row(Range<usize>, Vec<u8>),
}

/// Looks for the one row, a packet of its own, in the beginning of a response of this shape, and says it with `value`.
pub fn find(buffer: &[u8], shape: Shape, value: u64) -> Found {
    let (mut at, mut before) = (0, if shape == Shape::Rows { 0 } else { 2 });
    loop {
        let Some(header) = Header::peek(&buffer[at..]) else { return Found::NotYet };
        let end = at + HEADER + header.length;
        if header.length == 0 || header.length > LONGEST {
            return Found::Nothing;
        }
        let Some(&first) = buffer.get(at + HEADER) else { return Found::NotYet };
        // Before the row come the number of columns, one, and the column, unless a flag behind the number says 0.
        if first >= marker::LOCAL_INFILE || before == 2 && first != 1 {
            return Found::Nothing;
        }
        if buffer.len() < end {
            return Found::NotYet;
        }
        if before == 0 {
            let row = with_value(&buffer[at + HEADER..end], value);
            return row.map_or(Found::Nothing, |row| {
                let mut out = Vec::with_capacity(HEADER + row.len());
                packet::put(&mut out, &row, header.sequence);
                Found::Row(at..end, out)
            });
        }
        let is_undefined = before == 2 && buffer[at + HEADER..end] == [1, 0];
        before -= if is_undefined { 2 } else { 1 };
        at = end;
    }
}

/// A row with another number in it: `string<lenenc>` as text, `int<4>` (MariaDB) or `int<8>` (MySQL) as binary.
fn with_value(row: &[u8], value: u64) -> Option<Vec<u8>> {
    if let Some(old @ ([_, _, _, _] | [_, _, _, _, _, _, _, _])) = row.strip_prefix(&BINARY_HEAD) {
        let mut out = BINARY_HEAD.to_vec();
        out.extend_from_slice(&value.to_le_bytes()[..old.len()]);
        return Some(out);
    }
    let (&length, digits) = row.split_first()?;
    let is_number =
        length > 0 && usize::from(length) == digits.len() && digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| {
        let mut out = Vec::new();
        put_lenenc_bytes(&mut out, value.to_string().as_bytes());
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: u64 = 1_000_000_007;

    fn packets(payloads: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        payloads.iter().fold(1, |sequence, payload| packet::put(&mut out, payload, sequence));
        out
    }

    fn check(shape: Shape, payloads: &[&[u8]], expected: &[u8]) {
        let bytes = packets(payloads);
        let Found::Row(range, row) = find(&bytes, shape, ID) else { panic!("{bytes:?}") };
        let before = packets(&payloads[..payloads.len() - 1]);
        assert_eq!(range, before.len()..bytes.len());
        let mut replaced = Vec::new();
        packet::put(&mut replaced, expected, payloads.len() as u8);
        assert_eq!(row, replaced);
        for cut in 0..bytes.len() {
            assert_eq!(find(&bytes[..cut], shape, ID), Found::NotYet, "cut at {cut}");
        }
    }

    #[test]
    fn the_row_gets_the_session_s_id_in_either_form() {
        check(Shape::Query, &[b"\x01", b"\x03def..", b"\x0227"], b"\x0a1000000007");
        check(Shape::Query, &[b"\x01", b"\x03def..", b"\0\0\x1b\0\0\0"], b"\0\0\x07\xca\x9a\x3b");
        check(
            Shape::Query,
            &[b"\x01", b"\x03def..", b"\0\0\x1b\0\0\0\0\0\0\0"],
            b"\0\0\x07\xca\x9a\x3b\0\0\0\0",
        );
        check(Shape::Query, &[b"\x01\x01", b"\x03def..", b"\x0227"], b"\x0a1000000007");
        check(Shape::Query, &[b"\x01\0", b"\x0227"], b"\x0a1000000007");
        check(Shape::Rows, &[b"\0\0\x1b\0\0\0\0\0\0\0"], b"\0\0\x07\xca\x9a\x3b\0\0\0\0");
    }

    #[test]
    fn another_answer_is_left_alone() {
        for payloads in [
            &[&b"\xff\x48\x04#HY000no"[..]][..],
            &[b"\0\0\0\x02\0\0\0"],
            &[b"\x02"],
            &[b"\x01", b"\x03def..", b"\xfe\0\0\x42\0\0\0"],
            &[b"\x01", b"\x03def..", b"\x03abc"],
            &[b"\x01", b"\x03def..", b"\xfb"],
            &[b""],
        ] {
            assert_eq!(find(&packets(payloads), Shape::Query, ID), Found::Nothing, "{payloads:?}");
        }
    }
}
