//! `outrigger-bench load`: the generator alone, to be checked against other tools.

use std::net::SocketAddr;
use std::time::Duration;

use outrigger::policy::{duration, size};

/// Sends load to one address and prints what came back.
#[derive(Clone, Debug, clap::Args)]
pub struct LoadArgs {
    /// Where to: `http://127.0.0.1:8080/path`. Loopback only.
    pub url: String,
    /// Requests per second, open loop: arrivals do not wait for answers.
    #[arg(long, value_name = "N", required_unless_present = "closed", conflicts_with = "closed")]
    pub rate: Option<f64>,
    /// Closed loop: each connection sends its next request when it has its answer.
    #[arg(long)]
    pub closed: bool,
    /// Arrivals at equal distances instead of a Poisson process.
    #[arg(long, conflicts_with = "closed")]
    pub constant: bool,
    /// The most connections open at once.
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub connections: u32,
    /// How long requests are sent.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration::parse)]
    pub duration: Duration,
    /// HTTP/2 without TLS. Open loop only.
    #[arg(long, conflicts_with = "closed")]
    pub http2: bool,
    #[arg(long, default_value = "GET")]
    pub method: String,
    /// Bytes of each request body.
    #[arg(long, value_name = "SIZE", default_value = "0B", value_parser = size::parse)]
    pub body: u64,
    /// The client gives up after this, counted from the intended time.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration::parse)]
    pub timeout: Duration,
    /// Of the arrivals.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Pins the generator to this core.
    #[arg(long, value_name = "CORE")]
    pub core: Option<u32>,
}

/// Runs it.
///
/// # Errors
/// The address is none of ours, or nothing could be run.
pub fn run(args: LoadArgs) -> Result<(), String> {
    let _: Option<SocketAddr> = None;
    Err(format!("{}: the generator is not built yet", args.url))
}
