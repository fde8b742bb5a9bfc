//! `outrigger changes`: what changed, newest first.

use clap::Args;
use clap::builder::PossibleValuesParser;

use super::Exit;
use super::args::duration;
use super::client::segment;
use super::print::{self, Tone};
use super::session::{Failure, Session};
use crate::admin::api::{Change, Changes, change_kind};
use crate::admin::words;
use crate::policy::journal::ITSELF;

pub(super) const EXAMPLES: &str = "\
Examples:
  outrigger changes --since 30m
  outrigger changes --upstream payments --kind circuit
  outrigger changes --kind policy -o json | jq '.changes[] | {at, kind, author, reason, effects}'";

/// From this age on the clock time alone would mislead.
const DATED_AFTER_SECONDS: u64 = 12 * 3_600;

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(super) struct ChangesArgs {
    /// How far back, such as 90s, 30m or 24h
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    since: Option<String>,
    /// At most this many, the newest ones
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    limit: u16,
    /// Only what concerns this dependency
    #[arg(long, value_name = "UPSTREAM")]
    upstream: Option<String>,
    /// Only this kind
    #[arg(long, value_parser = PossibleValuesParser::new(change_kind::GROUPS.into_iter().chain(change_kind::ALL)))]
    kind: Option<String>,
}

impl Session<'_> {
    pub(super) fn changes(&mut self, asked: &ChangesArgs) -> Result<Exit, Failure> {
        let ChangesArgs { since, limit, upstream, kind } = asked;
        let given = |name: &str, value: Option<&str>| value.map(|value| format!("&{name}={value}")).unwrap_or_default();
        let since = given("since", since.as_deref());
        let upstream = given("upstream", upstream.as_deref().map(segment).as_deref());
        let kind = given("kind", kind.as_deref());
        let changes: Changes = self.client.get(&format!("/changes?limit={limit}{since}{upstream}{kind}"))?;
        if self.json(&changes)? {
            return Ok(Exit::Fine);
        }
        if changes.changes.is_empty() {
            writeln!(self.out, "Nothing changed in that time.")?;
        }
        self.out.write_all(render(&changes.changes, self.surroundings.colour).as_bytes())?;
        Ok(Exit::Fine)
    }
}

/// Neighbours with the same subject stand under one heading.
fn render(changes: &[Change], colour: bool) -> String {
    let mut text = String::new();
    for group in changes.chunk_by(|a, b| subject(a) == subject(b)) {
        for (number, change) in group.iter().enumerate() {
            if number == 0 {
                text.push_str(&print::line(subject(change)));
                text.push('\n');
            }
            text.push_str(&entry(change, colour));
        }
    }
    text
}

/// Whom or what it is about.
fn subject(change: &Change) -> &str {
    match (&change.upstream, change.kind.split('-').next()) {
        (Some(upstream), _) => upstream,
        (None, Some(group)) if change_kind::GROUPS.contains(&group) => group,
        (None, _) => ITSELF,
    }
}

fn entry(change: &Change, colour: bool) -> String {
    let age = words::ago(change.age_seconds);
    let summary = print::line(&change.summary);
    // The heading says it already.
    let summary = summary.strip_prefix(&format!("{}: ", subject(change))).unwrap_or(&summary);
    let summary = if colour { tone(&change.kind).paint(summary) } else { summary.to_owned() };
    let mut text = format!("  {}  {age:>16}  {summary}", clock_time(change));
    if let Some(author) = change.author.as_deref().filter(|author| *author != ITSELF) {
        text.push_str(&format!(" [{}]", print::line(author)));
    }
    if let Some(reason) = &change.reason {
        text.push_str(&format!(": {}", print::line(reason)));
    }
    text.push('\n');
    for effect in &change.effects {
        text.push_str(&format!("  {:width$}    {}\n", "", print::line(effect), width = clock_time(change).len() + 18));
    }
    text
}

/// `14:02:11Z`, with the date where that is not today's.
fn clock_time(change: &Change) -> String {
    let at = print::line(&change.at);
    let time = at.get(11..19).map(|time| format!("{time}Z"));
    match (at.get(5..10), time) {
        (Some(day), Some(time)) if change.age_seconds >= DATED_AFTER_SECONDS => format!("{day} {time}"),
        (_, Some(time)) => time,
        (_, None) => at,
    }
}

fn tone(kind: &str) -> Tone {
    match kind {
        change_kind::POLICY_REFUSED | change_kind::POLICY_GUARD => Tone::Bad,
        change_kind::CIRCUIT | change_kind::EJECTION | change_kind::DNS => Tone::Warn,
        _ => Tone::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(kind: &str, upstream: Option<&str>, summary: &str, age_seconds: u64) -> Change {
        Change {
            at: "2026-11-22T14:02:11.123Z".to_owned(),
            age_seconds,
            kind: kind.to_owned(),
            upstream: upstream.map(str::to_owned),
            summary: summary.to_owned(),
            effects: Vec::new(),
            author: Some("outrigger".to_owned()),
            reason: None,
            revision: Some(12),
            hash: None,
        }
    }

    const TEXT: &str = "\
payments
  14:02:11Z           5 s ago  circuit closed -> open
  14:02:11Z           9 s ago  does clearly worse since policy revision 12 [guard]: 38% of 240 requests failed
                                 revision 12 changed payments: retry.attempts 1 -> 3
policy
  14:02:11Z          20 s ago  policy revision 12 from policy.yaml [file]
process
  11-22 14:02:11Z           1 d ago  outrigger 0.5.0 started with policy revision 11: the process before vanished
";

    #[test]
    fn neighbours_of_one_subject_stand_under_one_heading_newest_first_with_clock_and_age() {
        let guard =
            change("policy-guard", Some("payments"), "payments: does clearly worse since policy revision 12", 9);
        let guard = Change {
            author: Some("guard".to_owned()),
            reason: Some("38% of 240 requests failed".to_owned()),
            effects: vec!["revision 12 changed payments: retry.attempts 1 -> 3".to_owned()],
            ..guard
        };
        let policy = change("policy-applied", None, "policy revision 12 from policy.yaml", 20);
        let started = change("process-started", None, "outrigger 0.5.0 started with policy revision 11", 86_400);
        let changes = [
            change("circuit", Some("payments"), "payments: circuit closed -> open", 5),
            guard,
            Change { author: Some("file".to_owned()), ..policy },
            Change { reason: Some("the process before vanished".to_owned()), ..started },
        ];
        assert_eq!(render(&changes, false), TEXT);
    }

    #[test]
    fn what_is_foreign_cannot_reach_the_terminal() {
        let changes = [change("circuit", Some("pay\x1b[2J"), "a\x1b[2J", 1)];
        assert!(!render(&changes, false).contains('\x1b'));
    }
}
