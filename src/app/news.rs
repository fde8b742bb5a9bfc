//! Events of the data plane go to log and journal here: on a thread of their own, since writing may block.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use crate::policy::journal::ChangeKind;
use crate::policy::store::PolicyStore;
use crate::telemetry::events;
use crate::upstreams::{Event, state_word};

/// Events that wait to be written; beyond it they are dropped (transitions are counted in metrics anyway).
const WAITING_MAX: usize = 1_024;

/// Receives events and writes them down.
pub struct Desk {
    door: Door,
    store: Arc<OnceLock<Arc<PolicyStore>>>,
    thread: JoinHandle<()>,
}

/// Where events are handed in. Never blocks.
#[derive(Clone)]
pub struct Door(SyncSender<Option<Event>>);

impl Door {
    /// Hands an event in.
    pub fn tell(&self, event: Event) {
        match self.0.try_send(Some(event)) {
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }
}

impl Desk {
    /// Starts the thread.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn open() -> io::Result<Desk> {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        let store = Arc::new(OnceLock::new());
        let followed = Arc::clone(&store);
        let thread =
            std::thread::Builder::new().name("events".into()).spawn(move || write_all(&receiver, &followed))?;
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
        if self.door.0.send(None).is_ok() {
            let _ = self.thread.join();
        }
    }
}

fn write_all(receiver: &Receiver<Option<Event>>, store: &OnceLock<Arc<PolicyStore>>) {
    while let Ok(Some(event)) = receiver.recv() {
        if let Some((kind, upstream, line)) = emit(&event)
            && let Some(store) = store.get()
        {
            store.record(kind, &upstream, "outrigger", vec![line]);
        }
    }
}

/// Logs it. `None`: it is no change of anything that one could look for in the journal.
fn emit(event: &Event) -> Option<(ChangeKind, String, String)> {
    Some(match event {
        Event::Retries { upstream, route, change } => {
            let (class, from, to) = (change.class.token(), change.from.token(), change.to.token());
            let (retries, rescued) = (change.tries.retries(), change.tries.rescued());
            events::Event::Retries { upstream, route, class, from, to, retries, rescued }.emit();
            return None;
        }
        Event::Circuit { upstream, transition } => {
            let (from, to) = (state_word(transition.from), state_word(transition.to));
            let cause = transition.cause.as_str();
            let (failure_percent, samples) = (transition.failure_percent, transition.samples);
            events::Event::Circuit { upstream, from, to, cause, failure_percent, samples }.emit();
            let line =
                format!("{upstream}: circuit {from} -> {to} ({cause}, {failure_percent:.0} % of {samples} failed)");
            (ChangeKind::Breaker, upstream.to_string(), line)
        }
        Event::Ejected { upstream, endpoint, for_ms, failure } => {
            events::Event::Ejected { upstream, endpoint, cause: failure, for_ms: *for_ms }.emit();
            let line = format!("{upstream}: endpoint {endpoint} ejected for {for_ms} ms ({failure})");
            (ChangeKind::Endpoints, upstream.to_string(), line)
        }
        Event::Endpoints { upstream, added, removed } => {
            let total = added.len();
            events::Event::Endpoints { upstream, added, removed, total }.emit();
            let line = format!("{upstream}: endpoints added [{}], removed [{}]", added.join(" "), removed.join(" "));
            (ChangeKind::Endpoints, upstream.to_string(), line)
        }
        Event::ResolveFailed { upstream, error } => {
            events::Event::ResolveFailed { upstream, error }.emit();
            (ChangeKind::Endpoints, upstream.to_string(), format!("{upstream}: name not resolved: {error}"))
        }
    })
}
