//! The files under `config/`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::*;
use crate::policy::{effective, schema};

fn config(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(path)
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All that a policy does, as text.
fn effect(policy: &Policy) -> Vec<String> {
    let mut lines: Vec<String> = effective::process(policy).iter().map(|s| format!("{} {}", s.key, s.value)).collect();
    for (number, upstream) in policy.upstreams.iter().enumerate() {
        let reach = effective::reach(effective::reached(policy).get(&(number as u32)).copied());
        let all = reach.into_iter().chain(effective::upstream(upstream));
        lines.extend(all.map(|s| format!("{}: {} {}", upstream.name, s.key, s.value)));
        for route in &upstream.routes {
            let settings = effective::route(upstream.direction, route);
            lines.extend(settings.iter().map(|s| format!("{}/{}: {} {}", upstream.name, route.name, s.key, s.value)));
        }
        lines.push(format!("{:?} {:?} {:?}", upstream.limits, upstream.dependency, upstream.ejection));
    }
    lines.extend(policy.listeners.iter().map(|l| format!("{} {} {:?}", l.addr, l.connections_max, l.idle)));
    lines
}

#[test]
fn the_reference_file_says_what_is_built_in() {
    let reference =
        load("outrigger.yaml", &read(&config("outrigger.yaml"))).unwrap_or_else(|errors| panic!("{errors}"));
    let built_in = good(
        "version: 1\nupstreams:\n  payments:\n    url: http://payments.shop.svc:8080\n    retry: {}\n    circuitBreaker: {}\n    \
         routes: [{ name: charge, match: { methods: [POST], path: /v1/charges } }]\n\
         inbound:\n  forward: http://127.0.0.1:8080\n  \
         routes: [{ name: report, match: { methods: [GET], pathPrefix: /report } }]\n",
    );
    assert_eq!(effect(&reference.policy), effect(&built_in.policy));
    assert!(reference.warnings.is_empty(), "{}", reference.warnings);
}

/// The reference file with what is off by default switched on: its keys stand there as comments.
fn switched_on(text: &str) -> String {
    let schema: serde_json::Value = serde_json::from_str(&schema::json()).unwrap();
    let keys = schema.pointer("/$defs/Idempotency/properties").and_then(serde_json::Value::as_object).unwrap();
    let mut in_block = false;
    let uncommented = text.lines().map(|line| {
        let begins = [
            "# stores:",
            "# deadLetter:",
            "# tracing:",
            "# hedge:",
            "# adaptive:",
            "# queue:",
            "# priority:",
            "# healthCheck:",
        ]
        .contains(&line.trim_start());
        in_block = begins || (in_block && line.trim_start().starts_with('#'));
        let key = line.trim_start().strip_prefix("# ").and_then(|rest| Some(rest.split_once(':')?.0));
        if in_block || key.is_some_and(|key| keys.contains_key(key)) { line.replacen("# ", "", 1) } else { line.into() }
    });
    uncommented.collect::<Vec<_>>().join("\n")
}

#[test]
fn what_the_reference_file_has_as_comments_are_the_defaults_of_what_is_off() {
    let environment = |_: &str| Some("redis://r".to_owned());
    let load = |text: &str| load_in("p.yaml", text, environment).unwrap_or_else(|errors| panic!("{errors}")).policy;
    let text = switched_on(&read(&config("outrigger.yaml")));
    let built_in = "version: 1\ntracing: {}\nstores: { embedded: {}, redis: { url: '${env:U}', service: checkout } }\nupstreams:\n  payments:\n    \
                    url: http://payments.shop.svc:8080\n    retry: {}\n    hedge: {}\n    circuitBreaker: {}\n    healthCheck: {}\n    \
                     limits: { adaptive: {}, queue: {} }\n    priority: {}\n    \
                    routes: [{ name: charge, match: { methods: [POST], path: /v1/charges }, idempotency: { principal: none }, deadLetter: {} }]\n\
                    inbound:\n  forward: http://127.0.0.1:8080\n  \
                    routes: [{ name: report, match: { methods: [GET], pathPrefix: /report } }]\n";
    let (reference, built_in) = (load(&text), load(built_in));
    assert!(reference.upstreams[0].routes[0].idempotency.is_some());
    assert!(reference.upstreams[0].routes[0].dead_letter.is_some() && reference.dead_letters.is_some());
    assert!(reference.upstreams[0].limits.adaptive.is_some() && reference.upstreams[0].limits.queue.is_some());
    assert!(reference.upstreams[0].routes[0].priority.is_some());
    assert_eq!(reference.stores, built_in.stores);
    assert_eq!(effect(&reference), effect(&built_in));
    let written = read(&config("outrigger.yaml")).lines().count();
    assert_eq!(text.lines().count(), written, "nothing is lost");
}

#[test]
fn the_reference_file_shows_every_key_of_the_format() {
    let text = read(&config("outrigger.yaml"));
    let schema: serde_json::Value = serde_json::from_str(&schema::json()).unwrap();
    let mut keys = BTreeSet::new();
    collect_keys(&schema, &mut keys);
    assert!(keys.len() > 70, "the schema has keys: {keys:?}");
    for key in keys {
        let shown = text.lines().any(|line| {
            let line = line.trim_start().trim_start_matches(['#', '-', ' ']);
            line.starts_with(&format!("{key}:"))
                || line.contains(&format!(" {key}:"))
                || line.contains(&format!("{{{key}:"))
        });
        assert!(shown, "`{key}` is not shown in config/outrigger.yaml");
    }
}

fn collect_keys(schema: &serde_json::Value, keys: &mut BTreeSet<String>) {
    match schema {
        serde_json::Value::Object(map) => {
            if let Some(properties) = map.get("properties").and_then(serde_json::Value::as_object) {
                keys.extend(properties.keys().cloned());
            }
            map.values().for_each(|value| collect_keys(value, keys));
        }
        serde_json::Value::Array(list) => list.iter().for_each(|value| collect_keys(value, keys)),
        _ => {}
    }
}

#[test]
fn every_example_is_valid_and_without_warnings() {
    let mut seen = 0;
    for entry in std::fs::read_dir(config("examples")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let compiled = load(&name, &read(&path)).unwrap_or_else(|errors| panic!("{errors}"));
        assert!(compiled.warnings.is_empty(), "{}", compiled.warnings);
        seen += 1;
    }
    assert!(seen >= 10, "{seen} examples");
}

#[test]
fn a_working_policy_takes_ten_lines_at_most() {
    assert!(read(&config("examples/minimal.yaml")).lines().count() <= 10);
}

#[test]
fn the_committed_schema_is_the_generated_one() {
    let path = config("outrigger.schema.json");
    assert!(read(&path) == schema::json(), "run `outrigger schema > config/outrigger.schema.json`");
}

#[test]
fn the_schema_describes_every_key_and_never_allows_null() {
    let text = schema::json();
    assert!(!text.contains("\"null\""));
    let schema: serde_json::Value = serde_json::from_str(&text).unwrap();
    check_descriptions(&schema);
    for (block, key) in [("/required/0", "version"), ("/$defs/Route/required/1", "match")] {
        assert_eq!(schema.pointer(block).unwrap(), key);
    }
}

fn check_descriptions(schema: &serde_json::Value) {
    if let Some(properties) = schema.get("properties").and_then(serde_json::Value::as_object) {
        assert_eq!(schema["additionalProperties"], false, "unknown keys are errors in editors too");
        for (key, property) in properties {
            assert!(property.get("description").is_some(), "`{key}` has no description");
        }
    }
    if let Some(map) = schema.as_object() {
        map.values().for_each(check_descriptions);
    }
}
