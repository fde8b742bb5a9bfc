//! What follows an answer that switches protocols, whichever HTTP it came over.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Answer;
use super::h2::Tunnel;

/// The bytes of a tunnel to an upstream.
#[derive(Debug)]
pub enum Switched {
    /// A connection.
    Http1(TokioIo<Upgraded>),
    /// A stream of a connection that others use as well.
    Http2(Box<Tunnel>),
}

/// A tunnel that goes with the head of an answer: extensions must be cloneable, and it is there once.
#[derive(Clone, Debug)]
pub(super) struct Carried(Arc<Mutex<Option<Tunnel>>>);

impl Carried {
    pub(super) fn new(tunnel: Tunnel) -> Carried {
        Carried(Arc::new(Mutex::new(Some(tunnel))))
    }
}

/// What comes after the switch.
#[derive(Debug)]
pub struct OnSwitch(Pending);

#[derive(Debug)]
enum Pending {
    Http1(OnUpgrade),
    Http2(Option<Tunnel>),
}

/// Takes it off an answer.
pub fn on_switch(answer: &mut Answer) -> OnSwitch {
    match answer.extensions_mut().remove::<Carried>() {
        Some(carried) => OnSwitch(Pending::Http2(carried.0.lock().unwrap_or_else(PoisonError::into_inner).take())),
        None => OnSwitch(Pending::Http1(hyper::upgrade::on(answer))),
    }
}

impl OnSwitch {
    /// Its bytes, as soon as the switch is done.
    ///
    /// # Errors
    /// The connection broke before.
    pub async fn bytes(self) -> io::Result<Switched> {
        match self.0 {
            Pending::Http1(upgrade) => {
                upgrade.await.map(|upgraded| Switched::Http1(TokioIo::new(upgraded))).map_err(io::Error::other)
            }
            Pending::Http2(tunnel) => {
                tunnel.map(|tunnel| Switched::Http2(Box::new(tunnel))).ok_or_else(|| io::ErrorKind::NotFound.into())
            }
        }
    }
}

impl AsyncRead for Switched {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Switched::Http1(upgraded) => Pin::new(upgraded).poll_read(cx, buf),
            Switched::Http2(tunnel) => Pin::new(&mut **tunnel).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Switched {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Switched::Http1(upgraded) => Pin::new(upgraded).poll_write(cx, buf),
            Switched::Http2(tunnel) => Pin::new(&mut **tunnel).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Switched::Http1(upgraded) => Pin::new(upgraded).poll_flush(cx),
            Switched::Http2(tunnel) => Pin::new(&mut **tunnel).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Switched::Http1(upgraded) => Pin::new(upgraded).poll_shutdown(cx),
            Switched::Http2(tunnel) => Pin::new(&mut **tunnel).poll_shutdown(cx),
        }
    }
}
