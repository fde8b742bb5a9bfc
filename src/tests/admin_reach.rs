use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use outrigger::faults::Answer;
use outrigger::testing::certificates::{Authority, Leaf};
use outrigger::testing::{Client, ClientTls, Program, eventually, free_address, get};
use tempfile::TempDir;

use crate::stage::{executable, program, upstream};

const TOKEN: &str = "correct-horse-battery-staple";

/// The command line, with nothing of the environment that could answer for it.
fn outrigger(words: &[&str]) -> Output {
    let mut command = Command::new(executable());
    for name in ["ADDR", "TOKEN_FILE", "CA", "CERT", "KEY"] {
        command.env_remove(format!("OUTRIGGER_{name}"));
    }
    command.args(words).stdin(Stdio::null()).output().expect("the program starts")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

fn written(directory: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = directory.path().join(name);
    std::fs::write(&path, text).expect("a file");
    path
}

/// A proxy whose admin API has this guard.
async fn guarded(guard: &str) -> Program {
    program(&format!(
        "version: 1\nlisten: %listen%\nadmin: {{ listen: %admin%, {guard} }}\nmetrics: {{ listen: %metrics% }}\nupstreams: {{ up: \
         {{ url: 'http://%nothing%' }} }}\n"
    ))
    .await
}

/// A status line's code for `head` with its end.
///
/// Boxed, like what else a test waits for many times: unoptimised, all of it together does not fit a test's stack.
async fn status(client: &mut Client, head: &str) -> u16 {
    Box::pin(async {
        client.send(format!("{head}\r\n")).await;
        client.answer(head.split(' ').next().expect("a method")).await.status
    })
    .await
}

#[tokio::test]
async fn beyond_loopback_a_guard_is_demanded_by_check_and_by_run_and_of_the_command_line() {
    let directory = tempfile::tempdir().expect("a directory");
    let policy = |admin: &str| {
        let text = format!("version: 1\n{admin}upstreams: {{ up: {{ url: 'http://127.0.0.1:9' }} }}\n");
        written(&directory, "policy.yaml", &text).display().to_string()
    };
    let open = policy("admin: { listen: '0.0.0.0:4490' }\n");
    let checked = outrigger(&["check", &open]);
    assert!(!checked.status.success() && said(&checked).contains("OR008"), "{}", said(&checked));
    let run = outrigger(&["run", "--policy", &open]);
    assert!(run.status.code() == Some(2) && said(&run).contains("OR008"), "{}", said(&run));
    // The policy is fine, and the command line makes it something else.
    let fine = policy("");
    assert!(outrigger(&["check", &fine]).status.success());
    let exposed =
        outrigger(&["run", "--policy", &fine, "--admin-listen", "0.0.0.0:0", "--metrics-listen", "127.0.0.1:0"]);
    assert_eq!(exposed.status.code(), Some(1), "{}", said(&exposed));
    assert!(said(&exposed).contains("admin.tokenFile, or admin.tls with a clientCa"), "{}", said(&exposed));
}

#[tokio::test]
async fn a_token_is_demanded_on_loopback_too_and_a_new_one_takes_the_place_of_the_old_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let token = written(&directory, "token", TOKEN);
    let program = Box::pin(guarded(&format!("tokenFile: {}", token.display()))).await;
    let admin = program.address("admin");
    let addr = admin.to_string();
    let mut client = Client::connect(admin).await;
    let ask = |token: &str| format!("GET /status HTTP/1.1\r\nHost: {admin}\r\nAuthorization: Bearer {token}\r\n");
    assert_eq!(get(admin, "/status").await.map(|answer| answer.status), Some(401));
    assert_eq!(status(&mut client, &ask(TOKEN)).await, 200);

    let file = token.display().to_string();
    let fine = outrigger(&["status", "--addr", &addr, "--token-file", &file]);
    assert!(fine.status.success(), "{}", said(&fine));
    let none = outrigger(&["status", "--addr", &addr]);
    assert!(none.status.code() == Some(1) && said(&none).contains("--token-file"), "{}", said(&none));
    let wrong = written(&directory, "wrong", "not-the-token-at-all").display().to_string();
    let refused = outrigger(&["circuits", "ls", "--addr", &addr, "--token-file", &wrong]);
    assert!(said(&refused).contains("does not accept the token in"), "{}", said(&refused));

    // As an editor writes it, and as Kubernetes does: under another name first.
    let next = written(&directory, "next", "another-token-entirely\n");
    std::fs::rename(next, &token).expect("a file in place of the other");
    Box::pin(eventually("the new token", async || {
        let mut client = Client::connect(admin).await;
        (status(&mut client, &ask("another-token-entirely")).await == 200).then_some(())
    }))
    .await;
    assert_eq!(status(&mut client, &ask(TOKEN)).await, 401);

    let metrics = program.metrics().await;
    assert!(metrics.sum("outrigger_admin_refused_total", &[("reason", "wrong-token")]) >= 2.0);
    assert!(metrics.sum("outrigger_admin_refused_total", &[("reason", "no-token")]) >= 2.0);
    assert_eq!(program.stderr().matches("\"event\":\"admin-refused\"").count(), 1, "{}", program.stderr());
    assert!(!program.stderr().contains(TOKEN));
}

#[tokio::test]
async fn without_a_good_token_in_its_file_the_proxy_does_not_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let token = written(&directory, "token", "short");
    let text = format!(
        "version: 1\nadmin: {{ listen: '127.0.0.1:0', tokenFile: {} }}\nmetrics: {{ listen: none }}\nlisten: 127.0.0.1:0\nupstreams: {{ up: \
         {{ url: 'http://127.0.0.1:9' }} }}\n",
        token.display()
    );
    let policy = written(&directory, "policy.yaml", &text).display().to_string();
    let run = outrigger(&["run", "--policy", &policy]);
    assert_eq!(run.status.code(), Some(1), "{}", said(&run));
    assert!(said(&run).contains("fewer than 16") && !said(&run).contains("short\""), "{}", said(&run));
}

#[tokio::test]
async fn certificates_let_in_and_strangers_get_no_session() {
    let directory = tempfile::tempdir().expect("a directory");
    let authority = Authority::new();
    let (ours, theirs) = (directory.path().join("proxy"), directory.path().join("operator"));
    let server = authority.server(&["localhost", "127.0.0.1"]).write(&ours);
    let ca = authority.write(directory.path());
    let guard = format!(
        "tls: {{ cert: {}, key: {}, clientCa: {}, spiffe: ['spiffe://shop.example/operator'] }}",
        server.cert.display(),
        server.key.display(),
        ca.display()
    );
    let program = guarded(&guard).await;
    let admin = program.address("admin");
    let operator = authority.client("spiffe://shop.example/operator");
    let files = operator.write(&theirs);

    let tls = ClientTls::trusting(authority.root(), "localhost").identity(&operator).alpn(&["h2", "http/1.1"]).build();
    let (mut client, handshake) = Client::connect_tls(admin, &tls).await.expect("a session");
    assert_eq!(handshake.alpn.as_deref(), Some("http/1.1"), "the API speaks nothing else");
    // The name in the certificate, which is not the address listened on.
    assert_eq!(status(&mut client, "GET /status HTTP/1.1\r\nHost: admin.shop.svc\r\n").await, 200);
    let foreign = "GET /status HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n";
    assert_eq!(status(&mut client, foreign).await, 403, "our origin is https");

    let other = authority.client("spiffe://shop.example/cart");
    let stranger = Authority::new().issue(&Leaf::client("spiffe://shop.example/operator"));
    for identity in [None, Some(&other), Some(&stranger)] {
        let tls = ClientTls::trusting(authority.root(), "localhost");
        let tls = identity.into_iter().fold(tls, |tls, identity| tls.identity(identity)).build();
        assert!(!answers(admin, &tls).await, "{identity:?}");
    }
    assert!(get(admin, "/status").await.is_none_or(|answer| answer.status != 200), "in clear");
    let refused = |reason| {
        program.metrics_when("a refused handshake", move |m| {
            m.sum("outrigger_admin_refused_total", &[("reason", reason)]) >= 4.0
        })
    };
    refused("handshake").await;

    let addr = format!("https://{admin}");
    let path = |path: &Path| path.display().to_string();
    let pair = ["--cert".to_owned(), path(&files.cert), "--key".to_owned(), path(&files.key)];
    let ask = |more: &[&str]| {
        let words: Vec<&str> = ["status", "--addr", &addr].into_iter().chain(more.iter().copied()).collect();
        outrigger(&words)
    };
    let ca = path(&ca);
    let pair: Vec<&str> = pair.iter().map(String::as_str).collect();
    let fine = ask(&[&["--ca", &ca], &pair[..]].concat());
    assert!(fine.status.success(), "{}", said(&fine));
    let unknown = ask(&pair);
    assert!(unknown.status.code() == Some(3) && said(&unknown).contains("--ca"), "{}", said(&unknown));
    let nobody = ask(&["--ca", &ca]);
    assert!(!nobody.status.success() && said(&nobody).contains("--cert"), "{}", said(&nobody));
    let in_clear = outrigger(&["status", "--addr", &admin.to_string()]);
    assert!(!in_clear.status.success() && said(&in_clear).contains("https://"), "{}", said(&in_clear));
}

/// Whether the admin API answers `tls` at all. With TLS 1.3 a refusal is seen at the first read.
async fn answers(admin: std::net::SocketAddr, tls: &ClientTls) -> bool {
    let Ok((client, _)) = Client::connect_tls(admin, tls).await else { return false };
    let sent = client.try_send(format!("GET /status HTTP/1.1\r\nHost: {admin}\r\n\r\n")).await;
    let mut client = client;
    sent.is_ok() && client.try_answer("GET").await.is_ok_and(|answer| answer.is_some())
}

/// A proxy that was started with `--admin-listen`: its policy cannot know where the admin API is.
struct Overridden {
    child: Child,
    listen: std::net::SocketAddr,
    admin: std::net::SocketAddr,
    _directory: TempDir,
}

impl Overridden {
    async fn start(block: &str) -> Overridden {
        let directory = tempfile::tempdir().expect("a directory");
        let (listen, admin) = (free_address(), free_address());
        let block = block.replace("%admin%", &admin.to_string());
        let text = format!("version: 1\nlisten: {listen}\nmetrics: {{ listen: none }}\n{block}");
        let policy = written(&directory, "policy.yaml", &text);
        let child = Command::new(executable())
            .args(["run", "--admin-listen", &admin.to_string(), "--policy"])
            .arg(policy)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        eventually("an answer", async || get(admin, "/livez").await.filter(|answer| answer.status == 200)).await;
        Overridden { child, listen, admin, _directory: directory }
    }
}

impl Drop for Overridden {
    fn drop(&mut self) {
        // Either way it is gone after `wait`.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn nothing_gets_through_the_proxy_to_its_own_admin_api() {
    let elsewhere = upstream(Answer::ok("elsewhere")).await;
    let block = format!(
        "upstreams:\n  ours: {{ url: 'http://%admin%', hostHeader: preserve, match: {{ hosts: ['127.0.0.1', ours, localhost] }} \
         }}\n  other: {{ url: {}, match: {{ hosts: [other] }} }}\n",
        elsewhere.url()
    );
    let proxy = Overridden::start(&block).await;
    let admin = proxy.admin;
    let before = get(admin, "/changes").await.expect("an answer").json();
    let hosts = [admin.to_string(), format!("localhost:{}", admin.port()), "127.0.0.1".to_owned(), "ours".to_owned()];
    for host in &hosts {
        let post = format!(
            "POST /policy/reload HTTP/1.1\r\nHost: {host}\r\nx-outrigger-admin: 1\r\nContent-Type: application/json\r\n\
             Content-Length: 2\r\n\r\n{{}}"
        );
        for head in [
            format!("GET /status HTTP/1.1\r\nHost: {host}\r\n\r\n"),
            format!("GET http://{host}/status HTTP/1.1\r\nHost: {host}\r\n\r\n"),
            format!("GET /status HTTP/1.1\r\nHost: {host}\r\nConnection: via\r\nVia: 1.1 x\r\n\r\n"),
            format!("GET /tap HTTP/1.1\r\nHost: {host}\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"),
            post,
        ] {
            let mut client = Client::connect(proxy.listen).await;
            client.send(&head).await;
            let answer = client.answer(head.split(' ').next().expect("a method")).await;
            assert_eq!(answer.status, 403, "{head}{}", answer.text());
            assert!(answer.text().contains("proxied"), "{head}{}", answer.text());
        }
    }
    let mut client = Client::connect(proxy.listen).await;
    assert_eq!(status(&mut client, &format!("CONNECT {admin} HTTP/1.1\r\nHost: {admin}\r\n")).await, 405);
    // The target of an absolute form is where a policy says, and nowhere else.
    let mut client = Client::connect(proxy.listen).await;
    let absolute = format!("GET http://{admin}/status HTTP/1.1\r\nHost: other\r\n");
    assert_eq!(status(&mut client, &absolute).await, 400, "two hosts");
    assert_eq!(get(admin, "/changes").await.expect("an answer").json()["changes"], before["changes"]);
}
