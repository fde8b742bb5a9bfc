//! Who may speak to the admin API: nobody whom a browser was tricked into speaking for, and no stranger.
//!
//! On loopback nobody needs to ask for a token, and then the enemy is a web page open in an operator's browser.
//! DNS rebinding makes such a page "same origin" with us, but its Host header then carries the page's own name: so
//! only loopback names and addresses, and the address we listen on, are answered. Cross-site forms cannot carry
//! [`CHANGE_HEADER`] nor a JSON content type. Each check alone would do; all of them stay.
//!
//! A caller who shows the token, or who has compared our certificate with the name it asked for, may call us by any name:
//! a page that was rebound can do neither.
//!
//! What came through an Outrigger is refused: the app's traffic has no business here, and a policy whose upstream
//! resolves to this address must not hand the API to whoever reaches that upstream.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::CHANGE_HEADER;
use super::access::{Access, Stranger};
use super::control::Control;
use super::page;
use super::problem::Problem;
use super::quit;
use super::serve::Caller;
use super::words;
use crate::clock;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// What the checks need to know.
#[derive(Clone, Copy, Debug)]
struct Guard<'a> {
    listen: SocketAddr,
    access: &'a Access,
}

pub(super) async fn check(State(control): State<Arc<Control>>, request: Request, next: Next) -> Response {
    let guard = Guard { listen: control.listen, access: &control.access };
    let mut response = match guard.admit(&request) {
        Ok(()) => next.run(request).await,
        Err(Refusal { problem, stranger }) => {
            if let Some(stranger) = stranger {
                let from = request.extensions().get::<Caller>().map(|caller| caller.0);
                control.turn_away(stranger, from);
            }
            problem.into_response()
        }
    };
    for (name, value) in page::HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

impl Control {
    /// Counts a caller who is not let in, and says so at most once in a while.
    pub(super) fn turn_away(&self, stranger: Stranger, from: Option<SocketAddr>) {
        (self.refused)(stranger);
        // Of handshakes the acceptor tells more than we know.
        if stranger != Stranger::Handshake {
            self.access.tell(stranger, from, clock::now());
        }
    }
}

/// No. `stranger`: it is one that operators want to know of.
struct Refusal {
    problem: Problem,
    stranger: Option<Stranger>,
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Refusal { problem, stranger: None }
    }
}

impl From<Stranger> for Refusal {
    fn from(stranger: Stranger) -> Self {
        Refusal { problem: Problem::stranger(stranger), stranger: Some(stranger) }
    }
}

impl Guard<'_> {
    fn admit(self, request: &Request) -> Result<(), Refusal> {
        let headers = request.headers();
        if came_through_us(headers) {
            return Err(Stranger::Proxied.into());
        }
        let login = self.access.login(headers);
        let known = self.access.encrypted || (self.access.asks() && login.is_ok());
        let host = self.host(headers, known)?;
        if let Some(authority) = request.uri().authority()
            && !self.answers_to(authority.as_str(), known)
        {
            return Err(wrong_host(authority.as_str()).into());
        }
        if let Err(stranger) = login
            && !is_the_page(request)
        {
            return Err(stranger.into());
        }
        self.by_origin(request, host).map_err(Refusal::from)
    }

    /// Whether a browser sends it for a page of another site.
    fn by_origin(self, request: &Request, host: &str) -> Result<(), Problem> {
        let headers = request.headers();
        let scheme = if self.access.encrypted { "https://" } else { "http://" };
        if let Some(origin) = single(headers, &header::ORIGIN)?
            && origin.strip_prefix(scheme) != Some(host)
        {
            return Err(Problem::forbidden(
                "foreign-origin",
                format!("the origin {} is not this address", words::quoted(origin, 100)),
                "call the API from the page it serves, or from outside a browser",
            ));
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            // Jobs call it with whatever their image has, by the words that other sidecars have taught them.
            let plain = request.uri().path() == quit::PATH;
            return if plain { not_of_another_site(headers) } else { changing(headers) };
        }
        // A page that another site embeds us into, or that loads us as its image or script, learns nothing; but it could
        // hold all live views open. A link to our page is fine.
        if is_of_another_site(headers)? && single(headers, &SEC_FETCH_DEST)? != Some("document") {
            return Err(foreign_page("a page of another site asked for this"));
        }
        Ok(())
    }

    fn host(self, headers: &HeaderMap, known: bool) -> Result<&str, Problem> {
        match single(headers, &header::HOST)? {
            Some(host) if self.answers_to(host, known) => Ok(host),
            Some(host) => Err(wrong_host(host)),
            None => Err(wrong_host("")),
        }
    }

    /// Whether we answer to `authority`. `known`: the caller is nobody whom a page tricked into calling.
    fn answers_to(self, authority: &str, known: bool) -> bool {
        self.names_us(authority) || (known && host_of(authority).is_some_and(|host| host.is_plain()))
    }

    /// Whether `authority` (`host` or `host:port`) is a loopback name or address or the one we listen on. The port is
    /// free: a port-forward changes it, and rebinding cannot gain by it.
    fn names_us(self, authority: &str) -> bool {
        let Some(host) = host_of(authority) else { return false };
        match host {
            Host::Name(name) => name.eq_ignore_ascii_case("localhost"),
            Host::Address(address) => {
                let address = address.to_canonical();
                // Listening on all addresses, any of them is ours. Rebinding needs a name, so literals are safe.
                address.is_loopback() || address == self.listen.ip().to_canonical() || self.listen.ip().is_unspecified()
            }
        }
    }
}

enum Host<'a> {
    Name(&'a str),
    Address(IpAddr),
}

impl Host<'_> {
    /// Whether it is an address, or could be a name.
    fn is_plain(&self) -> bool {
        match self {
            Host::Address(_) => true,
            Host::Name(name) => {
                !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
            }
        }
    }
}

/// Whether a proxy of our kind has put its mark on it. Whoever speaks to us directly has no reason to send one.
fn came_through_us(headers: &HeaderMap) -> bool {
    let hops = headers.get_all(header::VIA).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    hops.filter_map(|hop| std::str::from_utf8(hop).ok()?.split_whitespace().nth(1))
        .any(|mark| mark.starts_with("outrigger"))
}

/// The page, its script, its style and its icon tell nothing of the process: a browser gets them first, and then asks
/// its user for the token.
fn is_the_page(request: &Request) -> bool {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    reads
        && match request.uri().path() {
            "/" => page::wanted(request.headers()),
            path => page::PARTS.contains(&path),
        }
}

/// Strict: digits only in the port, dotted-quad IPv4 only, brackets around IPv6. Anything else names nobody.
fn host_of(authority: &str) -> Option<Host<'_>> {
    let port_fits = |port: &str| port.parse::<u16>().is_ok() && port.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(rest) = authority.strip_prefix('[') {
        let (address, after) = rest.split_once(']')?;
        let address: Ipv6Addr = address.parse().ok()?;
        let fits = after.is_empty() || after.strip_prefix(':').is_some_and(port_fits);
        return fits.then_some(Host::Address(IpAddr::V6(address)));
    }
    let name = match authority.split_once(':') {
        Some((name, port)) if port_fits(port) => name,
        Some(_) => return None,
        None => authority,
    };
    match name.parse::<IpAddr>() {
        Ok(address) => Some(Host::Address(address)),
        Err(_) => Some(Host::Name(name)),
    }
}

fn changing(headers: &HeaderMap) -> Result<(), Problem> {
    if single(headers, &HeaderName::from_static(CHANGE_HEADER))? != Some("1") {
        return Err(Problem::forbidden(
            "change-header-missing",
            format!("a changing call must carry the header `{CHANGE_HEADER}: 1`"),
            "use the outrigger command line, or add the header",
        ));
    }
    not_of_another_site(headers)?;
    let kind = single(headers, &header::CONTENT_TYPE)?.unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "not-json",
        "Unsupported media type",
        format!("the body's type is {}, only JSON is read", words::quoted(kind, 100)),
        "send `content-type: application/json`",
    ))
}

fn not_of_another_site(headers: &HeaderMap) -> Result<(), Problem> {
    if is_of_another_site(headers)? {
        return Err(foreign_page("a page of another site asked for this change"));
    }
    Ok(())
}

/// By what browsers say of themselves; nobody else says it, and `none` is a user's own doing.
fn is_of_another_site(headers: &HeaderMap) -> Result<bool, Problem> {
    Ok(single(headers, &SEC_FETCH_SITE)?.is_some_and(|site| !matches!(site, "same-origin" | "none")))
}

fn foreign_page(detail: &str) -> Problem {
    Problem::forbidden("foreign-origin", detail, "call the API from the page it serves, or from outside a browser")
}

/// The header's only value; two of a kind are refused, since two readers could pick different ones.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    let unreadable = || {
        Problem::forbidden(
            "ambiguous-header",
            format!("the header `{name}` is repeated or not plain text"),
            format!("send `{name}` once"),
        )
    };
    if values.next().is_some() {
        return Err(unreadable());
    }
    first.map(|value| value.to_str().map_err(|_| unreadable())).transpose()
}

fn wrong_host(host: &str) -> Problem {
    Problem::forbidden(
        "foreign-host",
        format!("the host {} is neither loopback nor the address listened on", words::quoted(host, 100)),
        "use http://127.0.0.1 or http://localhost with the admin port; from elsewhere, forward the port",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    static OPEN: std::sync::LazyLock<Access> = std::sync::LazyLock::new(Access::default);

    fn guard(listen: &str) -> Guard<'static> {
        Guard { listen: listen.parse().unwrap(), access: &OPEN }
    }

    #[test]
    fn what_an_outrigger_has_forwarded_is_refused_and_other_proxies_are_none_of_our_business() {
        let admits = |via: &str| {
            let request = Request::builder().uri("/status").header("host", "127.0.0.1:4490").header("via", via);
            guard("127.0.0.1:4490").admit(&request.body(axum::body::Body::empty()).unwrap()).is_ok()
        };
        for ours in
            ["1.1 outrigger-1f-out", "1.1 outrigger", "1.1 edge, 1.1 outrigger-2-in", "1.0 fred,1.1 outrigger-x"]
        {
            assert!(!admits(ours), "{ours}");
        }
        assert!(admits("1.1 edge") && admits("1.1 varnish, 1.1 envoy"));
    }

    #[test]
    fn a_known_caller_may_use_any_name_that_is_one() {
        for name in ["admin.shop.svc:4490", "outrigger", "10.9.9.9:1"] {
            assert!(guard("127.0.0.1:4490").answers_to(name, true) && !guard("127.0.0.1:4490").answers_to(name, false));
        }
        for odd in ["", "a@b", "a b", "a,b", "a/b", "[::1", "a:99999"] {
            assert!(!guard("127.0.0.1:4490").answers_to(odd, true), "{odd}");
        }
    }

    #[test]
    fn loopback_and_the_listen_address_name_us_on_any_port() {
        let ours = [
            "localhost",
            "LocalHost:4490",
            "127.0.0.1",
            "127.0.0.1:4490",
            "127.9.9.9:1",
            "[::1]",
            "[::1]:9000",
            "[::ffff:127.0.0.1]:80",
            "10.1.2.3:4490",
        ];
        for host in ours {
            assert!(guard("10.1.2.3:4490").names_us(host), "{host}");
        }
    }

    #[test]
    fn what_a_page_of_another_site_embeds_is_refused_and_its_link_is_followed() {
        let asked = |site: Option<&str>, dest: &str| {
            let mut request = Request::builder().uri("/tap").header("host", "127.0.0.1:4490");
            for (name, value) in [("sec-fetch-site", site), ("sec-fetch-dest", site.and(Some(dest)))] {
                request = value.into_iter().fold(request, |request, value| request.header(name, value));
            }
            guard("127.0.0.1:4490").admit(&request.body(axum::body::Body::empty()).unwrap()).is_ok()
        };
        for dest in ["image", "script", "iframe", "empty", "embed"] {
            assert!(!asked(Some("cross-site"), dest) && !asked(Some("same-site"), dest), "{dest}");
            assert!(asked(Some("same-origin"), dest) && asked(Some("none"), dest), "{dest}");
        }
        assert!(asked(Some("cross-site"), "document") && asked(None, ""));
    }

    #[test]
    fn rebinding_spellings_name_nobody() {
        let foreign = [
            "",
            "evil.example",
            "evil.example:4490",
            "localhost.evil.example",
            "evil.localhost",
            "localhost.",
            "127.0.0.1.nip.io",
            "127.0.0.1.",
            "localhost@evil.example",
            "evil.example@localhost",
            "127.0.0.1:80@evil.example",
            "127.1",
            "2130706433",
            "0x7f.0.0.1",
            "0177.0.0.1",
            "0.0.0.0",
            "0.0.0.0:4490",
            "10.1.2.4:4490",
            "::1",
            "[::]",
            "[::1",
            "[::1]evil",
            "[::1]:",
            "[::1]:+80",
            "[fe80::1%25lo]",
            "localhost:",
            "localhost:99999",
            "localhost:+1",
            "localhost:80:80",
            "localhost, evil.example",
            " localhost",
            "localhost/",
            "localhost#",
        ];
        for host in foreign {
            assert!(!guard("10.1.2.3:4490").names_us(host), "{host}");
        }
    }

    #[test]
    fn listening_on_all_addresses_any_literal_is_ours_but_no_name() {
        assert!(guard("0.0.0.0:4490").names_us("10.9.9.9:4490"));
        assert!(guard("[::]:4490").names_us("[fd00::5]:4490"));
        assert!(!guard("0.0.0.0:4490").names_us("evil.example:4490"));
    }
}
