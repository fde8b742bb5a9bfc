//! `outrigger simulate`: what a policy would do. Needs no running proxy.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::args::Output;
use super::{Exit, print};
use crate::clock;
use crate::policy::compile::FILE_BYTES_MAX;
use crate::simulate::compare::{Comparison, Seeds, Verdict, compare};
use crate::simulate::model::Model;
use crate::simulate::recording::{self, Recording};
use crate::simulate::scenario::Scenario;
use crate::simulate::subject::Subject;
use crate::simulate::{page, text};

/// What stands below the help.
pub(super) const EXAMPLES: &str = "\
Examples:
  outrigger simulate --policy new.yaml --against old.yaml --scenario brownout.yaml
  outrigger simulate --policy new.yaml --scenario stall.yaml --html stall.html
  outrigger record --for 60s --out monday.json
  outrigger simulate --policy new.yaml --against old.yaml --recording monday.json --fail-if-worse

Exit codes: 0 fine; 1 with --fail-if-worse, if the new policy is worse in anything beyond chance; 2 bad input.
docs/simulate.md says what a scenario may hold, and what a simulation cannot tell.";

/// Plays of each policy at most.
const PLAYS_MAX: i64 = 1_000;

#[derive(Args, Clone, Debug)]
pub(super) struct SimulateArgs {
    /// The policy that is tried
    #[arg(long, value_name = "FILE")]
    pub policy: PathBuf,
    /// The policy that it is compared with
    #[arg(long, value_name = "FILE")]
    pub against: Option<PathBuf>,
    /// Load and faults, as the load tests play them
    #[arg(long, value_name = "FILE", required_unless_present = "recording", conflicts_with = "recording")]
    pub scenario: Option<PathBuf>,
    /// What `outrigger record` has written
    #[arg(long, value_name = "FILE")]
    pub recording: Option<PathBuf>,
    /// Which upstream of the policies, if there are several
    #[arg(long, value_name = "NAME")]
    pub upstream: Option<String>,
    /// With --recording: requests that each endpoint serves at once; more wait. Without it, load changes nothing
    #[arg(long, value_name = "N", requires = "recording", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub capacity: Option<u32>,
    /// Plays of each policy, with seeds of their own
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=PLAYS_MAX))]
    pub plays: u32,
    /// The first seed; the same seed gives the same answer
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Form of the answer
    #[arg(long, value_enum, default_value_t = Form::Human)]
    pub format: Form,
    /// Write a page with curves to this file as well
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Exit with 1 if the new policy is worse in anything beyond chance
    #[arg(long, requires = "against")]
    pub fail_if_worse: bool,
}

/// Form of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// A sentence, a table, and what is left out
    Human,
    /// One JSON document
    Json,
}

/// Runs it.
pub(super) fn run(args: &SimulateArgs, output: Output, out: &mut dyn Write, err: &mut dyn Write) -> Exit {
    match simulated(args).and_then(|comparison| told(args, output, &comparison, out).map(|()| comparison)) {
        Ok(comparison) => {
            let worse = matches!(comparison.verdict, Verdict::Worse | Verdict::Mixed);
            if args.fail_if_worse && worse { Exit::Problem } else { Exit::Fine }
        }
        Err(why) => {
            // Nowhere is left to report to when this fails.
            let _ = writeln!(err, "outrigger: {why}");
            Exit::Usage
        }
    }
}

fn simulated(args: &SimulateArgs) -> Result<Comparison, String> {
    let load = |path: &Path| {
        let (name, bytes) = read(path, FILE_BYTES_MAX)?;
        Subject::load(&name, &bytes, args.upstream.as_deref())
    };
    let new = load(&args.policy)?;
    let old = args.against.as_deref().map(load).transpose()?;
    let model = model(args, &new)?;
    let seeds = Seeds { first: args.seed, count: args.plays };
    Ok(compare(&model, &new, old.as_ref(), seeds, clock::now()))
}

fn model(args: &SimulateArgs, new: &Subject) -> Result<Model, String> {
    if let Some(path) = &args.scenario {
        let (name, bytes) = read(path, FILE_BYTES_MAX)?;
        let text = String::from_utf8(bytes).map_err(|_| format!("{name}: the file is not UTF-8"))?;
        return Scenario::parse(&text, &name, &|_| Ok(())).map(|scenario| Model::of_scenario(&scenario));
    }
    let path = args.recording.as_deref().ok_or_else(|| "name a scenario with --scenario".to_owned())?;
    let (name, bytes) = read(path, recording::FILE_BYTES_MAX)?;
    let recording = Recording::parse(&bytes, &name)?;
    recording.model(new, args.capacity).map_err(|why| format!("{name}: {why}"))
}

fn told(args: &SimulateArgs, output: Output, comparison: &Comparison, out: &mut dyn Write) -> Result<(), String> {
    if let Some(path) = &args.html {
        let written = std::fs::write(path, page::render(comparison));
        written.map_err(|error| format!("{}: {error}\nnext: name a file that can be written", path.display()))?;
    }
    let text = if output == Output::Json || args.format == Form::Json {
        let json = serde_json::to_string_pretty(comparison).map_err(|error| error.to_string())?;
        format!("{json}\n")
    } else {
        format!("{}\n", print::lines(&text::render(comparison)))
    };
    // A reader that went away (`| head`) is no failure of ours.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    Ok(())
}

/// The name for messages, and the bytes.
fn read(path: &Path, most: usize) -> Result<(String, Vec<u8>), String> {
    let name = path.display().to_string();
    let mut bytes = Vec::new();
    let file = File::open(path).and_then(|file| file.take(most as u64 + 1).read_to_end(&mut bytes));
    file.map_err(|error| format!("{name}: {error}"))?;
    if bytes.len() > most {
        return Err(format!("{name}: more than {most} bytes"));
    }
    Ok((name, bytes))
}
