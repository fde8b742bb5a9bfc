//! Where each value of a compiled policy is written.

use std::collections::HashMap;

use super::raw::scalar::Position;

/// In place of an upstream: values of the process as a whole.
pub const PROCESS: u32 = u32::MAX;

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Its own block.
    File(Position),
    /// The `defaults` block.
    Defaults(Position),
    /// Nowhere: Outrigger's own default.
    BuiltIn,
}

impl Origin {
    pub const fn position(self) -> Option<Position> {
        match self {
            Origin::File(position) | Origin::Defaults(position) => Some(position),
            Origin::BuiltIn => None,
        }
    }
}

/// An upstream, and a route of it; None = the upstream as a whole.
type Place = (u32, Option<u32>);

/// Origins by upstream (index in `Policy::upstreams`), route (None = the upstream as a whole) and key.
#[derive(Debug, Default)]
pub struct Origins {
    /// The keys of one place are few: a list of them is smaller than a map, and as fast.
    places: HashMap<Place, Vec<(&'static str, Origin)>>,
}

impl Origins {
    pub(super) fn insert(&mut self, upstream: u32, route: Option<u32>, key: &'static str, origin: Origin) {
        let keys = self.places.entry((upstream, route)).or_default();
        match keys.iter_mut().find(|(known, _)| *known == key) {
            Some((_, place)) => *place = origin,
            None => keys.push((key, origin)),
        }
    }

    pub fn of(&self, upstream: u32, route: Option<u32>, key: &'static str) -> Origin {
        let keys = self.places.get(&(upstream, route)).map(Vec::as_slice).unwrap_or_default();
        keys.iter().find(|(known, _)| *known == key).map_or(Origin::BuiltIn, |(_, origin)| *origin)
    }

    /// Where the value stands; None = built in.
    pub fn position(&self, upstream: u32, route: Option<u32>, key: &'static str) -> Option<Position> {
        self.of(upstream, route, key).position()
    }
}
