//! A connection's bytes, encrypted or not.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

/// A socket, or a TLS session over one.
#[derive(Debug)]
pub enum Transport {
    /// Bytes as they are.
    Plain(TcpStream),
    /// Boxed: most connections inside a Pod are plain, and are moved several times for each request.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Transport {
    /// The socket below.
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Transport::Plain(tcp) => tcp,
            Transport::Tls(tls) => tls.get_ref().0,
        }
    }

    /// Whether the peer has neither closed nor sent anything unasked, as far as the reactor has seen. Costs no system call
    /// while it has not. Session tickets that arrive on an idle TLS connection are taken in, and are nothing unasked.
    pub fn is_quiet(&mut self) -> bool {
        let mut byte = [0; 1];
        match self {
            Transport::Plain(tcp) => tcp.try_read(&mut byte).is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock),
            Transport::Tls(tls) => {
                let mut buf = ReadBuf::new(&mut byte);
                // Nobody is to be woken, and the task's budget must not make a closed connection look quiet.
                let mut cx = Context::from_waker(Waker::noop());
                let read =
                    std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut **tls).poll_read(cx, &mut buf).is_pending()));
                let mut read = std::pin::pin!(tokio::task::unconstrained(read));
                matches!(read.as_mut().poll(&mut cx), Poll::Ready(true))
            }
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Transport::Tls(tls) => Pin::new(&mut **tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Transport::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Transport::Tls(tls) => Pin::new(&mut **tls).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Transport::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Transport::Tls(tls) => Pin::new(&mut **tls).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Transport::Plain(tcp) => tcp.is_write_vectored(),
            Transport::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Transport::Tls(tls) => Pin::new(&mut **tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Transport::Tls(tls) => Pin::new(&mut **tls).poll_shutdown(cx),
        }
    }
}
