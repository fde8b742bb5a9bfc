//! Who is let in where a token is asked for.

use std::path::PathBuf;

use tempfile::TempDir;

use super::stage::{Order, Process, Stage};
use crate::admin::{Access, PATHS, Stranger};
use crate::policy::admin::AdminAccess;

const TOKEN: &str = "correct-horse-battery-staple";

struct Guarded {
    stage: Stage,
    file: PathBuf,
    _directory: TempDir,
}

async fn guarded() -> Guarded {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let access = Access::open(&AdminAccess { token_file: Some(file.clone()), tls: None }).unwrap();
    Guarded { stage: Stage::guarded(Process::healthy(), access).await, file, _directory: directory }
}

impl Guarded {
    fn strangers(&self) -> Vec<Stranger> {
        self.stage.process().strangers.clone()
    }
}

#[tokio::test]
async fn every_path_asks_for_the_token_but_the_page_which_tells_nothing() {
    let Guarded { stage, .. } = &guarded().await;
    for (method, path, _) in PATHS {
        let head = format!(
            "{method} {} HTTP/1.1\r\nhost: {}\r\nx-outrigger-admin: 1\r\ncontent-type: application/json\r\n",
            path.replace(['{', '}'], ""),
            stage.admin
        );
        let reply = stage.send(&head, "").await;
        if path.starts_with("/page.") {
            assert_eq!(reply.status, 200, "{path}");
        } else {
            assert_eq!(reply.problem(401), "no-token", "{method} {path}");
            assert_eq!(reply.header("www-authenticate"), Some(r#"bearer realm="outrigger""#), "{path}");
        }
    }
    let browser = format!("GET / HTTP/1.1\r\nhost: {}\r\naccept: text/html\r\n", stage.admin);
    assert!(stage.send(&browser, "").await.body.starts_with("<!doctype html>"));
    assert_eq!(stage.send(&browser.replace("GET", "POST"), "{}").await.problem(401), "no-token");
    assert_eq!(stage.orders(), []);
}

#[tokio::test]
async fn the_right_token_lets_in_and_a_wrong_one_is_told_apart_and_counted() {
    let guarded = guarded().await;
    let stage = &guarded.stage;
    let ask = |token: &str| format!("GET /status HTTP/1.1\r\nhost: {}\r\nauthorization: {token}\r\n", stage.admin);
    assert_eq!(stage.send(&ask(&format!("Bearer {TOKEN}")), "").await.status, 200);
    let wrong = stage.send(&ask("Bearer correct-horse-battery-stapler"), "").await;
    assert_eq!(wrong.problem(401), "wrong-token");
    assert_eq!(wrong.header("www-authenticate"), Some(r#"bearer realm="outrigger", error="invalid_token""#));
    assert_eq!(stage.send(&ask("Basic eDp5"), "").await.problem(401), "no-token");
    assert_eq!(guarded.strangers(), [Stranger::WrongToken, Stranger::NoToken]);

    let change = format!("{}authorization: Bearer {TOKEN}\r\n", stage.post_head("/policy/reload"));
    assert_eq!(stage.send(&change, "{}").await.status, 200);
    assert!(matches!(stage.orders().last(), Some(Order::Reload(_))), "{:?}", stage.orders());
}

#[tokio::test]
async fn a_token_is_no_pass_for_a_page_of_another_site() {
    let Guarded { stage, .. } = &guarded().await;
    let known = format!("{}authorization: Bearer {TOKEN}\r\n", stage.post_head("/policy/reload"));
    let foreign = format!("{known}origin: http://evil.example\r\n");
    assert_eq!(stage.send(&foreign, "{}").await.problem(403), "foreign-origin");
    let embedded = format!("{known}sec-fetch-site: cross-site\r\n");
    assert_eq!(stage.send(&embedded, "{}").await.problem(403), "foreign-origin");
    // By its name, from another machine; without the token that is what a rebound page does.
    let named = known.replace(&stage.admin.to_string(), "admin.shop.svc:4490");
    assert_eq!(stage.send(&named, "{}").await.status, 200);
    let rebound = "GET /page.js HTTP/1.1\r\nhost: evil.example\r\n";
    assert_eq!(stage.send(rebound, "").await.problem(403), "foreign-host");
    assert_eq!(stage.orders().len(), 1);
}

#[tokio::test]
async fn what_came_through_an_outrigger_is_refused_whatever_it_shows() {
    let guarded = guarded().await;
    let head = format!(
        "GET /status HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {TOKEN}\r\nvia: 1.1 outrigger-00c0ffee-out\r\n",
        guarded.stage.admin
    );
    assert_eq!(guarded.stage.send(&head, "").await.problem(403), "proxied");
    assert_eq!(guarded.strangers(), [Stranger::Proxied]);
}

#[tokio::test]
async fn without_its_file_nobody_is_let_in_and_the_answer_says_so() {
    let guarded = guarded().await;
    std::fs::remove_file(&guarded.file).unwrap();
    let stage = &guarded.stage;
    let head = format!("GET /status HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {TOKEN}\r\n", stage.admin);
    // The file is looked at again after a second.
    crate::testing::eventually("a look at the file", async || {
        let reply = stage.send(&head, "").await;
        (reply.status != 200).then(|| assert_eq!(reply.problem(503), "no-token-file"))
    })
    .await;
}
