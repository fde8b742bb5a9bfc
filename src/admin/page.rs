//! The page: what `outrigger status` says, in a browser, live, and with the few things an operator may change.
//!
//! Three texts from the folder `page`, compiled in. The page asks the same API as the command line, from its own
//! origin only, and the browser is told to hold it to that: [`CONTENT_SECURITY_POLICY`].

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::control::Control;

/// Nothing but our own script, style, icon and API; no frame around it; no text that becomes markup.
pub(super) const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
     trusted-types 'none'";

const HTML: &str = include_str!("page/index.html");
const CSS: &str = include_str!("page/style.css");
const ICON: &str = concat!(
    r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><g fill="none" stroke="#0b5fc0" stroke-width="2" "##,
    r##"stroke-linecap="round"><path d="M1 11q7 5 14 0M4 4q4 2 8 0M5 5v7M11 5v7"/></g></svg>"##,
);
/// One script in parts, in this order.
const SCRIPT: &str = concat!(
    include_str!("page/words.js"),
    include_str!("page/dom.js"),
    include_str!("page/data.js"),
    include_str!("page/verdict.js"),
    include_str!("page/changes.js"),
    include_str!("page/upstreams.js"),
    include_str!("page/retries.js"),
    include_str!("page/letters.js"),
    include_str!("page/acts.js"),
    include_str!("page/main.js"),
);

static LEAN_SCRIPT: LazyLock<String> = LazyLock::new(|| lean(SCRIPT));
static LEAN_CSS: LazyLock<String> = LazyLock::new(|| tight(&lean(CSS)));

/// Paths of what the page consists of besides itself.
pub(super) const PARTS: [&str; 3] = ["/page.js", "/page.css", "/page.svg"];

/// What the page consists of besides itself.
pub(super) fn routes() -> Router<Arc<Control>> {
    Router::new()
        .route("/page.js", get(async || typed("text/javascript; charset=utf-8", &LEAN_SCRIPT)))
        .route("/page.css", get(async || typed("text/css; charset=utf-8", &LEAN_CSS)))
        .route("/page.svg", get(async || typed("image/svg+xml", ICON)))
}

/// The page itself.
pub(super) fn html() -> Response {
    typed("text/html; charset=utf-8", HTML)
}

fn typed(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

/// Whether who asks would rather read a page than a list: browsers name `text/html`, command lines do not.
pub(super) fn wanted(headers: &HeaderMap) -> bool {
    let kinds = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    kinds.flat_map(|kinds| kinds.split(',')).any(|kind| {
        let kind = kind.split(';').next().unwrap_or_default();
        kind.trim().eq_ignore_ascii_case("text/html")
    })
}

/// What every answer of the admin listener says to browsers.
pub(super) const HEADERS: [(HeaderName, &str); 5] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// The text without indentation and without lines that are comments: they are for who reads the source.
fn lean(text: &str) -> String {
    let lines = text.lines().map(str::trim);
    let told =
        lines.filter(|line| !line.is_empty() && !["//", "/*", "* ", "*/"].iter().any(|mark| line.starts_with(mark)));
    told.flat_map(|line| [line, "\n"]).collect()
}

/// A style sheet without the blanks that stand for readers only.
fn tight(css: &str) -> String {
    let blanks = ["{", "}", ";", ":", ","].map(|mark| (format!("{mark} "), mark));
    let joined = css.replace('\n', " ").replace(" {", "{").replace(" }", "}");
    blanks.iter().fold(joined, |css, (spaced, mark)| css.replace(spaced, mark)).replace(";}", "}")
}

#[cfg(test)]
mod tests;
