//! Where a scenario is played: its upstreams, its fault script, its clients.
