//! The decisions, and nothing else.
//!
//! Everything here is pure: std only, `now` and entropy come in as arguments, state is plain and the
//! lock is the caller's. The same machines run in the proxy and in the simulator.
//!
//! Words, each with one meaning:
//!
//! * **Request**: what a client asked for. **Attempt**: one try at serving it.
//! * **Outcome**: how an attempt ended. **Stop**: why no further attempt was made.
//! * **Dependency** (upstream): a service named in the policy. **Endpoint**: one of its addresses.
//! * **Permit**: the right to send one attempt through the breaker, stamped with its generation.
//! * **Slot**: the right to have one request in flight within a limit.
//! * **Amplification**: attempts divided by requests.

#![warn(missing_docs)]

pub mod adaptive;
pub mod attempts;
pub mod backoff;
pub mod balance;
pub mod breaker;
pub mod budget;
pub mod classify;
pub mod dead_letters;
pub mod deadline;
pub mod dependency;
pub mod efficacy;
pub mod ejection;
pub mod ending;
pub mod entropy;
pub mod failure;
pub mod grpc;
pub mod health;
pub mod hedge;
pub mod idempotency;
pub mod inheritance;
pub mod latency;
pub mod limit;
pub mod priority;
pub mod rate;
pub mod regression;
pub mod sim;
pub mod statistics;
pub mod throttle;
pub mod verdict;
pub mod window;
pub mod zone;

pub use failure::{Failure, Phase, Sent, Side};
