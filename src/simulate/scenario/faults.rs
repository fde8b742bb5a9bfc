//! The fault script: its words, and how it is read.

use std::time::Duration;

use crate::policy::duration::print;
use crate::policy::raw::scalar::{At, Position};

use super::compile::latency;
use super::parse::unknown;
use super::read::{Findings, bytes, number, percent as share, time, word};
use super::{Fault, FaultKind, ResetPoint, raw};

impl Fault {
    /// What happens and where, for a chart: `dead (1 of 3)`.
    pub fn label(&self, endpoints: u32) -> String {
        let what = self.kind.label();
        match self.endpoints.len() {
            0 => what,
            n if n == endpoints as usize => what,
            n => format!("{what} ({n} of {endpoints})"),
        }
    }
}

impl FaultKind {
    /// The word of the file.
    pub const fn word(&self) -> &'static str {
        match self {
            FaultKind::Dead => "dead",
            FaultKind::BlackHole => "blackHole",
            FaultKind::Stall => "stall",
            FaultKind::Errors { .. } => "errors",
            FaultKind::Slow { .. } => "slow",
            FaultKind::Reset { .. } => "reset",
            FaultKind::SlowBody { .. } => "slowBody",
            FaultKind::RapidReset { .. } => "rapidReset",
            FaultKind::Absent => "absent",
            FaultKind::Reload => "reload",
        }
    }

    fn label(&self) -> String {
        match self {
            FaultKind::Dead => "dead".to_owned(),
            FaultKind::BlackHole => "black hole".to_owned(),
            FaultKind::Stall => "stall".to_owned(),
            FaultKind::Errors { ratio, status } => format!("{} % {status}", percent(*ratio)),
            FaultKind::Slow { .. } => "slow".to_owned(),
            FaultKind::Reset { ratio, point: ResetPoint::Before } => format!("{} % reset before", percent(*ratio)),
            FaultKind::Reset { ratio, point: ResetPoint::After } => format!("{} % reset after", percent(*ratio)),
            FaultKind::SlowBody { .. } => "slow bodies".to_owned(),
            FaultKind::RapidReset { .. } => "rapid reset".to_owned(),
            FaultKind::Absent => "absent".to_owned(),
            FaultKind::Reload => "reload".to_owned(),
        }
    }
}

/// Without needless decimals.
fn percent(ratio: f64) -> f64 {
    (ratio * 1000.0).round() / 10.0
}

const KINDS: &[&str] =
    &["dead", "blackHole", "stall", "errors", "slow", "reset", "slowBody", "rapidReset", "reload", "absent"];

/// Compiles the list, in order of beginning.
pub(super) fn compile(
    list: &[At<raw::Fault>],
    duration: Duration,
    endpoints: u32,
    findings: &mut Findings,
) -> Vec<Fault> {
    let mut faults: Vec<(Position, Fault)> = Vec::new();
    for at in list {
        let Some(fault) = compile_one(at, duration, endpoints, findings) else { continue };
        if let Some((_, other)) = faults.iter().find(|(_, other)| overlap(other, &fault)) {
            let shared = fault.endpoints.iter().find(|e| other.endpoints.contains(e)).map_or(0, |e| e + 1);
            let message = format!(
                "`{}` begins while `{}` ({} to {}) still holds at endpoint {shared}: \
                 move it, or give it other endpoints",
                fault.kind.word(),
                other.kind.word(),
                print(other.at),
                print(other.until),
            );
            findings.add(at.position, message);
        }
        faults.push((at.position, fault));
    }
    let mut faults: Vec<Fault> = faults.into_iter().map(|(_, fault)| fault).collect();
    faults.sort_by_key(|fault| fault.at);
    faults
}

fn overlap(a: &Fault, b: &Fault) -> bool {
    a.at < b.until && b.at < a.until && a.endpoints.iter().any(|e| b.endpoints.contains(e))
}

fn compile_one(at: &At<raw::Fault>, duration: Duration, endpoints: u32, findings: &mut Findings) -> Option<Fault> {
    let raw = &at.value;
    let what = findings.need(("what", "what: dead"), at.position, &raw.what, |text| {
        KINDS.iter().find(|kind| **kind == text.as_str()).copied().ok_or_else(|| unknown("fault", text, KINDS))
    });
    let whole = Duration::ZERO..=duration;
    let begins = findings.need(("at", "at: 5s"), at.position, &raw.at, time(whole.clone()));
    let what = what?;
    foreign_keys(raw, what, findings);
    let kind = kind(raw, what, at.position, findings);
    if what == "reload" {
        let begins = begins?;
        return Some(Fault { at: begins, until: begins, endpoints: Vec::new(), kind: kind? });
    }
    let lasts = findings.need(("for", "for: 5s"), at.position, &raw.r#for, time(Duration::from_millis(1)..=duration));
    let at_proxy = what == "rapidReset";
    let endpoints = if at_proxy { Some(Vec::new()) } else { which(raw, at.position, endpoints, findings) };
    let (begins, lasts) = (begins?, lasts?);
    let until = begins + lasts;
    if until > duration {
        let message = format!("ends at {}, after the scenario's {}: shorten it", print(until), print(duration));
        findings.add(raw.r#for.position().unwrap_or(at.position), message);
    }
    Some(Fault { at: begins, until, endpoints: endpoints?, kind: kind? })
}

/// A key that this kind of fault has no use for would be silently ignored.
fn foreign_keys(raw: &raw::Fault, what: &str, findings: &mut Findings) {
    let allowed: &[&str] = match what {
        "errors" => &["ratio", "status"],
        "slow" => &["latency"],
        "reset" => &["ratio", "point"],
        "slowBody" => &["piece", "every"],
        "rapidReset" => &["streams"],
        _ => &[],
    };
    let always = [("for", raw.r#for.position()), ("endpoints", raw.endpoints.position())];
    let special = [
        ("ratio", raw.ratio.position()),
        ("status", raw.status.position()),
        ("latency", raw.latency.position()),
        ("point", raw.point.position()),
        ("piece", raw.piece.position()),
        ("every", raw.every.position()),
        ("streams", raw.streams.position()),
    ];
    let barred =
        always.into_iter().filter(|(name, _)| what == "reload" || (what == "rapidReset" && *name == "endpoints"));
    let written = barred.chain(special.into_iter().filter(|(name, _)| !allowed.contains(name)));
    for (name, position) in written {
        if let Some(position) = position {
            findings.add(position, format!("`{name}` does not belong to `{what}`: remove it"));
        }
    }
}

fn kind(raw: &raw::Fault, what: &str, block: Position, findings: &mut Findings) -> Option<FaultKind> {
    let ratio = |findings: &mut Findings| findings.need(("ratio", "ratio: 33%"), block, &raw.ratio, share);
    match what {
        "dead" => Some(FaultKind::Dead),
        "absent" => Some(FaultKind::Absent),
        "blackHole" => Some(FaultKind::BlackHole),
        "stall" => Some(FaultKind::Stall),
        "reload" => Some(FaultKind::Reload),
        "errors" => {
            let status = findings.take(&raw.status, number(400..=599)).unwrap_or(503);
            Some(FaultKind::Errors { ratio: ratio(findings)?, status })
        }
        "slow" => {
            let Some(at) = raw.latency.get() else {
                findings.add(block, "`latency` is missing: write for example `latency: 1s`");
                return None;
            };
            Some(FaultKind::Slow { latency: latency(&at.value, at.position, findings)? })
        }
        "reset" => {
            let points = [("before", ResetPoint::Before), ("after", ResetPoint::After)];
            let point = findings.need(("point", "point: after"), block, &raw.point, word("point", &points));
            Some(FaultKind::Reset { ratio: ratio(findings)?, point: point? })
        }
        "slowBody" => {
            let piece = findings.need(("piece", "piece: 1KiB"), block, &raw.piece, bytes(1 << 20));
            let range = Duration::from_millis(1)..=Duration::from_secs(10);
            let every = findings.need(("every", "every: 100ms"), block, &raw.every, time(range));
            Some(FaultKind::SlowBody { piece: piece?.max(1), every: every? })
        }
        "rapidReset" => {
            let streams = findings.need(("streams", "streams: 100000"), block, &raw.streams, number(1..=10_000_000));
            Some(FaultKind::RapidReset { streams: streams? })
        }
        // Only words of `KINDS` come here.
        _ => None,
    }
}

/// Endpoints from 0; in the file they are counted from 1.
fn which(raw: &raw::Fault, block: Position, endpoints: u32, findings: &mut Findings) -> Option<Vec<usize>> {
    let Some(at) = raw.endpoints.get() else {
        findings.add(block, "`endpoints` is missing: write `endpoints: all`, or for example `endpoints: [1]`");
        return None;
    };
    match &at.value {
        raw::Endpoints::Word(word) if word == "all" => Some((0..endpoints as usize).collect()),
        raw::Endpoints::Word(word) => {
            findings.add(at.position, format!("`{word}`: write `all`, or a list such as [1, 3]"));
            None
        }
        raw::Endpoints::List(list) => {
            let mut chosen = Vec::new();
            for entry in list {
                match number(1..=endpoints)(&entry.value) {
                    Ok(number) if chosen.contains(&(number as usize - 1)) => {
                        findings.add(entry.position, format!("endpoint {number} is named twice"));
                    }
                    Ok(number) => chosen.push(number as usize - 1),
                    Err(_) => {
                        let message = format!("there is no endpoint `{}`: they are 1 to {endpoints}", entry.value);
                        findings.add(entry.position, message);
                    }
                }
            }
            if list.is_empty() {
                findings.add(at.position, "no endpoint is named: write `endpoints: all`, or for example [1]");
            }
            Some(chosen)
        }
    }
}
