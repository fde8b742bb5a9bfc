//! What a new policy changes, in effective values and in effects.
//!
//! `payments/charge: retry.attempts 1 -> 3; worst-case load x2 -> x4; worst-case wait 2s -> 5s`

use std::collections::HashMap;
use std::fmt;

use serde::Serialize;

use super::effective::{self, Setting, WorstCase};
use super::routes::RouteMatch;
use super::{Policy, RoutePolicy, UpstreamPolicy, duration};

/// Routes named in one line; beyond them only their number.
const NAMES_MAX: usize = 5;

/// One line of a difference: a process, an upstream, or routes of an upstream that change in the same way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    Added,
    Removed,
    Changed,
}

/// A value before and after; None = not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
    let settings = differences(effective::process(old), effective::process(new));
    changes.extend(changed("outrigger".to_owned(), settings));
    let index = |policy: &Policy, name: &str| policy.upstreams.iter().position(|upstream| &*upstream.name == name);
    for (number, upstream) in new.upstreams.iter().enumerate() {
        match index(old, &upstream.name) {
            Some(before) => changes.extend(upstream_changes((old, before), (new, number))),
            None => changes.push(Change {
                subject: upstream.name.to_string(),
                kind: Kind::Added,
                settings: differences(Vec::new(), where_it_is(new, number)),
                load: None,
                wait_ms: None,
            }),
        }
    }
    for upstream in old.upstreams.iter().filter(|upstream| index(new, &upstream.name).is_none()) {
        let (subject, kind) = (upstream.name.to_string(), Kind::Removed);
        changes.push(Change { subject, kind, settings: Vec::new(), load: None, wait_ms: None });
    }
    changes
}

fn changed(subject: String, settings: Vec<Difference>) -> Option<Change> {
    let kind = Kind::Changed;
    (!settings.is_empty()).then_some(Change { subject, kind, settings, load: None, wait_ms: None })
}

/// Reach and target: what one wants to know of a new upstream.
fn where_it_is(policy: &Policy, number: usize) -> Vec<Setting> {
    let target = policy.upstreams.get(number).map(effective::upstream).unwrap_or_default().into_iter().take(1);
    target.chain(effective::reach(policy, number as u32)).collect()
}

fn differences(old: Vec<Setting>, new: Vec<Setting>) -> Vec<Difference> {
    let before: HashMap<&str, &str> = old.iter().map(|setting| (setting.key, setting.value.as_str())).collect();
    let after: HashMap<&str, &str> = new.iter().map(|setting| (setting.key, setting.value.as_str())).collect();
    let mut found = Vec::new();
    for Setting { key, value } in &new {
        let was = before.get(key).map(|value| (*value).to_owned());
        if was.as_ref() != Some(value) {
            found.push(Difference { key, old: was, new: Some(value.clone()) });
        }
    }
    for Setting { key, value } in &old {
        if !after.contains_key(key) {
            found.push(Difference { key, old: Some(value.clone()), new: None });
        }
    }
    found
}

/// Blocks that can be switched, and their names in words.
const SWITCHES: [(&str, &str); 2] = [("circuitBreaker", "circuit breaker"), ("throttle", "throttle")];

/// What is read at the start only.
const AT_START: [&str; 2] = ["admin.listen", "metrics.listen"];

/// The settings in words. A block that is switched on or off is told as that: its values follow from it.
fn told(settings: &[Difference]) -> Vec<String> {
    let switched: Vec<_> =
        SWITCHES.iter().filter_map(|(block, name)| Some((*block, *name, switch(settings, block)?))).collect();
    let names = |on| {
        let names: Vec<&str> = switched.iter().filter(|(_, _, now)| *now == on).map(|(_, name, _)| *name).collect();
        (!names.is_empty()).then(|| format!("{} {}", names.join(" and "), if on { "on" } else { "off" }))
    };
    let mut parts: Vec<String> = [names(true), names(false)].into_iter().flatten().collect();
    for setting in settings {
        let block = setting.key.split('.').next();
        if switched.iter().all(|(hidden, _, _)| Some(*hidden) != block) {
            let when = if AT_START.contains(&setting.key) { " (takes effect at the next start)" } else { "" };
            parts.push(format!("{setting}{when}"));
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

fn upstream_changes((old, before): (&Policy, usize), (new, number): (&Policy, usize)) -> Vec<Change> {
    let (Some(was), Some(is)) = (old.upstreams.get(before), new.upstreams.get(number)) else { return Vec::new() };
    let all = |policy, number, upstream| {
        let mut settings = effective::reach(policy, number as u32);
        settings.extend(effective::upstream(upstream));
        settings
    };
    let mut settings = differences(all(old, before, was), all(new, number, is));
    let common = |routes: &[RoutePolicy], other: &[RoutePolicy]| -> Vec<String> {
        let known: std::collections::HashSet<&str> = other.iter().map(|route| &*route.name).collect();
        routes.iter().map(|route| route.name.to_string()).filter(|name| known.contains(name.as_str())).collect()
    };
    if common(&was.routes, &is.routes) != common(&is.routes, &was.routes) {
        settings.push(Difference { key: "order of routes", old: None, new: Some("changed".to_owned()) });
    }
    let mut changes: Vec<Change> = changed(is.name.to_string(), settings).into_iter().collect();
    let matches = |policy: &Policy, upstream: usize| -> Vec<RouteMatch> {
        let entries = policy.listeners.iter().flat_map(|listener| listener.table.entries());
        let entry = entries.into_iter().find(|entry| entry.upstream as usize == upstream);
        entry.map(|entry| entry.routes.clone()).unwrap_or_default()
    };
    changes.extend(route_changes((was, &matches(old, before)), (is, &matches(new, number))));
    changes
}

/// A policy's view of one upstream: its routes, and what they match (all but the last, the default route).
type Side<'a> = (&'a UpstreamPolicy, &'a [RouteMatch]);

fn route_settings((upstream, matches): Side<'_>, number: usize) -> Vec<Setting> {
    let Some(route) = upstream.routes.get(number) else { return Vec::new() };
    let wanted = matches.get(number).map(|wanted| Setting { key: "match", value: effective::match_text(wanted) });
    wanted.into_iter().chain(effective::route(upstream.direction, route)).collect()
}

fn route_changes(was: Side<'_>, is: Side<'_>) -> Vec<Change> {
    let before: HashMap<&str, usize> = was.0.routes.iter().enumerate().map(|(n, route)| (&*route.name, n)).collect();
    let after: HashMap<&str, usize> = is.0.routes.iter().enumerate().map(|(n, route)| (&*route.name, n)).collect();
    // Routes that change in the same way are one line: a value of the upstream reaches all of them.
    let mut groups: Vec<(Change, Vec<&str>)> = Vec::new();
    let mut add = |change: Change, name| match groups.iter_mut().find(|(known, _)| *known == change) {
        Some((_, names)) => names.push(name),
        None => groups.push((change, vec![name])),
    };
    for (number, route) in is.0.routes.iter().enumerate() {
        let now = effective::worst_case(is.0, route);
        let change = match before.get(&*route.name).and_then(|n| Some((*n, was.0.routes.get(*n)?))) {
            Some((n, old)) => {
                let settings = differences(route_settings(was, n), route_settings(is, number));
                compared(settings, effective::worst_case(was.0, old), now)
            }
            None => {
                let wanted = route_settings(is, number).into_iter().filter(|setting| setting.key == "match").collect();
                Some(Change { kind: Kind::Added, ..empty(differences(Vec::new(), wanted)) })
            }
        };
        if let Some(change) = change {
            add(change, &*route.name);
        }
    }
    for route in was.0.routes.iter().filter(|route| !after.contains_key(&*route.name)) {
        add(Change { kind: Kind::Removed, ..empty(Vec::new()) }, &*route.name);
    }
    let upstream = &is.0.name;
    groups
        .into_iter()
        .map(|(change, names)| Change { subject: format!("{upstream}/{}", list(&names)), ..change })
        .collect()
}

fn empty(settings: Vec<Difference>) -> Change {
    Change { subject: String::new(), kind: Kind::Changed, settings, load: None, wait_ms: None }
}

fn compared(settings: Vec<Difference>, was: WorstCase, is: WorstCase) -> Option<Change> {
    let ms = |case: WorstCase| u64::try_from(case.wait.as_millis()).unwrap_or(u64::MAX);
    let change = Change {
        load: (was.load != is.load).then_some((was.load, is.load)),
        wait_ms: (was.wait != is.wait).then_some((ms(was), ms(is))),
        ..empty(settings)
    };
    (!change.settings.is_empty() || change.load.is_some() || change.wait_ms.is_some()).then_some(change)
}

fn list(names: &[&str]) -> String {
    match names {
        [one] => (*one).to_owned(),
        few if few.len() <= NAMES_MAX => format!("{{{}}}", few.join(", ")),
        many => format!("{{{}, and {} more}}", many[..NAMES_MAX].join(", "), many.len() - NAMES_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::compile::load;

    fn lines(old: &str, new: &str) -> Vec<String> {
        let policy =
            |text: &str| load("p.yaml", &format!("version: 1\n{text}")).unwrap_or_else(|e| panic!("{e}")).policy;
        diff(&policy(old), &policy(new)).iter().map(Change::to_string).collect()
    }

    const ROUTE: &str = "routes: [{ name: charge, match: { path: /c }";

    #[test]
    fn a_change_of_a_route_is_told_with_its_effect() {
        let policy = |attempts, request| {
            format!(
                "upstreams:\n  payments:\n    url: http://p\n    {ROUTE}, retry: {{ attempts: {attempts} }}, timeouts: {{ request: {request} }} }}]\n"
            )
        };
        assert_eq!(
            lines(&policy(1, "2s"), &policy(3, "5s")),
            [
                "payments/charge: timeouts.request 2s -> 5s; retry.attempts 1 -> 3; worst-case load x2 -> x4; worst-case wait 2s -> 5s"
            ]
        );
    }

    #[test]
    fn the_same_policy_in_other_words_is_no_change() {
        let old = "upstreams:\n  a: { url: http://a, timeouts: { request: 1500ms } }\n";
        let new = "# comment\nlisten: 127.0.0.1:4400\ndefaults: { timeouts: { request: 1s500ms } }\nupstreams: { a: { url: http://a } }\n";
        assert!(lines(old, new).is_empty());
    }

    #[test]
    fn routes_that_change_alike_are_one_line() {
        let policy = |request| {
            format!(
                "upstreams:\n  a:\n    url: http://a\n    timeouts: {{ request: {request} }}\n    \
                 routes: [{{ name: r, match: {{ path: /r }} }}, {{ name: s, match: {{ path: /s }} }}]\n"
            )
        };
        assert_eq!(
            lines(&policy("1s"), &policy("2s")),
            ["a/{r, s, default}: timeouts.request 1s -> 2s; worst-case wait 1s -> 2s"]
        );
    }

    #[test]
    fn upstreams_and_routes_come_and_go() {
        let old = "upstreams:\n  a: { url: http://a, routes: [{ name: r, match: { path: /r } }] }\n";
        let new = "upstreams:\n  a: { url: http://a, routes: [{ name: s, match: { methods: [GET], pathPrefix: /s } }], listen: '127.0.0.1:1' }\n  \
                   b: { url: http://b, listen: '127.0.0.1:2' }\n";
        assert_eq!(
            lines(old, new),
            [
                "a: listen 127.0.0.1:4400 -> 127.0.0.1:1",
                "a/s: added; match GET /s/*",
                "a/r: removed",
                "b: added; url http://b; listen 127.0.0.1:2",
            ]
        );
        assert_eq!(lines(new, old).last().unwrap(), "b: removed");
    }

    #[test]
    fn a_new_order_of_routes_is_a_change() {
        let policy = |first, second| {
            format!(
                "upstreams:\n  a:\n    url: http://a\n    routes: [{{ name: {first}, match: {{ path: /{first} }} }}, {{ name: {second}, match: {{ path: /{second} }} }}]\n"
            )
        };
        assert_eq!(lines(&policy("r", "s"), &policy("s", "r")), ["a: order of routes changed"]);
    }

    #[test]
    fn a_breaker_that_is_switched_is_told_as_that_and_its_values_are_in_the_json_only() {
        let off = "upstreams: { a: { url: http://a } }\n";
        let on = "upstreams: { a: { url: http://a, circuitBreaker: {} } }\n";
        assert_eq!(lines(off, on), ["a: circuit breaker and throttle on"]);
        assert_eq!(lines(on, off), ["a: circuit breaker and throttle off"]);
        let alone = "upstreams: { a: { url: http://a, circuitBreaker: {}, throttle: { mode: none } } }\n";
        assert_eq!(lines(off, alone), ["a: circuit breaker on"]);
        assert_eq!(lines(alone, on), ["a: throttle on"]);
        let observed =
            "upstreams: { a: { url: http://a, circuitBreaker: { mode: observe }, throttle: { mode: none } } }\n";
        assert!(lines(off, observed)[0].contains("circuitBreaker.mode none -> observe"));
        assert_eq!(lines(alone, observed), ["a: circuitBreaker.mode enforce -> observe"]);
    }

    #[test]
    fn what_is_read_at_the_start_only_says_so() {
        let policy = |address| format!("admin: {{ listen: '{address}' }}\nupstreams: {{ a: {{ url: http://a }} }}\n");
        assert_eq!(
            lines(&policy("127.0.0.1:1"), &policy("127.0.0.1:2")),
            ["outrigger: admin.listen 127.0.0.1:1 -> 127.0.0.1:2 (takes effect at the next start)"]
        );
    }
}
