//! The bytes of a stream after a switch of protocols (RFC 8441).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::{RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::exchange::Place;

/// Of one write, so much is taken.
const WRITE_BYTES_MAX: usize = 16 * 1024;

/// Both directions of a stream. In the order in which it is dropped: the place is free once the stream is.
#[derive(Debug)]
pub struct Tunnel {
    send: SendStream<Bytes>,
    receive: RecvStream,
    unread: Bytes,
    _place: Place,
}

impl Tunnel {
    pub(super) fn new(send: SendStream<Bytes>, receive: RecvStream, place: Place) -> Tunnel {
        Tunnel { send, receive, unread: Bytes::new(), _place: place }
    }
}

fn broken(error: h2::Error) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, error)
}

impl AsyncRead for Tunnel {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.unread.is_empty() {
            match ready!(self.receive.poll_data(cx)) {
                Some(Ok(data)) => self.unread = data,
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
                None => return Poll::Ready(Ok(())),
            }
        }
        let taken = self.unread.len().min(buf.remaining());
        buf.put_slice(&self.unread[..taken]);
        self.unread.advance(taken);
        Poll::Ready(self.receive.flow_control().release_capacity(taken).map_err(broken))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        while self.send.capacity() == 0 {
            self.send.reserve_capacity(WRITE_BYTES_MAX.min(buf.len()));
            match ready!(self.send.poll_capacity(cx)) {
                Some(Ok(_room)) => {}
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
        let taken = self.send.capacity().min(WRITE_BYTES_MAX).min(buf.len());
        let sent = self.send.send_data(Bytes::copy_from_slice(&buf[..taken]), false);
        Poll::Ready(sent.map(|()| taken).map_err(broken))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The connection's own task writes.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.send.send_data(Bytes::new(), true).map_err(broken))
    }
}
