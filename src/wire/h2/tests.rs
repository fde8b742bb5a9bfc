//! Shared connections against peers of frames.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::{HeaderMap, Method, Uri};
use tokio::net::TcpStream;

use super::connections::Patience;
use super::*;
use crate::clock;
use crate::drain::Tasks;
use crate::reliability::{Failure, Sent};
use crate::testing::frames::{Frames, FramesServer, code, flag, kind, setting};
use crate::tls::Transport;
use crate::wire::alarm::alarmed;
use crate::wire::pool::{Pool, PoolLimits};
use crate::wire::{Alarm, Answer, Head, OwnFields, RequestBody, SendError, Terms};

const LIMITS: PoolLimits =
    PoolLimits { connections_max: 1, idle_max: 4, idle_timeout: Duration::from_secs(60), age_max: None };
const LONG: Duration = Duration::from_secs(20);

/// One endpoint.
struct Stage {
    server: FramesServer,
    pool: Arc<Pool>,
    shared: Arc<Connections>,
    tasks: Tasks,
    opened: Arc<AtomicU32>,
}

impl Stage {
    async fn new() -> Stage {
        let (pool, shared, tasks) = (Arc::default(), Arc::default(), Tasks::default());
        Stage { server: FramesServer::start().await, pool, shared, tasks, opened: Arc::default() }
    }

    async fn join(&self, cutoff: Duration, connect: Duration) -> Result<Place, Failure> {
        let address = self.server.address();
        let open = || {
            let opening = self.pool.open(&LIMITS)?;
            self.opened.fetch_add(1, Ordering::Relaxed);
            Some(async move {
                let stream = TcpStream::connect(address).await.map_err(|_| Failure::ConnectionRefused)?;
                Ok(Opened::Http2(Transport::Plain(stream), opening))
            })
        };
        let patience = Patience { cutoff: clock::now() + cutoff, connect };
        match self.shared.join(patience, &self.tasks, open).await? {
            Joined::Place { place, .. } => Ok(place),
            Joined::Http1 => Err(Failure::Internal),
        }
    }

    async fn place(&self) -> Place {
        self.join(LONG, LONG).await.unwrap()
    }

    /// A place, and the peer of its connection.
    async fn begin(&self, settings: &[(u16, u32)]) -> (Place, Frames) {
        tokio::join!(self.place(), self.server.accept(settings))
    }
}

async fn send(place: Place, method: Method, time: Duration) -> Result<Answer, SendError> {
    let (target, fields, own, alarm) = (Uri::from_static("/"), HeaderMap::new(), OwnFields::new(), Alarm::new());
    let host = http::HeaderValue::from_static("up:80");
    let head = Head { method: &method, target: &target, host: Some(&host), fields: &fields, own: &own };
    let terms = Terms { cutoff: clock::now() + time, idle_max: 0, alarm: &alarm };
    alarmed(&alarm, place.send(&head, &RequestBody::Empty, terms)).await
}

#[tokio::test]
async fn who_finds_no_place_waits_for_one_and_not_for_ever() {
    let stage = Stage::new().await;
    let (first, _peer) = stage.begin(&[(setting::MAX_CONCURRENT_STREAMS, 1)]).await;
    let refused = stage.join(LONG, Duration::from_millis(50)).await;
    assert_eq!(refused.unwrap_err(), Failure::ConnectionLimit);
    let waiting = async { stage.place().await.was_idle() };
    let leaving = async {
        tokio::task::yield_now().await;
        drop(first);
    };
    assert!(tokio::join!(waiting, leaving).0);
    assert_eq!(stage.opened.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn places_that_a_peer_adds_are_found_by_all_who_wait() {
    let stage = Stage::new().await;
    let (first, mut peer) = stage.begin(&[(setting::MAX_CONCURRENT_STREAMS, 1)]).await;
    let waiting = async { tokio::join!(stage.place(), stage.place(), stage.place()) };
    let more = async {
        peer.settings(&[(setting::MAX_CONCURRENT_STREAMS, 8)]).await;
        peer.until(|frame| frame.kind == kind::SETTINGS && frame.has(flag::ACK)).await;
        peer.until(|frame| frame.kind == kind::SETTINGS && frame.has(flag::ACK)).await;
        drop(first);
    };
    let (places, ()) = tokio::join!(waiting, more);
    assert_eq!(stage.shared.streams(), 3);
    drop(places);
    assert_eq!((stage.shared.streams(), stage.shared.idle_count()), (0, 1));
}

#[tokio::test]
async fn a_connection_that_fails_is_told_to_all_who_wait_for_it() {
    let stage = Stage::new().await;
    let all = async { tokio::join!(stage.join(LONG, LONG), stage.join(LONG, LONG), stage.join(LONG, LONG)) };
    let refusing = async { drop(stage.server.accept_silently().await) };
    let ((a, b, c), ()) = tokio::join!(all, refusing);
    for result in [a, b, c] {
        assert_eq!(result.unwrap_err(), Failure::ConnectFailed);
    }
    assert_eq!((stage.opened.load(Ordering::Relaxed), stage.pool.open_count()), (1, 0));
    // The next one tries again.
    let (_place, _peer) = stage.begin(&[]).await;
}

#[tokio::test]
async fn who_leaves_while_a_connection_is_opened_does_not_take_it_from_the_others() {
    let stage = Stage::new().await;
    let early = stage.join(Duration::from_millis(30), LONG);
    let accepting = async {
        let peer = stage.server.accept_silently().await;
        assert_eq!(early.await.unwrap_err(), Failure::ConnectTimeout);
        peer.settings(&[]).await;
        peer
    };
    let (accepted, place) = tokio::join!(accepting, stage.place());
    assert_eq!(stage.opened.load(Ordering::Relaxed), 1);
    drop((accepted, place));
}

#[tokio::test]
async fn what_was_sent_is_said_with_proof() {
    let stage = Stage::new().await;
    // Not a byte of it: the peer has said goodbye before.
    let (place, mut peer) = stage.begin(&[]).await;
    peer.goaway(0, code::NO_ERROR).await;
    peer.ping(1).await;
    peer.until(|frame| frame.kind == kind::PING && frame.has(flag::ACK)).await;
    let error = send(place, Method::POST, LONG).await.unwrap_err();
    assert_eq!((error.failure, error.sent), (Failure::ConnectionTerminated, Sent::No));
    drop(peer);
    // It may have been read: the connection ends without a word.
    for (reset, failure, sent) in [
        (None, Failure::ConnectionTerminated, Sent::Maybe),
        (Some(code::REFUSED_STREAM), Failure::StreamRefused, Sent::No),
        (Some(code::CANCEL), Failure::StreamReset, Sent::Yes),
        (Some(code::NO_ERROR), Failure::StreamReset, Sent::Yes),
    ] {
        let stage = Stage::new().await;
        let (place, mut peer) = stage.begin(&[]).await;
        let playing = async {
            let (stream, _, _) = peer.head().await;
            match reset {
                Some(code) => peer.reset(stream, code).await,
                None => peer.reset_on_drop(),
            }
            reset.map(|_| peer)
        };
        let (result, _peer) = tokio::join!(send(place, Method::POST, LONG), playing);
        let error = result.unwrap_err();
        assert_eq!((error.failure, error.sent), (failure, sent), "{reset:?}");
    }
}

#[tokio::test]
async fn a_peer_that_is_silent_for_a_whole_try_gets_no_more_requests() {
    let stage = Stage::new().await;
    let (place, mut peer) = stage.begin(&[]).await;
    let waited = async {
        let result = send(place, Method::GET, Duration::from_millis(50)).await;
        let error = result.unwrap_err();
        assert_eq!((error.failure, error.sent), (Failure::TryTimeout, Sent::Maybe));
    };
    let (reset, ()) = tokio::join!(peer.until(|frame| frame.kind == kind::RST_STREAM), waited);
    assert_eq!(reset.code(), code::CANCEL);
    assert!(stage.shared.place(clock::now()).is_none());
    // Nobody needs it any more: it is closed, and its place is free for another one.
    let last = peer.rest().await.pop().unwrap();
    assert_eq!((last.kind, last.code()), (kind::GOAWAY, code::NO_ERROR));
    let (_place, _peer) = stage.begin(&[]).await;
}

#[tokio::test]
async fn a_connection_that_has_fallen_silent_is_asked_and_then_ended() {
    let stage = Stage::new().await;
    let (place, mut peer) = stage.begin(&[]).await;
    let ended = send(place, Method::GET, LONG);
    let now = clock::now();
    let at = |seconds| now + Duration::from_secs(seconds);
    let looking = async {
        peer.head().await;
        stage.shared.sweep(at(1), LONG * 10);
        stage.shared.sweep(at(30), LONG * 10);
        stage.shared.sweep(at(40), LONG * 10);
        // It is asked once, and has ten seconds. What it answers counts like anything else that comes.
        peer.until(|frame| frame.kind == kind::PING && !frame.has(flag::ACK)).await;
        peer.ping(5).await;
        peer.until(|frame| frame.kind == kind::PING && frame.has(flag::ACK)).await;
        stage.shared.sweep(at(50), LONG * 10);
        assert_eq!(stage.shared.streams(), 1);
        stage.shared.sweep(at(90), LONG * 10);
        assert_eq!(stage.shared.streams(), 1);
        stage.shared.sweep(at(101), LONG * 10);
        assert_eq!(stage.shared.streams(), 0);
    };
    let (ended, ()) = tokio::join!(ended, looking);
    assert_eq!(ended.unwrap_err().failure, Failure::ConnectionTerminated);
}

#[tokio::test]
async fn idle_connections_are_closed_when_their_time_is_over_and_when_the_process_stops() {
    let stage = Stage::new().await;
    let (place, mut peer) = stage.begin(&[]).await;
    let now = clock::now();
    stage.shared.sweep(now, LONG);
    drop(place);
    stage.shared.sweep(now + LONG / 2, LONG);
    assert_eq!(stage.shared.idle_count(), 1);
    stage.shared.sweep(now + LONG, LONG);
    assert_eq!(stage.shared.idle_count(), 0);
    assert_eq!(peer.rest().await.pop().unwrap().kind, kind::GOAWAY);
    let (place, mut peer) = stage.begin(&[]).await;
    drop(place);
    assert!(stage.tasks.finish(LONG).await);
    assert_eq!(peer.rest().await.pop().unwrap().kind, kind::GOAWAY);
}

#[tokio::test]
async fn an_old_connection_serves_until_another_is_there_and_then_gets_nothing_more() {
    let stage = Stage::new().await;
    let aging = PoolLimits { connections_max: 4, age_max: Some(Duration::from_secs(60)), ..LIMITS };
    let ageless = PoolLimits { age_max: None, ..aging };
    let address = stage.server.address();
    let opened_under = |limits: PoolLimits| {
        let opening = stage.pool.open(&limits)?;
        Some(async move {
            let stream = TcpStream::connect(address).await.map_err(|_| Failure::ConnectionRefused)?;
            Ok(Opened::Http2(Transport::Plain(stream), opening))
        })
    };
    let patience = Patience { cutoff: clock::now() + LONG, connect: LONG };
    let joining = async {
        match stage.shared.join(patience, &stage.tasks, || opened_under(aging)).await {
            Ok(Joined::Place { place, .. }) => place,
            other => panic!("{other:?}"),
        }
    };
    let (first, mut old) = tokio::join!(joining, stage.server.accept(&[]));
    let now = clock::now();
    assert!(!first.is_aged(now + Duration::from_secs(53)), "give or take a tenth");
    let later = now + Duration::from_secs(67);
    assert!(first.is_aged(later));
    // Nobody waits for the other one: until it is there, the old one takes requests.
    let meanwhile = stage.shared.place(later).expect("a place on the old one");
    assert!(meanwhile.is_aged(later));
    stage.shared.replace(later, clock::now() + LONG, &stage.tasks, || opened_under(ageless));
    stage.shared.replace(later, clock::now() + LONG, &stage.tasks, || opened_under(ageless));
    let _new = stage.server.accept(&[]).await;
    let fresh = async {
        loop {
            match stage.shared.place(later) {
                Some(place) if !place.is_aged(later) => break place,
                _ => tokio::task::yield_now().await,
            }
        }
    };
    let fresh = tokio::time::timeout(LONG, fresh).await.expect("the other one is open");
    assert_eq!(stage.pool.open_count(), 2, "one was opened for two that asked");
    drop((first, meanwhile));
    stage.shared.sweep(later, LONG * 10);
    assert_eq!(old.rest().await.pop().unwrap().kind, kind::GOAWAY, "the old one is left");
    drop(fresh);
}

#[tokio::test]
async fn an_old_connection_that_cannot_be_replaced_goes_on_and_is_tried_once_a_second() {
    let stage = Stage::new().await;
    let aging = PoolLimits { connections_max: 4, age_max: Some(Duration::from_secs(60)), ..LIMITS };
    let address = stage.server.address();
    let open = || {
        let opening = stage.pool.open(&aging)?;
        Some(async move {
            let stream = TcpStream::connect(address).await.map_err(|_| Failure::ConnectionRefused)?;
            Ok(Opened::Http2(Transport::Plain(stream), opening))
        })
    };
    let patience = Patience { cutoff: clock::now() + LONG, connect: LONG };
    let (joined, _peer) = tokio::join!(stage.shared.join(patience, &stage.tasks, open), stage.server.accept(&[]));
    assert!(matches!(joined, Ok(Joined::Place { .. })));
    let (later, tried) = (clock::now() + Duration::from_secs(67), AtomicU32::new(0));
    let fails = || {
        tried.fetch_add(1, Ordering::Relaxed);
        Some(async { Err(Failure::ConnectionRefused) })
    };
    for (after, times) in [(0, 1), (0, 1), (900, 1), (1_000, 2), (1_500, 2), (2_000, 3)] {
        let now = later + Duration::from_millis(after);
        stage.shared.replace(now, clock::now() + LONG, &stage.tasks, fails);
        // The task that opens has its turn, and fails.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert_eq!(tried.load(Ordering::Relaxed), times, "after {after} ms");
        assert!(stage.shared.place(now).is_some(), "it goes on");
    }
}
