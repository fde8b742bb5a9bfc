use super::*;
use crate::admin::api::Reload;
use crate::admin::tests::stage::{closed, endpoint, payments};

fn verdict(change: impl FnOnce(&mut UpstreamView)) -> (Condition, String) {
    let mut view = payments();
    view.totals = TotalsView::default();
    change(&mut view);
    let verdict = of(&view);
    assert_eq!(verdict.upstream.as_deref(), Some("payments"));
    (verdict.condition, verdict.text)
}

fn circuit(change: impl FnOnce(&mut CircuitView)) -> (Condition, String) {
    verdict(|view| change(view.circuit.insert(closed())))
}

#[test]
fn without_traffic_a_dependency_is_healthy() {
    let said = verdict(|_| {});
    assert_eq!(said, (Condition::Healthy, "payments is healthy: no requests yet.".to_owned()));
}

#[test]
fn an_old_outage_in_the_totals_does_not_make_it_degraded() {
    let (condition, text) = verdict(|view| {
        view.totals = TotalsView { requests: 1_000, requests_failed: 900, attempts: 1_000, ..TotalsView::default() };
    });
    assert_eq!(condition, Condition::Healthy);
    assert_eq!(text, "payments is healthy: 1,000 requests since the start, 10% succeeded.");
}

#[test]
fn a_few_failed_requests_are_not_called_healthy() {
    let (_, text) = verdict(|view| {
        view.totals = TotalsView { requests: 3, requests_failed: 2, attempts: 3, ..TotalsView::default() };
        view.circuit.as_mut().unwrap().samples = 3;
    });
    assert_eq!(
        text,
        "payments has too little traffic lately to be judged: 3 requests since the start, 33.3% succeeded."
    );
}

#[test]
fn a_load_below_one_is_not_told_since_refused_requests_make_it() {
    let text = |attempts| {
        let totals = TotalsView { requests: 1, attempts, retries: 7, ..TotalsView::default() };
        verdict(|view| view.totals = totals).1
    };
    assert!(
        text(0)
            .ends_with("payments is healthy: 1 request since the start, 100% succeeded. 7 retries rescued 0 requests.")
    );
    assert!(text(8).ends_with("7 retries rescued 0 requests at 8.00x load."));
}

#[test]
fn failing_attempts_name_the_worst_endpoint_and_its_failure() {
    let (condition, text) = verdict(|view| {
        let circuit = view.circuit.insert(closed());
        (circuit.failure_percent, circuit.samples) = (38.0, 120);
        view.endpoints[1].failure_percent = 76.0;
        view.endpoints[1].last_failure = Some("http_response_timeout".to_owned());
    });
    assert_eq!(condition, Condition::Degraded);
    assert_eq!(
        text,
        "payments is degraded: 38% of the last 120 attempts failed, worst 10.2.3.5:8080 (http_response_timeout)."
    );
}

#[test]
fn half_of_all_attempts_failing_is_failing_but_a_few_samples_prove_nothing() {
    let failing =
        |percent, samples| circuit(|circuit| (circuit.failure_percent, circuit.samples) = (percent, samples)).0;
    assert_eq!(failing(50.0, 10), Condition::Failing);
    assert_eq!(failing(49.9, 10), Condition::Degraded);
    assert_eq!(failing(4.9, 1_000), Condition::Healthy);
    assert_eq!(failing(100.0, 9), Condition::Healthy);
}

#[test]
fn without_a_breaker_the_endpoints_windows_decide() {
    let (condition, text) = verdict(|view| {
        view.circuit = None;
        view.endpoints[0].failure_percent = 100.0;
        view.endpoints[0].last_failure = Some("connection_refused".to_owned());
    });
    assert_eq!(condition, Condition::Failing);
    assert!(text.contains("50% of the last 120 attempts failed, worst 10.2.3.4:8080 (connection_refused)"), "{text}");
}

#[test]
fn an_open_circuit_says_when_it_probes() {
    let (condition, text) = circuit(|circuit| {
        circuit.state = "open".to_owned();
        circuit.retry_after_ms = Some(4_200);
    });
    assert_eq!(condition, Condition::Failing);
    assert_eq!(
        text,
        "payments is failing: its circuit is open and requests are refused at once, the next probe is in 4.2 s."
    );
}

#[test]
fn half_open_slow_and_throttled_are_degraded() {
    let cases = [
        (circuit(|circuit| circuit.state = "half-open".to_owned()), "its circuit is half-open, probes decide"),
        (circuit(|circuit| circuit.slow_percent = 80.0), "80% of the last 120 attempts were slow"),
        (
            circuit(|circuit| circuit.throttle_rejection = 0.125),
            "the throttle refuses 12.5% of requests before they are sent",
        ),
    ];
    for ((condition, text), said) in cases {
        assert_eq!((condition, text), (Condition::Degraded, format!("payments is degraded: {said}.")));
    }
}

#[test]
fn a_hold_by_an_operator_is_always_told() {
    let held = |held: &str, state: &str| {
        circuit(|circuit| (circuit.held, circuit.state) = (Some(held.to_owned()), state.to_owned()))
    };
    let (condition, text) = held("open", "open");
    assert_eq!(condition, Condition::Failing);
    assert_eq!(text, "payments is failing: an operator holds its circuit open, every request is refused.");
    let (condition, text) = held("closed", "closed");
    assert_eq!(condition, Condition::Degraded);
    assert!(text.contains("holds its circuit closed, the breaker cannot act"), "{text}");
}

#[test]
fn missing_and_ejected_endpoints_are_told() {
    let (condition, text) = verdict(|view| view.endpoints.clear());
    assert_eq!((condition, text.as_str()), (Condition::Failing, "payments is failing: it has no endpoint."));

    let (condition, text) = verdict(|view| {
        view.endpoints.clear();
        view.resolve_error = Some("NXDOMAIN".to_owned());
    });
    assert_eq!(condition, Condition::Failing);
    assert!(text.contains("its name does not resolve (NXDOMAIN)"), "{text}");

    let (condition, text) = verdict(|view| view.resolve_error = Some("SERVFAIL".to_owned()));
    assert_eq!(condition, Condition::Degraded);
    assert!(text.contains("no longer resolves (SERVFAIL), the last good endpoints are kept"), "{text}");

    let (condition, text) = verdict(|view| {
        view.endpoints[0].ejected_for_ms = Some(4_000);
        view.endpoints[0].last_failure = Some("connection_refused".to_owned());
    });
    assert_eq!(condition, Condition::Degraded);
    assert!(text.contains("1 of 2 endpoints sits out (10.2.3.4:8080, connection_refused)"), "{text}");

    let (condition, text) = verdict(|view| {
        view.panic = true;
        view.endpoints = vec![endpoint("a:1"), endpoint("b:1")];
        view.endpoints.iter_mut().for_each(|endpoint| endpoint.ejected_for_ms = Some(1));
    });
    assert_eq!(condition, Condition::Failing);
    assert!(text.contains("2 of 2 endpoints are tripped, so ejection is ignored"), "{text}");
}

#[test]
fn full_slots_and_spent_budgets_are_told() {
    let (condition, text) = verdict(|view| (view.limits.in_flight, view.limits.pending) = (256, 7));
    assert_eq!(condition, Condition::Degraded);
    assert!(text.contains("all 256 request slots are taken and 7 wait"), "{text}");
    assert!(verdict(|view| view.budget.remaining_ratio = 0.0).1.contains("its retry budget is spent"));
    assert!(verdict(|view| view.budget.gated = true).1.contains("retries are held to probes"));
    assert_eq!(verdict(|view| (view.limits.in_flight, view.limits.in_flight_max) = (0, 0)).0, Condition::Healthy);
}

#[test]
fn the_worst_is_said_first() {
    let (condition, text) = verdict(|view| {
        view.budget.remaining_ratio = 0.0;
        view.endpoints.clear();
    });
    assert_eq!(condition, Condition::Failing);
    assert_eq!(text, "payments is failing: it has no endpoint; its retry budget is spent.");
}

#[test]
fn foreign_text_cannot_break_the_sentence() {
    let (_, text) = verdict(|view| view.resolve_error = Some(format!("\x1b[2J\n{}", "x".repeat(500))));
    assert!(!text.contains('\x1b') && !text.contains('\n') && text.chars().count() < 400, "{text}");
}

#[test]
fn of_the_process_only_trouble_is_told() {
    let mut policy = PolicySummary {
        revision: 7,
        hash: String::new(),
        applied_at: String::new(),
        age_seconds: 0,
        author: String::new(),
        source: String::new(),
        reload: Reload::default(),
    };
    let ready = Readiness { ready: true, reasons: Vec::new() };
    let waiting = Readiness { ready: false, reasons: vec!["no policy".to_owned()] };
    let texts = |readiness, draining, policy: &PolicySummary| -> Vec<String> {
        of_process(readiness, draining, policy).into_iter().map(|verdict| verdict.text).collect()
    };
    assert_eq!(texts(&ready, false, &policy), Vec::<String>::new());
    assert_eq!(texts(&waiting, false, &policy), ["The process is not ready: no policy."]);
    assert!(texts(&waiting, true, &policy)[0].starts_with("The process is draining"));
    policy.reload = Reload { failed: true, error: Some("policy.yaml:2:1: x\nmore".to_owned()) };
    assert_eq!(
        texts(&ready, false, &policy),
        ["The policy file is refused, revision 7 stays in force: policy.yaml:2:1: x."]
    );
    let error = "p.yaml:9:5: error: unknown key `timeuot`, expected one of url, endpoints [OR101]\n\
                 9 |     timeuot: 1s\n  |     ^ did you mean `timeouts`?\n";
    policy.reload = Reload { failed: true, error: Some(error.to_owned()) };
    assert_eq!(
        texts(&ready, false, &policy),
        ["The policy file is refused, revision 7 stays in force: p.yaml:9:5: error: unknown key `timeuot` [OR101]; \
          did you mean `timeouts`?"]
    );
}
