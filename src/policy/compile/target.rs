//! `url`, `endpoints` and `forward`: where an upstream's endpoints are.

use std::net::{IpAddr, SocketAddr};

use crate::policy::{FixedEndpoint, Target};

/// The authority of an `http://` URL.
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
    if url.contains("${") {
        return Err(format!("`{url}`: environment variables are not expanded here"));
    }
    let rest = match url.split_once("://") {
        Some(("http", rest)) => rest,
        Some(("https", _)) => return Err("https is not supported by this version of Outrigger".to_owned()),
        Some((scheme, _)) => return Err(format!("`{url}`: the scheme `{scheme}` is not supported, only http")),
        None => return Err(format!("`{url}` is not a URL: write http://{url}")),
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
        Some("") => Some(80),
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
    Ok(Authority { host, port, text: text.to_owned() })
}

/// `url`: a name to resolve, or a fixed list of one for an IP literal.
pub(super) fn from_url(url: &str) -> Result<Target, String> {
    let Authority { host, port, text } = authority(url)?;
    Ok(match host.parse::<IpAddr>() {
        Ok(ip) => Target::Fixed(vec![FixedEndpoint { addr: SocketAddr::new(ip, port), authority: text }]),
        Err(_) => Target::Dns { host, port, authority: text },
    })
}

/// One of `endpoints`.
pub(super) fn endpoint(url: &str) -> Result<FixedEndpoint, String> {
    let Authority { host, port, text } = authority(url)?;
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
    }

    #[test]
    fn what_would_be_ignored_is_refused() {
        for url in [
            "payments:8080",
            "https://a",
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
