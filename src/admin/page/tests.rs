//! What is served, before any browser sees it. Chromium's tests stand in `src/tests/page.rs`.

use super::*;
use crate::admin::tests::stage::Stage;

/// All that a browser loads, in bytes.
const BYTES_MAX: usize = 61 * 1024;

const PAGE: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

#[test]
fn all_that_a_browser_loads_is_small() {
    let bytes = HTML.len() + LEAN_CSS.len() + LEAN_SCRIPT.len() + ICON.len();
    assert!(bytes < BYTES_MAX, "{bytes} bytes; the bound is {BYTES_MAX}");
}

#[test]
fn the_sources_have_no_way_to_make_markup_of_text_and_no_address_of_another_host() {
    let texts = [HTML, CSS, SCRIPT];
    for word in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "srcdoc"] {
        assert!(texts.iter().all(|text| !text.contains(word)), "{word}");
    }
    // The one address is the name of a language, which nobody asks for.
    let addresses = texts.iter().flat_map(|text| text.split("://").skip(1)).collect::<Vec<_>>();
    assert!(addresses.iter().all(|rest| rest.starts_with("www.w3.org/2000/svg'")), "{addresses:?}");
    assert!(!HTML.contains("style=") && !HTML.contains(" onclick") && !HTML.contains("<style"));
}

#[test]
fn what_is_left_out_of_the_text_is_comments_and_indentation() {
    let text = "// why\n/** what\n * more\n */\nconst a = 'https://b';\n\n  a.b(); // stays\n";
    assert_eq!(lean(text), "const a = 'https://b';\na.b(); // stays\n");
    assert_eq!(tight(&lean("a > b {\n  color: red;\n}\n")).trim(), "a > b{color:red}");
    assert_eq!(LEAN_CSS.matches('{').count(), CSS.matches('{').count(), "a rule that looks like a comment");
    // A text over several lines would lose its indentation.
    assert_eq!(SCRIPT.lines().filter(|line| line.matches('`').count() % 2 == 1).collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn only_who_names_html_gets_the_page() {
    let asked = |accept: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().unwrap());
        wanted(&headers)
    };
    assert!(asked(PAGE) && asked("TEXT/HTML") && asked("application/json, text/html;q=0.1"));
    assert!(!asked("*/*") && !asked("application/json") && !asked("text/plain") && !asked("x-text/html"));
    assert!(!wanted(&HeaderMap::new()));
}

#[tokio::test]
async fn browsers_get_the_page_and_everybody_else_the_list_of_paths() {
    let stage = Stage::healthy().await;
    let head = format!("GET / HTTP/1.1\r\nhost: {}\r\n", stage.admin);
    let page = stage.send(&format!("{head}accept: {PAGE}\r\n"), "").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(page.body.starts_with("<!doctype html>"), "{}", page.body);
    for accept in ["", "accept: */*\r\n"] {
        let list = stage.send(&format!("{head}{accept}"), "").await;
        assert!(list.body.starts_with("Outrigger "), "{}", list.body);
    }
    for (path, kind) in [("/page.js", "text/javascript"), ("/page.css", "text/css"), ("/page.svg", "image/svg+xml")] {
        let reply = stage.get(path).await;
        assert!(reply.status == 200 && reply.header("content-type").is_some_and(|k| k.starts_with(kind)), "{path}");
    }
    stage.stop().await;
}

#[tokio::test]
async fn every_answer_forbids_frames_foreign_sources_and_keeping_refusals_included() {
    let stage = Stage::healthy().await;
    for path in ["/", "/page.js", "/status", "/nothing"] {
        let reply = stage.get(path).await;
        for (name, value) in HEADERS {
            assert_eq!(reply.header(name.as_str()), Some(value), "{path}");
        }
    }
    let foreign = stage.send("GET / HTTP/1.1\r\nhost: evil.example\r\n", "").await;
    assert_eq!((foreign.status, foreign.header("content-security-policy")), (403, Some(CONTENT_SECURITY_POLICY)));
    stage.stop().await;
}
