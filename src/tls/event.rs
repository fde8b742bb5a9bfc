//! What happens to certificates and handshakes, for log, journal and metrics.

use std::net::SocketAddr;
use std::sync::Arc;

use super::material::Held;
use crate::policy::Direction;

/// Who presents a certificate, or looks at one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Holder {
    /// A listener, or an upstream.
    pub direction: Direction,
    /// The upstream's name; `app` for the listener before it.
    pub name: Arc<str>,
}

impl Holder {
    /// As people say it.
    pub fn words(&self) -> &str {
        match self.direction {
            Direction::Inbound => "inbound",
            Direction::Outbound => &self.name,
        }
    }
}

/// Learns of events, on whatever thread they happen. Must not block, nor call back.
pub type Tell = Arc<dyn Fn(&Event) + Send + Sync>;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A handshake came to nothing, because of what somebody presented or speaks.
    Refused {
        /// Whose handshake.
        holder: Holder,
        /// The word for it: of a `Failure` or of a `HandshakeFailed`.
        reason: &'static str,
        /// The other end.
        peer: Option<SocketAddr>,
        /// What people are told. None: one of a kind was told a moment ago, or there is nothing to say.
        told: Option<Told>,
    },
    /// Files have new content, which is used from now on.
    Replaced {
        /// Who uses it.
        holders: Vec<Holder>,
        /// What changed, a sentence.
        what: String,
        /// The certificate that is presented from now on, if that is what changed.
        certificate: Option<Held>,
    },
    /// Files have new content, or are gone, and cannot be used: what was read before stays in force.
    Unusable {
        /// Who would use it.
        holders: Vec<Holder>,
        /// Which file, and what is wrong with it.
        error: String,
    },
    /// What could not be used can be again.
    Recovered {
        /// Who uses it.
        holders: Vec<Holder>,
    },
}

/// A refusal in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Which certificate, and what about it.
    pub why: String,
    /// How many others of the kind there were since the last one that was told.
    pub more: u64,
}
