use super::*;
use crate::policy::RoutePolicy;
use crate::reliability::adaptive::{AdaptivePolicy, Algorithm};
use crate::reliability::limit::QueuePolicy;
use crate::reliability::priority::Criticality;

const UPSTREAM: &str = "version: 1\nupstreams:\n  a:\n    url: http://a:80\n";
const INBOUND: &str = "version: 1\ninbound:\n  forward: http://127.0.0.1:8080\n";

fn of_upstream(lines: &str) -> Policy {
    good(&format!("{UPSTREAM}{lines}")).policy
}

#[test]
fn without_the_blocks_nothing_is_found_out_and_all_are_equal() {
    let policy = of_upstream("");
    assert_eq!((policy.upstreams[0].limits.adaptive, policy.upstreams[0].limits.queue), (None, None));
    assert_eq!(policy.upstreams[0].routes[0].priority, None);
}

#[test]
fn a_dependencys_limit_is_in_force_and_the_apps_is_observed_unless_the_file_says_otherwise() {
    let out = of_upstream("    limits: { requests: 100, adaptive: {} }\n").upstreams[0].limits;
    let aimd = AdaptivePolicy { algorithm: Algorithm::Aimd, observe: false, min: 4, max: 100, initial: 20 };
    assert_eq!((out.adaptive, out.queue), (Some(aimd), Some(QueuePolicy::default())));
    let inbound = good(&format!("{INBOUND}  limits: {{ adaptive: {{}} }}\n")).policy.upstreams[0].limits;
    let correlated = AdaptivePolicy { algorithm: Algorithm::Correlated, observe: true, max: 128, ..aimd };
    assert_eq!(inbound.adaptive, Some(correlated));
    assert!(inbound.queue.is_some_and(|queue| queue.observe), "the queue does as the limit");
    let enforced = good(&format!("{INBOUND}  limits: {{ adaptive: {{ mode: enforce }} }}\n")).policy;
    assert!(enforced.upstreams[0].limits.adaptive.is_some_and(|adaptive| !adaptive.observe));
}

#[test]
fn a_block_in_defaults_can_be_switched_off_and_filled_in_key_by_key() {
    let text = "version: 1\ndefaults:\n  limits: { adaptive: { max: 50 } }\n  priority: { header: header:X-Class }\n\
                upstreams:\n  a:\n    url: http://a:80\n    limits: { adaptive: { min: 8 } }\n  b:\n    url: http://b:80\n    \
                limits: { adaptive: { mode: none } }\n    priority: { class: sheddable }\n    \
                routes: [{ name: r, match: { path: /r }, priority: { class: critical-plus } }]\n";
    let policy = good(text).policy;
    let (a, b) = (&policy.upstreams[0], &policy.upstreams[1]);
    assert_eq!(a.limits.adaptive.map(|limit| (limit.min, limit.max, limit.initial)), Some((8, 50, 20)));
    assert_eq!((b.limits.adaptive, b.limits.queue), (None, None));
    let class = |route: &RoutePolicy| route.priority.as_ref().map(|priority| priority.class);
    assert_eq!(class(&a.routes[0]), Some(Criticality::Critical));
    assert_eq!(class(&b.routes[0]), Some(Criticality::CriticalPlus));
    assert_eq!(class(&b.routes[1]), Some(Criticality::Sheddable));
    let header = |route: &RoutePolicy| route.priority.as_ref().and_then(|priority| priority.header.clone());
    assert_eq!(header(&b.routes[0]).expect("from defaults"), "x-class");
}

#[test]
fn values_that_contradict_each_other_are_refused() {
    for (lines, said) in [
        ("    limits: { adaptive: { min: 30, max: 20 } }\n", "min 30 is larger than max 20"),
        ("    limits: { adaptive: { initial: 300 } }\n", "initial 300 is not between min 4 and max 256"),
        ("    priority: { header: X-Class }\n", "write header:NAME"),
        ("    limits: { queue: { target: 2s } }\n", "out of range"),
    ] {
        let errors = load("p.yaml", &format!("{UPSTREAM}{lines}")).expect_err(lines).to_string();
        assert!(errors.contains(said), "{lines}: {errors}");
    }
}

#[test]
fn what_cannot_act_is_reported() {
    for (lines, code) in [
        ("    limits: { adaptive: { min: 20, max: 20 } }\n", "OR061"),
        ("    limits: { requests: 4, pending: 0, adaptive: {} }\n", "OR061"),
        ("    limits: { pending: 0 }\n    priority: { class: sheddable }\n", "OR062"),
    ] {
        let warnings = load("p.yaml", &format!("{UPSTREAM}{lines}")).expect(lines).warnings.to_string();
        assert!(warnings.contains(code), "{lines}: {warnings}");
    }
}
