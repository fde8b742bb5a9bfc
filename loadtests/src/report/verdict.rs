//! One sentence per scenario and arm of ours: how it stands next to the peers.

use crate::gates::{is_ours, is_peer};
use crate::report::metric::{Better, Metric};
use crate::report::sheet::{Row, reference, rows, shown};
use crate::results::{Mode, ScenarioRun};

/// Below this share of successes a scenario without faults is about effect, too.
const ALL_WELL: f64 = 0.9995;

/// How an arm of ours stands next to a peer, by one figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Ahead,
    /// The rounds of both reach into one another.
    Level,
    Behind,
}

/// What a scenario says about one arm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The figure that is compared, and how it stands; `None` without a peer.
    pub standing: Option<(Metric, Standing)>,
    /// `outrigger 99.91 % at 1.09 attempts; best peer envoy 97.20 % at 1.21`.
    pub text: String,
}

impl Standing {
    /// In a word.
    pub const fn word(self) -> &'static str {
        match self {
            Standing::Ahead => "ahead",
            Standing::Level => "level",
            Standing::Behind => "behind",
        }
    }
}

impl Verdict {
    /// `success ahead`; empty without a peer.
    pub fn badge(&self) -> String {
        self.standing.map_or_else(String::new, |(metric, standing)| format!("{} {}", metric.head(), standing.word()))
    }
}

/// One verdict per arm of ours that played; without one, one that names the best peer; none without figures that may
/// be used.
pub fn verdicts(scenario: &ScenarioRun) -> Vec<Verdict> {
    if !scenario.invalid.is_empty() {
        return Vec::new();
    }
    let rows = rows(scenario);
    let ours: Vec<&Row<'_>> = rows.iter().filter(|row| is_ours(&row.arm.arm) && row.summary.valid > 0).collect();
    let lead = lead(scenario, &rows);
    if ours.is_empty() {
        let peer = best(&rows, lead).or_else(|| rows.iter().find(|row| row.summary.of(lead).is_some()));
        return peer.map(|peer| Verdict { standing: None, text: phrase(lead, peer, &rows) }).into_iter().collect();
    }
    ours.into_iter().map(|row| verdict(row, &rows, lead)).collect()
}

/// The figure that the scenario is about.
fn lead(scenario: &ScenarioRun, rows: &[Row<'_>]) -> Metric {
    let has = |metric| rows.iter().any(|row| row.summary.of(metric).is_some());
    let fails = |row: &Row<'_>| row.summary.of(Metric::Success).is_some_and(|figure| figure.median < ALL_WELL);
    if scenario.load.mode == Mode::Closed && has(Metric::PerCore) {
        Metric::PerCore
    } else if scenario.faults.is_empty() && has(Metric::Cpu) && !rows.iter().any(fails) {
        Metric::Cpu
    } else {
        Metric::Success
    }
}

/// The peer to name: the best one where users fared better or worse, the customary reference where it is about cost.
fn best<'r, 'a>(rows: &'r [Row<'a>], lead: Metric) -> Option<&'r Row<'a>> {
    if lead != Metric::Success {
        return reference(rows, lead).filter(|row| is_peer(&row.arm.arm));
    }
    let key = |row: &&Row<'_>| {
        let of = |metric| row.summary.of(metric).map(|figure| figure.median);
        of(Metric::Success).map(|success| (success, of(Metric::Amplification).unwrap_or(f64::INFINITY)))
    };
    let peers = rows.iter().filter(|row| is_peer(&row.arm.arm)).filter_map(|row| key(&row).map(|key| (row, key)));
    // Of equals the one that took fewer attempts.
    peers.max_by(|(_, a), (_, b)| a.0.total_cmp(&b.0).then_with(|| b.1.total_cmp(&a.1))).map(|(row, _)| row)
}

fn verdict(row: &Row<'_>, rows: &[Row<'_>], lead: Metric) -> Verdict {
    let peer = best(rows, lead);
    let own = phrase(lead, row, rows);
    let Some(peer) = peer else {
        return Verdict { standing: None, text: own };
    };
    let standing = row.summary.of(lead).zip(peer.summary.of(lead)).map(|(own, other)| {
        let ahead = match lead.better() {
            Better::Higher => own.median > other.median,
            Better::Lower => own.median < other.median,
        };
        let standing = match (own.overlaps(&other), ahead) {
            (true, _) => Standing::Level,
            (false, true) => Standing::Ahead,
            (false, false) => Standing::Behind,
        };
        (lead, standing)
    });
    let which = if lead == Metric::Success { "best peer " } else { "" };
    Verdict { standing, text: format!("{own}; {which}{}", phrase(lead, peer, rows)) }
}

/// What there is to say of one arm.
fn phrase(lead: Metric, row: &Row<'_>, rows: &[Row<'_>]) -> String {
    let name = &row.arm.arm;
    let figure = |metric: Metric| row.summary.of(metric);
    let say = |metric: Metric| figure(metric).map(|it| format!("{}{}", shown(metric, &it), unit_behind(metric, &it)));
    let Some(value) = say(lead) else {
        return format!("{name}: no valid round");
    };
    let ratio = reference(rows, lead)
        .filter(|base| base.arm.arm != *name)
        .and_then(|base| Some((base, figure(lead)?.median / base.summary.of(lead)?.median)))
        .filter(|(_, ratio)| ratio.is_finite())
        .map(|(base, ratio)| format!(", {ratio:.2} × {}", base.arm.arm))
        .unwrap_or_default();
    let mut text = if lead == Metric::PerCore {
        format!("{name} {value} per core{ratio}")
    } else if lead == Metric::Cpu {
        let added = say(Metric::P99Added).map(|added| format!(", p99 {} over direct", signed(added)));
        format!("{name} {value} CPU per request{ratio}{}", added.unwrap_or_default())
    } else {
        let attempts = say(Metric::Amplification).map(|attempts| format!(" at {attempts} attempts"));
        format!("{name} {value}{}", attempts.unwrap_or_default())
    };
    if let Some(recovery) = figure(Metric::Recovery) {
        text.push_str(&match recovery.median {
            0.0 => ", recovers at once".to_owned(),
            never if never.is_infinite() => ", never recovers".to_owned(),
            after => format!(", recovers after {}", Metric::Recovery.show_with_unit(after)),
        });
    }
    match figure(Metric::DuplicatedKeys).map(|figure| figure.max) {
        Some(twice) if twice > 0.0 => {
            text.push_str(&format!(", {} keys executed twice", Metric::DuplicatedKeys.show(twice)));
        }
        Some(_) => text.push_str(", no key executed twice"),
        None => {}
    }
    text
}

/// The unit, unless the value is a word.
fn unit_behind(metric: Metric, figure: &crate::report::summary::Figure) -> &'static str {
    if figure.median.is_finite() { metric.unit().suffix() } else { "" }
}

/// With its sign.
fn signed(text: String) -> String {
    if text.starts_with('−') { text } else { format!("+{text}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example::{arm, fault, round, scenario, unable, with_cpu, with_latency, with_seconds};
    use crate::results::{ArmRun, Round};

    fn texts(scenario: &ScenarioRun) -> Vec<(String, String)> {
        verdicts(scenario).into_iter().map(|verdict| (verdict.badge(), verdict.text)).collect()
    }

    fn brownout(arms: Vec<ArmRun>) -> ScenarioRun {
        ScenarioRun { faults: vec![fault("33 % fail", 10.0, 30.0)], arms, ..scenario("brownout") }
    }

    fn retrying(ok: u64, upstream: u64) -> Round {
        let mut round = round(10_000, ok);
        round.upstream.requests = upstream;
        round
    }

    fn say(text: &str, badge: &str) -> Vec<(String, String)> {
        vec![(badge.to_owned(), text.to_owned())]
    }

    #[test]
    fn under_faults_success_and_attempts_are_said_beside_the_best_peer() {
        let arms = vec![
            arm("direct", vec![retrying(6_700, 10_000)]),
            arm("outrigger", vec![retrying(9_990, 10_900)]),
            arm("nginx", vec![retrying(6_800, 10_000)]),
            arm("envoy", vec![retrying(9_720, 12_100)]),
        ];
        assert_eq!(
            texts(&brownout(arms)),
            say("outrigger 99.90 % at 1.09 attempts; best peer envoy 97.20 % at 1.21 attempts", "success ahead")
        );
    }

    #[test]
    fn a_peer_that_does_better_is_said_to_do_so() {
        let arms = vec![arm("outrigger", vec![retrying(9_000, 10_000)]), arm("envoy", vec![retrying(9_720, 12_100)])];
        assert_eq!(texts(&brownout(arms))[0].0, "success behind");
    }

    #[test]
    fn rounds_that_reach_into_one_another_are_level() {
        let rounds = |a, b| vec![retrying(a, 10_000), retrying(b, 10_000)];
        let arms = vec![arm("outrigger", rounds(9_000, 9_900)), arm("envoy", rounds(8_900, 9_100))];
        assert_eq!(texts(&brownout(arms))[0].0, "success level");
    }

    #[test]
    fn without_faults_cost_is_said_as_a_multiple_of_the_reference() {
        let with = |cpu, p99| with_latency(with_cpu(round(10_000, 10_000), cpu, 15.0), [100, 200, p99, p99, p99]);
        let direct = with_latency(round(10_000, 10_000), [100, 200, 300, 300, 300]);
        let arms = vec![
            arm("direct", vec![direct]),
            arm("outrigger", vec![with(5.0, 500)]),
            arm("haproxy", vec![with(10.0, 290)]),
        ];
        assert_eq!(
            texts(&ScenarioRun { arms, ..scenario("steady") }),
            say(
                "outrigger 20.0 µs CPU per request, 0.80 × haproxy, p99 +0.20 ms over direct; \
                 haproxy 25.0 µs CPU per request, p99 −0.01 ms over direct",
                "CPU ahead"
            )
        );
    }

    #[test]
    fn saturation_says_requests_per_core() {
        let mut scenario = scenario("saturation");
        scenario.load.mode = Mode::Closed;
        scenario.arms = vec![arm("outrigger", vec![with_cpu(round(1_000_000, 1_000_000), 20.0, 0.0)])];
        assert_eq!(texts(&scenario), say("outrigger ≥ 33,333/s per core", ""));
    }

    #[test]
    fn recovery_and_keys_are_said_where_they_are_known() {
        let mut keyed = with_seconds(retrying(9_000, 10_000), &[100, 0, 0, 100]);
        (keyed.upstream.keys, keyed.upstream.executions_max) = (100, 1);
        let mut twice = with_seconds(retrying(9_000, 10_000), &[100, 0, 0, 50]);
        (twice.upstream.keys, twice.upstream.executions_max, twice.upstream.keys_executed_twice) = (100, 2, 12);
        let mut scenario = brownout(vec![arm("outrigger", vec![keyed]), arm("envoy", vec![twice])]);
        (scenario.seconds, scenario.faults) = (4.0, vec![fault("stall", 1.0, 2.0)]);
        assert_eq!(
            texts(&scenario)[0].1,
            "outrigger 90.00 % at 1.00 attempts, recovers after 1 s, no key executed twice; \
             best peer envoy 90.00 % at 1.00 attempts, never recovers, 12 keys executed twice"
        );
    }

    #[test]
    fn every_arm_of_ours_has_a_verdict_and_without_one_the_best_peer_is_named() {
        let with = |name| arm(name, vec![retrying(9_000, 10_000)]);
        let both = brownout(vec![with("outrigger"), with("outrigger-b")]);
        assert_eq!(verdicts(&both).len(), 2);
        let none = brownout(vec![with("direct"), with("envoy"), unable("outrigger", "no")]);
        assert_eq!(texts(&none), say("envoy 90.00 % at 1.00 attempts", ""));
        assert_eq!(texts(&brownout(vec![with("direct")])), say("direct 90.00 % at 1.00 attempts", ""));
        assert_eq!(texts(&brownout(Vec::new())), Vec::new());
    }

    #[test]
    fn figures_that_must_not_be_used_have_no_verdict() {
        let arms = vec![arm("outrigger", vec![retrying(9_000, 10_000)])];
        assert_eq!(texts(&ScenarioRun { invalid: vec!["noise".to_owned()], ..brownout(arms) }), Vec::new());
    }

    #[test]
    fn nothing_asked_is_no_verdict_and_no_panic() {
        assert_eq!(texts(&brownout(vec![arm("outrigger", vec![round(0, 0)])])), say("outrigger: no valid round", ""));
    }
}
