//! Listening for clients: accept, limit, hand over, and stop.

use std::{io, os::unix::fs::FileTypeExt, path::Path, sync::Arc};

use anyhow::Context as _;
use tokio::net::{TcpListener, TcpSocket, UnixListener};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::ListenAddress,
    error::ClientError,
    net::Stream,
    session::{self, Client, Context, registry::Registry},
};

/// A socket that clients connect to.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket; its file is removed when the listener is dropped.
    Unix(UnixListener, Unlink),
}

/// Removes a socket's file.
#[derive(Debug)]
pub struct Unlink(std::path::PathBuf);

impl Drop for Unlink {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Listener {
    /// Binds an address.
    ///
    /// # Errors
    /// The address is taken, or may not be used.
    pub fn bind(address: &ListenAddress, backlog: u32) -> anyhow::Result<Self> {
        Self::bind_for("[listen] address", address, backlog)
    }

    /// Binds an address that the config has at `place`.
    ///
    /// # Errors
    /// The address is taken, or may not be used.
    pub fn bind_for(place: &str, address: &ListenAddress, backlog: u32) -> anyhow::Result<Self> {
        let what = || format!("{place} {address}");
        match address {
            ListenAddress::Tcp(address) => {
                let socket = if address.is_ipv6() { TcpSocket::new_v6() } else { TcpSocket::new_v4() }?;
                socket.set_reuseaddr(true)?;
                socket.bind(*address).with_context(what)?;
                Ok(Self::Tcp(socket.listen(backlog).with_context(what)?))
            }
            ListenAddress::Unix(path) => {
                remove_dead_socket(path).with_context(what)?;
                let listener = UnixListener::bind(path).with_context(what)?;
                Ok(Self::Unix(listener, Unlink(path.clone())))
            }
        }
    }

    /// Where it listens, with the port that the system chose.
    pub fn address(&self) -> String {
        match self {
            Self::Tcp(listener) => {
                listener.local_addr().map(|address| address.to_string()).unwrap_or_default()
            }
            Self::Unix(_, Unlink(path)) => path.display().to_string(),
        }
    }

    /// The next connection. Cancel safe.
    ///
    /// # Errors
    /// The system's, out of file descriptors among them.
    pub async fn accept(&self) -> io::Result<Stream> {
        Ok(match self {
            Self::Tcp(listener) => {
                let (tcp, _) = listener.accept().await?;
                tcp.set_nodelay(true)?;
                let keepalive = socket2::TcpKeepalive::new().with_time(std::time::Duration::from_secs(60));
                socket2::SockRef::from(&tcp).set_tcp_keepalive(&keepalive)?;
                Stream::Tcp(tcp)
            }
            Self::Unix(listener, _) => Stream::Unix(listener.accept().await?.0),
        })
    }

    /// Accepts clients until `stop`; each session is one task of `sessions`.
    pub async fn run(self, context: Arc<Context>, sessions: TaskTracker, stop: CancellationToken) {
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                accepted = self.accept() => accepted,
            };
            match accepted {
                Ok(stream) => hand_over(stream, &context, &sessions),
                Err(error) => {
                    // Out of file descriptors, most likely: it passes, and until then accepting again at once is a spin.
                    tracing::warn!(address = self.address(), %error, "cannot accept a client");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
        }
    }
}

/// A socket file that nobody listens on is left from an earlier start.
fn remove_dead_socket(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => match std::os::unix::net::UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

fn hand_over(stream: Stream, context: &Arc<Context>, sessions: &TaskTracker) {
    let context = context.clone();
    let mut client = Client::new(stream, context.config.limits.max_command);
    match Registry::admit(&context) {
        Some(admitted) => {
            sessions.spawn(async move {
                let _admitted = admitted;
                session::serve(context, client).await;
            });
        }
        None => {
            sessions.spawn(async move {
                let refusal = client.error(ClientError::too_many_connections(""), 0);
                let _ = tokio::time::timeout(std::time::Duration::from_secs(1), refusal).await;
            });
        }
    }
}
