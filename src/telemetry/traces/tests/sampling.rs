//! Which requests are exported.

use super::*;
use crate::clock;

fn plan(block: &str, variables: &[(&str, &str)]) -> Arc<Plan> {
    let variables = [variables, &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318")]].concat();
    let (traces, _exporter) = Traces::new(environment(&variables), Arc::default());
    traces.follow(&policy(block)).expect("an endpoint")
}

/// A trace whose low bits are this share of all.
fn trace(share: f64, sampled: Option<bool>) -> TraceContext {
    let id = 1_u128 << 100 | ((share * u64::MAX as f64) as u128);
    match sampled {
        None => TraceContext::create(id, false),
        Some(sampled) => TraceContext::parse(&TraceContext::create(id, sampled).traceparent(1)).unwrap(),
    }
}

#[test]
fn a_caller_decides_for_its_trace_and_the_ratio_for_ours() {
    let plan = plan("tracing: { sampleRatio: 0.25 }", &[("OTEL_TRACES_SAMPLER", "always_off")]);
    assert!(plan.samples(&trace(0.9, Some(true))) && !plan.samples(&trace(0.1, Some(false))));
    assert!(plan.samples(&trace(0.24, None)) && !plan.samples(&trace(0.26, None)));
    assert!(plan.follows_callers());
}

#[test]
fn the_ends_of_the_ratio_are_all_and_nothing() {
    for (ratio, sampled) in [("0.0", false), ("1.0", true)] {
        let plan = plan(&format!("tracing: {{ sampleRatio: {ratio} }}"), &[]);
        for share in [0.0, 0.5, 1.0] {
            assert_eq!(plan.samples(&trace(share, None)), sampled, "{ratio} {share}");
        }
    }
}

#[test]
fn where_the_policy_is_silent_the_environment_names_the_sampler() {
    for (word, argument, ours, inherited, follows) in [
        ("always_on", "", true, true, false),
        ("always_off", "", false, false, false),
        ("traceidratio", "0.5", true, true, false),
        ("parentbased_always_on", "", true, false, true),
        ("parentbased_always_off", "", false, false, true),
        ("parentbased_traceidratio", "0.1", false, false, true),
        ("", "", true, false, true),
    ] {
        let plan = plan("", &[("OTEL_TRACES_SAMPLER", word), ("OTEL_TRACES_SAMPLER_ARG", argument)]);
        let found = (plan.samples(&trace(0.3, None)), plan.samples(&trace(0.3, Some(false))), plan.follows_callers());
        assert_eq!(found, (ours, inherited, follows), "{word}");
    }
}

#[test]
fn what_went_wrong_or_took_long_is_kept_and_the_rest_is_not() {
    let fine = Ended {
        outcome: RequestOutcome::Success,
        elapsed: 999 * MS,
        retried: false,
        upgraded: false,
        at: clock::now(),
    };
    let slow = Ended { elapsed: 1_000 * MS, ..fine };
    let kept = |block: &str, ended| plan(block, &[]).keeps(ended);
    assert_eq!(kept("", fine), None);
    assert_eq!(kept("", slow), Some(Kept::Slow));
    assert_eq!(kept("", Ended { upgraded: true, ..slow }), None, "a tunnel is long, not slow");
    assert_eq!(kept("tracing: { slow: none }", slow), None);
    assert_eq!(kept("tracing: { slow: 2s }", slow), None);
    assert_eq!(kept("", Ended { retried: true, ..fine }), Some(Kept::Retried));
    for outcome in [RequestOutcome::UpstreamError, RequestOutcome::Failed, RequestOutcome::Refused] {
        assert_eq!(kept("", Ended { outcome, ..fine }), Some(Kept::Error));
        assert_eq!(kept("tracing: { errors: false }", Ended { outcome, retried: true, ..fine }), None);
    }
    assert_eq!(kept("", Ended { outcome: RequestOutcome::ClientGone, ..fine }), None);
}

#[test]
fn no_more_are_kept_in_a_second_than_the_policy_says_and_the_others_are_counted() {
    let metrics = crate::telemetry::metrics::Metrics::new();
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318")];
    let (traces, _exporter) = Traces::new(environment(&variables), metrics.spans());
    let plan = traces.follow(&policy("tracing: { keepPerSecond: 3 }")).unwrap();
    let now: Instant = clock::now();
    let granted = |at| (0..5).filter(|_| plan.grants(at, 2)).count();
    assert_eq!((granted(now), granted(now + 1_000 * MS), granted(now + 61_000 * MS)), (3, 3, 3));
    let text = metrics.render(&[]);
    assert!(text.contains("outrigger_spans_dropped_total{reason=\"keep-limit\"} 12\n"), "{text}");
}
