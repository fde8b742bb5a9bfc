//! Outrigger: an L7 reliability proxy that runs beside each service.
//!
//! The request path, in order: [`proxy`] accepts, routes and admits; [`reliability`] decides about attempts;
//! [`upstreams`] chooses an endpoint; [`wire`] sends; [`proxy`] responds and records; [`telemetry`] tells.
//! [`policy`] is what operators write, [`admin`] and [`cli`] what they ask. [`app`] puts it together.
//!
//! Without the feature `proxy` only [`reliability`] is left: the decisions, std only.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        clippy::expect_used,
        clippy::panic,
        clippy::too_many_lines,
        clippy::unwrap_used,
        reason = "tests fail by panics, and have moments and tasks of their own"
    )
)]

#[cfg(feature = "proxy")]
pub mod admin;
#[cfg(feature = "proxy")]
pub mod app;
#[cfg(test)]
mod architecture;
#[cfg(feature = "proxy")]
pub mod cli;
#[cfg(feature = "proxy")]
pub mod clock;
#[cfg(feature = "proxy")]
pub mod dead_letters;
#[cfg(feature = "proxy")]
pub mod demo;
#[cfg(feature = "proxy")]
pub mod drain;
#[cfg(feature = "proxy")]
pub mod faults;
#[cfg(feature = "proxy")]
pub mod idempotency;
#[cfg(feature = "proxy")]
pub mod policy;
#[cfg(feature = "proxy")]
pub mod proxy;
#[cfg(feature = "proxy")]
pub mod random;
pub mod reliability;
#[cfg(feature = "proxy")]
pub mod sabotage;
#[cfg(feature = "proxy")]
pub mod simulate;
#[cfg(feature = "proxy")]
pub mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "proxy")]
pub mod tls;
#[cfg(feature = "proxy")]
pub mod upstreams;
#[cfg(feature = "proxy")]
pub mod wire;
