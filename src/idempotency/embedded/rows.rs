//! The statements, prepared once, and how a record is written in columns.
//!
//! Rows are found by their number, which the index remembers. Each statement names the id as well: should index and
//! file ever disagree, no row is taken for that of another key.

use bytes::Bytes;
use rusqlite::types::Type;
use rusqlite::{Connection, Error, OptionalExtension, Result, Row, Statement, params};

use super::batch::is_full;
use super::file::PAGE_BYTES;
use super::letters::Shelf;
use crate::idempotency::answer::StoredAnswer;
use crate::reliability::classify::Contract;
use crate::reliability::idempotency::{Fingerprint, Millis, Nonce, Record, RecordId, State};
use crate::sabotage::{Point, crash_point};

const PUT: &str = "
    INSERT INTO idem (n, id, st, fp, nonce, fence, att, contract, amb, pinned, expires,
        status, headers, body, body_kept, route, boot, created, sent, done)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15,
        ?17, ?18, ?16, iif(?3 = 1, ?16, NULL), iif(?3 = 2, ?16, NULL))";

/// The row of a known record keeps its route and its birth, and while it is COMPLETE its answer.
const CHANGE: &str = "
    UPDATE idem SET st = ?3, fp = ?4, nonce = ?5, fence = ?6, att = ?7, contract = ?8, amb = ?9, pinned = ?10,
        expires = ?11, status = iif(?17, status, ?12), headers = iif(?17, headers, ?13), body = iif(?17, body, ?14),
        body_kept = iif(?17, body_kept, ?15), sent = iif(?3 = 1, ?16, sent), done = iif(?3 = 2, ?16, done)
    WHERE n = ?1 AND id = ?2";

/// What a commit adds to the log, about: the ends of the tree, and a page for so many bytes; a row is written twice.
const COMMIT_PAGES: usize = 3;
const COMMIT_BYTES_A_PAGE: usize = 1024;

/// Of a row without an answer, about.
const ROW_BYTES: usize = 150;

/// Pages that a row can add to the file at most, besides those that its answer fills: one on each level of the tree.
const SPLIT_PAGES: usize = 6;

/// We get nowhere near it: a number from beyond is not ours.
const ROW_MAX: i64 = 1 << 47;

/// Where a row is. Numbers grow, and are not used again until the file is opened again, so that what is written together
/// stands together, at the end of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RowId(pub i64);

/// Everything that is done to the file while it is open.
pub(super) struct Rows<'c> {
    connection: &'c Connection,
    begin: Statement<'c>,
    commit: Statement<'c>,
    put: Statement<'c>,
    change: Statement<'c>,
    delete: Statement<'c>,
    pin: Statement<'c>,
    read: Statement<'c>,
    pages: Statement<'c>,
    free: Statement<'c>,
    boot: [u8; 16],
    open: bool,
    shelf: Shelf,
    next: RowId,
    /// Pages that went to the log since the last checkpoint, about…
    logged: usize,
    /// …and bytes written since the last commit.
    written: usize,
    /// Pages in use when they were counted, and how many may have been added since.
    counted: u64,
    added: usize,
}

/// A record and its place in the file.
#[derive(Clone, Copy)]
pub(super) struct Placed<'a> {
    pub row: RowId,
    pub id: RecordId,
    pub record: &'a Record,
    /// If there is a new one.
    pub answer: Option<&'a StoredAnswer>,
}

/// What a row says besides the record.
pub(super) struct Written {
    pub route: String,
    pub answer: Option<StoredAnswer>,
}

impl<'c> Rows<'c> {
    pub fn prepare(connection: &'c Connection, boot: [u8; 16]) -> Result<Rows<'c>> {
        let last = connection.query_row("SELECT max(n) FROM idem", [], |row| row.get::<_, Option<i64>>(0))?;
        Ok(Rows {
            connection,
            begin: connection.prepare("BEGIN IMMEDIATE")?,
            commit: connection.prepare("COMMIT")?,
            put: connection.prepare(PUT)?,
            change: connection.prepare(CHANGE)?,
            delete: connection.prepare("DELETE FROM idem WHERE n = ?1 AND id = ?2")?,
            pin: connection.prepare("UPDATE idem SET pinned = ?3 WHERE n = ?1 AND id = ?2")?,
            read: connection
                .prepare("SELECT route, status, headers, body, body_kept FROM idem WHERE n = ?1 AND id = ?2")?,
            pages: connection.prepare("PRAGMA page_count")?,
            free: connection.prepare("PRAGMA freelist_count")?,
            boot,
            open: false,
            shelf: Shelf::default(),
            next: RowId(last.unwrap_or(0) + 1),
            logged: 0,
            written: 0,
            counted: 0,
            // Not counted yet.
            added: usize::MAX,
        })
    }

    /// A place behind all others.
    pub fn fresh(&mut self) -> RowId {
        let RowId(number) = self.next;
        self.next = RowId(number + 1);
        RowId(number)
    }

    /// Everything from here on is one transaction.
    pub fn begin(&mut self) -> Result<()> {
        if !self.open {
            self.begin.execute([])?;
            self.open = true;
        }
        Ok(())
    }

    /// Ends it, if there is one.
    pub fn commit(&mut self) -> Result<bool> {
        if !std::mem::take(&mut self.open) {
            return Ok(false);
        }
        self.logged += COMMIT_PAGES + self.written / COMMIT_BYTES_A_PAGE;
        self.written = 0;
        // Some errors roll back by themselves; a COMMIT that finds nothing to commit fails, as it should.
        self.commit.execute([]).map(|_| true)
    }

    /// Gives it up.
    pub fn abandon(&mut self) {
        self.open = false;
        self.shelf.forget_counts();
        self.written = 0;
        if !self.connection.is_autocommit() {
            // What cannot be rolled back is rolled back by closing, which follows.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
    }

    /// Writes a record that has no row yet, into a fresh place.
    pub fn put(&mut self, placed: Placed<'_>, route: Option<&str>, now: Millis) -> Result<()> {
        let Placed { row, id, record, answer } = placed;
        self.will_write(answer)?;
        self.put.execute(params![
            row.0,
            id.0,
            state_number(record.state),
            record.fingerprint.0,
            record.nonce.0,
            record.fence,
            record.attempt,
            contract_number(record.contract),
            record.ambiguous,
            record.pinned,
            integer(record.expires),
            answer.map(|answer| answer.status),
            answer.map(|answer| &answer.fields[..]),
            answer.and_then(|answer| answer.body.as_deref()),
            answer.map(|answer| answer.body.is_some()),
            integer(now),
            route.unwrap_or_default(),
            self.boot,
        ])?;
        Ok(())
    }

    /// Writes a record whose row is known. `false`: it is not there.
    pub fn change(&mut self, placed: Placed<'_>, now: Millis) -> Result<bool> {
        let Placed { row, id, record, answer } = placed;
        self.will_write(answer)?;
        let changed = self.change.execute(params![
            row.0,
            id.0,
            state_number(record.state),
            record.fingerprint.0,
            record.nonce.0,
            record.fence,
            record.attempt,
            contract_number(record.contract),
            record.ambiguous,
            record.pinned,
            integer(record.expires),
            answer.map(|answer| answer.status),
            answer.map(|answer| &answer.fields[..]),
            answer.and_then(|answer| answer.body.as_deref()),
            answer.map(|answer| answer.body.is_some()),
            integer(now),
            record.state == State::Complete && answer.is_none(),
        ])?;
        Ok(changed == 1)
    }

    pub fn delete(&mut self, row: RowId, id: RecordId) -> Result<()> {
        self.will_write(None)?;
        self.delete.execute(params![row.0, id.0]).map(|_| ())
    }

    pub fn pin(&mut self, row: RowId, id: RecordId, pinned: bool) -> Result<()> {
        self.will_write(None)?;
        self.pin.execute(params![row.0, id.0, pinned]).map(|_| ())
    }

    fn will_write(&mut self, answer: Option<&StoredAnswer>) -> Result<()> {
        self.begin()?;
        let bytes = ROW_BYTES + answer.map_or(0, StoredAnswer::size);
        self.written += bytes;
        self.added = self.added.saturating_add(SPLIT_PAGES + bytes / PAGE_BYTES);
        Ok(())
    }

    /// The letters, in the same transaction.
    pub fn shelf(&mut self) -> (&'c Connection, &mut Shelf) {
        (self.connection, &mut self.shelf)
    }

    /// So much was written past the records, about: the size of the file and of its log is known by it.
    pub fn wrote(&mut self, bytes: usize) {
        self.written += bytes;
        // A letter stands in a table and in four indexes.
        self.added = self.added.saturating_add(5 * SPLIT_PAGES + bytes / PAGE_BYTES);
    }

    pub fn read(&mut self, row: RowId, id: RecordId) -> Result<Option<Written>> {
        let written = self.read.query_row(params![row.0, id.0], |row| {
            let answer = match row.get::<_, Option<u16>>(1)? {
                None => None,
                Some(status) => {
                    let kept = row.get::<_, bool>(4)?;
                    let body = if kept { Some(bytes(row, 3)?) } else { None };
                    Some(StoredAnswer { status, fields: bytes(row, 2)?, body })
                }
            };
            Ok(Written { route: row.get(0)?, answer })
        });
        written.optional()
    }

    /// Whether so many pages are in use, free ones not counted. Counts only if it may be so.
    pub fn fill(&mut self, pages: u64) -> Result<bool> {
        if self.counted.saturating_add(self.added as u64) >= pages {
            self.counted = self.used()?;
            self.added = 0;
        }
        Ok(self.counted >= pages)
    }

    /// Pages in use.
    fn used(&mut self) -> Result<u64> {
        let pages: i64 = self.pages.query_row([], |row| row.get(0))?;
        let free: i64 = self.free.query_row([], |row| row.get(0))?;
        Ok(u64::try_from(pages - free).unwrap_or(0))
    }

    /// Copies the log into the file once there is enough of it. SQLite would do so by itself, but silently: an error
    /// here means that the disk does not do what it says.
    pub fn checkpoint(&mut self, from: usize) -> Result<()> {
        if self.logged < from {
            return Ok(());
        }
        self.logged = 0;
        crash_point(Point::BeforeCheckpoint);
        match checkpoint(self.connection, "PASSIVE").map(|()| crash_point(Point::AfterCheckpoint)) {
            // The log stays, and is copied when there is room again.
            Err(error) if is_full(&error) => Ok(()),
            other => other,
        }
    }
}

/// Copies the log into the file; `TRUNCATE` empties the log as well.
pub(super) fn checkpoint(connection: &Connection, mode: &str) -> Result<()> {
    connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()))
}

/// The first two columns: n, id.
pub(super) fn place(row: &Row<'_>) -> Result<(RowId, RecordId)> {
    let number: i64 = row.get(0)?;
    if !(1..=ROW_MAX).contains(&number) {
        return Err(Error::IntegralValueOutOfRange(0, number));
    }
    Ok((RowId(number), RecordId(row.get(1)?)))
}

/// Columns 2 to 10: st, fp, nonce, fence, att, contract, amb, pinned, expires.
pub(super) fn record(row: &Row<'_>) -> Result<Record> {
    Ok(Record {
        state: state(row.get(2)?)?,
        fingerprint: Fingerprint(row.get(3)?),
        nonce: Nonce(row.get(4)?),
        fence: row.get(5)?,
        attempt: row.get(6)?,
        contract: contract(row.get(7)?)?,
        ambiguous: row.get(8)?,
        pinned: row.get(9)?,
        lease_until: 0,
        expires: millis(row.get(10)?),
    })
}

fn bytes(row: &Row<'_>, column: usize) -> Result<Bytes> {
    let blob = row.get_ref(column)?.as_blob();
    blob.map(Bytes::copy_from_slice).map_err(|e| Error::FromSqlConversionFailure(column, Type::Blob, Box::new(e)))
}

/// SQLite's integers have a sign; times beyond it are further away than anything here.
pub(super) fn integer(millis: Millis) -> i64 {
    i64::try_from(millis).unwrap_or(i64::MAX)
}

pub(super) fn millis(integer: i64) -> Millis {
    Millis::try_from(integer).unwrap_or(0)
}

/// A claimed record is never written: nothing was sent, so there is nothing to remember.
pub(super) const fn state_number(state: State) -> u8 {
    match state {
        State::Claimed => 0,
        State::Sent => 1,
        State::Complete => 2,
        State::Unknown => 3,
        State::Retryable => 4,
    }
}

fn state(number: u8) -> Result<State> {
    match number {
        1 => Ok(State::Sent),
        2 => Ok(State::Complete),
        3 => Ok(State::Unknown),
        4 => Ok(State::Retryable),
        _ => Err(Error::IntegralValueOutOfRange(2, i64::from(number))),
    }
}

const fn contract_number(contract: Contract) -> u8 {
    match contract {
        Contract::Opaque => 0,
        Contract::Atomic5xx => 1,
        Contract::Dedupes => 2,
    }
}

fn contract(number: u8) -> Result<Contract> {
    match number {
        0 => Ok(Contract::Opaque),
        1 => Ok(Contract::Atomic5xx),
        2 => Ok(Contract::Dedupes),
        _ => Err(Error::IntegralValueOutOfRange(7, i64::from(number))),
    }
}
