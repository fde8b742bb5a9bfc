//! `tracing`: which requests are told to a collector.

use std::time::Duration;

use super::read::{Layered, flag, number, whole};
use super::{Context, target};
use crate::policy::duration;
use crate::policy::lint::Code;
use crate::policy::raw;
use crate::policy::raw::scalar::{At, Text, TimeOrNone, Url};
use crate::policy::tracing::TracingPolicy;

/// `tracing.keepPerSecond` at most.
const KEEP_MAX: u32 = 1_000;
/// Where a collector can be named besides the policy.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

impl Context {
    /// None = no block: the environment decides alone.
    pub(super) fn tracing(&mut self, tracing: Option<&At<raw::Tracing>>) -> Option<TracingPolicy> {
        let at = tracing?;
        let block = Layered::own(Some(at));
        let default = TracingPolicy::default();
        let mut reader = self.process();
        reader.switched_on("tracing", block);
        let ratio = |text: &Text<_>| number(text, 0.0, 1.0).map(Some);
        let keep = |text: &Text<_>| whole(text, 0, KEEP_MAX);
        let policy = TracingPolicy {
            endpoint: reader.take("tracing.endpoint", block.pick(|t| &t.endpoint), endpoint, None),
            sample_ratio: reader.take("tracing.sampleRatio", block.pick(|t| &t.sample_ratio), ratio, None),
            errors: reader.take("tracing.errors", block.pick(|t| &t.errors), flag, default.errors),
            slow: reader.take("tracing.slow", block.pick(|t| &t.slow), slow, default.slow),
            keep_per_second: reader.take(
                "tracing.keepPerSecond",
                block.pick(|t| &t.keep_per_second),
                keep,
                default.keep_per_second,
            ),
        };
        let named = |name: &str| (self.environment)(name).is_some_and(|value| !value.trim().is_empty());
        if !at.value.endpoint.is_given() && !ENDPOINTS.into_iter().any(named) {
            let message = "no span is exported: there is neither tracing.endpoint nor OTEL_EXPORTER_OTLP_ENDPOINT";
            self.report(Code::TracesGoNowhere, at.position, message);
        }
        Some(policy)
    }
}

fn endpoint(text: &Text<Url>) -> Result<Option<String>, String> {
    let authority = target::authority(&text.text)?;
    Ok(Some(format!("http://{}", authority.text)))
}

fn slow(text: &Text<TimeOrNone>) -> Result<Option<Duration>, String> {
    if text.text == "none" {
        return Ok(None);
    }
    let slow = duration::parse(&text.text)?;
    if slow.is_zero() {
        Err("0s: every request takes that long; write none, or sampleRatio: 1".to_owned())
    } else {
        Ok(Some(slow))
    }
}
