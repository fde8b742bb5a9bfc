//! What a change of encryption means for callers and for what is sent.

use super::Difference;

/// The sentence behind a value that changes, appears or goes. None = it speaks for itself.
pub(super) fn effect(setting: &Difference) -> Option<&'static str> {
    let (old, new) = (setting.old.as_deref(), setting.new.as_deref());
    match setting.key {
        "tls.clientCa" => callers(old, new),
        "tls.spiffe" => match (old, new) {
            (None, Some(_)) => Some("peers with another id are refused from now on"),
            (Some(_), None) => Some("ids are not looked at any more"),
            (Some(old), Some(new)) if !covers(new, old) => Some("ids that are gone are refused from now on"),
            _ => None,
        },
        "tls.ca" => (old.is_some() && new.is_some()).then_some("servers for which only the former vouches are refused"),
        "tls.minVersion" => match (old, new) {
            (Some("1.2"), Some("1.3")) => Some("peers that speak no TLS 1.3 are refused from now on"),
            _ => None,
        },
        "url" | "endpoints" => match (encrypted(old?), encrypted(new?)) {
            (false, true) => Some("encrypted from now on"),
            (true, false) => Some("in clear from now on"),
            _ => None,
        },
        "protocol" => match new {
            Some("http2") => Some("a server that speaks no HTTP/2 fails from now on"),
            Some("http1") => Some("gRPC does not get through any more"),
            _ => None,
        },
        _ => None,
    }
}

/// A listener that is encrypted always says whose certificates it demands.
fn callers(old: Option<&str>, new: Option<&str>) -> Option<&'static str> {
    match (old, new) {
        (None, Some("none")) => Some("callers must speak TLS from now on"),
        (None, Some(_)) => Some("callers must speak TLS and show a certificate from now on"),
        (Some(_), None) => Some("callers speak in clear from now on, and those with TLS are refused"),
        (Some("none"), Some(_)) => Some("callers without a certificate are refused from now on"),
        (Some(_), Some("none")) => Some("callers need no certificate any more"),
        (Some(_), Some(_)) => Some("callers for whom only the former vouches are refused from now on"),
        (None, None) => None,
    }
}

/// Whether every id of `some` is in `all`.
fn covers(all: &str, some: &str) -> bool {
    let ids = |list: &'_ str| -> Vec<String> { list.trim_matches(['[', ']']).split(", ").map(str::to_owned).collect() };
    let all = ids(all);
    ids(some).iter().all(|id| all.contains(id))
}

fn encrypted(urls: &str) -> bool {
    urls.trim_start_matches('[').starts_with("https://")
}
