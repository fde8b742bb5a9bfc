//! How long a start takes with a full file. Not run by default.

use std::time::Instant;

use super::*;
use crate::idempotency::contract::{LONG, claim};
use crate::reliability::idempotency::Reply;

const ROWS: u64 = 1_000_000;

fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Fills the file without the store, which would take its time.
fn fill(path: &Path) {
    let mut connection = rusqlite::Connection::open(path).unwrap();
    let transaction = connection.transaction().unwrap();
    {
        let sql = "INSERT INTO idem (id, st, fp, nonce, fence, att, contract, amb, pinned, route, boot, created, sent, \
                   done, expires, status, headers, body, body_kept) VALUES (?1, ?2, ?3, ?4, 1, 1, 0, 0, 0, \
                   'payments/create', ?5, ?6, ?6, ?6, ?7, 201, 'location: /payments/1', 'created', 1)";
        let mut statement = transaction.prepare(sql).unwrap();
        for number in 0..ROWS {
            let spread = u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_be_bytes();
            let state = if number % 100_000 == 0 { 1 } else { 2 };
            let (now, expires) = (START as i64, (START + LONG + number) as i64);
            statement.execute(rusqlite::params![spread, state, [1_u8; 16], spread, [0_u8; 16], now, expires]).unwrap();
        }
    }
    transaction.commit().unwrap();
}

#[tokio::test]
#[ignore = "a measurement: a million rows"]
async fn a_million_records_are_loaded_within_two_seconds() {
    let fixture = InFile::new(|settings| settings.records_max = 2_000_000);
    fixture.close();
    fill(&fixture.settings.path);
    let (before, start) = (resident_kb(), Instant::now());
    let opened = fixture.open();
    let took = start.elapsed();
    let per_key = (resident_kb() - before) * 1024 / ROWS;
    println!("loaded in {took:?}; {per_key} bytes a key resident, {} in tables", {
        fixture.embedded().shared.index.table_bytes() as u64 / ROWS
    });
    assert_eq!((opened.live as u64, opened.unknown), (ROWS, 10));
    let (mut most, all) = (Duration::ZERO, Instant::now());
    for number in 1..=200 {
        let start = Instant::now();
        fixture.key(number).sent(claim(1), LONG).await;
        assert_eq!(fixture.key(number).complete(1).await, Reply::Done);
        most = most.max(start.elapsed());
    }
    println!("a claim, SENT and COMPLETE take {:?}, at most {most:?}", all.elapsed() / 200);
    if !cfg!(debug_assertions) {
        assert!(took <= Duration::from_secs(2), "{took:?}");
    }
}
