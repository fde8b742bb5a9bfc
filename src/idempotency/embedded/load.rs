//! What an earlier process has left in the file.

use rusqlite::{Connection, OptionalExtension, Result, Row, TransactionBehavior, params};

use super::error::OpenError;
use super::file::{self, Trouble};
use super::index::{Index, alive};
use super::letters::{self, Lost};
use super::rows::{self, RowId, Rows};
use super::sweep::Stale;
use super::{EmbeddedSettings, Opened, Orphan};
use crate::reliability::idempotency::{Millis, Record, RecordId, State};
use crate::sabotage::{Point, crash_point};

/// So many orphans are told one by one. More in flight at once than this is more than a sidecar carries.
const ORPHANS_MAX: usize = 1000;

/// What is in the file.
pub(super) struct Found {
    pub connection: Connection,
    pub index: Index,
    pub opened: Opened,
    pub secret: [u8; 32],
    pub amnesia_until: Millis,
    /// Rows for the sweeper.
    pub expired: Stale,
    /// There is little room left.
    pub full: bool,
}

/// Opens the file and reads it. A damaged one is set aside, and an empty one takes its place.
pub(super) fn open(settings: &EmbeddedSettings, now: Millis) -> Result<Found, OpenError> {
    let path = &settings.path;
    let why = match read(settings, now) {
        Ok(found) => return Ok(found),
        Err(Trouble::Refused(error)) => return Err(error),
        Err(Trouble::Damaged(why)) => why,
    };
    let aside = file::quarantine(path, now)?;
    tracing::error!(file = %aside.display(), %why, "the file of idempotency records is damaged and was set aside");
    let guard = Millis::try_from(settings.amnesia_guard.as_millis()).unwrap_or(Millis::MAX);
    let until = now.saturating_add(guard);
    let fresh = read(settings, now).and_then(|found| {
        set_amnesia(&found.connection, until).map_err(|error| file::trouble(path, &error))?;
        Ok(found)
    });
    match fresh {
        Ok(mut found) => {
            found.opened.quarantined = Some(aside);
            found.amnesia_until = until;
            Ok(found)
        }
        Err(Trouble::Refused(error)) => Err(error),
        Err(Trouble::Damaged(error)) => Err(OpenError::Sqlite { path: path.clone(), error }),
    }
}

fn read(settings: &EmbeddedSettings, now: Millis) -> Result<Found, Trouble> {
    let mut connection = file::connect(settings)?;
    let mut found = || -> rusqlite::Result<_> {
        let (secret, amnesia_until) = (secret(&connection)?, amnesia(&connection)?);
        let (index, opened, expired) = load(&mut connection, settings, now)?;
        let full = Rows::prepare(&connection, [0; 16])?.fill(file::full_pages(settings.bytes_max))?;
        Ok((secret, amnesia_until, index, opened, expired, full))
    };
    let found = found().map_err(|error| file::trouble(&settings.path, &error))?;
    let (secret, amnesia_until, index, opened, expired, full) = found;
    Ok(Found { connection, index, opened, secret, amnesia_until, expired, full })
}

/// The secret that the caller hashes keys with. Made with the file: ids of one file mean nothing in another.
fn secret(connection: &Connection) -> Result<[u8; 32]> {
    connection.query_row("SELECT value FROM meta WHERE name = 'secret'", [], |row| row.get(0))
}

/// Until when new keys are refused, because those of a lost file are not known.
fn amnesia(connection: &Connection) -> Result<Millis> {
    let found = connection.query_row("SELECT value FROM meta WHERE name = 'amnesia'", [], |row| row.get::<_, i64>(0));
    Ok(found.optional()?.map_or(0, rows::millis))
}

/// Writes that down, so that a restart does not cut it short.
fn set_amnesia(connection: &Connection, until: Millis) -> Result<()> {
    let sql = "INSERT OR REPLACE INTO meta VALUES ('amnesia', ?1)";
    connection.execute(sql, [rows::integer(until)]).map(|_| ())
}

/// Reads every record. What was SENT has lost its owner: it becomes UNKNOWN or RETRYABLE, here and in the file.
/// Expired ones are left to the sweeper; so is the older of two rows of one key, which is there if the clock was set
/// back behind its end.
fn load(connection: &mut Connection, settings: &EmbeddedSettings, now: Millis) -> Result<(Index, Opened, Stale)> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let (index, mut expired) = (Index::new(), Stale::new());
    let mut opened = Opened::default();
    let mut orphaned = Vec::new();
    {
        let sql = "SELECT n, id, st, fp, nonce, fence, att, contract, amb, pinned, expires, route FROM idem ORDER BY n";
        let mut statement = transaction.prepare(sql)?;
        let mut found = statement.query([])?;
        while let Some(row) = found.next()? {
            let ((number, id), written) = (rows::place(row)?, rows::record(row)?);
            // The row has no lease, so time makes of it what the loss of its owner does.
            let Some(record) = alive(written, now) else {
                expired.push((number, id));
                continue;
            };
            if written.state == State::Sent {
                orphaned.push((number, record.state));
                opened.tell(id, &record, row)?;
            }
            expired.extend(index.load(id, number, &record).map(|older| (older, id)));
        }
        let mut lose = transaction.prepare("UPDATE idem SET st = ?2, amb = 1 WHERE n = ?1")?;
        for (RowId(number), state) in &orphaned {
            lose.execute(params![number, rows::state_number(*state)])?;
        }
    }
    let lost: Vec<Lost<'_>> = opened.orphans.iter().map(Orphan::lost).collect();
    opened.letters_lost =
        letters::recover(&transaction, &index, &lost, (&settings.letters, &settings.letter_routes), now)?;
    crash_point(Point::Recovery);
    transaction.commit()?;
    opened.live = index.len();
    Ok((index, opened, expired))
}

impl Orphan {
    fn lost(&self) -> Lost<'_> {
        Lost { id: self.id, record: &self.record, route: &self.route }
    }
}

impl Opened {
    fn tell(&mut self, id: RecordId, record: &Record, row: &Row<'_>) -> Result<()> {
        match record.state {
            State::Retryable => self.retryable += 1,
            State::Claimed | State::Sent | State::Complete | State::Unknown => self.unknown += 1,
        }
        if self.orphans.len() < ORPHANS_MAX {
            self.orphans.push(Orphan { id, route: row.get(11)?, record: *record });
        }
        Ok(())
    }
}
