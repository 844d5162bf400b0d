//! Sockets: plain, Unix or TLS, compressed or not, behind one type; the buffers they are read into; the certificates.

pub mod buffer;
pub mod compress;
pub mod proxy_protocol;
pub mod stream;
pub mod tls;

pub use buffer::Buffer;
pub use stream::{Stream, within};
