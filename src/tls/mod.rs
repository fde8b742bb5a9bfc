//! TLS on both sides: what is presented, who is believed, and when it changes.
//!
//! A handshake reads the configuration that is in force once; replacing it leaves connections that stand alone.

mod acceptor;
mod certificate;
mod check;
mod client;
mod connector;
mod der;
mod event;
mod material;
mod peer;
mod provider;
mod refusal;
mod registry;
mod roots;
mod server;
#[cfg(test)]
mod tests;
mod transport;

pub use acceptor::{Accepted, Acceptor, HandshakeFailed};
pub use certificate::{Seconds, date, now};
pub use check::{Found, Owner, check};
pub use connector::{Connected, Connector, Offer};
pub use event::{Event, Holder, Tell, Told};
pub use material::{Degree, Held, Part, Problem, Validity};
pub use peer::Peer;
pub use refusal::is_refusal;
pub use registry::{Registry, Standing};
pub use transport::Transport;
