//! Records of idempotency keys: where they are kept, and what of an answer is kept with them.
//!
//! The transitions are [`crate::reliability::idempotency::apply`]; here is what surrounds them: durability,
//! bounds, time, and the network.

pub mod answer;
pub mod claim;
pub mod embedded;
pub mod identity;
pub mod memory;
pub mod redis;
pub mod store;
pub mod stores;
pub mod waiting;

#[cfg(test)]
mod contract;
