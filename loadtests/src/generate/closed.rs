//! The closed loop: each connection sends its next request when it has its answer. It shares a core with the
//! upstream and must be able to saturate a proxy, so that it does as little as can be done: rendered requests,
//! one write and one read per exchange, no allocation.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Sleep;

use super::framing::{Body, Head, status};
use super::record::{Answered, Failure};
use super::request::Template;
use super::{Plan, Ran, Recorder, Start};

/// Read at once; an answer's head must fit.
const BUFFER: usize = 64 * 1024;
/// After a refused connection, or the loop would spin.
const PAUSE: Duration = Duration::from_millis(10);

/// Keeps every connection busy for the duration of the plan.
pub async fn run(plan: &Plan, record: &Recorder, start: Start) -> Result<Ran, String> {
    let mut clients = Vec::new();
    for n in 0..plan.load.connections as usize {
        let address = plan.targets[n % plan.targets.len()];
        let template = Template::new(&plan.load, address, &format!("{}-{n}", plan.keys))?;
        let link = Link::open(address).await.ok();
        clients.push(Client {
            address,
            template,
            link,
            served: 0,
            per_connection: plan.load.requests_per_connection,
            timeout: plan.load.timeout,
            record: Arc::clone(record),
            watchdog: Box::pin(tokio::time::sleep(plan.load.timeout)),
        });
    }
    let begun = start.wait().await?;
    let zero = begun.zero;
    tokio::time::sleep_until(zero.into()).await;
    let end = zero + plan.duration;
    let mut tasks = JoinSet::new();
    for client in clients {
        tasks.spawn(client.run(zero, end));
    }
    while tasks.join_next().await.is_some() {}
    Ok(begun.ended(Instant::now().saturating_duration_since(zero).as_secs_f64()))
}

struct Client {
    address: SocketAddr,
    template: Template,
    link: Option<Link>,
    /// On this connection.
    served: u32,
    per_connection: Option<u32>,
    timeout: Duration,
    record: Recorder,
    /// Set again only when it goes off: most requests end long before.
    watchdog: Pin<Box<Sleep>>,
}

impl Client {
    async fn run(mut self, zero: Instant, end: Instant) {
        let mut request = Vec::new();
        self.template.bytes(0, &mut request);
        let mut begun = Instant::now();
        let mut number = 0;
        while begun < end {
            if !self.template.is_constant() {
                self.template.bytes(number, &mut request);
            }
            number += 1;
            let outcome = self.exchange(&request, begun + self.timeout).await;
            let now = Instant::now();
            self.record.lock().unwrap_or_else(PoisonError::into_inner).outcome(
                begun.saturating_duration_since(zero),
                now.saturating_duration_since(begun),
                outcome,
            );
            begun = now;
            if outcome == Err(Failure::Connect) {
                tokio::time::sleep(PAUSE).await;
                begun = Instant::now();
            }
        }
    }

    async fn exchange(&mut self, request: &[u8], deadline: Instant) -> Result<Answered, Failure> {
        // Taken out: a connection on which something failed is closed.
        let mut link = match self.link.take() {
            Some(link) => link,
            None => {
                self.served = 0;
                let opening = tokio::time::timeout_at(deadline.into(), Link::open(self.address));
                opening.await.map_err(|_| Failure::Timeout)??
            }
        };
        link.write(request, deadline).await?;
        let (answered, reusable) = link.read(&mut self.watchdog, deadline).await?;
        self.served += 1;
        if reusable && self.per_connection.is_none_or(|most| self.served < most) {
            self.link = Some(link);
        }
        Ok(answered)
    }
}

struct Link {
    stream: TcpStream,
    buffer: Box<[u8]>,
}

impl Link {
    async fn open(address: SocketAddr) -> Result<Link, Failure> {
        let stream = TcpStream::connect(address).await.map_err(|_| Failure::Connect)?;
        stream.set_nodelay(true).map_err(|_| Failure::Connect)?;
        Ok(Link { stream, buffer: vec![0; BUFFER].into() })
    }

    async fn write(&mut self, request: &[u8], deadline: Instant) -> Result<(), Failure> {
        // Usually all of it fits into the socket's buffer at once.
        match self.stream.try_write(request) {
            Ok(written) if written == request.len() => Ok(()),
            Ok(written) => {
                let rest = tokio::time::timeout_at(deadline.into(), self.stream.write_all(&request[written..]));
                rest.await.map_err(|_| Failure::Timeout)?.map_err(|_| Failure::Reset)
            }
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {
                let all = tokio::time::timeout_at(deadline.into(), self.stream.write_all(request));
                all.await.map_err(|_| Failure::Timeout)?.map_err(|_| Failure::Reset)
            }
            Err(_) => Err(Failure::Reset),
        }
    }

    /// The answer, and whether the connection may be used again.
    async fn read(&mut self, watchdog: &mut Pin<Box<Sleep>>, deadline: Instant) -> Result<(Answered, bool), Failure> {
        let mut filled = 0;
        let (status, head) = loop {
            match Head::read(&self.buffer[..filled]).map_err(|_| Failure::Reset)? {
                None if filled == BUFFER => return Err(Failure::Reset),
                None => {
                    let count = self.fill(filled, watchdog, deadline).await?;
                    if count == 0 {
                        return Err(Failure::Reset);
                    }
                    filled += count;
                }
                Some(head) => {
                    let status = status(&self.buffer[..filled]).map_err(|_| Failure::Reset)?;
                    if status >= 200 {
                        break (status, head);
                    }
                    self.buffer.copy_within(head.length..filled, 0);
                    filled -= head.length;
                }
            }
        };
        let Some(framing) = head.body.filter(|_| status != 204 && status != 304) else {
            if status == 204 || status == 304 {
                return Ok((Answered { status, bytes: 0 }, !head.close && filled == head.length));
            }
            return self.read_until_close(status, filled - head.length, watchdog, deadline).await;
        };
        let mut body = Body::new(framing);
        let mut begin = head.length;
        loop {
            begin += body.take(&self.buffer[begin..filled]).map_err(|_| Failure::Truncated)?;
            if body.ended() {
                // Bytes behind the answer were not asked for.
                return Ok((Answered { status, bytes: body.bytes }, !head.close && begin == filled));
            }
            begin = 0;
            filled = match self.fill(0, watchdog, deadline).await {
                Ok(count) if count > 0 => count,
                Ok(_) | Err(Failure::Reset) => return Err(Failure::Truncated),
                Err(other) => return Err(other),
            };
        }
    }

    async fn read_until_close(
        &mut self,
        status: u16,
        already: usize,
        watchdog: &mut Pin<Box<Sleep>>,
        deadline: Instant,
    ) -> Result<(Answered, bool), Failure> {
        let mut bytes = already as u64;
        loop {
            match self.fill(0, watchdog, deadline).await? {
                0 => return Ok((Answered { status, bytes }, false)),
                count => bytes += count as u64,
            }
        }
    }

    /// Reads once, behind the first `filled` bytes; 0 = the peer closed.
    async fn fill(
        &mut self,
        filled: usize,
        watchdog: &mut Pin<Box<Sleep>>,
        deadline: Instant,
    ) -> Result<usize, Failure> {
        std::future::poll_fn(|cx| {
            let mut free = ReadBuf::new(&mut self.buffer[filled..]);
            match Pin::new(&mut self.stream).poll_read(cx, &mut free) {
                Poll::Ready(Ok(())) => Poll::Ready(Ok(free.filled().len())),
                Poll::Ready(Err(_)) => Poll::Ready(Err(Failure::Reset)),
                Poll::Pending => expired(watchdog, deadline, cx).map(|()| Err(Failure::Timeout)),
            }
        })
        .await
    }
}

/// Whether the deadline has passed; wakes the task when it does.
fn expired(watchdog: &mut Pin<Box<Sleep>>, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
    while watchdog.as_mut().poll(cx).is_ready() {
        if Instant::now() >= deadline {
            return Poll::Ready(());
        }
        watchdog.as_mut().reset(deadline.into());
    }
    Poll::Pending
}
