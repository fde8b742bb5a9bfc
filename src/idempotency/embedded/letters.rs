//! Dead letters in the file, beside the records of their keys: a letter and the pin of its record are one transaction.

mod audit;
mod rows;
mod tables;
mod task;

use std::collections::HashMap;

use rusqlite::{Connection, Result};

use super::index::Index;
use super::rows::millis;
use crate::dead_letters::letter::{
    Bounds, Captured, Deed, Ended, KeyOrigin, LetterId, NewLetter, Refusal, Stub, Words,
};
use crate::reliability::dead_letters::{Cause, Class, LetterState};
use crate::reliability::idempotency::{Millis, Op, Record, RecordId, State};
use crate::sabotage::{Point, crash_point};

pub(super) use self::tables::TABLES;
pub(super) use self::task::{Asked, Desk, Errand};

/// Closed letters that make room for a new one, at most.
const EVICTIONS_MAX: usize = 64;

/// Letters that one look for overdue ones closes or forgets, at most.
const EXPIRE_MAX: usize = 200;

/// Who acts where nobody does.
const OURSELVES: &str = "outrigger";

/// What the writer knows of the letters in the file.
#[derive(Default)]
pub(super) struct Shelf {
    /// `None`: it has to be counted again.
    kept: Option<Kept>,
}

/// What is taken of the bounds.
#[derive(Default)]
struct Kept {
    letters: u64,
    bytes: u64,
    queues: HashMap<String, (u64, u64)>,
    stubs: u64,
}

impl Kept {
    fn count(c: &Connection) -> Result<Kept> {
        let mut kept = Kept::default();
        for tally in rows::tallies(c)? {
            kept.letters += tally.letters;
            kept.bytes += tally.bytes;
            let queue = kept.queues.entry(tally.queue).or_default();
            queue.0 += tally.letters;
            queue.1 += tally.bytes;
        }
        kept.stubs = c.query_row("SELECT count(*) FROM dlq_stub", [], |row| row.get(0).map(millis))?;
        Ok(kept)
    }

    fn add(&mut self, queue: &str, bytes: u64) {
        self.letters += 1;
        self.bytes += bytes;
        let of_queue = self.queues.entry(queue.to_owned()).or_default();
        of_queue.0 += 1;
        of_queue.1 += bytes;
    }

    fn take(&mut self, queue: &str, bytes: u64) {
        self.letters = self.letters.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
        if let Some(of_queue) = self.queues.get_mut(queue) {
            *of_queue = (of_queue.0.saturating_sub(1), of_queue.1.saturating_sub(bytes));
        }
    }

    fn fits(&self, bounds: &Bounds, queue: &str, bytes: u64) -> std::result::Result<(), Tight> {
        let share = |bound: u64| u64::try_from(u128::from(bound) * u128::from(bounds.share_max) / 100).unwrap_or(bound);
        let (letters, size) = self.queues.get(queue).copied().unwrap_or_default();
        if self.letters >= bounds.letters_max || self.bytes + bytes > bounds.bytes_max {
            return Err(Tight::Everything);
        }
        if letters >= share(bounds.letters_max).max(1) || size + bytes > share(bounds.bytes_max) {
            return Err(Tight::Queue);
        }
        Ok(())
    }
}

/// Which bound is reached.
enum Tight {
    Everything,
    Queue,
}

impl Shelf {
    /// The transaction was given up: what was counted in it did not happen.
    pub fn forget_counts(&mut self) {
        self.kept = None;
    }

    fn kept(&mut self, c: &Connection) -> Result<&mut Kept> {
        if self.kept.is_none() {
            self.kept = Some(Kept::count(c)?);
        }
        Ok(self.kept.get_or_insert_default())
    }

    /// Whether anything is noted of requests that are under way.
    pub fn has_stubs(&mut self, c: &Connection) -> Result<bool> {
        Ok(self.kept(c)?.stubs > 0)
    }

    /// Keeps a letter, or says which bound is in the way. Closed letters make room; open ones never do.
    pub fn keep(
        &mut self,
        c: &Connection,
        bounds: &Bounds,
        new: &NewLetter,
        now: Millis,
    ) -> Result<std::result::Result<LetterId, Refusal>> {
        let words = tables::written(&new.words)?;
        if let Some((record, _)) = new.record
            && let Some(open) = rows::open_of(c, record)?
        {
            rows::renew(c, open, new, &words, now)?;
            crash_point(Point::InsideLetter);
            return Ok(Ok(open));
        }
        if rows::exists(c, new.id)? {
            // Whoever did not hear that it is kept says it again.
            return Ok(Ok(new.id));
        }
        let (queue, bytes) = (&new.words.captured.queue, rows::size(new, &words));
        if let Err(refusal) = self.make_room(c, bounds, queue, bytes)? {
            return Ok(Err(refusal));
        }
        rows::insert(c, new, &words, now, after(now, bounds))?;
        crash_point(Point::InsideLetter);
        self.kept(c)?.add(queue, bytes);
        Ok(Ok(new.id))
    }

    fn make_room(
        &mut self,
        c: &Connection,
        bounds: &Bounds,
        queue: &str,
        bytes: u64,
    ) -> Result<std::result::Result<(), Refusal>> {
        for _ in 0..EVICTIONS_MAX {
            let kept = self.kept(c)?;
            let crowded = match kept.fits(bounds, queue, bytes) {
                Ok(()) => return Ok(Ok(())),
                Err(Tight::Everything) => None,
                Err(Tight::Queue) => Some(queue),
            };
            match rows::forget_oldest_closed(c, crowded)? {
                Some((queue, bytes)) => kept.take(&queue, bytes),
                None => break,
            }
        }
        Ok(Err(Refusal::Full(format!(
            "open dead letters take all that is allowed: {} letters, {} bytes, {}% for one queue",
            bounds.letters_max, bounds.bytes_max, bounds.share_max
        ))))
    }

    /// Notes what is needed for a letter, should this process end before the request does.
    pub fn note(&mut self, c: &Connection, record: RecordId, stub: &Stub) -> Result<()> {
        rows::put_stub(c, record, stub)?;
        crash_point(Point::StubWritten);
        self.kept(c)?.stubs += 1;
        Ok(())
    }

    /// What an operation on a record means for its letters and its stub. Returns whether letters were closed by it:
    /// then nothing needs the record any more. Called before the record is written.
    pub fn follow(
        &mut self,
        c: &Connection,
        (id, before): (RecordId, Option<Record>),
        op: &Op,
        (now, bounds): (Millis, &Bounds),
    ) -> Result<bool> {
        let ends = matches!(op, Op::Complete { .. } | Op::Fail { .. } | Op::Release { .. });
        if ends && self.has_stubs(c)? {
            let gone = rows::drop_stub(c, id)? as u64;
            let kept = self.kept(c)?;
            kept.stubs = kept.stubs.saturating_sub(gone);
        }
        if !before.is_some_and(|record| record.pinned) {
            return Ok(false);
        }
        match op {
            Op::Complete { ambiguous: false, .. } => {
                let closed = rows::close_of(c, id, false, now, after(now, bounds))?;
                crash_point(Point::InsideSupersede);
                Ok(closed > 0)
            }
            Op::ResolveExecuted { .. } => rows::close_of(c, id, true, now, after(now, bounds)).map(|closed| closed > 0),
            Op::ResolveNotExecuted { .. } => rows::set_not_executed(c, id, now).map(|()| false),
            _ => Ok(false),
        }
    }

    /// Closes letters that were open for too long, and forgets closed ones. Returns the records that no letter needs
    /// any more.
    pub fn expire(&mut self, c: &Connection, bounds: &Bounds, now: Millis) -> Result<Vec<RecordId>> {
        let overdue = rows::overdue(c, now, EXPIRE_MAX)?;
        let mut records = Vec::new();
        for (id, record, class) in &overdue {
            let note = "nobody decided about it in time";
            rows::set(c, *id, (LetterState::Expired, *class, note), false, (now, after(now, bounds)))?;
            let deed = Deed {
                actor: OURSELVES.to_owned(),
                action: "expire".to_owned(),
                reason: note.to_owned(),
                detail: format!("was open, {}", class.as_str()),
            };
            audit::add(c, Some(*id), &deed, now)?;
            records.extend(*record);
        }
        let forgotten = rows::forget_expired(c, now, EXPIRE_MAX)?;
        if !forgotten.is_empty() {
            let kept = self.kept(c)?;
            forgotten.iter().for_each(|(queue, bytes)| kept.take(queue, *bytes));
        }
        Ok(records)
    }
}

/// Writes down who did something, in the transaction that is open.
pub(super) fn write_down(c: &Connection, letter: Option<LetterId>, deed: &Deed, now: Millis) -> Result<()> {
    audit::add(c, letter, deed, now)
}

/// When something that was changed now is forgotten.
fn after(now: Millis, bounds: &Bounds) -> Millis {
    now.saturating_add(Millis::try_from(bounds.retention.as_millis()).unwrap_or(Millis::MAX))
}

/// A request that was under way when the process before this one ended.
pub(super) struct Lost<'a> {
    pub id: RecordId,
    pub record: &'a Record,
    /// `upstream/route`.
    pub route: &'a str,
}

/// What the start makes of what an earlier process left: requests that were under way become letters, and letters
/// whose replay was cut short are open again. `routes`: those that keep letters, with their queues. Returns how many
/// letters found no room.
pub(super) fn recover(
    c: &Connection,
    index: &Index,
    lost: &[Lost<'_>],
    (bounds, routes): (&Bounds, &HashMap<String, String>),
    now: Millis,
) -> Result<u64> {
    let mut shelf = Shelf::default();
    let mut refused = 0;
    let mut stubs: HashMap<RecordId, Stub> = rows::take_stubs(c)?.into_iter().collect();
    for lost in lost {
        let stub = stubs.remove(&lost.id).or_else(|| bare(lost, routes, now));
        let Some(stub) = stub else { continue };
        let new = NewLetter {
            id: stub.id,
            class: Class::Unknown,
            cause: Cause::ProcessEnded,
            contract: lost.record.contract,
            record: Some((lost.id, lost.record.fingerprint)),
            words: Words {
                captured: stub.captured,
                ended: Ended { reason: "process-ended".to_owned(), ..Ended::default() },
            },
            sealed: stub.sealed,
        };
        if shelf.keep(c, bounds, &new, now)?.is_err() {
            refused += 1;
            continue;
        }
        let row = index.with(lost.id, |live| {
            live.record.iter_mut().for_each(|record| record.pinned = true);
            live.row
        });
        c.prepare_cached("UPDATE idem SET pinned = 1 WHERE n = ?1")?.execute([row.map(|row| row.0)])?;
    }
    for (id, record, class) in rows::interrupted(c)? {
        let state =
            record.and_then(|id| index.with(id, |live| live.record)).map(|record| (record.state, record.ambiguous));
        let class = match state {
            // It was released: the replay had not sent anything.
            Some((State::Retryable, false)) => class,
            _ => Class::Unknown,
        };
        let note = "its replay was cut short by the end of the process";
        rows::set(c, id, (LetterState::Open, class, note), false, (now, after(now, bounds)))?;
    }
    Ok(refused)
}

/// Of a request that nothing was noted of, what its record tells.
fn bare(lost: &Lost<'_>, routes: &HashMap<String, String>, now: Millis) -> Option<Stub> {
    let queue = routes.get(lost.route)?;
    let (upstream, route) = lost.route.split_once('/')?;
    let captured = Captured {
        queue: queue.clone(),
        upstream: upstream.to_owned(),
        route: route.to_owned(),
        direction: if upstream == "app" { "inbound" } else { "outbound" }.to_owned(),
        method: String::new(),
        host: String::new(),
        target: String::new(),
        fields: Vec::new(),
        body_bytes: 0,
        body_sha256: String::new(),
        not_replayable: Some(
            "nothing but its key was noted before it was sent: `capture: send` on the route notes the request"
                .to_owned(),
        ),
        key_origin: KeyOrigin::Client,
        trace_id: String::new(),
        policy_revision: 0,
        contract: lost.record.contract.as_str().to_owned(),
    };
    Some(Stub { id: LetterId::new(now, crate::random::bits128()), captured, sealed: None })
}
