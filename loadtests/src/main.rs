//! `outrigger-bench`: what the sidecar costs and what it saves, next to the real peers.
//!
//! [`scenario`] is what users write; [`stage`] plays it: scripted upstreams, a fault script in time, and load
//! from [`generate`]. [`arms`] starts Outrigger and its peers, [`measure`] reads what they use, [`run`] puts
//! rounds together, [`gates`] judges them, and [`report`] says what came out, [`compare`] what changed since another run.
//! [`results`] is the data between them.

mod arms;
mod cli;
mod compare;
mod credentials;
mod drill;
mod gates;
mod generate;
mod library;
mod measure;
mod report;
mod results;
mod run;
mod scenario;
#[cfg(test)]
mod simulated;
mod stage;

fn main() -> std::process::ExitCode {
    cli::main()
}
