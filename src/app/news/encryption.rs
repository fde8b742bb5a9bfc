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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Direction;

    fn holder(name: &str) -> Holder {
        Holder { direction: Direction::Outbound, name: name.into() }
    }

    #[test]
    fn new_certificates_are_entries_and_handshakes_are_not() {
        let refused = Event::Refused {
            holder: holder("payments"),
            reason: "tls-certificate",
            peer: None,
            told: Some(Told { why: "it expired".to_owned(), more: 3 }),
        };
        assert!(emit(&refused).is_none());
        let holders = vec![holder("payments")];
        let what = "certificate of a replaced".to_owned();
        let entry = emit(&Event::Replaced { holders, what, certificate: None }).unwrap().entry;
        assert_eq!((entry.kind, entry.upstream.as_deref()), (ChangeKind::Certificate, Some("payments")));
        assert_eq!(entry.effect, ["payments: certificate of a replaced"]);
    }

    #[test]
    fn what_many_share_is_nobodys_alone_and_names_a_few() {
        let holders: Vec<Holder> = (0..8).map(|number| holder(&format!("u{number}"))).collect();
        let entry = emit(&Event::Unusable { holders, error: "/tls.crt is empty".to_owned() }).unwrap().entry;
        assert_eq!(entry.upstream, None);
        assert!(entry.effect[0].starts_with("u0, u1, u2, u3, u4 and 3 others: new files"), "{:?}", entry.effect);
    }
}
