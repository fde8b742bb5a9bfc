//! `stores`, and `${env:NAME}` in the URL of one.

use std::path::Path;

use super::*;
use crate::policy::idempotency::{Durability, Stores};
use crate::policy::tls::ClientTls;
use crate::policy::{diff, effective, explain};

const SECRET: &str = "s3cret";

/// What tests find in the environment.
fn environment(name: &str) -> Option<String> {
    match name {
        "REDIS_URL" => Some(format!("redis://app:{SECRET}@redis.shop.svc:6379/2")),
        "REDIS_PASSWORD" => Some(SECRET.to_owned()),
        "EMPTY" => Some(String::new()),
        "TLS_URL" => Some(format!("https://:{SECRET}@r")),
        "TWO_LINES" => Some(format!("redis://:{SECRET}@r\n")),
        "ODD_PASSWORD" => Some(format!("redis://:{SECRET}/?@r")),
        _ => None,
    }
}

/// A policy with this block of stores, beginning in line 2.
fn with(stores: &str) -> String {
    format!("version: 1\nstores: {stores}\nname: checkout\nupstreams: {{ a: {{ url: http://a }} }}\n")
}

fn stores(text: &str) -> Stores {
    load_in("p.yaml", &with(text), environment).unwrap_or_else(|errors| panic!("{errors}")).policy.stores
}

fn refused(text: &str) -> String {
    match load_in("p.yaml", &with(text), environment) {
        Ok(_) => panic!("accepted:\n{text}"),
        Err(errors) => errors.render(Format::Human),
    }
}

#[test]
fn without_the_block_there_is_no_store() {
    let policy = good("version: 1\nupstreams: { a: { url: http://a } }\n").policy;
    assert_eq!(policy.stores, Stores::default());
}

#[test]
fn a_store_that_is_present_is_on_with_its_defaults() {
    let Stores { embedded, redis } = stores("{ embedded: {} }");
    let embedded = embedded.unwrap();
    assert_eq!(embedded.path, Path::new("/var/lib/outrigger/outrigger.db"));
    assert_eq!((embedded.max_bytes, embedded.max_records), (256 << 20, 1_000_000));
    assert_eq!(embedded.durability, Durability::Process);
    assert!(redis.is_none());
    let Stores { embedded, redis } = stores("{ redis: { url: redis://127.0.0.1:6379 } }");
    let redis = redis.unwrap();
    assert!(embedded.is_none());
    assert_eq!(redis.url.expose(), "redis://127.0.0.1:6379");
    assert_eq!((redis.timeout, redis.service.as_str()), (Duration::from_millis(50), "checkout"));
}

#[test]
fn every_value_of_a_store_can_be_chosen() {
    let Stores { embedded, redis } = stores(
        "{ embedded: { path: /data/o.db, maxBytes: 1MiB, maxRecords: 10, durability: power }, \
         redis: { url: 'redis://[::1]:7000/3', timeout: 5s, service: shop } }",
    );
    let embedded = embedded.unwrap();
    assert_eq!((embedded.path.as_path(), embedded.max_bytes), (Path::new("/data/o.db"), 1 << 20));
    assert_eq!((embedded.max_records, embedded.durability), (10, Durability::Power));
    let redis = redis.unwrap();
    assert_eq!((redis.timeout, redis.service.as_str()), (Duration::from_secs(5), "shop"));
}

#[test]
fn over_tls_a_server_is_believed_by_the_system_or_as_is_written() {
    let tls = |block: &str| stores(&format!("{{ redis: {{ {block} }} }}")).redis.unwrap();
    let plain = tls("url: rediss://r");
    assert_eq!((plain.tls.as_deref(), plain.url.to_string()), (Some(&ClientTls::default()), "rediss://***".to_owned()));
    assert_eq!(tls("url: redis://r").tls, None);
    let chosen = tls("url: rediss://r, tls: { ca: /ca, cert: /c, key: /k, serverName: redis.shop }").tls.unwrap();
    assert_eq!((chosen.ca.as_deref(), chosen.server_name.as_deref()), (Some(Path::new("/ca")), Some("redis.shop")));
    assert!(chosen.identity.is_some());
}

#[test]
fn a_wrong_value_of_a_store_is_refused_where_it_stands() {
    for (text, place, part) in [
        ("{}", "2:9", "stores needs `embedded` or `redis`"),
        ("{ embedded: { path: data/o.db } }", "2:29", "is not an absolute path"),
        ("{ embedded: { path: /data/ } }", "2:29", "does not name a file"),
        ("{ embedded: { path: /data/../o.db } }", "2:29", "does not name a file"),
        ("{ embedded: { path: '/${env:X}/o.db' } }", "2:29", "environment variables are not expanded here"),
        ("{ embedded: { maxBytes: 1KiB } }", "2:33", "1KiB is out of range: 1MiB to 64GiB"),
        ("{ embedded: { maxBytes: 256M } }", "2:33", "write 256MiB"),
        ("{ embedded: { maxRecords: 0 } }", "2:35", "0 is out of range: 1 to 10000000"),
        ("{ embedded: { durability: full } }", "2:35", "unknown value `full`, expected one of process, power"),
        ("{ embedded: { file: /x } }", "2:23", "a word of others; use path"),
        ("{ sqlite: {} }", "2:11", "the engine of the embedded store; use embedded"),
        ("{ redis: {} }", "2:18", "redis needs `url`"),
        ("{ redis: { url: redis://r, timeout: 1ms } }", "2:45", "1ms is out of range: 5ms to 5s"),
        ("{ redis: { url: redis://r, service: 'a b' } }", "2:45", "`a b` is not a name"),
        ("{ redis: { url: http://r } }", "2:25", "`http://r`: only redis:// and rediss:// are supported"),
        ("{ redis: { url: redis://r, service: s, tls: {} } }", "2:53", "`tls` has no effect on a redis:// URL"),
        ("{ redis: { url: unix:///r } }", "2:25", "only redis:// and rediss:// are supported"),
        ("{ redis: { url: r:6379 } }", "2:25", "it is not a URL: write redis://HOST:PORT"),
        ("{ redis: { url: 'redis://' } }", "2:25", "it has no valid host or port"),
        ("{ redis: { url: 'redis://r:99999' } }", "2:25", "it has no valid host or port"),
        ("{ redis: { url: redis://r/a } }", "2:25", "only the number of a database"),
        ("{ redis: { url: 'redis://r?protocol=resp3' } }", "2:25", "only the number of a database"),
        ("{ redis: { url: 'redis://:pw@r' } }", "2:25", "a password does not belong in a policy file"),
        ("{ redis: { url: 'redis://u:pw${env:REDIS_PASSWORD}@r' } }", "2:25", "a password does not belong"),
    ] {
        let said = refused(text);
        let found = said.lines().any(|line| line.starts_with(&format!("p.yaml:{place}: error:")));
        assert!(found && said.contains(part), "{text}: no {part:?} at {place} in\n{said}");
    }
}

#[test]
fn a_server_that_services_share_needs_to_know_which_one_asks() {
    let text = "version: 1\nstores: { redis: { url: redis://r } }\nupstreams: { a: { url: http://a } }\n";
    let said = bad(text);
    assert!(said.starts_with("p.yaml:2:18: error: redis needs `service`, or the policy a `name`"), "{said}");
    good(&text.replace("redis://r", "redis://r, service: shop"));
}

#[test]
fn a_url_may_come_from_the_environment_in_whole_or_in_part() {
    for (url, whole) in [
        ("${env:REDIS_URL}", "redis://app:s3cret@redis.shop.svc:6379/2"),
        ("redis://:${env:REDIS_PASSWORD}@r:1", "redis://:s3cret@r:1"),
        ("redis://app:${env:REDIS_PASSWORD}@r", "redis://app:s3cret@r"),
        ("redis://app@r", "redis://app@r"),
    ] {
        let redis = stores(&format!("{{ redis: {{ url: '{url}' }} }}")).redis.unwrap();
        assert_eq!(redis.url.expose(), whole);
    }
}

#[test]
fn a_variable_that_is_not_set_is_found_where_it_is_used() {
    for name in ["ABSENT", "EMPTY"] {
        let said = refused(&format!("{{ redis: {{ url: \"${{env:{name}}}\" }} }}"));
        let expected = format!("p.yaml:2:25: error: the environment variable {name} is not set, and `url` needs it");
        assert!(said.starts_with(&expected) && said.contains("[OR031]"), "{said}");
    }
    let said = refused("{ redis: { url: \"${env:lower}\" } }");
    assert!(said.contains("`${env:lower}`: write ${env:NAME}, NAME in capitals"), "{said}");
}

#[test]
fn what_a_variable_holds_is_in_no_message() {
    for (name, part) in [
        ("TLS_URL", "the URL of Redis: only redis:// and rediss:// are supported"),
        ("TWO_LINES", "the URL of Redis: it has a blank or the end of a line in it"),
        ("ODD_PASSWORD", "%2F for /"),
    ] {
        let said = refused(&format!("{{ redis: {{ url: '${{env:{name}}}' }} }}"));
        assert!(said.contains(part) && !said.contains(SECRET), "{said}");
    }
}

#[test]
fn a_password_is_shown_nowhere() {
    let stores = "{ redis: { url: '${env:REDIS_URL}' } }";
    let route = "{ name: r, match: { path: /r }, idempotency: { principal: none } }";
    let text = format!(
        "version: 1\nname: checkout\nstores: {stores}\nupstreams:\n  a:\n    url: http://a\n    routes: [{route}]\n"
    );
    let compiled = load_in("p.yaml", &text, environment).unwrap_or_else(|errors| panic!("{errors}"));
    let other = load_in("p.yaml", &text.replace("${env:REDIS_URL}", "redis://b"), environment).unwrap();
    let changes = diff::diff(&other.policy, &compiled.policy);
    let explained = explain::request(&compiled, "p.yaml", &http::Method::POST, "/r").unwrap();
    assert!(explained.contains("redis://***"), "{explained}");
    let shown = [
        explained,
        format!("{:?}", effective::process(&compiled.policy)),
        format!("{changes:?} {}", serde_json::to_string(&changes).unwrap()),
        format!("{:?}", compiled.policy),
    ];
    for text in shown {
        assert!(text.contains("redis://***") && !text.contains(SECRET), "{text}");
    }
}

#[test]
fn values_of_stores_have_their_origin() {
    use crate::policy::origin::{Origin, PROCESS};
    let text = with("{ embedded: { maxBytes: 1MiB }, redis: { url: redis://r } }");
    let origins = good(&text).origins;
    let line = |key| origins.position(PROCESS, None, key).map(|at| (at.line, at.column));
    assert_eq!(line("stores.embedded.maxBytes"), Some((2, 33)));
    assert_eq!(line("stores.redis.url"), Some((2, 55)));
    assert_eq!(line("stores.redis.service"), Some((3, 7)), "the name of the policy");
    assert_eq!(origins.of(PROCESS, None, "stores.embedded.path"), Origin::BuiltIn);
}
