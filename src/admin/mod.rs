//! What operators ask a running proxy, and the few things they may change: JSON over HTTP/1.1 on its own listener.
//!
//! Two routers. [`router`] is the whole API and belongs on loopback, or behind a token or certificates ([`Access`]). [`metrics_router`] answers `/metrics` and the
//! probes only, reads and never changes, and may face the Pod's network. Neither touches the data plane: all they
//! know comes through [`Control`], which the composition root fills, so a stuck data plane cannot silence them.
//!
//! ALWAYS: a change is a POST with a JSON body and the header [`CHANGE_HEADER`], from the same origin.
//! NEVER: a GET that changes anything; an error without a sentence on what to do next.

mod access;
pub mod api;
mod circuits;
pub mod control;
mod extract;
mod guard;
mod health;
pub(crate) mod keys;
pub mod letters;
mod page;
mod policy;
mod problem;
mod quit;
mod recording;
mod requests;
mod retries;
mod serve;
mod status;
mod summary;
pub mod verdict;
pub(crate) mod words;

#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderMap, Method, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

pub use access::{Access, Stranger, token_in};
pub(crate) use circuits::{TTL_MAX, TTL_MIN};
pub use control::Control;
pub use serve::{Door, serve};

use problem::Problem;

/// Header that every changing call carries. A browser cannot add it to a cross-site request without a preflight,
/// and the preflight is never granted.
pub const CHANGE_HEADER: &str = "x-outrigger-admin";

/// Every path of [`router`], with what it answers: the index page, the 404 body and the tests read this one list.
pub(crate) const PATHS: [(&str, &str, &str); 44] = [
    ("GET", "/", "a browser gets the page, everybody else this list"),
    ("GET", "/page.js", "its script"),
    ("GET", "/page.css", "its style"),
    ("GET", "/page.svg", "its icon"),
    ("GET", "/status", "everything on one screen: verdicts, policy, upstreams, last changes"),
    ("GET", "/upstreams", "all dependencies"),
    ("GET", "/upstreams/{name}", "one dependency"),
    ("GET", "/endpoints", "addresses of each dependency: load, latency, ejection"),
    ("GET", "/circuits", "circuit breakers"),
    ("GET", "/curves", "requests and failures of each dependency, ten minutes in steps of ten seconds"),
    ("GET", "/budgets", "retry budgets, and what retries achieved"),
    ("GET", "/retries", "whether retries help, by route and class of failure: ?upstream=payments"),
    ("GET", "/certificates", "certificates in use: whose, from which file, until when"),
    ("GET", "/policy", "the policy in force: text, revision, hash, author, last reload"),
    ("GET", "/policy/history", "revisions that a rollback can name"),
    ("GET", "/changes", "what changed, newest first: ?since=30m&limit=100"),
    ("POST", "/policy/reload", "read the policy file now: {}"),
    ("POST", "/policy/rollback", "apply an earlier revision: {\"revision\":3,\"reason\":\"…\"}"),
    ("POST", "/circuits/{name}", "hold or reset a circuit: {\"action\":\"open\",\"ttl\":\"10m\",\"reason\":\"…\"}"),
    ("POST", "/idempotency/show", "one key: {\"upstream\":\"payments\",\"route\":\"charge\",\"key\":\"k1\"}"),
    ("POST", "/idempotency/resolve", "settle an unknown outcome: the same, \"as\":\"not-executed\", \"reason\":\"…\""),
    (
        "GET",
        "/dead-letters",
        "newest first: ?state=open&class=unknown&route=payments/charge&since=2h&limit=50&after=ID",
    ),
    ("GET", "/dead-letters/stats", "how many there are, how full it is, how many were lost"),
    ("GET", "/dead-letters/export", "one JSON object a line, with the query of /dead-letters"),
    ("GET", "/dead-letters/{id}", "one letter, by its id or an end of it: attempts, answer, fields"),
    ("POST", "/dead-letters/{id}/body", "its request's body: {\"reason\":\"…\"}"),
    ("POST", "/dead-letters/{id}/replay", "send it again: {\"reason\":\"…\",\"acceptDuplicateRisk\":false}"),
    ("POST", "/dead-letters/{id}/drop", "give it up: {\"reason\":\"…\"}"),
    ("POST", "/dead-letters/{id}/resolve", "say what became of it: {\"as\":\"executed\",\"reason\":\"…\"}"),
    (
        "POST",
        "/dead-letters/drop",
        "give up many: {\"filter\":{\"route\":\"payments\"},\"expectCount\":3,\"reason\":\"…\"}",
    ),
    ("GET", "/replays", "replays of many, newest first"),
    ("POST", "/replays", "replay many: {\"filter\":{\"state\":\"open\"},\"dryRun\":true}"),
    ("GET", "/replays/{id}", "one replay, as far as it is"),
    ("POST", "/replays/{id}/cancel", "end it: {\"reason\":\"…\"}"),
    ("GET", "/audit", "who did what to which letter, newest first: ?since=24h&limit=100"),
    ("GET", "/requests", "requests worth a look, newest first: ?upstream=payments&outcome=troubled&limit=50"),
    ("GET", "/requests/{id}", "the life of one request, by trace id, x-request-id or dead letter"),
    ("GET", "/tap", "requests as they end, as server-sent events: ?upstream=&route=&errors=true&limit=100"),
    ("POST", "/recording", "record a sketch of the traffic: {\"seconds\":60,\"upstream\":\"payments\"}"),
    ("GET", "/recording", "the last one, for `outrigger simulate`"),
    ("GET", "/metrics", "Prometheus text"),
    ("GET", "/livez", "200 while this process answers"),
    ("GET", "/readyz", "200 once a policy is loaded and the listeners are bound"),
    ("GET", "/healthz", "the same as /readyz"),
];

/// The paths of [`metrics_router`].
const METRICS_PATHS: [&str; 4] = ["/metrics", "/livez", "/readyz", "/healthz"];

/// The whole API, for those whom the guard lets in.
pub fn router(control: Arc<Control>) -> Router {
    let known = if control.quit.is_some() { probes().route(quit::PATH, post(quit::quit)) } else { probes() };
    known
        .route("/", get(index))
        .route("/status", get(status::status))
        .route("/upstreams", get(status::upstreams))
        .route("/upstreams/{name}", get(status::upstream))
        .route("/endpoints", get(status::endpoints))
        .route("/circuits", get(status::circuits))
        .route("/budgets", get(status::budgets))
        .route("/retries", get(retries::retries))
        .route("/curves", get(status::curves))
        .route("/certificates", get(status::certificates))
        .route("/policy", get(policy::current))
        .route("/policy/history", get(policy::history))
        .route("/policy/reload", post(policy::reload))
        .route("/policy/rollback", post(policy::rollback))
        .route("/changes", get(policy::changes))
        .route("/circuits/{name}", post(circuits::act))
        .route("/idempotency/show", post(keys::show))
        .route("/idempotency/resolve", post(keys::resolve))
        .merge(letters::routes())
        .merge(recording::routes())
        .merge(requests::routes())
        .merge(page::routes())
        .fallback(async |uri: Uri| Problem::unknown_path(&uri, PATHS.iter().map(|(_, path, _)| *path)))
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(Arc::clone(&control), guard::check))
        .with_state(control)
}

/// `/metrics`, `/livez`, `/readyz` and `/healthz`, for the listener that scrapers and probes reach. Hosts are not
/// checked here: a kubelet names the Pod's address, and there is nothing to change.
pub fn metrics_router(control: Arc<Control>) -> Router {
    probes()
        .fallback(async |uri: Uri| Problem::unknown_path(&uri, METRICS_PATHS.into_iter()))
        .method_not_allowed_fallback(wrong_method)
        .with_state(control)
}

fn probes() -> Router<Arc<Control>> {
    Router::new()
        .route("/metrics", get(health::metrics))
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .route("/healthz", get(health::readyz))
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    Problem::wrong_method(&method, &uri)
}

async fn index(headers: HeaderMap) -> Response {
    if page::wanted(&headers) {
        return page::html();
    }
    let mut text = format!("Outrigger {}\n\n", env!("CARGO_PKG_VERSION"));
    for (method, path, what) in PATHS {
        text.push_str(&format!("{method:<4}  {path:<26}  {what}\n"));
    }
    text.push_str(&format!(
        "\nA POST needs `content-type: application/json` and `{CHANGE_HEADER}: 1`. Or use the command line: outrigger status\n"
    ));
    text.into_response()
}
