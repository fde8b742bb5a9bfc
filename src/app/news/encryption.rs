//! Certificates and handshakes, in the words of log and journal.

use super::Repeatable;
use crate::policy::journal::{ChangeKind, Entry};
use crate::telemetry::events;
use crate::tls::{Event, Holder, Told};

/// Users of the same files that a line names.
const NAMED_MAX: usize = 5;

/// Writes it to the log. What it gives back belongs into the journal: new certificates do, handshakes do not.
pub fn emit(event: &Event) -> Option<Repeatable> {
    match event {
        Event::Refused { told: None, .. } => None,
        Event::Refused { holder, reason, peer, told: Some(Told { why, more }) } => {
            let (direction, upstream, more) = (holder.direction.as_str(), holder.name.as_ref(), *more);
            let peer = peer.map(|peer| peer.to_string()).unwrap_or_default();
            events::Event::TlsRefused { direction, upstream, reason, peer: &peer, why, more }.emit();
            None
        }
        Event::Replaced { holders, what, certificate } => {
            let (of, change) = (names(holders), "replaced");
            let subject = certificate.as_ref().map(|held| held.subject.as_str()).unwrap_or_default();
            let expires = certificate.as_ref().map(|held| crate::tls::date(held.not_after)).unwrap_or_default();
            events::Event::Certificate { of: &of, change, subject, expires: &expires, what }.emit();
            Some(entry(holders, change, format!("{of}: {what}")))
        }
        Event::Unusable { holders, error } => {
            let (of, change) = (names(holders), "refused");
            events::Event::Certificate { of: &of, change, subject: "", expires: "", what: error }.emit();
            Some(entry(holders, change, format!("{of}: new files cannot be used, the last good ones stay: {error}")))
        }
        Event::Recovered { holders } => {
            let (of, change, what) = (names(holders), "recovered", "the files hold again what is in use");
            events::Event::Certificate { of: &of, change, subject: "", expires: "", what }.emit();
            Some(entry(holders, change, format!("{of}: {what}")))
        }
    }
}

fn entry(holders: &[Holder], words: &str, line: String) -> Repeatable {
    // What many have in common is nobody's alone.
    let upstream = match holders {
        [only] => Some(only.name.as_ref()),
        _ => None,
    };
    Repeatable { entry: Entry::by_itself(ChangeKind::Certificate, upstream, line), words: words.to_owned() }
}

fn names(holders: &[Holder]) -> String {
    let named: Vec<&str> = holders.iter().take(NAMED_MAX).map(Holder::words).collect();
    let named = named.join(", ");
    match holders.len().saturating_sub(NAMED_MAX) {
        0 => named,
        more => format!("{named} and {more} others"),
    }
}
