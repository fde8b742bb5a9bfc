//! The upstream of a cost measurement: one answer, rendered beforehand, and nothing else. It shares a core with
//! the generator, so that whatever it saves is room for the proxy to be measured in: one read and one write per
//! request, no allocation, no lock.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::generate::framing::{Body, Head};

/// A request's head must fit; proxies add a handful of fields.
const BUFFER: usize = 32 * 1024;
const BACKLOG: u32 = 4_096;

/// Counters; they only grow.
#[derive(Debug, Default)]
pub struct Counters {
    pub connections: AtomicU64,
    pub requests: AtomicU64,
    pub executed: AtomicU64,
}

/// A running upstream. It ends, with its connections, when this value is dropped.
#[derive(Debug)]
pub struct LeanServer {
    address: SocketAddr,
    counters: Arc<Counters>,
    task: tokio::task::AbortHandle,
}

impl Drop for LeanServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl LeanServer {
    /// Answers every request on a free port of 127.0.0.1 with 200 and `answer` bytes.
    pub fn start(answer: u64) -> io::Result<LeanServer> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let listener = socket.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        let counters = Arc::<Counters>::default();
        let length = usize::try_from(answer).map_err(|_| io::ErrorKind::InvalidInput)?;
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length:";
        let mut bytes = format!("{head} {answer}\r\n\r\n").into_bytes();
        bytes.resize(bytes.len() + length, b'x');
        let task = tokio::spawn(accept(listener, Arc::clone(&counters), bytes.into())).abort_handle();
        Ok(LeanServer { address, counters, task })
    }

    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

async fn accept(listener: TcpListener, counters: Arc<Counters>, answer: Bytes) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    counters.connections.fetch_add(1, Ordering::Relaxed);
                    connections.spawn(serve(stream, Arc::clone(&counters), answer.clone()));
                }
                // Out of descriptors, most likely: try again when some may have come free.
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Serves until the peer leaves. Whatever is wrong with a connection ends it: the proxy will tell.
async fn serve(mut stream: TcpStream, counters: Arc<Counters>, answer: Bytes) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; BUFFER];
    let mut filled = 0;
    loop {
        let head = loop {
            match Head::read(&buffer[..filled]).map_err(|_| io::ErrorKind::InvalidData)? {
                Some(head) => break head,
                None if filled == BUFFER => return Err(io::ErrorKind::InvalidData.into()),
                None => {}
            }
            match stream.read(&mut buffer[filled..]).await? {
                0 => return Ok(()),
                count => filled += count,
            }
        };
        counters.requests.fetch_add(1, Ordering::Relaxed);
        if head.expects {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let mut begin = head.length;
        if let Some(framing) = head.body {
            let mut body = Body::new(framing);
            loop {
                begin += body.take(&buffer[begin..filled]).map_err(|_| io::ErrorKind::InvalidData)?;
                if body.ended() {
                    break;
                }
                (begin, filled) = (0, stream.read(&mut buffer).await?);
                if filled == 0 {
                    return Ok(());
                }
            }
        }
        counters.executed.fetch_add(1, Ordering::Relaxed);
        stream.write_all(&answer).await?;
        if head.close {
            return Ok(());
        }
        buffer.copy_within(begin..filled, 0);
        filled -= begin;
    }
}
