//! The care of endpoints in effect.

use super::{Setting, count, mode, number, set, time};
use crate::policy::endpoints::{HealthCheckPolicy, Question, ZonePolicy};
use crate::reliability::health::HealthPolicy;

/// Empty where endpoints are not checked.
pub(super) fn health_check(policy: Option<&HealthCheckPolicy>) -> Vec<Setting> {
    let Some(HealthCheckPolicy { question, timing, observe }) = policy else {
        return vec![set("healthCheck.mode", "none")];
    };
    let HealthPolicy { interval, timeout, healthy, unhealthy } = *timing;
    let mut settings = vec![mode("healthCheck.mode", *observe)];
    match question {
        Question::Http { path, codes } => {
            let codes: Vec<String> = codes.iter().map(|code| code.to_string()).collect();
            settings.push(set("healthCheck.protocol", "http"));
            settings.push(set("healthCheck.path", path.as_ref()));
            settings.push(set("healthCheck.codes", format!("[{}]", codes.join(", "))));
        }
        Question::Grpc { service } => {
            settings.push(set("healthCheck.protocol", "grpc"));
            settings.push(set("healthCheck.service", if service.is_empty() { "the whole server" } else { service }));
        }
    }
    settings.extend([
        time("healthCheck.interval", interval),
        time("healthCheck.timeout", timeout),
        count("healthCheck.healthy", healthy),
        count("healthCheck.unhealthy", unhealthy),
    ]);
    settings
}

/// Empty where zones are not told apart.
pub(super) fn zones(policy: Option<&ZonePolicy>) -> Vec<Setting> {
    let Some(policy) = policy else { return Vec::new() };
    let ZonePolicy { local, zones, min_healthy_permille: _ } = policy;
    let zone = |(name, networks): &(std::sync::Arc<str>, Vec<_>)| {
        let networks: Vec<String> =
            networks.iter().map(|n: &crate::policy::endpoints::Network| n.to_string()).collect();
        format!("{name}: [{}]", networks.join(", "))
    };
    let zones: Vec<String> = zones.iter().map(zone).collect();
    vec![
        set("balance.zone.local", local.as_ref()),
        set("balance.zone.zones", format!("{{ {} }}", zones.join(", "))),
        number("balance.zone.minHealthyPercent", policy.min_healthy_percent()),
    ]
}
