use proptest::prelude::*;

use super::*;

fn entry(upstream: u32, hosts: &[&str], prefix: Option<&str>, routes: Vec<RouteMatch>) -> Entry {
    let hosts = hosts.iter().map(|host| HostPattern::parse(host).unwrap()).collect();
    Entry { upstream, hosts, path_prefix: prefix.map(Into::into), routes }
}

fn exact(path: &str) -> RouteMatch {
    RouteMatch { path: PathMatch::Exact(path.into()), ..RouteMatch::default() }
}

fn prefix(path: &str) -> RouteMatch {
    RouteMatch { path: PathMatch::Prefix(path.into()), ..RouteMatch::default() }
}

fn with(mut route: RouteMatch, methods: &[&str], hosts: &[&str]) -> RouteMatch {
    route.methods = methods.iter().map(|method| method.parse().unwrap()).collect();
    route.hosts = hosts.iter().map(|host| HostPattern::parse(host).unwrap()).collect();
    route
}

fn single(routes: Vec<RouteMatch>) -> RouteTable {
    RouteTable::build(vec![entry(0, &[], None, routes)]).0
}

fn route_of(table: &RouteTable, method: &str, path: &str) -> u32 {
    table.select("any", path, &method.parse().unwrap()).unwrap().route
}

fn upstream_of(table: &RouteTable, host: &str, path: &str) -> Option<u32> {
    table.select(host, path, &Method::GET).map(|id| id.upstream)
}

#[test]
fn a_prefix_matches_whole_segments_only() {
    let table = single(vec![prefix("/pay")]);
    for path in ["/pay", "/pay/", "/pay/x", "/pay//x"] {
        assert_eq!(route_of(&table, "GET", path), 0, "{path}");
    }
    for path in ["/payments", "/Pay", "/", "", "pay", "*", "//pay", "/x/pay"] {
        assert_eq!(route_of(&table, "GET", path), 1, "{path} belongs to the default route");
    }
}

#[test]
fn a_slash_at_the_end_of_a_prefix_makes_no_difference_and_of_an_exact_path_it_does() {
    assert_eq!(route_of(&single(vec![prefix("/pay/")]), "GET", "/pay"), 0);
    assert_eq!(route_of(&single(vec![exact("/pay")]), "GET", "/pay/"), 1);
}

#[test]
fn exact_beats_longest_prefix_beats_shorter_prefix_beats_file_order() {
    let table = single(vec![prefix("/"), prefix("/a"), prefix("/a/b"), exact("/a/b"), exact("/a/b")]);
    assert_eq!(route_of(&table, "GET", "/a/b"), 3);
    assert_eq!(route_of(&table, "GET", "/a/b/c"), 2);
    assert_eq!(route_of(&table, "GET", "/a/c"), 1);
    assert_eq!(route_of(&table, "GET", "/x"), 0);
}

#[test]
fn a_route_whose_method_does_not_match_leaves_the_request_to_a_shorter_prefix() {
    let table = single(vec![with(exact("/a/b"), &["POST"], &[]), with(prefix("/a"), &["GET"], &[])]);
    assert_eq!(route_of(&table, "POST", "/a/b"), 0);
    assert_eq!(route_of(&table, "GET", "/a/b"), 1);
    assert_eq!(route_of(&table, "PUT", "/a/b"), 2);
}

#[test]
fn at_the_same_path_hosts_beat_methods_and_methods_beat_neither() {
    let table = single(vec![prefix("/a"), with(prefix("/a"), &["GET"], &[]), with(prefix("/a"), &[], &["h.example"])]);
    let get = |host| table.select(host, "/a", &Method::GET).unwrap().route;
    assert_eq!(get("other"), 1);
    assert_eq!(get("H.Example:80"), 2);
    assert_eq!(table.select("other", "/a", &Method::PUT).unwrap().route, 0);
}

#[test]
fn hosts_are_compared_without_case_and_port_and_final_dot() {
    let table =
        RouteTable::build(vec![entry(0, &["Pay.Example"], None, vec![]), entry(1, &["other:8080"], None, vec![])]).0;
    for host in ["pay.example", "PAY.EXAMPLE", "pay.example:8080", "pay.example."] {
        assert_eq!(upstream_of(&table, host, "/"), Some(0), "{host}");
    }
    assert_eq!(upstream_of(&table, "other:8080", "/"), Some(1));
    for host in ["other", "other:80", "", "x.pay.example", "pay.example.org", &"a".repeat(4096)] {
        assert_eq!(upstream_of(&table, host, "/"), None, "{host}");
    }
}

#[test]
fn an_ipv6_literal_keeps_its_colons() {
    let table = RouteTable::build(vec![entry(0, &["[::1]"], None, vec![]), entry(1, &["[::2]:80"], None, vec![])]).0;
    assert_eq!(upstream_of(&table, "[::1]", "/"), Some(0));
    assert_eq!(upstream_of(&table, "[::1]:4400", "/"), Some(0));
    assert_eq!(upstream_of(&table, "[::2]:80", "/"), Some(1));
    assert_eq!(upstream_of(&table, "[::2]", "/"), None);
}

#[test]
fn the_longest_suffix_wins_and_needs_a_label_before_it() {
    let table = RouteTable::build(vec![
        entry(0, &["*.example.com"], None, vec![]),
        entry(1, &["*.eu.example.com"], None, vec![]),
        entry(2, &["a.eu.example.com"], None, vec![]),
    ])
    .0;
    assert_eq!(upstream_of(&table, "x.example.com", "/"), Some(0));
    assert_eq!(upstream_of(&table, "x.y.EU.example.com:1", "/"), Some(1));
    assert_eq!(upstream_of(&table, "a.eu.example.com", "/"), Some(2));
    assert_eq!(upstream_of(&table, "eu.example.com", "/"), Some(0));
    assert_eq!(upstream_of(&table, "example.com", "/"), None);
    assert_eq!(upstream_of(&table, "notexample.com", "/"), None);
}

#[test]
fn an_upstream_that_does_not_match_the_path_leaves_the_request_to_a_less_specific_host() {
    let table = RouteTable::build(vec![
        entry(0, &["api"], Some("/pay"), vec![]),
        entry(1, &["api"], Some("/pay/eu"), vec![]),
        entry(2, &[], None, vec![]),
    ])
    .0;
    assert_eq!(upstream_of(&table, "api", "/pay/x"), Some(0));
    assert_eq!(upstream_of(&table, "api", "/pay/eu/x"), Some(1));
    assert_eq!(upstream_of(&table, "api", "/x"), Some(2));
    assert_eq!(upstream_of(&table, "127.0.0.1:4400", "/pay"), Some(2));
}

#[test]
fn routes_that_nothing_reaches_and_upstreams_that_nothing_tells_apart_are_named() {
    let routes = vec![
        with(prefix("/a"), &["GET", "PUT"], &[]),
        with(prefix("/a/"), &["GET"], &[]),
        prefix("/a"),
        with(prefix("/a"), &["POST"], &[]),
        prefix("/a"),
    ];
    let (_, unreachable, ambiguous) = RouteTable::build(vec![
        entry(0, &["h"], None, routes),
        entry(1, &["other", "H"], Some("/"), vec![]),
        entry(2, &["h"], Some("/x"), vec![]),
    ]);
    assert_eq!(unreachable, [RouteId { upstream: 0, route: 1 }, RouteId { upstream: 0, route: 4 }]);
    assert_eq!(ambiguous, [Ambiguous { first: 0, second: 1, host: HostPattern::parse("h") }]);
}

#[test]
fn a_path_of_many_segments_costs_no_more_than_the_tree_is_deep() {
    let table = single(vec![prefix("/a/a/a")]);
    assert_eq!(route_of(&table, "GET", &"/a".repeat(100_000)), 0);
    assert_eq!(route_of(&table, "GET", &"/".repeat(100_000)), 1);
}

#[test]
fn ten_thousand_routes_are_told_apart() {
    let routes: Vec<RouteMatch> = (0..10_000)
        .map(|n| match n % 3 {
            0 => exact(&format!("/svc/{n}/item")),
            1 => prefix(&format!("/svc/{n}")),
            _ => with(prefix(&format!("/svc/{}", n - 1)), &["POST"], &[]),
        })
        .collect();
    let table = single(routes.clone());
    for n in 0..10_000 {
        let (method, path) = match n % 3 {
            0 => ("GET", format!("/svc/{n}/item")),
            1 => ("GET", format!("/svc/{n}/x/y")),
            _ => ("POST", format!("/svc/{}/x/y", n - 1)),
        };
        assert_eq!(route_of(&table, method, &path), n, "{method} {path}");
    }
    assert_eq!(route_of(&table, "GET", "/svc/10001"), 10_000);
}

/// The rules of the module's head, read one after the other, without any index.
fn naive(entries: &[Entry], host: &str, path: &str, method: &Method) -> Option<RouteId> {
    let mut best: Option<((u32, usize), &Entry)> = None;
    for entry in entries {
        let Some(length) = prefix_length(entry.path_prefix.as_deref().unwrap_or("/"), path) else { continue };
        let Some(host) = host_rank(&entry.hosts, host) else { continue };
        if best.is_none_or(|(rank, _)| (host, length) > rank) {
            best = Some(((host, length), entry));
        }
    }
    let (_, entry) = best?;
    let mut chosen: Option<((usize, u32, bool), u32)> = None;
    for (number, route) in entry.routes.iter().enumerate() {
        let length = match &route.path {
            PathMatch::Any => Some(0),
            PathMatch::Exact(exact) => (&**exact == path).then_some(usize::MAX),
            PathMatch::Prefix(prefix) => prefix_length(prefix, path),
        };
        let (Some(length), Some(host)) = (length, host_rank(&route.hosts, host)) else { continue };
        if !route.methods.is_empty() && !route.methods.contains(method) {
            continue;
        }
        let rank = (length, host, !route.methods.is_empty());
        if chosen.is_none_or(|(best, _)| rank > best) {
            chosen = Some((rank, number as u32));
        }
    }
    let route = chosen.map_or(entry.routes.len() as u32, |(_, number)| number);
    Some(RouteId { upstream: entry.upstream, route })
}

fn prefix_length(prefix: &str, path: &str) -> Option<usize> {
    let prefix = prefix.trim_end_matches('/');
    let rest = path.strip_prefix(prefix)?;
    (prefix.is_empty() || rest.is_empty() || rest.starts_with('/')).then_some(prefix.len())
}

fn host_rank(patterns: &[HostPattern], host: &str) -> Option<u32> {
    if patterns.is_empty() {
        return Some(0);
    }
    let lower = host.to_lowercase();
    let name = lower.split(':').next().unwrap_or_default();
    let rank = |pattern: &HostPattern| match pattern {
        HostPattern::Exact(exact) if **exact == *lower && lower != name => Some(2_000),
        HostPattern::Exact(exact) => (&**exact == name).then_some(1_000),
        HostPattern::Suffix(suffix) => {
            (name.ends_with(&**suffix) && name.len() > suffix.len()).then_some(suffix.len() as u32)
        }
    };
    patterns.iter().filter_map(rank).max()
}

fn any_path() -> impl Strategy<Value = String> {
    proptest::collection::vec("[ab]", 0..4).prop_map(|parts| format!("/{}", parts.join("/")))
}

fn any_host() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(vec!["a", "b", "x.a", "y.x.a", "a:80", "x.a:80"])
}

fn any_pattern() -> impl Strategy<Value = HostPattern> {
    let all = vec!["a", "b", "x.a", "a:80", "*.a", "*.x.a"];
    proptest::sample::select(all).prop_map(|text| HostPattern::parse(text).unwrap())
}

fn any_method() -> impl Strategy<Value = Method> {
    proptest::sample::select(vec![Method::GET, Method::POST, Method::PUT])
}

fn any_route() -> impl Strategy<Value = RouteMatch> {
    let path = prop_oneof![
        Just(PathMatch::Any),
        any_path().prop_map(|path| PathMatch::Exact(path.into())),
        any_path().prop_map(|path| PathMatch::Prefix(path.into())),
    ];
    let methods = proptest::collection::vec(any_method(), 0..3);
    let hosts = prop_oneof![3 => Just(Vec::new()), 1 => proptest::collection::vec(any_pattern(), 1..3)];
    (path, methods, hosts).prop_map(|(path, methods, hosts)| RouteMatch { path, methods, hosts })
}

fn any_entries() -> impl Strategy<Value = Vec<Entry>> {
    let entry = (
        proptest::collection::vec(any_pattern(), 0..3),
        proptest::option::of(any_path()),
        proptest::collection::vec(any_route(), 0..6),
    );
    proptest::collection::vec(entry, 1..5).prop_map(|entries| {
        let numbered = entries.into_iter().enumerate();
        numbered
            .map(|(n, (hosts, prefix, routes))| Entry {
                upstream: n as u32,
                hosts,
                path_prefix: prefix.map(Into::into),
                routes,
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_index_decides_as_the_rules_read_one_by_one(
        entries in any_entries(), host in any_host(), path in any_path(), method in any_method(),
    ) {
        let expected = naive(&entries, host, &path, &method);
        let table = RouteTable::build(entries).0;
        prop_assert_eq!(table.select(host, &path, &method), expected);
    }

    #[test]
    fn no_request_makes_it_panic(host in "\\PC{0,300}", path in "\\PC{0,100}") {
        let routes = vec![exact("/a"), with(prefix("/a/b"), &[], &["*.x"])];
        let table = RouteTable::build(vec![entry(0, &["a", "*.b", "[::1]"], Some("/a"), routes)]).0;
        table.select(&host, &path, &Method::GET);
    }
}
