//! The connection of an attempt: one that is there, or a fresh one; its own, or one that others use as well.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::attempt::Outgoing;
use super::exchange::Attempt;
use crate::clock;
use crate::policy::tls::Protocol;
use crate::reliability::Failure;
use crate::tls::{Offer, Transport};
use crate::upstreams::Upstream;
use crate::upstreams::endpoint::Endpoint;
use crate::upstreams::line::Line;
use crate::upstreams::pool_limits;
use crate::wire::dial;
use crate::wire::h1::Link;
use crate::wire::h2::{Joined, Opened, Patience, Place};
use crate::wire::pool::Opening;

/// What an exchange runs on. `reused`: the peer may have closed it while nobody looked.
pub(super) enum Way {
    /// HTTP/1.1, alone.
    Own { link: Link, reused: bool },
    /// HTTP/2, with others.
    Shared { place: Place, reused: bool },
}

/// What is spoken to an endpoint.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tongue {
    Http1,
    Http2,
    /// What it agrees on.
    Either,
}

impl Tongue {
    /// For `request`, under the words of `line`.
    pub(super) fn of(line: &Line, request: &Outgoing) -> Tongue {
        match (line.speech.protocol, &line.speech.connector) {
            (Protocol::Http2, _) => Tongue::Http2,
            (Protocol::Http1, _) => Tongue::Http1,
            // Nearly everybody can switch protocols over HTTP/1.1, and hardly anybody over HTTP/2.
            (Protocol::Auto, _) if request.upgrade => Tongue::Http1,
            (Protocol::Auto, Some(_)) => Tongue::Either,
            // gRPC proper has no other transport; gRPC-Web was made for HTTP/1.1.
            (Protocol::Auto, None) if request.present.grpc() => Tongue::Http2,
            (Protocol::Auto, None) => Tongue::Http1,
        }
    }

    fn offer(self) -> Offer {
        match self {
            Tongue::Http1 => Offer::Http1,
            Tongue::Http2 => Offer::Http2,
            Tongue::Either => Offer::Either,
        }
    }
}

/// What a fresh connection needs. Owned: one that many wait for outlives the request that asked for it.
struct Dial {
    state: Arc<Upstream>,
    line: Arc<Line>,
    addr: SocketAddr,
    /// The name that is asked for, and looked for in the certificate.
    name: Box<str>,
    offer: Offer,
    by: Instant,
}

struct Dialed {
    stream: Transport,
    http2: bool,
}

impl Dial {
    async fn open(&self) -> Result<Dialed, Failure> {
        let dialed = self.connect().await;
        match &dialed {
            Ok(_) => self.state.meters.connection_opened(),
            Err(_) => self.state.on_connect_failure(),
        }
        dialed
    }

    async fn connect(&self) -> Result<Dialed, Failure> {
        let tcp = dial::tcp(self.addr, self.by).await?;
        let Some(connector) = &self.line.speech.connector else {
            return Ok(Dialed { stream: Transport::Plain(tcp), http2: self.offer == Offer::Http2 });
        };
        let connected = connector.connect(tcp, &self.name, self.offer, self.by).await?;
        if self.offer == Offer::Http2 && !connected.http2 {
            return Err(Failure::TlsFailed);
        }
        Ok(Dialed { stream: connected.stream, http2: connected.http2 })
    }

    /// For all who wait for it.
    async fn open_shared(self, opening: Opening, idle_max: u32) -> Result<Opened, Failure> {
        let Dialed { stream, http2 } = self.open().await?;
        self.line.learn(http2);
        self.state.learn(http2);
        if http2 {
            return Ok(Opened::Http2(stream, opening));
        }
        Link::new(stream, opening).into_idle(idle_max);
        Ok(Opened::Http1)
    }
}

impl Attempt<'_> {
    /// `fresh`: nothing that may have been closed meanwhile.
    pub(super) async fn way(
        &self,
        endpoint: &Arc<Endpoint>,
        line: &Arc<Line>,
        tongue: Tongue,
        now: Instant,
        fresh: bool,
    ) -> Result<Way, Failure> {
        if tongue != Tongue::Http1 && !(tongue == Tongue::Either && line.is_known_http1()) {
            if let Some(place) = line.shared.place(now) {
                self.route.state.meters.connection_reused();
                if place.is_aged(now) {
                    self.replace(endpoint, line, tongue, now);
                }
                let reused = place.was_idle();
                return Ok(Way::Shared { place, reused });
            }
            if let Some(way) = Box::pin(self.join(endpoint, line, tongue)).await? {
                return Ok(way);
            }
        }
        let kept = if fresh { None } else { line.pool.checkout(now, &pool_limits(self.route.upstream)) };
        if let Some(link) = kept {
            self.route.state.meters.connection_reused();
            return Ok(Way::Own { link, reused: true });
        }
        // What is rare is boxed: the future of every request would have to have room for it.
        Box::pin(self.open(endpoint, line, tongue)).await
    }

    fn dial(&self, endpoint: &Endpoint, line: &Arc<Line>, tongue: Tongue, by: Instant) -> Dial {
        let named = line.speech.connector.as_ref().and_then(|connector| connector.spec.server_name.as_deref());
        let authority = endpoint.authority.to_str().unwrap_or_default();
        let name = named.map_or_else(|| dial::host_of(authority).into(), Box::from);
        let (state, line) = (Arc::clone(self.route.state), Arc::clone(line));
        Dial { state, line, addr: endpoint.addr, name, offer: tongue.offer(), by }
    }

    /// A connection of its own.
    async fn open(&self, endpoint: &Arc<Endpoint>, line: &Arc<Line>, tongue: Tongue) -> Result<Way, Failure> {
        let limits = pool_limits(self.route.upstream);
        let opening = line.pool.open(&limits).ok_or(Failure::ConnectionLimit)?;
        let by = self.cutoff.min(clock::now() + self.route.upstream.connect_timeout);
        let Dialed { stream, http2 } = self.dial(endpoint, line, tongue, by).open().await?;
        if !http2 {
            return Ok(Way::Own { link: Link::new(stream, opening), reused: false });
        }
        // It has learned HTTP/2 since it was asked last: from now on one is opened for all.
        line.learn(true);
        drop((stream, opening));
        match self.join(endpoint, line, tongue).await? {
            Some(way) => Ok(way),
            None => Err(Failure::ConnectFailed),
        }
    }

    /// Opens a connection in place of one that has become old.
    #[cold]
    fn replace(&self, endpoint: &Arc<Endpoint>, line: &Arc<Line>, tongue: Tongue, now: Instant) {
        let limits = pool_limits(self.route.upstream);
        let by = now + self.route.upstream.connect_timeout;
        line.shared.replace(now, by, self.tasks, || {
            let opening = line.pool.open(&limits)?;
            Some(self.dial(endpoint, line, tongue, by).open_shared(opening, limits.idle_max))
        });
    }

    /// A place on a connection that all wait for. `None`: the endpoint speaks HTTP/1.1.
    async fn join(&self, endpoint: &Arc<Endpoint>, line: &Arc<Line>, tongue: Tongue) -> Result<Option<Way>, Failure> {
        let limits = pool_limits(self.route.upstream);
        let connect = self.route.upstream.connect_timeout;
        let by = clock::now() + connect;
        let open = || {
            let opening = line.pool.open(&limits)?;
            Some(self.dial(endpoint, line, tongue, by).open_shared(opening, limits.idle_max))
        };
        let patience = Patience { cutoff: self.cutoff, connect };
        match line.shared.join(patience, self.tasks, open).await? {
            Joined::Http1 => Ok(None),
            Joined::Place { place, opened } => {
                if !opened {
                    self.route.state.meters.connection_reused();
                }
                Ok(Some(Way::Shared { place, reused: false }))
            }
        }
    }
}
