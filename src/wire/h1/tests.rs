//! Links against scripted peers over real sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Uri};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::wire::alarm::alarmed;
use crate::wire::pool::{Pool, PoolLimits};

const LIMITS: PoolLimits =
    PoolLimits { connections_max: 4, idle_max: 4, idle_timeout: Duration::from_secs(60), age_max: None };

async fn pair(pool: &Arc<Pool>) -> (Link, TcpStream) {
    pair_under(pool, &LIMITS).await
}

async fn pair_under(pool: &Arc<Pool>, limits: &PoolLimits) -> (Link, TcpStream) {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (peer, _) = listener.accept().await.unwrap();
    (Link::new(Transport::Plain(stream), pool.open(limits).unwrap()), peer)
}

async fn ask(link: Link, method: Method, body: RequestBody, time: Duration) -> Result<Answer, SendError> {
    let (target, fields, own, alarm) = (Uri::from_static("/"), HeaderMap::new(), OwnFields::new(), Alarm::new());
    let head = Head { method: &method, target: &target, host: None, fields: &fields, own: &own };
    let terms = Terms { cutoff: clock::now() + time, idle_max: 4, alarm: &alarm };
    alarmed(&alarm, link.send(&head, &body, terms)).await
}

const LONG: Duration = Duration::from_secs(20);

async fn get(link: Link) -> Result<Answer, SendError> {
    ask(link, Method::GET, RequestBody::Empty, LONG).await
}

/// Reads until the empty line behind a head.
async fn read_head(peer: &mut TcpStream) -> String {
    let mut text = String::new();
    while !text.ends_with("\r\n\r\n") {
        text.push(char::from(peer.read_u8().await.unwrap()));
    }
    text
}

#[tokio::test]
async fn a_small_answer_frees_its_connection_before_its_body_is_read() {
    let pool = Arc::new(Pool::default());
    let (link, mut peer) = pair(&pool).await;
    let answer = tokio::join!(get(link), async {
        assert_eq!(read_head(&mut peer).await, "GET / HTTP/1.1\r\n\r\n");
        peer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await.unwrap();
    })
    .0
    .unwrap();
    assert_eq!(pool.idle_count(), 1);
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "hi");
    let again = pool.checkout(clock::now(), &LIMITS).unwrap();
    let answer = tokio::join!(get(again), async {
        read_head(&mut peer).await;
        peer.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    })
    .0;
    assert_eq!(answer.unwrap().status(), 204);
}

#[tokio::test]
async fn a_body_in_parts_frees_its_connection_at_its_end_and_not_before() {
    let pool = Arc::new(Pool::default());
    let (link, mut peer) = pair(&pool).await;
    peer.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").await.unwrap();
    let mut body = get(link).await.unwrap().into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), Bytes::from_static(b"abc"));
    assert_eq!(pool.idle_count(), 0);
    peer.write_all(b"0\r\nX-Sum: 7\r\n\r\n").await.unwrap();
    assert_eq!(body.frame().await.unwrap().unwrap().into_trailers().unwrap()["x-sum"], "7");
    assert_eq!(pool.idle_count(), 1);
}

#[tokio::test]
async fn a_connection_that_is_too_old_is_neither_handed_out_nor_kept() {
    let pool = Arc::new(Pool::default());
    let aging = PoolLimits { age_max: Some(Duration::from_secs(10)), ..LIMITS };
    let now = clock::now();
    for (seconds, kept) in [(8, true), (12, false)] {
        let (link, _peer) = pair_under(&pool, &aging).await;
        link.into_idle(4);
        let found = pool.checkout(now + Duration::from_secs(seconds), &aging);
        assert_eq!(found.is_some(), kept, "{seconds} s");
        drop(found);
        assert_eq!(pool.open_count(), 0);
    }
    let (link, _peer) = pair_under(&pool, &aging).await;
    link.into_idle(4);
    pool.sweep(now + Duration::from_secs(12), &aging);
    assert_eq!(pool.open_count(), 0, "idle ones end without a request");
    let aged = PoolLimits { age_max: Some(Duration::ZERO), ..LIMITS };
    let (link, _peer) = pair_under(&pool, &aged).await;
    link.into_idle(4);
    assert_eq!((pool.idle_count(), pool.open_count()), (0, 0), "given back too old, it ends at once");
    let ages: Vec<Instant> = (0..100).filter_map(|_| pool.open(&aging)?.ages_at()).collect();
    let spread = ages.iter().max().unwrap().saturating_duration_since(*ages.iter().min().unwrap());
    assert!(ages.iter().all(|at| (Duration::from_secs(9)..Duration::from_secs(12)).contains(&(*at - now))));
    assert!(spread > Duration::from_secs(1), "opened together, they do not all end together: {spread:?}");
}

#[tokio::test]
async fn bytes_that_nobody_asked_for_close_the_connection() {
    let pool = Arc::new(Pool::default());
    let (link, mut peer) = pair(&pool).await;
    peer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    let answer = get(link).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "hi");
    assert_eq!((pool.idle_count(), pool.open_count()), (0, 0));
}

#[tokio::test]
async fn an_idle_connection_that_was_closed_or_spoken_on_is_not_handed_out() {
    for word in [&b""[..], b"HTTP/1.1 408 Request Timeout\r\n\r\n"] {
        let pool = Arc::new(Pool::default());
        let (link, mut peer) = pair(&pool).await;
        link.into_idle(4);
        peer.write_all(word).await.unwrap();
        drop(peer);
        let gone = async {
            while pool.checkout(clock::now(), &LIMITS).map(|l| l.into_idle(4)).is_some() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LONG, gone).await.unwrap();
        assert_eq!(pool.open_count(), 0);
    }
}

#[tokio::test]
async fn interim_answers_are_skipped_and_their_number_is_bounded() {
    let pool = Arc::new(Pool::default());
    let (link, mut peer) = pair(&pool).await;
    peer.write_all(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 201 Created\r\n")
        .await
        .unwrap();
    peer.write_all(b"Content-Length: 0\r\n\r\n").await.unwrap();
    assert_eq!(get(link).await.unwrap().status(), 201);

    let (link, mut peer) = pair(&pool).await;
    peer.write_all("HTTP/1.1 100 Continue\r\n\r\n".repeat(100).as_bytes()).await.unwrap();
    let error = get(link).await.unwrap_err();
    assert_eq!((error.failure, error.sent), (Failure::ResponseMalformed, Sent::Yes));
}

#[tokio::test]
async fn what_was_sent_is_said_truly_when_it_breaks() {
    let pool = Arc::new(Pool::default());
    let (link, peer) = pair(&pool).await;
    let silent = ask(link, Method::GET, RequestBody::Empty, Duration::from_millis(30)).await.unwrap_err();
    assert_eq!((silent.failure, silent.sent), (Failure::TryTimeout, Sent::Maybe));
    drop(peer);

    let (link, mut peer) = pair(&pool).await;
    let closed = tokio::join!(get(link), async {
        read_head(&mut peer).await;
        drop(peer);
    });
    let closed = closed.0.unwrap_err();
    assert_eq!((closed.failure, closed.sent), (Failure::ConnectionTerminated, Sent::Maybe));

    let (link, mut peer) = pair(&pool).await;
    peer.write_all(b"HTTP/1.1 200 O").await.unwrap();
    peer.shutdown().await.unwrap();
    let half = get(link).await.unwrap_err();
    assert_eq!((half.failure, half.sent), (Failure::ConnectionTerminated, Sent::Yes));
}

#[tokio::test]
async fn an_answer_that_comes_before_the_upload_is_read_does_not_stop_the_upload() {
    static LARGE: [u8; 8 << 20] = [b'x'; 8 << 20];
    let pool = Arc::new(Pool::default());
    let (link, mut peer) = pair(&pool).await;
    peer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n").await.unwrap();
    let body = RequestBody::Buffered { data: Bytes::from_static(&LARGE), trailers: None };
    let answer = ask(link, Method::POST, body, LONG).await.unwrap();
    let (read, body) = tokio::join!(
        async {
            let head = read_head(&mut peer).await;
            let mut rest = vec![0; LARGE.len()];
            peer.read_exact(&mut rest).await.unwrap();
            peer.write_all(b"ok").await.unwrap();
            head
        },
        answer.into_body().collect()
    );
    assert!(read.contains("content-length: 8388608\r\n"));
    assert_eq!(body.unwrap().to_bytes(), "ok");
    assert_eq!(pool.idle_count(), 1);
}

#[tokio::test]
async fn an_answer_to_a_request_that_was_not_read_is_passed_on_and_the_connection_closed() {
    static LARGE: [u8; 8 << 20] = [b'x'; 8 << 20];
    let pool = Arc::new(Pool::default());
    let (link, mut peer) = pair(&pool).await;
    peer.write_all(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await.unwrap();
    let body = RequestBody::Buffered { data: Bytes::from_static(&LARGE), trailers: None };
    let answer = ask(link, Method::POST, body, LONG).await.unwrap();
    assert_eq!(answer.status(), 413);
    drop(answer);
    assert_eq!((pool.idle_count(), pool.open_count()), (0, 0));
}

#[tokio::test]
async fn a_body_without_an_announced_end_ends_when_the_peer_closes() {
    let pool = Arc::new(Pool::default());
    let (link, mut peer) = pair(&pool).await;
    peer.write_all(b"HTTP/1.1 200 OK\r\n\r\nall of it").await.unwrap();
    drop(peer);
    let answer = get(link).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "all of it");
    assert_eq!((pool.idle_count(), pool.open_count()), (0, 0));
}

#[tokio::test]
async fn a_body_that_breaks_off_is_an_error_and_not_an_end() {
    let pool = Arc::new(Pool::default());
    let (link, mut peer) = pair(&pool).await;
    peer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel").await.unwrap();
    drop(peer);
    assert!(get(link).await.unwrap().into_body().collect().await.is_err());
    assert_eq!(pool.open_count(), 0);
}

#[tokio::test]
async fn an_answer_that_comes_too_late_can_still_be_read() {
    let pool = Arc::new(Pool::default());
    let (link, mut peer) = pair(&pool).await;
    let body = RequestBody::Buffered { data: Bytes::from_static(b"hi"), trailers: None };
    let error = ask(link, Method::POST, body, Duration::from_millis(20)).await.unwrap_err();
    assert_eq!((error.failure, error.sent), (Failure::TryTimeout, Sent::Maybe));
    read_head(&mut peer).await;
    let late = error.late.unwrap();
    // A part of the head may have arrived before.
    peer.write_all(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Cre").await.unwrap();
    let answer = tokio::join!(late.answer(), async {
        tokio::task::yield_now().await;
        peer.write_all(b"ated\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
    })
    .0
    .unwrap();
    assert_eq!(answer.status(), 201);
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "ok");
    assert_eq!(pool.idle_count(), 1, "the connection is as good as any");
}

#[tokio::test]
async fn nobody_listens_on_to_a_request_that_has_not_left_whole_and_dropped_it_is_closed() {
    let pool = Arc::new(Pool::default());
    let (link, mut peer) = pair(&pool).await;
    // More than the buffers of both sides take.
    let large = RequestBody::Buffered { data: Bytes::from(vec![0; 64 << 20]), trailers: None };
    let error = ask(link, Method::POST, large, Duration::from_millis(50)).await.unwrap_err();
    assert_eq!((error.failure, error.late.is_some()), (Failure::TryTimeout, false));
    let (link, mut second) = pair(&pool).await;
    let error = ask(link, Method::POST, RequestBody::Empty, Duration::from_millis(20)).await.unwrap_err();
    read_head(&mut second).await;
    assert!(error.late.is_some());
    drop(error);
    assert_eq!(second.read(&mut [0; 1]).await.unwrap(), 0);
    assert!(peer.read_to_end(&mut Vec::new()).await.is_ok());
    assert_eq!(pool.open_count(), 0);
}
