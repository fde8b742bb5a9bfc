//! The tables of dead letters, and how a letter is written in columns.

use rusqlite::types::Type;
use rusqlite::{Error, Result, Row};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::super::rows::millis;
use crate::dead_letters::letter::{Letter, LetterId};
use crate::reliability::classify::Contract;
use crate::reliability::dead_letters::{Cause, Class, LetterState};
use crate::reliability::idempotency::{Fingerprint, RecordId};

/// `dlq`: letters. `dlq_stub`: what is noted of a request when it is sent; it goes with the request's end. `audit`: who
/// did what, each row bound to the one before it by its hash. `replay`: jobs of replays.
pub(in crate::idempotency::embedded) const TABLES: &str = "
    CREATE TABLE dlq (
        id BLOB NOT NULL UNIQUE, version INTEGER NOT NULL, state TEXT NOT NULL, class TEXT NOT NULL,
        cause TEXT NOT NULL, contract TEXT NOT NULL, queue TEXT NOT NULL, upstream TEXT NOT NULL, route TEXT NOT NULL,
        record BLOB, fp BLOB, created INTEGER NOT NULL, updated INTEGER NOT NULL, expires INTEGER NOT NULL,
        size INTEGER NOT NULL, replays INTEGER NOT NULL, note TEXT NOT NULL, letter TEXT NOT NULL, kid BLOB, sealed BLOB
    );
    CREATE INDEX dlq_state ON dlq (state, id);
    CREATE INDEX dlq_tally ON dlq (queue, state, class, size, created);
    CREATE INDEX dlq_record ON dlq (record) WHERE record IS NOT NULL;
    CREATE INDEX dlq_expires ON dlq (expires);
    CREATE TABLE dlq_stub (
        record BLOB NOT NULL PRIMARY KEY, id BLOB NOT NULL, captured TEXT NOT NULL, kid BLOB, sealed BLOB
    ) WITHOUT ROWID;
    CREATE TABLE audit (
        number INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, letter BLOB, actor TEXT NOT NULL,
        action TEXT NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL, hash BLOB NOT NULL
    );
    CREATE TABLE replay (id BLOB NOT NULL PRIMARY KEY, job TEXT NOT NULL) WITHOUT ROWID;
";

/// Columns of a letter, in the order in which [`letter`] reads them.
pub(super) const COLUMNS: &str = "id, version, state, class, cause, contract, record, fp, created, updated, expires, \
                                  size, replays, note, letter, sealed IS NOT NULL";

pub(super) fn letter(row: &Row<'_>) -> Result<Letter> {
    let record: Option<[u8; 16]> = row.get(6)?;
    let fingerprint: Option<[u8; 16]> = row.get(7)?;
    Ok(Letter {
        id: LetterId(row.get(0)?),
        version: millis(row.get(1)?),
        state: word(row, 2, LetterState::of)?,
        class: word(row, 3, Class::of)?,
        cause: word(row, 4, Cause::of)?,
        contract: word(row, 5, Contract::of)?,
        record: record.zip(fingerprint).map(|(id, fp)| (RecordId(id), Fingerprint(fp))),
        created: millis(row.get(8)?),
        updated: millis(row.get(9)?),
        expires: millis(row.get(10)?),
        size: millis(row.get(11)?),
        replays: row.get(12)?,
        note: row.get(13)?,
        words: json(row, 14)?,
        is_sealed: row.get(15)?,
    })
}

pub(super) fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    serde_json::from_slice(text.as_bytes())
        .map_err(|error| Error::FromSqlConversionFailure(column, Type::Text, Box::new(error)))
}

/// Strings and numbers always can be written.
pub(super) fn written<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::ToSqlConversionFailure(Box::new(error)))
}

fn word<T>(row: &Row<'_>, column: usize, of: impl Fn(&str) -> Option<T>) -> Result<T> {
    of(row.get_ref(column)?.as_str()?).ok_or(Error::InvalidColumnType(column, "a known word".to_owned(), Type::Text))
}
