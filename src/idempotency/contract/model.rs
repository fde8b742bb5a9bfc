//! A store as simple as can be: the pure machine, a map, and what a crash leaves of it.

use std::collections::BTreeMap;

use crate::idempotency::answer::StoredAnswer;
use crate::idempotency::store::{Answered, Command};
use crate::reliability::idempotency::{Millis, Op, Record, RecordId, Reply, State, apply};

#[derive(Default)]
pub(crate) struct Model {
    keys: BTreeMap<RecordId, Kept>,
}

#[derive(Clone, Debug, Default)]
struct Kept {
    record: Option<Record>,
    /// What outlives a crash: every state but CLAIMED.
    written: Option<Record>,
    answer: Option<StoredAnswer>,
}

impl Model {
    pub fn apply(&mut self, command: Command, now: Millis) -> Answered {
        let kept = self.keys.entry(command.id).or_default();
        let before = kept.record;
        let (after, reply) = apply(before, &command.op, now);
        kept.record = after;
        if before.and_then(|record| apply(Some(record), &lookup(&record), now).0).is_none() {
            // It had expired, and what is written with it: a new claim has nothing to do with either.
            kept.written = None;
        }
        match after.map(|record| record.state) {
            // What it was claimed from stays written, and is pinned with it.
            Some(State::Claimed) => {
                if matches!(command.op, Op::Pin | Op::Unpin)
                    && let Some(written) = &mut kept.written
                {
                    written.pinned = after.is_some_and(|record| record.pinned);
                }
            }
            _ => kept.written = after,
        }
        match (reply, after.map(|record| record.state)) {
            (Reply::Granted { .. }, _) | (_, None) => kept.answer = None,
            // The first answer counts: somebody may have heard it.
            (Reply::Done, Some(State::Complete)) if before != after && command.answer.is_some() => {
                kept.answer = command.answer;
            }
            _ => {}
        }
        let replayed = kept.answer.clone().filter(|_| matches!(reply, Reply::Replay { .. }));
        Answered { reply, answer: replayed, letter: None }
    }

    /// The process ends, and another one reads what was written.
    pub fn restart(&mut self, now: Millis) {
        for kept in self.keys.values_mut() {
            let orphan = kept.written.map(|record| Record { lease_until: 0, ..record });
            let found = orphan.and_then(|record| apply(Some(record), &lookup(&record), now).0);
            (kept.record, kept.written) = (found, found);
        }
    }

    /// The record now, without its lease, which only its owner cares about; and the answer.
    pub fn shown(&self, id: RecordId, now: Millis) -> Option<(Record, Option<StoredAnswer>)> {
        let kept = self.keys.get(&id)?;
        let record = kept.record.and_then(|record| apply(Some(record), &lookup(&record), now).0)?;
        let answer = kept.answer.clone().filter(|_| record.state == State::Complete);
        Some((Record { lease_until: 0, ..record }, answer))
    }
}

fn lookup(record: &Record) -> Op {
    Op::Lookup { fingerprint: record.fingerprint }
}
