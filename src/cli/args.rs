//! The words of the command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::letters::args::{Dlq, Replay};
use super::login::Login;
use super::policy_commands::PolicyCommand;
use super::requests::args::RequestCommand;
use crate::admin::api::ResolveAs;

const EXAMPLES: &str = "\
Examples:
  outrigger init > policy.yaml              a policy to begin with
  outrigger check policy.yaml               find its mistakes before it runs
  outrigger run --policy policy.yaml        start the proxy
  outrigger status                          how it does, in words; exit code 1 if degraded
  outrigger changes --since 30m             what changed lately
  outrigger circuits open payments --ttl 10m --reason 'INC-42: charges twice'

Exit codes: 0 fine, 1 problem found (findings in a policy included), 2 wrong usage, unreadable policy,
or `run` with a bad policy, 3 proxy not reachable, or a replay that served only a part";

/// An L7 reliability proxy that runs beside each service.
#[derive(Debug, Parser)]
#[command(name = "outrigger", version, after_help = EXAMPLES, arg_required_else_help = true)]
#[command(infer_subcommands = false, disable_help_subcommand = true)]
pub(super) struct Cli {
    /// Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]
    #[arg(long, global = true, value_name = "HOST:PORT")]
    pub addr: Option<String>,

    /// Form of the answer
    #[arg(short, long, global = true, value_enum, default_value_t = Output::Table)]
    pub output: Output,

    #[command(flatten)]
    pub login: Login,

    #[command(subcommand)]
    pub command: Command,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Aligned columns and sentences
    Table,
    /// The admin API's JSON, with stable keys
    Json,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Start the proxy
    #[command(after_help = "\
Example:
  outrigger run --policy /etc/outrigger/policy.yaml --state-dir /var/lib/outrigger

A policy that does not compile ends the start with exit code 2. SIGHUP reloads. SIGTERM drains: the app beside it is
served until it has gone, `drain.timeout` at most. SIGINT only finishes what is in flight; a second signal ends at once.")]
    Run(RunArgs),

    /// Show a minute of trouble and what the proxy does about it; needs nothing else
    Demo(DemoArgs),

    #[command(flatten)]
    File(PolicyCommand),

    /// Try a policy, or compare two, on a virtual clock: success, added latency, load, recovery
    #[command(after_help = super::simulate::EXAMPLES)]
    Simulate(super::simulate::SimulateArgs),

    /// Kubernetes manifests: add the sidecar
    K8s {
        #[command(subcommand)]
        action: super::k8s::K8s,
    },

    /// Look for what goes wrong in a Pod; exit code 1 if something was found
    #[command(after_help = super::doctor::EXAMPLES)]
    Doctor(super::doctor::DoctorArgs),

    /// Print the version
    Version,

    #[command(flatten)]
    Online(Online),
}

/// Commands that ask a running proxy.
#[derive(Debug, Subcommand)]
pub(super) enum Online {
    /// How the proxy and its dependencies do; exit code 1 if degraded
    #[command(after_help = "\
Examples:
  outrigger status
  outrigger status --watch
  outrigger status -o json | jq -r '.verdicts[].text'")]
    Status {
        /// Ask again every two seconds, until interrupted
        #[arg(long)]
        watch: bool,
    },

    /// All dependencies, or one with its endpoints
    Upstreams {
        /// As the policy names it
        name: Option<String>,
    },

    /// What changed: policies, circuits, endpoints, operators
    #[command(after_help = super::changes::EXAMPLES)]
    Changes(super::changes::ChangesArgs),

    /// Circuit breakers: list, hold open or closed for a while, reset
    #[command(after_help = "\
Examples:
  outrigger circuits ls
  outrigger circuits open payments --ttl 10m --reason 'INC-42: charges twice'
  outrigger circuits reset payments --reason 'INC-42 is over'")]
    Circuits {
        #[command(subcommand)]
        action: Option<Circuits>,
    },

    /// Idempotency keys: look at one, settle an outcome that nobody knows
    #[command(after_help = "\
Examples:
  outrigger idem show payments/charge k1
  outrigger idem resolve payments/charge k1 --as not-executed --reason 'INC-42: the bank has no such payment'
  outrigger idem resolve payments/charge k1 --as executed --status 201 --body '{\"id\":7}' --reason 'INC-42'")]
    Idem {
        #[command(subcommand)]
        action: Idem,
    },

    /// Dead letters: look at them, send them again, give them up, say what became of them
    #[command(after_help = super::letters::args::EXAMPLES)]
    Dlq {
        #[command(subcommand)]
        action: Dlq,
    },

    /// Replays of many dead letters, as `dlq replay` starts them
    #[command(after_help = "\
Examples:
  outrigger replay ls
  outrigger replay status ID --wait
  outrigger replay cancel ID --reason 'INC-42: the wrong route'")]
    Replay {
        #[command(subcommand)]
        action: Replay,
    },

    /// Who did what to which dead letter, and whether that record is intact; exit code 1 if it is not
    #[command(after_help = "Example:\n  outrigger audit --since 24h")]
    Audit {
        /// At most this many, the newest ones
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1_000))]
        limit: u16,
        /// How far back, such as 90s, 30m or 24h
        #[arg(long, value_name = "DURATION", value_parser = duration)]
        since: Option<String>,
    },

    #[command(flatten)]
    Request(RequestCommand),

    /// Record a sketch of the traffic for `simulate`: counts and times, no paths, fields or bodies
    #[command(after_help = super::record::EXAMPLES)]
    Record(super::record::RecordArgs),

    /// Whether retries help, by route and class of failure; exit code 1 if some do not
    #[command(after_help = "\
Examples:
  outrigger retries
  outrigger retries payments -o json | jq -r '.retries[].text'")]
    Retries {
        /// Only this dependency
        upstream: Option<String>,
    },

    /// Retry budgets: what is left, what retries rescued, and why some were not made
    Budgets {
        /// Only this dependency
        upstream: Option<String>,
    },

    /// The policy in force and its history
    #[command(after_help = "\
Examples:
  outrigger policy show
  outrigger policy history
  outrigger policy rollback 7 --reason 'revision 8 tripled the load'")]
    Policy {
        #[command(subcommand)]
        action: Policy,
    },

    /// Ask for readiness: exit code 0 if ready, else 1. For exec probes
    #[command(after_help = "\
Examples:
  outrigger probe                             ready? over the admin listener
  outrigger probe --live --addr 127.0.0.1:4491
  outrigger probe --startup --timeout 1s      in a startupProbe: { exec: { command: [/outrigger, probe, --startup] } }

Nothing that answers in time is `not ready`, too: exit code 1.")]
    Probe(ProbeArgs),
}

#[derive(Args, Debug)]
pub(super) struct ProbeArgs {
    /// Has it started? The policy is loaded and the listeners are bound (`/readyz`)
    #[arg(long, conflicts_with_all = ["ready", "live"])]
    pub startup: bool,
    /// May it get requests? The default (`/readyz`)
    #[arg(long, conflicts_with = "live")]
    pub ready: bool,
    /// Does it answer at all? (`/livez`)
    #[arg(long)]
    pub live: bool,
    /// How long the answer may take; stay below the probe's own `timeoutSeconds`
    #[arg(long, default_value = "2s", value_name = "DURATION", value_parser = crate::policy::duration::parse)]
    pub timeout: std::time::Duration,
}

#[derive(Debug, Subcommand)]
pub(super) enum Circuits {
    /// List all
    Ls,
    /// Hold one open: its requests are refused at once
    Open(Hold),
    /// Hold one closed: its requests pass whatever fails
    Close(Hold),
    /// End a hold, close the circuit, forget what it learned
    Reset {
        upstream: String,
        /// Why; it goes to the change journal
        #[arg(long)]
        reason: String,
    },
}

#[derive(Args, Debug)]
pub(super) struct Hold {
    pub upstream: String,
    /// How long, 1s to 24h
    #[arg(long, default_value = "10m", value_name = "DURATION", value_parser = ttl)]
    pub ttl: String,
    /// Why; it goes to the change journal
    #[arg(long)]
    pub reason: String,
}

#[derive(Debug, Subcommand)]
pub(super) enum Idem {
    /// Where a key stands; exit code 1 if there is no record of it
    Show(KeyArgs),
    /// Settle an unknown outcome or an ambiguous answer; exit code 1 if it is neither
    Resolve(ResolveArgs),
}

#[derive(Args, Clone, Debug)]
pub(super) struct KeyArgs {
    /// As the policy names them
    #[arg(value_name = "UPSTREAM/ROUTE", value_parser = route_name)]
    pub route: RouteName,
    /// As the client sends it, with quotes or without
    pub key: String,
    /// Whose key it is, where the policy tells callers apart
    #[arg(long, value_name = "WHO")]
    pub principal: Option<String>,
}

#[derive(Args, Debug)]
pub(super) struct ResolveArgs {
    #[command(flatten)]
    pub key: KeyArgs,
    /// What you have found out
    #[arg(long = "as", value_enum)]
    pub outcome: Found,
    /// Why; it goes to the change journal
    #[arg(long)]
    pub reason: String,
    /// Status that repetitions get, with `executed` [default: 200]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(STATUSES))]
    pub status: Option<u16>,
    /// Body that repetitions get, with `executed` [default: empty]
    #[arg(long, value_name = "TEXT")]
    pub body: Option<String>,
}

pub(super) const STATUSES: std::ops::RangeInclusive<i64> =
    crate::admin::keys::STATUS_MIN as i64..=crate::admin::keys::STATUS_MAX as i64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Found {
    /// It took effect: repetitions get an answer
    Executed,
    /// It did not: the next request with the key is executed
    NotExecuted,
}

impl From<Found> for ResolveAs {
    fn from(found: Found) -> ResolveAs {
        match found {
            Found::Executed => ResolveAs::Executed,
            Found::NotExecuted => ResolveAs::NotExecuted,
        }
    }
}

/// `UPSTREAM/ROUTE`.
#[derive(Clone, Debug)]
pub(super) struct RouteName {
    pub upstream: String,
    pub route: String,
}

fn route_name(text: &str) -> Result<RouteName, String> {
    match text.split_once('/') {
        Some((upstream, route)) if !upstream.is_empty() && !route.is_empty() => {
            Ok(RouteName { upstream: upstream.to_owned(), route: route.to_owned() })
        }
        _ => Err("write the upstream, a slash and the route, such as payments/charge".to_owned()),
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Policy {
    /// Print the text of the policy in force
    Show,
    /// List the revisions that a rollback can name
    History,
    /// Apply an earlier revision again
    Rollback {
        revision: u64,
        /// Why; it goes to the change journal
        #[arg(long)]
        reason: String,
    },
    /// Read the policy file now
    Reload,
}

/// Arguments of `outrigger run`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct RunArgs {
    /// The policy file
    #[arg(long, value_name = "FILE")]
    pub policy: PathBuf,
    /// Threads that carry traffic
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub workers: u16,
    /// Where the change journal is kept; without it history ends with the process
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Form of the process log on standard error
    #[arg(long, value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,
    /// Instead of the policy's `admin.listen`
    #[arg(long, value_name = "IP:PORT")]
    pub admin_listen: Option<SocketAddr>,
    /// Instead of the policy's `metrics.listen`
    #[arg(long, value_name = "IP:PORT")]
    pub metrics_listen: Option<SocketAddr>,
    /// End on `POST /quitquitquit` on the admin listener, from loopback only. For Jobs whose sidecar is a plain container
    #[arg(long)]
    pub quit_endpoint: bool,
}

/// Form of the process log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object per line
    Json,
    /// For people
    Text,
}

/// Arguments of `outrigger demo`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct DemoArgs {
    /// How long it runs
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u16).range(5..=3_600))]
    pub seconds: u16,
}

/// As `duration`, within what the admin API accepts for a hold.
fn ttl(text: &str) -> Result<String, String> {
    let span = crate::policy::duration::parse(text)?;
    if (crate::admin::TTL_MIN..=crate::admin::TTL_MAX).contains(&span) {
        return Ok(text.to_owned());
    }
    Err("a hold lasts 1s to 24h".to_owned())
}

/// Checks a duration here, so that a wrong one is a usage error; the server reads it again.
pub(super) fn duration(text: &str) -> Result<String, String> {
    crate::policy::duration::parse(text).map(|_| text.to_owned())
}
