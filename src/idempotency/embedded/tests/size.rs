//! What a key costs in memory.

use super::super::index::{Entry, Index};
use super::super::rows::RowId;
use super::*;
use crate::idempotency::contract::claim;
use crate::reliability::classify::Contract;
use crate::reliability::idempotency::{Fingerprint, Nonce, Record, State};

/// A table of hashbrown doubles when seven eighths of it are taken, and has one byte besides each place.
const WORST: f64 = 16.0 / 7.0;

#[test]
fn a_key_takes_at_most_150_bytes_right_after_the_table_grew() {
    let place = size_of::<(RecordId, Entry)>() + 1;
    let worst = place as f64 * WORST;
    println!("{place} bytes a place, {worst:.1} bytes a key at worst");
    assert!(worst <= 150.0, "{worst}");
}

#[test]
fn a_record_comes_back_from_its_short_form() {
    let index = Index::new();
    let record = Record {
        state: State::Unknown,
        fingerprint: Fingerprint([3; 16]),
        nonce: Nonce([4; 16]),
        fence: u32::MAX,
        attempt: u16::MAX,
        contract: Contract::Atomic5xx,
        ambiguous: true,
        pinned: false,
        lease_until: 0,
        expires: START + 1,
    };
    let mut number = 0_u8;
    for state in [State::Complete, State::Unknown, State::Retryable] {
        for contract in [Contract::Opaque, Contract::Atomic5xx, Contract::Dedupes] {
            for (pinned, fence, attempt) in
                [(true, 1, 1), (false, 255, 255), (true, 256, 1), (false, u32::MAX, u16::MAX)]
            {
                let record = Record { state, contract, pinned, fence, attempt, ..record };
                let id = RecordId([number; 16]);
                index.load(id, RowId(1 << number), &record);
                assert_eq!(index.with(id, |live| (live.record, live.row)), (Some(record), Some(RowId(1 << number))));
                number += 1;
            }
        }
    }
    assert_eq!(index.len(), 36);
}

#[tokio::test]
async fn a_table_of_many_keys_keeps_to_its_size_while_it_grows() {
    let index = Index::new();
    let record = Record {
        state: State::Complete,
        fingerprint: claim(1).fingerprint,
        nonce: claim(1).nonce,
        fence: 1,
        attempt: 1,
        contract: Contract::Opaque,
        ambiguous: false,
        pinned: false,
        lease_until: 0,
        expires: START,
    };
    let mut most = 0.0_f64;
    for number in 0..100_000_u64 {
        // Spread as the output of a hash is.
        let spread = u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        index.load(RecordId(spread.to_be_bytes()), RowId(number as i64), &record);
        if number > 50_000 && number % 1000 == 0 {
            most = most.max(index.table_bytes() as f64 / index.len() as f64);
        }
    }
    println!("{most:.1} bytes a key at most");
    assert!(most <= 150.0, "{most}");
}
