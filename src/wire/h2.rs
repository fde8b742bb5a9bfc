//! HTTP/2 upstream connections: a few per endpoint, shared by all requests to it.
//!
//! The `h2` crate is used directly. hyper's client would spend three tasks and two channels on each request, and hides
//! what decides whether a request may be sent again: which stream a GOAWAY spares, who reset a stream, and how many
//! streams the peer takes. Here the attempt's own future writes its head and waits for the answer's; a task of its own
//! has the connection, and a body that streams.

mod body;
mod connection;
mod connections;
mod exchange;
mod probe;
mod request;
mod tunnel;
mod upload;

pub(in crate::wire) use body::Received;
pub use connections::{Connections, Joined, Opened, Patience};
pub use exchange::Place;
pub(in crate::wire) use probe::{HEALTH_PATH, call_health, get_status};
pub use tunnel::Tunnel;

/// Streams on one connection, if the peer allows as many. More open a further connection, and with it a further task.
const STREAMS_MAX: u32 = 256;
/// So much of one answer is buffered while its reader is slow.
const STREAM_WINDOW: u32 = 256 * 1024;
/// Room for all streams at once: a reader that has stopped holds its own window and nobody else's.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * STREAMS_MAX;
/// So much of one request is buffered beyond what the peer's window takes.
const SEND_BUFFER_MAX: usize = 256 * 1024;
/// The head of an answer larger than this is refused, and so are its trailers. In the measure of HTTP/2: 32 bytes more
/// for each field.
const HEAD_BYTES_MAX: u32 = 64 * 1024;
/// …and one with more fields.
const FIELDS_MAX: usize = 100;
/// So many interim answers (1xx) may precede the final one.
const INTERIM_MAX: u32 = 32;

#[cfg(test)]
mod interleaved;
#[cfg(all(test, feature = "testing"))]
mod tests;
