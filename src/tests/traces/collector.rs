//! A collector: takes OTLP over HTTP and keeps every span. It reads HTTP with the tests' own strict reader, and
//! protobuf with the official messages.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span;
use outrigger::faults::message::{self, BodyReader, Head};
use outrigger::testing::{eventually, free_address};
use prost::Message;
use tokio::net::{TcpListener, TcpStream};

pub const SERVER: i32 = 2;
pub const CLIENT: i32 = 3;
pub const UNSET: i32 = 0;
pub const ERROR: i32 = 2;

/// A span as it was told, with the resource of its batch.
#[derive(Clone, Debug)]
pub struct Told {
    span: Span,
    resource: Vec<KeyValue>,
}

impl Told {
    pub fn kind(&self) -> i32 {
        self.span.kind
    }

    pub fn name(&self) -> &str {
        &self.span.name
    }

    pub fn trace(&self) -> String {
        hex(&self.span.trace_id)
    }

    pub fn id(&self) -> String {
        hex(&self.span.span_id)
    }

    /// Empty = none.
    pub fn parent(&self) -> String {
        hex(&self.span.parent_span_id)
    }

    pub fn status(&self) -> i32 {
        self.span.status.as_ref().map_or(UNSET, |status| status.code)
    }

    pub fn get(&self, name: &str) -> Option<String> {
        text(&self.span.attributes, name)
    }

    pub fn resource(&self, name: &str) -> Option<String> {
        text(&self.resource, name)
    }

    pub fn events(&self) -> Vec<String> {
        self.span.events.iter().map(|event| event.name.clone()).collect()
    }

    /// Whether the other one lies within this one in time.
    pub fn covers(&self, other: &Told) -> bool {
        self.span.start_time_unix_nano <= other.span.start_time_unix_nano
            && self.span.end_time_unix_nano >= other.span.end_time_unix_nano
            && other.span.start_time_unix_nano <= other.span.end_time_unix_nano
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(attributes: &[KeyValue], name: &str) -> Option<String> {
    let value = attributes.iter().find(|pair| pair.key == name)?.value.clone()?.value?;
    Some(match value {
        any_value::Value::StringValue(text) => text,
        any_value::Value::IntValue(number) => number.to_string(),
        other => panic!("{name}: {other:?}"),
    })
}

#[derive(Default)]
struct Seen {
    spans: Vec<Told>,
    heads: Vec<Head>,
    /// Statuses of the next answers; then 200. None = no answer at all.
    answers: VecDeque<Option<u16>>,
    hangs: bool,
}

pub struct Collector {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    task: tokio::task::JoinHandle<()>,
}

impl Collector {
    pub async fn start() -> Collector {
        Collector::start_on(free_address()).await
    }

    pub async fn start_on(address: SocketAddr) -> Collector {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let seen = Arc::new(Mutex::new(Seen::default()));
        let notes = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&notes)));
            }
        });
        Collector { address, seen, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Reads what comes and never answers.
    pub fn hang(&self) {
        self.seen.lock().unwrap().hangs = true;
    }

    /// The next answers.
    pub fn answer(&self, statuses: &[u16]) {
        self.seen.lock().unwrap().answers = statuses.iter().map(|status| Some(*status)).collect();
    }

    /// Requests read to their end.
    pub fn requests(&self) -> usize {
        self.seen.lock().unwrap().heads.len()
    }

    pub fn last_head(&self) -> Head {
        self.seen.lock().unwrap().heads.last().expect("a request").clone()
    }

    /// Everything so far.
    pub fn all(&self) -> Vec<Told> {
        self.seen.lock().unwrap().spans.clone()
    }

    /// Waits for so many spans.
    pub async fn spans(&self, count: usize) -> Vec<Told> {
        let spans = eventually("spans", async || Some(self.all()).filter(|spans| spans.len() >= count)).await;
        assert_eq!(spans.len(), count, "{spans:#?}");
        spans
    }

    /// Waits for a span like this.
    pub async fn until(&self, what: &str, like: impl Fn(&Told) -> bool) -> Told {
        eventually(what, async || self.all().into_iter().find(|span| like(span))).await
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: TcpStream, seen: Arc<Mutex<Seen>>) {
    let (mut inbox, outbox) = message::split(stream);
    while let Ok(Some(head)) = inbox.head().await {
        let mut reader = BodyReader::new(head.request_framing().expect("valid framing"));
        let mut body = Vec::new();
        while let Some(piece) = reader.piece(&mut inbox).await.expect("a whole body") {
            body.extend_from_slice(&piece);
        }
        let batch = ExportTraceServiceRequest::decode(body.as_slice()).expect("valid protobuf");
        let (status, hangs) = {
            let mut seen = seen.lock().unwrap();
            let status = seen.answers.pop_front().flatten().unwrap_or(200);
            if status == 200 && !seen.hangs {
                seen.spans.extend(told(batch));
            }
            seen.heads.push(head);
            (status, seen.hangs)
        };
        if hangs {
            tokio::time::sleep(Duration::from_secs(600)).await;
        }
        let answer = format!("HTTP/1.1 {status} As Told\r\nContent-Length: 0\r\n\r\n");
        if outbox.write(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn told(batch: ExportTraceServiceRequest) -> Vec<Told> {
    let mut all = Vec::new();
    for part in batch.resource_spans {
        let resource = part.resource.map(|resource| resource.attributes).unwrap_or_default();
        let spans = part.scope_spans.into_iter().flat_map(|scope| scope.spans);
        all.extend(spans.map(|span| Told { span, resource: resource.clone() }));
    }
    all
}
