//! What a run measured, as it stands in `run.json`. Raw numbers of every round are kept; summaries are computed
//! from them by the report, so that a reader can compute others.

pub use outrigger::simulate::scenario::Mode;
use serde::{Deserialize, Serialize};

/// Version of this format. A reader refuses others.
pub const FORMAT: u32 = 1;

/// One run: some scenarios, played against some arms, in interleaved rounds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    /// [`FORMAT`].
    pub format: u32,
    /// Name of the run, from its folder.
    pub name: String,
    /// Start, RFC 3339, UTC.
    pub started: String,
    /// The command that repeats it.
    pub command: String,
    /// Seed of arrivals and of the upstream's draws; the same for all arms of a round.
    pub seed: u64,
    /// Where it ran.
    pub environment: Environment,
    /// The arms that took part, in order of play.
    pub arms: Vec<Arm>,
    /// Arms that were asked for and could not take part.
    pub skipped: Vec<Skipped>,
    /// In order of play.
    pub scenarios: Vec<ScenarioRun>,
}

/// The machine.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Environment {
    pub cores: u32,
    pub cpu: String,
    pub kernel: String,
    pub memory_mib: u64,
    /// Commit of the source the tool was run in; `+changes` if the tree was not clean; empty outside of one.
    pub commit: String,
    /// Core of the proxies, core of load and upstream; `None`: not pinned.
    pub proxy_core: Option<u32>,
    pub load_core: Option<u32>,
}

/// Something that requests are sent through.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Arm {
    /// As given on the command line: `direct`, `outrigger`, `envoy`, `outrigger-b`.
    pub name: String,
    /// What the program says of itself; empty for `direct`.
    pub version: String,
    /// Its configuration as written for this machine (for the first scenario); empty for `direct`.
    pub config: String,
    /// Command line, addresses and paths left as in the configuration.
    pub command: String,
    /// What the scenarios ask for and this arm cannot do (for example `retry budget`). Shown, never emulated.
    pub lacks: Vec<String>,
}

/// An arm that could not take part.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Skipped {
    pub arm: String,
    pub reason: String,
}

/// One scenario, played.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ScenarioRun {
    pub name: String,
    pub title: String,
    /// What it asks, one or two sentences.
    pub description: String,
    /// The file, as it was.
    pub source: String,
    /// Seconds measured, warm-up not included.
    pub seconds: f64,
    pub load: Load,
    /// What goes wrong when; seconds since the measured part began.
    pub faults: Vec<FaultSpan>,
    /// Conditions of the scenario file, judged.
    pub gates: Vec<Gate>,
    /// One per arm that took part.
    pub arms: Vec<ArmRun>,
    /// Why the figures of this scenario must not be used; empty if they may.
    pub invalid: Vec<String>,
}

/// What was sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Load {
    pub mode: Mode,
    /// Requests per second (open loop).
    pub rate: Option<f64>,
    pub connections: u32,
    pub protocol: String,
    /// `none`, `server` or `mutual`; empty in older runs.
    #[serde(default)]
    pub tls: String,
    /// Connections held through the play beside the load.
    #[serde(default)]
    pub idle: u32,
    pub method: String,
    pub path: String,
    /// Bytes of each request body.
    pub body_bytes: u64,
    /// Bytes of each answer's body.
    pub answer_bytes: u64,
    /// A new `Idempotency-Key` on each request.
    pub keyed: bool,
    /// The client gives up after this; seconds.
    pub timeout_s: f64,
}

/// A stretch of the fault script.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FaultSpan {
    pub label: String,
    pub from_s: f64,
    /// Equal to `from_s` for an event (a reload).
    pub to_s: f64,
}

/// A condition and how it came out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Gate {
    /// As written in the scenario: `success >= 99.5%`.
    pub condition: String,
    /// The arm it was judged for.
    pub arm: String,
    /// The measured value in the unit of the condition; `None`: not measured, which is a failure.
    pub measured: Option<f64>,
    pub passed: bool,
    /// There was nothing to judge: the arm to compare with took no part, or no request failed. Counts as passed, and
    /// is shown as not judged.
    #[serde(default)]
    pub moot: bool,
    /// What it was judged against (`envoy 97.2 %`), or why there is no value (`never recovered`); may be empty.
    #[serde(default)]
    pub note: String,
}

/// One arm in one scenario.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ArmRun {
    pub arm: String,
    pub rounds: Vec<Round>,
    /// Why this arm could not play this scenario (for example: it has no reload); then `rounds` is empty.
    pub unable: Option<String>,
}

/// One play of one arm.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Round {
    pub client: ClientSide,
    pub upstream: UpstreamSide,
    /// `None` for `direct`.
    pub cost: Option<Cost>,
    /// Streams that an attacker opened and reset.
    #[serde(default)]
    pub reset_streams: u64,
    /// One entry per second of the measured part, by the second of the intended arrival.
    pub timeline: Vec<Second>,
    /// Why this round must not be used; empty if it may.
    pub invalid: Vec<String>,
}

/// As the clients saw it. Latencies in microseconds from the intended send time (open loop) or from the write.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ClientSide {
    /// Seconds from the first intended arrival to the last one.
    pub seconds: f64,
    /// Requests that should have been sent.
    pub intended: u64,
    /// Requests answered with 2xx or 3xx and a complete body.
    pub ok: u64,
    /// Answers by status code, complete ones only; failures without an answer under their word: `timeout`,
    /// `connect`, `reset`, `truncated`, `unsent` (no free connection until the client's timeout).
    pub outcomes: std::collections::BTreeMap<String, u64>,
    /// Latency of all answered requests: share (0.0 to 1.0, rising) and microseconds.
    pub latency: Vec<(f64, u64)>,
    /// Latency of answers that are no success, and of timeouts, in the same form; empty without any.
    pub latency_of_failures: Vec<(f64, u64)>,
    /// Requests that said they were critical, and those of them that succeeded.
    #[serde(default)]
    pub critical: u64,
    #[serde(default)]
    pub critical_ok: u64,
    /// Bytes of answer bodies read.
    pub bytes: u64,
    /// 99th percentile of how late requests were handed to a connection that was free; microseconds.
    pub send_lag_p99: u64,
    /// CPU time that the generator's thread used, share of its core (0.0 to 1.0).
    pub generator_busy: f64,
}

/// As the upstream saw it, during the measured part and until it was quiet.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct UpstreamSide {
    /// Request heads read.
    pub requests: u64,
    /// Requests read to their last byte: they took effect.
    pub executed: u64,
    /// Connections accepted.
    pub connections: u64,
    /// Keyed requests: distinct keys that took effect.
    pub keys: u64,
    /// Keys that took effect more than once.
    pub keys_executed_twice: u64,
    /// The most executions of one key.
    pub executions_max: u64,
    /// CPU time that the upstream's thread used, share of its core (0.0 to 1.0).
    pub busy: f64,
}

/// What the proxy's processes used during the measured part.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Cost {
    /// Seconds of CPU in user mode, and in the kernel.
    pub user_s: f64,
    pub system_s: f64,
    /// Seconds measured.
    pub wall_s: f64,
    /// Requests that the clients sent in that time.
    pub requests: u64,
    /// Resident memory before the load, at its end, and at most; KiB, all processes.
    pub rss_idle_kib: u64,
    pub rss_kib: u64,
    pub rss_max_kib: u64,
    pub threads: u32,
    /// Context switches per request.
    pub switches_voluntary: f64,
    pub switches_involuntary: f64,
    /// System calls per request, counted in a pass of its own without timing; `None`: no strace here.
    pub syscalls: Option<f64>,
    /// The same by name, the most frequent first.
    pub syscalls_by_name: Vec<(String, f64)>,
    /// Share of the proxy's core used by anything else (0.0 to 1.0).
    pub core_stolen: f64,
}

/// One second of a round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Second {
    /// Requests intended in this second, and how many of them succeeded.
    pub intended: u64,
    pub ok: u64,
    /// Latency of those answered; microseconds; 0 without any.
    pub p50: u64,
    pub p99: u64,
    /// Requests that reached the upstream in this second.
    pub upstream: u64,
}
