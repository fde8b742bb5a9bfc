use outrigger::faults::Answer;

use super::{Encrypted, run};
use crate::stage::{proxied, upstream};

/// Version, status and body, each on a line.
const FORMAT: &str = "%{http_version}\n%{http_code}\n";

async fn curl(arguments: &[&str]) -> Vec<String> {
    let fixed = ["--silent", "--show-error", "--write-out", FORMAT, "--output", "/dev/null"];
    let all: Vec<&str> = fixed.into_iter().chain(arguments.iter().copied()).collect();
    run("curl", &all).await.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn curl_with_prior_knowledge_speaks_http2_in_the_clear() {
    let (server, program) = proxied(Answer::ok("hello"), "").await;
    let url = format!("http://{}/a", program.listen());
    assert_eq!(curl(&["--http2-prior-knowledge", &url]).await, ["2", "200"]);
    assert_eq!(curl(&["--http1.1", &url]).await, ["1.1", "200"]);
    assert_eq!(server.observed().seen().len(), 2);
}

#[tokio::test]
async fn curl_that_offers_an_upgrade_to_http2_in_the_clear_is_answered_in_http1() {
    let (server, program) = proxied(Answer::ok("hello"), "").await;
    assert_eq!(curl(&["--http2", &format!("http://{}/", program.listen())]).await, ["1.1", "200"]);
    let head = server.observed().last().expect("a request").head;
    assert_eq!((head.get("upgrade"), head.get("http2-settings")), (None, None), "that offer was for us alone");
}

#[tokio::test]
async fn curl_uploads_and_downloads_more_than_any_window_over_http2() {
    let length = 8 << 20;
    let (server, program) = proxied(Answer::status(200).huge(length), "").await;
    let files = super::Folder::new();
    let body = files.file("body", &"x".repeat(3 << 20));
    let (upload, url) = (format!("@{body}"), format!("http://{}/", program.listen()));
    let out = files.path().join("out").display().to_string();
    let arguments = ["--silent", "--fail", "--http2-prior-knowledge", "--data-binary", &upload, "--output", &out, &url];
    run("curl", &arguments).await;
    assert_eq!(std::fs::metadata(&out).expect("a file").len(), length);
    assert_eq!(server.observed().last().and_then(|seen| seen.body).expect("a body").digest.length, 3 << 20);
}

#[tokio::test]
async fn curl_agrees_on_http2_inside_tls_and_shows_its_certificate() {
    let server = upstream(Answer::ok("hello")).await;
    let files = Encrypted::new();
    let program = files.inbound(&server.url(), "").await;
    let url = format!("https://localhost:{}/", program.address("inbound").port());
    let (ca, cert, key) = (files.path("ca.crt"), files.path("client.crt"), files.path("client.key"));
    let known = ["--cacert", &ca, "--cert", &cert, "--key", &key];
    for (word, version) in [("--http2", "2"), ("--http1.1", "1.1")] {
        let arguments: Vec<&str> = known.into_iter().chain([word, &url]).collect();
        assert_eq!(curl(&arguments).await, [version, "200"]);
    }
}

#[tokio::test]
async fn curl_without_a_certificate_and_curl_that_trusts_somebody_else_are_told_so() {
    let server = upstream(Answer::ok("hello")).await;
    let files = Encrypted::new();
    let program = files.inbound(&server.url(), "").await;
    let url = format!("https://localhost:{}/", program.address("inbound").port());
    let others = Encrypted::new();
    let cases = [
        ("certificate required", vec!["--cacert".to_owned(), files.path("ca.crt")]),
        ("self-signed certificate in certificate chain", vec!["--cacert".to_owned(), others.path("ca.crt")]),
    ];
    for (said, arguments) in cases {
        let output = tokio::task::spawn_blocking({
            let url = url.clone();
            move || {
                std::process::Command::new("curl").args(["--silent", "--show-error"]).args(arguments).arg(url).output()
            }
        });
        let output = output.await.expect("it ends").expect("it runs");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{said}: {errors}");
    }
    assert_eq!(server.observed().counts().requests, 0);
}
