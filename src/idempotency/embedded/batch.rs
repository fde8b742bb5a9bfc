//! The commands of one transaction.

use rusqlite::{Error, ErrorCode};
use tokio::sync::oneshot;

use super::Shared;
use super::deliveries::Delivery;
use super::index::alive;
use super::letters;
use super::rows::{Placed, RowId, Rows, Written};
use super::step::{Effect, Pinning, Step};
use crate::dead_letters::letter::{LetterId, Refusal};
use crate::idempotency::store::{Answered, Command, Rider, Shown, StoreError};
use crate::reliability::dead_letters::LetterState;
use crate::reliability::idempotency::{Millis, Op, Record, RecordId, Reply, State};
use crate::sabotage::{Point, crash_point};

/// What somebody waits for.
pub(super) enum Ask {
    Apply(Command, oneshot::Sender<Result<Answered, StoreError>>),
    Show(RecordId, oneshot::Sender<Result<Option<Shown>, StoreError>>),
}

/// The disk does not do what it should.
pub(super) struct Broken {
    pub error: Error,
    /// Records of which the file may say something else than the index, and the row in which it may.
    pub suspects: Vec<Suspect>,
}

pub(super) type Suspect = (RecordId, Option<RowId>);

impl From<Error> for Broken {
    fn from(error: Error) -> Broken {
        Broken { error, suspects: Vec::new() }
    }
}

/// Commands that are committed together.
#[derive(Default)]
pub(super) struct Batch {
    jobs: Vec<Job>,
}

struct Job {
    id: RecordId,
    /// Taken when it is answered.
    ask: Option<Ask>,
    told: Option<Told>,
    /// The letter that came with it found no room in the file: without it.
    bare: bool,
    /// What was known of the key before, and of its row: for the way back.
    before: Option<Before>,
    /// Where it may have written.
    row: Option<RowId>,
}

#[derive(Clone, Copy)]
struct Before {
    record: Option<Record>,
    row: Option<RowId>,
    on_disk: bool,
}

enum Told {
    Answered(Result<Answered, StoreError>),
    Shown(Result<Option<Shown>, StoreError>),
}

impl Batch {
    pub fn push(&mut self, ask: Ask) {
        self.jobs.push(Job { id: ask.id(), ask: Some(ask), told: None, bare: false, before: None, row: None });
    }

    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Does all of it and tells everybody, or does nothing of it.
    pub fn run(&mut self, shared: &Shared, rows: &mut Rows<'_>) -> Result<(), Broken> {
        let Err(error) = attempt(&mut self.jobs, shared, rows) else {
            shared.deliveries.send(self.jobs.iter_mut().filter_map(|job| job.finish(shared)).collect());
            return Ok(());
        };
        give_up(&mut self.jobs, shared, rows);
        if !is_full(&error) {
            return Err(self.fail(shared, error));
        }
        // No room for all of them. Those that need none, or make some, must not suffer for the others.
        for at in 0..self.jobs.len() {
            let Some(job) = self.jobs.get_mut(at..=at) else { continue };
            let full = match attempt(job, shared, rows).or_else(|error| without_letter(job, shared, rows, error)) {
                Ok(()) => None,
                Err(error) => {
                    give_up(job, shared, rows);
                    if !is_full(&error) {
                        return Err(self.fail(shared, error));
                    }
                    Some(StoreError::Full)
                }
            };
            job.iter_mut().for_each(|job| job.tell(shared, full.clone()));
        }
        Ok(())
    }

    fn fail(&mut self, shared: &Shared, error: Error) -> Broken {
        // First, so that nobody who is told can find the store open.
        let why = format!("writing failed ({error}); the file will be opened again");
        shared.fall(why.clone());
        let waiting = self.jobs.iter_mut().filter(|job| job.ask.is_some());
        let told = waiting.map(|job| {
            job.tell(shared, Some(StoreError::Unavailable(why.clone())));
            (job.id, job.row)
        });
        Broken { error, suspects: told.collect() }
    }
}

/// There is no room, in the file or on the disk. Nothing is damaged by that.
pub(super) fn is_full(error: &Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
}

fn attempt(jobs: &mut [Job], shared: &Shared, rows: &mut Rows<'_>) -> rusqlite::Result<()> {
    let now = shared.time.now();
    for job in jobs {
        job.run(shared, rows, now)?;
    }
    shared.trips.pass()?;
    crash_point(Point::BeforeCommit);
    rows.commit().map(|_| crash_point(Point::AfterCommit))
}

/// What is known of a key is worth more than a letter: if there is no room for both, the letter stays out.
fn without_letter(jobs: &mut [Job], shared: &Shared, rows: &mut Rows<'_>, error: Error) -> rusqlite::Result<()> {
    if !is_full(&error) || !jobs.iter().any(Job::has_letter) {
        return Err(error);
    }
    give_up(jobs, shared, rows);
    jobs.iter_mut().for_each(|job| job.bare = true);
    attempt(jobs, shared, rows)
}

/// Everything is again as it was before the transaction: the last change is undone first.
fn give_up(jobs: &mut [Job], shared: &Shared, rows: &mut Rows<'_>) {
    rows.abandon();
    for job in jobs.iter_mut().rev() {
        job.told = None;
        if let Some(Before { record, row, on_disk }) = job.before.take() {
            shared.index.with(job.id, |live| {
                live.record = record;
                live.row = row;
                live.on_disk = on_disk;
            });
        }
    }
}

impl Job {
    fn has_letter(&self) -> bool {
        matches!(&self.ask, Some(Ask::Apply(command, _)) if command.letter.is_some())
    }

    fn run(&mut self, shared: &Shared, rows: &mut Rows<'_>, now: Millis) -> rusqlite::Result<()> {
        let told = match &self.ask {
            None => return Ok(()),
            Some(Ask::Show(id, _)) => Told::Shown(show(*id, shared, rows, now)),
            Some(Ask::Apply(command, _)) => {
                let rider = command.letter.as_deref().filter(|_| !self.bare);
                let riding = Riding::of(command, rider, shared, rows, now)?;
                let (step, before, route) = shared.index.with(command.id, |live| {
                    let before = Before { record: live.record, row: live.row, on_disk: live.on_disk };
                    let step = Step::of(live, &command.op, now, riding.pinning);
                    step.take_place(live, command.route.clone());
                    match step.effect {
                        Effect::Write if !before.on_disk => live.row = Some(rows.fresh()),
                        Effect::Delete => live.row = None,
                        Effect::Nothing | Effect::Read | Effect::Write | Effect::Pin => {}
                    }
                    self.row = live.row.or(before.row);
                    (step, before, live.route.clone())
                });
                self.before = Some(before);
                let mut told = carry_out(command, &step, (self.row, before, route.as_deref()), rows, now)?;
                if let Ok(answered) = &mut told {
                    answered.letter = match command.letter.as_deref() {
                        Some(Rider::Letter(_)) if self.bare => Some(Err(Refusal::Full("the file is full".to_owned()))),
                        _ => riding.letter,
                    };
                }
                Told::Answered(told)
            }
        };
        self.told = Some(told);
        Ok(())
    }

    /// Lets go of the key, then answers: who hears it finds the key free.
    fn tell(&mut self, shared: &Shared, error: Option<StoreError>) {
        match error {
            None => self.finish(shared).into_iter().for_each(Delivery::hand_over),
            Some(error) => self.ask.take().into_iter().for_each(|ask| ask.refuse(shared, error.clone())),
        }
    }

    /// Lets go of the key. What is left is to tell it.
    fn finish(&mut self, shared: &Shared) -> Option<Delivery> {
        let ask = self.ask.take()?;
        shared.release(self.id);
        match (ask, self.told.take()) {
            (Ask::Apply(_, reply), Some(Told::Answered(told))) => Some(Delivery::Answered(reply, told)),
            (Ask::Show(_, reply), Some(Told::Shown(told))) => Some(Delivery::Shown(reply, told)),
            // Their ends close, which says that the store is not available.
            (Ask::Apply(..) | Ask::Show(..), _) => None,
        }
    }
}

/// Of a letter, besides what is sealed, about.
const LETTER_BYTES: usize = 2048;

/// What comes with a command, done before the command: what becomes of the record depends on it.
struct Riding {
    pinning: Pinning,
    letter: Option<Result<LetterId, Refusal>>,
}

impl Riding {
    fn of(
        command: &Command,
        rider: Option<&Rider>,
        shared: &Shared,
        rows: &mut Rows<'_>,
        now: Millis,
    ) -> rusqlite::Result<Riding> {
        let mut riding = Riding { pinning: Pinning::Keep, letter: None };
        if rider.is_none() && !concerns_letters(command, shared, rows)? {
            return Ok(riding);
        }
        let live = shared.index.with(command.id, |live| live.clone());
        let will_be_done = Step::of(&live, &command.op, now, Pinning::Keep).reply == Reply::Done;
        if !will_be_done {
            // It is somebody else's request by now, and so is its letter.
            let stale = Refusal::Stale { version: 0, state: LetterState::Open };
            riding.letter = matches!(rider, Some(Rider::Letter(_))).then_some(Err(stale));
            return Ok(riding);
        }
        rows.begin()?;
        let bounds = shared.bounds();
        match rider {
            None => {}
            Some(Rider::Stub(stub)) => rows.wrote(LETTER_BYTES + stub.sealed.as_ref().map_or(0, |s| s.bytes.len())),
            Some(Rider::Letter(new)) => rows.wrote(LETTER_BYTES + new.sealed.as_ref().map_or(0, |s| s.bytes.len())),
            Some(Rider::Deed(..)) => rows.wrote(LETTER_BYTES),
        }
        let (connection, shelf) = rows.shelf();
        if shelf.follow(connection, (command.id, live.record), &command.op, (now, &bounds))? {
            riding.pinning = Pinning::Unpin;
        }
        match rider {
            None => {}
            Some(Rider::Stub(stub)) => shelf.note(connection, command.id, stub)?,
            Some(Rider::Letter(new)) => {
                let kept = shelf.keep(connection, &bounds, new, now)?;
                if kept.is_ok() {
                    riding.pinning = Pinning::Pin;
                }
                riding.letter = Some(kept);
            }
            Some(Rider::Deed(letter, deed)) => letters::write_down(connection, *letter, deed, now)?,
        }
        Ok(riding)
    }
}

/// Whether there may be a letter, or a note of the request, that this operation puts an end to. Of nearly every request
/// there is none, and nothing more is looked at.
fn concerns_letters(command: &Command, shared: &Shared, rows: &mut Rows<'_>) -> rusqlite::Result<bool> {
    let ends = matches!(
        command.op,
        Op::Complete { .. }
            | Op::Fail { .. }
            | Op::Release { .. }
            | Op::ResolveExecuted { .. }
            | Op::ResolveNotExecuted { .. }
    );
    if !ends {
        return Ok(false);
    }
    let pinned = shared.index.with(command.id, |live| live.record.is_some_and(|record| record.pinned));
    let (connection, shelf) = rows.shelf();
    Ok(pinned || shelf.has_stubs(connection)?)
}

fn carry_out(
    command: &Command,
    step: &Step,
    (row, before, route): (Option<RowId>, Before, Option<&str>),
    rows: &mut Rows<'_>,
    now: Millis,
) -> rusqlite::Result<Result<Answered, StoreError>> {
    match (step.effect, step.after, row) {
        (Effect::Read, _, _) => {
            // What cannot be read is not replayed; that alone does not stop the store.
            return Ok(match row.map_or(Ok(None), |row| rows.read(row, command.id)) {
                Ok(Some(Written { answer, .. })) => Ok(Answered { reply: step.reply, answer, letter: None }),
                Ok(None) => Err(StoreError::Unavailable("the stored answer is gone".to_owned())),
                Err(error) => Err(StoreError::Unavailable(format!("the stored answer cannot be read: {error}"))),
            });
        }
        (Effect::Write, Some(record), Some(row)) => {
            let answer = command.answer.as_ref().filter(|_| record.state == State::Complete);
            let placed = Placed { row, id: command.id, record: &record, answer };
            if !before.on_disk {
                // What row there is besides is of an expired record: nothing of it may show.
                before.row.map_or(Ok(()), |row| rows.delete(row, command.id))?;
                rows.put(placed, route, now)?;
            } else if !rows.change(placed, now)? {
                // Not what the index says: the file must be looked at.
                return Err(Error::StatementChangedRows(0));
            }
            crash_point(Point::inside(record.state));
        }
        (Effect::Pin, Some(record), Some(row)) => rows.pin(row, command.id, record.pinned)?,
        (Effect::Delete, _, Some(row)) => rows.delete(row, command.id).map(|()| crash_point(Point::InsideRelease))?,
        (Effect::Nothing | Effect::Write | Effect::Pin | Effect::Delete, _, _) => {}
    }
    Ok(Ok(Answered::from(step.reply)))
}

fn show(id: RecordId, shared: &Shared, rows: &mut Rows<'_>, now: Millis) -> Result<Option<Shown>, StoreError> {
    let live = shared.index.with(id, |live| live.clone());
    let Some(record) = live.record.and_then(|record| alive(record, now)) else { return Ok(None) };
    let row = live.row.filter(|_| live.on_disk).map_or(Ok(None), |row| rows.read(row, id));
    let row = row.map_err(|error| StoreError::Unavailable(format!("the record cannot be read: {error}")))?;
    let (route, answer) = row.map(|row| (row.route, row.answer)).unzip();
    let route = route.map(Into::into).or(live.route).unwrap_or_default();
    Ok(Some(Shown { record, route, answer: answer.flatten().filter(|_| record.state == State::Complete) }))
}

impl Ask {
    fn id(&self) -> RecordId {
        match self {
            Ask::Apply(command, _) => command.id,
            Ask::Show(id, _) => *id,
        }
    }

    /// Nothing was done.
    pub fn refuse(self, shared: &Shared, error: StoreError) {
        shared.release(self.id());
        // Who has gone does not need to know.
        match self {
            Ask::Apply(_, reply) => drop(reply.send(Err(error))),
            Ask::Show(_, reply) => drop(reply.send(Err(error))),
        }
    }
}
