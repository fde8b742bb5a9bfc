use outrigger::faults::Answer;
use outrigger::testing::BOUND;

use super::{Encrypted, run};
use crate::stage::{proxied, upstream};

#[tokio::test]
async fn h2load_gets_every_answer_over_few_connections() {
    let (server, program) = proxied(Answer::ok("hello"), "").await;
    let url = format!("http://{}/", program.listen());
    let said = run("h2load", &["-n", "2000", "-c", "4", "-m", "20", &url]).await;
    assert!(said.contains("2000 succeeded, 0 failed, 0 errored"), "{said}");
    assert_eq!(server.observed().counts().executed, 2_000);
}

#[tokio::test]
async fn h2load_inside_tls_gets_every_answer() {
    let server = upstream(Answer::ok("hello")).await;
    let files = Encrypted::new();
    let cert = files.path("tls.crt");
    let key = files.path("tls.key");
    // h2load has no certificate to show.
    let policy =
        format!("inbound:\n  listen: %inbound%\n  forward: {}\n  tls: {{ cert: {cert}, key: {key} }}\n", server.url());
    let program = crate::stage::program(&policy).await;
    let url = format!("https://localhost:{}/", program.address("inbound").port());
    let said = run("h2load", &["-n", "1000", "-c", "4", "-m", "10", &url]).await;
    assert!(said.contains("1000 succeeded, 0 failed, 0 errored"), "{said}");
    assert!(said.contains("Application protocol: h2"), "{said}");
}

#[tokio::test]
async fn nghttp_sees_trailers_and_no_frame_that_it_would_complain_of() {
    let (_server, program) = proxied(Answer::ok("hello").trailer("x-sum", "5"), "").await;
    let url = format!("http://{}/", program.listen());
    let limit = format!("--timeout={}", BOUND.as_secs());
    // Five streams at once, each with a trailer of its own.
    let said = run("nghttp", &["-v", "-m", "5", "--trailer=x-mine: 1", &limit, &url]).await;
    assert_eq!(said.matches("x-sum: 5").count(), 5, "{said}");
    assert!(!said.contains("invalid") && !said.contains("RST_STREAM"), "{said}");
}
