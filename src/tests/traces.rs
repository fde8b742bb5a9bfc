//! Traces as a collector gets them: real protobuf from the real program, read with the official messages.

mod collector;
mod context;
mod trouble;

use outrigger::faults::{Answer, Behaviour, Hangup, Point, Script};
use outrigger::testing::{Program, Signal, eventually};

use crate::stage::{client, executable, until, upstream};
use collector::{CLIENT, Collector, ERROR, SERVER, Told, UNSET};

/// A caller's span in a sampled trace.
const CALLER: &str = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
const RETRY: &str = "retry: { attempts: 2, codes: [503], backoff: 20ms, maxBackoff: 20ms, jitter: none }";

/// The program with a collector that takes everything at once. `tracing`: further keys of the block; `block`: of the
/// upstream `up`.
async fn traced(tracing: &str, url: &str, block: &str) -> (Collector, Program) {
    let collector = Collector::start().await;
    let program = Program::start_in(&executable(), &policy(&collector, tracing, url, block), soon()).await;
    (collector, program)
}

fn policy(collector: &Collector, tracing: &str, url: &str, block: &str) -> String {
    let lines: String = block.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "name: checkout\ntracing: {{ endpoint: {}{tracing} }}\nupstreams:\n  up:\n    url: {url}\n{lines}",
        collector.url()
    )
}

/// Batches do not wait for more.
fn soon() -> Vec<(&'static str, String)> {
    vec![("OTEL_BSP_SCHEDULE_DELAY", "20".to_owned())]
}

async fn get(program: &Program, fields: &str) -> outrigger::testing::Answer {
    let mut client = client(program).await;
    client.send(format!("GET /item/7?token=secret HTTP/1.1\r\nHost: shop.test\r\n{fields}\r\n")).await;
    client.answer("GET").await
}

/// The span ids that an upstream was told, request by request.
fn told_upstream(server: &outrigger::faults::FaultServer) -> Vec<String> {
    let parent = |seen: &outrigger::faults::Seen| {
        let all: Vec<&str> = seen.head.all("traceparent").collect();
        let [one] = all.as_slice() else { panic!("{all:?}") };
        one.split('-').nth(2).expect("a span id").to_owned()
    };
    server.observed().seen().iter().map(parent).collect()
}

#[tokio::test]
async fn a_request_is_a_server_span_of_its_caller_and_a_client_span_that_its_upstream_continues() {
    let server = upstream(Answer::ok("hello")).await;
    let (collector, program) = traced("", &server.url(), "").await;
    assert_eq!(get(&program, &format!("{CALLER}User-Agent: test/1\r\nbaggage: a=1\r\n")).await.status, 200);
    let [request, attempt] = collector.spans(2).await.try_into().expect("two spans");
    assert_eq!(
        (request.kind(), request.name(), request.trace(), request.parent()),
        (SERVER, "GET up/default", TRACE.into(), PARENT.into())
    );
    assert_eq!((attempt.kind(), attempt.trace(), attempt.parent()), (CLIENT, TRACE.into(), request.id()));
    assert_eq!(told_upstream(&server), [attempt.id()]);
    let seen = server.observed().last().expect("a request").head;
    assert!(seen.get("traceparent").is_some_and(|value| value.ends_with("-01")));
    assert_eq!(seen.get("baggage"), Some("a=1"));
    assert_eq!((request.status(), attempt.status()), (UNSET, UNSET));
    for (name, value) in [
        ("http.request.method", "GET"),
        ("url.path", "/item/7"),
        ("http.response.status_code", "200"),
        ("server.address", "shop.test"),
        ("server.port", "80"),
        ("client.address", "127.0.0.1"),
        ("user_agent.original", "test/1"),
        ("outrigger.policy.revision", "1"),
        ("outrigger.attempts", "1"),
    ] {
        assert_eq!(request.get(name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(attempt.get("network.peer.port"), Some(server.address().port().to_string()));
    assert_eq!(attempt.get("url.full"), Some(format!("{}/item/7?token=REDACTED", server.url())));
    assert_eq!(request.resource("service.name").as_deref(), Some("checkout"));
    assert!(request.covers(&attempt), "{request:?} {attempt:?}");
    program.metrics_when("two spans", |m| m.sum("outrigger_spans_exported_total", &[]) == 2.0).await;
}

#[tokio::test]
async fn a_rescued_request_is_no_error_and_every_attempt_is_told_its_own_span() {
    let server = upstream(Script::sequence([Answer::status(503), Answer::status(503)], Answer::ok(""))).await;
    let (collector, program) = traced("", &server.url(), RETRY).await;
    assert_eq!(get(&program, "").await.status, 200);
    let spans = collector.spans(4).await;
    let request = &spans[0];
    assert_eq!((request.kind(), request.status(), request.parent()), (SERVER, UNSET, String::new()));
    assert_eq!(request.get("error.type"), None);
    assert_eq!(request.get("outrigger.retry.decision").as_deref(), Some("retried"));
    assert_eq!(request.events(), ["outrigger.backoff", "outrigger.backoff"]);
    let ids: Vec<String> = spans[1..].iter().map(Told::id).collect();
    assert_eq!(told_upstream(&server), ids);
    assert!(ids[0] != ids[1] && ids[1] != ids[2]);
    let resent: Vec<_> = spans[1..].iter().map(|span| span.get("http.request.resend_count")).collect();
    assert_eq!(resent, [None, Some("1".to_owned()), Some("2".to_owned())]);
    assert_eq!(spans[1..].iter().map(Told::status).collect::<Vec<_>>(), [ERROR, ERROR, UNSET]);
    assert_eq!(spans[1].get("error.type").as_deref(), Some("503"));
}

#[tokio::test]
async fn a_request_that_no_attempt_could_save_is_an_error_in_the_words_of_the_answer() {
    let server = upstream(Behaviour::hang_up(Hangup::Reset, Point::Body)).await;
    let (collector, program) = traced("", &server.url(), RETRY).await;
    let problem = get(&program, CALLER).await.json();
    let spans = collector.spans(4).await;
    for span in &spans {
        assert_eq!((span.status(), span.get("error.type").as_deref()), (ERROR, problem["error"].as_str()), "{span:?}");
        assert_eq!(span.get("outrigger.failure").as_deref(), problem["reason"].as_str());
    }
    assert_eq!(spans[0].get("outrigger.sent").as_deref(), problem["sent"].as_str());
    assert_eq!(spans[0].get("outrigger.failure.side").as_deref(), Some("upstream"));
}

#[tokio::test]
async fn what_an_open_breaker_refuses_is_a_server_span_alone() {
    let server = upstream(Answer::status(503)).await;
    let breaker = "circuitBreaker: { minRequests: 3, openDuration: 1m, maxOpenDuration: 1m }";
    let (collector, program) = traced("", &server.url(), breaker).await;
    eventually("an open breaker", async || get(&program, "").await.text().contains("circuit-open").then_some(())).await;
    let refused = collector.until("a refusal", |span| span.events().contains(&"outrigger.refused".to_owned())).await;
    assert_eq!((refused.kind(), refused.status()), (SERVER, ERROR));
    assert_eq!(refused.get("outrigger.circuit.state").as_deref(), Some("open"));
    assert_eq!(refused.get("error.type").as_deref(), Some("destination_unavailable"));
    assert!(collector.all().iter().all(|span| span.parent() != refused.id()));
}

#[tokio::test]
async fn a_client_that_leaves_is_no_error() {
    let server = upstream(Behaviour::stall()).await;
    let (collector, program) = traced("", &server.url(), "").await;
    let leaver = client(&program).await;
    leaver.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    until(&server, |c| c.requests == 1).await;
    leaver.reset_on_drop();
    drop(leaver);
    let spans = collector.spans(2).await;
    for span in &spans {
        assert_eq!((span.status(), span.get("error.type"), span.get("http.response.status_code")), (UNSET, None, None));
    }
    assert_eq!(spans[0].get("outrigger.outcome").as_deref(), Some("client_gone"));
    assert_eq!(spans[1].get("outrigger.attempt.result").as_deref(), Some("cancelled"));
}

#[tokio::test]
async fn a_replayed_answer_and_a_dead_letter_are_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let server =
        upstream(Script::sequence([Answer::status(201)], Behaviour::hang_up(Hangup::Reset, Point::Body))).await;
    let collector = Collector::start().await;
    let policy = format!(
        "tracing: {{ endpoint: {} }}\nstores: {{ embedded: {{ path: {}/s.db }} }}\nupstreams:\n  up:\n    url: {}\n    \
         routes:\n      - {{ name: pay, match: {{ path: /pay }}, idempotency: {{ principal: none }}, deadLetter: {{}} }}\n",
        collector.url(),
        directory.path().display(),
        server.url()
    );
    let program = Program::start_in(&executable(), &policy, soon()).await;
    let mut client = client(&program).await;
    for status in [201, 201] {
        assert_eq!(client.post("/pay", "Idempotency-Key: k\r\n", b"1").await.status, status);
    }
    let replayed = collector
        .until("a replay", |span| span.get("outrigger.idempotency.result").as_deref() == Some("replayed"))
        .await;
    assert_eq!((replayed.kind(), replayed.status()), (SERVER, UNSET));
    assert_eq!(replayed.get("outrigger.attempts").as_deref(), Some("0"));
    assert_eq!(client.post("/pay", "Idempotency-Key: l\r\n", b"1").await.status, 502);
    let lost = collector.until("a letter", |span| span.get("outrigger.dlq.id").is_some()).await;
    assert_eq!((lost.name(), lost.status()), ("POST up/pay", ERROR));
    assert_eq!(lost.get("outrigger.idempotency.result").as_deref(), Some("unknown"));
}

#[tokio::test]
async fn at_ratio_zero_errors_are_kept_and_the_upstream_is_told_not_to_record() {
    let server = upstream(Script::from(Answer::ok("")).on_path("/bad", Answer::status(500))).await;
    let (collector, program) = traced(", sampleRatio: 0.0", &server.url(), "").await;
    assert_eq!(client(&program).await.get("/fine").await.status, 200);
    assert_eq!(client(&program).await.get("/bad").await.status, 500);
    let spans = collector.spans(2).await;
    assert_eq!(spans.iter().map(Told::status).collect::<Vec<_>>(), [ERROR, ERROR]);
    assert_eq!(spans[0].get("outrigger.kept").as_deref(), Some("error"));
    // What the upstream was told fits, though nobody knew yet that it would be exported.
    assert_eq!(told_upstream(&server)[1], spans[1].id());
    let told = server.observed().last().expect("a request").head.get("traceparent").map(str::to_owned);
    assert!(told.is_some_and(|told| told.ends_with("-02")), "random, and not sampled");
    assert_eq!(collector.all().len(), 2, "the good one is not exported");
}

#[tokio::test]
async fn what_a_caller_does_not_sample_passes_untouched_and_is_kept_if_it_fails() {
    let server = upstream(Answer::status(500)).await;
    let (collector, program) = traced("", &server.url(), "").await;
    let given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    get(&program, &format!("traceparent: {given}\r\ntracestate: anything goes\r\n")).await;
    let seen = server.observed().last().expect("a request").head;
    assert_eq!((seen.get("traceparent"), seen.get("tracestate")), (Some(given), Some("anything goes")));
    let spans = collector.spans(2).await;
    assert_eq!((spans[0].parent(), spans[0].get("outrigger.kept").as_deref()), (PARENT.into(), Some("error")));
}

#[tokio::test]
async fn the_standard_variables_alone_switch_traces_on() {
    let server = upstream(Answer::ok("")).await;
    let collector = Collector::start().await;
    let policy = format!("upstreams: {{ up: {{ url: '{}' }} }}\n", server.url());
    let mut environment = soon();
    environment.extend([
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=seven".to_owned()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc".to_owned()),
        ("OTEL_SERVICE_NAME", "basket".to_owned()),
        ("OTEL_RESOURCE_ATTRIBUTES", "k8s.pod.name=basket-1".to_owned()),
    ]);
    let program = Program::start_in(&executable(), &policy, environment).await;
    get(&program, "").await;
    let spans = collector.spans(2).await;
    assert_eq!(spans[0].resource("service.name").as_deref(), Some("basket"));
    assert_eq!(spans[0].resource("k8s.pod.name").as_deref(), Some("basket-1"));
    let head = collector.last_head();
    assert_eq!((head.method(), head.target(), head.get("x-tenant")), ("POST", "/v1/traces", Some("seven")));
    assert_eq!(head.get("content-type"), Some("application/x-protobuf"));
    assert!(program.stderr().contains("OTEL_EXPORTER_OTLP_PROTOCOL=grpc is not supported"), "{}", program.stderr());
}

#[tokio::test]
async fn a_new_policy_switches_traces_on_and_off() {
    let server = upstream(Answer::ok("")).await;
    let collector = Collector::start().await;
    let without = format!("upstreams: {{ up: {{ url: '{}' }} }}\n", server.url());
    let mut program = Program::start_in(&executable(), &without, soon()).await;
    get(&program, "").await;
    program.write_policy(&policy(&collector, "", &server.url(), ""));
    program.metrics_when("revision 2", |m| m.sum("outrigger_policy_revision", &[]) == 2.0).await;
    get(&program, "").await;
    let spans = collector.spans(2).await;
    assert_eq!(spans[0].get("outrigger.policy.revision").as_deref(), Some("2"), "the first one was not exported");
    program.write_policy(&without);
    program.metrics_when("revision 3", |m| m.sum("outrigger_policy_revision", &[]) == 3.0).await;
    get(&program, CALLER).await;
    let passed = server.observed().last().expect("a request").head.get("traceparent").map(str::to_owned);
    assert!(passed.is_some_and(|passed| CALLER.contains(&passed)), "nobody adds a span in between");
}

#[tokio::test]
async fn what_waits_at_the_end_is_sent_before_the_process_ends() {
    let server = upstream(Answer::ok("")).await;
    let collector = Collector::start().await;
    let hour = vec![("OTEL_BSP_SCHEDULE_DELAY", "3600000".to_owned())];
    let mut program = Program::start_in(&executable(), &policy(&collector, "", &server.url(), ""), hour).await;
    get(&program, "").await;
    program.signal(Signal::Terminate);
    assert!(program.exit().await.success());
    assert_eq!(collector.all().len(), 2);
}
