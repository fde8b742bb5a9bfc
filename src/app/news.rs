//! Events of the data plane, and what the policy's guard finds, go to log and journal here: on a thread of their own,
//! since writing may block.

mod encryption;
mod rows;

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use self::rows::{Repeatable, Rows};
use super::guard::{self, Accusation};
use crate::clock;
use crate::policy::journal::{ChangeKind, Entry};
use crate::policy::store::PolicyStore;
use crate::telemetry::events;
use crate::telemetry::metrics::Metrics;
use crate::tls;
use crate::upstreams::{Event, state_word};

/// Events that wait to be written; beyond it they are dropped (transitions are counted in metrics anyway).
const WAITING_MAX: usize = 1_024;
/// How long nothing at all may be waited for.
const IDLE: Duration = Duration::from_secs(3_600);

/// Receives events and writes them down.
pub struct Desk {
    door: Door,
    store: Arc<OnceLock<Arc<PolicyStore>>>,
    thread: JoinHandle<()>,
}

enum News {
    Happened(Event),
    Accused(Box<Accusation>),
    Encryption(Box<tls::Event>),
    End,
}

/// Where events are handed in. Never blocks.
#[derive(Clone)]
pub struct Door(SyncSender<News>);

impl Door {
    /// Hands an event in.
    pub fn tell(&self, event: Event) {
        match self.0.try_send(News::Happened(event)) {
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }

    /// Hands in what happened to certificates and handshakes.
    pub fn tell_encryption(&self, event: &tls::Event) {
        match self.0.try_send(News::Encryption(Box::new(event.clone()))) {
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }

    /// Hands in what the guard found; it is acted upon. False: there is no room for it now.
    pub fn accuse(&self, accusation: Accusation) -> bool {
        self.0.try_send(News::Accused(Box::new(accusation))).is_ok()
    }

    /// One that nothing gets through.
    #[cfg(test)]
    pub fn shut() -> Door {
        Door(sync_channel(1).0)
    }
}

impl Desk {
    /// Starts the thread.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn open(metrics: Arc<Metrics>) -> io::Result<Desk> {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        let store = Arc::new(OnceLock::new());
        let followed = Arc::clone(&store);
        let work = move || write_all(&receiver, &followed, &metrics);
        let thread = std::thread::Builder::new().name("events".into()).spawn(work)?;
        Ok(Desk { door: Door(sender), store, thread })
    }

    /// A way in.
    pub fn door(&self) -> Door {
        self.door.clone()
    }

    /// From now on events are journaled too.
    pub fn follow(&self, store: Arc<PolicyStore>) {
        let _ = self.store.set(store);
    }

    /// Writes what waits, then ends.
    pub fn close(self) {
        if self.door.0.send(News::End).is_ok() {
            let _ = self.thread.join();
        }
    }
}

fn write_all(receiver: &Receiver<News>, store: &OnceLock<Arc<PolicyStore>>, metrics: &Metrics) {
    let mut rows = Rows::default();
    let write = |entries: Vec<Entry>| {
        if let Some(store) = store.get() {
            entries.into_iter().for_each(|entry| store.record(entry));
        }
    };
    loop {
        let patience = rows.next_end().map_or(IDLE, |end| end.saturating_duration_since(clock::now()));
        match receiver.recv_timeout(patience) {
            Ok(News::Happened(event)) => {
                if let Some(told) = emit(&event) {
                    write(rows.take(clock::now(), told));
                }
            }
            Ok(News::Accused(accusation)) => {
                if let Some(store) = store.get() {
                    guard::act(store, metrics, &accusation);
                }
            }
            Ok(News::Encryption(event)) => {
                encryption::emit(&event).into_iter().for_each(|told| write(rows.take(clock::now(), told)));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Ok(News::End) | Err(RecvTimeoutError::Disconnected) => return write(rows.finish()),
        }
        write(rows.ended(clock::now()));
    }
}

/// Writes it to the log. What it gives back belongs into the journal.
fn emit(event: &Event) -> Option<Repeatable> {
    let by_itself = |kind, upstream: &str, words: String, line: String| {
        Some(Repeatable { entry: Entry::by_itself(kind, Some(upstream), line), words })
    };
    match event {
        Event::Retries { upstream, route, change } => {
            let (class, from, to) = (change.class.token(), change.from.token(), change.to.token());
            let (retries, rescued) = (change.tries.retries(), change.tries.rescued());
            events::Event::Retries { upstream, route, class, from, to, retries, rescued }.emit();
            let line = format!(
                "{upstream}/{route}: retries after {class}: {from} -> {to} ({rescued} of {retries} rescued a request)"
            );
            by_itself(ChangeKind::Retries, upstream, to.to_owned(), line)
        }
        Event::Circuit { upstream, transition } => {
            let (from, to) = (state_word(transition.from), state_word(transition.to));
            let cause = transition.cause.as_str();
            let (failure_percent, samples) = (transition.failure_percent, transition.samples);
            events::Event::Circuit { upstream, from, to, cause, failure_percent, samples }.emit();
            let words = format!("{from} -> {to}");
            let line = format!("{upstream}: circuit {words} ({cause}, {failure_percent:.0}% of {samples} failed)");
            by_itself(ChangeKind::Breaker, upstream, words, line)
        }
        Event::Ejected { upstream, endpoint, for_ms, failure } => {
            events::Event::Ejected { upstream, endpoint, cause: failure, for_ms: *for_ms }.emit();
            let line = format!("{upstream}: endpoint {endpoint} ejected for {for_ms} ms ({failure})");
            by_itself(ChangeKind::Ejection, upstream, String::new(), line)
        }
        Event::Health { upstream, endpoint, miss, enforced } => {
            let cause = miss.map(|miss| miss.to_string()).unwrap_or_default();
            let action = if *enforced { "enforce" } else { "observe" };
            let state = if miss.is_some() { "unhealthy" } else { "healthy" };
            events::Event::Health { upstream, endpoint, state, cause: &cause, action }.emit();
            let line = match miss {
                Some(_) => format!("{upstream}: endpoint {endpoint} fails its health check ({cause}, {action})"),
                None => format!("{upstream}: endpoint {endpoint} passes its health check again"),
            };
            by_itself(ChangeKind::Ejection, upstream, state.to_owned(), line)
        }
        Event::Endpoints { upstream, added, removed, before, now } => {
            events::Event::Endpoints { upstream, added, removed, total: *now }.emit();
            let line =
                format!("{upstream}: endpoints {before} -> {now}{}{}", list("added", added), list("gone", removed));
            // The first ones are no change: the upstream has just come to be.
            (*before > 0).then(|| by_itself(ChangeKind::Endpoints, upstream, String::new(), line))?
        }
        Event::ResolveFailed { upstream, error } => {
            events::Event::ResolveFailed { upstream, error }.emit();
            let line = format!("{upstream}: name not resolved: {error}");
            by_itself(ChangeKind::Resolution, upstream, "failed".to_owned(), line)
        }
        Event::Resolved { upstream, endpoints } => {
            events::Event::Resolved { upstream, endpoints: *endpoints }.emit();
            let line = format!("{upstream}: name resolved again, endpoints: {endpoints}");
            by_itself(ChangeKind::Resolution, upstream, "resolved".to_owned(), line)
        }
    }
}

fn list(what: &str, addresses: &[String]) -> String {
    if addresses.is_empty() { String::new() } else { format!("; {what}: {}", addresses.join(" ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the journal has of these events, after the start.
    fn journaled(events: Vec<Event>) -> Vec<(ChangeKind, Option<String>, String)> {
        let desk = Desk::open(Metrics::new()).unwrap();
        let store = Arc::new(crate::policy::store::of_texts(&["one"]));
        desk.follow(Arc::clone(&store));
        let door = desk.door();
        events.into_iter().for_each(|event| door.tell(event));
        desk.close();
        let entries = store.changes().into_iter().skip(1);
        entries.map(|mut entry| (entry.kind, entry.upstream, entry.effect.remove(0))).collect()
    }

    fn ejected(endpoint: &str) -> Event {
        Event::Ejected { upstream: "up".into(), endpoint: endpoint.to_owned(), for_ms: 30_000, failure: "reset" }
    }

    #[test]
    fn changes_of_the_endpoint_set_say_how_many_there_were_and_are_and_the_first_is_none() {
        let of = |added: &[&str], removed: &[&str], before, now| {
            let owned = |list: &[&str]| list.iter().map(|address| (*address).to_owned()).collect();
            Event::Endpoints { upstream: "up".into(), added: owned(added), removed: owned(removed), before, now }
        };
        let found = journaled(vec![of(&["a", "b"], &[], 0, 2), of(&["c"], &["a"], 2, 2), of(&[], &["b"], 2, 1)]);
        let texts: Vec<&str> = found.iter().map(|(_, _, text)| text.as_str()).collect();
        assert_eq!(texts, ["up: endpoints 2 -> 2; added: c; gone: a", "up: endpoints 2 -> 1; gone: b"]);
        assert!(
            found.iter().all(|(kind, upstream, _)| (*kind, upstream.as_deref()) == (ChangeKind::Endpoints, Some("up")))
        );
    }

    #[test]
    fn a_name_that_fails_and_one_that_resolves_again_are_entries() {
        let failed = Event::ResolveFailed { upstream: "up".into(), error: "no such name".to_owned() };
        let found = journaled(vec![failed, Event::Resolved { upstream: "up".into(), endpoints: 2 }]);
        let texts: Vec<&str> = found.iter().map(|(_, _, text)| text.as_str()).collect();
        assert_eq!(texts, ["up: name not resolved: no such name", "up: name resolved again, endpoints: 2"]);
    }

    #[test]
    fn a_flood_of_one_kind_is_a_few_lines_and_a_count() {
        let found = journaled((0..50).map(|number| ejected(&number.to_string())).collect());
        let texts: Vec<&str> = found.iter().map(|(_, _, text)| text.as_str()).collect();
        assert_eq!(texts.len(), 4, "{texts:?}");
        assert_eq!(texts[0], "up: endpoint 0 ejected for 30000 ms (reset)");
        assert!(
            texts[3].starts_with("up: 47 more ejections within a minute; the last one: up: endpoint 49"),
            "{texts:?}"
        );
    }
}
