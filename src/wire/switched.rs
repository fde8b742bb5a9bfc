//! What follows an answer that switches protocols, whichever HTTP it came over.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_util::either::Either;

use super::Answer;
use super::h2::Tunnel;

/// The bytes of a tunnel to an upstream: a connection, or a stream of a connection that others use as well.
pub type Switched = Either<TokioIo<Upgraded>, Box<Tunnel>>;

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
                upgrade.await.map(|upgraded| Either::Left(TokioIo::new(upgraded))).map_err(io::Error::other)
            }
            Pending::Http2(tunnel) => {
                tunnel.map(|tunnel| Either::Right(Box::new(tunnel))).ok_or_else(|| io::ErrorKind::NotFound.into())
            }
        }
    }
}
