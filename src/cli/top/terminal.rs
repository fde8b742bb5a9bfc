//! The terminal, while it is ours: raw, on its second screen, and given back however this ends.

use std::io::{self, Read, Write};
use std::time::Instant;

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::render::Size;

/// Second screen, no cursor.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?25l";
/// The reverse, with all colours off.
const LEAVE: &[u8] = b"\x1b[0m\x1b[?25h\x1b[?1049l";
/// Reads that may wait. Nobody types faster than they are taken.
const TYPED_MAX: usize = 64;

/// Gives the terminal back when dropped: at the end, after an error, and while a panic unwinds.
pub(super) struct Terminal {
    before: Termios,
}

impl Terminal {
    /// Takes it.
    pub fn enter() -> io::Result<Terminal> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        // From here on it is given back.
        let terminal = Terminal { before };
        let mut out = io::stdout();
        out.write_all(ENTER)?;
        out.flush()?;
        Ok(terminal)
    }

    /// How large it is now.
    pub fn size(&self) -> Size {
        let size = tcgetwinsize(io::stdout()).ok().filter(|size| size.ws_col > 0 && size.ws_row > 0);
        size.map_or_else(Size::default, |size| Size { columns: size.ws_col.into(), rows: size.ws_row.into() })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Whatever of it fails, nobody is left to be told.
        let mut out = io::stdout();
        let _ = out.write_all(LEAVE).and_then(|()| out.flush());
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.before);
    }
}

/// What ends a wait.
pub(super) enum News {
    Typed(Vec<u8>),
    /// The time is over.
    Time,
    Resized,
    /// A signal says that it is enough, or nobody can type any more.
    End,
}

/// Keys and signals.
pub(super) struct Input {
    typed: mpsc::Receiver<Vec<u8>>,
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    resized: Signal,
}

impl Input {
    /// Only within a runtime. From here on signals do not end the process by themselves.
    pub fn open() -> io::Result<Input> {
        let (tell, typed) = mpsc::channel(TYPED_MAX);
        // It ends with the process: a read of a terminal cannot be called off.
        std::thread::Builder::new().name("keys".to_owned()).spawn(move || {
            let mut bytes = [0; 64];
            while let Ok(count @ 1..) = io::stdin().read(&mut bytes) {
                if tell.blocking_send(bytes.iter().take(count).copied().collect()).is_err() {
                    return;
                }
            }
        })?;
        Ok(Input {
            typed,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            resized: signal(SignalKind::window_change())?,
        })
    }

    /// What comes first, at the latest at `until`.
    pub async fn next(&mut self, until: Instant) -> News {
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => News::End,
            _ = self.terminate.recv() => News::End,
            _ = self.hangup.recv() => News::End,
            typed = self.typed.recv() => typed.map_or(News::End, News::Typed),
            _ = self.resized.recv() => News::Resized,
            () = tokio::time::sleep_until(until.into()) => News::Time,
        }
    }
}
