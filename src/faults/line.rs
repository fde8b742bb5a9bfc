//! The bytes of a connection, plain or inside TLS, for a reader and a writer that share it.

use std::io::{self, ErrorKind};
#[cfg(feature = "testing")]
use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
#[cfg(feature = "testing")]
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(feature = "testing")]
use tokio_rustls::TlsStream;

/// One connection. It is read by one task and written by one task at a time.
#[derive(Debug)]
pub enum Line {
    /// TCP.
    Plain(TcpStream),
    /// TLS over TCP.
    #[cfg(feature = "testing")]
    Secure(Box<Mutex<TlsStream<TcpStream>>>),
}

impl From<TcpStream> for Line {
    fn from(stream: TcpStream) -> Line {
        Line::Plain(stream)
    }
}

impl Line {
    /// A connection inside TLS, of either side.
    #[cfg(feature = "testing")]
    pub fn secure(stream: impl Into<TlsStream<TcpStream>>) -> Line {
        Line::Secure(Box::new(Mutex::new(stream.into())))
    }

    /// Appends what has arrived; 0 at the end of the stream.
    pub async fn read(&self, buffer: &mut BytesMut) -> io::Result<usize> {
        match self {
            Line::Plain(stream) => loop {
                match stream.try_read_buf(buffer) {
                    Err(e) if e.kind() == ErrorKind::WouldBlock => stream.readable().await?,
                    other => return other,
                }
            },
            #[cfg(feature = "testing")]
            Line::Secure(_) => {
                // Not an array: every future above this one would hold it.
                let mut space = vec![0; 16 * 1024];
                let mut space = ReadBuf::new(&mut space);
                std::future::poll_fn(|cx| self.poll_read(cx, &mut space)).await?;
                buffer.extend_from_slice(space.filled());
                Ok(space.filled().len())
            }
        }
    }

    /// Writes all bytes. Waits while the peer does not read.
    pub async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = match self {
                Line::Plain(stream) => match stream.try_write(bytes) {
                    Err(e) if e.kind() == ErrorKind::WouldBlock => {
                        stream.writable().await?;
                        continue;
                    }
                    other => other?,
                },
                #[cfg(feature = "testing")]
                Line::Secure(_) => std::future::poll_fn(|cx| self.poll_write(cx, bytes)).await?,
            };
            if written == 0 {
                return Err(ErrorKind::WriteZero.into());
            }
            bytes = &bytes[written..];
        }
        #[cfg(feature = "testing")]
        if let Line::Secure(stream) = self {
            std::future::poll_fn(|cx| Pin::new(&mut *lock(stream)).poll_flush(cx)).await?;
        }
        Ok(())
    }

    /// Says inside TLS that nothing more follows; without TLS the close of the socket says it.
    pub async fn finish(&self) -> io::Result<()> {
        match self {
            Line::Plain(_) => Ok(()),
            #[cfg(feature = "testing")]
            Line::Secure(stream) => std::future::poll_fn(|cx| Pin::new(&mut *lock(stream)).poll_shutdown(cx)).await,
        }
    }

    /// Makes the close of this connection a reset (RST) that throws away what is not yet sent.
    pub fn reset_on_close(&self) -> io::Result<()> {
        match self {
            Line::Plain(stream) => stream.set_zero_linger(),
            #[cfg(feature = "testing")]
            Line::Secure(stream) => lock(stream).get_ref().0.set_zero_linger(),
        }
    }

    #[cfg(feature = "testing")]
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Line::Plain(stream) => loop {
                ready!(stream.poll_read_ready(cx))?;
                match stream.try_read(buffer.initialize_unfilled()) {
                    Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                    other => return Poll::Ready(other.map(|count| buffer.advance(count))),
                }
            },
            Line::Secure(stream) => Pin::new(&mut *lock(stream)).poll_read(cx, buffer),
        }
    }

    #[cfg(feature = "testing")]
    fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Line::Plain(stream) => loop {
                ready!(stream.poll_write_ready(cx))?;
                match stream.try_write(bytes) {
                    Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                    other => return Poll::Ready(other),
                }
            },
            Line::Secure(stream) => Pin::new(&mut *lock(stream)).poll_write(cx, bytes),
        }
    }
}

#[cfg(feature = "testing")]
fn lock(stream: &Mutex<TlsStream<TcpStream>>) -> MutexGuard<'_, TlsStream<TcpStream>> {
    stream.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection as a library wants it, beginning with bytes that were already read.
#[cfg(feature = "testing")]
#[derive(Debug)]
pub struct Rewound {
    first: BytesMut,
    line: Arc<Line>,
}

#[cfg(feature = "testing")]
impl Rewound {
    /// `first` is read before what is still to come.
    pub fn new(first: BytesMut, line: Arc<Line>) -> Rewound {
        Rewound { first, line }
    }
}

#[cfg(feature = "testing")]
impl AsyncRead for Rewound {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return self.line.poll_read(cx, buffer);
        }
        let count = self.first.len().min(buffer.remaining());
        buffer.put_slice(&self.first.split_to(count));
        Poll::Ready(Ok(()))
    }
}

#[cfg(feature = "testing")]
impl AsyncWrite for Rewound {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.line.poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &*self.line {
            Line::Plain(_) => Poll::Ready(Ok(())),
            Line::Secure(stream) => Pin::new(&mut *lock(stream)).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &*self.line {
            // Dropping the last owner closes it.
            Line::Plain(_) => Poll::Ready(Ok(())),
            Line::Secure(stream) => Pin::new(&mut *lock(stream)).poll_shutdown(cx),
        }
    }
}
