//! The session-state block of an OK packet: what a statement changed in its session, in the server's own words.

use crate::{ProtocolError, field::Reader};

/// One change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<'a> {
    /// SESSION_TRACK_SYSTEM_VARIABLES: a session variable's name and new value.
    SystemVariable(&'a [u8], &'a [u8]),
    /// SESSION_TRACK_SCHEMA: the default schema; empty for none.
    Schema(&'a [u8]),
    /// SESSION_TRACK_STATE_CHANGE: anything changed, among what other entries do not name too.
    AnyState,
    /// SESSION_TRACK_GTIDS: a GTID set, `OWN_GTID` of the statement.
    Gtids(&'a [u8]),
    /// SESSION_TRACK_TRANSACTION_CHARACTERISTICS: statements that would start such a transaction.
    TransactionCharacteristics(&'a [u8]),
    /// SESSION_TRACK_TRANSACTION_STATE: eight letters.
    TransactionState(&'a [u8]),
    /// A type that this version does not know.
    Other(u8),
}

impl std::fmt::Display for Change<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = String::from_utf8_lossy;
        match self {
            Self::SystemVariable(name, value) => write!(f, "{}={}", text(name), text(value)),
            Self::Schema(name) => write!(f, "schema={}", text(name)),
            Self::AnyState => f.write_str("state"),
            Self::Gtids(set) => write!(f, "gtids={}", text(set)),
            Self::TransactionCharacteristics(value) => write!(f, "characteristics={}", text(value)),
            Self::TransactionState(value) => write!(f, "transaction={}", text(value)),
            Self::Other(kind) => write!(f, "type {kind}"),
        }
    }
}

/// Iterates over the changes in `block`; the raw bytes of each entry (type, length, data) come along, for filtering.
pub fn changes(block: &[u8]) -> impl Iterator<Item = Result<(Change<'_>, &[u8]), ProtocolError>> {
    let mut reader = Reader::new(block, "a session-state block");
    // MySQL reports several variables in one entry, one after the other; MariaDB does likewise.
    let mut variables: Option<(Reader<'_>, &[u8])> = None;
    std::iter::from_fn(move || {
        loop {
            if let Some((pairs, entry)) = &mut variables {
                if !pairs.is_empty() {
                    let entry = *entry;
                    let pair = next_pair(pairs);
                    if pair.is_err() {
                        variables = None;
                        reader.take_rest();
                    }
                    return Some(pair.map(|(name, value)| (Change::SystemVariable(name, value), entry)));
                }
                variables = None;
            }
            if reader.is_empty() {
                return None;
            }
            match next_entry(&mut reader) {
                Ok((0, data, entry)) => variables = Some((Reader::new(data, "a session variable"), entry)),
                Ok((kind, data, entry)) => return Some(named(kind, data).map(|change| (change, entry))),
                Err(error) => {
                    reader.take_rest();
                    return Some(Err(error));
                }
            }
        }
    })
}

fn next_entry<'a>(reader: &mut Reader<'a>) -> Result<(u8, &'a [u8], &'a [u8]), ProtocolError> {
    let before = reader.rest();
    let kind = reader.u8()?;
    let data = reader.lenenc_bytes()?;
    Ok((kind, data, &before[..before.len() - reader.rest().len()]))
}

fn next_pair<'a>(reader: &mut Reader<'a>) -> Result<(&'a [u8], &'a [u8]), ProtocolError> {
    Ok((reader.lenenc_bytes()?, reader.lenenc_bytes()?))
}

fn named(kind: u8, data: &[u8]) -> Result<Change<'_>, ProtocolError> {
    let mut reader = Reader::new(data, "a session-state entry");
    Ok(match kind {
        1 => Change::Schema(reader.lenenc_bytes()?),
        2 => Change::AnyState,
        3 => {
            reader.u8()?; // encoding specification: always 0, text
            Change::Gtids(reader.lenenc_bytes()?)
        }
        4 => Change::TransactionCharacteristics(reader.lenenc_bytes()?),
        5 => Change::TransactionState(reader.lenenc_bytes()?),
        other => Change::Other(other),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_kind_of_entry_is_read() {
        let block = b"\x00\x0f\x0aautocommit\x03OFF\x01\x05\x04test\x02\x021\x31\x03\x05\x00\x03a:1";
        let read: Vec<_> = changes(block).map(|change| change.unwrap().0).collect();
        assert_eq!(
            read,
            [
                Change::SystemVariable(b"autocommit", b"OFF"),
                Change::Schema(b"test"),
                Change::AnyState,
                Change::Gtids(b"a:1")
            ]
        );
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_end(bytes: Vec<u8>) {
            prop_assert!(changes(&bytes).count() <= bytes.len() + 1);
        }
    }
}
