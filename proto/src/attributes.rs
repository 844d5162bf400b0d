//! Query attributes: named values in front of a COM_QUERY's text, and behind the parameters of a COM_STMT_EXECUTE.
//!
//! A server that finds other bytes to be the text than dauphin does would run what nobody has looked at. So this reads as
//! MySQL does (9.7: `parse_query_bind_params`, `get_ps_param_len`), and refuses what MySQL takes in a way of its own.

use crate::{ProtocolError, field::Reader};

/// Servers read no more attributes than these.
const MOST: u64 = 65_535;
/// `enum_field_types` of fixed length; all others are `string<lenenc>`.
mod kind {
    pub const TINY: u16 = 1;
    pub const SHORT: u16 = 2;
    pub const LONG: u16 = 3;
    pub const FLOAT: u16 = 4;
    pub const DOUBLE: u16 = 5;
    pub const LONGLONG: u16 = 8;
    /// "Unsupported in this version of the Server".
    pub const BOOL: u16 = 244;
}
/// Of a type's two bytes the bit that says "unsigned".
const UNSIGNED: u16 = 1 << 15;

/// The attributes of a COM_QUERY.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attributes<'a> {
    null_bitmap: &'a [u8],
    /// Types and names.
    types: &'a [u8],
    values: &'a [u8],
    count: usize,
}

/// One attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// In the client's character set; may be empty.
    pub name: &'a [u8],
    /// The value.
    pub value: Value<'a>,
}

/// An attribute's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// NULL.
    Null,
    /// Of a type of fixed length: a number, little-endian.
    Fixed(&'a [u8]),
    /// Any other: text, bytes or the parts of a date.
    Bytes(&'a [u8]),
}

impl<'a> Attributes<'a> {
    /// The attributes in front of a COM_QUERY's text, from the whole payload of a client with CLIENT_QUERY_ATTRIBUTES;
    /// and the text's offset in the payload.
    ///
    /// # Errors
    /// The block ends inside a field, or servers take it for malformed.
    pub fn of_query(payload: &'a [u8]) -> Result<(Self, usize), ProtocolError> {
        const WHAT: &str = "the attributes of a COM_QUERY";
        // None, in one set: nearly all that there is.
        if let [_, 0, 1, ..] = payload {
            return Ok((Self::default(), 3));
        }
        let mut reader = Reader::new(payload, WHAT);
        reader.u8()?;
        let count = count(&mut reader)?;
        if reader.lenenc()? != 1 {
            return Err(ProtocolError::Unexpected(WHAT)); // parameter_set_count: always 1
        }
        let mut attributes = Self { count, ..Self::default() };
        if count > 0 {
            attributes.null_bitmap = reader.bytes(count.div_ceil(8))?;
            if reader.u8()? == 0 {
                return Err(ProtocolError::Unexpected(WHAT)); // new_params_bind_flag: there are no earlier types
            }
            let types = reader.rest();
            for _ in 0..count {
                type_and_name(&mut reader)?;
            }
            attributes.types = &types[..types.len() - reader.rest().len()];
            attributes.values = reader.rest();
        }
        let mut each = attributes.each();
        each.by_ref().try_for_each(|attribute| attribute.map(drop))?;
        let text = if count > 0 { each.values.rest() } else { reader.rest() };
        attributes.values = &attributes.values[..attributes.values.len() - each.values.rest().len()];
        Ok((attributes, payload.len() - text.len()))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Attribute<'a>> + use<'a> {
        self.each().map_while(Result::ok)
    }

    fn each(&self) -> Each<'a> {
        const WHAT: &str = "an attribute of a COM_QUERY";
        Each {
            null_bitmap: self.null_bitmap,
            types: Reader::new(self.types, WHAT),
            values: Reader::new(self.values, WHAT),
            at: 0,
            count: self.count,
        }
    }
}

struct Each<'a> {
    null_bitmap: &'a [u8],
    types: Reader<'a>,
    values: Reader<'a>,
    at: usize,
    count: usize,
}

impl<'a> Each<'a> {
    fn read(&mut self) -> Result<Attribute<'a>, ProtocolError> {
        let (kind, name) = type_and_name(&mut self.types)?;
        let is_null = self.null_bitmap[self.at / 8] & 1 << (self.at % 8) != 0;
        self.at += 1;
        let value = if is_null { Value::Null } else { value(&mut self.values, kind)? };
        Ok(Attribute { name, value })
    }
}

impl<'a> Iterator for Each<'a> {
    type Item = Result<Attribute<'a>, ProtocolError>;

    fn next(&mut self) -> Option<Self::Item> {
        (self.at < self.count).then(|| self.read())
    }
}

/// `int<lenenc> parameter_count`
pub(crate) fn count(reader: &mut Reader<'_>) -> Result<usize, ProtocolError> {
    match reader.lenenc()? {
        count @ 0..=MOST => Ok(count as usize),
        _ => Err(ProtocolError::Unexpected("the number of attributes")),
    }
}

/// `int<2> parameter_type` and `string<lenenc> parameter_name`
pub(crate) fn type_and_name<'a>(reader: &mut Reader<'a>) -> Result<(u16, &'a [u8]), ProtocolError> {
    Ok((reader.u16()?, reader.lenenc_bytes()?))
}

fn value<'a>(reader: &mut Reader<'a>, kind: u16) -> Result<Value<'a>, ProtocolError> {
    let length = match kind & !UNSIGNED {
        kind::TINY => 1,
        kind::SHORT => 2,
        kind::LONG | kind::FLOAT => 4,
        kind::LONGLONG | kind::DOUBLE => 8,
        kind::BOOL => return Err(ProtocolError::Unexpected("the type of an attribute")),
        // A server cuts a text that is longer than the packet: what is left to run is nothing.
        _ => return reader.lenenc_bytes().map(Value::Bytes),
    };
    reader.bytes(length).map(Value::Fixed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Two attributes, `n` = 7 and `trace` = "abc", as libmysqlclient sends them.
    const TWO: &[u8] = b"\x03\x02\x01\0\x01\x08\0\x01n\xfe\0\x05trace\x07\0\0\0\0\0\0\0\x03abcSELECT 1";

    #[test]
    fn the_text_stands_behind_the_attributes() {
        let (attributes, at) = Attributes::of_query(TWO).unwrap();
        assert_eq!(&TWO[at..], b"SELECT 1");
        let all: Vec<_> = attributes.iter().collect();
        let number = Attribute { name: b"n", value: Value::Fixed(&[7, 0, 0, 0, 0, 0, 0, 0]) };
        assert_eq!(all, [number, Attribute { name: b"trace", value: Value::Bytes(b"abc") }]);
    }

    #[test]
    fn none_is_two_bytes() {
        let (attributes, at) = Attributes::of_query(b"\x03\0\x01DO 0").unwrap();
        assert_eq!((attributes.iter().count(), at), (0, 3));
    }

    #[test]
    fn null_has_no_value() {
        let payload = b"\x03\x01\x01\x01\x01\xfe\0\x01nDO 0";
        let (attributes, at) = Attributes::of_query(payload).unwrap();
        assert_eq!(attributes.iter().next(), Some(Attribute { name: b"n", value: Value::Null }));
        assert_eq!(&payload[at..], b"DO 0");
    }

    #[test]
    fn what_servers_refuse_or_cut_is_an_error() {
        for payload in [
            &b"\x03"[..],
            b"\x03\0",
            b"\x03\0\0DO 0",                          // no set
            b"\x03\0\x02DO 0",                        // two sets
            b"\x03SELECT 1",                          // no block: 83 of them in 69 sets
            b"\x03\xfbDO 0",                          // NULL of them
            b"\x03\xfe\0\0\x01\0\0\0\0\0\x01DO 0",    // 65,536 of them
            b"\x03\x01\x01\0\0DO 0",                  // types of an earlier one
            b"\x03\x01\x01\0\x01\xf4\0\x01n\x01DO 0", // MYSQL_TYPE_BOOL
            b"\x03\x01\x01\0\x01\xfe\0\x01n\x7fDO 0", // a text beyond the packet
            b"\x03\x01\x01\0\x01\xfe\0\x01n\xffDO 0", // a length that is none
            b"\x03\x01\x01\0\x01\xfe\0\x7fnDO 0",     // a name beyond the packet
        ] {
            assert!(Attributes::of_query(payload).is_err(), "{payload:x?}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            if let Ok((attributes, at)) = Attributes::of_query(&bytes) {
                prop_assert!(at <= bytes.len());
                prop_assert_eq!(attributes.iter().count(), attributes.count);
            }
        }

        #[test]
        fn the_text_is_found_behind_any_attributes(
            all in prop::collection::vec((any::<bool>(), 0_u16..256, "[a-z.]{0,300}", any::<[u8; 8]>()), 0..20),
            text: Vec<u8>,
        ) {
            let all: Vec<_> = all.into_iter().filter(|one| one.1 != kind::BOOL).collect();
            let mut payload = vec![3, all.len() as u8, 1];
            let (mut nulls, mut types, mut values) = (vec![0; all.len().div_ceil(8)], Vec::new(), Vec::new());
            for (at, (is_null, kind, name, value)) in all.iter().enumerate() {
                types.extend_from_slice(&kind.to_le_bytes());
                crate::field::put_lenenc_bytes(&mut types, name.as_bytes());
                match (is_null, kind) {
                    (true, _) => nulls[at / 8] |= 1 << (at % 8),
                    (_, 1) => values.extend_from_slice(&value[..1]),
                    (_, 2) => values.extend_from_slice(&value[..2]),
                    (_, 3 | 4) => values.extend_from_slice(&value[..4]),
                    (_, 5 | 8) => values.extend_from_slice(value),
                    _ => crate::field::put_lenenc_bytes(&mut values, value),
                }
            }
            if !all.is_empty() {
                payload.extend_from_slice(&nulls);
                payload.push(1);
                payload.extend_from_slice(&types);
                payload.extend_from_slice(&values);
            }
            payload.extend_from_slice(&text);
            let (attributes, at) = Attributes::of_query(&payload).unwrap();
            prop_assert_eq!(&payload[at..], &text[..]);
            let names: Vec<_> = attributes.iter().map(|attribute| attribute.name.to_vec()).collect();
            let expected: Vec<_> = all.iter().map(|one| one.2.clone().into_bytes()).collect();
            prop_assert_eq!(names, expected);
        }
    }
}
