//! What a fake server does when something happens.

use dauphin_proto::reply::status;

use super::{answer, server::Gate};

/// How a statement is answered: step by step.
#[derive(Debug, Clone, Default)]
pub struct Act(pub(super) Vec<Step>);

#[derive(Debug, Clone)]
pub(super) enum Step {
    /// As a healthy server would.
    Usual,
    Bytes(Vec<u8>),
    /// One byte a write; the reader is given its turn after each.
    Trickle(Vec<u8>),
    /// The reader is given its turn.
    Pause,
    /// Goes out with the answer to the next command, in one write.
    WithTheNext(Vec<u8>),
    Wait(Gate),
    /// Reads whole packets up to an empty one.
    TakeFile,
    /// The same bytes again and again, as long as the peer takes them.
    Endless(Vec<u8>),
    /// So many packets of the longest payload, which are one row or a part of it; the first is numbered 3.
    LongestPackets(u8),
    /// Reads the rest of a command of many packets and keeps none of it.
    TakeRest,
    /// Answers nothing and notices only when the peer closes.
    Never,
    Close,
    /// Closes so that the peer's next call fails.
    Reset,
}

impl Act {
    fn of(step: Step) -> Self {
        Self(vec![step])
    }

    /// As a healthy server would.
    pub fn usual() -> Self {
        Self::of(Step::Usual)
    }

    /// These bytes.
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self::of(Step::Bytes(bytes.into()))
    }

    /// An ERR packet.
    pub fn error(code: u16, message: &str) -> Self {
        Self::bytes(answer::error(code, message))
    }

    /// These bytes, one at a time.
    pub fn trickle(bytes: impl Into<Vec<u8>>) -> Self {
        Self::of(Step::Trickle(bytes.into()))
    }

    /// The first `at` of these bytes, then the rest.
    pub fn split(bytes: &[u8], at: usize) -> Self {
        let (head, tail) = bytes.split_at(at);
        Self(vec![Step::Bytes(head.into()), Step::Pause, Step::Bytes(tail.into())])
    }

    /// These bytes, held back until the answer to the next command goes out.
    pub fn with_the_next(bytes: impl Into<Vec<u8>>) -> Self {
        Self::of(Step::WithTheNext(bytes.into()))
    }

    /// Rows that never end.
    pub fn endless_rows() -> Self {
        let value = "x".repeat(1000);
        let mut payloads = answer::row_payloads(&["c"], &[], status::AUTOCOMMIT);
        payloads.truncate(2);
        let head = answer::packets(&payloads);
        // As many as there are numbers, so that they can be repeated.
        payloads
            .extend(std::iter::repeat_n(answer::row_payloads(&["c"], &[&[&value]], 0).swap_remove(2), 256));
        let rows = answer::packets(&payloads).split_off(head.len());
        Self(vec![Step::Bytes(head), Step::Endless(rows)])
    }

    /// A row of 16 MiB times `packets`, with nothing behind it.
    pub fn long_row(packets: u8) -> Self {
        let mut payloads = answer::row_payloads(&["c"], &[], status::AUTOCOMMIT);
        payloads.truncate(2);
        Self(vec![Step::Bytes(answer::packets(&payloads)), Step::LongestPackets(packets)])
    }

    /// The rest of a long command is read.
    pub fn take_rest() -> Self {
        Self::of(Step::TakeRest)
    }

    /// Nothing, and on to the next command.
    pub fn silence() -> Self {
        Self::default()
    }

    /// Nothing, ever.
    pub fn never() -> Self {
        Self::of(Step::Never)
    }

    /// The end of the connection, without a byte.
    pub fn close() -> Self {
        Self::of(Step::Close)
    }

    /// The abrupt end of the connection.
    pub fn reset() -> Self {
        Self::of(Step::Reset)
    }

    /// Nothing until the gate opens.
    pub fn wait(gate: &Gate) -> Self {
        Self::of(Step::Wait(gate.clone()))
    }

    /// A request for a local file; what comes is read to its end.
    pub fn local_infile(name: &str) -> Self {
        let request = answer::packets(&[[&[0xfb], name.as_bytes()].concat()]);
        Self(vec![Step::Bytes(request), Step::TakeFile])
    }

    /// One after the other.
    pub fn then(mut self, next: Self) -> Self {
        self.0.extend(next.0);
        self
    }
}

/// How a new connection is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Greet {
    /// `caching_sha2_password` finds the account in its cache.
    Fast,
    /// `caching_sha2_password` wants the password itself, under its RSA key.
    Full,
    /// As `Fast`, but not before [`super::FakeServer::let_in`]. It is heard as `(connects)`.
    Held,
    /// Not a word.
    Silent,
    /// Bytes that are no greeting.
    Garbage,
    /// The first bytes of a greeting.
    Half,
    /// A packet that is too large for a greeting, as far as it is taken.
    Huge,
    /// "Too many connections".
    TooMany,
    /// Closed at once.
    Closed,
}
