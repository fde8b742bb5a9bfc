//! What is sent: the same for every request, but for its key.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue, TE};
use http::{Method, Request, Uri};
use http_body_util::Full;
use outrigger::faults::KEY;
use outrigger::faults::grpc::framed;
use outrigger::reliability::entropy::{Entropy as _, SplitMix};
use outrigger::reliability::priority::Criticality;

use crate::scenario::{LoadPlan, Protocol, Tls};

const fn class(critical: bool) -> &'static str {
    if critical { Criticality::Critical.as_str() } else { Criticality::Sheddable.as_str() }
}

/// Renders requests.
#[derive(Clone, Debug)]
pub struct Template {
    method: Method,
    uri: Uri,
    host: Option<HeaderValue>,
    body: Bytes,
    grpc: bool,
    /// Share of the requests that say that they are critical.
    critical: Option<f64>,
    /// What keys begin with: no two plays share one, or an upstream's memory of keys would spoil the second.
    keys: Option<String>,
}

impl Template {
    /// # Errors
    /// Method or path are none.
    pub fn new(load: &LoadPlan, to: SocketAddr, keys: &str) -> Result<Template, String> {
        let wrong = |e: &dyn std::fmt::Display| format!("{} {}: {e}", load.method, load.path);
        let uri = match load.protocol {
            Protocol::Http1 => load.path.clone(),
            Protocol::Http2 | Protocol::Grpc if load.tls == Tls::None => format!("http://{to}{}", load.path),
            Protocol::Http2 | Protocol::Grpc => format!("https://{to}{}", load.path),
        };
        let host = match load.protocol {
            Protocol::Http1 => Some(HeaderValue::try_from(to.to_string()).map_err(|e| wrong(&e))?),
            Protocol::Http2 | Protocol::Grpc => None,
        };
        let grpc = load.protocol == Protocol::Grpc;
        let body = vec![b'x'; usize::try_from(load.body).map_err(|e| wrong(&e))?];
        Ok(Template {
            method: load.method.parse().map_err(|e| wrong(&e))?,
            uri: uri.parse().map_err(|e| wrong(&e))?,
            host,
            body: if grpc { framed(&body) } else { body.into() },
            grpc,
            critical: load.critical,
            keys: load.keyed.then(|| keys.to_owned()),
        })
    }

    /// The request with this number.
    pub fn request(&self, number: u64) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        let fields = request.headers_mut();
        if let Some(host) = &self.host {
            fields.insert(HOST, host.clone());
        }
        if self.grpc {
            fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            fields.insert(TE, HeaderValue::from_static("trailers"));
        } else if !self.body.is_empty() {
            fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        }
        if let Some(key) = self.key(number) {
            fields.insert(HeaderName::from_static("idempotency-key"), key);
        }
        if let Some(critical) = self.is_critical(number) {
            fields.insert(HeaderName::from_static("x-criticality"), HeaderValue::from_static(class(critical)));
        }
        request
    }

    /// Whether the request with this number says that it is critical; None if nobody says anything. Always the same.
    pub fn is_critical(&self, number: u64) -> Option<bool> {
        Some(SplitMix::new(number).unit() < self.critical?)
    }

    fn key(&self, number: u64) -> Option<HeaderValue> {
        // Letters and digits only: always a value.
        HeaderValue::try_from(format!("{}-{number}", self.keys.as_ref()?)).ok()
    }

    /// The request with this number as it stands on the wire of HTTP/1.1.
    pub fn bytes(&self, number: u64, into: &mut Vec<u8>) {
        into.clear();
        let host = self.host.as_ref().map(HeaderValue::as_bytes).unwrap_or_default();
        for part in [self.method.as_str().as_bytes(), b" ", self.uri.path().as_bytes()] {
            into.extend_from_slice(part);
        }
        if let Some(query) = self.uri.query() {
            into.push(b'?');
            into.extend_from_slice(query.as_bytes());
        }
        for part in [b" HTTP/1.1\r\nHost: ", host, b"\r\n"] {
            into.extend_from_slice(part);
        }
        if let Some(key) = self.key(number) {
            for part in [KEY.as_bytes(), b": ", key.as_bytes(), b"\r\n"] {
                into.extend_from_slice(part);
            }
        }
        if let Some(critical) = self.is_critical(number) {
            for part in [b"X-Criticality: ", class(critical).as_bytes(), b"\r\n"] {
                into.extend_from_slice(part);
            }
        }
        if !self.body.is_empty() || self.method != Method::GET {
            let fields = format!("Content-Type: application/octet-stream\r\nContent-Length: {}\r\n", self.body.len());
            into.extend_from_slice(fields.as_bytes());
        }
        into.extend_from_slice(b"\r\n");
        into.extend_from_slice(&self.body);
    }

    /// Whether its answers have a status of gRPC.
    pub const fn is_grpc(&self) -> bool {
        self.grpc
    }

    /// Whether every request is the same, byte for byte.
    pub const fn is_constant(&self) -> bool {
        self.keys.is_none() && self.critical.is_none()
    }
}
