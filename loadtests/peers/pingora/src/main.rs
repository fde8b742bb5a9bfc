//! The pingora arm: what a user of the framework writes to get failover, retries and time limits.
//!
//! `pingora-peer --conf FILE`: pingora's own keys and, beside them, the ones of [`Settings`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::HttpServerOptions;
use pingora::http::ResponseHeader;
use pingora::lb::{LoadBalancer, health_check::TcpHealthCheck, selection::RoundRobin};
use pingora::prelude::*;
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyServiceBuilder, Session};
use pingora::services::background::background_service;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType};
use serde::Deserialize;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The first wait before a retry; it doubles with each one. Outrigger's default.
const BACKOFF: Duration = Duration::from_millis(25);
/// Statuses that another endpoint may not have.
const RETRIED: [u16; 3] = [502, 503, 504];

/// The keys beside pingora's own, which it leaves to its users.
#[derive(Deserialize)]
struct Settings {
    /// Where clients connect.
    listen: String,
    /// Addresses of the upstream.
    endpoints: Vec<SocketAddr>,
    /// Waiting for each read from the upstream.
    read_timeout_ms: u64,
    /// Opening a connection, everything included.
    connect_timeout_ms: u64,
    /// Retries after the first try.
    retries: u32,
    /// Requests that are not idempotent are repeated, too: the upstream recognises them.
    repeat_all: bool,
    /// Clients speak HTTP/2 without TLS.
    h2c: bool,
}

struct Peer {
    balancer: Arc<LoadBalancer<RoundRobin>>,
    settings: Settings,
}

/// One request.
#[derive(Default)]
struct Request {
    /// Retries so far.
    retries: u32,
    /// The endpoints it was sent to.
    tried: Vec<pingora::lb::Backend>,
}

impl Peer {
    /// Whether a request that may have taken effect may be sent again, and can be: its body was kept.
    fn repeatable(&self, session: &Session) -> bool {
        let harmless = self.settings.repeat_all || session.req_header().method.is_idempotent();
        harmless && !session.as_ref().retry_buffer_truncated()
    }

    /// Counts a retry, if there is one left.
    fn may_retry(&self, request: &mut Request) -> bool {
        let left = request.retries < self.settings.retries;
        request.retries += u32::from(left);
        left
    }
}

#[async_trait]
impl ProxyHttp for Peer {
    type CTX = Request;

    fn new_ctx(&self) -> Request {
        Request::default()
    }

    /// The next healthy endpoint that this request has not tried; if it tried all, the next one.
    async fn upstream_peer(&self, _: &mut Session, request: &mut Request) -> Result<Box<HttpPeer>> {
        if request.retries > 0 {
            tokio::time::sleep(BACKOFF * 2_u32.pow(request.retries - 1)).await;
        }
        let fresh = |backend: &_, healthy| healthy && !request.tried.contains(backend);
        let backend =
            self.balancer.select_with(b"", 16, fresh).or_else(|| self.balancer.select_with(b"", 16, |_, _| true));
        let backend = backend.ok_or_else(|| Error::explain(ErrorType::HTTPStatus(503), "no endpoint"))?;
        let mut peer = HttpPeer::new(&backend, false, String::new());
        let connect = Duration::from_millis(self.settings.connect_timeout_ms);
        peer.options.connection_timeout = Some(connect);
        peer.options.total_connection_timeout = Some(connect);
        peer.options.read_timeout = Some(Duration::from_millis(self.settings.read_timeout_ms));
        peer.options.write_timeout = Some(Duration::from_millis(self.settings.read_timeout_ms));
        request.tried.push(backend);
        Ok(Box::new(peer))
    }

    /// Nothing was sent: any request may be sent again.
    fn fail_to_connect(
        &self,
        _: &mut Session,
        _: &HttpPeer,
        request: &mut Request,
        mut error: Box<Error>,
    ) -> Box<Error> {
        error.set_retry(self.may_retry(request));
        error
    }

    /// Something may have been sent: only what is idempotent, kept whole, and not yet answered is sent again.
    fn error_while_proxy(
        &self,
        peer: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        request: &mut Request,
        _reused: bool,
    ) -> Box<Error> {
        let mut error = error.more_context(format!("Peer: {peer}"));
        let repeatable = self.repeatable(session) && session.response_written().is_none();
        // A client that went away is not the upstream's failure.
        let upstreams = *error.esource() == pingora::ErrorSource::Upstream;
        error.set_retry(repeatable && upstreams && self.may_retry(request));
        error
    }

    /// An answer that another endpoint might better. It is an error to the framework, which then asks
    /// [`ProxyHttp::error_while_proxy`] whether to try again.
    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        head: &mut ResponseHeader,
        request: &mut Request,
    ) -> Result<()> {
        let status = head.status.as_u16();
        if RETRIED.contains(&status) && self.repeatable(session) && request.retries < self.settings.retries {
            return Err(Error::explain(ErrorType::HTTPStatus(status), "retried status").into_up());
        }
        Ok(())
    }

    /// The default, except that a time limit is 504 and the client's connection is kept.
    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, _: &mut Request) -> FailToProxy {
        let code = match error.etype() {
            ErrorType::HTTPStatus(code) => *code,
            ErrorType::ReadTimedout | ErrorType::WriteTimedout | ErrorType::ConnectTimedout => 504,
            _ if *error.esource() == pingora::ErrorSource::Downstream => 0,
            _ => 502,
        };
        if code > 0 {
            let _ = session.respond_error(code).await;
        }
        FailToProxy { error_code: code, can_reuse_downstream: code > 0 }
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    if std::env::args().nth(1).is_some_and(|argument| argument == "--version") {
        println!("pingora {}", version());
        return Ok(());
    }
    let options = Opt::parse_args();
    let file = options.conf.clone().ok_or("pingora-peer: --conf FILE is needed")?;
    let settings: Settings = serde_yaml::from_str(&std::fs::read_to_string(&file)?)?;

    let mut server = Server::new(Some(options))?;
    server.bootstrap();

    let mut balancer = LoadBalancer::<RoundRobin>::try_from_iter(settings.endpoints.iter())?;
    // Takes an endpoint out that no longer accepts connections; pingora has nothing that learns from answers.
    balancer.set_health_check(TcpHealthCheck::new());
    balancer.health_check_frequency = Some(Duration::from_secs(1));
    let checks = background_service("health check", balancer);

    let listen = settings.listen.clone();
    let mut http = HttpServerOptions::default();
    http.h2c = settings.h2c;
    let peer = Peer { balancer: checks.task(), settings };
    let mut proxy = ProxyServiceBuilder::new(&server.configuration, peer).server_options(http).build();
    proxy.add_tcp(&listen);

    server.add_service(checks);
    server.add_service(proxy);
    server.run_forever()
}

/// The framework's version, from the lock file this was built with.
fn version() -> &'static str {
    let lock = include_str!("../Cargo.lock");
    let found = lock.split("\nname = \"pingora\"\nversion = \"").nth(1);
    found.and_then(|rest| rest.split('"').next()).unwrap_or("unknown")
}
