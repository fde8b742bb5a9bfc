//! Who is at the other end, as its certificate says.

use std::sync::Arc;

/// The identity of a peer whose certificate was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its SPIFFE id: the one URI of its certificate, if that is a `spiffe://` id.
    pub spiffe: Option<Arc<str>>,
    /// The names that its certificate is for, as far as they are DNS names.
    pub names: Arc<[Box<str>]>,
}

impl Peer {
    /// What it is called where one word must do: its id, or else the first of its names.
    pub fn word(&self) -> Option<&str> {
        self.spiffe.as_deref().or_else(|| self.names.first().map(|name| &**name))
    }
}
