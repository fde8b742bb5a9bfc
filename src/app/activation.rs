//! Sockets that were opened for us before we started: systemd's socket activation (`sd_listen_fds`).
//!
//! They are matched to the policy's listeners by address, so that neither order nor names matter. Whoever opened them
//! keeps them open: while this process restarts, connections wait instead of being refused.

use std::env;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use listenfd::ListenFd;

use crate::proxy::listeners::Inherited;

/// More are not taken.
const SOCKETS_MAX: usize = 64;

/// What was opened for us.
#[derive(Clone, Debug, Default)]
pub struct Sockets(Arc<Found>);

#[derive(Debug, Default)]
struct Found {
    sockets: Vec<Socket>,
    /// What is wrong with others, one sentence each.
    unfit: Vec<String>,
}

#[derive(Debug)]
struct Socket {
    /// As the unit calls it.
    name: String,
    addr: SocketAddr,
    listener: TcpListener,
}

impl Sockets {
    /// Takes what the environment offers to this process. To be called once, before there is a second thread.
    pub fn from_environment() -> Sockets {
        let text = |name: &str| env::var(name).unwrap_or_default();
        if text("LISTEN_PID") != std::process::id().to_string() {
            // Nothing was passed, or it was meant for a process that started us.
            return Sockets::default();
        }
        if text("LISTEN_FDS").parse::<usize>().is_ok_and(|count| count > SOCKETS_MAX) {
            let unfit = vec![format!("LISTEN_FDS is {}, and at most {SOCKETS_MAX} are taken", text("LISTEN_FDS"))];
            return Sockets(Arc::new(Found { sockets: Vec::new(), unfit }));
        }
        let names = text("LISTEN_FDNAMES");
        let mut names = names.split(':').map(str::to_owned);
        let mut passed = ListenFd::from_env();
        let mut found = Found::default();
        for index in 0..passed.len() {
            let name = names.next().filter(|name| !name.is_empty()).unwrap_or_else(|| "unknown".to_owned());
            let number = index + 3;
            match take(&mut passed, index) {
                Ok((addr, listener)) => found.sockets.push(Socket { name, addr, listener }),
                Err(why) => found.unfit.push(format!("descriptor {number} (`{name}`) is not used: {why}")),
            }
        }
        Sockets(Arc::new(found))
    }

    /// The socket for this address: the same one, or the one for all addresses of both families if it is to be all of
    /// IPv4, as `ListenStream=4401` makes it.
    pub fn get(&self, addr: SocketAddr) -> Option<io::Result<TcpListener>> {
        let socket = self.0.sockets.iter().find(|socket| serves(socket.addr, addr))?;
        let copy = || {
            socket.listener.set_nonblocking(true)?;
            socket.listener.try_clone()
        };
        Some(copy())
    }

    /// As the listeners of traffic ask for them.
    pub fn source(&self) -> Inherited {
        let sockets = self.clone();
        Box::new(move |addr| sockets.get(addr))
    }

    /// Warns of each socket that is none of `wanted`: its connections wait for nobody.
    pub fn complain_of_unused(&self, wanted: &[SocketAddr]) {
        let unused = self.0.sockets.iter().filter(|socket| !wanted.iter().any(|addr| serves(socket.addr, *addr)));
        for socket in unused {
            let (addr, name) = (socket.addr, &socket.name);
            let text = format!("{addr} (`{name}`) is no address of the policy: change `ListenStream=` or the policy");
            warn(&text);
        }
        self.0.unfit.iter().for_each(|text| warn(text));
    }
}

fn warn(text: &str) {
    tracing::warn!(event = "socket-unused", "a socket that was passed to this process is not served: {text}");
}

fn serves(socket: SocketAddr, wanted: SocketAddr) -> bool {
    let all = |ip: IpAddr| ip == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    let covers = all(socket.ip()) && wanted.ip().is_unspecified();
    socket.port() == wanted.port() && (socket.ip() == wanted.ip() || covers)
}

fn take(passed: &mut ListenFd, index: usize) -> Result<(SocketAddr, TcpListener), String> {
    let listener = passed.take_tcp_listener(index).map_err(|_| "it is no TCP socket: use `ListenStream=PORT`")?;
    let listener = listener.ok_or("it was taken before")?;
    match rustix::net::sockopt::socket_acceptconn(&listener) {
        Ok(true) => {}
        Ok(false) => return Err("it is a connection: use `Accept=no`".to_owned()),
        Err(error) => return Err(io::Error::from(error).to_string()),
    }
    let addr = listener.local_addr().map_err(|error| error.to_string())?;
    Ok((addr, listener))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(socket: &str, wanted: &str) -> bool {
        serves(socket.parse().unwrap(), wanted.parse().unwrap())
    }

    #[test]
    fn a_socket_serves_its_own_address_and_one_for_everything_also_all_of_ipv4() {
        assert!(fits("127.0.0.1:4400", "127.0.0.1:4400"));
        assert!(fits("[::]:4401", "[::]:4401") && fits("[::]:4401", "0.0.0.0:4401"));
        assert!(!fits("0.0.0.0:4401", "[::]:4401"), "it hears no IPv6");
        assert!(!fits("[::]:4401", "127.0.0.1:4401"), "it would hear more than the policy permits");
        assert!(!fits("127.0.0.1:4400", "127.0.0.1:4401"));
    }

    #[test]
    fn without_an_environment_there_is_none() {
        assert!(Sockets::default().get("127.0.0.1:4400".parse().unwrap()).is_none());
    }
}
