//! Dead letters that are configured and do not do what they are there for.

use http::Method;

use super::{Code, Lint};
use crate::policy::dead_letter::DeadLetterBounds;
use crate::policy::origin::PROCESS;
use crate::policy::raw::scalar::Position;
use crate::policy::{Policy, RoutePolicy, UpstreamPolicy};

impl Lint<'_> {
    pub(super) fn dead_letters(&mut self, policy: &Policy) {
        let block = self.origins.position(PROCESS, None, "deadLetter");
        match &policy.dead_letters {
            Some(bounds) => self.letter_key(policy, bounds, block.or_else(|| self.first_route(policy))),
            None if block.is_some() => {
                let message = "no route has deadLetter, so nothing is kept within these bounds".to_owned();
                self.report(Code::UnusedDeadLetter, block, message);
            }
            None => {}
        }
    }

    fn first_route(&self, policy: &Policy) -> Option<Position> {
        let routes = policy.upstreams.iter().zip(0..).flat_map(|(upstream, index)| {
            (0..).zip(&upstream.routes).map(move |(number, route)| (index, number, route))
        });
        let mut letters = routes.filter(|(_, _, route)| route.dead_letter.is_some());
        letters.find_map(|(index, number, _)| self.origins.position(index, Some(number), "deadLetter"))
    }

    /// `block`: where it is said that letters are kept.
    fn letter_key(&mut self, policy: &Policy, bounds: &DeadLetterBounds, block: Option<Position>) {
        let folder = policy.stores.embedded.as_ref().and_then(|store| store.path.parent());
        let (position, message) = match &bounds.key_file {
            None => (block, "the key that seals dead letters is made beside the file that they lie in".to_owned()),
            Some(key) if key.parent() == folder => {
                let message = format!("{} lies in the same folder as the dead letters that it seals", key.display());
                (self.origins.position(PROCESS, None, "deadLetter.keyFile"), message)
            }
            Some(_) => return,
        };
        self.report(Code::KeyBesideLetters, position, message);
    }

    /// `place`: index and number of the route. `methods`: what it matches; empty = any.
    pub(super) fn letters_of_route(
        &mut self,
        place: (u32, u32),
        upstream: &UpstreamPolicy,
        methods: &[Method],
        route: &RoutePolicy,
    ) {
        if route.dead_letter.is_none() {
            return;
        }
        let label = format!("{}/{}", upstream.name, route.name);
        let position = self.origins.position(place.0, Some(place.1), "deadLetter");
        if !methods.is_empty() && methods.iter().all(Method::is_safe) {
            let list: Vec<&str> = methods.iter().map(Method::as_str).collect();
            let message = format!("{label} matches {} only, and no letters are kept of safe methods", list.join(", "));
            self.report(Code::NothingToRepair, position, message);
        } else if route.idempotency.is_none() {
            let message = format!("{label}: without keys, a replay cannot be told from the client's own next try");
            self.report(Code::ReplayWithoutKey, position, message);
        }
    }
}
