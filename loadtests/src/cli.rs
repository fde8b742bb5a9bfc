//! The command line. Every error names the next step.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use outrigger::clock;

use crate::arms::{Arm, Choice, Kind, find};
use crate::compare::{Thresholds, compare};
use crate::drill::{self, Drill};
use crate::generate::args::{self, LoadArgs};
use crate::library::{DRILLS, SCENARIOS};
use crate::results::{Run, Skipped};
use crate::run::{Plan, read, run};
use crate::scenario::Scenario;
use crate::{measure, report};

/// Seed where none is given: a run is repeated by the same command.
const SEED: u64 = 1;

/// The short comparison: seconds and rounds of a scenario about cost, and of one about faults.
const QUICK_COST: (u32, u32) = (4, 2);
const QUICK_FAULTS: (u32, u32) = (8, 1);
const QUICK_WARM_UP: Duration = Duration::from_secs(1);

/// What the sidecar costs and what it saves, next to the real peers.
///
/// Exit codes: 0 fine, 1 a condition or threshold failed, 2 bad usage or input, 3 the machine was too busy for the
/// figures to be used.
#[derive(Debug, Parser)]
#[command(name = "outrigger-bench", version, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Plays scenarios against Outrigger and its peers, in interleaved rounds
    Run(RunArgs),
    /// Lists scenarios, and arms with their versions or why they are not here
    List,
    /// Prints an earlier run again, and writes its page with --out
    Report {
        /// A run.json, or its folder.
        run: PathBuf,
        /// Writes the page to this file.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Compares a run with an earlier one; exit code 1 if something got worse by more than is allowed
    Compare {
        /// The base: a run.json, or its folder.
        a: PathBuf,
        /// The new one.
        b: PathBuf,
        /// How much worse a figure may get: cpu=5%, p99=2ms, success=0.5% …
        #[arg(value_name = "THRESHOLD")]
        thresholds: Vec<String>,
    },
    /// Plays faults against a real sidecar; exit code 1 unless the first lines of `outrigger status` name each in time
    Drill(DrillArgs),
    /// Sends load to one address and prints what came back: the generator alone
    Load(LoadArgs),
}

#[derive(Debug, clap::Args)]
struct DrillArgs {
    /// Drills by name, or files of your own. Default: all.
    #[arg(value_name = "DRILL|FILE")]
    drills: Vec<String>,
    /// Drills that are played at the same time.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=32))]
    at_once: u16,
    /// Nothing goes wrong, for so many seconds: nobody may be accused.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    calm: Option<u64>,
    /// The Outrigger to play against.
    #[arg(long, value_name = "FILE")]
    outrigger: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct RunArgs {
    /// Scenarios by name, or files of your own. Default: all; with --quick, the short ones.
    #[arg(value_name = "SCENARIO|FILE")]
    scenarios: Vec<String>,
    /// The short comparison: few scenarios, squeezed, in one or two rounds.
    #[arg(long)]
    quick: bool,
    /// An arm: direct, outrigger, envoy, haproxy, nginx, pingora, or one of your own:
    /// LABEL=outrigger[,policy=FILE][,upstream=NAME][,binary=FILE]. Default: all that are installed.
    #[arg(long = "arm", value_name = "ARM")]
    arms: Vec<String>,
    /// Rounds of every scenario, instead of its own number.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: Option<u32>,
    /// Seconds of every scenario; its fault script is stretched or squeezed with it.
    #[arg(long, value_name = "D", value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: Option<u32>,
    /// Folder of the results. Default: bench-TIME in the current folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Of arrivals and of the upstream's draws.
    #[arg(long, value_name = "N", default_value_t = SEED)]
    seed: u64,
    /// The Outrigger of the arms that name none.
    #[arg(long, value_name = "FILE")]
    outrigger: Option<PathBuf>,
    /// Core of the proxies. Default: the last one.
    #[arg(long, value_name = "N", conflicts_with = "no_pin", requires = "load_core")]
    proxy_core: Option<u32>,
    /// Core of load and upstream. Default: the one before.
    #[arg(long, value_name = "N", conflicts_with = "no_pin", requires = "proxy_core")]
    load_core: Option<u32>,
    /// Pins nothing: the kernel places threads and processes.
    #[arg(long)]
    no_pin: bool,
}

/// Parses the command line and does what it says.
pub fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(arguments) => play(arguments),
        Command::Drill(arguments) => drills(arguments),
        Command::List => list(),
        Command::Report { run, out } => print_again(&run, out.as_deref()),
        Command::Compare { a, b, thresholds } => side_by_side(&a, &b, &thresholds),
        Command::Load(arguments) => {
            args::run(arguments).map(|answered| if answered { Outcome::Fine } else { Outcome::Failed })
        }
    };
    match done {
        Ok(outcome) => outcome.into(),
        Err(reason) => {
            let _ = writeln!(io::stderr(), "error: {reason}");
            ExitCode::from(2)
        }
    }
}

/// How a command ended, if it could be done at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Fine,
    /// A condition of a scenario, or a threshold of a comparison.
    Failed,
    /// The figures must not be used.
    Invalid,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> ExitCode {
        match outcome {
            Outcome::Fine => ExitCode::SUCCESS,
            Outcome::Failed => ExitCode::from(1),
            Outcome::Invalid => ExitCode::from(3),
        }
    }
}

impl Outcome {
    /// Conditions of an invalid scenario were judged on figures that must not be used.
    fn of(run: &Run) -> Outcome {
        if run.scenarios.iter().any(|scenario| !scenario.invalid.is_empty()) {
            Outcome::Invalid
        } else if run.scenarios.iter().flat_map(|scenario| &scenario.gates).any(|gate| !gate.passed) {
            Outcome::Failed
        } else {
            Outcome::Fine
        }
    }
}

fn play(arguments: RunArgs) -> Result<Outcome, String> {
    let plan = plan(arguments)?;
    // Ours is the load's side: what it samples and writes must not take the proxies' core.
    measure::pin(plan.load_core)?;
    measure::raise_file_limit();
    for skipped in &plan.skipped {
        say(&format!("{} is skipped: {}", skipped.arm, skipped.reason));
    }
    let names: Vec<&str> = plan.arms.iter().map(|arm| arm.choice.label.as_str()).collect();
    let minutes = plan.load_seconds() / 60.0;
    let count = plan.scenarios.len();
    let scenarios = if count == 1 { "scenario" } else { "scenarios" };
    say(&format!("{count} {scenarios} through {}: {minutes:.1} minutes of load", names.join(", ")));
    let run = run(&plan)?;
    print(&run)?;
    say(&format!("page: {}", plan.out.join("report.html").display()));
    Ok(Outcome::of(&run))
}

fn drills(arguments: DrillArgs) -> Result<Outcome, String> {
    let all = || DRILLS.names().into_iter().map(str::to_owned).collect();
    let names: Vec<String> = if arguments.drills.is_empty() { all() } else { arguments.drills };
    let read = |name: &String| DRILLS.find(name).and_then(|(text, file)| Drill::parse(&text, &file));
    let mut drills = names.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    if let Some(seconds) = arguments.calm {
        drills.iter_mut().for_each(|drill| drill.warm_up = Duration::from_secs(seconds));
    }
    let outrigger = find(Kind::Outrigger, arguments.outrigger.as_deref())?;
    say(&format!("{} drills against {}", drills.len(), outrigger.version));
    let passed = drill::run(drills, &outrigger.program, usize::from(arguments.at_once), arguments.calm.is_some())?;
    Ok(if passed { Outcome::Fine } else { Outcome::Failed })
}

/// Everything that can be wrong is found before anything is started.
fn plan(arguments: RunArgs) -> Result<Plan, String> {
    let command =
        std::iter::once("outrigger-bench".to_owned()).chain(std::env::args().skip(1).map(|word| quoted(&word)));
    let mut scenarios = scenarios(&arguments.scenarios, arguments.quick)?;
    for scenario in &mut scenarios {
        if arguments.quick {
            shorten(scenario);
        }
        if let Some(seconds) = arguments.seconds {
            stretch(scenario, seconds);
        }
    }
    let (arms, skipped) = arms(&arguments.arms, arguments.outrigger.as_deref())?;
    let (proxy_core, load_core) = cores(&arguments)?;
    let out = match arguments.out {
        Some(out) => out,
        None => PathBuf::from(format!("bench-{}", stamp()?)),
    };
    let command = command.collect::<Vec<_>>().join(" ");
    let rounds = arguments.rounds;
    Ok(Plan { scenarios, arms, skipped, rounds, seed: arguments.seed, proxy_core, load_core, out, command })
}

/// Named ones, or all, or the short ones.
fn scenarios(named: &[String], quick: bool) -> Result<Vec<Scenario>, String> {
    let all = || SCENARIOS.names().into_iter().map(str::to_owned).collect();
    let names: Vec<String> = if named.is_empty() { all() } else { named.to_vec() };
    let parse = |name: &String| SCENARIOS.find(name).and_then(|(text, file)| Scenario::parse(&text, &file));
    // All findings of all files in one go.
    let (good, bad): (Vec<_>, Vec<_>) = names.iter().map(parse).partition(Result::is_ok);
    if !bad.is_empty() {
        return Err(bad.into_iter().filter_map(Result::err).collect::<Vec<_>>().join("\n"));
    }
    let good = good.into_iter().filter_map(Result::ok);
    let kept: Vec<Scenario> = good.filter(|scenario| !quick || !named.is_empty() || scenario.quick).collect();
    if kept.is_empty() {
        Err("no scenario has `quick: true`; name one, or leave --quick out".to_owned())
    } else {
        Ok(kept)
    }
}

/// As short as it still says something.
fn shorten(scenario: &mut Scenario) {
    scenario.warm_up = scenario.warm_up.min(QUICK_WARM_UP);
    // Cost is a ratio of small numbers and needs its spread; effects of faults are large.
    let (seconds, rounds) = if scenario.cost { QUICK_COST } else { QUICK_FAULTS };
    stretch(scenario, seconds);
    scenario.rounds = Some(rounds);
}

/// Makes the measured part last `seconds`, and moves the faults accordingly.
fn stretch(scenario: &mut Scenario, seconds: u32) {
    let factor = f64::from(seconds) / scenario.duration.as_secs_f64().max(f64::MIN_POSITIVE);
    scenario.duration = Duration::from_secs(u64::from(seconds));
    for fault in &mut scenario.faults {
        fault.at = fault.at.mul_f64(factor);
        fault.until = fault.until.mul_f64(factor);
    }
}

/// The arms that take part. One that was named and is not here is an error only if it is of one's own making.
fn arms(named: &[String], outrigger: Option<&Path>) -> Result<(Vec<Arm>, Vec<Skipped>), String> {
    let mut choices = named.iter().map(|text| Choice::parse(text)).collect::<Result<Vec<_>, _>>()?;
    if choices.is_empty() {
        choices = Kind::ALL.map(Choice::plain).to_vec();
    }
    let (mut arms, mut skipped): (Vec<Arm>, Vec<Skipped>) = (Vec::new(), Vec::new());
    for mut choice in choices {
        if choice.kind == Kind::Outrigger && choice.binary.is_none() {
            choice.binary = outrigger.map(Path::to_path_buf);
        }
        let label = choice.label.clone();
        if arms.iter().any(|arm| arm.choice.label == label) || skipped.iter().any(|skipped| skipped.arm == label) {
            return Err(format!(
                "two arms are called {label}; give one of them a label: {label}-b={}",
                choice.kind.as_str()
            ));
        }
        choice.check_policy()?;
        let explicit = choice.binary.is_some();
        match Arm::new(choice) {
            Ok(arm) => {
                arm.check_policy().map_err(|reason| format!("{label}: {reason}"))?;
                arms.push(arm);
            }
            Err(reason) if explicit => return Err(format!("{label}: {reason}")),
            Err(reason) => skipped.push(Skipped { arm: label, reason }),
        }
    }
    if arms.iter().all(|arm| arm.choice.kind == Kind::Direct) {
        let reasons = skipped.iter().map(|skipped| format!("\n  {}: {}", skipped.arm, skipped.reason));
        return Err(format!("there is no arm to measure{}", reasons.collect::<String>()));
    }
    Ok((arms, skipped))
}

/// Two cores, as given or the last two; none on a machine that has only one.
fn cores(arguments: &RunArgs) -> Result<(Option<u32>, Option<u32>), String> {
    let all = measure::environment(None, None).cores;
    match (arguments.proxy_core, arguments.load_core) {
        (Some(proxy), Some(load)) if proxy == load => {
            Err("the proxies need a core of their own: --proxy-core and --load-core are the same".to_owned())
        }
        (Some(proxy), Some(load)) if proxy >= all || load >= all => {
            Err(format!("this machine has cores 0 to {}", all.saturating_sub(1)))
        }
        (Some(proxy), Some(load)) => Ok((Some(proxy), Some(load))),
        _ if arguments.no_pin => Ok((None, None)),
        _ if all < 2 => {
            say("this machine has one core: nothing is pinned, and figures say little");
            Ok((None, None))
        }
        _ => Ok((Some(all - 1), Some(all - 2))),
    }
}

fn list() -> Result<Outcome, String> {
    let mut out = io::stdout().lock();
    let mut text = String::from("scenarios\n");
    for name in SCENARIOS.names() {
        let (source, file) = SCENARIOS.find(name)?;
        let title = Scenario::parse(&source, &file).map(|scenario| {
            let short = if scenario.quick { " (quick)" } else { "" };
            format!("{}{short}", scenario.title)
        });
        text.push_str(&format!("  {name:<24} {}\n", title.unwrap_or_else(|reason| reason)));
    }
    text.push_str("\narms\n");
    for kind in Kind::ALL {
        let state = match Arm::new(Choice::plain(kind)) {
            Ok(_) if kind == Kind::Direct => "clients and upstreams alone".to_owned(),
            Ok(arm) => arm.version().to_owned(),
            Err(reason) => format!("not here: {reason}"),
        };
        text.push_str(&format!("  {:<24} {state}\n", kind.as_str()));
        for lack in kind.lacks() {
            text.push_str(&format!("  {:<24}   lacks: {lack}\n", ""));
        }
    }
    out.write_all(text.as_bytes()).map_err(|e| e.to_string())?;
    Ok(Outcome::Fine)
}

fn print_again(path: &Path, out: Option<&Path>) -> Result<Outcome, String> {
    let run = read(path)?;
    print(&run)?;
    if let Some(out) = out {
        std::fs::write(out, report::page(&run)?).map_err(|e| format!("{}: {e}", out.display()))?;
        say(&format!("page: {}", out.display()));
    }
    Ok(Outcome::of(&run))
}

fn side_by_side(a: &Path, b: &Path, thresholds: &[String]) -> Result<Outcome, String> {
    let thresholds = Thresholds::parse(thresholds)?;
    let comparison = compare(&read(a)?, &read(b)?, &thresholds);
    if let Some(reason) = comparison.refused {
        return Err(reason);
    }
    comparison.print(&mut io::stdout().lock()).map_err(|e| e.to_string())?;
    Ok(if comparison.regressed() { Outcome::Failed } else { Outcome::Fine })
}

fn print(run: &Run) -> Result<(), String> {
    report::show(run).map_err(|e| format!("standard output: {e}"))
}

fn say(text: &str) {
    // If nobody listens any more, nobody misses it.
    let _ = writeln!(io::stderr(), "{text}");
}

/// For a folder's name: 20261123-084213.
fn stamp() -> Result<String, String> {
    let now = jiff::Timestamp::try_from(clock::wall()).map_err(|e| format!("the system's time: {e}"))?;
    Ok(now.strftime("%Y%m%d-%H%M%S").to_string())
}

/// A word as a shell takes it back.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests;
