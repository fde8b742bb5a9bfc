use super::*;
use crate::policy::rate_limit::CallerKey;
use crate::policy::{diff, effective, explain};
use crate::reliability::rate::RatePolicy;

const CERTS: &str = "tls: { cert: /c, key: /k, clientCa: /ca }";

fn inbound(block: &str, routes: &str) -> String {
    format!("version: 1\ninbound:\n  forward: http://127.0.0.1:1\n  {block}\n  routes: [{routes}]\n")
}

fn rate(requests: u32, seconds: u64, burst: u32) -> RatePolicy {
    RatePolicy { requests, per: Duration::from_secs(seconds), burst }
}

#[test]
fn callers_are_not_limited_unless_the_file_says_so() {
    let policy = good(&inbound("limits: {}", "")).policy;
    assert!(policy.upstreams[0].routes.iter().all(|route| route.rate_limit.is_none()));
    let policy = good(&inbound("rateLimit: { requests: 5 }", "")).policy;
    let limit = policy.upstreams[0].routes[0].rate_limit.as_deref().unwrap();
    assert_eq!((&limit.by, limit.rate, limit.observe, limit.tell), (&CallerKey::Address, rate(5, 1, 0), false, false));
    assert_eq!(limit.field, "\"per-caller\";q=5;w=1");
}

#[test]
fn a_route_takes_key_by_key_what_it_does_not_say_itself() {
    let routes = "{ name: a, match: { path: /a }, rateLimit: { requests: 3 } }, \
                  { name: b, match: { path: /b }, rateLimit: { mode: observe } }, \
                  { name: c, match: { path: /c }, rateLimit: { mode: none } }, { name: d, match: { path: /d } }";
    let text =
        inbound("rateLimit: { by: \"header:X-Tenant\", requests: 10, per: 1m, burst: 8, tellLimits: true }", routes);
    let policy = good(&text).policy;
    let found: Vec<_> = policy.upstreams[0].routes.iter().map(|r| r.rate_limit.as_deref()).collect();
    let told = |limit: &crate::policy::rate_limit::RateLimitPolicy| {
        (limit.by.to_string(), limit.rate, limit.observe, limit.tell, limit.own)
    };
    let by = || "header:x-tenant".to_owned();
    // The burst of ten was not meant for three.
    assert_eq!(found[0].map(told), Some((by(), rate(3, 60, 3), false, true, true)));
    assert_eq!(found[1].map(told), Some((by(), rate(10, 60, 8), true, true, true)));
    assert_eq!(found[2].map(told), None);
    assert_eq!(found[3].map(told), Some((by(), rate(10, 60, 8), false, true, false)));
    assert_eq!(found[4].map(told), found[3].map(told), "the default route");
}

#[test]
fn what_cannot_work_is_refused_with_the_way_out() {
    for (block, words) in [
        ("rateLimit: {}", "rateLimit needs `requests`"),
        ("rateLimit: { requests: 0 }", "0 is out of range: 1 to 1000000"),
        ("rateLimit: { requests: 5, burst: 6 }", "burst is more than requests"),
        ("rateLimit: { requests: 5, per: 500ms }", "500ms is out of range: 1s to 1h"),
        ("rateLimit: { requests: 5, by: tenant }", "write address, header:NAME or mtls:spiffe"),
        ("rateLimit: { requests: 5, by: \"header:a b\" }", "names no valid header"),
        ("rateLimit: { requests: 5, by: \"header:traceparent\" }", "tells no callers apart"),
        ("rateLimit: { requests: 5, by: \"mtls:spiffe\" }", "needs inbound.tls with a clientCa"),
        ("rateLimits: { requests: 5 }", "did you mean `rateLimit`?"),
        ("deadline: { fromTrace: true }", "fromTrace belongs to upstreams"),
    ] {
        let said = bad(&inbound(block, ""));
        assert!(said.contains(words), "{block}: {said}");
    }
    let said = bad(&payments("rateLimit: { requests: 5, by: \"mtls:spiffe\" }"));
    assert!(said.contains("an upstream's only caller is the app itself"), "{said}");
    let said = bad(&payments("").replace("upstreams", "defaults: { rateLimit: { requests: 5 } }\nupstreams"));
    assert!(said.contains("unknown key `rateLimit`"), "what one dependency allows says nothing of another: {said}");
    good(&inbound(&format!("rateLimit: {{ requests: 5, by: \"mtls:spiffe\" }}\n  {CERTS}"), ""));
}

#[test]
fn limits_are_as_many_as_their_memory_is_worth() {
    let routes = |count: u32| {
        let route = |n| format!("{{ name: r{n}, match: {{ path: /r{n} }}, rateLimit: {{ requests: 5 }} }}");
        (0..count).map(route).collect::<Vec<_>>().join(", ")
    };
    good(&inbound("limits: {}", &routes(64)));
    let said = bad(&inbound("limits: {}", &routes(65)));
    assert!(said.contains("more than 64 rate limits") && said.contains("share one"), "{said}");
    let shared = routes(65).replace(", rateLimit: { requests: 5 }", "");
    good(&inbound("rateLimit: { requests: 5 }", &shared));
}

#[test]
fn explain_and_diff_know_the_limit() {
    let (before, after) = ("rateLimit: { requests: 5 }", "rateLimit: { requests: 7, mode: observe }");
    let (old, new) = (good(&inbound(before, "")), good(&inbound(after, "")));
    let text = explain::request(&old, "p.yaml", &http::Method::GET, "/x").unwrap();
    assert!(text.contains("rateLimit.requests") && text.contains("p.yaml:4:26"), "{text}");
    assert!(text.contains("Each address may send 5 requests per 1s; beyond that: 429."), "{text}");
    let changes: Vec<String> = diff::diff(&old.policy, &new.policy).iter().map(ToString::to_string).collect();
    assert_eq!(changes, ["app/default: rateLimit.mode enforce -> observe; rateLimit.requests 5 -> 7"]);
    let none = good(&inbound("limits: {}", "")).policy;
    let settings = effective::route(Direction::Inbound, &none.upstreams[0].routes[0]);
    assert!(settings.iter().all(|setting| !setting.key.starts_with("rateLimit")));
}

#[test]
fn inheritance_by_trace_is_asked_for_and_said() {
    let both =
        |deadline: &str| format!("{}upstreams:\n  a: {{ url: 'http://a', {deadline} }}\n", inbound("limits: {}", ""));
    let of = |text: &str| good(text).policy.upstreams[0].routes[0].deadline.from_trace;
    assert!(!of(&both("limits: {}")), "not by default: an app may go on after its answer");
    assert!(of(&both("deadline: { fromTrace: true }")));
    let compiled = good(&both("deadline: { fromTrace: true }"));
    assert!(compiled.warnings.is_empty());
    let text = explain::request(&compiled, "p.yaml", &http::Method::GET, "http://127.0.0.1:4400/x").unwrap();
    assert!(text.contains("A call that names the trace of a request that is with the app"), "{text}");
    let alone = good(&payments("deadline: { fromTrace: true }"));
    assert!(alone.warnings.render(Format::Human).contains("OR063"), "{}", alone.warnings);
}
