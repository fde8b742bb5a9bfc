//! `url`, `endpoints` and `forward`: where an upstream's endpoints are.

use std::net::{IpAddr, SocketAddr};

use crate::policy::{FixedEndpoint, Target};

/// Whether what is sent is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// In clear.
    Http,
    /// With TLS.
    Https,
}

impl Scheme {
    const fn port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

/// The authority of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Authority {
    /// Without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// As written.
    pub(super) text: String,
}

/// Reads `http://host[:port][/]`.
pub(super) fn authority(url: &str) -> Result<Authority, String> {
    match with_scheme(url)? {
        (Scheme::Http, authority) => Ok(authority),
        (Scheme::Https, authority) => {
            Err(format!("`{url}`: https is not spoken here, only http: write http://{}", authority.text))
        }
    }
}

/// The scheme that is written, also where the rest is wrong.
pub(super) fn scheme(url: &str) -> Option<Scheme> {
    match url.split_once("://") {
        Some(("http", _)) => Some(Scheme::Http),
        Some(("https", _)) => Some(Scheme::Https),
        Some(_) | None => None,
    }
}

/// Reads `http://host[:port][/]` or `https://host[:port][/]`.
fn with_scheme(url: &str) -> Result<(Scheme, Authority), String> {
    if url.contains("${") {
        return Err(format!("`{url}`: environment variables are not expanded here"));
    }
    let (scheme, rest) = match (scheme(url), url.split_once("://")) {
        (Some(scheme), Some((_, rest))) => (scheme, rest),
        (_, Some((scheme, _))) => {
            return Err(format!("`{url}`: the scheme `{scheme}` is not supported, only http and https"));
        }
        (_, None) => return Err(format!("`{url}` is not a URL: write http://{url}, or https://{url} for TLS")),
    };
    let text = rest.strip_suffix('/').unwrap_or(rest);
    if text.contains(['/', '?', '#']) {
        return Err(format!("`{url}` has a path, which is never added to requests: write http://HOST:PORT"));
    }
    if text.contains('@') {
        return Err("a URL must not carry credentials".to_owned());
    }
    let parsed: http::uri::Authority =
        text.parse().map_err(|_| format!("`{url}` has no valid host: write http://HOST:PORT"))?;
    // Not `parsed.port()`: it takes a port that is out of range for an absent one.
    let port = match text.get(parsed.host().len()..) {
        Some("") => Some(scheme.port()),
        Some(rest) => rest.strip_prefix(':').and_then(|port| port.parse().ok()).filter(|port: &u16| *port != 0),
        None => None,
    };
    let port = port.ok_or_else(|| format!("`{url}` has no valid port: 1 to 65535"))?;
    let host = parsed.host().trim_matches(['[', ']']).to_owned();
    let is_name = host.len() <= 253
        && host.strip_suffix('.').unwrap_or(&host).split('.').all(|label| {
            let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
            (1..=63).contains(&label.len()) && label.bytes().all(allowed)
        });
    if host.parse::<IpAddr>().is_err() && !is_name {
        return Err(format!("`{host}` is neither a host name nor an IP address"));
    }
    Ok((scheme, Authority { host, port, text: text.to_owned() }))
}

/// `url`: a name to resolve, or a fixed list of one for an IP literal.
pub(super) fn from_url(url: &str) -> Result<Target, String> {
    let (_, Authority { host, port, text }) = with_scheme(url)?;
    Ok(match host.parse::<IpAddr>() {
        Ok(ip) => Target::Fixed(vec![FixedEndpoint { addr: SocketAddr::new(ip, port), authority: text }]),
        Err(_) => Target::Dns { host, port, authority: text },
    })
}

/// One of `endpoints`.
pub(super) fn endpoint(url: &str) -> Result<FixedEndpoint, String> {
    let (_, Authority { host, port, text }) = with_scheme(url)?;
    match host.parse::<IpAddr>() {
        Ok(ip) => Ok(FixedEndpoint { addr: SocketAddr::new(ip, port), authority: text }),
        Err(_) => Err(format!("`{host}` is a name: endpoints are IP addresses; use url to have a name resolved")),
    }
}

/// `inbound.forward`: the app, on this machine.
pub(super) fn forward(url: &str) -> Result<FixedEndpoint, String> {
    let Authority { host, port, text } = authority(url)?;
    match host.parse::<IpAddr>() {
        Ok(ip) => Ok(FixedEndpoint { addr: SocketAddr::new(ip, port), authority: text }),
        Err(_) if host.eq_ignore_ascii_case("localhost") => Err(format!("write http://127.0.0.1:{port}")),
        Err(_) => Err(format!("`{host}` is a name: the app is at a loopback address, such as http://127.0.0.1:{port}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_resolved_and_an_address_is_fixed() {
        let dns = from_url("http://payments.shop.svc:8080").unwrap();
        let Target::Dns { host, port, authority } = dns else { panic!("{dns:?}") };
        assert_eq!((host.as_str(), port, authority.as_str()), ("payments.shop.svc", 8080, "payments.shop.svc:8080"));
        let fixed = from_url("http://[::1]:81/").unwrap();
        let Target::Fixed(list) = fixed else { panic!("{fixed:?}") };
        assert_eq!(list[0].addr, "[::1]:81".parse().unwrap());
        assert_eq!(list[0].authority, "[::1]:81");
        assert!(matches!(from_url("http://a").unwrap(), Target::Dns { port: 80, .. }));
        assert!(matches!(from_url("https://a").unwrap(), Target::Dns { port: 443, .. }));
        assert!(matches!(from_url("https://a:8443").unwrap(), Target::Dns { port: 8443, .. }));
    }

    #[test]
    fn where_only_http_is_spoken_https_is_refused_with_what_to_write() {
        let said = forward("https://127.0.0.1:8080").unwrap_err();
        assert!(said.ends_with("write http://127.0.0.1:8080"), "{said}");
        assert!(authority("https://collector:4318").is_err());
    }

    #[test]
    fn what_would_be_ignored_is_refused() {
        for url in [
            "payments:8080",
            "https://",
            "HTTPS://a",
            "ftp://a",
            "http://",
            "http://a/v1",
            "http://a?x=1",
            "http://u:p@a",
            "http://a:0",
            "http://a:99999",
            "http://a:",
            "http://a b",
            "http://${env:HOST}",
            "http://a..b",
            "http://-_é",
        ] {
            assert!(from_url(url).is_err(), "{url}");
        }
    }
}
