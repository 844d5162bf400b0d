//! COM_STMT_EXECUTE: the one command whose payload must be changed on its way, since servers number statements apart.

use std::borrow::Cow;

use crate::{ProtocolError, attributes, command::Queries, field::Reader};

/// Where the parts of a COM_STMT_EXECUTE payload lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execute<'a> {
    /// The statement's id.
    pub statement_id: u32,
    /// CURSOR_TYPE_*: 0 for none.
    pub flags: u8,
    /// The types of the statement's parameters, two bytes each; `None` if the client says "as the last time". Behind
    /// them there may be attributes, whose types are of this once.
    pub types: Option<Cow<'a, [u8]>>,
    /// How many values there are, the attributes' included.
    pub values: usize,
    /// Offset in the payload of `int<1> new_params_bind_flag`; `None` for a statement without parameters.
    pub bind_flag_at: Option<usize>,
}

/// Offset in the payload of `int<4> statement_id`, in every command that has one.
pub const STATEMENT_ID_AT: usize = 1;

/// CURSOR_TYPE_READ_ONLY, CURSOR_TYPE_FOR_UPDATE and CURSOR_TYPE_SCROLLABLE, of the flags.
const CURSOR_TYPES: u8 = 7;
/// PARAMETER_COUNT_AVAILABLE, of the flags: attributes may follow also where the statement has no parameters.
const PARAMETER_COUNT: u8 = 8;
/// `enum_field_types`
const TYPE_NULL: u16 = 6;

impl<'a> Execute<'a> {
    /// Whether a cursor is to be opened.
    pub fn opens_cursor(&self) -> bool {
        self.flags & CURSOR_TYPES != 0
    }

    /// Reads the payload (command byte included) for a statement that has `parameters` of them.
    ///
    /// # Errors
    /// The payload ends inside a field.
    pub fn parse(payload: &'a [u8], parameters: u16, queries: Queries) -> Result<Self, ProtocolError> {
        let mut reader = Reader::new(payload, "COM_STMT_EXECUTE");
        reader.u8()?;
        let statement_id = reader.u32()?;
        let flags = reader.u8()?;
        reader.u32()?; // iteration_count: always 1
        let with_attributes = queries == Queries::WithAttributes;
        let parameters = usize::from(parameters);
        let has_values = parameters > 0 || with_attributes && flags & PARAMETER_COUNT != 0;
        let values = if with_attributes && has_values { attributes::count(&mut reader)? } else { parameters };
        if values == 0 {
            return Ok(Self { statement_id, flags, types: None, values, bind_flag_at: None });
        }
        reader.bytes(values.div_ceil(8))?; // null_bitmap
        let bind_flag_at = payload.len() - reader.rest().len();
        let types = match reader.u8()? {
            0 => None,
            _ if with_attributes => Some(named_types(&mut reader, parameters, values)?.into()),
            _ => Some(reader.bytes(2 * parameters)?.into()),
        };
        Ok(Self { statement_id, flags, types, values, bind_flag_at: Some(bind_flag_at) })
    }

    /// Appends `int<1> new_params_bind_flag` and what follows it when the parameters' types are told: for a payload that
    /// has none, in place of its flag.
    pub fn put_types(&self, out: &mut Vec<u8>, types: &[u8], queries: Queries) {
        out.push(1);
        if queries == Queries::Plain {
            out.extend_from_slice(types);
            return;
        }
        // Of attributes without a type only NULL can be.
        let beyond = std::iter::repeat(TYPE_NULL.to_le_bytes());
        let known = types.chunks_exact(2).map(|two| [two[0], two[1]]);
        for kind in known.chain(beyond).take(self.values) {
            out.extend_from_slice(&kind);
            out.push(0); // no name
        }
    }
}

/// The parameters' types, without the names that stand between them, and without those of attributes.
fn named_types(reader: &mut Reader<'_>, parameters: usize, values: usize) -> Result<Vec<u8>, ProtocolError> {
    let mut types = Vec::with_capacity(2 * parameters);
    for at in 0..values {
        let (kind, _name) = attributes::type_and_name(reader)?;
        if at < parameters {
            types.extend_from_slice(&kind.to_le_bytes());
        }
    }
    Ok(types)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_found_where_there_are_some() {
        let first = [0x17, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0b0, 1, 0x08, 0x00, 42, 0, 0, 0, 0, 0, 0, 0];
        let execute = Execute::parse(&first, 1, Queries::Plain).unwrap();
        assert_eq!((execute.types.as_deref(), execute.bind_flag_at), (Some(&[0x08, 0x00][..]), Some(11)));
        let mut again = first.to_vec();
        again.drain(12..14);
        again[11] = 0;
        assert_eq!(Execute::parse(&again, 1, Queries::Plain).unwrap().types, None);
    }

    #[test]
    fn a_payload_that_ends_early_is_an_error() {
        assert!(Execute::parse(&[0x17, 1, 0, 0, 0, 0, 1, 0, 0, 0], 9, Queries::Plain).is_err());
    }

    #[test]
    fn attributes_stand_behind_the_parameters() {
        // One parameter, 42, and `n` = 7, as libmysqlclient sends them.
        let payload = b"\x17\x01\0\0\0\x08\x01\0\0\0\x02\0\x01\x08\0\0\x01\0\x01n\x2a\0\0\0\0\0\0\0\x07";
        let execute = Execute::parse(payload, 1, Queries::WithAttributes).unwrap();
        assert_eq!((execute.types.as_deref(), execute.values), (Some(&[0x08, 0x00][..]), 2));
        assert_eq!(execute.bind_flag_at, Some(12));
        // A statement without parameters, with one attribute and with none.
        let alone = b"\x17\x01\0\0\0\x08\x01\0\0\0\x01\0\x01\x01\0\x01n\x07";
        let execute = Execute::parse(alone, 0, Queries::WithAttributes).unwrap();
        assert_eq!((execute.types.as_deref(), execute.values), (Some(&[][..]), 1));
        let none = b"\x17\x01\0\0\0\x08\x01\0\0\0\0";
        assert_eq!(Execute::parse(none, 0, Queries::WithAttributes).unwrap().values, 0);
        // The flag's absence says that nothing follows.
        let bare = b"\x17\x01\0\0\0\0\x01\0\0\0";
        assert_eq!(Execute::parse(bare, 0, Queries::WithAttributes).unwrap().values, 0);
    }

    #[test]
    fn types_that_are_told_get_empty_names_and_attributes_that_of_null() {
        let payload = b"\x17\x01\0\0\0\x08\x01\0\0\0\x02\x02\0\x2a\0\0\0\0\0\0\0";
        let execute = Execute::parse(payload, 1, Queries::WithAttributes).unwrap();
        assert_eq!(execute.types, None);
        let mut told = Vec::new();
        execute.put_types(&mut told, &[8, 0], Queries::WithAttributes);
        assert_eq!(told, [1, 8, 0, 0, 6, 0, 0]);
    }
}
