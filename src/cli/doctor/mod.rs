//! `outrigger doctor`: looks for what goes wrong in Pods and says what to do about it.
//!
//! What it looks at is gathered here; what is made of it is pure (`mounts`, `checks`), so that tests state the facts.

mod checks;
mod facts;
mod mounts;

#[cfg(test)]
mod tests;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::args::Output;
use super::print::{self, Tone};
use super::{Exit, client};
use crate::cli::Login;

pub(super) const EXAMPLES: &str = "\
Examples:
  kubectl exec deploy/checkout -c outrigger -- /outrigger doctor
  outrigger doctor --policy policy.yaml --grace-period 30s --offline
  outrigger doctor -o json | jq -r '.checks[] | select(.verdict == \"problem\") | .next'

It asks the running proxy for its process, and takes --policy and --state-dir from its command line unless given.";

#[derive(Args, Clone, Debug, Default)]
pub(super) struct DoctorArgs {
    /// The policy file [default: that of the running proxy, or /etc/outrigger/policy.yaml]
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Where the proxy keeps its history [default: that of the running proxy]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// terminationGracePeriodSeconds of the Pod, such as 30s [env: OUTRIGGER_GRACE_PERIOD]
    #[arg(long, value_name = "DURATION", value_parser = crate::policy::duration::parse)]
    pub grace_period: Option<Duration>,
    /// Do not look for a running proxy
    #[arg(long)]
    pub offline: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum Verdict {
    Ok,
    /// To know, and no reason to fail.
    Note,
    Problem,
}

/// What one look found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Check {
    check: &'static str,
    verdict: Verdict,
    text: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl Check {
    fn ok(check: &'static str, text: impl Into<String>) -> Check {
        Check { check, verdict: Verdict::Ok, text: text.into(), next: None }
    }

    fn note(check: &'static str, text: impl Into<String>, next: impl Into<String>) -> Check {
        Check { check, verdict: Verdict::Note, text: text.into(), next: Some(next.into()) }
    }

    fn problem(check: &'static str, text: impl Into<String>, next: impl Into<String>) -> Check {
        Check { check, verdict: Verdict::Problem, text: text.into(), next: Some(next.into()) }
    }
}

#[derive(Serialize)]
struct Report<'c> {
    ok: bool,
    checks: &'c [Check],
}

/// Looks, tells, and exits with 1 if there is a problem.
pub(super) fn run(
    args: &DoctorArgs,
    (addr, login): (Option<&str>, &Login),
    output: Output,
    colour: bool,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Exit {
    let facts = match facts::gather(args, addr.unwrap_or(client::ADDR_DEFAULT), login) {
        Ok(facts) => facts,
        Err(what) => {
            // Nowhere is left to report to when this fails.
            let _ = writeln!(err, "outrigger: {what}");
            return Exit::Usage;
        }
    };
    let checks = checks::all(&facts);
    let ok = checks.iter().all(|check| check.verdict != Verdict::Problem);
    let text = match output {
        Output::Table => render(&checks, colour),
        Output::Json => match serde_json::to_string_pretty(&Report { ok, checks: &checks }) {
            Ok(json) => format!("{json}\n"),
            Err(error) => format!("{error}\n"),
        },
    };
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Exit::Problem,
        _ if ok => Exit::Fine,
        _ => Exit::Problem,
    }
}

/// A line per check, with what to do below it.
fn render(checks: &[Check], colour: bool) -> String {
    let mut text = String::new();
    for Check { check, verdict, text: what, next } in checks {
        let (word, tone) = match verdict {
            Verdict::Ok => ("ok", Tone::Good),
            Verdict::Note => ("note", Tone::Warn),
            Verdict::Problem => ("PROBLEM", Tone::Bad),
        };
        let word = format!("{word:<7}");
        let word = if colour { tone.paint(&word) } else { word };
        text.push_str(&format!("{word}  {check:<11}  {}\n", print::line(what)));
        if let Some(next) = next {
            text.push_str(&format!("{:22}next: {}\n", "", print::line(next)));
        }
    }
    let problems = checks.iter().filter(|check| check.verdict == Verdict::Problem).count();
    let sum = match problems {
        0 => "nothing wrong was found".to_owned(),
        1 => "1 problem".to_owned(),
        many => format!("{many} problems"),
    };
    text.push_str(&format!("\n{sum}\n"));
    text
}
