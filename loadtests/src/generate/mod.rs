//! Load: open loop by a seeded list of arrivals, or closed loop.
