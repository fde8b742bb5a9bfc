//! A client's request through hyper, hygiene and the upstream's wire: what leaves is one unambiguous message.

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use outrigger::proxy::hygiene::{self, Present};
use outrigger::wire::OwnFields;
use outrigger::wire::h1::{Head, whole};

/// What a connection must never carry on.
const HOP_BY_HOP: [&str; 7] =
    ["keep-alive", "proxy-connection", "http2-settings", "te", "transfer-encoding", "upgrade", "connection"];

struct Passed {
    method: Method,
    target: Uri,
    fields: HeaderMap,
    body: Bytes,
    upgrade: bool,
}

/// The client sends `data` and closes.
pub fn pass(data: &[u8]) {
    // The proxy's scanner sees the head's bytes; here a rough one does, which errs towards a refusal.
    let named = data.to_ascii_lowercase().windows(14).any(|w| w == b"content-length");
    let passed = Rc::new(RefCell::new(Vec::new()));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let io = TokioIo::new(tokio::io::join(data, tokio::io::sink()));
        let service = service_fn(|request: Request<Incoming>| {
            let passed = Rc::clone(&passed);
            async move {
                if let Some(one) = take(request, named).await {
                    passed.borrow_mut().push(one);
                }
                Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
            }
        });
        let _ = http1::Builder::new().header_read_timeout(None).serve_connection(io, service).await;
    });
    passed.borrow().iter().for_each(judge);
}

async fn take(request: Request<Incoming>, named: bool) -> Option<Passed> {
    let present = Present::of(request.headers());
    let chunked = request.headers().contains_key("transfer-encoding");
    hygiene::check(&request, present, named && chunked).ok()?;
    let upgrade = hygiene::wants_upgrade(&request, present, !request.body().is_end_stream());
    let (head, body) = request.into_parts();
    let body = body.collect().await.ok()?.to_bytes();
    let mut fields = head.headers;
    hygiene::clean_request(&mut fields, present, upgrade).ok()?;
    Some(Passed { method: head.method, target: hygiene::origin_form(head.uri), fields, body, upgrade })
}

fn judge(passed: &Passed) {
    let own = OwnFields::new();
    let head = Head { method: &passed.method, target: &passed.target, host: None, fields: &passed.fields, own: &own };
    let bytes = whole::written(&head, &whole::held(passed.body.clone()));
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let text = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap();
    assert_eq!(first.split(' ').count(), 3, "{first:?}");
    assert!(first.ends_with(" HTTP/1.1"), "{first:?}");
    let (mut hosts, mut lengths) = (0, Vec::new());
    for line in lines {
        assert!(!line.contains(['\r', '\n', '\0']), "{line:?}");
        assert!(!line.starts_with([' ', '\t']), "a folded line: {line:?}");
        let (name, value) = line.split_once(':').unwrap();
        let name = name.to_ascii_lowercase();
        let allowed = passed.upgrade || (name == "te" && value.trim() == "trailers");
        assert!(!HOP_BY_HOP.contains(&name.as_str()) || allowed, "{line:?}");
        hosts += usize::from(name == "host");
        if name == "content-length" {
            lengths.push(value.trim().to_owned());
        }
    }
    assert!(hosts <= 1, "{hosts} hosts");
    assert!(lengths.len() <= 1, "{lengths:?}");
    if let Some(length) = lengths.first() {
        let announced: usize = length.parse().unwrap_or(usize::MAX);
        assert_eq!(announced, bytes.len() - end - 4, "the length that is announced is the body's");
    }
}
