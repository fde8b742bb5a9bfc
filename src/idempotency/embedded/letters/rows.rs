//! The statements on letters. Each runs in the transaction that is open.

use rusqlite::types::{Type, Value};
use rusqlite::{Connection, Error, OptionalExtension, Result, Row, params, params_from_iter};

use super::super::rows::{integer, millis};
use super::tables::{COLUMNS, letter, written};
use crate::dead_letters::letter::{Filter, Letter, LetterId, NewLetter, Sealed, Stub, Tally};
use crate::reliability::dead_letters::{Cause, Class, LetterState};
use crate::reliability::idempotency::{Millis, RecordId};

/// What a row takes besides its texts and what is sealed, about.
const ROW_BYTES: usize = 256;

/// Bytes that a letter will take.
pub(super) fn size(new: &NewLetter, words: &str) -> u64 {
    (ROW_BYTES + words.len() + new.sealed.as_ref().map_or(0, |sealed| sealed.bytes.len())) as u64
}

pub(super) fn insert(c: &Connection, new: &NewLetter, words: &str, now: Millis, expires: Millis) -> Result<()> {
    let captured = &new.words.captured;
    c.prepare_cached(
        "INSERT INTO dlq (id, version, state, class, cause, contract, queue, upstream, route, record, fp, created,
                          updated, expires, size, replays, note, letter, kid, sealed)
         VALUES (?1, 1, 'open', ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10, ?11, ?12, 0, '', ?13, ?14, ?15)",
    )?
    .execute(params![
        new.id.0,
        new.class.as_str(),
        new.cause.as_str(),
        new.contract.as_str(),
        captured.queue,
        captured.upstream,
        captured.route,
        new.record.map(|(id, _)| id.0),
        new.record.map(|(_, fingerprint)| fingerprint.0),
        integer(now),
        integer(expires),
        integer(size(new, words)),
        words,
        new.sealed.as_ref().map(|sealed| sealed.key),
        new.sealed.as_ref().map(|sealed| &sealed.bytes[..]),
    ])
    .map(|_| ())
}

/// The request of an open letter failed again by its client's hand: the letter tells of the last time.
pub(super) fn renew(c: &Connection, id: LetterId, new: &NewLetter, words: &str, now: Millis) -> Result<()> {
    c.prepare_cached(
        "UPDATE dlq SET version = version + 1, class = ?2, cause = ?3, updated = ?4, letter = ?5 WHERE id = ?1",
    )?
    .execute(params![id.0, new.class.as_str(), new.cause.as_str(), integer(now), words])
    .map(|_| ())
}

/// The letter of this key that is not closed, if there is one.
pub(super) fn open_of(c: &Connection, record: RecordId) -> Result<Option<LetterId>> {
    c.prepare_cached("SELECT id FROM dlq WHERE record = ?1 AND state IN ('open', 'replaying')")?
        .query_row([record.0], |row| Ok(LetterId(row.get(0)?)))
        .optional()
}

/// There is an answer for this key: its letters have nothing more to wait for. Returns how many.
pub(super) fn close_of(c: &Connection, record: RecordId, by_hand: bool, now: Millis, forget: Millis) -> Result<usize> {
    let (state, note) = match by_hand {
        true => (LetterState::Resolved, "its key was resolved as executed"),
        false => (LetterState::Superseded, "a later request with its key was answered"),
    };
    c.prepare_cached(
        "UPDATE dlq SET version = version + 1, updated = ?4, expires = ?5,
            note = iif(state = 'replaying', 'its replay was answered', ?3),
            state = iif(state = 'replaying', 'replayed', ?2)
         WHERE record = ?1 AND state IN ('open', 'replaying')",
    )?
    .execute(params![record.0, state.as_str(), note, integer(now), integer(forget)])
}

/// An operator says that nothing was executed under this key.
pub(super) fn set_not_executed(c: &Connection, record: RecordId, now: Millis) -> Result<()> {
    c.prepare_cached(
        "UPDATE dlq SET version = version + 1, updated = ?2, class = 'not-executed'
         WHERE record = ?1 AND state IN ('open', 'replaying')",
    )?
    .execute(params![record.0, integer(now)])
    .map(|_| ())
}

pub(super) fn exists(c: &Connection, id: LetterId) -> Result<bool> {
    c.prepare_cached("SELECT 1 FROM dlq WHERE id = ?1")?.exists([id.0])
}

pub(super) fn get(c: &Connection, id: LetterId) -> Result<Option<Letter>> {
    c.prepare_cached(&format!("SELECT {COLUMNS} FROM dlq WHERE id = ?1"))?.query_row([id.0], letter).optional()
}

pub(super) fn sealed(c: &Connection, id: LetterId) -> Result<Option<Sealed>> {
    let found = c.prepare_cached("SELECT kid, sealed FROM dlq WHERE id = ?1")?.query_row([id.0], seal).optional()?;
    Ok(found.flatten())
}

fn seal(row: &Row<'_>) -> Result<Option<Sealed>> {
    sealed_in(row, 0, 1)
}

fn sealed_in(row: &Row<'_>, key: usize, bytes: usize) -> Result<Option<Sealed>> {
    let (key, bytes): (Option<[u8; 4]>, Option<Vec<u8>>) = (row.get(key)?, row.get(bytes)?);
    Ok(key.zip(bytes).map(|(key, bytes)| Sealed { key, bytes: bytes.into() }))
}

/// Letters in the order of their ids, which is that of their ages; those behind `after`.
pub(super) fn list(c: &Connection, filter: &Filter, after: Option<LetterId>, limit: usize) -> Result<Vec<Letter>> {
    let mut wanted = Where::of(filter);
    if let Some(after) = after {
        wanted.and("id > ?", [Value::Blob(after.0.to_vec())]);
    }
    let sql = format!("SELECT {COLUMNS} FROM dlq {} ORDER BY id LIMIT {limit}", wanted.sql());
    let mut statement = c.prepare(&sql)?;
    let found = statement.query_map(params_from_iter(wanted.values), letter)?;
    found.collect()
}

/// Letters before `before`, newest first, and how many match in all.
pub(super) fn newest(
    c: &Connection,
    filter: &Filter,
    before: Option<LetterId>,
    limit: usize,
) -> Result<(Vec<Letter>, u64)> {
    let mut wanted = Where::of(filter);
    let count = format!("SELECT count(*) FROM dlq {}", wanted.sql());
    let all = c.query_row(&count, params_from_iter(wanted.values.clone()), |row| row.get(0).map(millis))?;
    if let Some(before) = before {
        wanted.and("id < ?", [Value::Blob(before.0.to_vec())]);
    }
    let sql = format!("SELECT {COLUMNS} FROM dlq {} ORDER BY id DESC LIMIT {limit}", wanted.sql());
    let mut statement = c.prepare(&sql)?;
    let found = statement.query_map(params_from_iter(wanted.values), letter)?.collect::<Result<_>>()?;
    Ok((found, all))
}

/// Letters whose id begins or ends with these hex digits.
pub(super) fn find(c: &Connection, digits: &str, limit: usize) -> Result<Vec<LetterId>> {
    let mut statement = c.prepare_cached(
        "SELECT id FROM dlq WHERE substr(hex(id), 1, ?2) = upper(?1) OR substr(hex(id), -?2) = upper(?1) LIMIT ?3",
    )?;
    let (length, limit) = (integer(digits.len() as u64), integer(limit as u64));
    let found = statement.query_map(params![digits, length, limit], |row| Ok(LetterId(row.get(0)?)))?;
    found.collect()
}

/// Letters by queue, state and class.
pub(super) fn tallies(c: &Connection) -> Result<Vec<Tally>> {
    let mut statement = c.prepare_cached(
        "SELECT queue, state, class, count(*), sum(size), min(created) FROM dlq
         GROUP BY queue, state, class ORDER BY queue, state, class",
    )?;
    let found = statement.query_map([], |row| {
        let unknown = |column| Error::InvalidColumnType(column, "a known word".to_owned(), Type::Text);
        Ok(Tally {
            queue: row.get(0)?,
            state: LetterState::of(row.get_ref(1)?.as_str()?).ok_or(unknown(1))?,
            class: Class::of(row.get_ref(2)?.as_str()?).ok_or(unknown(2))?,
            letters: millis(row.get(3)?),
            bytes: millis(row.get(4)?),
            oldest: millis(row.get(5)?),
        })
    })?;
    found.collect()
}

/// Gives a letter another state. `again`: counts as another replay.
pub(super) fn set(
    c: &Connection,
    id: LetterId,
    (state, class, note): (LetterState, Class, &str),
    again: bool,
    (now, expires): (Millis, Millis),
) -> Result<()> {
    c.prepare_cached(
        "UPDATE dlq SET version = version + 1, state = ?2, class = ?3, note = ?4, replays = replays + ?5, updated = ?6,
                        expires = ?7 WHERE id = ?1",
    )?
    .execute(params![id.0, state.as_str(), class.as_str(), note, again, integer(now), integer(expires)])
    .map(|_| ())
}

/// Letters that were open for too long, oldest first, with their records.
pub(super) fn overdue(c: &Connection, now: Millis, limit: usize) -> Result<Vec<(LetterId, Option<RecordId>, Class)>> {
    let mut statement = c.prepare_cached(
        "SELECT id, record, class FROM dlq WHERE expires <= ?1 AND state = 'open' ORDER BY expires LIMIT ?2",
    )?;
    let found = statement.query_map(params![integer(now), integer(limit as u64)], with_record)?;
    found.collect()
}

fn with_record(row: &Row<'_>) -> Result<(LetterId, Option<RecordId>, Class)> {
    let class = Class::of(row.get_ref(2)?.as_str()?).unwrap_or(Class::Unknown);
    Ok((LetterId(row.get(0)?), row.get::<_, Option<[u8; 16]>>(1)?.map(RecordId), class))
}

/// Forgets closed letters whose time is over. Returns their queues and what they took.
pub(super) fn forget_expired(c: &Connection, now: Millis, limit: usize) -> Result<Vec<(String, u64)>> {
    let mut statement = c.prepare_cached(
        "DELETE FROM dlq WHERE rowid IN (SELECT rowid FROM dlq
            WHERE expires <= ?1 AND state NOT IN ('open', 'replaying') LIMIT ?2) RETURNING queue, size",
    )?;
    let gone = statement.query_map(params![integer(now), integer(limit as u64)], taken)?;
    gone.collect()
}

/// Forgets the closed letter that has been so the longest, of one queue or of all. Returns its queue and what it took.
pub(super) fn forget_oldest_closed(c: &Connection, queue: Option<&str>) -> Result<Option<(String, u64)>> {
    let mut statement = c.prepare_cached(
        "DELETE FROM dlq WHERE rowid = (SELECT rowid FROM dlq
            WHERE state NOT IN ('open', 'replaying') AND (?1 IS NULL OR queue = ?1) ORDER BY expires LIMIT 1)
         RETURNING queue, size",
    )?;
    statement.query_row([queue], taken).optional()
}

fn taken(row: &Row<'_>) -> Result<(String, u64)> {
    Ok((row.get(0)?, millis(row.get(1)?)))
}

pub(super) fn put_stub(c: &Connection, record: RecordId, stub: &Stub) -> Result<()> {
    c.prepare_cached("INSERT OR REPLACE INTO dlq_stub VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![
            record.0,
            stub.id.0,
            written(&stub.captured)?,
            stub.sealed.as_ref().map(|sealed| sealed.key),
            stub.sealed.as_ref().map(|sealed| &sealed.bytes[..]),
        ])
        .map(|_| ())
}

pub(super) fn drop_stub(c: &Connection, record: RecordId) -> Result<usize> {
    c.prepare_cached("DELETE FROM dlq_stub WHERE record = ?1")?.execute([record.0])
}

/// Takes out what was noted of the requests that were under way.
pub(super) fn take_stubs(c: &Connection) -> Result<Vec<(RecordId, Stub)>> {
    let mut statement = c.prepare("SELECT record, id, captured, kid, sealed FROM dlq_stub")?;
    let found = statement.query_map([], |row| {
        let stub =
            Stub { id: LetterId(row.get(1)?), captured: super::tables::json(row, 2)?, sealed: sealed_in(row, 3, 4)? };
        Ok((RecordId(row.get(0)?), stub))
    })?;
    let stubs = found.collect::<Result<Vec<_>>>()?;
    c.execute("DELETE FROM dlq_stub", [])?;
    Ok(stubs)
}

/// Replays that an earlier process did not finish: letters and their records.
pub(super) fn interrupted(c: &Connection) -> Result<Vec<(LetterId, Option<RecordId>, Class)>> {
    let mut statement = c.prepare("SELECT id, record, class FROM dlq WHERE state = 'replaying'")?;
    let found = statement.query_map([], with_record)?;
    found.collect()
}

pub(super) fn save_job(c: &Connection, id: LetterId, job: &str, jobs_max: i64) -> Result<()> {
    c.prepare_cached("INSERT INTO replay VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET job = ?2")?
        .execute(params![id.0, job])?;
    // Their ids sort by age.
    c.prepare_cached("DELETE FROM replay WHERE id NOT IN (SELECT id FROM replay ORDER BY id DESC LIMIT ?1)")?
        .execute([jobs_max])
        .map(|_| ())
}

pub(super) fn jobs(c: &Connection) -> Result<Vec<(LetterId, String)>> {
    let mut statement = c.prepare_cached("SELECT id, job FROM replay ORDER BY id")?;
    let found = statement.query_map([], |row| Ok((LetterId(row.get(0)?), row.get(1)?)))?;
    found.collect()
}

/// A `WHERE` clause from a filter.
#[derive(Default)]
struct Where {
    clauses: Vec<String>,
    values: Vec<Value>,
}

impl Where {
    fn of(filter: &Filter) -> Where {
        let Filter { ids, states, classes, causes, queue, upstream, route, since, until } = filter;
        let mut wanted = Where::default();
        let text = |word: &str| Value::Text(word.to_owned());
        wanted.any("id", ids.iter().map(|id| Value::Blob(id.0.to_vec())));
        wanted.any("state", states.iter().map(|state| text(state.as_str())));
        wanted.any("class", classes.iter().map(|class| text(class.as_str())));
        wanted.any("cause", causes.iter().copied().map(Cause::as_str).map(text));
        for (column, value) in [("queue", queue), ("upstream", upstream), ("route", route)] {
            wanted.any(column, value.iter().map(|value| text(value)));
        }
        wanted.bound("created >= ?", since);
        wanted.bound("created < ?", until);
        wanted
    }

    fn any(&mut self, column: &str, values: impl Iterator<Item = Value>) {
        let values: Vec<Value> = values.collect();
        if !values.is_empty() {
            let marks = vec!["?"; values.len()].join(", ");
            self.and(&format!("{column} IN ({marks})"), values);
        }
    }

    fn bound(&mut self, clause: &str, moment: &Option<Millis>) {
        if let Some(moment) = moment {
            self.and(clause, [Value::Integer(integer(*moment))]);
        }
    }

    fn and(&mut self, clause: &str, values: impl IntoIterator<Item = Value>) {
        self.clauses.push(clause.to_owned());
        self.values.extend(values);
    }

    fn sql(&self) -> String {
        if self.clauses.is_empty() { String::new() } else { format!("WHERE {}", self.clauses.join(" AND ")) }
    }
}
