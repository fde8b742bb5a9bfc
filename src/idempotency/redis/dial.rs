//! How the server is reached: in clear, as the crate does it, or over TLS, as everywhere in this program.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, RedisError};
use tokio::net::TcpStream;
use tokio::runtime::Handle;

use crate::clock;
use crate::reliability::Failure;
use crate::tls::{Connector, Offer};

/// Where the server is.
#[derive(Clone)]
pub(super) struct Dial {
    client: Client,
    encrypted: Option<Encrypted>,
}

#[derive(Clone)]
struct Encrypted {
    connector: Arc<Connector>,
    host: String,
    port: u16,
    /// For the handshake.
    patience: Duration,
}

impl Dial {
    /// Does not connect yet.
    ///
    /// # Errors
    /// What is wrong with the URL, and nothing of it.
    pub(super) fn new(url: &str, tls: Option<&Arc<Connector>>, patience: Duration) -> Result<Dial, String> {
        let unusable = |error: RedisError| format!("the URL cannot be used: {error}");
        // The crate is built without TLS, and would not know the word.
        let bare = url.strip_prefix("rediss://").map(|rest| format!("redis://{rest}"));
        if bare.is_some() != tls.is_some() {
            return Err("the URL cannot be used: rediss:// and TLS belong together".to_owned());
        }
        let to = bare.as_deref().unwrap_or(url).into_connection_info().map_err(unusable)?;
        // Many small commands share the connection: none may wait for the answer to the one before.
        let to = to.set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let encrypted = match (tls, to.addr()) {
            (None, _) => None,
            (Some(connector), ConnectionAddr::Tcp(host, port)) => {
                Some(Encrypted { connector: Arc::clone(connector), host: host.clone(), port: *port, patience })
            }
            (Some(_), _) => return Err("the URL cannot be used: over TLS it names a host".to_owned()),
        };
        Ok(Dial { client: Client::open(to).map_err(unusable)?, encrypted })
    }

    /// A connection that has introduced itself. Over TLS nothing is sent, no password either, before the server has shown
    /// a certificate that is believed.
    ///
    /// # Errors
    /// A sentence.
    pub(super) async fn connect(&self, config: &AsyncConnectionConfig) -> Result<MultiplexedConnection, String> {
        let unusable = |error: RedisError| format!("the server cannot be used: {error}");
        let Some(Encrypted { connector, host, port, patience }) = &self.encrypted else {
            let connecting = self.client.get_multiplexed_async_connection_with_config(config);
            return connecting.await.map_err(unusable);
        };
        let name = host.trim_matches(['[', ']']);
        let stream = TcpStream::connect((name, *port)).await;
        let stream = stream.map_err(|error| format!("the server cannot be reached: {error}"))?;
        // Failing to set it is no reason to fail.
        let _ = stream.set_nodelay(true);
        let session = connector.connect(stream, name, Offer::Nothing, clock::now() + *patience).await;
        let stream = session.map_err(|failure| no_session(failure).to_owned())?.stream;
        let introduced = self.client.get_connection_info().redis_settings();
        let (connection, driver) =
            MultiplexedConnection::new_with_config(introduced, stream, config.clone()).await.map_err(unusable)?;
        // As the crate does with a connection in clear; it ends with the last copy of the connection.
        Handle::current().spawn(driver);
        Ok(connection)
    }
}

fn no_session(failure: Failure) -> &'static str {
    match failure {
        Failure::TlsCertificate => {
            "no TLS session (tls-certificate): the server's certificate is not believed, or is for another name; \
             stores.redis.tls has `ca` and `serverName`"
        }
        Failure::TlsTimeout => {
            "no TLS session (tls-timeout): the handshake was not over in time, as with a port that speaks no TLS"
        }
        _ => {
            "no TLS session (tls-failed): the server broke off the handshake; it may speak no TLS at this port, or want a \
             certificate: stores.redis.tls has `cert` and `key`"
        }
    }
}
