//! Whether retries help, as it is told: numbers and a sentence per route and class of failure.

use std::time::Instant;

use super::Core;
use crate::admin::api::{ByAttempt, Holdout, RetryReport};
use crate::admin::words;
use crate::clock;
use crate::policy::Direction;
use crate::reliability::efficacy::{Effect, FailureClass, Helpfulness, Report, WINDOW};
use crate::reliability::statistics::{Z95, wilson};
use crate::reliability::verdict::history::Latencies;
use crate::telemetry::metrics::RetryGauge;
use crate::upstreams::retries::RouteRetries;

/// Of every upstream of the policy in force, in its order; of each route all classes together, then each.
pub fn reports(core: &Core) -> Vec<RetryReport> {
    let now = clock::now();
    let mut reports = Vec::new();
    for (upstream, gated, routes) in all(core, now) {
        for route in &routes {
            reports.extend(route.reports.iter().map(|report| told(&upstream, gated, route, report)));
        }
    }
    reports
}

/// Tells the metrics what is known. To be called before a scrape.
pub fn measure(core: &Core) {
    let mut gauges = Vec::new();
    for (upstream, _, routes) in all(core, clock::now()) {
        for RouteRetries { route, reports, .. } in routes {
            let Some(report) = reports.first() else { continue };
            gauges.push(RetryGauge {
                upstream: upstream.clone(),
                route: route.to_string(),
                rescued: report.all_tries.rescued(),
                wasted: report.all_tries.wasted(),
                verdict: report.verdict,
            });
        }
    }
    core.metrics.retries_seen(gauges);
}

/// Name, whether its budget holds retries to probes, and its routes.
fn all(core: &Core, now: Instant) -> Vec<(String, bool, Vec<RouteRetries>)> {
    let Some(proxy) = core.proxy.get() else { return Vec::new() };
    let snapshot = proxy.snapshot.load_full();
    let outbound = snapshot.upstreams.iter().zip(&snapshot.policy.upstreams);
    outbound
        .filter(|(_, policy)| policy.direction == Direction::Outbound)
        .map(|(upstream, policy)| {
            let gated = upstream.decide(|dependency| dependency.budget.gated());
            (upstream.name.to_string(), gated, upstream.retries(&policy.routes, now))
        })
        .collect()
}

fn told(upstream: &str, gated: bool, route: &RouteRetries, report: &Report) -> RetryReport {
    let (tries, counts) = (&report.tries, &report.counts);
    let (retries, rescued) = (tries.retries(), tries.rescued());
    let (low, high) = wilson(rescued, retries, Z95);
    let ratio = |part: u64, whole: u64| (whole > 0).then(|| rounded(part as f64 / whole as f64));
    let millis = |taxes: &Latencies, q| taxes.quantile(q).map(|tax| rounded(tax.as_secs_f64() * 1e3));
    let by_place = counts.by_place.iter().zip(2..).filter(|(share, _)| share.tried > 0);
    RetryReport {
        upstream: upstream.to_owned(),
        route: route.route.to_string(),
        class: report.class.map(|class| class.token().to_owned()),
        verdict: report.verdict.token().to_owned(),
        text: sentence(upstream, gated, &route.route, report),
        window_seconds: WINDOW.as_secs(),
        requests: report.requests,
        first_failed: counts.first_failed,
        retries,
        rescued,
        wasted: tries.wasted(),
        efficiency: ratio(rescued, retries),
        efficiency_low: rounded(low),
        efficiency_high: rounded(high),
        rescue_rate: ratio(rescued, counts.retried),
        uplift_percent: ratio(rescued * 100, report.requests).unwrap_or(0.0),
        amplification: rounded(load(report)),
        price: ratio(retries, rescued),
        rescued_tax_p50_ms: millis(&counts.rescued_tax, 0.5),
        rescued_tax_p99_ms: millis(&counts.rescued_tax, 0.99),
        failed_tax_p50_ms: millis(&counts.failed_tax, 0.5),
        failed_tax_p99_ms: millis(&counts.failed_tax, 0.99),
        elsewhere_efficiency: counts.elsewhere.ratio().map(rounded),
        same_efficiency: counts.same.ratio().map(rounded),
        by_attempt: by_place
            .map(|(share, attempt)| ByAttempt { attempt, retries: share.tried, good: share.good })
            .collect(),
        wasted_seconds: rounded(counts.wasted_time.as_secs_f64()),
        denied: counts.denials().map(|(reason, count)| (reason.token().to_owned(), count)).collect(),
        gated: gated || report.held,
        holdout: holdout(route.holdout_percent, report),
        lifetime_retries: report.all_tries.retries(),
        lifetime_rescued: report.all_tries.rescued(),
    }
}

/// Four places: more would be read as if it were known.
fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

/// Attempts per request, as far as these retries add to them.
fn load(report: &Report) -> f64 {
    1.0 + report.tries.retries() as f64 / report.requests.max(1) as f64
}

fn holdout(percent: f64, report: &Report) -> Option<Holdout> {
    let control = &report.control;
    if percent == 0.0 && control.control == 0 {
        return None;
    }
    let effect = control.effect();
    let part = |of: fn(&Effect) -> f64| effect.as_ref().map(|effect| rounded(of(effect) * 100.0));
    Some(Holdout {
        percent,
        treated: control.treated,
        treated_succeeded: control.treated_succeeded,
        control: control.control,
        control_succeeded: control.control_succeeded,
        effect_percent: part(|effect| effect.difference),
        effect_low_percent: part(|effect| effect.low),
        effect_high_percent: part(|effect| effect.high),
    })
}

const fn after(class: FailureClass) -> &'static str {
    match class {
        FailureClass::Connect => "failed connections",
        FailureClass::Reset => "broken connections",
        FailureClass::Timeout => "timeouts",
        FailureClass::Error => "errors",
        FailureClass::Overload => "answers that ask for less",
    }
}

/// What a reader wants to know first, with the numbers that it rests on.
fn sentence(upstream: &str, gated: bool, route: &str, report: &Report) -> String {
    let mut subject = format!("Retries of {upstream}/{route}");
    if let Some(class) = report.class {
        subject.push_str(&format!(" after {}", after(class)));
    }
    let (retries, rescued) = (report.tries.retries(), report.tries.rescued());
    let numbers = || {
        let (low, high) = wilson(rescued, retries, Z95);
        let (some, of) = (words::grouped(rescued), words::grouped(retries));
        let (low, high, load) = (low * 100.0, high * 100.0, load(report));
        format!("{some} of {of} rescued ({low:.1}–{high:.1}%), {load:.1}x load")
    };
    let mut text = match report.verdict {
        Helpfulness::Unknown if retries == 0 => {
            format!("{subject}: none within {}", words::span(WINDOW))
        }
        Helpfulness::Unknown => {
            let (some, of) = (words::grouped(rescued), words::grouped(retries));
            format!("{subject}: too few to tell, {some} of {of} rescued")
        }
        Helpfulness::Helping => format!("{subject} help: {}", numbers()),
        Helpfulness::Marginal => format!("{subject} help now and then: {}", numbers()),
        Helpfulness::NotHelping => format!("{subject} do not help: {}", numbers()),
        Helpfulness::Harmful => format!("{subject} do harm, the dependency gets worse under them: {}", numbers()),
    };
    if report.held && (report.class.is_some() || report.verdict.holds()) {
        text.push_str("; they are held to one probe per 10 s");
    } else if report.held {
        text.push_str("; those after some failures are held to one probe per 10 s");
    } else if gated {
        text.push_str(&format!("; the budget of {upstream} holds them to probes, as few of the last ones rescued"));
    }
    text.push('.');
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::reliability::efficacy::{Ledgers, Retried, RouteNumber};

    const ROUTE: RouteNumber = RouteNumber(1);

    fn route(good: u64, bad: u64) -> RouteRetries {
        let now = clock::now();
        let mut ledgers = Ledgers::default();
        ledgers.keep(now, [ROUTE]);
        for number in 0..good + bad {
            ledgers.on_request(now, ROUTE);
            let took = Duration::from_millis(100);
            let retried = Retried { place: 1, elsewhere: Some(true), good: number < good, took };
            ledgers.on_retried(now, ROUTE, FailureClass::Timeout, retried);
        }
        (0..20).for_each(|_| ledgers.on_request(now, ROUTE));
        RouteRetries { route: "charge".into(), holdout_percent: 0.0, reports: ledgers.reports(now, ROUTE) }
    }

    fn report(good: u64, bad: u64) -> RetryReport {
        let route = route(good, bad);
        told("payments", false, &route, &route.reports[1])
    }

    #[test]
    fn the_sentence_says_what_is_known_and_what_follows() {
        assert_eq!(
            report(2, 208).text,
            "Retries of payments/charge after timeouts do not help: 2 of 210 rescued (0.3–3.4%), 1.9x load; they are held to one \
             probe per 10 s."
        );
        let helping = "Retries of payments/charge after timeouts help: 200 of 210 rescued (91.5–97.4%), 1.9x load.";
        assert_eq!(report(200, 10).text, helping);
        let few = "Retries of payments/charge after timeouts: too few to tell, 1 of 4 rescued.";
        assert_eq!(report(1, 3).text, few);
        let route = route(0, 4);
        let of_all = told("payments", true, &route, &route.reports[0]);
        let text = "Retries of payments/charge: too few to tell, 0 of 4 rescued; the budget of payments holds them to \
                    probes, as few of the last ones rescued.";
        assert_eq!((of_all.text.as_str(), of_all.gated, of_all.class), (text, true, None));
    }

    #[test]
    fn the_numbers_fit_each_other() {
        let report = report(50, 150);
        assert_eq!((report.retries, report.rescued, report.wasted), (200, 50, 150));
        assert_eq!((report.requests, report.efficiency, report.price), (220, Some(0.25), Some(4.0)));
        assert_eq!((report.amplification, report.uplift_percent), (1.9091, 22.7273));
        assert_eq!((report.elsewhere_efficiency, report.same_efficiency), (Some(0.25), None));
        assert_eq!((report.by_attempt.len(), report.by_attempt[0].attempt), (1, 2));
        assert_eq!((report.wasted_seconds, report.verdict.as_str(), report.holdout), (15.0, "marginal", None));
    }
}
