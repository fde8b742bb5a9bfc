//! Who did what to a letter, and why: rows that are only ever added, each bound to the one before it.
//!
//! The chain shows that a row was changed or taken out; whoever can rewrite the whole file can rewrite the chain.

use rusqlite::{Connection, OptionalExtension, Result, params};
use sha2::{Digest, Sha256};

use super::super::rows::{integer, millis};
use crate::dead_letters::letter::{Audited, Deed, LetterId};
use crate::reliability::idempotency::Millis;

/// Rows that are kept; the oldest go first.
const ROWS_MAX: i64 = 100_000;

/// Adds a row, in the transaction that is open.
pub(super) fn add(connection: &Connection, letter: Option<LetterId>, deed: &Deed, now: Millis) -> Result<()> {
    let before: Option<Vec<u8>> = connection
        .prepare_cached("SELECT hash FROM audit ORDER BY number DESC LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    let hash = chained(before.as_deref().unwrap_or_default(), letter, deed, now);
    connection
        .prepare_cached(
            "INSERT INTO audit (at, letter, actor, action, reason, detail, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            integer(now),
            letter.map(|id| id.0),
            deed.actor,
            deed.action,
            deed.reason,
            deed.detail,
            hash
        ])?;
    let number = connection.last_insert_rowid();
    connection.prepare_cached("DELETE FROM audit WHERE number <= ?1")?.execute([number - ROWS_MAX])?;
    Ok(())
}

/// The last rows, newest first; before `before` if that is given.
pub(super) fn list(connection: &Connection, before: Option<u64>, limit: usize) -> Result<Vec<Audited>> {
    let mut statement = connection.prepare_cached(
        "SELECT number, at, letter, actor, action, reason, detail, hash, lag(hash) OVER (ORDER BY number) FROM
            (SELECT * FROM audit WHERE number < ?1 ORDER BY number DESC LIMIT ?2)
         ORDER BY number DESC LIMIT ?3",
    )?;
    let limit = integer(limit as u64);
    // One row more, for the hash before the oldest one that is shown.
    let rows = statement.query_map(params![before.map_or(i64::MAX, integer), limit + 1, limit], |row| {
        let deed = Deed { actor: row.get(3)?, action: row.get(4)?, reason: row.get(5)?, detail: row.get(6)? };
        let (at, letter) = (millis(row.get(1)?), row.get::<_, Option<[u8; 16]>>(2)?.map(LetterId));
        let (hash, before): (Vec<u8>, Option<Vec<u8>>) = (row.get(7)?, row.get(8)?);
        let number = millis(row.get(0)?);
        // Of the very first row that is kept, the one before may have been forgotten.
        let intact = match &before {
            None if number > 1 => true,
            before => chained(before.as_deref().unwrap_or_default(), letter, &deed, at) == hash[..],
        };
        Ok(Audited { number, at, letter, deed, intact })
    })?;
    rows.collect()
}

fn chained(before: &[u8], letter: Option<LetterId>, deed: &Deed, at: Millis) -> [u8; 32] {
    let mut hash = Sha256::new();
    let id = letter.map_or([0; 16], |id| id.0);
    for part in [
        before,
        &at.to_be_bytes(),
        &id,
        deed.actor.as_bytes(),
        deed.action.as_bytes(),
        deed.reason.as_bytes(),
        deed.detail.as_bytes(),
    ] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}
