//! Checks, slow start, zones, and the age of connections.

use super::*;
use crate::policy::endpoints::{HealthCheckPolicy, Question};

fn check(block: &str) -> Option<HealthCheckPolicy> {
    let health_check = good(&payments(block)).policy.upstreams.remove(0).health_check;
    health_check.map(|policy| (*policy).clone())
}

#[test]
fn a_check_that_is_present_is_on_and_asks_for_a_path() {
    assert_eq!(check("retry: {}"), None);
    assert_eq!(check("healthCheck: { mode: none }"), None);
    let policy = check("healthCheck: {}").unwrap();
    let Question::Http { path, codes } = &policy.question else { panic!("{policy:?}") };
    assert_eq!((&**path, codes.iter().collect::<Vec<_>>()), ("/healthz", vec![200]));
    assert!(!policy.observe && check("healthCheck: { mode: observe }").unwrap().observe);
    let timing = policy.timing;
    assert_eq!((timing.interval, timing.timeout), (Duration::from_secs(5), Duration::from_secs(1)));
    assert_eq!((timing.healthy, timing.unhealthy), (2, 3));
    let quick = check("healthCheck: { interval: 500ms }").unwrap().timing;
    assert_eq!(quick.timeout, Duration::from_millis(500), "a check is over before the next one");
}

#[test]
fn a_call_names_a_service_and_a_path_belongs_to_http() {
    let policy = check("healthCheck: { protocol: grpc, service: shop.v1.Ledger }").unwrap();
    assert_eq!(policy.question, Question::Grpc { service: "shop.v1.Ledger".into() });
    for (block, said) in [
        ("protocol: grpc, path: /x", "path and codes are of protocol: http only"),
        ("protocol: grpc, codes: [200]", "path and codes are of protocol: http only"),
        ("service: a", "service is asked about with protocol: grpc only"),
        ("protocol: grpc, service: 'a b'", "`a b` is no name of a service"),
        ("timeout: 6s", "timeout is longer than interval"),
        ("interval: 50ms", "50ms is out of range"),
        ("healthy: 0", "0 is out of range: 1 to 100"),
        ("codes: []", "an empty list passes nothing"),
        ("codes: [99]", "99 is out of range: 100 to 599"),
        ("path: healthz", "write /healthz"),
        ("protocol: tcp", "`tcp`"),
    ] {
        let found = bad(&payments(&format!("healthCheck: {{ {block} }}")));
        assert!(found.contains(said), "{block}: {found}");
    }
}

#[test]
fn checks_of_defaults_are_merged_key_by_key() {
    let text = payments("healthCheck: { path: /ready }")
        .replace("upstreams", "defaults: { healthCheck: { interval: 10s, path: /live } }\nupstreams");
    let policy = good(&text).policy.upstreams.remove(0).health_check.unwrap();
    let Question::Http { path, .. } = &policy.question else { panic!("{policy:?}") };
    assert_eq!((&**path, policy.timing.interval), ("/ready", Duration::from_secs(10)));
}

#[test]
fn slow_start_is_on_unless_it_is_switched_off_or_keys_decide() {
    let slow = |block: &str| good(&payments(block)).policy.upstreams.remove(0).slow_start;
    assert_eq!(slow("retry: {}"), Some(Duration::from_secs(10)));
    assert_eq!(slow("balance: { slowStart: 1m }"), Some(Duration::from_secs(60)));
    assert_eq!(slow("balance: { slowStart: none }"), None);
    assert_eq!(slow("balance: { by: hash, hashOn: 'header:x' }"), None);
    assert!(bad(&payments("balance: { slowStart: 100ms }")).contains("100ms is out of range: 1s to 10m, or none"));
}

#[test]
fn the_zone_that_we_are_in_comes_from_the_text_or_the_environment() {
    let zones = |local: &str| {
        payments(&format!(
            "balance: {{ zone: {{ local: {local}, zones: {{ a: [10.4.0.0/20, 'fd00::/8'], b: [10.4.16.0/20] }} }} }}"
        ))
    };
    let policy = good(&zones("a")).policy.upstreams.remove(0).zones.unwrap();
    assert_eq!((&*policy.local, policy.zones.len(), policy.min_healthy_permille), ("a", 2, 700));
    assert!(policy.is_local("10.4.1.1".parse().unwrap()) && !policy.is_local("10.4.17.1".parse().unwrap()));
    let environment = |name: &str| (name == "ZONE").then(|| "b".to_owned());
    let found = load_in("p.yaml", &zones("'${env:ZONE}'"), environment).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(&*found.policy.upstreams[0].zones.as_ref().unwrap().local, "b");
    let missing = load_in("p.yaml", &zones("'${env:ELSEWHERE}'"), environment).unwrap_err().to_string();
    assert!(missing.contains("OR031") && missing.contains("ELSEWHERE is not set"), "{missing}");
}

#[test]
fn what_is_wrong_with_zones_is_said_where_it_stands() {
    for (block, said) in [
        ("zone: {}", "zone needs local and zones"),
        ("zone: { local: a, zones: { a: [10.4.1.0/20] } }", "write 10.4.0.0/20"),
        ("zone: { local: a, zones: { a: [x] } }", "`x` is no network"),
        ("zone: { local: a, zones: { 'a b': [10.0.0.0/8] } }", "`a b` is not a name"),
        ("by: hash, hashOn: 'header:x', zone: { local: a, zones: { a: [10.0.0.0/8] } }", "zone has no meaning"),
        ("zone: { local: a, zones: { a: [10.0.0.0/8] }, minHealthyPercent: 0 }", "0 is out of range: 1 to 100"),
    ] {
        let found = bad(&payments(&format!("balance: {{ {block} }}")));
        assert!(found.contains(said), "{block}: {found}");
    }
}

#[test]
fn connections_become_as_old_as_they_like_unless_a_policy_says_otherwise() {
    let age = |block: &str| good(&payments(block)).policy.upstreams.remove(0).connection_age_max;
    assert_eq!(age("keepAlive: {}"), None);
    assert_eq!(age("keepAlive: { maxAge: 5m }"), Some(Duration::from_secs(300)));
    assert!(bad(&payments("keepAlive: { maxAge: 10ms }")).contains("10ms is out of range: 1s to 24h, or none"));
    let inbound = "version: 1\ninbound:\n  forward: http://127.0.0.1:8080\n  keepAlive: { maxAge: 10m }\n";
    assert_eq!(good(inbound).policy.listeners[0].age_max, Some(Duration::from_secs(600)));
}
