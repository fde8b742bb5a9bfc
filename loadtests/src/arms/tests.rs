//! Configurations: filled for every arm, and accepted by the programs that are here.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use outrigger::policy::compile;
use outrigger::policy::diagnostic::Format;

use super::config::{Addresses, Context};
use super::instance::{config_files, free_addresses};
use super::{Arm, Choice, Instance, Kind, Place, find};
use crate::credentials::Credentials;
use crate::measure::members;
use crate::results::Mode;
use crate::scenario::{
    Between, Fault, FaultKind, Latency, LoadPlan, PolicyNeeds, Protocol, Scenario, Tls, UpstreamPlan,
};

fn scenario(keyed: bool, protocol: Protocol) -> Scenario {
    let plan = outrigger::simulate::scenario::Scenario {
        name: "test".to_owned(),
        title: String::new(),
        description: String::new(),
        source: String::new(),
        duration: Duration::from_secs(1),
        warm_up: Duration::ZERO,
        load: LoadPlan {
            arrivals: Mode::Poisson,
            rate: 100.0,
            connections: 8,
            protocol,
            tls: Tls::None,
            idle: 0,
            method: if keyed { "POST" } else { "GET" }.to_owned(),
            path: "/".to_owned(),
            body: 0,
            keyed,
            critical: None,
            timeout: Duration::from_secs(5),
            requests_per_connection: None,
        },
        upstream: UpstreamPlan {
            endpoints: 3,
            tls: Tls::None,
            protocol: Protocol::Http1,
            latency: Latency::None,
            answer: 2,
            capacity: None,
            error_ratio: 0.0,
        },
        faults: Vec::new(),
        policy: PolicyNeeds {
            deadline: Duration::from_secs(2),
            attempt: Duration::from_millis(500),
            retries: 2,
            hedge: keyed,
            connections: 64,
            keyed,
            overload: false,
        },
        policy_is_given: true,
        tiers: 1,
        between: None,
        gates: Vec::new(),
        rounds: None,
        quick: false,
        cost: false,
    };
    Scenario { plan, gates: Vec::new() }
}

/// Every context that scenarios can ask for, with free addresses.
fn contexts(folder: &Path) -> Vec<Context> {
    let mut all = Vec::new();
    for keyed in [false, true] {
        for protocol in [Protocol::Http1, Protocol::Http2] {
            for endpoints in [1, 3] {
                for flipped in [false, true] {
                    let free = free_addresses(3 + endpoints).expect("ports");
                    let addresses = Addresses { listen: free[0], admin: free[1], metrics: free[2] };
                    let scenario = scenario(keyed, protocol);
                    let sides = scenario.sides(1);
                    let context = Context::new(&scenario, sides, addresses, &free[3..], folder, folder);
                    all.push(Context { flipped, ..context });
                }
            }
        }
    }
    all
}

/// The same with certificates.
fn encrypted_contexts(folder: &Path) -> Vec<Context> {
    let certificates = Credentials::make(folder).expect("certificates").folder;
    let mut all = Vec::new();
    for protocol in [Protocol::Http1, Protocol::Http2, Protocol::Grpc] {
        // Both sides of one process are encrypted nowhere, see `unable`; what a template does with both is its own affair.
        for (tls, upstream_tls) in [(Tls::Server, Tls::None), (Tls::Mutual, Tls::None), (Tls::None, Tls::Mutual)] {
            let mut scenario = scenario(false, protocol);
            (scenario.load.tls, scenario.upstream.tls) = (tls, upstream_tls);
            scenario.upstream.protocol = protocol;
            let free = free_addresses(4).expect("ports");
            let addresses = Addresses { listen: free[0], admin: free[1], metrics: free[2] };
            all.push(Context::new(&scenario, scenario.sides(1), addresses, &free[3..], folder, &certificates));
        }
    }
    all
}

/// Writes the files of `kind` for every context and calls `judge`.
fn each(kind: Kind, mut judge: impl FnMut(&Context, &Path)) {
    let folder = tempfile::tempdir().expect("a folder");
    for context in contexts(folder.path()).into_iter().chain(encrypted_contexts(folder.path())) {
        for name in config_files(kind) {
            let text = context.render(name).expect("filled");
            assert!(!text.contains("{{") && !text.contains("{%"), "{text}");
            fs::write(folder.path().join(name), text).expect("written");
        }
        judge(&context, folder.path());
    }
}

/// Runs a check of the program's own; says so if it is not here.
fn accepted_by(kind: Kind, arguments: impl Fn(&Path) -> Vec<String>) {
    let Ok(installed) = find(kind, None) else {
        eprintln!("{} is not installed: its configurations were not checked", kind.as_str());
        return;
    };
    each(kind, |context, folder| {
        let output = Command::new(&installed.program).args(arguments(folder)).output().expect("it runs");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{context:?}\n{said}");
    });
}

fn file(folder: &Path, name: &str) -> String {
    folder.join(name).display().to_string()
}

#[test]
fn every_template_is_filled_for_every_need() {
    for kind in Kind::ALL {
        each(kind, |context, folder| {
            for name in config_files(kind) {
                let text = fs::read_to_string(folder.join(name)).expect("written");
                if !name.contains("routes") {
                    assert!(context.endpoints.iter().all(|endpoint| text.contains(port(endpoint))), "{text}");
                    assert!(text.contains(port(&context.listen)), "{text}");
                }
            }
        });
    }
}

fn port(address: &str) -> &str {
    address.rsplit(':').next().unwrap_or_default()
}

#[test]
fn a_reload_changes_a_file_of_every_arm_that_can_reload() {
    for kind in [Kind::Outrigger, Kind::Envoy, Kind::Nginx] {
        let folder = Path::new("/nowhere");
        let context = contexts(folder).remove(0);
        let text = |flipped| {
            let context = Context { flipped, ..context.clone() };
            config_files(kind).iter().map(|name| context.render(name).expect("filled")).collect::<Vec<_>>()
        };
        assert_ne!(text(false), text(true), "{kind:?}");
    }
}

#[test]
fn policy_a_compiles_without_a_finding_and_has_the_scenarios_numbers() {
    each(Kind::Outrigger, |context, folder| {
        let text = fs::read_to_string(folder.join("outrigger.yaml")).expect("written");
        let compiled = compile::load("outrigger.yaml", &text);
        let compiled = compiled.unwrap_or_else(|findings| panic!("{}", findings.render(Format::Human)));
        assert!(compiled.warnings.is_empty(), "{}", compiled.warnings.render(Format::Human));
        let listen: SocketAddr = context.listen.parse().expect("an address");
        assert_eq!(compiled.policy.listeners[0].addr, listen);
        if context.tls != "none" {
            // In front of the app nothing is retried.
            assert!(text.contains("request: 2000ms") && text.contains("forward:"), "{text}");
            return;
        }
        for part in ["request: 2000ms", "backendRequest: 500ms", "connect: 250ms", "attempts: 2", "connections: 64"] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert_eq!(text.contains("dedupes"), context.keyed);
        assert_eq!(text.contains("hedge: {}"), context.hedge);
    });
}

#[test]
fn nginx_accepts_its_configurations() {
    let arguments = |folder: &Path| {
        ["-t", "-e", "stderr", "-p"]
            .map(str::to_owned)
            .into_iter()
            .chain([folder.display().to_string(), "-c".to_owned(), file(folder, "nginx.conf")])
            .collect()
    };
    accepted_by(Kind::Nginx, arguments);
}

#[test]
fn haproxy_accepts_its_configurations() {
    accepted_by(Kind::Haproxy, |folder| vec!["-c".to_owned(), "-f".to_owned(), file(folder, "haproxy.cfg")]);
}

#[test]
fn envoy_accepts_its_configurations() {
    accepted_by(Kind::Envoy, |folder| {
        let words = ["--mode", "validate", "-l", "error", "--disable-hot-restart", "-c"].map(str::to_owned);
        words.into_iter().chain([file(folder, "envoy.yaml")]).collect()
    });
}

/// An upstream that answers every request on connections of their own, until the test ends.
fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = [0; 4096];
            // A check that only connects reads nothing and gets nothing.
            if stream.read(&mut head).is_ok_and(|read| read > 0) {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
            }
        }
    });
    address
}

fn answer(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("written");
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    text
}

#[test]
fn every_peer_that_is_here_starts_answers_reloads_and_leaves_nothing() {
    let place = Place::new(None).expect("a folder");
    let folder = place.folder.clone();
    let endpoints = [upstream(), upstream()];
    let mut scenario = scenario(false, Protocol::Http1);
    for kind in [Kind::Envoy, Kind::Haproxy, Kind::Nginx, Kind::Pingora] {
        let arm = match Arm::new(Choice::plain(kind)) {
            Ok(arm) => arm,
            Err(reason) => {
                eprintln!("{} was not started: {reason}", kind.as_str());
                continue;
            }
        };
        scenario.faults.clear();
        if kind != Kind::Pingora {
            scenario.faults.push(Fault {
                at: Duration::ZERO,
                until: Duration::ZERO,
                endpoints: Vec::new(),
                kind: FaultKind::Reload,
            });
        }
        let mut instance = Instance::start(&arm, 1, &endpoints, &scenario, &place).unwrap_or_else(|e| panic!("{e}"));
        let group = instance.group();
        assert!(!members(&[group]).is_empty());
        assert!(answer(instance.listen()).starts_with("HTTP/1.1 200"), "{kind:?}");
        assert_eq!(instance.reload().is_ok(), scenario.reloads(), "{kind:?}");
        assert!(answer(instance.listen()).starts_with("HTTP/1.1 200"), "{kind:?} after its reload");
        assert_eq!(instance.ended(), None);
        assert!(!instance.config.contains("outrigger-bench-"), "paths of this machine: {}", instance.config);
        drop(instance);
        assert!(members(&[group]).is_empty(), "{kind:?} is still there");
    }
    drop(place);
    assert!(!folder.exists());
}

#[test]
fn what_a_program_cannot_do_is_said() {
    let plain = scenario(false, Protocol::Http1);
    let h2 = scenario(false, Protocol::Http2);
    assert!(Kind::ALL.iter().all(|kind| kind.unable(&plain).is_none()));
    assert!(Kind::ALL.iter().all(|kind| kind.unable(&h2).is_none()));
    let unable = |scenario: &Scenario| -> Vec<Kind> {
        Kind::ALL.into_iter().filter(|kind| kind.unable(scenario).is_some()).collect()
    };
    let mut both = scenario(false, Protocol::Http2);
    both.upstream.protocol = Protocol::Http2;
    assert_eq!(unable(&both), [Kind::Nginx, Kind::Pingora]);
    let mut calls = scenario(false, Protocol::Grpc);
    calls.upstream.protocol = Protocol::Grpc;
    assert_eq!(unable(&calls), [Kind::Pingora]);
    let mut pods = scenario(false, Protocol::Http1);
    pods.between = Some(Between { tls: Tls::Mutual, protocol: Protocol::Http2 });
    assert_eq!(unable(&pods), [Kind::Nginx, Kind::Pingora]);
    (pods.load.tls, pods.upstream.tls) = (Tls::Server, Tls::Server);
    assert_eq!(unable(&pods), [Kind::Outrigger, Kind::Nginx, Kind::Pingora]);
    let mut reload = scenario(false, Protocol::Http1);
    reload.faults.push(Fault {
        at: Duration::ZERO,
        until: Duration::ZERO,
        endpoints: Vec::new(),
        kind: FaultKind::Reload,
    });
    assert_eq!(unable(&reload), [Kind::Direct, Kind::Pingora]);
}
