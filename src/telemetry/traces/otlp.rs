//! Stories as an `ExportTraceServiceRequest` (OTLP 1, protobuf). Names follow the semantic conventions 1.44 for HTTP;
//! ours begin with `outrigger.`.

mod attempt;
mod request;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Target;
use super::protobuf::{Value, Writer, fields};
use super::story::Story;

/// `SpanKind`.
const SERVER: u64 = 2;
const CLIENT: u64 = 3;
/// `StatusCode`.
const ERROR: u64 = 2;
/// `SpanFlags`: it is known whether the parent is remote, and it is.
const HAS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

/// The whole request body.
pub(super) fn encode(target: &Target, stories: &[Box<Story>]) -> Vec<u8> {
    let mut body = Writer::default();
    body.message(1, |resource_spans| {
        resource_spans.message(1, |resource| {
            for (name, value) in &target.resource {
                attribute(resource, 1, name, Field::Text(value.as_str().into()));
            }
        });
        resource_spans.message(2, |scope_spans| {
            scope_spans.message(1, |scope| {
                scope.bytes(1, b"outrigger");
                scope.bytes(2, env!("CARGO_PKG_VERSION").as_bytes());
            });
            for story in stories {
                request::spans(scope_spans, story);
            }
        });
    });
    body.into_bytes()
}

/// What a collector has refused of a batch that it took: how many spans, and why.
pub(super) fn refused(answer: &[u8]) -> Option<(u64, String)> {
    let (_, Value::Bytes(partial)) = fields(answer).find(|(field, _)| *field == 1)? else { return None };
    let (mut spans, mut why) = (0, String::new());
    for field in fields(partial) {
        match field {
            (1, Value::Number(count)) => spans = count,
            (2, Value::Bytes(text)) => why = String::from_utf8_lossy(text).chars().take(200).collect(),
            _ => {}
        }
    }
    (spans > 0).then_some((spans, why))
}

/// The value of an attribute.
#[derive(Debug)]
enum Field<'a> {
    Text(Cow<'a, str>),
    Number(u64),
}

impl<'a> From<&'a str> for Field<'a> {
    fn from(text: &'a str) -> Self {
        Field::Text(text.into())
    }
}

impl From<String> for Field<'_> {
    fn from(text: String) -> Self {
        Field::Text(text.into())
    }
}

impl From<u64> for Field<'_> {
    fn from(number: u64) -> Self {
        Field::Number(number)
    }
}

/// A `KeyValue` as field `field`.
fn attribute(writer: &mut Writer, field: u32, name: &str, value: Field<'_>) {
    writer.message(field, |pair| {
        pair.bytes(1, name.as_bytes());
        pair.message(2, |any| match &value {
            Field::Text(text) => any.chosen_bytes(1, text.as_bytes()),
            Field::Number(number) => any.chosen_varint(3, *number),
        });
    });
}

/// A span under construction: what all spans have, by their names.
struct Span<'w> {
    writer: &'w mut Writer,
    begin: SystemTime,
}

/// Who a span is.
struct Identity<'a> {
    trace: [u8; 16],
    id: u64,
    parent: Option<u64>,
    flags: u32,
    name: &'a str,
    kind: u64,
}

impl Span<'_> {
    fn identify(&mut self, identity: &Identity<'_>, elapsed: Duration) {
        let Identity { trace, id, parent, flags, name, kind } = identity;
        self.writer.bytes(1, trace);
        self.writer.bytes(2, &id.to_be_bytes());
        if let Some(parent) = parent {
            self.writer.bytes(4, &parent.to_be_bytes());
        }
        self.writer.bytes(5, name.as_bytes());
        self.writer.varint(6, *kind);
        self.writer.fixed64(7, nanos(self.begin));
        self.writer.fixed64(8, nanos(self.begin + elapsed));
        self.writer.fixed32(16, *flags);
    }

    fn set<'a>(&mut self, name: &str, value: impl Into<Field<'a>>) {
        attribute(self.writer, 9, name, value.into());
    }

    fn maybe<'a>(&mut self, name: &str, value: Option<impl Into<Field<'a>>>) {
        if let Some(value) = value {
            self.set(name, value);
        }
    }

    /// Something that happened `at` after the begin of the span.
    fn event(&mut self, at: Duration, name: &str, fields: &[(&str, Field<'_>)]) {
        let time = nanos(self.begin + at);
        self.writer.message(11, |event| {
            event.fixed64(1, time);
            event.bytes(2, name.as_bytes());
            for (name, value) in fields {
                let value = match value {
                    Field::Text(text) => Field::Text(text.as_ref().into()),
                    Field::Number(number) => Field::Number(*number),
                };
                attribute(event, 3, name, value);
            }
        });
    }

    /// It failed; `error_type` is of low cardinality, `message` for people.
    fn fail(&mut self, error_type: &str, message: &str) {
        self.set("error.type", error_type);
        self.writer.message(15, |status| {
            status.bytes(2, message.as_bytes());
            status.varint(3, ERROR);
        });
    }

    fn peer(&mut self, address: SocketAddr) {
        self.set("network.peer.address", address.ip().to_string());
        self.set("network.peer.port", u64::from(address.port()));
    }
}

fn nanos(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Methods of low cardinality; anything else is `_OTHER`.
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

fn known_method(method: &http::Method) -> Option<&'static str> {
    METHODS.into_iter().find(|known| *known == method.as_str())
}

/// Host and port of an authority, the port of http where it says none.
fn host_and_port(authority: &str) -> (&str, u64) {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().unwrap_or(80)),
        _ => (authority, 80),
    };
    (host.trim_matches(['[', ']']), port)
}
