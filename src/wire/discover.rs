//! Names to addresses: hickory-resolver first (TTLs, every address), the system's look-up where it cannot be set up.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::ResolverOpts;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;

use crate::clock;
use crate::reliability::Failure;

/// A set of addresses is asked for again no sooner than this.
pub const TTL_FLOOR: Duration = Duration::from_secs(1);
/// …and no later than this, whatever the TTL says: stale endpoints are the worst complaint of proxies' users.
pub const TTL_CAP: Duration = Duration::from_secs(30);
/// One look-up takes at most this long.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);
/// Addresses of one name beyond this are ignored.
const ADDRESSES_MAX: usize = 1_024;

/// Asked instead of the system's name servers, in programs that are built for tests.
#[cfg(feature = "testing")]
const TEST_NAME_SERVER: &str = "OUTRIGGER_TEST_NAME_SERVER";

/// A resolved name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Sorted, without duplicates.
    pub addresses: Vec<SocketAddr>,
    /// When to ask again.
    pub valid_until: Instant,
}

/// Looks names up.
#[derive(Debug)]
pub enum Resolver {
    /// Our own resolver on the system's configuration.
    Hickory(Box<TokioResolver>),
    /// `getaddrinfo`: no TTL; used when the system's configuration cannot be read.
    System,
}

impl Resolver {
    /// Reads the system's configuration (`/etc/resolv.conf`, `/etc/hosts`).
    pub fn from_system() -> Resolver {
        let built = builder().and_then(|mut builder| {
            let options: &mut ResolverOpts = builder.options_mut();
            options.timeout = LOOKUP_TIMEOUT;
            // We keep the last good answer ourselves and ask when the TTL is over.
            options.cache_size = 0;
            builder.build()
        });
        match built {
            Ok(resolver) => Resolver::Hickory(Box::new(resolver)),
            Err(error) => {
                tracing::warn!(event = "resolver", %error, "the system's DNS configuration cannot be used; names are looked up by the C library, without TTLs");
                Resolver::System
            }
        }
    }

    /// Every address of `host`.
    ///
    /// # Errors
    /// [`Failure::DnsTimeout`] or [`Failure::DnsError`], with the resolver's own words.
    pub async fn resolve(&self, host: &str, port: u16) -> Result<Resolved, (Failure, String)> {
        let lookup = async {
            match self {
                Resolver::Hickory(resolver) => {
                    let answer = resolver.lookup_ip(host).await.map_err(|e| plainly(&e))?;
                    let addresses: Vec<IpAddr> = answer.iter().take(ADDRESSES_MAX).collect();
                    Ok((addresses, answer.valid_until()))
                }
                Resolver::System => {
                    let found = tokio::net::lookup_host((host, port)).await.map_err(|e| e.to_string())?;
                    let addresses = found.map(|a| a.ip()).take(ADDRESSES_MAX).collect();
                    Ok((addresses, clock::now() + TTL_CAP))
                }
            }
        };
        let (addresses, valid_until) = tokio::time::timeout(LOOKUP_TIMEOUT * 2, lookup)
            .await
            .map_err(|_elapsed| (Failure::DnsTimeout, format!("no answer within {LOOKUP_TIMEOUT:?}")))?
            .map_err(|text: String| (Failure::DnsError, text))?;
        if addresses.is_empty() {
            return Err((Failure::DnsError, "the name exists but has no address".to_owned()));
        }
        let mut addresses: Vec<SocketAddr> = addresses.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
        addresses.sort_unstable();
        addresses.dedup();
        let now = clock::now();
        let valid_until = valid_until.clamp(now + TTL_FLOOR, now + TTL_CAP);
        Ok(Resolved { addresses, valid_until })
    }
}

type Builder = hickory_resolver::ResolverBuilder<TokioRuntimeProvider>;

/// On the system's configuration; in tests, on the name server that the test plays.
fn builder() -> Result<Builder, NetError> {
    #[cfg(feature = "testing")]
    if let Some(address) = std::env::var(TEST_NAME_SERVER).ok().and_then(|address| address.parse::<SocketAddr>().ok()) {
        use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
        let mut connection = ConnectionConfig::udp();
        connection.port = address.port();
        let server = NameServerConfig::new(address.ip(), true, vec![connection]);
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
        return Ok(TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()));
    }
    TokioResolver::builder_tokio()
}

/// The resolver's error as an operator reads it: its own words for the usual ones show its internals.
fn plainly(error: &NetError) -> String {
    if error.is_nx_domain() {
        "there is no such name".to_owned()
    } else if error.is_no_records_found() {
        "the name has no address".to_owned()
    } else {
        error.to_string()
    }
}
