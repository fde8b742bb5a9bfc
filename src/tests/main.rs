//! The integration tests: the real program, scripted upstreams, real sockets.
//!
//! One binary, so that it links once. Before adding a module, see whether the behaviour belongs to one of
//! these. No test sleeps to wait for something: it awaits a counter of the upstream or polls a metric.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests fail by panics, and have moments and tasks of their own"
)]

/// The stage that most tests play on: one upstream behind the program.
mod stage;

/// How messages pass through: framing, keep-alive, fields, upgrades, bodies of any size.
mod wire;

/// Clients that speak HTTP/2: what they are served, how they end, and what they must not do.
mod http2;

/// What must not pass: ambiguous, malformed or oversized messages, and answers nobody asked for.
mod smuggling;

/// Deadlines, per-try timeouts, and peers that do not move.
mod timeouts;

/// What is sent again, how often, when, and what must never be.
mod retrying;

/// Slow answers that a second attempt overtakes.
mod hedging;

/// Whether retries help, as it is measured and told, and what follows from it.
mod helping;

/// Calls of gRPC: how they end, what is made of that, and what callers are told.
mod grpc;

/// How much runs at once, and what happens to the rest.
mod limits;

/// Adaptive limits, classes of requests, and who is shed.
mod overload;
/// How much each caller may send.
mod rate_limits;

/// What calls inherit from the request that they are made for.
mod chain;

/// What mechanisms in mode observe report.
mod observing;

/// Circuit breakers and the ejection of endpoints.
mod breaking;

/// The care of endpoints: who is checked, who sits out, who starts slowly, who is near, who comes and goes.
mod endpoints;

/// What `outrigger status` says of real faults.
mod verdicts;

/// Certificates that are rotated, wrong, or expire.
mod certificates;

/// Answers that the program makes itself, and what it adds to those of others.
mod answers;

/// Requests that could not be served, and their repair.
mod dead_letters;

/// The other direction: callers in front, the app behind.
mod idempotency;
mod inbound;

/// Who is let in to the admin API, and from where.
mod admin_reach;

/// Who callers are, by their certificates, and what follows from it.
mod callers;

/// Spans as a collector gets them.
mod traces;

/// Start, drain, end.
mod lifecycle;

/// What the image is made of, and that it runs.
mod image;

/// A Pod from its start to its end.
mod kubelet;

/// Sockets that systemd passes on, and what it is told.
mod activation;

/// What becomes known of single requests, and what never does.
mod requests;

/// `outrigger simulate`, and recordings of real traffic.
mod simulate;

/// `outrigger top` in a terminal.
mod top;

/// Manifests, `k8s inject` and `doctor`, without a cluster.
mod kubernetes;

/// The policy changes while traffic flows.
mod reload;

/// What changed, who did it, and what the guard makes of it.
mod changes;
/// The page of the admin listener, in a real browser.
mod page;
/// A real Prometheus in front of the program, with our rules, and the dashboard's queries.
mod prometheus;

/// Programs that others wrote, on both sides: curl, nghttp, nginx, grpcio, WebSocket.
mod peers;

/// One test per bug that was found in use or review.
mod regressions;

/// `outrigger demo`, from its first line to its last.
mod demo;
