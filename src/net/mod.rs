//! Sockets: plain, Unix or TLS, behind one type; the buffers they are read into; the certificates.

pub mod buffer;
pub mod stream;
pub mod tls;

pub use buffer::Buffer;
pub use stream::Stream;
