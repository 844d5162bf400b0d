//! One type for every kind of connection.

use std::{
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::{TcpStream, UnixStream},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::{
    Buffer,
    compress::{Compressed, Method},
};

/// A byte stream to a client or a server.
#[derive(Debug)]
pub enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
    /// TLS over TCP.
    Tls(Box<TlsStream<TcpStream>>),
    /// TLS over a Unix socket, for clients that ask for it there: `--ssl-mode=REQUIRED`, an account with REQUIRE SSL.
    TlsOnUnix(Box<TlsStream<UnixStream>>),
    /// One of the others, compressed.
    Compressed(Box<Compressed>),
    /// A pipe in memory, for tests and scripted peers.
    Pipe(tokio::io::DuplexStream),
}

impl Stream {
    /// The peer's address, if it has one.
    pub fn peer(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(tcp) => tcp.peer_addr().ok(),
            Self::Tls(tls) => tls.get_ref().0.peer_addr().ok(),
            Self::Compressed(compressed) => compressed.plain().peer(),
            Self::Unix(_) | Self::TlsOnUnix(_) | Self::Pipe(_) => None,
        }
    }

    /// Whether others on the path can read along; a Unix socket never leaves the machine.
    pub fn is_private(&self) -> bool {
        match self {
            Self::Tcp(_) => false,
            Self::Compressed(compressed) => compressed.plain().is_private(),
            Self::Unix(_) | Self::Tls(_) | Self::TlsOnUnix(_) | Self::Pipe(_) => true,
        }
    }

    /// Whether the connection is encrypted by TLS.
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_) | Self::TlsOnUnix(_))
    }

    /// Whether TLS can begin on it.
    pub fn can_begin_tls(&self) -> bool {
        matches!(self, Self::Tcp(_) | Self::Unix(_))
    }

    /// Whether what is written may wait for a flush.
    fn holds_back(&self) -> bool {
        self.is_tls() || self.is_compressed()
    }

    /// Whether what passes is compressed.
    pub fn is_compressed(&self) -> bool {
        matches!(self, Self::Compressed(_))
    }

    /// The same stream, compressed from here on both ways; `input` was read from it already.
    pub fn compressed(self, input: Buffer, method: Method) -> Self {
        Self::Compressed(Box::new(Compressed::new(self, input, method)))
    }

    /// A second handle on the socket, by which the connection can be cut from another thread; `None` for a pipe.
    ///
    /// # Errors
    /// No file descriptor is left.
    pub fn second_handle(&self) -> io::Result<Option<socket2::Socket>> {
        match self {
            Self::Tcp(tcp) => socket2::SockRef::from(tcp).try_clone().map(Some),
            Self::Tls(tls) => socket2::SockRef::from(tls.get_ref().0).try_clone().map(Some),
            Self::Unix(unix) => socket2::SockRef::from(unix).try_clone().map(Some),
            Self::TlsOnUnix(tls) => socket2::SockRef::from(tls.get_ref().0).try_clone().map(Some),
            Self::Compressed(compressed) => compressed.plain().second_handle(),
            Self::Pipe(_) => Ok(None),
        }
    }

    /// Takes the server's side of a TLS handshake.
    ///
    /// # Errors
    /// The handshake's; a connection on which TLS cannot begin.
    pub async fn accept_tls(self, acceptor: &TlsAcceptor) -> io::Result<Self> {
        match self {
            Self::Tcp(tcp) => Ok(Self::Tls(Box::new(acceptor.accept(tcp).await?.into()))),
            Self::Unix(unix) => Ok(Self::TlsOnUnix(Box::new(acceptor.accept(unix).await?.into()))),
            _ => Err(io::Error::new(io::ErrorKind::Unsupported, "TLS cannot begin on this connection")),
        }
    }

    /// Takes the client's side of a TLS handshake.
    ///
    /// # Errors
    /// The handshake's, with certificate faults among them; a connection that is not plain TCP.
    pub async fn connect_tls(
        self,
        connector: &TlsConnector,
        name: rustls::pki_types::ServerName<'static>,
    ) -> io::Result<Self> {
        match self {
            Self::Tcp(tcp) => Ok(Self::Tls(Box::new(connector.connect(name, tcp).await?.into()))),
            _ => Err(io::Error::new(io::ErrorKind::Unsupported, "TLS to servers is spoken over TCP only")),
        }
    }

    /// Writes all of `bytes` and flushes what TLS or compression may hold back. Not cancel safe: drop the connection.
    ///
    /// # Errors
    /// The stream's.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes).await?;
        if self.holds_back() { self.flush().await } else { Ok(()) }
    }

    /// Like [`send`](Self::send), whole commands for a server, of which the last may go on in later writes.
    ///
    /// # Errors
    /// The stream's.
    pub async fn send_commands(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Compressed(compressed) => compressed.send_commands(bytes).await,
            _ => self.send(bytes).await,
        }
    }

    /// Like [`send`](Self::send), to a peer that must take something within `patience` each time that it is waited for. Not
    /// cancel safe: drop the connection.
    ///
    /// # Errors
    /// The stream's, and [`io::ErrorKind::TimedOut`].
    pub async fn send_within(&mut self, mut bytes: &[u8], patience: Duration) -> io::Result<()> {
        while !bytes.is_empty() {
            match within(patience, self.write(bytes)).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => bytes = &bytes[written..],
            }
        }
        if self.holds_back() { within(patience, self.flush()).await } else { Ok(()) }
    }
}

/// What a stream answers, within `patience`; the clock is looked at only where there is something to wait for. As cancel safe as
/// `io` is.
///
/// # Errors
/// The stream's, and [`io::ErrorKind::TimedOut`].
pub async fn within<T>(patience: Duration, io: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let mut io = pin!(io);
    let at_once = std::future::poll_fn(|context| match io.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => Poll::Ready(None),
    });
    match at_once.await {
        Some(done) => done,
        None => timeout(patience, io).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
    }
}

macro_rules! on_each {
    ($self:expr, $stream:ident => $do:expr) => {
        match $self.get_mut() {
            Stream::Tcp($stream) => $do,
            Stream::Unix($stream) => $do,
            Stream::Tls($stream) => $do,
            Stream::TlsOnUnix($stream) => $do,
            Stream::Compressed($stream) => $do,
            Stream::Pipe($stream) => $do,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        on_each!(self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        on_each!(self, stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_each!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_each!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}
