//! A whole system in virtual time: load, one sidecar or two behind each other, and endpoints that are slow, fail, queue
//! and come back.
//!
//! The sidecars are the machines of the proxy: attempts with budget, breaker, throttle and ledgers, ejection, balancing,
//! the limit with its queue. Around them stand small models of what is not decided here: connections that are kept or
//! must be opened, endpoints with slots and a queue, a script of faults. What bytes, TLS and scheduling cost is not
//! modelled.
//!
//! Everything is a function of the plan and a seed. Nothing is allocated per request once the slabs have grown.

mod admit;
mod drive;
mod exchange;
pub mod plan;
mod queue;
mod request;
mod server;
mod sidecar;
mod source;
pub mod tally;
mod world;

pub use plan::Setup;
pub use tally::Outcome;
pub use world::run;

#[cfg(test)]
mod tests;
