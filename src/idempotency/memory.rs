//! A store in memory: the model that the others are compared with, and what tests use. Forgets all with the process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::answer::StoredAnswer;
use super::identity::Secret;
use super::store::{Answered, Command, Pending, Shown, Store, StoreError};
use crate::reliability::idempotency::{Millis, Op, Record, RecordId, Reply, State, apply};

/// Reads the clock of the store.
pub type Clock = Arc<dyn Fn() -> Millis + Send + Sync>;

/// Records in a map.
pub struct MemoryStore {
    clock: Clock,
    records: Mutex<HashMap<RecordId, Kept>>,
    records_max: usize,
}

struct Kept {
    record: Record,
    route: Arc<str>,
    answer: Option<StoredAnswer>,
}

impl MemoryStore {
    /// An empty one. `records_max`: more are refused.
    pub fn new(clock: Clock, records_max: usize) -> MemoryStore {
        MemoryStore { clock, records: Mutex::default(), records_max }
    }

    /// [`Store::apply`] without waiting: nothing here waits.
    ///
    /// # Errors
    /// [`StoreError::Full`]
    pub fn apply_now(&self, command: Command) -> Result<Answered, StoreError> {
        let now = (self.clock)();
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let known = records.get(&command.id).map(|kept| kept.record);
        let living = known.filter(|known| is_living(*known, now));
        if living.is_none() {
            // Nothing is left of one that has expired.
            records.remove(&command.id);
        }
        let (after, reply) = apply(living, &command.op, now);
        if !records.contains_key(&command.id) && after.is_some() && records.len() >= self.records_max {
            records.retain(|_, kept| is_living(kept.record, now));
            if records.len() >= self.records_max {
                return Err(StoreError::Full);
            }
        }
        let answer = match after {
            None => {
                records.remove(&command.id);
                None
            }
            Some(record) => {
                let kept = records.entry(command.id).or_insert_with(|| Kept {
                    record,
                    route: command.route.unwrap_or_default(),
                    answer: None,
                });
                kept.record = record;
                // A report that is repeated changes nothing.
                let first = living.is_none_or(|known| known.state != State::Complete);
                if reply == Reply::Done && first && command.answer.is_some() {
                    kept.answer = command.answer;
                }
                kept.answer.clone()
            }
        };
        let answer = answer.filter(|_| matches!(reply, Reply::Replay { .. }));
        Ok(Answered { reply, answer, letter: None })
    }
}

/// Whether time has left anything of it.
fn is_living(record: Record, now: Millis) -> bool {
    apply(Some(record), &Op::Lookup { fingerprint: record.fingerprint }, now).0.is_some()
}

impl Store for MemoryStore {
    fn apply(&self, command: Command) -> Pending<'_, Answered> {
        let answered = self.apply_now(command);
        Box::pin(std::future::ready(answered))
    }

    fn secret(&self) -> Pending<'_, Secret> {
        Box::pin(std::future::ready(Ok([7; 32])))
    }

    fn show(&self, id: RecordId) -> Pending<'_, Option<Shown>> {
        let now = (self.clock)();
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = records.get(&id).and_then(|kept| {
            // What time has changed shows, without being written.
            let (record, _) = apply(Some(kept.record), &Op::Lookup { fingerprint: kept.record.fingerprint }, now);
            Some(Shown { record: record?, route: Arc::clone(&kept.route), answer: kept.answer.clone() })
        });
        Box::pin(std::future::ready(Ok(shown)))
    }
}
