//! COM_STMT_EXECUTE: the one command whose payload must be changed on its way, since servers number statements apart.

use crate::{ProtocolError, field::Reader};

/// Where the parts of a COM_STMT_EXECUTE payload (from clients without CLIENT_QUERY_ATTRIBUTES) lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Execute<'a> {
    /// The statement's id.
    pub statement_id: u32,
    /// CURSOR_TYPE_*: 0 for none.
    pub flags: u8,
    /// The types of the parameters, two bytes each; `None` if the client says "as the last time".
    pub types: Option<&'a [u8]>,
    /// Offset in the payload of `int<1> new_params_bind_flag`; `None` for a statement without parameters.
    pub bind_flag_at: Option<usize>,
}

/// Offset in the payload of `int<4> statement_id`, in every command that has one.
pub const STATEMENT_ID_AT: usize = 1;

impl<'a> Execute<'a> {
    /// Reads the payload (command byte included) for a statement that has `parameters` of them.
    ///
    /// # Errors
    /// The payload ends inside a field.
    pub fn parse(payload: &'a [u8], parameters: u16) -> Result<Self, ProtocolError> {
        let mut reader = Reader::new(payload, "COM_STMT_EXECUTE");
        reader.u8()?;
        let statement_id = reader.u32()?;
        let flags = reader.u8()?;
        reader.u32()?; // iteration_count: always 1
        if parameters == 0 {
            return Ok(Self { statement_id, flags, types: None, bind_flag_at: None });
        }
        reader.bytes(usize::from(parameters).div_ceil(8))?; // null_bitmap
        let bind_flag_at = payload.len() - reader.rest().len();
        let types = match reader.u8()? {
            0 => None,
            _ => Some(reader.bytes(2 * usize::from(parameters))?),
        };
        Ok(Self { statement_id, flags, types, bind_flag_at: Some(bind_flag_at) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_found_where_there_are_some() {
        let first = [0x17, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0b0, 1, 0x08, 0x00, 42, 0, 0, 0, 0, 0, 0, 0];
        let execute = Execute::parse(&first, 1).unwrap();
        assert_eq!((execute.types, execute.bind_flag_at), (Some(&[0x08, 0x00][..]), Some(11)));
        let mut again = first.to_vec();
        again.drain(12..14);
        again[11] = 0;
        assert_eq!(Execute::parse(&again, 1).unwrap().types, None);
    }

    #[test]
    fn a_payload_that_ends_early_is_an_error() {
        assert!(Execute::parse(&[0x17, 1, 0, 0, 0, 0, 1, 0, 0, 0], 9).is_err());
    }
}
