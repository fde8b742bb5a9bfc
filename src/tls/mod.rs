//! TLS on both sides: what is presented, who is believed, and when it changes.
//!
//! A handshake reads the configuration that is in force once; replacing it leaves connections that stand alone.

mod acceptor;
mod connector;
mod peer;
mod registry;
mod transport;

pub use acceptor::{Accepted, Acceptor, HandshakeFailed};
pub use connector::{Connected, Connector, Offer};
pub use peer::Peer;
pub use registry::Registry;
pub use transport::Transport;
