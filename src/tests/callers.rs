use std::time::Duration;

use outrigger::faults::{Answer, FaultServer};
use outrigger::testing::certificates::{Authority, Identity, Leaf};
use outrigger::testing::{Answer as Received, Client, ClientTls, Program, eventually};
use tempfile::TempDir;

use crate::stage::{program, until, upstream};

const CART: &str = "spiffe://shop.example/ns/web/sa/cart";
const DESK: &str = "spiffe://shop.example/ns/web/sa/desk";

/// An app, and the program in front of it that asks callers for certificates.
struct Stage {
    authority: Authority,
    app: FaultServer,
    program: Program,
    _directory: TempDir,
}

impl Stage {
    async fn start(tls: &str, routes: &str) -> Stage {
        let (app, directory, authority) = (
            upstream(Answer::status(201).body("receipt")).await,
            tempfile::tempdir().expect("a directory"),
            Authority::new(),
        );
        let server = authority.server(&["localhost"]).write(directory.path());
        let ca = authority.write(directory.path());
        let policy = format!(
            "accessLog: {{ sampleRatio: 1.0 }}\nstores: {{ embedded: {{ path: {}/outrigger.db }} }}\ninbound:\n  listen: %inbound%\n  \
             forward: {}\n  tls: {{ cert: {}, key: {}, clientCa: {}, {tls} }}\n  routes:\n{routes}",
            directory.path().display(),
            app.url(),
            server.cert.display(),
            server.key.display(),
            ca.display()
        );
        let program = program(&policy).await;
        Stage { authority, app, program, _directory: directory }
    }

    async fn caller(&self, identity: &Identity) -> Client {
        let tls = ClientTls::trusting(self.authority.root(), "localhost").identity(identity).build();
        Client::connect_tls(self.program.address("inbound"), &tls).await.expect("a session").0
    }

    async fn pay(&self, identity: &Identity, fields: &str) -> Received {
        self.caller(identity).await.post("/pay", &format!("Idempotency-Key: \"k1\"\r\n{fields}"), b"12 EUR").await
    }
}

const PAY: &str = "    - { name: pay, match: { path: /pay }, idempotency: { principal: mtls:spiffe } }\n";

fn told(answer: &Received) -> (u16, &str) {
    (answer.status, answer.field("idempotency-status").unwrap_or("nothing"))
}

#[tokio::test]
async fn equal_keys_of_two_certificates_are_two_keys_and_a_header_makes_nobody_another_one() {
    let stage = Stage::start("", PAY).await;
    let (cart, desk) = (stage.authority.client(CART), stage.authority.client(DESK));
    assert_eq!(told(&stage.pay(&cart, "").await), (201, "stored"));
    assert_eq!(told(&stage.pay(&cart, "").await), (201, "replayed"));
    // A new certificate with the same id is the same caller; keys must survive a rotation.
    assert_eq!(told(&stage.pay(&stage.authority.client(CART), "").await), (201, "replayed"));
    let forged = format!("X-Forwarded-Client-Cert: URI={CART}\r\nX-Spiffe-Id: {CART}\r\nForwarded: for={CART}\r\n");
    assert_eq!(told(&stage.pay(&desk, &forged).await), (201, "stored"));
    until(&stage.app, |counts| counts.requests == 2).await;

    let other = outrigger_show(&stage.program, CART);
    assert!(other.contains("complete"), "{other}");
    assert!(outrigger_show(&stage.program, "spiffe://shop.example/nobody").contains("no record"));
}

fn outrigger_show(program: &Program, principal: &str) -> String {
    let admin = program.address("admin").to_string();
    let words = ["idem", "show", "app/pay", "k1", "--principal", principal, "--addr", &admin];
    let output =
        std::process::Command::new(crate::stage::executable()).args(words).output().expect("the program starts");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[tokio::test]
async fn a_key_of_somebody_without_an_id_is_refused_with_words_and_requests_without_keys_pass() {
    let stage = Stage::start("", PAY).await;
    let nameless = stage.authority.issue(&Leaf::server(&["cart.shop"]).both());
    let answer = stage.pay(&nameless, &format!("X-Forwarded-Client-Cert: URI={CART}\r\n")).await;
    assert_eq!((answer.status, answer.json()["reason"].as_str()), (400, Some("key-of-nobody")), "{}", answer.text());
    assert!(answer.text().contains("SPIFFE id"), "{}", answer.text());
    assert_eq!(stage.app.observed().counts().requests, 0);
    assert_eq!(stage.caller(&nameless).await.post("/pay", "", b"12 EUR").await.status, 201);
}

#[tokio::test]
async fn the_app_is_told_who_its_caller_is_and_never_by_the_caller() {
    let route = "    - { name: r, match: { path: /r } }\n";
    for (policy, expected) in [("forwardIdentity: true", vec![format!("URI={CART}")]), ("", vec![])] {
        let stage = Stage::start(policy, route).await;
        let mut client = stage.caller(&stage.authority.client(CART)).await;
        for connection in ["", "Connection: x-forwarded-client-cert\r\n"] {
            let forged =
                format!("x-forwarded-client-cert: URI={DESK}\r\nX-FORWARDED-CLIENT-CERT: Hash=1\r\n{connection}");
            client.send(format!("GET /r HTTP/1.1\r\nHost: app\r\n{forged}\r\n")).await;
            assert_eq!(client.answer("GET").await.status, 201);
            let seen = stage.app.observed().last().expect("a request").head;
            assert_eq!(seen.all("x-forwarded-client-cert").collect::<Vec<_>>(), expected, "{policy}");
        }
    }
}

#[tokio::test]
async fn the_log_and_the_story_name_the_caller_by_its_certificate_alone() {
    let stage = Stage::start("", PAY).await;
    let fields = format!("x-request-id: r1\r\nX-Forwarded-Client-Cert: URI={DESK}\r\n");
    assert_eq!(stage.pay(&stage.authority.client(CART), &fields).await.status, 201);
    let line = eventually("a line", async || {
        let lines = stage.program.stdout();
        lines.lines().find(|line| line.contains("/pay")).map(str::to_owned)
    })
    .await;
    let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(line["outrigger.peer"], CART);
    let story = stage.program.admin("/requests/r1").await;
    assert_eq!(story["peer"], CART);
    let sentences = story["sentences"].to_string();
    assert!(sentences.contains(&format!("It was sent by {CART}")) && !sentences.contains(DESK), "{sentences}");
}

#[tokio::test]
async fn in_clear_no_header_gives_a_caller_a_name() {
    let app = upstream(Answer::ok("")).await;
    let policy =
        format!("accessLog: {{ sampleRatio: 1.0 }}\ninbound: {{ listen: %inbound%, forward: '{}' }}\n", app.url());
    let program = program(&policy).await;
    let mut client = Client::connect(program.address("inbound")).await;
    let forged = format!("x-request-id: r1\r\nX-Forwarded-Client-Cert: URI={CART}\r\noutrigger.peer: {CART}\r\n");
    client.send(format!("GET /r HTTP/1.1\r\nHost: app\r\n{forged}\r\n")).await;
    assert_eq!(client.answer("GET").await.status, 200);
    eventually("a line", async || program.stdout().contains("\"url.path\":\"/r\"").then_some(())).await;
    assert!(!program.stdout().contains("outrigger.peer"), "{}", program.stdout());
    assert_eq!(program.admin("/requests/r1").await.get("peer"), None);
    // A mesh in front of us may say it; we pass it on as it came.
    let seen = app.observed().last().expect("a request").head;
    assert_eq!(seen.get("x-forwarded-client-cert"), Some(&*format!("URI={CART}")));
}

#[tokio::test]
async fn a_dead_letter_is_replayed_in_the_name_of_its_caller() {
    let route = "    - { name: pay, match: { path: /pay }, timeouts: { request: 1s }, idempotency: { principal: mtls:spiffe }, deadLetter: {} \
                 }\n";
    let stage = Stage::start("forwardIdentity: true", route).await;
    stage.app.set(Answer::status(503));
    let cart = stage.authority.client(CART);
    assert_eq!(stage.pay(&cart, "").await.status, 503);
    let letters = eventually("a letter", async || {
        let letters = stage.program.admin("/dead-letters").await;
        letters["letters"].as_array().and_then(|all| all.first()).cloned()
    })
    .await;
    stage.app.set(Answer::status(201).body("receipt"));
    let id = letters["id"].as_str().expect("an id").to_owned();
    let admin = stage.program.address("admin").to_string();
    // Elsewhere: the app answers on this thread meanwhile.
    let output = tokio::task::spawn_blocking(move || {
        let words = ["dlq", "replay", &id, "--reason", "a test", "--accept-duplicate-risk", "--addr", &admin];
        std::process::Command::new(crate::stage::executable()).args(words).output().expect("the program starts")
    });
    let output = output.await.expect("no panic");
    assert!(output.status.success(), "{output:?}");
    until(&stage.app, |counts| counts.requests == 2).await;
    let seen = stage.app.observed().last().expect("a request").head;
    assert_eq!(seen.get("x-forwarded-client-cert"), Some(&*format!("URI={CART}")));
    // Its key has the answer now, for that caller alone.
    tokio::time::timeout(Duration::from_secs(20), async {
        assert_eq!(told(&stage.pay(&cart, "").await), (201, "replayed"));
        assert_eq!(told(&stage.pay(&stage.authority.client(DESK), "").await), (201, "stored"));
    })
    .await
    .expect("answers in time");
}
