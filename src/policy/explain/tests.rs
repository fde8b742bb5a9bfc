use super::*;
use crate::policy::compile::load;

const POLICY: &str = "version: 1\ndefaults: { timeouts: { connect: 100ms } }\nupstreams:\n  payments:\n    url: http://payments\n    \
                      timeouts: { request: 2s, backendRequest: 500ms }\n    retry: { attempts: 2 }\n    circuitBreaker: {}\n    routes:\n    - name: charge\n      \
                      match: { methods: [POST], path: /v1/charges }\n      timeouts: { request: 5s }\n  ledger:\n    url: http://ledger\n    listen: 127.0.0.1:4501\n";

fn explained(method: &str, url: &str) -> Result<String, Unexplained> {
    request(&load("p.yaml", POLICY).unwrap(), "p.yaml", &method.parse().unwrap(), url)
}

#[test]
fn the_route_is_named_with_the_reason() {
    let text = explained("POST", "http://payments/v1/charges?x=1").unwrap_err();
    assert!(matches!(text, Unexplained::WhichListener(_)), "a single upstream's shared listener takes any host");
    let text = explained("POST", "http://127.0.0.1:4400/v1/charges?x=1").unwrap();
    assert!(text.contains("route     charge (POST /v1/charges)"), "{text}");
    let text = explained("GET", "http://localhost:4501/x").unwrap();
    assert!(text.contains("upstream  ledger\n  route     default (no other route matches)"), "{text}");
}

#[test]
fn a_control_group_is_told() {
    let policy = POLICY.replace("attempts: 2 }", "attempts: 2, holdoutPercent: 1 }");
    let compiled = load("p.yaml", &policy).unwrap();
    let text = request(&compiled, "p.yaml", &Method::GET, "http://127.0.0.1:4400/").unwrap();
    assert!(text.contains("1% of the requests, by lot, are not retried"), "{text}");
    assert!(!explained("GET", "http://127.0.0.1:4400/").unwrap().contains("by lot"));
}

#[test]
fn whether_a_request_would_be_hedged_is_told_and_why_not() {
    let line = |block: &str, method: Method, path: &str| {
        let policy = POLICY.replace("    circuitBreaker: {}\n", block);
        let compiled = load("p.yaml", &policy).unwrap();
        let text = request(&compiled, "p.yaml", &method, &format!("http://127.0.0.1:4400{path}")).unwrap();
        let mut lines = text.lines().skip_while(|line| !line.starts_with("Time line"));
        lines.find(|line| line.to_lowercase().contains("hedge")).unwrap_or_default().trim().to_owned()
    };
    let get = line("    hedge: {}\n", Method::GET, "/x");
    assert!(
        get.starts_with("A first try without an answer after the p95 of recent first tries (at least 20ms)"),
        "{get}"
    );
    assert!(get.ends_with("at most 5 in 100 requests."), "{get}");
    let fixed = line("    hedge: { delay: 50ms, percent: 0.5 }\n", Method::GET, "/x");
    assert!(fixed.contains("after 50ms is hedged") && fixed.ends_with("at most 0.5 in 100 requests."), "{fixed}");
    assert!(
        line("    hedge: {}\n", Method::POST, "/v1/charges").starts_with("Not hedged: a POST must not be sent twice")
    );
    assert!(line("    hedge: { mode: observe }\n", Method::GET, "/x").contains("only counted (mode: observe)"));
    assert_eq!(line("    hedge: { mode: none }\n", Method::GET, "/x"), "");
    assert_eq!(line("", Method::GET, "/x"), "");
}

#[test]
fn what_the_guard_would_do_is_among_the_values() {
    let line = |policy: &str| {
        let text = request(&load("p.yaml", policy).unwrap(), "p.yaml", &Method::GET, "http://127.0.0.1:4400/").unwrap();
        let line = text.lines().find(|line| line.trim_start().starts_with("policy.guard")).unwrap_or_default();
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(line(POLICY), ["policy.guard", "warn", "built", "in"]);
    let set = POLICY.replace("version: 1\n", "version: 1\npolicy: { guard: rollback }\n");
    assert_eq!(line(&set), ["policy.guard", "rollback", "p.yaml:2:18"]);
}

#[test]
fn every_value_has_its_origin() {
    let text = explained("POST", "http://127.0.0.1:4400/v1/charges").unwrap();
    let origin = |key: &str| {
        let line = text.lines().find(|line| line.trim_start().starts_with(key)).unwrap();
        line.split("  ").last().unwrap().trim().to_owned()
    };
    assert_eq!(origin("timeouts.request"), "p.yaml:12:28");
    assert_eq!(origin("timeouts.backendRequest"), "p.yaml:6:46");
    assert_eq!(origin("timeouts.connect"), "defaults, p.yaml:2:34");
    assert_eq!(origin("timeouts.idle"), "built in");
    assert_eq!(origin("limits.requests"), "built in");
    assert_eq!(origin("url"), "p.yaml:5:10");
    assert_eq!(origin("circuitBreaker.mode"), "p.yaml:8:21", "on because the block is there");
}

#[test]
fn the_time_line_shows_each_try_and_wait_up_to_the_deadline() {
    let text = explained("GET", "http://127.0.0.1:4400/").unwrap();
    let line = text.split("Time line").nth(1).unwrap();
    let parts: Vec<String> = line.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let expected = [
        "of the worst case: 1 try + up to 2 retries",
        "0ms try 1, given up after 500ms",
        "500ms wait 0ms .. 25ms",
        "500ms .. 525ms try 2, given up after 500ms",
        "1s .. 1s25ms wait 0ms .. 50ms",
        "1s .. 1s75ms try 3, may use all that is left",
        "2s deadline: 504",
    ];
    assert!(parts[0].ends_with(expected[0]), "{line}");
    assert_eq!(parts[1..7], expected[1..]);
}

#[test]
fn a_post_is_shown_to_be_repeated_only_under_its_condition() {
    let tries = |method| {
        let text = explained(method, "http://127.0.0.1:4400/").unwrap();
        let lines = text.lines().filter_map(|line| Some(line.split_once("  try ")?.1.to_owned()));
        lines.collect::<Vec<_>>()
    };
    let post = tries("POST");
    assert_eq!(post.len(), 3);
    assert_eq!(post[0], "1, given up after 500ms");
    assert_eq!(post[1], "2 only if nothing was sent before, given up after 500ms");
    assert_eq!(post[2], "3 only if nothing was sent before, may use all that is left");
    assert_eq!(tries("GET")[1], "2, given up after 500ms");
}

#[test]
fn every_code_has_a_page() {
    for known in Code::ALL {
        let page = code(*known);
        assert!(page.starts_with(known.as_str()) && page.contains("\nWhy   ") && page.contains("\nFix   "));
        assert_eq!(Code::parse(&known.as_str().to_lowercase()), Some(*known));
    }
}
