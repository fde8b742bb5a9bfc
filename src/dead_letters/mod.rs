//! Requests that could not be served and are kept for repair: what is captured of them, and how it is sealed.
//!
//! What is known of such a request and what may be done about it is `reliability::dead_letters`; where letters are kept
//! is `idempotency::embedded::letters`, beside the records of their keys.

pub mod capture;
pub mod contents;
pub mod job;
pub mod letter;
pub mod seal;
