//! `healthCheck`, `balance.slowStart`, `balance.zone`, and how old connections become.

use std::sync::Arc;
use std::time::Duration;

use super::blocks::{Found, MINUTE, MS, SECOND, between};
use super::environment::{Unexpanded, expanded};
use super::read::{Layer, Layered, Reader, check_name, list, number, whole};
use super::upstreams::path;
use crate::policy::diagnostic::Diagnostic;
use crate::policy::duration;
use crate::policy::endpoints::{HealthCheckPolicy, Network, Question, ZonePolicy};
use crate::policy::lint::Code;
use crate::policy::raw::scalar::{GrpcService, Text, TimeOrNone, ZoneName};
use crate::policy::raw::{self, CheckProtocol, Mode};
use crate::reliability::balance::Balance;
use crate::reliability::classify::StatusSet;
use crate::reliability::health::HealthPolicy;

/// `balance.slowStart`.
const SLOW_START: Duration = Duration::from_secs(10);
/// Zones of one upstream, and networks of one zone.
const ZONES_MAX: usize = 64;
const NETWORKS_MAX: usize = 256;

impl Reader<'_> {
    /// None = endpoints are not checked.
    pub(super) fn health_check(&mut self, block: Layered<'_, raw::HealthCheck>) -> Option<Arc<HealthCheckPolicy>> {
        let given = self.switched_on("healthCheck.mode", block);
        let mode = self.take("healthCheck.mode", block.pick(|c| &c.mode), |mode| Ok(*mode), Mode::Enforce);
        let timing = self.timing(block);
        let protocol = block.pick(|c| &c.protocol);
        let grpc = |word: &CheckProtocol| Ok(*word == CheckProtocol::Grpc);
        let grpc = self.take("healthCheck.protocol", protocol, grpc, false);
        let question = if grpc { self.call(block) } else { self.get(block) };
        let policy = HealthCheckPolicy { question, timing, observe: mode == Mode::Observe };
        (given && mode != Mode::None).then(|| Arc::new(policy))
    }

    fn timing(&mut self, block: Layered<'_, raw::HealthCheck>) -> HealthPolicy {
        let default = HealthPolicy::default();
        let interval_found = block.pick(|c| &c.interval);
        let interval =
            self.take("healthCheck.interval", interval_found, between(100 * MS, 10 * MINUTE), default.interval);
        let timeout_found = block.pick(|c| &c.timeout);
        let shorter = default.timeout.min(interval);
        let timeout = self.take("healthCheck.timeout", timeout_found, between(10 * MS, MINUTE), shorter);
        if let (true, Some((at, _))) = (timeout > interval, timeout_found) {
            self.refuse(at.position, "timeout is longer than interval: one check would run into the next");
        }
        let run = |text: &Text<_>| whole(text, 1, 100);
        let healthy = self.take("healthCheck.healthy", block.pick(|c| &c.healthy), run, default.healthy);
        let unhealthy = self.take("healthCheck.unhealthy", block.pick(|c| &c.unhealthy), run, default.unhealthy);
        HealthPolicy { interval, timeout, healthy, unhealthy }
    }

    fn get(&mut self, block: Layered<'_, raw::HealthCheck>) -> Question {
        if let Some((at, Layer::Own)) = block.pick(|c| &c.service) {
            self.refuse(at.position, "service is asked about with protocol: grpc only");
        }
        let read = |text: &Text<_>| path(text).map(Arc::from);
        let path = self.take("healthCheck.path", block.pick(|c| &c.path), read, Arc::from("/healthz"));
        let code = |text: &Text<_>| whole(text, 100, 599).map(|code| code as u16);
        let found = block.pick(|c| &c.codes);
        if let Some((at, _)) = found.filter(|(at, _)| at.value.is_empty()) {
            self.refuse(at.position, "an empty list passes nothing: leave the key out for 200");
        }
        let codes: StatusSet = self.take_list("healthCheck.codes", list(found), code, vec![200]).into_iter().collect();
        Question::Http { path, codes }
    }

    fn call(&mut self, block: Layered<'_, raw::HealthCheck>) -> Question {
        for position in [
            block.pick(|c| &c.path).filter(|(_, layer)| *layer == Layer::Own).map(|(at, _)| at.position),
            block.pick(|c| &c.codes).filter(|(_, layer)| *layer == Layer::Own).map(|(at, _)| at.position),
        ]
        .into_iter()
        .flatten()
        {
            self.refuse(position, "path and codes are of protocol: http only");
        }
        let read = |text: &Text<GrpcService>| {
            let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'/');
            if text.text.len() <= 200 && text.text.bytes().all(allowed) {
                Ok(Arc::from(text.text.as_str()))
            } else {
                Err(format!("`{}` is no name of a service: write shop.v1.Payments", text.text))
            }
        };
        let service = self.take("healthCheck.service", block.pick(|c| &c.service), read, Arc::from(""));
        Question::Grpc { service }
    }

    /// None = endpoints get their whole share at once.
    pub(super) fn slow_start(&mut self, block: Layered<'_, raw::Balance>, balance: Balance) -> Option<Duration> {
        let found = block.pick(|b| &b.slow_start);
        let read = |text: &Text<TimeOrNone>| or_none(text, SECOND, 10 * MINUTE);
        let slow = self.take("balance.slowStart", found, read, Some(SLOW_START));
        if balance != Balance::Hash {
            return slow;
        }
        if let (Some((at, Layer::Own)), Some(_)) = (found, slow) {
            let message = "slowStart has no effect with by: hash: a key has its endpoint from the first request on";
            self.report(Diagnostic::new(Code::SlowStartWithHash, at.position, message));
        }
        None
    }

    /// None = zones are not told apart.
    pub(super) fn zones(&mut self, block: Layered<'_, raw::Balance>, balance: Balance) -> Option<Arc<ZonePolicy>> {
        let (at, layer) = block.pick(|b| &b.zone)?;
        let zone = &at.value;
        let (Some(local), Some(zones)) = (zone.local.get(), zone.zones.get()) else {
            self.refuse(at.position, "zone needs local and zones: { local: a, zones: { a: [10.4.0.0/20] } }");
            return None;
        };
        self.note("balance.zone.local", local.position, layer);
        self.note("balance.zone.zones", zones.position, layer);
        let local_name = self.local_zone(&local.value).unwrap_or_else(|finding| {
            self.report(finding.at(local.position));
            String::new()
        });
        let mut compiled: Vec<(Arc<str>, Vec<Network>)> = Vec::new();
        for (name, networks) in zones.value.0.iter().take(ZONES_MAX) {
            if let Err(message) = check_name(&name.value) {
                self.refuse(name.position, message);
            }
            let mut read = Vec::new();
            for network in networks.value.iter().take(NETWORKS_MAX) {
                match Network::parse(&network.value.text) {
                    Ok(network) => read.push(network),
                    Err(message) => self.refuse(network.position, message),
                }
            }
            compiled.push((name.value.as_str().into(), read));
        }
        let most = zones.value.0.iter().map(|(_, networks)| networks.value.len()).max().unwrap_or_default();
        if zones.value.0.len() > ZONES_MAX || most > NETWORKS_MAX {
            let message = format!("at most {ZONES_MAX} zones of {NETWORKS_MAX} networks each are possible");
            self.refuse(zones.position, message);
        }
        let least = zone.min_healthy_percent.get().map(|at| (at, layer));
        let percent = |text: &Text<_>| number(text, 1.0, 100.0);
        let least = self.take("balance.zone.minHealthyPercent", least, percent, 70.0);
        if balance == Balance::Hash {
            if layer == Layer::Own {
                let message = "zone has no meaning with by: hash: the key alone says where a request goes";
                self.refuse(at.position, message);
            }
            return None;
        }
        let policy = ZonePolicy {
            local: local_name.into(),
            zones: compiled,
            min_healthy_permille: (least * 10.0).round() as u32,
        };
        if !policy.local.is_empty() && !policy.zones.iter().any(|(name, _)| *name == policy.local) {
            let message = format!("our zone `{}` is not among zones: no endpoint is near", policy.local);
            self.report(Diagnostic::new(Code::LocalZoneUnknown, local.position, message));
        }
        Some(Arc::new(policy))
    }

    fn local_zone(&self, text: &Text<ZoneName>) -> Result<String, Wrong> {
        let name = expanded(&text.text, self.environment()).map_err(|wrong| match wrong {
            Unexpanded::Form(message) => Wrong(Code::InvalidValue, message),
            Unexpanded::Missing(name) => {
                Wrong(Code::VariableNotSet, format!("the environment variable {name} is not set"))
            }
        })?;
        check_name(&name).map(|()| name).map_err(|message| Wrong(Code::InvalidValue, message))
    }

    /// `keepAlive.maxAge`. None = connections become as old as they like.
    pub(super) fn max_age(&mut self, found: Found<'_, Text<TimeOrNone>>) -> Option<Duration> {
        self.take("keepAlive.maxAge", found, |text| or_none(text, SECOND, 24 * 60 * MINUTE), None)
    }
}

struct Wrong(Code, String);

impl Wrong {
    fn at(self, position: raw::scalar::Position) -> Diagnostic {
        Diagnostic::new(self.0, position, self.1)
    }
}

fn or_none(text: &Text<TimeOrNone>, least: Duration, most: Duration) -> Result<Option<Duration>, String> {
    if text.text == "none" {
        return Ok(None);
    }
    let value = duration::parse(&text.text)?;
    if value < least || value > most {
        let (least, most) = (duration::print(least), duration::print(most));
        return Err(format!("{} is out of range: {least} to {most}, or none", text.text));
    }
    Ok(Some(value))
}
