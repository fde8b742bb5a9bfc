use std::sync::mpsc;

use serde_json::Value;

use super::*;
use crate::reliability::entropy::{Entropy, SplitMix};

const ATTEMPTS: [AttemptEntry<'static>; 2] = [
    AttemptEntry {
        endpoint: "10.0.0.1:80",
        kind: "first",
        at: Duration::from_micros(500),
        backoff: None,
        duration: Duration::from_millis(2),
        end: AttemptEndEntry::Call(Code::Unavailable),
    },
    AttemptEntry {
        endpoint: "10.0.0.2:80",
        kind: "retry",
        at: Duration::from_millis(35),
        backoff: Some(Duration::from_micros(32_500)),
        duration: Duration::from_millis(500),
        end: AttemptEndEntry::Failed(Failure::TryTimeout),
    },
];

fn entry<'a>() -> AccessEntry<'a> {
    AccessEntry {
        timestamp: Timestamp::UNIX_EPOCH,
        method: b"POST",
        path: b"/v1/charges?card=4111111111111111",
        status: Some(504),
        host: b"payments.local",
        duration: Duration::from_micros(1_234_567),
        trace_id: "0af7651916cd43dd8448eb211c80319c",
        request_id: Some(b"order-17"),
        peer: Some("spiffe://shop.example/ns/web/sa/cart"),
        direction: Direction::Outbound,
        upstream: Some("payments"),
        route: Some("charge"),
        outcome: RequestOutcome::Failed,
        call: Some(Code::DeadlineExceeded),
        failure: Some(Failure::TryTimeout),
        sent: Some(Sent::Maybe),
        waited: Duration::from_micros(400),
        deadline_from: Some("trace"),
        attempts: &ATTEMPTS,
        retry_denied: Some("budget"),
        idempotency: Some("unknown"),
        dead_letter: Some("01890a5d-ac96-774b-bcce-b302099a8057"),
        policy_revision: 7,
        request_bytes: 12,
        response_bytes: 345,
    }
}

fn line(entry: &AccessEntry<'_>) -> String {
    let mut line = Vec::new();
    write_line(entry, &mut line).unwrap();
    String::from_utf8(line).unwrap()
}

/// Every key that a line can have; those of an attempt after `outrigger.attempts[].`.
pub(crate) fn keys() -> std::collections::BTreeSet<String> {
    let json: Value = serde_json::from_str(&line(&entry())).unwrap();
    let inner = json["outrigger.attempts"].as_array().unwrap().iter().flat_map(|one| one.as_object().unwrap().keys());
    let inner = inner.map(|key| format!("outrigger.attempts[].{key}"));
    json.as_object().unwrap().keys().cloned().chain(inner).collect()
}

/// A sink that the test reads; writing waits while the test holds `gate`.
struct Gated {
    gate: Arc<Mutex<()>>,
    written: mpsc::Sender<Vec<u8>>,
}

impl Write for Gated {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _open = self.gate.lock().unwrap();
        self.written.send(bytes.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

type Started = (AccessLog, Arc<Mutex<()>>, mpsc::Receiver<Vec<u8>>, Arc<AtomicU64>);

fn start() -> Started {
    let (written, read) = mpsc::channel();
    let (gate, dropped) = (Arc::new(Mutex::new(())), Arc::new(AtomicU64::new(0)));
    let log = AccessLog::start(Gated { gate: gate.clone(), written }, dropped.clone()).unwrap();
    (log, gate, read, dropped)
}

#[test]
fn a_line_tells_what_happened_and_never_the_query() {
    let text = line(&entry());
    assert!(!text.contains("4111"), "{text}");
    let json: Value = serde_json::from_str(&text).unwrap();
    let expected = serde_json::json!({
        "timestamp": "1970-01-01T00:00:00.000000Z",
        "http.request.method": "POST",
        "url.path": "/v1/charges",
        "http.response.status_code": 504,
        "http.route": "payments/charge",
        "server.address": "payments.local",
        "duration_ms": 1234.567,
        "http.request.body.size": 12,
        "http.response.body.size": 345,
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "http.request.header.x-request-id": "order-17",
        "outrigger.peer": "spiffe://shop.example/ns/web/sa/cart",
        "outrigger.direction": "outbound",
        "outrigger.upstream": "payments",
        "outrigger.route": "charge",
        "outrigger.outcome": "failed",
        "rpc.response.status_code": "DEADLINE_EXCEEDED",
        "error.type": "http_response_timeout",
        "outrigger.reason": "try-timeout",
        "outrigger.side": "upstream",
        "outrigger.phase": "exchange",
        "outrigger.sent": "maybe",
        "outrigger.queue_ms": 0.4,
        "outrigger.deadline_from": "trace",
        "outrigger.attempts": [
            {"endpoint": "10.0.0.1:80", "kind": "first", "at_ms": 0.5, "ms": 2.0, "status": 200, "code": "UNAVAILABLE"},
            {"endpoint": "10.0.0.2:80", "kind": "retry", "at_ms": 35.0, "backoff_ms": 32.5, "ms": 500.0, "error": "try-timeout"},
        ],
        "outrigger.retry_denied": "budget",
        "outrigger.idempotency": "unknown",
        "outrigger.dead_letter": "01890a5d-ac96-774b-bcce-b302099a8057",
        "outrigger.policy_revision": 7,
    });
    assert_eq!(json, expected);
}

#[test]
fn what_did_not_happen_has_no_key() {
    let refused = AccessEntry {
        status: None,
        upstream: None,
        route: None,
        failure: None,
        sent: None,
        retry_denied: None,
        idempotency: None,
        dead_letter: None,
        attempts: &[],
        ..entry()
    };
    let json: Value = serde_json::from_str(&line(&refused)).unwrap();
    for key in ["http.response.status_code", "http.route", "outrigger.upstream", "error.type", "outrigger.sent"] {
        assert_eq!(json.get(key), None, "{key}");
    }
}

#[test]
fn a_thousand_hostile_payloads_give_a_thousand_valid_lines_of_printable_ascii() {
    const BITS: [&[u8]; 12] = [
        b"\x1b[31m",
        b"\r\n",
        b"\0",
        "\u{2028}".as_bytes(),
        "\u{9b}31m".as_bytes(),
        b"\x7f",
        b"\xff\xfe",
        b"\",\"x\":\"",
        b"\\",
        "\u{1f600}".as_bytes(),
        "\u{202e}".as_bytes(),
        b"{\"trace_id\":\"forged\"}\n",
    ];
    let (log, _, read, dropped) = start();
    let mut random = SplitMix::new(14);
    for _ in 0..1_000 {
        let mut payload = || (0..4).flat_map(|_| BITS[random.below(BITS.len())].to_vec()).collect::<Vec<u8>>();
        let (path, host, method) = (payload(), payload(), payload());
        log.log(&AccessEntry { path: &path, host: &host, method: &method, ..entry() });
    }
    assert!(log.close(Duration::from_secs(10)));
    assert_eq!(dropped.load(Ordering::Relaxed), 0);
    let bytes: Vec<u8> = read.try_iter().flatten().collect();
    assert!(bytes.iter().all(|b| matches!(b, b' '..=b'~' | b'\n')), "control or non-ASCII byte in the log");
    let lines: Vec<Value> =
        bytes.split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(|l| serde_json::from_slice(l).unwrap()).collect();
    assert_eq!(lines.len(), 1_000);
    assert!(lines.iter().all(|json| json["trace_id"] == entry().trace_id));
}

#[test]
fn text_beyond_ascii_is_read_back_as_it_was_sent() {
    let path = "/\u{e9}\u{1f600}\u{7f}x";
    let json: Value = serde_json::from_str(&line(&AccessEntry { path: path.as_bytes(), ..entry() })).unwrap();
    assert_eq!(json["url.path"], path);
}

#[test]
fn a_path_of_a_megabyte_is_cut() {
    let path = vec![b'a'; 1 << 20];
    let text = line(&AccessEntry { path: &path, host: &path, ..entry() });
    assert!(text.len() < 8_192, "{}", text.len());
    assert!(text.contains("aaa...\""));
}

#[test]
fn a_reader_that_stops_costs_lines_which_are_counted_and_never_blocks() {
    let (log, gate, read, dropped) = start();
    let closed_gate = gate.lock().unwrap();
    for _ in 0..20_000 {
        log.log(&entry());
    }
    assert!(!log.close(Duration::from_millis(1)), "nothing can be written yet");
    drop(closed_gate);
    assert!(log.close(Duration::from_secs(10)));
    let written = read.try_iter().flatten().filter(|b| *b == b'\n').count() as u64;
    assert_eq!(written + dropped.load(Ordering::Relaxed), 20_000);
    // One batch in the hands of the writer and one full queue.
    assert!(written <= 2 * QUEUE_LINES_MAX && written > 0, "{written}");
}

#[test]
fn lines_after_closing_and_lines_for_a_closed_stdout_are_counted() {
    let (log, _, read, dropped) = start();
    drop(read);
    log.log(&entry());
    assert!(log.close(Duration::from_secs(10)));
    assert_eq!(dropped.load(Ordering::Relaxed), 1);
    log.log(&entry());
    assert_eq!(dropped.load(Ordering::Relaxed), 2);
}

#[test]
fn errors_are_always_written_if_the_policy_says_so_and_the_rest_by_ratio() {
    let policy = |sample_ratio, errors_always| policy::AccessLog { sample_ratio, errors_always };
    assert!(should_log(&policy(0.0, true), true, u64::MAX));
    assert!(!should_log(&policy(0.0, true), false, 0));
    assert!(!should_log(&policy(0.0, false), true, 0));
    assert!(should_log(&policy(1.0, false), false, u64::MAX));
    let mut random = SplitMix::new(1);
    let written = (0..100_000).filter(|_| should_log(&policy(0.01, true), false, random.next_u64())).count();
    assert!((900..1_100).contains(&written), "{written}");
}
