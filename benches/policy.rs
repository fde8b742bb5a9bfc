//! What the size of a policy costs: a request (route match), and a reload (compile, swap in).
//!
//! `cargo bench --bench policy`; without `--bench` every case runs once, to prove that it works. The policies are
//! those of `PolicySize`: exact paths, prefixes, and hosts with a prefix take turns.
#![expect(clippy::expect_used, reason = "a bench ends if it cannot run")]

use std::hint::black_box;
use std::net::SocketAddr;
use std::path::PathBuf;

use divan::Bencher;
use http::Method;
use outrigger::app::{App, Settings};
use outrigger::policy::compile::load;
use outrigger::policy::store::Source;
use outrigger::policy::{Policy, diff};
use outrigger::testing::{PolicySize, RoutedRequest, free_address};

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Look-ups per sample: so many that neither the clock's precision nor an interruption counts.
const LOOK_UPS: u32 = 10_000;

fn main() {
    divan::main();
}

const ROUTES: [usize; 3] = [1, 100, 10_000];

/// One upstream with all routes, and many upstreams with few routes each.
const SIZES: [PolicySize; 5] = [
    PolicySize::of_routes(1),
    PolicySize::of_routes(100),
    PolicySize::of_routes(10_000),
    PolicySize { upstreams: 1_000, routes: 9, endpoints: 1 },
    PolicySize { upstreams: 1, routes: 1, endpoints: 1_000 },
];

fn text(size: PolicySize, request: &str) -> String {
    let endpoint = |n: usize| SocketAddr::from(([10, 0, (n >> 8) as u8, n as u8], 80));
    let block = format!("retry: {{}}\ncircuitBreaker: {{}}\ntimeouts: {{ request: {request} }}");
    format!("version: 1\n{}", size.upstreams(&block, endpoint))
}

fn compile(text: &str) -> Policy {
    load("policy.yaml", text).expect("a valid policy").policy
}

/// Time of one look-up. The paths are those of a request: the table sees them for the first time.
mod route_match {
    use super::*;

    fn bench(bencher: Bencher<'_, '_>, routes: usize, route: usize) {
        let size = PolicySize::of_routes(routes);
        let policy = compile(&text(size, "1s"));
        let (table, wanted) = (&policy.listeners[0].table, size.request(0, route));
        bencher.bench(|| table.select(black_box(&wanted.host), black_box(&wanted.path), &Method::GET));
    }

    #[divan::bench(args = ROUTES, sample_size = LOOK_UPS)]
    fn first(bencher: Bencher<'_, '_>, routes: usize) {
        bench(bencher, routes, 0);
    }

    #[divan::bench(args = ROUTES, sample_size = LOOK_UPS)]
    fn last_exact(bencher: Bencher<'_, '_>, routes: usize) {
        bench(bencher, routes, last(routes, 0));
    }

    #[divan::bench(args = ROUTES, sample_size = LOOK_UPS)]
    fn last_prefix(bencher: Bencher<'_, '_>, routes: usize) {
        bench(bencher, routes, last(routes, 1));
    }

    #[divan::bench(args = ROUTES, sample_size = LOOK_UPS)]
    fn last_host(bencher: Bencher<'_, '_>, routes: usize) {
        bench(bencher, routes, last(routes, 2));
    }

    #[divan::bench(args = ROUTES, sample_size = LOOK_UPS)]
    fn miss(bencher: Bencher<'_, '_>, routes: usize) {
        bench(bencher, routes, 3 * routes);
    }

    /// All routes in turn, so that caches hold none of them: as traffic does that uses the whole policy.
    #[divan::bench(args = ROUTES, sample_size = LOOK_UPS)]
    fn each_in_turn(bencher: Bencher<'_, '_>, routes: usize) {
        let size = PolicySize::of_routes(routes);
        let policy = compile(&text(size, "1s"));
        let table = &policy.listeners[0].table;
        // A prime step visits all of them, and never two neighbours one after the other.
        let wanted: Vec<RoutedRequest> = (0..routes).map(|n| size.request(0, n * 7_919 % routes)).collect();
        let mut turn = wanted.iter().cycle();
        bencher.bench_local(|| turn.next().and_then(|it| table.select(&it.host, &it.path, &Method::GET)));
    }

    /// The last route of a form; one that does not exist (the default route answers) if there is none.
    fn last(routes: usize, form: usize) -> usize {
        (0..routes).rev().find(|route| route % 3 == form).unwrap_or(form)
    }
}

/// Text to policy, lints included.
#[divan::bench(args = SIZES)]
fn read_and_compile(bencher: Bencher<'_, '_>, size: PolicySize) {
    let text = text(size, "1s");
    bencher.bench(|| load("policy.yaml", black_box(&text)));
}

/// What a reload says about its effect, where every route changes.
#[divan::bench(args = SIZES)]
fn difference(bencher: Bencher<'_, '_>, size: PolicySize) {
    let (old, new) = (compile(&text(size, "1s")), compile(&text(size, "2s")));
    bencher.bench(|| diff::diff(black_box(&old), black_box(&new)));
}

/// The same where every route is new, and no line can speak for two of them.
#[divan::bench(args = SIZES)]
fn difference_from_nothing(bencher: Bencher<'_, '_>, size: PolicySize) {
    let (old, new) = (compile(&text(PolicySize { routes: 0, ..size }, "1s")), compile(&text(size, "1s")));
    bencher.bench(|| diff::diff(black_box(&old), black_box(&new)));
}

/// A whole reload in a running process: compile, compare, reconcile upstreams, swap, journal in memory.
#[divan::bench(args = SIZES)]
fn swap_in(bencher: Bencher<'_, '_>, size: PolicySize) {
    let process = Process::start(&text(size, "1s"));
    let (one, two) = (process.text(&text(size, "1s")), process.text(&text(size, "2s")));
    let mut turn = false;
    bencher.bench_local(|| {
        turn = !turn;
        let candidate = if turn { &two } else { &one };
        process.app.store().apply(candidate, Source::Api, "bench", None).expect("a valid policy")
    });
}

/// The proxy inside this process.
struct Process {
    app: App,
    listen: SocketAddr,
    policy: PathBuf,
}

impl Process {
    fn start(upstreams: &str) -> Process {
        let listen = free_address();
        let policy = std::env::temp_dir().join(format!("outrigger-bench-{}-{}", std::process::id(), listen.port()));
        std::fs::write(&policy, Process::head(listen, upstreams)).expect("a policy file");
        let any = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        let settings = Settings {
            policy: policy.clone(),
            workers: 1,
            state_dir: None,
            admin_listen: any,
            metrics_listen: any,
            access_log: false,
            quit_endpoint: false,
            signals: false,
            sockets: Default::default(),
            notifier: Default::default(),
        };
        let app = App::start(settings).expect("a running proxy");
        Process { app, listen, policy }
    }

    fn head(listen: SocketAddr, text: &str) -> String {
        text.replacen("version: 1\n", &format!("version: 1\nlisten: {listen}\n"), 1)
    }

    fn text(&self, text: &str) -> String {
        Process::head(self.listen, text)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.policy);
    }
}
