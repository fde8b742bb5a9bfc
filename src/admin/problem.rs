//! Errors as RFC 9457 problem+json. Each one says what to do next.

use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use super::access::Stranger;
use super::api::ProblemBody;
use super::control::Refused;
use super::words;

/// Where a problem's `type` points: one page, one section per token.
const DOCS: &str = "https://outrigger.dev/problems/";

/// The token of the problem that RFC 6750 knows as `invalid_token`.
const WRONG_TOKEN: &str = "wrong-token";

/// Longest part of a client's own words that an error repeats, in characters.
const QUOTE_MAX: usize = 200;

/// What everything about dead letters is answered with where there is no store of them.
const NO_LETTERS: &str = "no route keeps dead letters: add `deadLetter: {}` to a route in the policy";

/// An error answer of the admin API.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    /// Names the section of the documentation.
    token: &'static str,
    title: &'static str,
    detail: String,
    next: String,
    paths: Vec<String>,
}

impl Problem {
    pub fn new(
        status: StatusCode,
        token: &'static str,
        title: &'static str,
        detail: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Problem { status, token, title, detail: detail.into(), next: next.into(), paths: Vec::new() }
    }

    /// The request is understood but refused: 403.
    pub fn forbidden(token: &'static str, detail: impl Into<String>, next: impl Into<String>) -> Self {
        Problem::new(StatusCode::FORBIDDEN, token, "Request refused", detail, next)
    }

    /// Nobody who is known: 401, or 503 while nobody can be.
    pub fn stranger(stranger: Stranger) -> Self {
        let unauthorized = StatusCode::UNAUTHORIZED;
        let next =
            "send `authorization: Bearer TOKEN`; the command line does with --token-file or OUTRIGGER_TOKEN_FILE";
        match stranger {
            Stranger::NoToken | Stranger::Handshake => {
                let detail = "this proxy asks for the token of its admin.tokenFile, and none was sent";
                Problem::new(unauthorized, "no-token", "Token needed", detail, next)
            }
            Stranger::WrongToken => {
                let detail = "the token that was sent is not the one in this proxy's admin.tokenFile";
                Problem::new(unauthorized, WRONG_TOKEN, "Wrong token", detail, next)
            }
            Stranger::NoFile => Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "no-token-file",
                "No token to compare with",
                "this proxy's admin.tokenFile cannot be read, or holds no token: nobody is let in",
                "look into the process log for the reason, and put the file in order; it is read again each second",
            ),
            Stranger::Proxied => Problem::forbidden(
                "proxied",
                "the request came through an Outrigger, and no traffic of apps belongs here",
                "call the admin address directly",
            ),
        }
    }

    /// The query, body or a field of it is wrong: 400.
    pub fn invalid(detail: impl Into<String>, next: impl Into<String>) -> Self {
        Problem::new(StatusCode::BAD_REQUEST, "invalid-request", "Invalid request", detail, next)
    }

    pub fn unknown_path<'a>(uri: &Uri, paths: impl Iterator<Item = &'a str>) -> Self {
        let detail = format!("there is nothing at {}", words::quoted(uri.path(), QUOTE_MAX));
        let mut problem = Problem::new(
            StatusCode::NOT_FOUND,
            "unknown-path",
            "Unknown path",
            detail,
            "ask for one of the paths listed here",
        );
        problem.paths = paths.map(str::to_owned).collect();
        problem
    }

    pub fn unknown_upstream<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Self {
        let known: Vec<&str> = known.collect();
        let next = if known.is_empty() {
            "the policy names no upstream yet".to_owned()
        } else {
            format!("use one of: {}", known.join(", "))
        };
        let detail = format!("no upstream is named {}", words::quoted(name, QUOTE_MAX));
        Problem::new(StatusCode::NOT_FOUND, "unknown-upstream", "Unknown upstream", detail, next)
    }

    pub fn unknown_revision(detail: impl Into<String>) -> Self {
        let next = "`outrigger policy history` lists the revisions";
        Problem::new(StatusCode::NOT_FOUND, "unknown-target", "Nothing of that name", detail, next)
    }

    pub fn wrong_method(method: &Method, uri: &Uri) -> Self {
        let (detail, next) = (
            format!("{} does not take {}", words::quoted(uri.path(), QUOTE_MAX), words::quoted(method.as_str(), 20)),
            "use a method of the `allow` header; reading is GET, changing is POST",
        );
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, "wrong-method", "Method not allowed", detail, next)
    }

    /// A part of an id that fits several letters.
    pub fn ambiguous_letter(part: &str, ids: &[String]) -> Self {
        let detail = format!("{} fits more than one letter: {}", words::quoted(part, QUOTE_MAX), ids.join(", "));
        Problem::new(StatusCode::CONFLICT, "ambiguous-letter", "Ambiguous id", detail, "write the whole id")
    }

    fn about_letters(refused: Refused) -> Self {
        let (status, token, title, detail, next) = match refused {
            Refused::UnknownLetter(detail) => (
                StatusCode::NOT_FOUND,
                "unknown-letter",
                "Unknown dead letter",
                detail,
                "list what there is with `outrigger dlq ls --state all`",
            ),
            Refused::Changed(detail) => (
                StatusCode::CONFLICT,
                "changed",
                "Changed meanwhile",
                detail,
                "look again with `outrigger dlq show` or `outrigger dlq ls`, then decide again",
            ),
            Refused::Risky(detail) => (
                StatusCode::CONFLICT,
                "duplicate-risk",
                "Could be executed twice",
                detail,
                "find out what became of it and say so with `outrigger dlq resolve`, or accept that it may be executed \
                 twice with `--accept-duplicate-risk` (`acceptDuplicateRisk`)",
            ),
            Refused::NotReplayable(detail) => (
                StatusCode::CONFLICT,
                "not-replayable",
                "Cannot be sent again",
                detail,
                "close it with `outrigger dlq resolve` or `outrigger dlq drop`",
            ),
            _ => (
                StatusCode::NOT_FOUND,
                "no-dead-letters",
                "No dead letters",
                NO_LETTERS.to_owned(),
                "add it, reload the policy, then ask again",
            ),
        };
        Problem::new(status, token, title, detail, next)
    }

    /// The handler's own work ended without an answer.
    pub fn interrupted() -> Self {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Internal error",
            "the answer could not be worked out",
            "look for an error in the process log, and report it",
        )
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Unknown(detail) => Problem::new(
                StatusCode::NOT_FOUND,
                "unknown-target",
                "Nothing of that name",
                detail,
                "list what there is with GET /upstreams or GET /policy/history",
            ),
            Refused::Conflict(detail) => Problem::new(
                StatusCode::CONFLICT,
                "conflict",
                "Not possible now",
                detail,
                "read the present state with GET /status, then decide again",
            ),
            Refused::UnknownKey(detail) => Problem::new(
                StatusCode::NOT_FOUND,
                "unknown-key",
                "Unknown key",
                detail,
                "compare upstream, key and principal with what the client sends",
            ),
            Refused::Settled(detail) => Problem::new(
                StatusCode::CONFLICT,
                "nothing-to-resolve",
                "Nothing to resolve",
                detail,
                "only an unknown outcome and an ambiguous answer can be resolved; `outrigger idem show` tells the state",
            ),
            refused @ (Refused::NoLetters
            | Refused::UnknownLetter(_)
            | Refused::Changed(_)
            | Refused::Risky(_)
            | Refused::NotReplayable(_)) => Problem::about_letters(refused),
            Refused::Invalid(detail) => {
                Problem::invalid(detail, "correct the body; GET / shows the shape of each call")
            }
            Refused::Store(detail) => Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "store-unavailable",
                "Store not available",
                detail,
                "look at the store, then read the key with `outrigger idem show`: the order may have taken effect",
            ),
            Refused::Policy(detail) => Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "policy-refused",
                "Policy refused",
                detail,
                "correct the file and reload; the policy in force is unchanged",
            ),
            Refused::Failed(detail) => Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "failed",
                "Could not be carried out",
                detail,
                "see the process log; nothing was changed",
            ),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let challenge = (self.status == StatusCode::UNAUTHORIZED).then(|| match self.token {
            WRONG_TOKEN => HeaderValue::from_static(r#"Bearer realm="outrigger", error="invalid_token""#),
            _ => HeaderValue::from_static(r#"Bearer realm="outrigger""#),
        });
        let body = ProblemBody {
            kind: format!("{DOCS}{}", self.token),
            title: self.title.to_owned(),
            status: self.status.as_u16(),
            detail: self.detail,
            next: self.next,
            paths: self.paths,
        };
        // A struct of strings and numbers always serialises; the empty body is for the type checker only.
        let text = serde_json::to_string(&body).unwrap_or_default();
        let kind = (header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        let mut response = (self.status, [kind], text).into_response();
        if let Some(challenge) = challenge {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
