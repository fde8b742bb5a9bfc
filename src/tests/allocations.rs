//! Allocations on the request path, counted in the real proxy in this process.
//!
//! Client and upstreams are plain sockets with fixed buffers: between two counts nobody allocates but the proxy.
//! The allocator counts the whole process, so that a background task of the proxy may fall into a round; the
//! best of several rounds is what a request needs.
//!
//! `OUTRIGGER_HEAP_PROFILE=dhat.json cargo test --profile quick --test allocations` also writes every place that
//! allocates, with its stack, for DHAT's viewer.

#![expect(clippy::expect_used, reason = "a test ends if it cannot run")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;

use outrigger::app::{App, Settings};
use outrigger::testing::{BOUND, free_address};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// Requests before the first count: connections are open and buffers have their size.
const WARM_UP: u64 = 300;
const ROUNDS: u64 = 5;
const REQUESTS: u64 = 200;

/// A request, and the most that it may allocate. The bounds are what was measured, rounded up to the next half block and,
/// with some room for chance, to full 256 bytes: whoever adds an allocation finds this test, whoever removes one lowers
/// the bound.
struct Case {
    name: &'static str,
    request: &'static [u8],
    blocks_max: f64,
    bytes_max: f64,
}

const CASES: [Case; 2] = [
    Case {
        name: "GET",
        request: b"GET /item/1 HTTP/1.1\r\nHost: up\r\nUser-Agent: test\r\nAccept: */*\r\n\r\n",
        blocks_max: 9.5,
        bytes_max: 9_984.0,
    },
    Case {
        name: "POST of 5 bytes",
        request: b"POST /item/1 HTTP/1.1\r\nHost: up\r\nUser-Agent: test\r\nContent-Length: 5\r\n\r\n12345",
        blocks_max: 11.5,
        bytes_max: 10_496.0,
    },
];

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello";

/// Traces are on, nothing is sampled, and nothing goes wrong: that costs no allocation either.
const UNSAMPLED: &str = "tracing: { endpoint: 'http://127.0.0.1:9', sampleRatio: 0.0, slow: none }\n";

#[test]
fn a_proxied_request_allocates_no_more_than_its_bound() {
    let findings = [measure("off", ""), measure("unsampled", UNSAMPLED)].concat();
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

/// What is beyond its bound, in the proxy with this block in its policy.
fn measure(traces: &str, block: &str) -> Vec<String> {
    let upstreams = [upstream(), upstream()];
    let listen = free_address();
    let directory = tempfile::tempdir().expect("a directory");
    let policy = directory.path().join("policy.yaml");
    let text = format!(
        "version: 1\nlisten: {listen}\n{block}upstreams:\n  up:\n    endpoints: ['http://{}', 'http://{}']\n    \
         retry: {{}}\n    circuitBreaker: {{}}\n",
        upstreams[0], upstreams[1],
    );
    std::fs::write(&policy, text).expect("a policy file");
    let any = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    // Lines of the access log are made, and written nowhere.
    let settings = Settings {
        policy,
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

    let mut clients: Vec<Client> = CASES.iter().map(|case| Client::connect(listen, case.request)).collect();
    for client in &mut clients {
        client.ask(WARM_UP);
    }
    let profiler = match std::env::var_os("OUTRIGGER_HEAP_PROFILE") {
        Some(path) => dhat::Profiler::builder().file_name(path).trim_backtraces(Some(64)).build(),
        None => dhat::Profiler::builder().testing().build(),
    };
    let mut findings = Vec::new();
    for (case, client) in CASES.iter().zip(&mut clients) {
        let (blocks, bytes) = client.least();
        println!("{}, traces {traces}: {blocks:.2} blocks, {bytes:.0} bytes per request", case.name);
        if blocks > case.blocks_max || bytes > case.bytes_max {
            let (more_blocks, more_bytes) = (case.blocks_max, case.bytes_max);
            findings
                .push(format!("{}: {blocks:.2} > {more_blocks} blocks or {bytes:.0} > {more_bytes} bytes", case.name));
        }
    }
    drop(profiler);
    drop(clients);
    app.shutdown();
    findings
}

/// A kept connection that asks the same again and again.
struct Client {
    stream: TcpStream,
    request: &'static [u8],
    buffer: [u8; 4096],
}

impl Client {
    fn connect(to: SocketAddr, request: &'static [u8]) -> Client {
        let stream = TcpStream::connect(to).expect("a connection");
        stream.set_read_timeout(Some(BOUND)).expect("a timeout");
        stream.set_nodelay(true).expect("an option");
        Client { stream, request, buffer: [0; 4096] }
    }

    fn ask(&mut self, requests: u64) {
        for _ in 0..requests {
            self.stream.write_all(self.request).expect("a request is written");
            let mut filled = 0;
            while !self.buffer[..filled].ends_with(b"\r\n\r\nhello") {
                let read = self.stream.read(&mut self.buffer[filled..]).expect("an answer is read");
                assert!(read > 0, "broken off: {}", String::from_utf8_lossy(&self.buffer[..filled]));
                filled += read;
            }
            assert!(self.buffer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&self.buffer[..filled]));
        }
    }

    /// Blocks and bytes per request, in the round that needed least.
    fn least(&mut self) -> (f64, f64) {
        let mut least = (f64::INFINITY, f64::INFINITY);
        for _ in 0..ROUNDS {
            let before = dhat::HeapStats::get();
            self.ask(REQUESTS);
            let after = dhat::HeapStats::get();
            let each = |before: u64, after: u64| (after - before) as f64 / REQUESTS as f64;
            least.0 = least.0.min(each(before.total_blocks, after.total_blocks));
            least.1 = least.1.min(each(before.total_bytes, after.total_bytes));
        }
        least
    }
}

/// Answers every request that ends with an empty line, or five bytes after it. Ends with the process.
fn upstream() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer(stream));
        }
    });
    address
}

fn answer(mut stream: TcpStream) {
    let mut buffer = [0; 4096];
    let mut filled = 0;
    let _ = stream.set_nodelay(true);
    while let Ok(read @ 1..) = stream.read(&mut buffer[filled..]) {
        filled += read;
        let whole = if buffer.starts_with(b"POST") { &b"\r\n\r\n12345"[..] } else { b"\r\n\r\n" };
        if buffer[..filled].ends_with(whole) {
            filled = 0;
            if stream.write_all(ANSWER).is_err() {
                return;
            }
        }
    }
}
