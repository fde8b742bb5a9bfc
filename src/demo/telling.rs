//! The account in words: every number in it was measured in this run.

use std::fmt::Write as _;
use std::time::Duration;

use super::account::Measured;
use super::script::Trouble;
use super::sidecar::Moment;
use super::traffic::Way;
use crate::policy::journal::{Change, ChangeKind};

/// Changes of one kind and source told in a row; the rest of the row is counted.
const ROW_MAX: usize = 3;

/// One decimal, rounded down: 99.96 must not look like all.
pub fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{:.1} %", (value * 10.0 + 1e-6).floor() / 10.0))
}

/// Milliseconds with the precision that matters.
pub fn millis(value: Option<Duration>) -> String {
    match value.map(|value| value.as_secs_f64() * 1e3) {
        None => "-".to_owned(),
        Some(ms) if ms < 9.95 => format!("{ms:.1} ms"),
        Some(ms) => format!("{ms:.0} ms"),
    }
}

/// Requests per request.
pub fn times(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"))
}

/// What a phase came to.
pub fn headline(it: &Measured) -> String {
    let (direct, outrigger) = (it.tally(Way::Direct), it.tally(Way::Outrigger));
    let waits = |share| (millis(direct.wait(share)), millis(outrigger.wait(share)));
    let ((p50, p50_outrigger), (p99, p99_outrigger)) = (waits(0.5), waits(0.99));
    let (attempts, rescued, refused) = (times(it.attempts), it.rescued, it.refused);
    let (load, load_outrigger) = (times(it.load_direct), times(it.load_outrigger));
    let in_force = millis(it.story.in_force_after);
    let mut line = format!(
        "{}: {} direct, {} through Outrigger; ",
        it.phase.name,
        percent(direct.success_percent()),
        percent(outrigger.success_percent()),
    );
    line += &match it.phase.trouble {
        Trouble::Calm => {
            format!("median wait {p50} direct, {p50_outrigger} through it; {attempts} attempts per request")
        }
        Trouble::Tail => {
            format!("p99 wait {p99} direct, {p99_outrigger} through it, for {attempts} attempts per request")
        }
        Trouble::OneDead => {
            let ejected = moment(it.story.ejected.as_ref(), "no endpoint ejected", |m| {
                format!("endpoint {} ejected after {} failures, {}", m.what, m.failures, seconds(m.after))
            });
            format!("{attempts} attempts per request; {ejected}")
        }
        Trouble::Slow => format!(
            "p99 wait {p99} direct, {p99_outrigger} through it; {attempts} attempts per request, {rescued} of {} rescued \
             by a retry",
            outrigger.requests()
        ),
        Trouble::Down => {
            let opened = moment(it.story.opened.as_ref(), "circuit not opened", |m| {
                format!("circuit open after {} failures, {}", m.failures, seconds(m.after))
            });
            format!(
                "callers learned of it after {p50} (median) direct, {p50_outrigger} through it; it was asked {load} times \
                 per request direct, {load_outrigger} through it; {opened}"
            )
        }
        Trouble::Back => {
            let closed = moment(it.story.closed.as_ref(), "circuit not closed yet", |m| {
                format!("circuit closed after {}", seconds(m.after))
            });
            format!("{closed}; {refused} requests refused before traffic had returned in full")
        }
        Trouble::BadPolicy => format!(
            "in force {in_force} after the file was written; no error shows it, but {attempts} attempts per request and \
             a p99 wait of {p99_outrigger} do, and the journal names the cause"
        ),
        Trouble::RolledBack => format!("rolled back in {in_force}; {attempts} attempts per request"),
    };
    line
}

fn moment(moment: Option<&Moment>, otherwise: &str, tell: impl FnOnce(&Moment) -> String) -> String {
    moment.map_or_else(|| otherwise.to_owned(), tell)
}

/// Seconds with one decimal.
pub fn seconds(value: Duration) -> String {
    format!("{:.1} s", value.as_secs_f64())
}

/// Header of [`row`].
pub const HEADER: [&str; 7] = ["", "ok direct", "with it", "p99 direct", "with it", "load direct", "with it"];

/// A line of the summary.
pub fn row(it: &Measured) -> [String; 7] {
    let ok = |way| percent(it.tally(way).success_percent());
    let p99 = |way| millis(it.tally(way).wait(0.99));
    [
        it.phase.name.to_owned(),
        ok(Way::Direct),
        ok(Way::Outrigger),
        p99(Way::Direct),
        p99(Way::Outrigger),
        times(it.load_direct),
        times(it.load_outrigger),
    ]
}

/// What it all came to.
pub fn sum(measured: &[Measured]) -> String {
    let (mut requests, mut direct, mut outrigger) = (0, 0, 0);
    for it in measured.iter().filter(|it| it.phase.trouble != Trouble::Down) {
        let (asked, failed) = it.tallies.all(Way::Direct);
        (requests, direct) = (requests + asked, direct + failed);
        outrigger += it.tallies.all(Way::Outrigger).1;
    }
    format!(
        "Of {requests} requests while success was possible (not: dependency down) {direct} failed directly, {outrigger} \
         through Outrigger."
    )
}

/// A change in one line.
pub fn change(change: &Change) -> String {
    let reason = change.reason.as_deref().unwrap_or_default();
    let mut line = match change.kind {
        ChangeKind::Policy | ChangeKind::Rollback => {
            format!("policy revision {} in force, by {}", change.revision, change.author)
        }
        ChangeKind::PolicyRefused => return format!("policy file refused: {reason}"),
        ChangeKind::Guard => {
            let found = change.effect.first().map(String::as_str).unwrap_or_default();
            return format!("{found}: {reason}");
        }
        ChangeKind::Start => format!("started with policy revision {}", change.revision),
        ChangeKind::Stop => "stopped".to_owned(),
        ChangeKind::Breaker
        | ChangeKind::Endpoints
        | ChangeKind::Ejection
        | ChangeKind::Resolution
        | ChangeKind::Retries
        | ChangeKind::Certificate
        | ChangeKind::Manual => String::new(),
    };
    for effect in &change.effect {
        // Writing to a String cannot fail.
        let _ = write!(line, "{}{effect}", if line.is_empty() { "" } else { ": " });
    }
    line
}

/// The change journal: rows of changes of the same kind and source are shortened.
pub fn journal(changes: &[Change]) -> Vec<String> {
    let alike = |a: &Change, b: &Change| a.kind == b.kind && a.source == b.source;
    let mut lines = Vec::new();
    for row in changes.chunk_by(alike) {
        lines.extend(row.iter().take(ROW_MAX).map(|entry| format!("{} {}", clock_time(&entry.time), change(entry))));
        if row.len() > ROW_MAX {
            lines.push(format!("{} more of this kind", row.len() - ROW_MAX));
        }
    }
    lines
}

/// `12:34:56` of an RFC 3339 time.
fn clock_time(rfc3339: &str) -> &str {
    rfc3339.get(11..19).unwrap_or(rfc3339)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn almost_all_does_not_look_like_all() {
        assert_eq!(percent(Some(99.96)), "99.9 %");
        assert_eq!([percent(Some(100.0)), percent(Some(66.4)), percent(None)], ["100.0 %", "66.4 %", "-"]);
    }

    #[test]
    fn waits_keep_three_digits_at_most() {
        let of = |micros| millis(Some(Duration::from_micros(micros)));
        assert_eq!([of(420), of(9_940), of(9_960), of(600_400)], ["0.4 ms", "9.9 ms", "10 ms", "600 ms"]);
    }

    fn entry(kind: ChangeKind, source: &str, effect: &str) -> Change {
        Change {
            revision: 2,
            time: "2026-11-23T06:30:15.123Z".to_owned(),
            kind,
            source: source.to_owned(),
            author: "file".to_owned(),
            hash: String::new(),
            effect: vec![effect.to_owned()],
            upstream: None,
            reason: None,
            version: None,
            version_before: None,
        }
    }

    #[test]
    fn a_long_row_of_alike_changes_is_counted() {
        let mut changes = vec![entry(ChangeKind::Breaker, "payments", "payments: circuit closed -> open"); 5];
        changes.push(entry(ChangeKind::Policy, "policy.yaml", "catalog: slower"));
        let lines = journal(&changes);
        assert_eq!(lines.len(), 5);
        assert_eq!(lines[3], "2 more of this kind");
        assert_eq!(lines[4], "06:30:15 policy revision 2 in force, by file: catalog: slower");
    }
}
