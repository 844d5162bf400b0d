//! Read buffers, lent from a small store per thread, so that an idle connection holds none.

use std::{
    cell::RefCell,
    io,
    ops::Range,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, ReadBuf};

/// Bytes of an ordinary buffer.
pub const SMALL: usize = 16 << 10;
/// How many idle buffers a thread keeps for the next connection.
const KEPT: usize = 512;

thread_local! {
    static STORE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

fn lend() -> Vec<u8> {
    STORE.with_borrow_mut(Vec::pop).unwrap_or_else(|| vec![0; SMALL])
}

fn give_back(bytes: Vec<u8>) {
    if bytes.len() == SMALL {
        STORE.with_borrow_mut(|store| {
            if store.len() < KEPT {
                store.push(bytes);
            }
        });
    }
}

/// Bytes read and not yet used. Holds memory only while it has any, or while more is expected.
#[derive(Debug, Default)]
pub struct Buffer {
    /// Zero-filled to its length, or empty while nothing is buffered.
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// A buffer that has these bytes unread.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        let end = bytes.len();
        Self { bytes, start: 0, end }
    }

    /// What was read and not yet consumed.
    pub fn unread(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// The same, to be changed in place.
    pub fn unread_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Drops the first `n` bytes; gives the memory back when none are left.
    pub fn consume(&mut self, n: usize) {
        self.start += n;
        debug_assert!(self.start <= self.end);
        if self.start == self.end {
            self.release();
        }
    }

    /// Drops the first `n` bytes and keeps the memory for the reads that follow at once.
    pub fn advance(&mut self, n: usize) {
        self.start += n;
        debug_assert!(self.start <= self.end);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Puts other bytes in the place of some that are unread.
    pub fn replace(&mut self, range: Range<usize>, with: &[u8]) {
        let behind = self.unread()[range.end..].to_vec();
        let at = self.start + range.start;
        self.end = at + with.len() + behind.len();
        if self.bytes.len() < self.end {
            self.bytes.resize(self.end, 0);
        }
        self.bytes[at..self.end - behind.len()].copy_from_slice(with);
        self.bytes[self.end - behind.len()..self.end].copy_from_slice(&behind);
    }

    fn release(&mut self) {
        (self.start, self.end) = (0, 0);
        give_back(std::mem::take(&mut self.bytes));
    }

    /// Makes room for at least one more byte, up to `limit` bytes in all. A buffer grows by doubling as bytes arrive,
    /// never on a peer's announcement.
    fn make_room(&mut self, limit: usize) -> io::Result<()> {
        if self.bytes.is_empty() {
            self.bytes = lend();
        }
        if self.end < self.bytes.len() {
            return Ok(());
        }
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        } else if self.bytes.len() < limit {
            let larger = (self.bytes.len() * 2).min(limit);
            self.bytes.resize(larger, 0);
        } else {
            return Err(io::Error::new(io::ErrorKind::OutOfMemory, "a packet is larger than its limit"));
        }
        Ok(())
    }

    /// Reads once from `stream`; 0 bytes mean its end. Holds no memory while it waits with nothing buffered.
    ///
    /// Cancel safe. The buffer holds at most `limit` bytes: beyond that the error is [`io::ErrorKind::OutOfMemory`].
    ///
    /// # Errors
    /// The stream's, and the one named above.
    pub async fn fill<S: AsyncRead + Unpin>(&mut self, stream: &mut S, limit: usize) -> io::Result<usize> {
        std::future::poll_fn(|context| self.poll_fill(stream, limit, context)).await
    }

    pub(super) fn poll_fill<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        limit: usize,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        self.make_room(limit)?;
        let mut free = ReadBuf::new(&mut self.bytes[self.end..]);
        let polled = Pin::new(stream).poll_read(context, &mut free);
        let n = free.filled().len();
        if polled.is_pending() && self.is_empty() {
            self.release();
        }
        ready!(polled)?;
        self.end += n;
        Poll::Ready(Ok(n))
    }

    /// Whether the last read filled the buffer to its end, so that a larger one would serve better.
    pub fn is_full(&self) -> bool {
        self.end == self.bytes.len()
    }

    /// Grows to `size` bytes at once, for a stream that fills it as fast as it is emptied.
    pub fn widen(&mut self, size: usize) {
        if self.bytes.len() < size {
            self.bytes.resize(size, 0);
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_idle_buffer_holds_no_memory() {
        let (mut near, mut far) = tokio::io::duplex(64);
        let mut buffer = Buffer::default();
        let waiting =
            tokio::time::timeout(std::time::Duration::from_millis(1), buffer.fill(&mut near, SMALL)).await;
        assert!(waiting.is_err());
        assert_eq!(buffer.bytes.capacity(), 0);
        tokio::io::AsyncWriteExt::write_all(&mut far, b"abc").await.unwrap();
        assert_eq!(buffer.fill(&mut near, SMALL).await.unwrap(), 3);
        buffer.consume(3);
        assert_eq!(buffer.bytes.capacity(), 0);
    }

    #[test]
    fn bytes_are_replaced_by_more_or_fewer_of_them() {
        let mut buffer = Buffer::from_bytes(b"-abcdef".to_vec());
        buffer.advance(1);
        buffer.replace(1..3, b"12345");
        assert_eq!(buffer.unread(), b"a12345def");
        buffer.replace(1..6, b"");
        assert_eq!(buffer.unread(), b"adef");
        buffer.replace(4..4, b"g");
        assert_eq!(buffer.unread(), b"adefg");
    }

    #[tokio::test]
    async fn a_packet_beyond_the_limit_is_an_error() {
        let mut far: &[u8] = &[1; 100_000];
        let mut buffer = Buffer::default();
        let mut last = Ok(1);
        while let Ok(1..) = last {
            last = buffer.fill(&mut far, 32 << 10).await;
        }
        assert_eq!(last.unwrap_err().kind(), io::ErrorKind::OutOfMemory);
        assert_eq!(buffer.unread().len(), 32 << 10);
    }
}
