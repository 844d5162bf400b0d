//! The compressed protocol: the byte stream in frames of their own, each compressed by zlib or zstd, or as it is.
//!
//! Frames are read and written as they come: memory does not grow with their size, but for the window of zstd, which a client
//! chooses up to [`WINDOW_LOG_MAX`].

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

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
const ZSTD_LEVEL: u8 = 3;

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

/// A stream to a client that has asked for compression.
#[derive(Debug)]
pub struct Compressed {
    plain: Stream,
    input: Buffer,
    frame: Frame,
    method: Method,
    /// The number of the next frame that is sent: one more than the last, whoever sent it.
    sequence: u8,
    /// A frame on its way out, and how much of it is written.
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
        self.output.resize(HEADER + bytes.len(), 0);
        let (head, body) = self.output.split_at_mut(HEADER);
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
        self.output.truncate(HEADER + length);
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
        ready!(this.poll_output(cx))?;
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
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const METHODS: [Method; 2] = [Method::Zlib, Method::Zstd(3)];

    fn pair(capacity: usize, method: Method) -> (Compressed, Compressed) {
        let (near, far) = tokio::io::duplex(capacity);
        let end = |pipe| Compressed::new(Stream::Pipe(pipe), Buffer::default(), method);
        (end(near), end(far))
    }

    #[tokio::test]
    async fn what_is_sent_arrives_however_it_is_cut() {
        let random: Vec<u8> = (0..100_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let texts = [b"short".to_vec(), b"0123456789".repeat(30_000), random, vec![7; WORTH_IT]].concat();
        for (capacity, method) in
            [1, 7, 300, 1 << 20].into_iter().flat_map(|n| METHODS.map(|method| (n, method)))
        {
            let (mut near, mut far) = pair(capacity, method);
            let sent = texts.clone();
            let sender = tokio::spawn(async move {
                for piece in sent.chunks(70_001) {
                    near.write_all(piece).await.unwrap();
                    near.flush().await.unwrap();
                }
                near.shutdown().await.unwrap();
            });
            let mut got = Vec::new();
            far.read_to_end(&mut got).await.unwrap();
            sender.await.unwrap();
            assert_eq!(got, texts, "{capacity} {method:?}");
            assert!(matches!(far.frame, Frame::Header) && far.input.is_empty());
        }
    }

    #[tokio::test]
    async fn long_text_is_deflated_and_frames_are_numbered_on() {
        for method in METHODS {
            let (mut near, far) = pair(1 << 20, method);
            near.sequence = 255;
            for text in [&[b'x'; 1000][..], b"no"] {
                near.write_all(text).await.unwrap();
                near.flush().await.unwrap();
            }
            let mut wire = far.plain;
            let mut head = [0; HEADER];
            wire.read_exact(&mut head).await.unwrap();
            assert!(head[0] < 50 && head[3] == 255 && head[4..] == [0xe8, 3, 0], "{head:?}");
            let mut body = vec![0; head[0].into()];
            wire.read_exact(&mut body).await.unwrap();
            let mut last = [0; HEADER + 2];
            wire.read_exact(&mut last).await.unwrap();
            assert_eq!(last, *b"\x02\x00\x00\x00\x00\x00\x00no");
        }
    }

    #[tokio::test]
    async fn malformed_frames_are_errors() {
        for method in METHODS {
            let mut zeros = vec![0; 100];
            let length = method.deflate(&[0; 100], &mut zeros).unwrap() as u8;
            let whole = &zeros[..length.into()];
            for (bytes, error) in [
                (&b"\x05\x00\x00\x00\x09\x00\x00hello"[..], io::ErrorKind::InvalidData),
                (&[&[length, 0, 0, 0, 99, 0, 0], whole].concat(), io::ErrorKind::InvalidData),
                (&[&[length, 0, 0, 0, 101, 0, 0], whole].concat(), io::ErrorKind::InvalidData),
                (&[&[length - 2, 0, 0, 0, 100, 0, 0], whole].concat(), io::ErrorKind::InvalidData),
                (&[&[length + 1, 0, 0, 0, 100, 0, 0], whole, &[0]].concat(), io::ErrorKind::InvalidData),
                (b"\x05\x00\x00\x00\x00\x00\x00hell", io::ErrorKind::UnexpectedEof),
                (b"\x05\x00", io::ErrorKind::UnexpectedEof),
            ] {
                let (near, mut far) = tokio::io::duplex(1000);
                far.write_all(bytes).await.unwrap();
                drop(far);
                let mut near = Compressed::new(Stream::Pipe(near), Buffer::default(), method);
                let got = near.read_to_end(&mut Vec::new()).await;
                assert_eq!(got.unwrap_err().kind(), error, "{bytes:?} {method:?}");
            }
        }
    }
}
