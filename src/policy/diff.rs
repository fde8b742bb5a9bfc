//! What a new policy changes, in effective values and in effects.
//!
//! `payments/charge: retry.attempts 1 -> 3; worst-case load x2 -> x4; worst-case wait 2s -> 5s`

mod effects;
mod letters;
mod routes;
mod tls;

use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::Serialize;

use super::effective::{self, Reach, Setting};
use super::{Policy, RoutePolicy, UpstreamPolicy, duration};

/// One line of a difference: a process, an upstream, or routes of an upstream that change in the same way.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// `outrigger`, `payments` or `payments/charge`.
    pub subject: String,
    pub kind: Kind,
    /// Values in effect that differ. Of what is new or gone, those that matter.
    pub settings: Vec<Difference>,
    /// How often one request may be sent, before and after. None = the same.
    pub load: Option<(u32, u32)>,
    /// How long one request may take in milliseconds, before and after. None = the same.
    pub wait_ms: Option<(u64, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    Added,
    Removed,
    Changed,
}

/// A value before and after; None = not there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Difference {
    pub key: &'static str,
    pub old: Option<String>,
    pub new: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.old, &self.new) {
            (Some(old), Some(new)) => write!(f, "{} {old} -> {new}", self.key),
            (None, Some(new)) => write!(f, "{} {new}", self.key),
            (Some(old), None) => write!(f, "{} {old} -> gone", self.key),
            (None, None) => write!(f, "{}", self.key),
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = match self.kind {
            Kind::Added => vec!["added".to_owned()],
            Kind::Removed => vec!["removed".to_owned()],
            Kind::Changed => Vec::new(),
        };
        parts.extend(told(&self.settings));
        parts.extend(self.load.map(|(old, new)| format!("worst-case load x{old} -> x{new}")));
        let time = |ms| duration::print(std::time::Duration::from_millis(ms));
        parts.extend(self.wait_ms.map(|(old, new)| format!("worst-case wait {} -> {}", time(old), time(new))));
        write!(f, "{}: {}", self.subject, parts.join("; "))
    }
}

/// Everything in effect that differs, the process first, then upstreams in the order of the new file, then
/// those that are gone. Empty = the policies do the same.
pub fn diff(old: &Policy, new: &Policy) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut settings = differences(&effective::process(old), &effective::process(new));
    settings.extend(effects::another_server(old, new));
    changes.extend(changed("outrigger".to_owned(), settings));
    let (before, after) = (sides(old), sides(new));
    let known: HashMap<&str, &Side<'_>> = before.iter().map(|side| (&*side.upstream.name, side)).collect();
    let kept: HashSet<&str> = after.iter().map(|side| &*side.upstream.name).collect();
    for is in &after {
        let name = &*is.upstream.name;
        match known.get(name) {
            Some(was) => changes.extend(upstream_changes(was, is)),
            None => changes.push(Change {
                subject: name.to_owned(),
                kind: Kind::Added,
                settings: differences(&[], &where_it_is(is)),
                load: None,
                wait_ms: None,
            }),
        }
    }
    for gone in before.iter().map(|side| &*side.upstream.name).filter(|name| !kept.contains(name)) {
        let (subject, kind) = (gone.to_owned(), Kind::Removed);
        changes.push(Change { subject, kind, settings: Vec::new(), load: None, wait_ms: None });
    }
    changes
}

/// A policy's view of one upstream.
struct Side<'a> {
    upstream: &'a UpstreamPolicy,
    reach: Option<Reach<'a>>,
}

fn sides(policy: &Policy) -> Vec<Side<'_>> {
    let reached = effective::reached(policy);
    let numbered = policy.upstreams.iter().zip(0..);
    numbered.map(|(upstream, number)| Side { upstream, reach: reached.get(&number).copied() }).collect()
}

fn changed(subject: String, settings: Vec<Difference>) -> Option<Change> {
    let kind = Kind::Changed;
    (!settings.is_empty()).then_some(Change { subject, kind, settings, load: None, wait_ms: None })
}

/// Reach and target: what one wants to know of a new upstream.
fn where_it_is(side: &Side<'_>) -> Vec<Setting> {
    let target = effective::upstream(side.upstream).into_iter().take(1);
    target.chain(effective::reach(side.reach)).collect()
}

/// Both lists are short, and nearly always have the same keys in the same order.
fn differences(old: &[Setting], new: &[Setting]) -> Vec<Difference> {
    fn find<'a>(list: &'a [Setting], likely: usize, key: &str) -> Option<&'a Setting> {
        list.get(likely).filter(|it| it.key == key).or_else(|| list.iter().find(|it| it.key == key))
    }
    let mut found = Vec::new();
    for (number, Setting { key, value }) in new.iter().enumerate() {
        let was = find(old, number, key).map(|setting| &setting.value);
        if was != Some(value) {
            found.push(Difference { key, old: was.cloned(), new: Some(value.clone()) });
        }
    }
    for (number, Setting { key, value }) in old.iter().enumerate() {
        if find(new, number, key).is_none() {
            found.push(Difference { key, old: Some(value.clone()), new: None });
        }
    }
    found
}

/// Blocks that can be switched, and their names in words.
const SWITCHES: [(&str, &str); 3] =
    [("circuitBreaker", "circuit breaker"), ("throttle", "throttle"), ("healthCheck", "health checks")];

/// What is read at the start only.
const AT_START: [&str; 11] = [
    "admin.listen",
    "admin.tokenFile",
    "admin.tls.cert",
    "admin.tls.key",
    "admin.tls.clientCa",
    "admin.tls.spiffe",
    "admin.tls.minVersion",
    "metrics.listen",
    "stores.embedded.maxBytes",
    "stores.embedded.maxRecords",
    "stores.embedded.durability",
];

/// The settings in words. A block that is switched on or off is told as that: its values follow from it.
fn told(settings: &[Difference]) -> Vec<String> {
    let switched: Vec<_> =
        SWITCHES.iter().filter_map(|(block, name)| Some((*block, *name, switch(settings, block)?))).collect();
    let names = |on| {
        let names: Vec<&str> = switched.iter().filter(|(_, _, now)| *now == on).map(|(_, name, _)| *name).collect();
        (!names.is_empty()).then(|| format!("{} {}", names.join(" and "), if on { "on" } else { "off" }))
    };
    let mut parts: Vec<String> = [names(true), names(false)].into_iter().flatten().collect();
    let deduplication = effects::Deduplication::of(settings);
    parts.extend(deduplication.map(|switched| switched.told().to_owned()));
    let letters = letters::Letters::of(settings);
    parts.extend(letters.map(letters::Letters::told));
    for setting in settings {
        let block = setting.key.split('.').next();
        let follows = deduplication.is_some_and(|switched| switched.explains(setting))
            || letters.is_some_and(|switched| switched.explains(setting));
        if !follows && switched.iter().all(|(hidden, _, _)| Some(*hidden) != block) {
            // A store that comes or goes is opened or closed at once.
            let later = AT_START.contains(&setting.key) && setting.old.is_some() && setting.new.is_some();
            let when = if later { " (takes effect at the next start)" } else { "" };
            let effect = effects::effect(setting).map_or(String::new(), |effect| format!(" ({effect})"));
            parts.push(format!("{setting}{effect}{when}"));
        }
    }
    parts
}

/// Whether a block is switched on or off. None = neither; also to and from `observe`, whose word says more.
fn switch(settings: &[Difference], block: &str) -> Option<bool> {
    let mode = settings.iter().find(|setting| setting.key.strip_prefix(block) == Some(".mode"))?;
    match (mode.old.as_deref()?, mode.new.as_deref()?) {
        ("none", "enforce") => Some(true),
        ("enforce", "none") => Some(false),
        _ => None,
    }
}

fn upstream_changes(was: &Side<'_>, is: &Side<'_>) -> Vec<Change> {
    let all = |side: &Side<'_>| {
        let mut settings = effective::reach(side.reach);
        settings.extend(effective::upstream(side.upstream));
        settings
    };
    let mut settings = differences(&all(was), &all(is));
    if common(&was.upstream.routes, &is.upstream.routes) != common(&is.upstream.routes, &was.upstream.routes) {
        settings.push(Difference { key: "order of routes", old: None, new: Some("changed".to_owned()) });
    }
    let mut changes: Vec<Change> = changed(is.upstream.name.to_string(), settings).into_iter().collect();
    changes.extend(routes::changes(was, is));
    changes
}

/// Names of routes that the other side has as well.
fn common<'a>(routes: &'a [RoutePolicy], other: &[RoutePolicy]) -> Vec<&'a str> {
    let known: HashSet<&str> = other.iter().map(|route| &*route.name).collect();
    routes.iter().map(|route| &*route.name).filter(|name| known.contains(name)).collect()
}

#[cfg(test)]
mod tests;
