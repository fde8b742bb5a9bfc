//! Opening a TCP connection: address, limit in time, honest failure.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use tokio::net::TcpStream;
use tokio::time::timeout_at;

use crate::reliability::Failure;

/// Connects to `addr` before `by`.
///
/// # Errors
/// The failure that names the cause. In every case nothing was sent.
pub async fn tcp(addr: SocketAddr, by: Instant) -> Result<TcpStream, Failure> {
    match timeout_at(by.into(), TcpStream::connect(addr)).await {
        Ok(Ok(stream)) => {
            // Small requests must not wait for acknowledgements of earlier ones. Failing to set it is no reason to fail.
            let _ = stream.set_nodelay(true);
            Ok(stream)
        }
        Ok(Err(error)) => Err(refused(&error)),
        Err(_elapsed) => Err(Failure::ConnectTimeout),
    }
}

/// The host of an authority: without port, and without the brackets of an address.
pub fn host_of(authority: &str) -> &str {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => host,
        _ => authority,
    };
    host.trim_start_matches('[').trim_end_matches(']')
}

fn refused(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Failure::ConnectionRefused,
        io::ErrorKind::TimedOut => Failure::ConnectTimeout,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown => {
            Failure::Unroutable
        }
        _ => Failure::ConnectFailed,
    }
}
