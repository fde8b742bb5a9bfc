use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};

use outrigger::faults::Answer;
use outrigger::testing::{Program, eventually};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::stage::{client, executable, proxied};

/// Opening a terminal must not make it this process's own (`O_NOCTTY`).
const NO_CONTROLLING_TERMINAL: i32 = 0o400;

/// A pseudo-terminal with `outrigger top` in it.
struct Screen {
    keyboard: File,
    /// The side that the program has; kept open, so that its modes can be read when the program is gone.
    line: File,
    shown: Arc<Mutex<String>>,
    child: Child,
    modes_before: String,
}

impl Screen {
    fn open(program: &Program) -> Screen {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo-terminal");
        grantpt(&master).and_then(|()| unlockpt(&master)).expect("its other side");
        let name = ptsname(&master, Vec::new()).expect("its name").into_string().expect("a path");
        let line = File::options().read(true).write(true).custom_flags(NO_CONTROLLING_TERMINAL).open(name);
        let line = line.expect("its other side");
        tcsetwinsize(&line, Winsize { ws_row: 40, ws_col: 150, ws_xpixel: 0, ws_ypixel: 0 }).expect("a size");
        let modes_before = format!("{:?}", tcgetattr(&line).expect("modes"));
        let end = || line.try_clone().expect("a copy");
        let child = Command::new(executable())
            .args(["top", "--addr", &program.address("admin").to_string()])
            .env("TERM", "xterm")
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .expect("the program starts");
        let (keyboard, shown) = (File::from(master), Arc::<Mutex<String>>::default());
        let (mut screen, text) = (keyboard.try_clone().expect("a copy"), Arc::clone(&shown));
        // It ends when both ends of the line are closed.
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = screen.read(&mut bytes) {
                text.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        Screen { keyboard, line, shown, child, modes_before }
    }

    fn modes(&self) -> LocalModes {
        tcgetattr(&self.line).expect("modes").local_modes
    }

    async fn until(&self, what: &str) {
        eventually(what, async || self.shown.lock().unwrap().contains(what).then_some(())).await;
    }

    /// Waits for the end of the program, and asserts that the terminal is as it was.
    async fn restored(mut self) {
        let status = eventually("the end of top", async || self.child.try_wait().expect("its state")).await;
        assert_eq!(status.code(), Some(0));
        self.until("\u{1b}[?25h\u{1b}[?1049l").await;
        assert_eq!(format!("{:?}", tcgetattr(&self.line).expect("modes")), self.modes_before);
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

#[tokio::test]
async fn top_shows_dependencies_obeys_keys_and_gives_the_terminal_back() {
    let (server, program) = proxied(Answer::ok(""), "").await;
    client(&program).await.get("/").await;
    let mut screen = Screen::open(&program);
    screen.until("UPSTREAM").await;
    screen.until("REQ/S*").await;
    assert!(!screen.modes().intersects(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG));
    screen.keyboard.write_all(b"\t").expect("a key");
    screen.until("OK*").await;
    screen.keyboard.write_all(b"\r").expect("a key");
    screen.until(&server.address().to_string()).await;
    screen.keyboard.write_all(b"?").expect("a key");
    screen.until("look into it: endpoints").await;
    screen.keyboard.write_all(b"q").expect("a key");
    screen.restored().await;
}

#[tokio::test]
async fn top_gives_the_terminal_back_whatever_ends_it() {
    let (_server, program) = proxied(Answer::ok(""), "").await;
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let screen = Screen::open(&program);
        screen.until("UPSTREAM").await;
        let pid = Pid::from_raw(i32::try_from(screen.child.id()).expect("a process id")).expect("a process id");
        kill_process(pid, signal).expect("a signal");
        screen.restored().await;
    }
    let mut screen = Screen::open(&program);
    screen.until("UPSTREAM").await;
    screen.keyboard.write_all(b"\x03").expect("a key");
    screen.restored().await;
}
