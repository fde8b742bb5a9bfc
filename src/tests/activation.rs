//! The program under systemd, with a test in its place: sockets that outlive the process, and what it is told.

mod units;

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};

use outrigger::faults::{Answer, Behaviour, FaultServer};
use outrigger::testing::{Load, eventually, free_address, get, within};
use tempfile::TempDir;
use tokio::net::UnixDatagram;

use crate::stage::{executable, upstream};

/// Makes descriptors 3 and 4 of what it is given as its own input and output: nothing else reaches a child without
/// unsafe code. `LISTEN_PID` is the id of this very process.
const PASS: &str = r#"exec 3<&0 4<&1 < /dev/null >> "$LOG" 2>&1; LISTEN_PID=${OTHER_PID:-$$} exec "$@""#;

/// A service and its sockets.
struct Unit {
    root: TempDir,
    sockets: [OwnedFd; 2],
    told: UnixDatagram,
    environment: Vec<(&'static str, String)>,
    child: Option<Child>,
}

impl Unit {
    fn new(policy: &str, sockets: [OwnedFd; 2]) -> Unit {
        let root = tempfile::tempdir().expect("a directory");
        fs::write(root.path().join("policy.yaml"), policy).expect("a policy");
        let told = UnixDatagram::bind(root.path().join("notify")).expect("a socket");
        Unit { root, sockets, told, environment: Vec::new(), child: None }
    }

    fn start(&mut self) {
        let at = |name: &str| self.root.path().join(name);
        let copy = |socket: &OwnedFd| Stdio::from(socket.try_clone().expect("a second handle"));
        let [first, second] = &self.sockets;
        let child = Command::new("sh")
            .args(["-c", PASS, "sh", &executable(), "run", "--policy"])
            .arg(at("policy.yaml"))
            .envs([("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", "traffic:stray")])
            .env("LOG", at("log"))
            .env("NOTIFY_SOCKET", at("notify"))
            .envs(self.environment.iter().map(|(name, value)| (*name, value)))
            .stdin(copy(first))
            .stdout(copy(second))
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(child.expect("it starts"));
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let child = self.child.as_ref().expect("it runs");
        let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).expect("a process id")).expect("not 0");
        rustix::process::kill_process(pid, signal).expect("it is ours");
    }

    async fn exit(&mut self) -> ExitStatus {
        let child = self.child.as_mut().expect("it runs");
        let status = eventually("its end", async || child.try_wait().expect("it is ours")).await;
        self.child = None;
        status
    }

    /// The next datagram that has this line.
    async fn hears(&self, line: &str) -> String {
        within(line, async {
            let mut bytes = [0; 512];
            loop {
                let length = self.told.recv(&mut bytes).await.expect("a datagram");
                let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
                if text.lines().any(|said| said == line) {
                    return text;
                }
            }
        })
        .await
    }

    fn log(&self) -> String {
        fs::read_to_string(self.root.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- log of the unit\n{}", self.log());
        }
    }
}

fn listening() -> (TcpListener, SocketAddr) {
    let socket = TcpListener::bind(free_address()).expect("a free port");
    let addr = socket.local_addr().expect("an address");
    (socket, addr)
}

fn policy(server: &FaultServer, listen: SocketAddr, metrics: SocketAddr) -> String {
    format!(
        "version: 1\nlisten: {listen}\nadmin: {{ listen: none }}\nmetrics: {{ listen: {metrics} }}\nupstreams:\n  up:\n    url: {}\n",
        server.url()
    )
}

#[tokio::test]
async fn a_restart_under_load_refuses_nobody_and_loses_nothing() {
    let server = upstream(Behaviour::from(Answer::ok("x")).after(std::time::Duration::from_millis(5))).await;
    let ((traffic, listen), (probes, metrics)) = (listening(), listening());
    let mut unit = Unit::new(&policy(&server, listen, metrics), [traffic.into(), probes.into()]);
    unit.start();
    // Before anybody listens: connections wait for the program.
    let kept = Load::start(listen, 4, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let fresh = Load::start(listen, 4, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    unit.hears("READY=1").await;
    for _ in 0..3 {
        kept.progress(30).await;
        fresh.progress(30).await;
        unit.signal(rustix::process::Signal::TERM);
        unit.hears("STOPPING=1").await;
        assert_eq!(unit.exit().await.code(), Some(0));
        unit.start();
        unit.hears("READY=1").await;
    }
    assert_eq!(get(metrics, "/readyz").await.expect("an answer").status, 200, "that socket is used, too");
    assert!(!unit.log().contains("socket-unused"), "{}", unit.log());
    kept.progress(30).await;
    for report in [kept.stop().await, fresh.stop().await] {
        report.assert_all(200);
        assert_eq!(report.refused, 0);
    }
}

#[tokio::test]
async fn it_is_told_of_each_start_reload_and_end_and_that_traffic_moves() {
    let server = upstream(Answer::ok("x")).await;
    let ((traffic, listen), (probes, metrics)) = (listening(), listening());
    let mut unit = Unit::new(&policy(&server, listen, metrics), [traffic.into(), probes.into()]);
    unit.environment = vec![("WATCHDOG_USEC", "200000".to_owned())];
    unit.start();
    assert!(unit.hears("READY=1").await.contains("STATUS=policy revision 1 is in force"));
    unit.hears("WATCHDOG=1").await;
    unit.signal(rustix::process::Signal::HUP);
    let reloading = unit.hears("RELOADING=1").await;
    let at = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
    assert!(at.and_then(|at| at.parse::<u64>().ok()).is_some_and(|at| at > 1_000_000), "{reloading}");
    unit.hears("READY=1").await;
    fs::write(unit.root.path().join("policy.yaml"), "version: 2\n").expect("it is ours");
    unit.signal(rustix::process::Signal::HUP);
    unit.hears("STATUS=policy revision 1 is in force, the file is refused").await;
    unit.signal(rustix::process::Signal::TERM);
    unit.hears("STOPPING=1").await;
    assert_eq!(unit.exit().await.code(), Some(0));
}

#[tokio::test]
async fn a_socket_that_no_listener_wants_is_named_and_so_is_what_is_none() {
    let server = upstream(Answer::ok("x")).await;
    let (traffic, listen) = listening();
    let (stray, elsewhere) = listening();
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let connection = std::net::TcpStream::connect(server.address()).expect("a connection");
    let file = File::open("/dev/null").expect("a file");
    let cases: [(OwnedFd, String); 4] = [
        (stray.into(), format!("{elsewhere} (`stray`) is no address of the policy")),
        (udp.into(), "descriptor 4 (`stray`) is not used: it is no TCP socket".to_owned()),
        (connection.into(), "descriptor 4 (`stray`) is not used: it is a connection".to_owned()),
        (file.into(), "descriptor 4 (`stray`) is not used: it is no TCP socket".to_owned()),
    ];
    for (socket, expected) in cases {
        let copy = traffic.try_clone().expect("a second handle");
        let mut unit = Unit::new(&policy(&server, listen, free_address()), [copy.into(), socket]);
        unit.start();
        unit.hears("READY=1").await;
        let log = unit.log();
        assert!(log.contains("socket-unused") && log.contains(&expected), "{expected} in {log}");
        assert_eq!(get(listen, "/").await.expect("an answer").status, 200);
    }
}

#[tokio::test]
async fn sockets_that_were_meant_for_another_process_are_left_alone() {
    let server = upstream(Answer::ok("x")).await;
    let ((traffic, _), (probes, _)) = (listening(), listening());
    let listen = free_address();
    let mut unit = Unit::new(&policy(&server, listen, free_address()), [traffic.into(), probes.into()]);
    unit.environment = vec![("OTHER_PID", "1".to_owned())];
    unit.start();
    unit.hears("READY=1").await;
    assert_eq!(get(listen, "/").await.expect("an answer").status, 200);
    assert!(!unit.log().contains("socket-unused"), "{}", unit.log());
}
