//! A small admin server with scripted answers, and the orders it was given. Used by the command line's tests too.

pub(crate) mod letters;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::admin::api::{
    Applied, ByAttempt, CertificateStatus, CertificateView, Change, Curves, KeyAnswer, KeyView, PolicyDocument,
    PolicySummary, Readiness, Reload, ResolveAs, ResolvedKey, RetryReport, Revision, Verdict,
};
use crate::admin::control::{
    ChangesFilter, CircuitOrder, Control, KeyName, Outcome, Refused, ReloadOrder, ResolveOrder, RollbackOrder,
};
use crate::admin::{Access, Door, Stranger};
use crate::telemetry::stories::Stories;
use crate::upstreams::view::{BudgetView, CircuitView, EndpointView, LimitsView, TotalsView, UpstreamView};

/// What the process was told to do, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Changes(ChangesFilter),
    Reload(ReloadOrder),
    Rollback(RollbackOrder),
    Circuit(CircuitOrder),
    ShowKey(KeyName),
    ResolveKey(ResolveOrder),
    Letters(letters::LetterOrder),
}

/// The process behind the API: what it answers, and what it was told.
pub(crate) struct Process {
    pub orders: Vec<Order>,
    pub views: Vec<UpstreamView>,
    /// Of the views, in the same order.
    pub verdicts: Vec<Verdict>,
    pub readiness: Readiness,
    pub policy: PolicyDocument,
    pub changes: Vec<Change>,
    pub draining: bool,
    pub metrics: String,
    pub retries: Vec<RetryReport>,
    pub certificates: Vec<CertificateStatus>,
    /// The next reload, rollback, or order about a circuit, a key or a letter is refused so.
    pub refuse: Option<Refused>,
    pub letters: letters::Post,
    pub stories: Arc<Stories>,
    /// Who was not let in.
    pub strangers: Vec<Stranger>,
}

impl Process {
    /// One dependency in good health under revision 7.
    pub fn healthy() -> Self {
        let summary = PolicySummary {
            revision: 7,
            hash: "c0ffee".repeat(11)[..64].to_owned(),
            applied_at: "2026-11-22T10:00:00Z".to_owned(),
            age_seconds: 240,
            author: "watch".to_owned(),
            source: "/etc/outrigger/policy.yaml".to_owned(),
            reload: Reload::default(),
        };
        let change = Change {
            at: "2026-11-22T10:00:00Z".to_owned(),
            age_seconds: 240,
            kind: "policy-applied".to_owned(),
            upstream: None,
            summary: "policy revision 7 applied".to_owned(),
            effects: vec!["payments: retry.attempts 1 -> 3".to_owned()],
            author: Some("watch".to_owned()),
            reason: None,
            revision: Some(7),
            hash: Some("c0ffee".to_owned()),
        };
        Process {
            orders: Vec::new(),
            views: vec![payments()],
            verdicts: vec![crate::admin::verdict::of(&payments(), None, crate::clock::now())],
            readiness: Readiness { ready: true, reasons: Vec::new() },
            policy: PolicyDocument { policy: summary, text: "version: 1\nupstreams: {}\n".to_owned() },
            changes: vec![change],
            draining: false,
            metrics: "# TYPE outrigger_requests_total counter\n".to_owned(),
            retries: vec![not_helping(None), not_helping(Some("timeout"))],
            certificates: vec![valid_certificate()],
            refuse: None,
            letters: letters::Post::usual(),
            stories: stories(),
            strangers: Vec::new(),
        }
    }

    fn applied(&mut self, changed: bool) -> Result<Applied, Refused> {
        match self.refuse.take() {
            Some(refused) => Err(refused),
            None => Ok(Applied { revision: 8, hash: "beef".repeat(16), changed, effects: Vec::new() }),
        }
    }

    fn circuit(&mut self) -> Result<CircuitView, Refused> {
        match self.refuse.take() {
            Some(refused) => Err(refused),
            None => Ok(CircuitView { held: Some("open".to_owned()), state: "open".to_owned(), ..closed() }),
        }
    }
}

/// The request with the id `r1`, which a retry saved.
fn stories() -> Arc<Stories> {
    let stories = Arc::<Stories>::default();
    stories.keep(Arc::new(crate::telemetry::stories::tests::rescued()));
    stories
}

/// A dependency of two endpoints whose circuit is closed and whose retries helped.
pub(crate) fn payments() -> UpstreamView {
    UpstreamView {
        name: "payments".to_owned(),
        direction: "outbound".to_owned(),
        endpoints: vec![endpoint("10.2.3.4:8080"), endpoint("10.2.3.5:8080")],
        endpoint_set_age_seconds: 3_725,
        resolve_error: None,
        panic: false,
        checks_ignored: false,
        circuit: Some(closed()),
        budget: BudgetView { remaining_ratio: 0.8, gated: false },
        limits: LimitsView {
            in_flight: 3,
            in_flight_max: 256,
            in_force: 256,
            pending: 0,
            pending_max: 64,
            found: None,
            shed: Vec::new(),
            shed_per_second: Vec::new(),
        },
        p50_ms: Some(4.1),
        p99_ms: Some(38.4),
        rate_limits: Vec::new(),
        observed: Vec::new(),
        totals: TotalsView {
            requests: 1_204,
            requests_failed: 1,
            attempts: 1_240,
            first_attempts_failed: 34,
            retries: 36,
            rescued: 33,
            denied: vec![("budget".to_owned(), 2)],
            refused: 0,
        },
        hedges: Vec::new(),
    }
}

pub(crate) fn endpoint(address: &str) -> EndpointView {
    EndpointView {
        address: address.to_owned(),
        pending: 1,
        open_connections: 4,
        idle_connections: 3,
        ewma_ms: 4.2,
        failure_percent: 0.0,
        samples: 60,
        ejected_for_ms: None,
        last_failure: None,
        health: None,
        zone: None,
    }
}

pub(crate) fn closed() -> CircuitView {
    CircuitView {
        state: "closed".to_owned(),
        held: None,
        retry_after_ms: None,
        failure_percent: 0.0,
        slow_percent: 0.0,
        samples: 120,
        throttle_rejection: 0.0,
    }
}

/// A running admin server and, for comparison, a metrics server over the same process.
pub(crate) struct Stage {
    pub process: Arc<Mutex<Process>>,
    pub admin: SocketAddr,
    pub metrics: SocketAddr,
    shutdown: CancellationToken,
    servers: Vec<JoinHandle<()>>,
}

impl Stage {
    pub async fn healthy() -> Self {
        Stage::of(Process::healthy()).await
    }

    pub async fn of(process: Process) -> Self {
        Stage::guarded(process, Access::default()).await
    }

    /// With a guard before the admin server.
    pub async fn guarded(process: Process, access: Access) -> Self {
        let process = Arc::new(Mutex::new(process));
        let admin = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let metrics = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (admin_addr, metrics_addr) = (admin.local_addr().unwrap(), metrics.local_addr().unwrap());
        let control = Arc::new(control(&process, admin_addr, access));
        let door = Door { tls: None, control: control.clone() };
        let shutdown = CancellationToken::new();
        let servers = vec![
            tokio::spawn(crate::admin::serve(
                admin,
                crate::admin::router(control.clone()),
                door.clone(),
                shutdown.clone(),
            )),
            tokio::spawn(crate::admin::serve(metrics, crate::admin::metrics_router(control), door, shutdown.clone())),
        ];
        Stage { process, admin: admin_addr, metrics: metrics_addr, shutdown, servers }
    }

    pub fn process(&self) -> MutexGuard<'_, Process> {
        self.process.lock().unwrap()
    }

    pub fn orders(&self) -> Vec<Order> {
        self.process().orders.clone()
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: {}\r\n", self.admin), "").await
    }

    /// A changing call as it should be.
    pub async fn post(&self, path: &str, body: &str) -> Reply {
        self.send(&self.post_head(path), body).await
    }

    /// The head of a changing call, without its end, so that a test can add to it.
    pub fn post_head(&self, path: &str) -> String {
        let host = self.admin;
        format!("POST {path} HTTP/1.1\r\nhost: {host}\r\nx-outrigger-admin: 1\r\ncontent-type: application/json\r\n")
    }

    /// Sends `head`, which lacks only its length, `connection: close` and end, and `body`.
    pub async fn send(&self, head: &str, body: &str) -> Reply {
        exchange(self.admin, head, body).await
    }

    /// Ends the servers and waits for them.
    pub async fn stop(self) {
        self.shutdown.cancel();
        for server in self.servers {
            server.await.unwrap();
        }
    }
}

fn control(process: &Arc<Mutex<Process>>, listen: SocketAddr, access: Access) -> Control {
    fn ask<T>(process: &Arc<Mutex<Process>>, read: fn(&Process) -> T) -> Box<dyn Fn() -> T + Send + Sync>
    where
        T: 'static,
    {
        let process = process.clone();
        Box::new(move || read(&process.lock().unwrap()))
    }
    fn act<A: 'static, T: 'static>(
        process: &Arc<Mutex<Process>>,
        act: fn(&mut Process, A) -> T,
    ) -> Box<dyn Fn(A) -> T + Send + Sync> {
        let process = process.clone();
        Box::new(move |argument| act(&mut process.lock().unwrap(), argument))
    }
    Control {
        name: ask(process, |_| "checkout".to_owned()),
        listen,
        access,
        refused: act(process, |process, stranger| process.strangers.push(stranger)),
        uptime: ask(process, |_| Duration::from_secs(7_500)),
        draining: ask(process, |process| process.draining),
        quit: None,
        readiness: ask(process, |process| process.readiness.clone()),
        views: ask(process, |process| process.views.clone()),
        verdicts: ask(process, |process| process.verdicts.clone()),
        curves: Box::new(Curves::default),
        render_metrics: ask(process, |process| process.metrics.clone()),
        policy: ask(process, |process| process.policy.clone()),
        changes: act(process, |process, filter| {
            let limit = filter.limit;
            process.orders.push(Order::Changes(filter));
            Ok(process.changes.iter().take(limit).cloned().collect())
        }),
        history: ask(process, |process| {
            let summary = &process.policy.policy;
            Ok(vec![Revision {
                revision: summary.revision,
                hash: summary.hash.clone(),
                applied_at: summary.applied_at.clone(),
                author: summary.author.clone(),
                source: summary.source.clone(),
                reason: None,
                effects: vec!["payments: retry.attempts 1 -> 3".to_owned()],
                current: true,
            }])
        }),
        reload: act(process, |process, order| {
            process.orders.push(Order::Reload(order));
            process.applied(false)
        }),
        rollback: act(process, |process, order| {
            process.orders.push(Order::Rollback(order));
            process.applied(true)
        }),
        circuit: act(process, |process, order| {
            process.orders.push(Order::Circuit(order));
            process.circuit()
        }),
        show_key: act(process, |process, name| {
            process.orders.push(Order::ShowKey(name));
            process.refuse.take().map_or_else(|| Ok(unknown_key()), Err)
        }),
        resolve_key: act(process, |process, order| {
            let resolved = resolved_key(&order);
            process.orders.push(Order::ResolveKey(order));
            process.refuse.take().map_or(Ok(resolved), Err)
        }),
        retries: ask(process, |process| process.retries.clone()),
        certificates: ask(process, |process| process.certificates.clone()),
        letters: letters::control(process),
        stories: Arc::clone(&process.lock().unwrap().stories),
    }
}

/// The listener's, valid for two months.
pub(crate) fn valid_certificate() -> CertificateStatus {
    let presented = CertificateView {
        subject: "spiffe://shop.example/ns/shop/sa/web".to_owned(),
        file: "/etc/outrigger-tls/tls.crt".to_owned(),
        not_after: "2027-01-22T14:02:00Z".to_owned(),
        expires_in_seconds: 60 * 86_400,
        lifetime_seconds: 90 * 86_400,
        fingerprint: "9f86d081884c7d65".to_owned(),
        validity: "valid".to_owned(),
    };
    CertificateStatus {
        direction: "inbound".to_owned(),
        upstream: "app".to_owned(),
        presented: Some(presented),
        believed: None,
        error: None,
    }
}

/// Retries that rescued 2 of 210 requests.
pub(crate) fn not_helping(class: Option<&str>) -> RetryReport {
    RetryReport {
        upstream: "payments".to_owned(),
        route: "charge".to_owned(),
        class: class.map(str::to_owned),
        verdict: "not-helping".to_owned(),
        text: "Retries of payments/charge after timeouts do not help: 2 of 210 rescued.".to_owned(),
        window_seconds: 300,
        requests: 2_310,
        first_failed: 420,
        retries: 210,
        rescued: 2,
        wasted: 208,
        efficiency: Some(0.0095),
        efficiency_low: 0.0026,
        efficiency_high: 0.0341,
        rescue_rate: Some(0.0095),
        uplift_percent: 0.0866,
        amplification: 1.0909,
        price: Some(105.0),
        rescued_tax_p50_ms: Some(40.0),
        rescued_tax_p99_ms: Some(40.0),
        failed_tax_p50_ms: Some(512.0),
        failed_tax_p99_ms: Some(1_024.0),
        elsewhere_efficiency: Some(0.0095),
        same_efficiency: None,
        by_attempt: vec![ByAttempt { attempt: 2, retries: 210, good: 2 }],
        wasted_seconds: 104.0,
        denied: vec![("efficacy".to_owned(), 210)],
        gated: true,
        holdout: None,
        lifetime_retries: 300,
        lifetime_rescued: 2,
    }
}

/// A key whose outcome nobody knows.
fn unknown_key() -> KeyView {
    KeyView {
        state: "unknown".to_owned(),
        attempt: 1,
        fence: 1,
        contract: "opaque".to_owned(),
        ambiguous: true,
        pinned: false,
        expires_in_ms: Some(604_000_000),
        lease_left_ms: None,
        route: "payments/charge".to_owned(),
        answer: None,
    }
}

fn resolved_key(order: &ResolveOrder) -> ResolvedKey {
    let (outcome, answer) = match &order.outcome {
        Outcome::NotExecuted => (ResolveAs::NotExecuted, None),
        Outcome::Executed { status, body } => {
            (ResolveAs::Executed, Some(KeyAnswer { status: *status, body_bytes: Some(body.len() as u64) }))
        }
    };
    let (was, route) = ("unknown".to_owned(), format!("{}/{}", order.name.upstream, order.name.route));
    ResolvedKey { outcome, was, route, record: "c0ffee00".to_owned(), answer }
}

/// A complete answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub status: u16,
    /// Status line and fields, lower-case.
    pub head: String,
    pub body: String,
}

impl Reply {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// Asserts that this is a problem+json of `status` that says what to do next, and returns its type's last word.
    pub fn problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let body = self.json();
        assert_eq!(body["status"], status);
        for field in ["title", "detail", "next"] {
            assert!(body[field].as_str().is_some_and(|text| !text.is_empty()), "{field} in {body}");
        }
        body["type"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()
    }
}

pub(crate) async fn exchange(addr: SocketAddr, head: &str, body: &str) -> Reply {
    let length = if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let request = format!("{head}{length}connection: close\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    reply(&mut stream).await
}

/// Reads to the end of the connection.
pub(crate) async fn reply(stream: &mut TcpStream) -> Reply {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Reply { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}
