use super::*;
use crate::admin::api::{PolicySummary, Readiness, Reload};
use crate::admin::tests::stage::{closed, payments};
use crate::reliability::ending::Ending;
use crate::reliability::verdict::Confidence;
use crate::reliability::verdict::finding::{Change, ChangeKind, Numbers, Suspicion};
use crate::upstreams::view::{HedgeView, TotalsView};

const AGE: Duration = Duration::from_secs(14);

fn finding(symptom: Symptom, cause: Cause, now: Instant) -> Finding {
    Finding {
        condition: verdict::Condition::Failing,
        cause,
        symptom,
        since: now.checked_sub(AGE).unwrap(),
        share: 0.62,
        confidence: Confidence::High,
        endpoints: Vec::new(),
        endpoints_total: 2,
        route: None,
        dependency: None,
        numbers: Numbers {
            window: Duration::from_secs(10),
            requests: 100,
            requests_failed: 62,
            attempts: 100,
            attempts_failed: 62,
            ..Numbers::default()
        },
        suspect: None,
    }
}

/// What is said of `payments` with this finding and this view.
fn said(
    symptom: Symptom,
    cause: Cause,
    change: impl FnOnce(&mut Finding),
    look: impl FnOnce(&mut UpstreamView),
) -> Verdict {
    let now = Instant::now();
    let (mut found, mut view) = (finding(symptom, cause, now), payments());
    view.endpoints.truncate(1);
    change(&mut found);
    look(&mut view);
    of(&view, Some(&found), now)
}

fn text(symptom: Symptom, cause: Cause) -> String {
    said(symptom, cause, |_| {}, |_| {}).text
}

#[test]
fn the_verdict_comes_first_then_the_numbers_then_what_the_proxy_does() {
    let verdict = said(
        Symptom::Fails(Ending::Refused),
        Cause::Refusing,
        |_| {},
        |view| {
            let circuit = view.circuit.insert(closed());
            (circuit.state, circuit.retry_after_ms) = ("open".to_owned(), Some(4_200));
        },
    );
    assert_eq!(
        verdict.text,
        "payments is failing: 62% of requests fail (for 14 s), connections are refused (10.2.3.4:8080); the circuit is \
         open, requests are refused at once, the next probe is in 4.2 s."
    );
    assert_eq!((verdict.condition, verdict.cause.as_deref()), (Condition::Failing, Some("refusing")));
    assert_eq!((verdict.since_seconds, verdict.share), (Some(14), Some(0.62)));
    assert_eq!(verdict.confidence.as_deref(), Some("high"));
    let failed = verdict.evidence.iter().find(|evidence| evidence.name == "failed requests").unwrap();
    assert_eq!(failed.value, "62 of 100");
}

#[test]
fn every_symptom_has_a_sentence_of_its_own() {
    let cases = [
        (Symptom::Fails(Ending::Error), Cause::Erroring, "answers are errors (5xx)"),
        (Symptom::Fails(Ending::TimedOut), Cause::TimingOut, "answers do not come in time"),
        (Symptom::Fails(Ending::OwnFault), Cause::Ourselves, "62% of requests fail in this proxy itself (for 14 s)"),
        (Symptom::Stalls, Cause::TimingOut, "nothing is answered (for 14 s) while 3 requests wait"),
        (Symptom::NoEndpoint, Cause::Down, "it has no endpoint."),
        (Symptom::Held(Hold::Open), Cause::Held, "an operator holds its circuit open, every request is refused."),
        (Symptom::Held(Hold::Closed), Cause::Held, "holds its circuit closed, the breaker cannot act."),
        (Symptom::Full, Cause::OurLimit, "62% of requests are refused by our own limits (for 14 s)."),
        (Symptom::Aborts, Cause::ClientAborts, "62% of requests are given up by their clients before the answer"),
    ];
    for (symptom, cause, wanted) in cases {
        let text = text(symptom, cause);
        assert!(text.starts_with("payments is failing: ") && text.contains(wanted), "{text}");
    }
}

#[test]
fn one_endpoint_is_named_with_what_it_does_and_what_it_costs() {
    let one = |found: &mut Finding| {
        (found.endpoints, found.endpoints_total) = (vec!["10.2.3.4:8080".to_owned()], 3);
        found.condition = verdict::Condition::Degraded;
    };
    let verdict = said(Symptom::Fails(Ending::Refused), Cause::OneEndpoint, one, |view| {
        view.endpoints[0].ejected_for_ms = Some(1_000);
    });
    assert_eq!(
        verdict.text,
        "payments is degraded: one of 3 endpoints, 10.2.3.4:8080, refuses connections (for 14 s); 62% of requests \
         fail; it sits out."
    );
    let rescued = |found: &mut Finding| {
        one(found);
        (found.numbers.requests_failed, found.numbers.rescued) = (0, 30);
    };
    let verdict = said(Symptom::Fails(Ending::TimedOut), Cause::OneEndpoint, rescued, |_| {});
    assert!(verdict.text.contains("does not answer in time (for 14 s); retries rescue the requests."), "{verdict:?}");
    let slow = |found: &mut Finding| {
        one(found);
        let ms = Duration::from_millis;
        (found.numbers.latency, found.numbers.usual_latency) = (Some(ms(480)), Some(ms(2)));
        found.numbers.requests_failed = 0;
    };
    let verdict = said(Symptom::Slow, Cause::OneEndpoint, slow, |_| {});
    assert!(verdict.text.contains("is slow (for 14 s); no request fails; it takes 480 ms, the others take 2 ms."));
}

#[test]
fn failures_that_retries_rescue_are_told_as_attempts() {
    let rescued = |found: &mut Finding| {
        (found.numbers.requests_failed, found.numbers.rescued) = (0, 62);
        found.condition = verdict::Condition::Degraded;
    };
    let text = said(Symptom::Fails(Ending::Error), Cause::Erroring, rescued, |_| {}).text;
    assert!(text.contains("62% of attempts fail (for 14 s), answers are errors (5xx)"), "{text}");
    assert!(text.ends_with("; retries rescue the requests."), "{text}");
}

#[test]
fn slow_is_told_with_what_is_usual() {
    let slow = |found: &mut Finding| {
        found.numbers.requests_failed = 0;
        let ms = Duration::from_millis;
        (found.numbers.latency, found.numbers.usual_latency) = (Some(ms(480)), Some(ms(12)));
    };
    let text = said(Symptom::Slow, Cause::Slow, slow, |_| {}).text;
    assert_eq!(text, "payments is failing: answers take 480 ms (for 14 s), usually 12 ms.");
}

#[test]
fn of_the_app_it_is_said_whose_fault_it_is() {
    let text = text(Symptom::Fails(Ending::Error), Cause::TheApp);
    assert!(text.starts_with("The app itself is failing: 62% of requests fail (for 14 s)"), "{text}");
    let named = |found: &mut Finding| found.dependency = Some("payments".to_owned());
    let text = said(Symptom::Fails(Ending::Error), Cause::AppsDependency, named, |_| {}).text;
    assert!(text.starts_with("The app is failing because its dependency payments does not do well: 62% of"), "{text}");
}

#[test]
fn a_suspect_is_told_with_its_effects_on_that_upstream_only() {
    let now = Instant::now();
    let mut found = finding(Symptom::Fails(Ending::Error), Cause::Erroring, now);
    let change = Change {
        at: now.checked_sub(AGE + Duration::from_secs(4)).unwrap(),
        kind: ChangeKind::Policy,
        upstreams: vec!["orders".to_owned(), "payments".to_owned()],
        summary: "revision 12".to_owned(),
        effects: vec!["orders: limits.requests 1 -> 2".to_owned(), "payments/charge: retry.attempts 1 -> 3".to_owned()],
        revision: Some(12),
    };
    let before = Duration::from_secs(4);
    found.suspect = Some(Suspicion { change, before, rates: (0.001, 0.38), latencies: None });
    let suspect = of(&payments(), Some(&found), now).suspect.unwrap();
    assert_eq!(
        suspect.text,
        "error rate of payments rose from 0.1% to 38% 4 s after revision 12 (payments/charge: retry.attempts 1 -> 3)"
    );
    assert_eq!((suspect.kind.as_str(), suspect.revision, suspect.before_seconds), ("policy-applied", Some(12), 4));
    assert_eq!((suspect.before_percent, suspect.after_percent), (Some(0.1), Some(38.0)));
}

fn well(look: impl FnOnce(&mut UpstreamView)) -> Verdict {
    let mut view = payments();
    view.totals = TotalsView::default();
    look(&mut view);
    of(&view, None, Instant::now())
}

#[test]
fn without_a_finding_it_is_healthy_whatever_the_totals_say() {
    assert_eq!(well(|_| {}).text, "payments is healthy: no requests yet.");
    let verdict = well(|view| {
        view.totals = TotalsView { requests: 1_000, requests_failed: 900, attempts: 1_000, ..TotalsView::default() };
    });
    assert_eq!(verdict.condition, Condition::Healthy);
    assert_eq!(verdict.text, "payments is healthy: 1,000 requests since the start, 10% succeeded.");
    let verdict = well(|view| {
        view.totals = TotalsView { requests: 3, requests_failed: 2, attempts: 3, ..TotalsView::default() };
        view.circuit.as_mut().unwrap().samples = 3;
    });
    assert!(verdict.text.starts_with("payments has too little traffic lately to be judged: 3 requests"), "{verdict:?}");
}

#[test]
fn what_an_operator_has_just_done_and_an_open_circuit_are_told_before_the_next_look() {
    let circuit = |held: Option<&str>, state: &str| {
        let verdict = well(|view| {
            let circuit = view.circuit.insert(closed());
            (circuit.held, circuit.state) = (held.map(str::to_owned), state.to_owned());
        });
        (verdict.condition, verdict.cause.unwrap_or_default())
    };
    assert_eq!(circuit(Some("open"), "open"), (Condition::Failing, "held".to_owned()));
    assert_eq!(circuit(Some("closed"), "closed"), (Condition::Degraded, "held".to_owned()));
    assert_eq!(circuit(None, "open"), (Condition::Failing, "down".to_owned()));
    assert_eq!(circuit(None, "half-open"), (Condition::Healthy, String::new()));
}

#[test]
fn clauses_tell_of_slots_budget_throttle_and_endpoints() {
    let clause = |look: fn(&mut UpstreamView)| {
        said(
            Symptom::Fails(Ending::Error),
            Cause::Erroring,
            |_| {},
            |view| {
                view.endpoints = payments().endpoints;
                look(view);
            },
        )
        .text
    };
    let full = clause(|view| (view.limits.in_flight, view.limits.pending) = (256, 7));
    assert!(full.ends_with("; all 256 request slots are taken and 7 wait."), "{full}");
    assert!(clause(|view| view.budget.remaining_ratio = 0.0).ends_with("; its retry budget is spent."));
    assert!(!clause(|view| view.budget.gated = true).contains("retries"), "that is the third answer");
    let throttled = clause(|view| view.circuit.as_mut().unwrap().throttle_rejection = 0.125);
    assert!(throttled.contains("; the throttle refuses 12.5% of requests before they are sent"), "{throttled}");
    let out = clause(|view| {
        view.endpoints[0].ejected_for_ms = Some(4_000);
        view.endpoints[0].last_failure = Some("connection_refused".to_owned());
    });
    assert!(out.contains("; 1 of 2 endpoints sits out (10.2.3.4:8080, connection_refused)"), "{out}");
    let hedges = HedgeView { route: "search".to_owned(), first_attempts: 1_000, ..HedgeView::default() };
    let told = clauses::of(
        &UpstreamView { hedges: vec![HedgeView { won: 1, lost: 39, ..hedges.clone() }], ..payments() },
        None,
    );
    assert_eq!(told, ["only 1 of 40 hedges of route search won, for 4.0% more load"]);
    let told =
        clauses::of(&UpstreamView { hedges: vec![HedgeView { won: 20, lost: 20, ..hedges }], ..payments() }, None);
    assert_eq!(told, [""; 0]);
    assert!(clause(|view| view.panic = true).contains("endpoints are tripped, so ejection is ignored"));
    let unresolved = clause(|view| view.resolve_error = Some("SERVFAIL".to_owned()));
    assert!(unresolved.contains("no longer resolves (SERVFAIL), the last good endpoints are kept"), "{unresolved}");
}

#[test]
fn foreign_text_cannot_break_the_sentence() {
    let evil = |view: &mut UpstreamView| view.resolve_error = Some(format!("\x1b[2J\n{}", "x".repeat(500)));
    let text = said(Symptom::NoEndpoint, Cause::Dns, |_| {}, evil).text;
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
