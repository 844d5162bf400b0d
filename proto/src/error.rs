//! What can be wrong with a peer's bytes.

/// A packet that breaks the protocol, with the name of what was being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The payload ended inside a field.
    #[error("packet ends inside {0}")]
    Truncated(&'static str),
    /// A field holds a value that the protocol does not know.
    #[error("unexpected value in {0}")]
    Unexpected(&'static str),
    /// A packet's sequence number does not follow its predecessor's.
    #[error("packets out of order: got {got}, expected {expected}")]
    OutOfOrder {
        /// The number in the packet's header.
        got: u8,
        /// The number that had to come.
        expected: u8,
    },
    /// A packet that must be read whole is larger than what is accepted there.
    #[error("{what} is larger than {limit} bytes")]
    TooLarge {
        /// The packet.
        what: &'static str,
        /// The limit in bytes.
        limit: usize,
    },
}
