//! The process's generator: one SplitMix per thread, seeded from the system.
//!
//! Good enough for jitter, balancing and trace ids; never for secrets, which [`secret`] takes from the system.

use std::cell::RefCell;

use crate::reliability::entropy::{Entropy, SplitMix};

thread_local! {
    static GENERATOR: RefCell<SplitMix> = RefCell::new(SplitMix::new(seed()));
}

/// Entropy for the reliability machines. Free to create.
#[derive(Clone, Copy, Debug, Default)]
pub struct Random;

impl Entropy for Random {
    fn next_u64(&mut self) -> u64 {
        GENERATOR.with_borrow_mut(SplitMix::next_u64)
    }
}

/// 128 random bits, for trace ids.
pub fn bits128() -> u128 {
    (u128::from(Random.next_u64()) << 64) | u128::from(Random.next_u64())
}

/// 256 bits from the system that nobody can guess.
///
/// # Errors
/// If the system has none; nothing else may take their place.
pub fn secret() -> Result<[u8; 32], getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

fn seed() -> u64 {
    // A system without randomness still gets different seeds per thread and start.
    getrandom::u64().unwrap_or_else(|_| {
        let stack = 0u8;
        let address = std::ptr::from_ref(&stack).addr() as u64;
        let since = crate::clock::wall().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64);
        address ^ since ^ u64::from(std::process::id()).rotate_left(32)
    })
}
