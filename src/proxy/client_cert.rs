//! What the app is told of its caller's certificate: `X-Forwarded-Client-Cert`, in the form that Envoy has made usual.
//!
//! Whoever ends an encrypted connection is the only one who knows. So where we do, what callers say of it is removed, and
//! the app can believe what it finds.

use http::{HeaderMap, HeaderName};

use super::hygiene::Present;
use crate::policy::tls::ClientCert;
use crate::tls::Peer;
use crate::wire::OwnFields;

const FIELD: HeaderName = HeaderName::from_static("x-forwarded-client-cert");

/// Removes what the caller says of itself, and adds what its certificate says, as the policy wants.
pub fn tell(policy: ClientCert, headers: &mut HeaderMap, own: &mut OwnFields, present: Present, peer: Option<&Peer>) {
    if policy == ClientCert::Pass {
        return;
    }
    if present.client_cert() {
        headers.remove(FIELD);
    }
    if let (ClientCert::Tell, Some(value)) = (policy, peer.and_then(element)) {
        own.text(&FIELD, value.as_bytes());
    }
}

/// `URI=spiffe://…`, or `DNS=…` without an id.
fn element(peer: &Peer) -> Option<String> {
    match (&peer.spiffe, peer.names.first()) {
        (Some(id), _) => is_plain(id).then(|| format!("URI={id}")),
        (None, Some(name)) => is_plain(name).then(|| format!("DNS={name}")),
        (None, None) => None,
    }
}

/// Nothing that would end the element, or the line.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b';' | b',' | b'=' | b'"' | b'\\'))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn peer(spiffe: Option<&str>, names: &[&str]) -> Peer {
        Peer { spiffe: spiffe.map(Arc::from), names: names.iter().map(|name| Box::from(*name)).collect() }
    }

    fn told(policy: ClientCert, peer: Option<&Peer>) -> Vec<String> {
        let mut headers = HeaderMap::new();
        headers.append(FIELD, "URI=spiffe://evil/admin".parse().unwrap());
        headers.append(FIELD, "URI=spiffe://evil/root".parse().unwrap());
        let (present, mut own) = (Present::of(&headers), OwnFields::new());
        tell(policy, &mut headers, &mut own, present, peer);
        own.append_to(&mut headers);
        headers.get_all(FIELD).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn what_a_caller_says_of_its_certificate_is_believed_only_where_nobody_looks_at_certificates() {
        let cart = peer(Some("spiffe://shop.example/cart"), &["cart.shop"]);
        assert_eq!(told(ClientCert::Pass, Some(&cart)), ["URI=spiffe://evil/admin", "URI=spiffe://evil/root"]);
        assert_eq!(told(ClientCert::Strip, Some(&cart)), [""; 0]);
        assert_eq!(told(ClientCert::Tell, None), [""; 0]);
        assert_eq!(told(ClientCert::Tell, Some(&cart)), ["URI=spiffe://shop.example/cart"]);
        assert_eq!(told(ClientCert::Tell, Some(&peer(None, &["cart.shop", "b"]))), ["DNS=cart.shop"]);
    }

    #[test]
    fn a_name_that_would_add_another_one_is_not_told() {
        for odd in ["spiffe://a/b;URI=spiffe://c/d", "spiffe://a/b,By=x", "spiffe://a/\"", "spiffe://a/b\r\nx: y", ""] {
            assert_eq!(told(ClientCert::Tell, Some(&peer(Some(odd), &[]))), [""; 0], "{odd}");
        }
    }
}
