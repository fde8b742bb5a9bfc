//! Clients that speak HTTP/2, with prior knowledge, towards upstreams that do not.

/// What arrives at the upstream, and what comes back.
mod serving;

/// Idle, drained, forced, silent: how connections and streams end.
mod ending;

/// Frames that no client of good will sends.
mod hostile;

/// WebSocket as RFC 8441 has it.
mod websocket;

/// Inside TLS.
mod secure;
