//! Test only: the shape of the program as an assertion. ARCHITECTURE.md explains what these tables enforce.
//!
//! A new edge is a decision: change the table, and say why in the commit.

mod dependencies;
mod documents;
mod operations;
mod oracles;
mod source;

use std::path::Path;

use source::File;

/// Who may import whom. A row of one module names all that it may import besides itself; `a::b` allows no more
/// than that part of `a`. `app`, `demo` and `main` put parts together and are not limited.
const GRAPH: &[(&str, &[&str])] = &[
    ("reliability", &[]),
    ("clock", &[]),
    ("drain", &["clock"]),
    ("random", &["clock", "reliability"]),
    ("policy", &["clock", "reliability"]),
    ("dead_letters", &["clock", "policy", "random", "reliability"]),
    ("idempotency", &["clock", "dead_letters", "policy", "random", "reliability", "sabotage", "tls"]),
    ("tls", &["clock", "policy", "reliability"]),
    ("wire", &["clock", "drain", "reliability", "sabotage", "tls"]),
    ("telemetry", &["clock", "policy", "random", "reliability", "upstreams::view"]),
    ("upstreams", &["clock", "drain", "policy", "random", "reliability", "telemetry", "tls", "wire"]),
    (
        "proxy",
        &[
            "clock",
            "dead_letters",
            "drain",
            "idempotency",
            "policy",
            "random",
            "reliability",
            "sabotage",
            "telemetry",
            "tls",
            "upstreams",
            "wire",
        ],
    ),
    // The words of dead letters only: which ones (`Filter`), and one of them as it is shown (`Letter`).
    (
        "admin",
        &[
            "clock",
            "dead_letters::letter",
            "policy",
            "reliability",
            "simulate::recording",
            "telemetry",
            "tls",
            "upstreams::view",
        ],
    ),
    // `check` reads certificates as a start does, and asks over https.
    ("cli", &["admin", "clock", "policy", "simulate", "tls", "upstreams::view"]),
    ("simulate", &["policy", "reliability"]),
    ("faults", &["clock", "drain", "reliability", "testing"]),
    ("testing", &["faults"]),
    ("sabotage", &["reliability"]),
];

/// Modules that put the others together: only they see both the data plane and the admin API.
const ROOTS: [&str; 4] = ["app", "demo", "lib", "main"];

/// Crates with a home: imported by files whose names begin so, and by no other.
const HOMES: &[(&str, &[&str])] = &[
    ("aws_lc_rs", &["admin/access.rs", "dead_letters/seal.rs", "proxy/websocket.rs"]),
    ("axum", &["admin/"]),
    ("tower", &["admin/"]),
    ("clap", &["cli/"]),
    ("dashmap", &["idempotency/waiting.rs", "proxy/traced.rs"]),
    ("getrandom", &["random.rs"]),
    ("granit_parser", &["cli/k8s/"]),
    // Upstream as it is (see `wire/h2.rs`); clients come through hyper, which stands on it, and says why they left.
    ("h2", &["proxy/accept/http2.rs", "wire/h2", "testing/", "faults/"]),
    ("hickory_resolver", &["wire/discover.rs"]),
    ("hmac", &["idempotency/identity.rs"]),
    ("httpdate", &["proxy/course.rs", "faults/"]),
    ("listenfd", &["app/activation.rs"]),
    ("metrics", &["telemetry/metrics"]),
    ("metrics_exporter_prometheus", &["telemetry/metrics"]),
    ("mimalloc", &["main.rs"]),
    ("notify", &["policy/watch"]),
    ("pingora_ketama", &["upstreams/ring.rs"]),
    ("pingora_limits", &["proxy/callers.rs"]),
    ("rcgen", &["testing/"]),
    ("redis", &["idempotency/redis"]),
    ("rusqlite", &["idempotency/embedded"]),
    ("rustix", &["sabotage.rs", "cli/top/terminal.rs", "app/activation.rs", "clock.rs"]),
    ("rustls", &["tls/", "testing/", "faults/"]),
    ("rustls_native_certs", &["tls/"]),
    ("schemars", &["policy/"]),
    ("serde_saphyr", &["policy/compile", "policy/raw", "policy/yaml.rs", "simulate/scenario"]),
    ("tokio_rustls", &["tls/", "testing/", "faults/"]),
    ("tracing_subscriber", &["telemetry/events.rs"]),
    ("webpki", &["tls/"]),
];

/// Things with a home: a path that holds these segments in a row, where it may stand, and why.
const PLACES: &[(&[&str], &[&str], &str)] = &[
    (&["Instant", "now"], &["clock.rs", "faults/", "testing/"], "one clock, which tests can pause"),
    (&["SystemTime", "now"], &["clock.rs", "faults/", "testing/"], "one clock, which tests can pause"),
    (&["tokio", "spawn"], &["drain.rs", "faults/", "testing/"], "shutdown waits for every task"),
    (&["task", "spawn"], &["drain.rs", "faults/", "testing/"], "shutdown waits for every task"),
    (&["TokioExecutor"], &["drain.rs", "faults/", "testing/"], "hyper's tasks are waited for, too"),
    (
        &["TcpListener"],
        &["proxy/listeners.rs", "admin/", "app", "cli/doctor/", "demo", "faults/", "testing/"],
        "whoever listens is listed here",
    ),
    (
        &["TcpStream", "connect"],
        &[
            "wire/dial.rs",
            "cli/client.rs",
            "app",
            "demo/traffic.rs",
            "faults/",
            "idempotency/redis/dial.rs",
            "testing/",
        ],
        "the wire alone calls out",
    ),
    (&["hyper", "client"], &["wire/", "cli/client.rs", "demo/traffic.rs"], "the wire alone calls out"),
    (
        &["Deserialize"],
        &[
            "policy/",
            "admin/",
            "cli/",
            "dead_letters/job.rs",
            "dead_letters/letter.rs",
            "simulate/",
            "upstreams/view.rs",
        ],
        "input from outside is parsed at the doors",
    ),
];

/// What the pure core must not know, beyond what its empty row in [`GRAPH`] says.
const IMPURE: [&str; 12] =
    ["Mutex", "RwLock", "SystemTime", "env", "fs", "io", "net", "process", "println", "sync", "thread", "thread_local"];

/// Names of metrics begin so.
const METRIC_PREFIXES: [&str; 4] = ["outrigger_", "http_server_", "http_client_", "process_"];

/// Everything that breaks a rule, one sentence each.
fn violations(files: &[File], crates: &[String]) -> Vec<String> {
    let modules: Vec<&str> = GRAPH.iter().map(|(module, _)| *module).chain(ROOTS).collect();
    let mut found = Vec::new();
    for file in files {
        let mut say = |what: String| found.push(format!("src/{}: {what}", file.name));
        edges(file, &modules, &mut say);
        externals(file, crates, &mut say);
        places(file, &mut say);
    }
    found.sort();
    found.dedup();
    found
}

fn edges(file: &File, modules: &[&str], say: &mut impl FnMut(String)) {
    let module = file.module();
    if ROOTS.contains(&module) || module == "architecture" {
        return;
    }
    let Some((_, allowed)) = GRAPH.iter().find(|(name, _)| *name == module) else {
        return say(format!("`{module}` has no row in the table of architecture.rs"));
    };
    for path in file.inward() {
        let Some(target) = path.first().filter(|name| modules.contains(&name.as_str())) else { continue };
        let covers =
            |entry: &&str| entry.split("::").zip(path).all(|(a, b)| a == b) && entry.matches("::").count() < path.len();
        if target != module && !allowed.iter().any(covers) {
            say(format!("{module} must not import {}", path[..path.len().min(2)].join("::")));
        }
    }
}

fn externals(file: &File, crates: &[String], say: &mut impl FnMut(String)) {
    for name in file.outward().filter(|name| crates.iter().any(|c| c == name)) {
        if file.module() == "reliability" {
            say(format!("reliability is std only and must not import {name}"));
        }
        let home = HOMES.iter().find(|(c, _)| *c == name);
        if let Some((_, home)) = home.filter(|(_, home)| !home.iter().any(|h| file.name.starts_with(h))) {
            say(format!("{name} is imported by {} only", home.join(", ")));
        }
    }
}

fn places(file: &File, say: &mut impl FnMut(String)) {
    for path in &file.paths {
        for (segments, homes, why) in PLACES {
            let stands = path.windows(segments.len()).any(|w| w == *segments);
            if stands && !homes.iter().any(|home| file.name.starts_with(home)) {
                say(format!("{} belongs to {}: {why}", segments.join("::"), homes.join(", ")));
            }
        }
        if file.module() == "reliability"
            && let Some(word) = path.iter().find(|segment| IMPURE.contains(&segment.as_str()))
        {
            say(format!("reliability is pure and must not use {word}"));
        }
        // Telling a status apart is not choosing one; 101 is the protocol's own word.
        let chosen = path.windows(2).find(|w| w[0] == "StatusCode" && w[1].chars().all(|c| !c.is_lowercase()));
        if let Some(status) = chosen
            && file.module() == "proxy"
            && file.name != "proxy/respond.rs"
            && status[1] != "SWITCHING_PROTOCOLS"
        {
            say(format!("{} is chosen by proxy/respond.rs only", status.join("::")));
        }
    }
    for literal in &file.literals {
        let reader = ["telemetry/metrics", "testing/", "demo", "architecture"];
        let metric = METRIC_PREFIXES.iter().any(|prefix| literal.starts_with(prefix))
            && literal.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if metric && !reader.iter().any(|home| file.name.starts_with(home)) {
            say(format!("the metric {literal} is named outside of telemetry/metrics"));
        }
        if file.module() == "proxy" && literal.starts_with("HTTP/1.1 ") && file.name != "proxy/listeners.rs" {
            say(format!("an answer is written by hand: {literal}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(name: &str, text: &str) -> Vec<String> {
        let crates = ["axum", "tracing", "metrics"].map(str::to_owned);
        violations(&[File::parse(name, text)], &crates)
    }

    #[test]
    fn the_source_tree_keeps_its_shape() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let files = source::tree(&root.join("src"));
        assert!(files.iter().any(|f| f.name == "reliability/breaker.rs"), "the tree was not found");
        let found = violations(&files, &dependencies::direct(root));
        assert!(found.is_empty(), "\n{}\n", found.join("\n"));
    }

    #[test]
    fn a_forbidden_edge_is_named_with_its_file() {
        let expected = ["src/admin/status.rs: admin must not import proxy::Proxy"];
        assert_eq!(judge("admin/status.rs", "use crate::{policy, proxy::Proxy};"), expected);
        assert_eq!(judge("admin/status.rs", "fn f() { crate::proxy::Proxy::new() }"), expected);
        assert_eq!(
            judge("admin/mod.rs", "use super::proxy::Proxy;"),
            ["src/admin/mod.rs: admin must not import proxy::Proxy"]
        );
        assert_eq!(judge("admin/status.rs", "use super::super::proxy::Proxy;"), expected);
    }

    #[test]
    fn a_part_of_a_module_may_be_allowed_and_the_rest_not() {
        assert_eq!(judge("admin/status.rs", "use crate::upstreams::view::UpstreamView;"), [""; 0]);
        let expected = ["src/admin/status.rs: admin must not import upstreams::Upstreams"];
        assert_eq!(judge("admin/status.rs", "use crate::upstreams::{view, Upstreams};"), expected);
        assert_eq!(
            judge("admin/status.rs", "use crate::upstreams;"),
            ["src/admin/status.rs: admin must not import upstreams"]
        );
    }

    #[test]
    fn tests_comments_and_strings_are_no_imports() {
        let text = r##"
            //! crate::proxy
            /* crate::proxy /* nested */ crate::proxy */
            const A: &str = "crate::proxy \" crate::proxy"; const B: &str = r#"crate::"proxy""#;
            const C: char = '"'; const D: char = '\''; fn f<'a>(x: &'a str) {}
            #[cfg(test)] use crate::proxy::Proxy;
            #[cfg(test)]
            mod tests { use crate::proxy::Proxy; fn g() { { } } }
        "##;
        assert_eq!(judge("admin/status.rs", text), [""; 0]);
        let after = format!("{text} use crate::proxy::Proxy;");
        assert_eq!(judge("admin/status.rs", &after).len(), 1);
    }

    #[test]
    fn the_pure_core_stays_pure() {
        for text in [
            "use tracing::info;",
            "use std::sync::Mutex;",
            "fn f() { std::time::Instant::now(); }",
            "use crate::clock;",
        ] {
            assert_eq!(judge("reliability/budget.rs", text).len(), 1, "{text}");
        }
        assert_eq!(judge("reliability/budget.rs", "use std::time::{Duration, Instant};"), [""; 0]);
    }

    #[test]
    fn crates_and_deeds_have_a_home() {
        assert_eq!(judge("proxy/mod.rs", "use axum::Router;"), ["src/proxy/mod.rs: axum is imported by admin/ only"]);
        assert_eq!(judge("testing/mod.rs", "mod metrics; pub use metrics::Metrics;"), [""; 0]);
        assert_eq!(judge("proxy/route.rs", "fn f() { tokio::spawn(x) }").len(), 1);
        assert_eq!(judge("proxy/route.rs", "use tokio::net::{TcpListener, TcpStream};").len(), 1);
        assert_eq!(judge("proxy/route.rs", "fn f() -> S { StatusCode::BAD_GATEWAY }").len(), 1);
        assert_eq!(judge("proxy/route.rs", "fn f() -> S { StatusCode::from_u16(status) }"), [""; 0]);
        assert_eq!(judge("proxy/route.rs", "const M: &str = \"outrigger_made_up_total\";").len(), 1);
    }

    #[test]
    fn a_module_without_a_row_is_noticed() {
        assert_eq!(judge("common/mod.rs", "").len(), 1);
    }
}
