//! No proxy, another program, a reader that leaves: how each ends, and what the user is told.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::ExitCode;

use super::{Server, say, say_in, shown, started};
use crate::admin::api::Readiness;
use crate::cli::{Programs, Surroundings, run};

#[test]
fn probe_exits_0_or_1_on_either_listener() {
    let server = Server::healthy();
    assert_eq!(server.say(&["probe"]).exited(0).out, "ready\n");
    let metrics = server.stage().metrics.to_string();
    server.say(&["probe", "--addr", &metrics]).exited(0);
    server.stage().process().readiness = Readiness { ready: false, reasons: vec!["draining".to_owned()] };
    assert_eq!(server.say(&["probe"]).exited(1).out, "not ready: draining\n");
    let gone = server.say(&["probe", "--addr", &closed_port()]);
    assert!(gone.exited(1).out.starts_with("not ready: 127.0.0.1:"), "{gone:?}");
}

#[test]
fn a_probe_asks_for_what_it_is_told_to_and_says_it_in_one_line() {
    let server = Server::healthy();
    for (word, fine) in [("--startup", "started\n"), ("--ready", "ready\n"), ("--live", "alive\n")] {
        assert_eq!(server.say(&["probe", word]).exited(0).out, fine);
    }
    server.stage().process().readiness = Readiness { ready: false, reasons: vec!["draining".to_owned()] };
    assert_eq!(server.say(&["probe", "--startup"]).exited(1).out, "not started: draining\n");
    assert_eq!(server.say(&["probe", "--live"]).exited(0).out, "alive\n", "a drain is no reason for a restart");
    server.say(&["probe", "--live", "--ready"]).exited(2);
}

#[test]
fn a_probe_of_a_silent_port_ends_within_its_time() {
    // Accepted by the kernel, answered by nobody.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = silent.local_addr().unwrap().to_string();
    let said = say(&["probe", "--addr", &addr, "--timeout", "50ms"]);
    assert_eq!(said.exited(1).out, format!("not ready: {addr}: no answer within 50 ms\n"));
}

/// An address where nothing listens.
fn closed_port() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn an_unreachable_proxy_exits_3_and_says_what_to_do() {
    let addr = closed_port();
    let commands = [
        &["status"][..],
        &["status", "--watch"],
        &["upstreams"],
        &["changes"],
        &["circuits"],
        &["retries"],
        &["budgets"],
        &["policy", "show"],
        &["policy", "reload"],
        &["circuits", "reset", "payments", "--reason", "x"],
        &["dlq", "ls"],
        &["dlq", "replay", "0199c2d4", "--reason", "x"],
        &["audit"],
    ];
    for words in commands {
        let said = say(&[words, &["--addr", &addr]].concat());
        said.exited(3);
        assert!(said.err.starts_with(&format!("outrigger: no proxy answers at {addr}: ")), "{said:?}");
        assert!(said.err.contains("next: start one with `outrigger run --policy FILE`"), "{said:?}");
        assert_eq!(said.out, "");
    }
}

#[test]
fn the_metrics_port_is_recognised_and_the_admin_address_named() {
    let server = Server::healthy();
    let metrics = server.stage().metrics.to_string();
    for words in [&["status"][..], &["policy", "reload"]] {
        let said = server.say(&[words, &["--addr", &metrics]].concat());
        said.exited(3);
        assert!(said.err.contains("is the metrics port"), "{said:?}");
        assert!(said.err.contains("next: name the admin address (`admin.listen`"), "{said:?}");
    }
}

/// Answers one connection with `bytes` and closes.
fn stranger(bytes: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 1_024]);
        let _ = stream.write_all(bytes);
    });
    addr
}

#[test]
fn something_else_at_the_address_exits_3_and_is_named_so() {
    let strangers: [&[u8]; 5] = [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
        b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\nhel",
        b"",
    ];
    for bytes in strangers {
        let said = say(&["status", "--addr", &stranger(bytes)]);
        said.exited(3);
        assert!(said.err.contains("is not the admin API of this version"), "{said:?}");
    }
}

#[test]
fn the_address_comes_from_the_flag_then_the_environment() {
    let server = Server::healthy();
    let elsewhere = Surroundings { addr: Some(closed_port()), ..Surroundings::default() };
    say_in(&elsewhere, &["status"]).exited(3);
    say_in(&elsewhere, &["status", "--addr", &server.stage().admin.to_string()]).exited(0);
    say_in(&elsewhere, &["--addr", &format!("http://{}/", server.stage().admin), "status"]).exited(0);
    for wrong in ["nowhere", "host:port", ":4490", "a b:1", "host:70000", "[::1:80", "evil\r\nx:1"] {
        let said = say(&["status", "--addr", wrong]);
        assert!(said.exited(2).err.contains("next: write HOST:PORT"), "{said:?}");
    }
}

/// Takes `left` bytes, then the reader is gone.
struct Pipe {
    left: usize,
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.left == 0 {
            return Err(std::io::ErrorKind::BrokenPipe.into());
        }
        let taken = bytes.len().min(self.left);
        self.left -= taken;
        Ok(taken)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let server = Server::healthy();
    let mut err = Vec::new();
    let words = ["outrigger", "status"].map(OsString::from);
    let programs = Programs { run: started, demo: shown };
    let exit = run(words, programs, &server.surroundings(), &mut Pipe { left: 10 }, &mut err);
    assert_eq!(exit, ExitCode::SUCCESS);
    assert_eq!(err, b"");
}
