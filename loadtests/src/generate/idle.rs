//! Connections that are opened, asked once, and then only held: what a proxy keeps for each is memory.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::mpsc;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::thread::Thread;
use crate::credentials::{Dialer, Io, connect};

/// Opened at the same time.
const AT_ONCE: usize = 64;
/// One connection with its request.
const OPENING: Duration = Duration::from_secs(20);

/// Connections that are held until this value goes.
#[derive(Debug)]
pub struct Held {
    ask: Option<oneshot::Sender<()>>,
    thread: Thread<usize>,
}

impl Held {
    /// Opens that many to `target` and sends one `GET path` on each.
    ///
    /// # Errors
    /// One of them cannot be opened, or gets no answer.
    pub fn open(
        count: u32,
        target: SocketAddr,
        path: String,
        dialer: Option<Dialer>,
        core: Option<u32>,
    ) -> Result<Held, String> {
        let (tell, told) = mpsc::channel();
        let (ask, asked) = oneshot::channel();
        let thread = Thread::start("idle", core, move |runtime| {
            runtime.block_on(async {
                let opened = open_all(count, target, path, dialer).await;
                let failed = opened.as_ref().err().cloned();
                // The starter waits for it.
                let _ = tell.send(failed.map_or(Ok(()), Err));
                let mut held = opened.unwrap_or_default();
                // Asked, or given up: either way it is over.
                let _ = asked.await;
                let mut lost = 0;
                for io in &mut held {
                    lost += usize::from(has_ended(io).await);
                }
                lost
            })
        })?;
        told.recv().map_err(|_| "the idle connections ended at their start".to_owned())??;
        Ok(Held { ask: Some(ask), thread })
    }

    /// Closes them, and says how many the proxy had closed before.
    ///
    /// # Errors
    /// Their thread failed.
    pub fn lost(mut self) -> Result<usize, String> {
        drop(self.ask.take());
        self.thread.join()
    }
}

async fn open_all(count: u32, target: SocketAddr, path: String, dialer: Option<Dialer>) -> Result<Vec<Io>, String> {
    let (mut opening, mut held) = (JoinSet::new(), Vec::new());
    for _ in 0..count {
        let (path, dialer) = (path.clone(), dialer.clone());
        opening.spawn(async move {
            let opened = tokio::time::timeout(OPENING, open_one(target, &path, dialer.as_ref()));
            opened.await.map_err(|_| "no answer in time".to_owned())?.map_err(|e| e.to_string())
        });
        if opening.len() >= AT_ONCE {
            held.extend(joined(opening.join_next().await, held.len())?);
        }
    }
    while let Some(opened) = opening.join_next().await {
        held.extend(joined(Some(opened), held.len())?);
    }
    Ok(held)
}

fn joined(
    opened: Option<Result<Result<Io, String>, tokio::task::JoinError>>,
    so_far: usize,
) -> Result<Option<Io>, String> {
    let said = |e: String| format!("idle connection {}: {e}", so_far + 1);
    opened.map(|opened| opened.map_err(|e| said(e.to_string()))?.map_err(said)).transpose()
}

async fn open_one(target: SocketAddr, path: &str, dialer: Option<&Dialer>) -> std::io::Result<Io> {
    let mut io = connect(target, dialer).await?;
    io.write_all(format!("GET {path} HTTP/1.1\r\nHost: {target}\r\n\r\n").as_bytes()).await?;
    io.flush().await?;
    // Answers of these scenarios are small, and nothing follows them.
    let mut answer = [0; 4_096];
    let mut filled = 0;
    while !answer[..filled].windows(4).any(|end| end == b"\r\n\r\n") {
        match io.read(&mut answer[filled..]).await? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => filled += count,
        }
    }
    Ok(io)
}

/// Whether the peer has closed; bytes of an answer that came late do not count.
async fn has_ended(io: &mut Io) -> bool {
    poll_fn(|cx| {
        loop {
            let mut space = [0; 4_096];
            let mut space = ReadBuf::new(&mut space);
            match Pin::new(&mut *io).poll_read(cx, &mut space) {
                Poll::Ready(Ok(())) if !space.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(true),
                Poll::Pending => return Poll::Ready(false),
            }
        }
    })
    .await
}
