//! The clients against servers that are not ours.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::mpsc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::*;
use crate::scenario::{Protocol, Tls};

fn plan(to: SocketAddr, protocol: Protocol, connections: u32) -> Plan {
    let load = LoadPlan {
        arrivals: Mode::Constant,
        rate: 200.0,
        connections,
        protocol,
        tls: Tls::None,
        idle: 0,
        method: "POST".to_owned(),
        path: "/a?b=c".to_owned(),
        body: 1_000,
        keyed: true,
        critical: None,
        timeout: Duration::from_secs(5),
        requests_per_connection: None,
    };
    Plan { targets: vec![to], load, dialer: None, duration: Duration::from_secs(1), seed: 1, keys: "k".to_owned() }
}

fn generate(plan: Plan) -> Seen {
    let (tell, told) = mpsc::channel();
    let mut generator = Generator::prepare(plan, None, move |word| drop(tell.send(word))).unwrap();
    while !matches!(told.recv().unwrap(), Told::Ready) {}
    generator.begin(Instant::now());
    generator.join().unwrap()
}

#[derive(Clone, Copy)]
struct Tasks;

impl<F: Future<Output: Send> + Send + 'static> hyper::rt::Executor<F> for Tasks {
    fn execute(&self, task: F) {
        tokio::spawn(task);
    }
}

async fn check(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let key = request.headers().get("idempotency-key").map(|key| key.to_str().unwrap().to_owned());
    let target = request.uri().path_and_query().map(|target| target.as_str().to_owned());
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let right = target.as_deref() == Some("/a?b=c") && body.len() == 1_000 && key.is_some_and(|k| k.starts_with("k-"));
    let mut response = Response::new(Full::new(Bytes::from_static(b"answer")));
    *response.status_mut() = if right { 201 } else { 400 }.try_into().unwrap();
    Ok(response)
}

#[test]
fn http2_shares_few_connections_among_many_requests() {
    let (tell, told) = mpsc::channel();
    let (accepted, connections) = mpsc::channel();
    let _server = Thread::start("h2 server", None, move |runtime| {
        runtime.block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            // Ends with the test's process.
            while let Ok((stream, _)) = listener.accept().await {
                accepted.send(()).unwrap();
                let serving = http2::Builder::new(Tasks).serve_connection(TokioIo::new(stream), service_fn(check));
                tokio::spawn(serving);
            }
        });
    })
    .unwrap();
    let (side, _) = generate(plan(told.recv().unwrap(), Protocol::Http2, 2));
    assert_eq!((side.intended, side.ok, side.bytes), (200, 200, 1_200), "{:?}", side.outcomes);
    assert_eq!(side.outcomes.get("201"), Some(&200));
    assert_eq!(connections.try_iter().count(), 2);
}

#[test]
fn connections_that_the_server_closes_between_requests_cost_no_request() {
    let (tell, told) = mpsc::channel();
    let _server = Thread::start("h1 server", None, move |runtime| {
        runtime.block_on(async move {
            use outrigger::faults::{Answer, FaultServer, KeepAlive, Script};
            let closing = KeepAlive { requests: Some(3), idle: None, announced: true };
            let server = FaultServer::start(Script::always(Answer::ok("answer")).keep_alive(closing)).await.unwrap();
            tell.send(server.address()).unwrap();
            // Ends with the test's process.
            std::future::pending::<()>().await;
        });
    })
    .unwrap();
    let (side, seconds) = generate(plan(told.recv().unwrap(), Protocol::Http1, 4));
    assert_eq!((side.intended, side.ok, side.bytes), (200, 200, 1_200), "{:?}", side.outcomes);
    assert_eq!(seconds.len(), 1);
}

#[test]
fn nobody_there_is_told_as_a_failure_to_connect() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for arrivals in [Mode::Constant, Mode::Closed] {
        let mut plan = plan(gone, Protocol::Http1, 4);
        plan.load.arrivals = arrivals;
        let (side, _) = generate(plan);
        assert!(side.intended > 0 && side.ok == 0);
        assert_eq!(side.outcomes.get("connect"), Some(&side.intended), "{:?}", side.outcomes);
    }
}

#[test]
fn a_generator_that_is_given_up_ends() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let generator = Generator::prepare(plan(gone, Protocol::Http1, 1), None, |_| {}).unwrap();
    assert!(generator.join().unwrap_err().contains("given up"));
}
