//! `outrigger record`: a sketch of the traffic, for `outrigger simulate`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::session::{Failure, Session};
use super::{Exit, print};
use crate::admin::api::{RecordingBegun, RecordingOrder};
use crate::policy::duration;
use crate::simulate::recording::Recording;

/// What stands below the help.
pub(super) const EXAMPLES: &str = "\
Examples:
  outrigger record --for 60s --out monday.json
  outrigger record --for 5m --upstream payments --out payments.json
  outrigger simulate --policy new.yaml --against old.yaml --recording monday.json

The file holds, by second, route and numbered endpoint: how many requests came, how attempts ended and how long they
took. No path, no field, no body, no address. One recording at a time, of at most ten minutes; an interrupted one goes
on in the proxy, and can be fetched with GET /recording when it is over.";

/// The proxy ends it on its own; its clock and ours may differ by this.
const SLACK: Duration = Duration::from_millis(200);

#[derive(Args, Clone, Debug)]
pub(super) struct RecordArgs {
    /// How long, 1s to 10m
    #[arg(long = "for", value_name = "DURATION", default_value = "60s", value_parser = length)]
    pub length: Duration,
    /// Where to write it
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Only requests to this dependency
    #[arg(long, value_name = "NAME")]
    pub upstream: Option<String>,
    /// Write the addresses of endpoints, too
    #[arg(long)]
    pub addresses: bool,
}

fn length(text: &str) -> Result<Duration, String> {
    let length = duration::parse(text)?;
    if (Duration::from_secs(1)..=Duration::from_secs(600)).contains(&length) {
        return Ok(length);
    }
    Err("a recording lasts 1s to 10m".to_owned())
}

impl Session<'_> {
    pub(super) fn record(&mut self, args: &RecordArgs) -> Result<Exit, Failure> {
        let order = RecordingOrder {
            seconds: args.length.as_secs(),
            upstream: args.upstream.clone(),
            addresses: args.addresses.then_some(true),
        };
        let RecordingBegun { seconds } = self.client.post("/recording", &order)?;
        let wait = Duration::from_secs(seconds) + SLACK;
        self.client.wait(async { tokio::time::sleep(wait).await });
        let recording: Recording = self.client.get("/recording")?;
        let json = serde_json::to_vec(&recording).map_err(std::io::Error::other)?;
        std::fs::write(&args.out, json)?;
        let requests: u64 = recording.streams.iter().flat_map(|of| &of.arrivals).map(|count| u64::from(*count)).sum();
        let (endpoints, file) = (recording.endpoints.len(), args.out.display().to_string());
        writeln!(self.out, "{}: {requests} requests in {seconds} s to {endpoints} endpoints", print::line(&file))?;
        if recording.dropped > 0 {
            writeln!(self.out, "{} more found no room", recording.dropped)?;
        }
        Ok(if requests == 0 { Exit::Problem } else { Exit::Fine })
    }
}
