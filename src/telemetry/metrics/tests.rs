use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use http::Method;

use super::*;
use crate::reliability::attempts::{Denied, Kind};
use crate::upstreams::view::{BudgetView, CircuitView, EndpointView, HedgeView, LimitsView, TotalsView};

const MS: Duration = Duration::from_millis(1);

fn view(name: &str, direction: Direction) -> UpstreamView {
    UpstreamView {
        name: name.into(),
        direction: direction.as_str().into(),
        endpoints: vec![endpoint(None), endpoint(Some(500))],
        endpoint_set_age_seconds: 1,
        resolve_error: None,
        panic: false,
        checks_ignored: false,
        circuit: Some(CircuitView {
            state: "half-open".into(),
            held: None,
            retry_after_ms: None,
            failure_percent: 0.0,
            slow_percent: 0.0,
            samples: 0,
            throttle_rejection: 0.0,
        }),
        budget: BudgetView { remaining_ratio: 0.5, gated: false },
        limits: LimitsView {
            in_flight: 3,
            in_flight_max: 10,
            in_force: 10,
            pending: 1,
            pending_max: 10,
            found: None,
            shed: Vec::new(),
            shed_per_second: Vec::new(),
        },
        p50_ms: None,
        p99_ms: None,
        rate_limits: Vec::new(),
        observed: Vec::new(),
        totals: TotalsView { requests: 4, attempts: 6, ..TotalsView::default() },
        hedges: vec![HedgeView {
            route: "search".into(),
            delay_ms: Some(25.0),
            won: 3,
            lost: 1,
            suppressed: vec![("panic".into(), 2)],
            cancelled_seconds: 1.5,
            ..HedgeView::default()
        }],
    }
}

fn endpoint(ejected_for_ms: Option<u64>) -> EndpointView {
    EndpointView {
        address: "127.0.0.1:1".into(),
        pending: 0,
        open_connections: 2,
        idle_connections: 1,
        ewma_ms: 1.0,
        failure_percent: 0.0,
        samples: 0,
        ejected_for_ms,
        last_failure: None,
        health: None,
        zone: None,
    }
}

/// The value of the only line that holds all of `parts`.
fn value(text: &str, parts: &[&str]) -> f64 {
    let hit = |line: &&str| !line.starts_with('#') && parts.iter().all(|part| line.contains(part));
    let lines: Vec<&str> = text.lines().filter(hit).collect();
    assert_eq!(lines.len(), 1, "{parts:?} matches {lines:#?}");
    lines[0].rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn hedges_are_counted_by_what_they_came_to_and_why_they_were_not_sent() {
    let text = Metrics::new().render(&[view("payments", Direction::Outbound)]);
    let hedges = |result: &str| value(&text, &["outrigger_hedges_total", "route=\"search\"", result]);
    assert_eq!((hedges("\"won\""), hedges("\"lost\""), hedges("\"observed\"")), (3.0, 1.0, 0.0));
    assert_eq!(hedges("result=\"suppressed\",reason=\"panic\""), 2.0);
    assert_eq!(value(&text, &["outrigger_hedge_cancelled_seconds_total{"]), 1.5);
    assert_eq!(value(&text, &["outrigger_hedge_delay_seconds{"]), 0.025);
}

#[test]
fn what_retries_achieved_is_counted_and_exactly_one_verdict_holds() {
    use crate::reliability::efficacy::Helpfulness;
    let metrics = Metrics::new();
    metrics.retries_seen(vec![RetryGauge {
        upstream: "payments".into(),
        route: "charge".into(),
        rescued: 2,
        wasted: 208,
        verdict: Helpfulness::NotHelping,
    }]);
    let text = metrics.render(&[]);
    assert_eq!(value(&text, &["outrigger_retry_attempts_total", "result=\"rescued\""]), 2.0);
    assert_eq!(value(&text, &["outrigger_retry_attempts_total", "result=\"wasted\""]), 208.0);
    assert_eq!(value(&text, &["outrigger_retry_verdict", "verdict=\"not-helping\""]), 1.0);
    let verdicts: f64 = Helpfulness::ALL
        .iter()
        .map(|verdict| value(&text, &["outrigger_retry_verdict", &format!("verdict=\"{}\"", verdict.token())]))
        .sum();
    assert_eq!(verdicts, 1.0);
}

#[test]
fn certificates_say_until_when_they_are_valid_and_whether_new_ones_were_refused() {
    let text = populated();
    let presented = ["direction=\"inbound\"", "upstream=\"app\"", "role=\"presented\""];
    let of = |name: &str| value(&text, &[&[name], presented.as_slice()].concat());
    assert_eq!(of("outrigger_certificate_not_after_timestamp_seconds{"), 2e9);
    assert_eq!(of("outrigger_certificate_lifetime_seconds{"), 86_400.0);
    assert_eq!(value(&text, &["outrigger_certificate_reload_failed{", "upstream=\"app\""]), 1.0);
    assert!(!text.contains("role=\"believed\""), "what is not there has no series");
    assert_eq!(value(&text, &["outrigger_tls_refused_total{", "reason=\"identity\""]), 1.0);
}

fn populated() -> String {
    let metrics = Metrics::new();
    metrics.tls_refused(Direction::Inbound, "app", "identity");
    metrics.certificates_held(vec![CertificateGauge {
        direction: "inbound",
        upstream: "app".to_owned(),
        presented: Some((2_000_000_000, 86_400)),
        believed: None,
        refused: true,
    }]);
    for (direction, upstream) in [(Direction::Outbound, "payments"), (Direction::Inbound, "app")] {
        let route = metrics.route(direction, upstream, "charge");
        for outcome in RequestOutcome::ALL {
            route.request(&Method::GET, 200, None, outcome, MS);
        }
        for kind in [Kind::First, Kind::Retry, Kind::Transparent, Kind::Hedge] {
            route.attempt(kind, &Method::POST, AttemptEnd::Status(503), MS);
            route.attempt(kind, &Method::POST, AttemptEnd::Failed(Failure::TryTimeout), MS);
            route.attempt(kind, &Method::POST, AttemptEnd::Cancelled, MS);
        }
        route.retried(true);
        route.retry_denied(Denied::BodyTooLarge);
        let meters = metrics.upstream(direction, upstream);
        meters.connection_opened();
        meters.connection_reused();
        meters.circuit_transition("closed", "open");
        meters.ejected();
        meters.endpoint_set_changed();
    }
    metrics.policy_applied("abc", 7, 1.5e9);
    metrics.policy_rejected();
    metrics.render(&[view("payments", Direction::Outbound), view("app", Direction::Inbound)])
}

/// Needs `promtool` (Debian package `prometheus`); its absence fails the test instead of hiding it.
fn promtool(text: &str) {
    let command =
        Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = command.expect("promtool is needed: apt-get install prometheus");
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn promtool_accepts_the_scrape_of_a_busy_process_and_of_an_idle_one() {
    promtool(&populated());
    promtool(&Metrics::new().render(&[]));
}

#[test]
fn every_series_has_help_and_type_and_no_series_appears_twice() {
    let text = populated();
    let mut seen = std::collections::HashSet::new();
    for line in text.lines().filter(|l| !l.starts_with('#') && !l.is_empty()) {
        let series = line.rsplit_once(' ').unwrap().0;
        assert!(seen.insert(series), "twice: {series}");
        let name = series.split('{').next().unwrap();
        let stem = ["_bucket", "_sum", "_count"].iter().find_map(|s| name.strip_suffix(s)).unwrap_or(name);
        for header in ["HELP", "TYPE"] {
            assert_eq!(text.matches(&format!("# {header} {stem} ")).count(), 1, "{header} {stem}");
        }
    }
}

#[test]
fn a_label_never_holds_the_raw_method_and_failures_with_one_error_type_share_a_series() {
    let metrics = Metrics::new();
    let route = metrics.route(Direction::Outbound, "p", "r");
    for method in ["PURGE", "get", "PROPFIND"] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        route.request(&method, 504, Some(Failure::TryTimeout), RequestOutcome::Failed, MS);
        route.request(&method, 504, Some(Failure::DeadlineExceeded), RequestOutcome::Failed, MS);
    }
    let text = metrics.render(&[]);
    let labels = ["server_request_duration_seconds_count", "_OTHER", "504", "error_type=\"http_response_timeout\""];
    assert_eq!(value(&text, &labels), 6.0);
}

#[test]
fn error_type_follows_opentelemetry_on_both_sides() {
    let metrics = Metrics::new();
    let route = metrics.route(Direction::Outbound, "p", "r");
    route.request(&Method::GET, 404, None, RequestOutcome::Success, MS);
    route.request(&Method::GET, 503, None, RequestOutcome::UpstreamError, MS);
    route.request(&Method::GET, 499, Some(Failure::ClientGone), RequestOutcome::ClientGone, MS);
    route.attempt(Kind::First, &Method::GET, AttemptEnd::Status(404), MS);
    route.attempt(Kind::First, &Method::GET, AttemptEnd::Cancelled, MS);
    let text = metrics.render(&[]);
    let server = |labels: &str| value(&text, &["http_server_request_duration_seconds_count", labels]);
    assert_eq!(server("http_request_method=\"GET\",http_response_status_code=\"404\"}"), 1.0);
    assert_eq!(server("http_response_status_code=\"503\",error_type=\"503\"}"), 1.0);
    assert_eq!(server("http_route=\"p/r\",http_request_method=\"GET\"}"), 1.0, "client gone: no status, no error");
    let client = |labels: &str| value(&text, &["http_client_request_duration_seconds_count", labels]);
    assert_eq!(client("http_response_status_code=\"404\",error_type=\"404\"}"), 1.0);
    assert_eq!(client("server_address=\"p\",http_request_method=\"GET\"}"), 1.0, "cancelled: no error");
}

#[test]
fn effective_and_actual_load_are_counted_apart() {
    let metrics = Metrics::new();
    let route = metrics.route(Direction::Outbound, "p", "r");
    route.attempt(Kind::First, &Method::GET, AttemptEnd::Failed(Failure::ConnectionRefused), MS);
    route.attempt(Kind::Transparent, &Method::GET, AttemptEnd::Status(200), MS);
    route.request(&Method::GET, 200, None, RequestOutcome::Success, MS);
    route.retried(true);
    route.retry_denied(Denied::Budget);
    let text = metrics.render(&[]);
    assert_eq!(value(&text, &["outrigger_requests_total", "outcome=\"success\""]), 1.0);
    assert_eq!(value(&text, &["outrigger_attempts_total", "kind=\"first\"", "outcome=\"failed\""]), 1.0);
    assert_eq!(value(&text, &["outrigger_attempts_total", "kind=\"transparent\"", "outcome=\"success\""]), 1.0);
    assert_eq!(value(&text, &["outrigger_retries_total", "result=\"rescued\""]), 1.0);
    assert_eq!(value(&text, &["outrigger_retries_total", "result=\"suppressed\"", "reason=\"budget\""]), 1.0);
}

#[test]
fn the_same_labels_give_the_same_handles_after_a_reload() {
    let metrics = Metrics::new();
    let before = metrics.route(Direction::Outbound, "p", "r");
    assert!(Arc::ptr_eq(&before, &metrics.route(Direction::Outbound, "p", "r")));
    assert!(!Arc::ptr_eq(&before, &metrics.route(Direction::Inbound, "p", "r")));
    let upstream = metrics.upstream(Direction::Outbound, "p");
    assert!(Arc::ptr_eq(&upstream, &metrics.upstream(Direction::Outbound, "p")));
}

#[test]
fn gauges_of_a_removed_upstream_end_with_it() {
    let metrics = Metrics::new();
    let text = metrics.render(&[view("payments", Direction::Outbound), view("ledger", Direction::Outbound)]);
    assert_eq!(value(&text, &["outrigger_inflight{", "ledger"]), 3.0);
    assert_eq!(value(&text, &["outrigger_inflight_limit", "ledger"]), 10.0);
    assert_eq!(value(&text, &["outrigger_pending_limit", "ledger"]), 10.0);
    assert_eq!(value(&text, &["outrigger_endpoints{", "ledger", "ejected"]), 1.0);
    assert_eq!(value(&text, &["outrigger_connections{", "ledger", "active"]), 2.0);
    assert_eq!(value(&text, &["outrigger_circuit_state", "ledger", "half-open"]), 1.0);
    assert_eq!(value(&text, &["outrigger_circuit_state", "ledger", "closed"]), 0.0);
    assert_eq!(value(&text, &["outrigger_amplification_ratio", "ledger"]), 1.5);
    assert!(!metrics.render(&[view("payments", Direction::Outbound)]).contains("ledger"));
}

#[test]
fn a_refused_policy_shows_until_a_good_one_is_applied() {
    let metrics = Metrics::new();
    metrics.policy_applied("abc", 1, 100.0);
    metrics.policy_rejected();
    let text = metrics.render(&[]);
    assert_eq!(value(&text, &["outrigger_policy_reload_failed"]), 1.0);
    assert_eq!(value(&text, &["outrigger_policy_info", "hash=\"abc\""]), 1.0);
    metrics.policy_applied("def", 2, 200.0);
    let text = metrics.render(&[]);
    assert_eq!(value(&text, &["outrigger_policy_reload_failed"]), 0.0);
    assert_eq!(value(&text, &["outrigger_policy_reloads_total", "success"]), 2.0);
    assert_eq!(value(&text, &["outrigger_policy_reloads_total", "failure"]), 1.0);
    assert_eq!(value(&text, &["outrigger_policy_last_reload_timestamp_seconds"]), 200.0);
    assert!(!text.contains("abc"));
}

#[test]
fn a_hundred_thousand_hostile_label_sets_stay_below_the_limit_and_none_is_lost() {
    let metrics = Metrics::new();
    let routes: Vec<_> = (0..50).map(|i| metrics.route(Direction::Outbound, "p", &format!("r{i}"))).collect();
    for i in 0..100_000_u32 {
        let method = Method::from_bytes(format!("M{i}").as_bytes()).unwrap();
        let method = if i % 3 == 0 { &Method::GET } else { &method };
        routes[i as usize % 50].request(method, (i / 50 % 900) as u16 + 100, None, RequestOutcome::Success, MS);
    }
    let text = metrics.render(&[]);
    assert!(value(&text, &["outrigger_metric_series "]) <= SERIES_MAX as f64);
    assert!(value(&text, &["outrigger_metric_overflows_total"]) > 0.0);
    let counted = |l: &&str| l.starts_with("http_server_request_duration_seconds_count");
    let total: f64 = text.lines().filter(counted).map(|l| l.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum();
    assert_eq!(total, 100_000.0);
    // Half of the room, and the overflow series that each route has beside it.
    assert_eq!(text.lines().filter(counted).count(), SERIES_MAX / 2 + 50);
    promtool(&text);

    let late = metrics.route(Direction::Outbound, "p", "late");
    late.request(&Method::GET, 200, None, RequestOutcome::Success, MS);
    let text = metrics.render(&[]);
    let found = value(&text, &["outrigger_requests_total", "route=\"late\"", "outcome=\"success\""]);
    assert_eq!(found, 1.0, "traffic must not take the room of a later policy");
}

#[test]
fn routes_beyond_the_limit_count_in_one_marked_series_per_metric() {
    let metrics = Metrics::with_series_max(14);
    let first = metrics.route(Direction::Outbound, "p", "fits");
    let second = metrics.route(Direction::Outbound, "p", "does-not");
    first.request(&Method::GET, 200, None, RequestOutcome::Success, MS);
    second.request(&Method::GET, 200, None, RequestOutcome::Success, MS);
    let text = metrics.render(&[]);
    assert_eq!(value(&text, &["outrigger_requests_total", "route=\"fits\"", "outcome=\"success\""]), 1.0);
    assert_eq!(value(&text, &["outrigger_requests_total", "otel_metric_overflow=\"true\""]), 1.0);
}

#[test]
fn what_is_rare_takes_the_room_of_one_series_however_often_it_happens() {
    let metrics = Metrics::with_series_max(20);
    for _ in 0..100 {
        metrics.unrouted(Direction::Outbound, "no-route");
        metrics.letter_captured("payments", Cause::Deadline, Class::NotExecuted);
        metrics.letter_lost("payments", "full");
    }
    metrics.letter_lost("refunds", "full");
    let text = metrics.render(&[]);
    assert_eq!(value(&text, &["outrigger_metric_series "]), 4.0, "{text}");
    assert_eq!(value(&text, &["outrigger_unrouted_requests_total{", "no-route"]), 100.0);
    let labels = ["outrigger_dlq_captured_total{", "payments", "cause=\"deadline\"", "class=\"not-executed\""];
    assert_eq!(value(&text, &labels), 100.0);
    assert_eq!(value(&text, &["outrigger_dlq_lost_total{", "refunds", "reason=\"full\""]), 1.0);
}
