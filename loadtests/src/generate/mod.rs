//! Load: open loop by a seeded list of arrivals, or closed loop.

pub mod args;
