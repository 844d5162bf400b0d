//! The compressed protocol: the byte stream in frames of their own, each compressed by zlib or zstd, or as it is.
//!
//! A server drops what follows a command in the same frame, so towards servers each command has frames of its own, numbered
//! from 0.
//!
//! Frames are read and written as they come: memory does not grow with their size, but for the window of zstd, which a peer
//! chooses up to [`WINDOW_LOG_MAX`].

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use dauphin_proto::packet;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};

use zstd::{
    bulk,
    stream::raw::{Decoder, Operation as _},
    zstd_safe::{DParameter, InBuffer, OutBuffer},
};

use super::{Buffer, Stream, buffer::SMALL};

/// Bytes of a frame's header: length, number, length before compression.
const HEADER: usize = 7;
/// Shorter pieces are sent as they are, as servers do.
const WORTH_IT: usize = 50;
/// The most that goes into one frame, in bytes before compression.
const MOST: usize = 64 << 10;

/// The largest window that is accepted of zstd: as large as the largest frame, 16 MiB.
const WINDOW_LOG_MAX: u32 = 24;
/// What servers use where a client names no level.
pub const ZSTD_LEVEL: u8 = 3;

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Deflate, RFC 1950.
    Zlib,
    /// Zstandard, RFC 8878, at this level; 0 and levels that it does not have stand for 3.
    Zstd(u8),
}

thread_local! {
    // A quarter of a MiB, and a frame is made in one go: one for all connections of a thread.
    static DEFLATE: RefCell<Compress> = RefCell::new(Compress::new(Compression::fast(), true));
    static ZSTD: RefCell<Option<bulk::Compressor<'static>>> = const { RefCell::new(None) };
}

/// A stream to a client that has asked for compression, or to a server that was asked for it.
#[derive(Debug)]
pub struct Compressed {
    plain: Stream,
    input: Buffer,
    frame: Frame,
    method: Method,
    /// The number of the next frame that is sent: one more than the last, whoever sent it.
    sequence: u8,
    /// Frames on their way out, and how much of them is written.
    output: Vec<u8>,
    written: usize,
}

/// What of a frame is still to come.
#[derive(Debug)]
enum Frame {
    Header,
    AsItIs { left: usize },
    Deflated { left: usize, inflated: usize, inflate: Inflate },
}

enum Inflate {
    Zlib(Box<Decompress>),
    Zstd(Box<Decoder<'static>>),
}

impl std::fmt::Debug for Inflate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Zlib(_) => "Zlib",
            Self::Zstd(_) => "Zstd",
        })
    }
}

impl Inflate {
    fn new(method: Method) -> io::Result<Self> {
        Ok(match method {
            Method::Zlib => Self::Zlib(Box::new(Decompress::new(true))),
            Method::Zstd(_) => {
                let mut decoder = Decoder::new()?;
                decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX))?;
                Self::Zstd(Box::new(decoder))
            }
        })
    }

    /// Inflates some of `bytes` into `into`: how many bytes were used and made, and whether that was the end.
    fn step(&mut self, bytes: &[u8], into: &mut [u8]) -> io::Result<(usize, usize, bool)> {
        match self {
            Self::Zlib(inflate) => {
                let (in_before, out_before) = (inflate.total_in(), inflate.total_out());
                let status =
                    inflate.decompress(bytes, into, FlushDecompress::None).map_err(|_| malformed())?;
                let used = (inflate.total_in() - in_before) as usize;
                let made = (inflate.total_out() - out_before) as usize;
                Ok((used, made, status == Status::StreamEnd))
            }
            Self::Zstd(decoder) => {
                let (mut input, mut output) = (InBuffer::around(bytes), OutBuffer::around(into));
                let wanted = decoder.run(&mut input, &mut output).map_err(|_| malformed())?;
                Ok((input.pos(), output.pos(), wanted == 0))
            }
        }
    }
}

impl Compressed {
    /// Everything from here on is compressed; `input` was read from `plain` already.
    pub fn new(plain: Stream, input: Buffer, method: Method) -> Self {
        Self { plain, input, frame: Frame::Header, method, sequence: 0, output: Vec::new(), written: 0 }
    }

    /// The stream that carries the frames.
    pub fn plain(&self) -> &Stream {
        &self.plain
    }

    /// Sends whole commands, of which the last may go on in later writes. Not cancel safe: drop the connection.
    pub(super) async fn send_commands(&mut self, bytes: &[u8]) -> io::Result<()> {
        for command in packet::commands(bytes) {
            self.sequence = 0;
            self.write_all(command).await?;
        }
        self.flush().await
    }

    fn poll_input(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.input.poll_fill(&mut self.plain, SMALL, cx)
    }

    /// Reads the next frame's header; `false` at the stream's end.
    fn poll_header(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        while self.input.unread().len() < HEADER {
            if ready!(self.poll_input(cx))? == 0 {
                let ends = if self.input.is_empty() { Ok(false) } else { Err(cut_off()) };
                return Poll::Ready(ends);
            }
        }
        let head = self.input.unread();
        let number = |at: usize| {
            usize::from(head[at]) | usize::from(head[at + 1]) << 8 | usize::from(head[at + 2]) << 16
        };
        let (left, sequence, inflated) = (number(0), head[3], number(4));
        self.input.consume(HEADER);
        self.sequence = sequence.wrapping_add(1);
        self.frame = match inflated {
            0 => Frame::AsItIs { left },
            _ => Frame::Deflated { left, inflated, inflate: Inflate::new(self.method)? },
        };
        Poll::Ready(Ok(true))
    }

    /// Reads bytes of the frame into `buf`; none if the frame has ended.
    fn poll_frame(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let left = match &self.frame {
                Frame::Header => return Poll::Ready(Ok(())),
                Frame::AsItIs { left } | Frame::Deflated { left, .. } => *left,
            };
            if left > 0 && self.input.is_empty() && ready!(self.poll_input(cx))? == 0 {
                return Poll::Ready(Err(cut_off()));
            }
            let bytes = self.input.unread();
            let bytes = &bytes[..bytes.len().min(left)];
            let (used, made) = match &mut self.frame {
                Frame::Header => (0, 0),
                Frame::AsItIs { left } => {
                    let n = bytes.len().min(buf.remaining());
                    buf.put_slice(&bytes[..n]);
                    *left -= n;
                    if *left == 0 {
                        self.frame = Frame::Header;
                    }
                    (n, n)
                }
                Frame::Deflated { left, inflated, inflate } => {
                    let (used, made, is_done) = inflate.step(bytes, buf.initialize_unfilled())?;
                    *left -= used;
                    *inflated = inflated.checked_sub(made).ok_or_else(malformed)?;
                    if is_done && (*left > 0 || *inflated > 0)
                        || !is_done && used == 0 && made == 0 && *left == 0
                    {
                        return Poll::Ready(Err(malformed()));
                    }
                    if is_done {
                        self.frame = Frame::Header;
                    }
                    buf.advance(made);
                    (used, made)
                }
            };
            self.input.consume(used);
            if made > 0 || buf.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Puts at most [`MOST`] of `bytes` into a frame; answers how many.
    fn put_frame(&mut self, bytes: &[u8]) -> usize {
        let bytes = &bytes[..bytes.len().min(MOST)];
        let start = self.output.len();
        self.output.resize(start + HEADER + bytes.len(), 0);
        let (head, body) = self.output[start..].split_at_mut(HEADER);
        let deflated = (bytes.len() >= WORTH_IT).then(|| self.method.deflate(bytes, body)).flatten();
        let (length, before) = match deflated {
            Some(length) => (length, bytes.len()),
            None => {
                body.copy_from_slice(bytes);
                (bytes.len(), 0)
            }
        };
        head[..3].copy_from_slice(&length.to_le_bytes()[..3]);
        head[3] = self.sequence;
        head[4..].copy_from_slice(&before.to_le_bytes()[..3]);
        self.output.truncate(start + HEADER + length);
        self.sequence = self.sequence.wrapping_add(1);
        bytes.len()
    }

    fn poll_output(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.output.len() {
            let n = ready!(Pin::new(&mut self.plain).poll_write(cx, &self.output[self.written..]))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += n;
        }
        self.written = 0;
        self.output = Vec::new();
        Poll::Ready(Ok(()))
    }
}

impl Method {
    /// The length of what `bytes` become in `into`, if that is shorter.
    fn deflate(self, bytes: &[u8], into: &mut [u8]) -> Option<usize> {
        let length = match self {
            Self::Zlib => DEFLATE.with_borrow_mut(|deflate| {
                deflate.reset();
                let status = deflate.compress(bytes, into, FlushCompress::Finish).ok()?;
                (status == Status::StreamEnd).then_some(deflate.total_out() as usize)
            }),
            Self::Zstd(level) => ZSTD.with_borrow_mut(|compressor| {
                let level = if (1..=22).contains(&level) { level } else { ZSTD_LEVEL }.into();
                let compressor = match compressor {
                    Some(compressor) => compressor,
                    None => compressor.insert(bulk::Compressor::new(level).ok()?),
                };
                compressor.set_compression_level(level).ok()?;
                compressor.compress_to_buffer(bytes, into).ok()
            }),
        };
        length.filter(|&length| length < bytes.len())
    }
}

fn cut_off() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended inside a compressed packet")
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a compressed packet is malformed")
}

impl AsyncRead for Compressed {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        while buf.filled().len() == before && buf.remaining() > 0 {
            if matches!(this.frame, Frame::Header) && !ready!(this.poll_header(cx))? {
                break;
            }
            ready!(this.poll_frame(cx, buf))?;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Compressed {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        // Short frames go together.
        if this.output.len() + bytes.len() > MOST {
            ready!(this.poll_output(cx))?;
        }
        Poll::Ready(Ok(this.put_frame(bytes)))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_output(cx))?;
        Pin::new(&mut this.plain).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_output(cx))?;
        Pin::new(&mut this.plain).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
