//! The statements, prepared once, and how a record is written in columns.

use bytes::Bytes;
use rusqlite::types::Type;
use rusqlite::{Connection, Error, OptionalExtension, Result, Row, Statement, params};

use super::batch::is_full;
use super::letters::Shelf;
use crate::idempotency::answer::StoredAnswer;
use crate::reliability::classify::Contract;
use crate::reliability::idempotency::{Fingerprint, Millis, Nonce, Record, RecordId, State};
use crate::sabotage::{Point, crash_point};

/// The row of a known record keeps its route and its birth, and while it is COMPLETE its answer; any other row is of a
/// record that has expired, and nothing of it may show.
const WRITE: &str = "
    INSERT INTO idem (id, st, fp, nonce, fence, att, contract, amb, pinned, route, boot, created, sent, done, expires)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, iif(?2 = 1, ?12, NULL), iif(?2 = 2, ?12, NULL), ?13)
    ON CONFLICT (id) DO UPDATE SET
        st = ?2, fp = ?3, nonce = ?4, fence = ?5, att = ?6, contract = ?7, amb = ?8, pinned = ?9, boot = ?11,
        route = iif(?14, route, ?10), created = iif(?14, created, ?12), sent = iif(?2 = 1, ?12, sent),
        done = iif(?2 = 2, ?12, done), expires = ?13, status = iif(?14 AND ?2 = 2, status, NULL),
        headers = iif(?14 AND ?2 = 2, headers, NULL), body = iif(?14 AND ?2 = 2, body, NULL),
        body_kept = iif(?14 AND ?2 = 2, body_kept, NULL)";

const ANSWER: &str = "UPDATE idem SET status = ?2, headers = ?3, body = ?4, body_kept = ?5 WHERE id = ?1";

/// Everything that is done to the file while it is open.
pub(super) struct Rows<'c> {
    connection: &'c Connection,
    begin: Statement<'c>,
    commit: Statement<'c>,
    write: Statement<'c>,
    answer: Statement<'c>,
    delete: Statement<'c>,
    pin: Statement<'c>,
    read: Statement<'c>,
    expired: Statement<'c>,
    pages: Statement<'c>,
    free: Statement<'c>,
    boot: [u8; 16],
    open: bool,
    shelf: Shelf,
    /// Pages that went to the log since the last checkpoint, about.
    logged: usize,
}

/// What a row says besides the record.
pub(super) struct Written {
    pub route: String,
    pub answer: Option<StoredAnswer>,
}

impl<'c> Rows<'c> {
    pub fn prepare(connection: &'c Connection, boot: [u8; 16]) -> Result<Rows<'c>> {
        Ok(Rows {
            connection,
            begin: connection.prepare("BEGIN IMMEDIATE")?,
            commit: connection.prepare("COMMIT")?,
            write: connection.prepare(WRITE)?,
            answer: connection.prepare(ANSWER)?,
            delete: connection.prepare("DELETE FROM idem WHERE id = ?1")?,
            pin: connection.prepare("UPDATE idem SET pinned = ?2 WHERE id = ?1")?,
            read: connection.prepare("SELECT route, status, headers, body, body_kept FROM idem WHERE id = ?1")?,
            expired: connection.prepare(
                "SELECT id, expires FROM idem WHERE pinned = 0 AND expires <= ?1 AND (expires, id) > (?2, ?3)
                 ORDER BY expires, id LIMIT ?4",
            )?,
            pages: connection.prepare("PRAGMA page_count")?,
            free: connection.prepare("PRAGMA freelist_count")?,
            boot,
            open: false,
            shelf: Shelf::default(),
            logged: 0,
        })
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
        // Some errors roll back by themselves; a COMMIT that finds nothing to commit fails, as it should.
        self.commit.execute([]).map(|_| true)
    }

    /// Gives it up.
    pub fn abandon(&mut self) {
        self.open = false;
        self.shelf.forget_counts();
        if !self.connection.is_autocommit() {
            // What cannot be rolled back is rolled back by closing, which follows.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
    }

    pub fn write(
        &mut self,
        id: RecordId,
        record: &Record,
        route: Option<&str>,
        known: bool,
        now: Millis,
    ) -> Result<()> {
        self.begin()?;
        self.logged += 3;
        self.write.execute(params![
            id.0,
            state_number(record.state),
            record.fingerprint.0,
            record.nonce.0,
            record.fence,
            record.attempt,
            contract_number(record.contract),
            record.ambiguous,
            record.pinned,
            route.unwrap_or_default(),
            self.boot,
            integer(now),
            integer(record.expires),
            known,
        ])?;
        Ok(())
    }

    /// Puts an answer into a row that was just written.
    pub fn answer(&mut self, id: RecordId, answer: &StoredAnswer) -> Result<()> {
        self.logged += answer.size() / 4096;
        let (fields, body) = (&answer.fields[..], answer.body.as_deref());
        self.answer.execute(params![id.0, answer.status, fields, body, body.is_some()]).map(|_| ())
    }

    pub fn delete(&mut self, id: RecordId) -> Result<()> {
        self.begin()?;
        self.logged += 3;
        self.delete.execute(params![id.0]).map(|_| ())
    }

    pub fn pin(&mut self, id: RecordId, pinned: bool) -> Result<()> {
        self.begin()?;
        self.logged += 1;
        self.pin.execute(params![id.0, pinned]).map(|_| ())
    }

    /// The letters, in the same transaction.
    pub fn shelf(&mut self) -> (&'c Connection, &mut Shelf) {
        (self.connection, &mut self.shelf)
    }

    pub fn read(&mut self, id: RecordId) -> Result<Option<Written>> {
        let written = self.read.query_row(params![id.0], |row| {
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

    /// Unpinned rows that have expired, behind one of them, in the order of their end.
    pub fn expired(&mut self, now: Millis, behind: (i64, RecordId), most: i64) -> Result<Vec<(i64, RecordId)>> {
        let found = self
            .expired
            .query_map(params![integer(now), behind.0, behind.1.0, most], |row| Ok((row.get(1)?, id_of(row)?)))?;
        found.collect()
    }

    /// Pages in use, free ones not counted.
    pub fn used(&mut self) -> Result<u64> {
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

/// The first column.
pub(super) fn id_of(row: &Row<'_>) -> Result<RecordId> {
    Ok(RecordId(row.get(0)?))
}

/// Columns 1 to 9: st, fp, nonce, fence, att, contract, amb, pinned, expires.
pub(super) fn record(row: &Row<'_>) -> Result<Record> {
    Ok(Record {
        state: state(row.get(1)?)?,
        fingerprint: Fingerprint(row.get(2)?),
        nonce: Nonce(row.get(3)?),
        fence: row.get(4)?,
        attempt: row.get(5)?,
        contract: contract(row.get(6)?)?,
        ambiguous: row.get(7)?,
        pinned: row.get(8)?,
        lease_until: 0,
        expires: millis(row.get(9)?),
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
        _ => Err(Error::IntegralValueOutOfRange(1, i64::from(number))),
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
        _ => Err(Error::IntegralValueOutOfRange(6, i64::from(number))),
    }
}
