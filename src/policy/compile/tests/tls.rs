//! `tls` and `protocol`.

use super::*;
use crate::policy::tls::{ClientTls, Protocol, TlsVersion};

/// One upstream with this url and block.
fn upstream(url: &str, block: &str) -> String {
    format!("version: 1\nupstreams:\n  payments:\n    url: {url}\n    {block}\n")
}

fn client(text: &str) -> ClientTls {
    good(text).policy.upstreams[0].tls.as_deref().expect("it is https").clone()
}

fn inbound(block: &str) -> String {
    format!("version: 1\ninbound:\n  forward: http://127.0.0.1:8080\n  {block}\n")
}

#[test]
fn https_without_a_block_trusts_the_system_and_checks_the_host() {
    assert_eq!(client(&upstream("https://payments", "")), ClientTls::default());
    assert!(good(&upstream("http://payments", "")).policy.upstreams[0].tls.is_none());
    let fixed = good("version: 1\nupstreams: { a: { endpoints: ['https://127.0.0.1', 'https://127.0.0.2:8443'] } }\n");
    let Target::Fixed(endpoints) = &fixed.policy.upstreams[0].target else { panic!("no list") };
    assert_eq!(endpoints.iter().map(|e| e.addr.port()).collect::<Vec<_>>(), [443, 8443]);
    assert!(fixed.policy.upstreams[0].tls.is_some());
}

#[test]
fn a_block_is_merged_with_defaults_key_by_key() {
    let text = "version: 1\ndefaults:\n  tls: { ca: /ca.crt, cert: /tls.crt, key: /tls.key, minVersion: 1.3 }\n\
                upstreams:\n  a: { url: https://a, tls: { spiffe: ['spiffe://t.example/ns/a'], minVersion: '1.2' } }\n  \
                b: { url: http://b }\n";
    let policy = good(text).policy;
    let tls = policy.upstreams[0].tls.as_deref().unwrap();
    assert_eq!(tls.ca.as_deref(), Some(std::path::Path::new("/ca.crt")));
    assert_eq!(tls.identity.as_ref().unwrap().key, std::path::Path::new("/tls.key"));
    assert_eq!((&*tls.spiffe[0], tls.min_version), ("spiffe://t.example/ns/a", TlsVersion::Tls12));
    assert!(policy.upstreams[1].tls.is_none(), "defaults encrypt nothing that is http");
}

#[test]
fn what_would_go_in_clear_or_by_chance_is_an_error() {
    let said = bad(&upstream("http://payments", "tls: { ca: /ca.crt }"));
    assert!(said.contains("p.yaml:5:10: error") && said.contains("[OR043]") && said.contains("https://"), "{said}");
    let mixed = bad("version: 1\nupstreams: { a: { endpoints: ['http://127.0.0.1', 'https://127.0.0.2'] } }\n");
    assert!(mixed.contains("[OR044]") && mixed.contains("the first one"), "{mixed}");
}

#[test]
fn a_certificate_and_its_key_stand_together() {
    assert!(bad(&upstream("https://a", "tls: { cert: /tls.crt }")).contains("`cert` needs its `key`"));
    assert!(bad(&upstream("https://a", "tls: { key: /tls.key }")).contains("`key` needs its `cert`"));
    let text = "version: 1\ndefaults: { tls: { cert: /a.crt, key: /a.key } }\nupstreams:\n  \
                a: { url: https://a, tls: { cert: /b.crt } }\n";
    let said = bad(text);
    assert!(said.contains("p.yaml:4:") && said.contains("belong together"), "{said}");
    assert!(bad(&inbound("tls: {}")).contains("tls needs `cert` and `key`"));
    assert!(bad(&inbound("tls: { cert: relative.crt, key: /k }")).contains("absolute path"));
}

#[test]
fn who_may_call_needs_who_vouches_for_them() {
    let text = inbound("tls: { cert: /c, key: /k, spiffe: ['spiffe://t/web'] }");
    assert!(bad(&text).contains("[OR045]"), "{}", bad(&text));
    let open = good(&inbound("tls: { cert: /c, key: /k, clientCa: /ca }"));
    let said = open.warnings.to_string();
    assert!(said.contains("p.yaml:4:40: info") && said.contains("[OR046]") && !open.warnings.has_warnings(), "{said}");
    let closed = good(&inbound("tls: { cert: /c, key: /k, clientCa: /ca, spiffe: ['spiffe://t/web'] }"));
    assert!(closed.warnings.is_empty(), "{}", closed.warnings);
    let tls = closed.policy.listeners[0].tls.as_deref().unwrap();
    assert_eq!((tls.client_ca.as_deref(), tls.spiffe.len()), (Some(std::path::Path::new("/ca")), 1));
}

#[test]
fn ids_for_which_the_system_would_vouch_are_pointed_at() {
    let open = good(&upstream("https://a", "tls: { spiffe: ['spiffe://t/pay'] }"));
    assert!(open.warnings.to_string().contains("[OR047]"), "{}", open.warnings);
}

#[test]
fn odd_ids_names_and_versions_are_refused_with_the_form() {
    for id in [
        "https://t/x",
        "spiffe://t",
        "spiffe://t/",
        "spiffe:///x",
        "spiffe://T/x",
        "spiffe://t/../x",
        "spiffe://t/x?y",
        "spiffe://t:1/x",
        "spiffe://t/*",
    ] {
        let said = bad(&upstream("https://a", &format!("tls: {{ ca: /ca, spiffe: ['{id}'] }}")));
        assert!(said.contains("p.yaml:5:30"), "{id}: {said}");
    }
    for name in ["a:1", "https://a", "'*.a'", "a/b", "''"] {
        assert!(bad(&upstream("https://a", &format!("tls: {{ serverName: {name} }}"))).contains("host name"), "{name}");
    }
    for name in ["a.example", "'::1'", "127.0.0.1"] {
        assert!(client(&upstream("https://a", &format!("tls: {{ serverName: {name} }}"))).server_name.is_some());
    }
    assert!(bad(&upstream("https://a", "tls: { minVersion: 1.1 }")).contains("write 1.2 or 1.3"));
    assert!(bad(&upstream("https://a", "tls: { ca: /ca, spiffe: [] }")).contains("between 1 and"));
}

#[test]
fn the_protocol_is_a_word_of_its_own_layer_first() {
    let of = |text: &str| good(text).policy.upstreams[0].protocol;
    assert_eq!(of(&upstream("http://a", "")), Protocol::Auto);
    assert_eq!(of(&upstream("http://a", "protocol: http2")), Protocol::Http2);
    let both = "version: 1\ndefaults: { protocol: http2 }\nupstreams: { a: { url: http://a, protocol: http1 } }\n";
    assert_eq!(of(both), Protocol::Http1);
    assert_eq!(of(&both.replace(", protocol: http1", "")), Protocol::Http2);
    assert_eq!(of(&inbound("protocol: http2")), Protocol::Http2);
    assert!(bad(&upstream("http://a", "protocol: h2c")).contains("expected one of"));
}
