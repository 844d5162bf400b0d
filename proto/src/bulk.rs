//! COM_STMT_BULK_EXECUTE, MariaDB's: a prepared statement executed with many rows of parameters at once.

use crate::{ProtocolError, command::code, field::Reader};

/// The id by which a client of MariaDB means the statement that it prepared last, in every command that has one.
pub const LAST_PREPARED: u32 = u32::MAX;

/// Where the parts of a COM_STMT_BULK_EXECUTE payload lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bulk<'a> {
    /// The statement's id.
    pub statement_id: u32,
    /// `int<2>`: see [`flag`].
    pub flags: u16,
    /// The parameters' types, two bytes each; `None` if the client says "as the last time".
    pub types: Option<&'a [u8]>,
}

/// What the flags of a COM_STMT_BULK_EXECUTE ask for.
pub mod flag {
    /// SEND_UNIT_RESULTS: each row's id and count of changed rows, as a result set.
    pub const UNIT_RESULTS: u16 = 64;
    /// SEND_TYPES_TO_SERVER: the types follow.
    pub const TYPES: u16 = 128;
}

/// Offset in the payload of the types, or of the rows where there are none.
pub const TYPES_AT: usize = 7;

impl<'a> Bulk<'a> {
    /// Reads the payload (command byte included) for a statement that has `parameters` of them.
    ///
    /// # Errors
    /// The payload ends inside a field.
    pub fn parse(payload: &'a [u8], parameters: u16) -> Result<Self, ProtocolError> {
        let mut reader = Reader::new(payload, "COM_STMT_BULK_EXECUTE");
        reader.u8()?;
        let (statement_id, flags) = (reader.u32()?, reader.u16()?);
        let types =
            if flags & flag::TYPES == 0 { None } else { Some(reader.bytes(2 * usize::from(parameters))?) };
        Ok(Self { statement_id, flags, types })
    }

    /// Whether a result set is asked for, with what each row has done.
    pub fn wants_unit_results(self) -> bool {
        self.flags & flag::UNIT_RESULTS != 0
    }

    /// Appends what stands in front of the rows when the types are told: for a payload that has none, in place of its
    /// first [`TYPES_AT`] bytes.
    pub fn put_head(self, out: &mut Vec<u8>, statement_id: u32, types: &[u8]) {
        out.push(code::STMT_BULK_EXECUTE);
        out.extend_from_slice(&statement_id.to_le_bytes());
        out.extend_from_slice(&(self.flags | flag::TYPES).to_le_bytes());
        out.extend_from_slice(types);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two rows of an INT and a VARCHAR, the second of NULL and DEFAULT, as they were sent to MariaDB 11.8.
    const TYPED: &[u8] = b"\xfa\x07\0\0\0\xc0\0\x03\0\xfd\0\0\x05\0\0\0\0\x01a\x01\x02";

    #[test]
    fn types_are_found_where_there_are_some() {
        let bulk = Bulk::parse(TYPED, 2).unwrap();
        assert_eq!((bulk.statement_id, bulk.types), (7, Some(&b"\x03\0\xfd\0"[..])));
        assert!(bulk.wants_unit_results());
        let again = Bulk::parse(b"\xfa\x07\0\0\0\0\0\0\x05\0\0\0\0\x01a\x01\x02", 2).unwrap();
        assert_eq!((again.types, again.wants_unit_results()), (None, false));
    }

    #[test]
    fn told_types_stand_in_front_of_the_rows() {
        let mut untyped = TYPED.to_vec();
        untyped.drain(TYPES_AT..TYPES_AT + 4);
        untyped[5] = 0x40;
        let bulk = Bulk::parse(&untyped, 2).unwrap();
        let mut told = Vec::new();
        bulk.put_head(&mut told, 7, b"\x03\0\xfd\0");
        told.extend_from_slice(&untyped[TYPES_AT..]);
        assert_eq!(told, TYPED);
    }

    #[test]
    fn a_payload_that_ends_early_is_an_error() {
        for length in 0..TYPES_AT + 4 {
            assert!(Bulk::parse(&TYPED[..length], 2).is_err(), "{length}");
        }
        // Without rows it is for the server to refuse.
        assert!(Bulk::parse(&TYPED[..TYPES_AT + 4], 2).is_ok());
    }
}
