//! What happens to the process, not to a request: start, policy, breakers, endpoints, end. On stderr.
//!
//! One shape, with `--log-format json` one object per line:
//!
//! ```json
//! {"timestamp":"2026-11-23T05:46:00.123456Z","level":"WARN","event":"circuit","message":"circuit breaker opened",
//!  "upstream":"payments","from":"closed","to":"open","cause":"failure-rate","target":"outrigger"}
//! ```
//!
//! `event` is one of the words of [`Event::name`] and says which other fields are there; `message` is for
//! people. Lines without `event` come from libraries and from our own debug output, which the filter turns on
//! (`OUTRIGGER_LOG`, else `RUST_LOG`, else `info`).

use std::fmt;
use std::str::FromStr;

use tracing::{Subscriber, error, info, warn};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;

/// `--log-format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line.
    #[default]
    Json,
    /// For a terminal.
    Text,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "json" => Ok(LogFormat::Json),
            "text" => Ok(LogFormat::Text),
            _ => Err(format!("unknown log format `{word}`, expected json or text")),
        }
    }
}

/// One thing that happened. Fields are the words of metrics, admin API and journal.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// Listeners are bound and the first policy is in force.
    Started { version: &'a str, policy_revision: u64, policy_hash: &'a str },
    /// A policy came into force. `effect`: what changes for requests, one line each.
    PolicyApplied { revision: u64, hash: &'a str, source: &'a str, author: &'a str, effect: &'a [String] },
    /// A candidate was refused; the last good policy stays. `error` is what `outrigger check` prints.
    PolicyRejected { source: &'a str, author: &'a str, error: &'a str },
    /// A revision made matters worse. `action`: `warn`, `rollback`, or `failed` for a rollback that could not be made;
    /// `effect`: what the revision changed of the upstream; `next`: what is done, or to do.
    PolicyGuard {
        action: &'a str,
        revision: u64,
        upstream: &'a str,
        verdict: &'a str,
        effect: &'a [String],
        next: &'a str,
    },
    /// Files with certificates, keys or authorities have changed. `of`: the listener or upstreams that use them; `change`:
    /// `replaced`, `refused` (the last good ones stay) or `recovered`; `subject`: whose certificate is presented from now
    /// on, and until when, or empty.
    Certificate { of: &'a str, change: &'a str, subject: &'a str, expires: &'a str, what: &'a str },
    /// A TLS handshake came to nothing. `peer`: its address, or empty; `more`: how many others of the kind were not told.
    TlsRefused { direction: &'a str, upstream: &'a str, reason: &'a str, peer: &'a str, why: &'a str, more: u64 },
    /// Somebody was not let in to the admin API. At most once in ten seconds; `more`: how many others since the last time.
    AdminRefused { from: &'a str, reason: &'a str, more: u64 },
    /// A change was made and could not be written to the journal.
    JournalLost { error: &'a str },
    /// A store of idempotency keys is open. `unknown`: requests that an earlier process had sent and did not see the
    /// end of. `quarantined`: the damaged file that was put aside, or empty.
    StoreOpened { store: &'a str, records: u64, unknown: u64, quarantined: &'a str },
    /// A store of idempotency keys is open and not as it should be.
    StoreDegraded { store: &'a str, reason: &'a str },
    /// A request that could not be served should have been kept, and was not: this is all that is left of it.
    /// `more`: how many others were lost since the last of these events.
    LetterLost {
        queue: &'a str,
        letter: &'a str,
        upstream: &'a str,
        route: &'a str,
        method: &'a str,
        cause: &'a str,
        class: &'a str,
        trace_id: &'a str,
        reason: &'a str,
        more: u64,
    },
    /// Something in the environment about traces cannot be obeyed.
    TracingProblem { problem: &'a str },
    /// Batches of spans did not reach the collector. At most once a minute; `spans_lost` since the last time.
    ExportFailed { endpoint: &'a str, error: &'a str, spans_lost: u64 },
    /// A breaker changed its state.
    Circuit { upstream: &'a str, from: &'a str, to: &'a str, cause: &'a str, failure_percent: f64, samples: u32 },
    /// What is said of an upstream has changed: its condition, or the class of what is wrong (empty: nothing is).
    /// `route`: it alone is hit, or empty. `suspect`: what changed just before, or empty.
    Verdict {
        upstream: &'a str,
        direction: &'a str,
        condition: &'a str,
        cause: &'a str,
        route: &'a str,
        text: &'a str,
        suspect: &'a str,
    },
    /// An endpoint was taken out of rotation.
    Ejected { upstream: &'a str, endpoint: &'a str, cause: &'a str, for_ms: u64 },
    /// An endpoint fails its health checks, or passes them again (`cause` is empty then). `action`: whether it sits out
    /// for that (`enforce`), or would (`observe`).
    Health { upstream: &'a str, endpoint: &'a str, state: &'a str, cause: &'a str, action: &'a str },
    /// An ejected endpoint is back.
    Returned { upstream: &'a str, endpoint: &'a str },
    /// The set of addresses changed.
    Endpoints { upstream: &'a str, added: &'a [String], removed: &'a [String], total: usize },
    /// A name could not be resolved; the last good addresses stay.
    ResolveFailed { upstream: &'a str, error: &'a str },
    /// Whether retries help after one class of failure is judged differently now: `helping`, `not-helping`, …
    /// `rescued` of `retries` within five minutes.
    Retries {
        upstream: &'a str,
        route: &'a str,
        class: &'a str,
        from: &'a str,
        to: &'a str,
        retries: u64,
        rescued: u64,
    },
    /// A name, which could not be resolved, can be again.
    Resolved { upstream: &'a str, endpoints: usize },
    /// No new work is accepted; what is in flight may finish.
    Draining { in_flight: u64, timeout_ms: u64 },
    /// The process ends. `aborted`: requests that were cut.
    Stopped { aborted: u64 },
}

impl Event<'_> {
    /// The value of the field `event`.
    pub const fn name(&self) -> &'static str {
        match self {
            Event::Started { .. } => "started",
            Event::PolicyApplied { .. } => "policy-applied",
            Event::PolicyRejected { .. } => "policy-rejected",
            Event::PolicyGuard { .. } => "policy-guard",
            Event::Certificate { .. } => "certificate",
            Event::AdminRefused { .. } => "admin-refused",
            Event::TlsRefused { .. } => "tls-refused",
            Event::JournalLost { .. } => "journal-lost",
            Event::StoreOpened { .. } => "store-opened",
            Event::StoreDegraded { .. } => "store-degraded",
            Event::LetterLost { .. } => "letter-lost",
            Event::TracingProblem { .. } => "tracing-problem",
            Event::ExportFailed { .. } => "export-failed",
            Event::Circuit { .. } => "circuit",
            Event::Verdict { .. } => "verdict",
            Event::Ejected { .. } => "ejected",
            Event::Health { .. } => "health-check",
            Event::Returned { .. } => "returned",
            Event::Endpoints { .. } => "endpoints",
            Event::ResolveFailed { .. } => "resolve-failed",
            Event::Retries { .. } => "retries",
            Event::Resolved { .. } => "resolved",
            Event::Draining { .. } => "draining",
            Event::Stopped { .. } => "stopped",
        }
    }

    /// Writes it. Not for the path of a request: the writer may block.
    pub fn emit(&self) {
        let event = self.name();
        match *self {
            Event::Started { version, policy_revision, policy_hash } => {
                info!(target: "outrigger", event, version, policy_revision, policy_hash, "started");
            }
            Event::PolicyApplied { revision, hash, source, author, effect } => {
                let effect = effect.join("\n");
                info!(target: "outrigger", event, revision, hash, source, author, effect, "policy applied");
            }
            Event::PolicyRejected { source, author, error } => {
                error!(target: "outrigger", event, source, author, error, "policy refused, the last good one stays");
            }
            Event::PolicyGuard { action, revision, upstream, verdict, effect, next } => {
                let effect = effect.join("\n");
                warn!(target: "outrigger", event, action, revision, upstream, effect, next, "{verdict}");
            }
            Event::Certificate { of, change: "refused", subject, expires, what } => {
                let change = "refused";
                error!(target: "outrigger", event, of, change, subject, expires, "the last good ones stay: {what}");
            }
            Event::Certificate { of, change, subject, expires, what } => {
                info!(target: "outrigger", event, of, change, subject, expires, "{what}");
            }
            Event::TlsRefused { direction, upstream, reason, peer, why, more } => {
                warn!(target: "outrigger", event, direction, upstream, reason, peer, more, "no TLS session: {why}");
            }
            Event::AdminRefused { from, reason, more } => {
                warn!(target: "outrigger", event, from, reason, more, "somebody was not let in to the admin API");
            }
            Event::JournalLost { error } => {
                error!(target: "outrigger", event, error, "a change was made and not written to the journal");
            }
            Event::StoreOpened { store, records, unknown, quarantined: "" } => {
                info!(target: "outrigger", event, store, records, unknown, "store of idempotency keys opened");
            }
            Event::StoreOpened { store, records, unknown, quarantined } => {
                let message = "the store of idempotency keys was damaged and begins anew; the old file was put aside";
                error!(target: "outrigger", event, store, records, unknown, quarantined, "{message}");
            }
            Event::StoreDegraded { store, reason } => {
                warn!(target: "outrigger", event, store, reason, "store of idempotency keys is not as it should be");
            }
            Event::LetterLost { queue, letter, upstream, route, method, cause, class, trace_id, reason, more } => {
                let message = "a request that could not be served was not kept either";
                error!(
                    target: "outrigger", event, queue, letter, upstream, route, method, cause, class, trace_id, reason,
                    more, "{message}"
                );
            }
            Event::TracingProblem { problem } => {
                warn!(target: "outrigger", event, problem, "traces are not as the environment wants them");
            }
            Event::ExportFailed { endpoint, error, spans_lost } => {
                warn!(target: "outrigger", event, endpoint, error, spans_lost, "spans did not reach the collector");
            }
            Event::Draining { in_flight, timeout_ms } => {
                info!(target: "outrigger", event, in_flight, timeout_ms, "draining");
            }
            Event::Stopped { aborted } => info!(target: "outrigger", event, aborted, "stopped"),
            Event::Circuit { .. }
            | Event::Verdict { .. }
            | Event::Ejected { .. }
            | Event::Health { .. }
            | Event::Returned { .. }
            | Event::Endpoints { .. }
            | Event::ResolveFailed { .. }
            | Event::Retries { .. }
            | Event::Resolved { .. } => self.emit_of_upstream(),
        }
    }

    fn emit_of_upstream(&self) {
        let event = self.name();
        match *self {
            Event::Circuit { upstream, from, to, cause, failure_percent, samples } => {
                let message = format_args!("circuit breaker: {from} -> {to}");
                warn!(target: "outrigger", event, upstream, from, to, cause, failure_percent, samples, "{message}");
            }
            Event::Verdict { upstream, direction, condition: "healthy", cause, route, text, suspect } => {
                let condition = "healthy";
                info!(target: "outrigger", event, upstream, direction, condition, cause, route, suspect, "{text}");
            }
            Event::Verdict { upstream, direction, condition, cause, route, text, suspect } => {
                warn!(target: "outrigger", event, upstream, direction, condition, cause, route, suspect, "{text}");
            }
            Event::Ejected { upstream, endpoint, cause, for_ms } => {
                warn!(target: "outrigger", event, upstream, endpoint, cause, for_ms, "endpoint ejected");
            }
            Event::Health { upstream, endpoint, state, cause, action } if state == "unhealthy" => {
                warn!(target: "outrigger", event, upstream, endpoint, state, cause, action, "endpoint fails its health check");
            }
            Event::Health { upstream, endpoint, state, cause, action } => {
                info!(target: "outrigger", event, upstream, endpoint, state, cause, action, "endpoint passes its health check again");
            }
            Event::Returned { upstream, endpoint } => {
                info!(target: "outrigger", event, upstream, endpoint, "endpoint is back");
            }
            Event::Endpoints { upstream, added, removed, total } => {
                let (added, removed) = (added.join(" "), removed.join(" "));
                info!(target: "outrigger", event, upstream, added, removed, total, "endpoints changed");
            }
            Event::ResolveFailed { upstream, error } => {
                warn!(target: "outrigger", event, upstream, error, "name not resolved, the last good addresses stay");
            }
            Event::Retries { upstream, route, class, from, to, retries, rescued } => {
                let message = format_args!("retries of {upstream}/{route} after {class}: {from} -> {to}");
                if matches!(to, "not-helping" | "harmful") {
                    warn!(target: "outrigger", event, upstream, route, class, from, to, retries, rescued, "{message}");
                } else {
                    info!(target: "outrigger", event, upstream, route, class, from, to, retries, rescued, "{message}");
                }
            }
            Event::Resolved { upstream, endpoints } => {
                info!(target: "outrigger", event, upstream, endpoints, "name resolved again");
            }
            // All others are the process's, and written above.
            _ => {}
        }
    }
}

/// Why events cannot be written as asked.
#[derive(Debug)]
pub enum InitError {
    /// `OUTRIGGER_LOG` or `RUST_LOG` is no filter.
    Filter(String),
    /// Something else in this process has claimed the events.
    AlreadySet,
}

impl fmt::Display for InitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InitError::Filter(error) => write!(f, "OUTRIGGER_LOG or RUST_LOG is not a filter: {error}"),
            InitError::AlreadySet => f.write_str("events are written elsewhere already"),
        }
    }
}

impl std::error::Error for InitError {}

/// Sends events to stderr, filtered by the environment. Once per process, at start.
///
/// # Errors
///
/// If the filter cannot be read, or events are claimed already.
pub fn init(format: LogFormat) -> Result<(), InitError> {
    let filter = std::env::var("OUTRIGGER_LOG").or_else(|_| std::env::var("RUST_LOG"));
    let subscriber = subscriber(format, filter.as_deref().unwrap_or(""), std::io::stderr)?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| InitError::AlreadySet)
}

/// The subscriber behind [`init`]. An empty `filter` means `info`.
///
/// # Errors
///
/// If `filter` cannot be read.
pub fn subscriber<W>(format: LogFormat, filter: &str, sink: W) -> Result<Box<dyn Subscriber + Send + Sync>, InitError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = if filter.trim().is_empty() { "info" } else { filter };
    // Not `EnvFilter`: it reads fields of spans by regular expressions, which are 230 kB of program, and we have no spans.
    let filter = Targets::from_str(filter).map_err(|error| InitError::Filter(error.to_string()))?;
    let builder = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_writer(sink).with_ansi(false);
    Ok(match format {
        LogFormat::Json => Box::new(
            builder.json().flatten_event(true).with_current_span(false).with_span_list(false).finish().with(filter),
        ),
        LogFormat::Text => Box::new(builder.finish().with(filter)),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use serde_json::Value;

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn written(format: LogFormat, filter: &str, emit: impl FnOnce()) -> String {
        let captured = Captured::default();
        let sink = captured.clone();
        let subscriber = subscriber(format, filter, move || sink.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, emit);
        let bytes = captured.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    const EVENTS: [Event<'static>; 28] = [
        Event::Started { version: "1", policy_revision: 1, policy_hash: "h" },
        Event::PolicyApplied { revision: 1, hash: "h", source: "s", author: "a", effect: &[] },
        Event::PolicyRejected { source: "s", author: "a", error: "e" },
        Event::JournalLost { error: "e" },
        Event::AdminRefused { from: "10.0.0.1:1", reason: "wrong-token", more: 0 },
        Event::StoreOpened { store: "embedded", records: 1, unknown: 0, quarantined: "" },
        Event::StoreOpened { store: "embedded", records: 0, unknown: 0, quarantined: "/old" },
        Event::StoreDegraded { store: "redis", reason: "r" },
        Event::Circuit { upstream: "u", from: "closed", to: "open", cause: "c", failure_percent: 50.0, samples: 20 },
        Event::Ejected { upstream: "u", endpoint: "e", cause: "c", for_ms: 1 },
        Event::Health { upstream: "u", endpoint: "e", state: "unhealthy", cause: "c", action: "enforce" },
        Event::Returned { upstream: "u", endpoint: "e" },
        Event::Endpoints { upstream: "u", added: &[], removed: &[], total: 0 },
        Event::ResolveFailed { upstream: "u", error: "e" },
        Event::Resolved { upstream: "u", endpoints: 1 },
        Event::PolicyGuard { action: "warn", revision: 2, upstream: "u", verdict: "v", effect: &[], next: "n" },
        Event::Certificate { of: "o", change: "replaced", subject: "s", expires: "e", what: "w" },
        Event::Certificate { of: "o", change: "refused", subject: "", expires: "", what: "w" },
        Event::TlsRefused { direction: "d", upstream: "u", reason: "r", peer: "p", why: "w", more: 1 },
        Event::Draining { in_flight: 1, timeout_ms: 1 },
        Event::Stopped { aborted: 0 },
        Event::Verdict {
            upstream: "u",
            direction: "outbound",
            condition: "failing",
            cause: "refusing",
            route: "",
            text: "u is failing.",
            suspect: "",
        },
        Event::Verdict {
            upstream: "u",
            direction: "outbound",
            condition: "healthy",
            cause: "",
            route: "",
            text: "u is healthy.",
            suspect: "",
        },
        retries("not-helping"),
        retries("helping"),
        Event::LetterLost {
            queue: "q",
            letter: "l",
            upstream: "u",
            route: "r",
            method: "POST",
            cause: "c",
            class: "c",
            trace_id: "t",
            reason: "full",
            more: 2,
        },
        Event::TracingProblem { problem: "p" },
        Event::ExportFailed { endpoint: "e", error: "e", spans_lost: 3 },
    ];

    const fn retries(to: &'static str) -> Event<'static> {
        Event::Retries { upstream: "u", route: "r", class: "timeout", from: "unknown", to, retries: 35, rescued: 0 }
    }

    /// Every event, with the fields that it has besides those of all.
    pub(crate) fn fields() -> Vec<(String, std::collections::BTreeSet<String>)> {
        let text = written(LogFormat::Json, "", || EVENTS.iter().for_each(Event::emit));
        let common = ["timestamp", "level", "event", "message", "target"];
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines
            .map(|line| {
                let keys = line.as_object().unwrap().keys().filter(|key| !common.contains(&key.as_str()));
                (line["event"].as_str().unwrap().to_owned(), keys.cloned().collect())
            })
            .collect()
    }

    #[test]
    fn every_event_is_one_json_object_with_time_level_name_and_message() {
        let text = written(LogFormat::Json, "", || EVENTS.iter().for_each(Event::emit));
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), EVENTS.len());
        for (line, event) in lines.iter().zip(&EVENTS) {
            assert_eq!(line["event"], event.name());
            for key in ["timestamp", "level", "message"] {
                assert!(line[key].is_string(), "{key} of {line}");
            }
        }
        let circuit = EVENTS.iter().position(|event| matches!(event, Event::Circuit { .. })).unwrap();
        assert_eq!(lines[circuit]["failure_percent"], 50.0);
        assert_eq!(lines[circuit]["to"], "open");
    }

    #[test]
    fn what_a_file_or_a_resolver_says_cannot_forge_a_line_or_reach_the_terminal() {
        for format in [LogFormat::Json, LogFormat::Text] {
            let text = written(format, "", || {
                Event::PolicyRejected { source: "s\n", author: "\u{1b}[31ma", error: "line 1\nline 2 \u{1b}[0m\r" }
                    .emit();
            });
            assert_eq!(text.matches('\n').count(), 1, "{text}");
            assert!(!text.trim_end_matches('\n').chars().any(char::is_control), "{text:?}");
        }
    }

    #[test]
    fn the_filter_decides_and_a_wrong_one_is_an_error() {
        let text = written(LogFormat::Json, "outrigger=warn", || EVENTS.iter().for_each(Event::emit));
        assert!(!text.contains("\"started\"") && text.contains("\"circuit\""));
        assert!(subscriber(LogFormat::Json, "outrigger=loud=very", std::io::stderr).is_err());
        assert!("yaml".parse::<LogFormat>().is_err());
        assert_eq!("text".parse(), Ok(LogFormat::Text));
    }
}
