//! What bad peers do, by the words that counters and logs use for it: the cause travels inside the `io::Error` that ends the
//! connection, and is counted where the connection ends.

use std::io;

use dauphin_proto::ProtocolError;

/// Why a client's connection ended without its COM_QUIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClientFault {
    /// `[listen] login_timeout` passed.
    #[error("the login was not completed in time")]
    LoginTimeout,
    /// What came in place of a login was none.
    #[error("the login breaks the protocol")]
    LoginGarbage,
    /// The connection ended before the login was complete.
    #[error("the client left during its login")]
    LoginGone,
    /// What came in place of a command was none.
    #[error("the client breaks the protocol")]
    Garbage,
    /// A command was longer than `[limits] max_command`.
    #[error("a command is longer than [limits] max_command")]
    TooLarge,
    /// A command, or a file, was begun and nothing more of it came for `[limits] client_timeout`.
    #[error("nothing more came of a command within [limits] client_timeout")]
    Stalled,
    /// Nothing of an answer was taken for `[limits] client_timeout`.
    #[error("nothing of an answer was taken within [limits] client_timeout")]
    NotReading,
    /// The connection ended, wherever the client was.
    #[error("the client left without a word")]
    Gone,
}

impl ClientFault {
    /// Every cause.
    pub const ALL: [Self; 8] = [
        Self::LoginTimeout,
        Self::LoginGarbage,
        Self::LoginGone,
        Self::Garbage,
        Self::TooLarge,
        Self::Stalled,
        Self::NotReading,
        Self::Gone,
    ];

    /// The word for it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::LoginTimeout => "login_timeout",
            Self::LoginGarbage => "login_garbage",
            Self::LoginGone => "login_gone",
            Self::Garbage => "garbage",
            Self::TooLarge => "too_large",
            Self::Stalled => "stalled",
            Self::NotReading => "not_reading",
            Self::Gone => "gone",
        }
    }

    /// The cause of an error on a client's connection, once it is logged in.
    pub fn of(error: &io::Error) -> Self {
        let named = error.get_ref().and_then(|inner| inner.downcast_ref::<Self>());
        named.copied().unwrap_or(if is_garbage(error) { Self::Garbage } else { Self::Gone })
    }
}

impl From<ClientFault> for io::Error {
    fn from(fault: ClientFault) -> Self {
        Self::other(fault)
    }
}

/// How a connection was lost under a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// It ended or broke.
    Closed,
    /// The server's bytes break the protocol.
    Garbage,
}

impl Loss {
    /// Every cause.
    pub const ALL: [Self; 2] = [Self::Closed, Self::Garbage];

    /// The word for it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Garbage => "garbage",
        }
    }

    /// The cause of an error on a server's connection.
    pub fn of(error: &io::Error) -> Self {
        if is_garbage(error) { Self::Garbage } else { Self::Closed }
    }
}

/// Why a connection to a server could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoConnection {
    /// Nobody answers, or the connection broke.
    Unreachable,
    /// `[pool] connect_timeout` passed.
    Timeout,
    /// The server said no.
    Refused,
    /// What it said breaks the protocol.
    Garbage,
    /// TLS is missing or failed.
    Tls,
    /// It lacks what the account or the client needs.
    Unfit,
}

impl NoConnection {
    /// Every cause.
    pub const ALL: [Self; 6] =
        [Self::Unreachable, Self::Timeout, Self::Refused, Self::Garbage, Self::Tls, Self::Unfit];

    /// The word for it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Refused => "refused",
            Self::Garbage => "garbage",
            Self::Tls => "tls",
            Self::Unfit => "unfit",
        }
    }
}

/// Whether an error says that a peer's bytes break the protocol, rather than that they ended.
pub fn is_garbage(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidData
        || error.kind() == io::ErrorKind::OutOfMemory // a packet beyond a buffer's limit
        || error.get_ref().is_some_and(|inner| inner.is::<ProtocolError>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_its_cause_on_its_way() {
        for fault in ClientFault::ALL {
            assert_eq!(ClientFault::of(&fault.into()), fault);
        }
        assert_eq!(ClientFault::of(&io::ErrorKind::ConnectionReset.into()), ClientFault::Gone);
        let broken = ProtocolError::Unexpected("a test");
        assert_eq!(ClientFault::of(&io::Error::other(broken)), ClientFault::Garbage);
        assert_eq!(Loss::of(&io::Error::other(broken)), Loss::Garbage);
        assert_eq!(Loss::of(&io::ErrorKind::UnexpectedEof.into()), Loss::Closed);
    }
}
