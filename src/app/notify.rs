//! Tells whoever started us how far we are, by systemd's protocol (`sd_notify`): ready, reloading, stopping, alive.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use super::Core;
use crate::clock;

/// Who is told; nobody where the environment names nobody.
#[derive(Clone, Debug, Default)]
pub struct Notifier {
    door: Option<Arc<(UnixDatagram, SocketAddr)>>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// What `NOTIFY_SOCKET` and `WATCHDOG_USEC` name. A wrong name is as good as none, and is said.
    pub fn from_environment() -> Notifier {
        let Some(name) = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Notifier::default();
        };
        match open(&name) {
            Ok(door) => Notifier { door: Some(Arc::new(door)), watchdog: watchdog() },
            Err(error) => {
                tracing::warn!(%error, "NOTIFY_SOCKET cannot be used: nobody is told that this process is ready");
                Notifier::default()
            }
        }
    }

    /// How often somebody wants to hear that traffic moves.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Traffic is served. `status`: for people.
    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={status}"));
    }

    /// The policy is read again; [`Notifier::ready`] follows.
    pub fn reloading(&self) {
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}", clock::monotonic_micros()));
    }

    /// The end has begun.
    pub fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=requests in flight are finished");
    }

    fn tell(&self, text: &str) {
        let Some(door) = &self.door else { return };
        // Nobody may listen any more; that is no reason to serve nobody.
        let _ = door.0.send_to_addr(text.as_bytes(), &door.1);
    }
}

/// `@` stands for the byte that begins an abstract name.
fn open(name: &OsString) -> io::Result<(UnixDatagram, SocketAddr)> {
    let addr = match name.as_bytes().strip_prefix(b"@") {
        Some(abstract_name) => SocketAddr::from_abstract_name(abstract_name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, addr))
}

/// Twice as often as is asked for.
fn watchdog() -> Option<Duration> {
    let other = env::var("WATCHDOG_PID").is_ok_and(|pid| pid != std::process::id().to_string());
    let micros: u64 = env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
    (!other && micros > 0).then(|| (Duration::from_micros(micros) / 2).max(Duration::from_millis(10)))
}

/// Says that we are alive for as long as the threads that carry traffic take up work.
pub async fn feed(core: Arc<Core>, notifier: Notifier, every: Duration) {
    loop {
        let (tell, told) = tokio::sync::oneshot::channel();
        core.spawn_on_data(async move {
            // Nobody waits any more at the very end.
            let _ = tell.send(());
        });
        if told.await.is_ok() {
            notifier.tell("WATCHDOG=1");
        }
        tokio::time::sleep(every).await;
    }
}
