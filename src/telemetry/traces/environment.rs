//! The standard variables of OpenTelemetry (`OTEL_*`), as far as they concern traces.
//!
//! What cannot be obeyed is told and passed over, as the specification demands: a wrong word about traces must not
//! keep the traffic from flowing.

use std::str::FromStr;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::endpoint::Endpoint;
use crate::policy::Policy;

/// Attributes and headers that are taken from a variable at most.
const PAIRS_MAX: usize = 64;
/// Longest value of an attribute that is taken.
const VALUE_BYTES_MAX: usize = 1_024;

/// Who decides whether a trace is exported.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sampler {
    /// A caller's decision is followed.
    pub(super) parent_based: bool,
    /// Share of the others.
    pub(super) ratio: f64,
}

/// Bounds of queue and batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Batch {
    /// Spans that wait.
    pub(super) queue_max: usize,
    /// Spans of a batch.
    pub(super) size_max: usize,
    /// A batch waits so long for more.
    pub(super) delay: Duration,
    /// For all tries of a batch.
    pub(super) timeout: Duration,
}

/// What the environment says.
#[derive(Clone, Debug)]
pub struct Environment {
    pub(super) disabled: bool,
    pub(super) endpoint: Option<Endpoint>,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// For one try.
    pub(super) timeout: Duration,
    pub(super) sampler: Sampler,
    /// `traceparent` is read and written.
    pub(super) propagates: bool,
    pub(super) batch: Batch,
    service: Option<String>,
    attributes: Vec<(String, String)>,
    pub(super) problems: Vec<String>,
}

impl Environment {
    /// Reads the variables; an empty one counts as not set.
    pub fn read(value: impl Fn(&str) -> Option<String>) -> Environment {
        let mut variables = Variables { value, problems: Vec::new() };
        let exporter = variables.get("OTEL_TRACES_EXPORTER").unwrap_or_else(|| "otlp".to_owned());
        if !["otlp", "none"].contains(&exporter.as_str()) {
            variables.problem(format!("OTEL_TRACES_EXPORTER={exporter} is not supported: traces are sent as otlp"));
        }
        let disabled = variables.get("OTEL_SDK_DISABLED").is_some_and(|word| word.eq_ignore_ascii_case("true"));
        variables.protocol();
        let batch = Batch {
            queue_max: variables.number("OTEL_BSP_MAX_QUEUE_SIZE", 2_048).clamp(1, 1 << 20),
            size_max: variables.number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512).clamp(1, 1 << 14),
            delay: Duration::from_millis(variables.number("OTEL_BSP_SCHEDULE_DELAY", 5_000)),
            timeout: Duration::from_millis(variables.number("OTEL_BSP_EXPORT_TIMEOUT", 30_000)),
        };
        let attributes = variables.pairs("OTEL_RESOURCE_ATTRIBUTES");
        let named = attributes.iter().find(|(name, _)| name == "service.name").map(|(_, value)| value.clone());
        Environment {
            disabled: disabled || exporter == "none",
            endpoint: variables.endpoint(),
            headers: variables.headers(),
            timeout: Duration::from_millis(
                variables.of_traces("TIMEOUT").0.and_then(|t| t.parse().ok()).unwrap_or(10_000),
            ),
            sampler: variables.sampler(),
            propagates: variables.propagates(),
            batch: Batch { size_max: batch.size_max.min(batch.queue_max), ..batch },
            service: variables.get("OTEL_SERVICE_NAME").or(named),
            attributes,
            problems: variables.problems,
        }
    }

    /// What every batch says of this process.
    pub(super) fn resource(&self, policy: &Policy) -> Vec<(String, String)> {
        let service = self.service.clone().or_else(|| policy.name.clone()).unwrap_or_else(|| "outrigger".to_owned());
        let own = [
            ("service.name", service.as_str()),
            ("telemetry.sdk.language", "rust"),
            ("telemetry.sdk.name", "outrigger"),
            ("telemetry.sdk.version", env!("CARGO_PKG_VERSION")),
        ];
        let mut all: Vec<(String, String)> = own.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        all.extend(self.attributes.iter().filter(|(name, _)| own.iter().all(|(taken, _)| taken != name)).cloned());
        all
    }
}

struct Variables<F> {
    value: F,
    problems: Vec<String>,
}

impl<F: Fn(&str) -> Option<String>> Variables<F> {
    fn get(&self, name: &str) -> Option<String> {
        Some((self.value)(name)?.trim().to_owned()).filter(|value| !value.is_empty())
    }

    fn problem(&mut self, text: String) {
        self.problems.push(text);
    }

    /// The variable of traces, or the one of all signals; and which it was.
    fn of_traces(&self, what: &str) -> (Option<String>, String) {
        let own = format!("OTEL_EXPORTER_OTLP_TRACES_{what}");
        match self.get(&own) {
            Some(value) => (Some(value), own),
            None => {
                let shared = format!("OTEL_EXPORTER_OTLP_{what}");
                (self.get(&shared), shared)
            }
        }
    }

    fn number<N: FromStr>(&mut self, name: &str, default: N) -> N {
        let Some(text) = self.get(name) else { return default };
        text.parse().unwrap_or_else(|_| {
            self.problem(format!("{name}={text} is not a whole number: the default is used"));
            default
        })
    }

    fn endpoint(&mut self) -> Option<Endpoint> {
        let (found, name) = self.of_traces("ENDPOINT");
        // The general one is a base; the one of traces is the whole address.
        let read = if name.contains("_TRACES_") { Endpoint::whole } else { Endpoint::base };
        read(&found?)
            .map_err(|why| self.problem(format!("{name} cannot be used, no span is exported there: {why}")))
            .ok()
    }

    fn protocol(&mut self) {
        let (protocol, name) = self.of_traces("PROTOCOL");
        if let Some(protocol) = protocol.filter(|protocol| protocol != "http/protobuf") {
            self.problem(format!(
                "{name}={protocol} is not supported: spans are sent as http/protobuf, which collectors take on port 4318"
            ));
        }
        let (compression, name) = self.of_traces("COMPRESSION");
        if let Some(compression) = compression.filter(|word| word != "none") {
            self.problem(format!("{name}={compression} is not supported: spans are sent without compression"));
        }
    }

    fn sampler(&mut self) -> Sampler {
        const DEFAULT: Sampler = Sampler { parent_based: true, ratio: 1.0 };
        let Some(word) = self.get("OTEL_TRACES_SAMPLER") else { return DEFAULT };
        let parent_based = word.starts_with("parentbased_");
        match word.trim_start_matches("parentbased_") {
            "always_on" => Sampler { parent_based, ratio: 1.0 },
            "always_off" => Sampler { parent_based, ratio: 0.0 },
            "traceidratio" => {
                let given = self.get("OTEL_TRACES_SAMPLER_ARG");
                let ratio = given.as_deref().map_or(Some(1.0), |text| text.parse::<f64>().ok());
                let ratio = ratio.filter(|ratio| (0.0..=1.0).contains(ratio)).unwrap_or_else(|| {
                    self.problem("OTEL_TRACES_SAMPLER_ARG is not a number from 0.0 to 1.0: 1.0 is used".to_owned());
                    1.0
                });
                Sampler { parent_based, ratio }
            }
            _ => {
                self.problem(format!("OTEL_TRACES_SAMPLER={word} is not supported: parentbased_always_on is used"));
                DEFAULT
            }
        }
    }

    /// Baggage passes through in any case: it is a header like others.
    fn propagates(&mut self) -> bool {
        let Some(list) = self.get("OTEL_PROPAGATORS") else { return true };
        let words: Vec<&str> = list.split(',').map(str::trim).collect();
        let foreign: Vec<&str> =
            words.iter().copied().filter(|word| !["tracecontext", "baggage", "none"].contains(word)).collect();
        if !foreign.is_empty() {
            let foreign = foreign.join(", ");
            self.problem(format!("OTEL_PROPAGATORS: {foreign} is not supported; such headers pass through unread"));
        }
        words.contains(&"tracecontext")
    }

    fn headers(&mut self) -> Vec<(HeaderName, HeaderValue)> {
        let name = self.of_traces("HEADERS").1;
        let pairs = self.pairs(&name);
        let mut headers = Vec::with_capacity(pairs.len());
        for (key, value) in pairs {
            match (HeaderName::try_from(&key), HeaderValue::try_from(&value)) {
                (Ok(key), Ok(mut value)) => {
                    value.set_sensitive(true);
                    headers.push((key, value));
                }
                // The value may be a password.
                _ => self.problem(format!("{name}: `{key}` is no header that could be sent, and is left out")),
            }
        }
        headers
    }

    /// `name=value,name=value`, values percent-encoded.
    fn pairs(&mut self, name: &str) -> Vec<(String, String)> {
        let Some(list) = self.get(name) else { return Vec::new() };
        let mut pairs = Vec::new();
        for entry in list.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let pair = entry.split_once('=').map(|(key, value)| (key.trim(), decoded(value.trim())));
            match pair {
                Some((key, Some(value)))
                    if !key.is_empty() && value.len() <= VALUE_BYTES_MAX && pairs.len() < PAIRS_MAX =>
                {
                    pairs.push((key.to_owned(), value));
                }
                _ => self
                    .problem(format!("{name}: an entry is not of the form NAME=VALUE, or too long, and is left out")),
            }
        }
        pairs
    }
}

/// Percent-encoding undone. None = what comes out is no text.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match hex.filter(|_| *first == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).ok()
}
