//! A policy of the user's own: everything is kept but the addresses, which become this run's.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use outrigger::policy::store::POLICY_BYTES_MAX;
use serde_json::{Map, Value, json};

use super::config::Addresses;

/// A policy file, parsed but not understood: that is for the program under test to do.
#[derive(Clone, Debug)]
pub struct OwnPolicy {
    value: Map<String, Value>,
    /// The upstream that the requests go to.
    upstream: String,
}

impl OwnPolicy {
    /// Reads the file and chooses the upstream: the named one, or the only one.
    ///
    /// # Errors
    /// Says what is wrong with the file, or which upstreams there are.
    pub fn read(path: &Path, upstream: Option<&str>) -> Result<OwnPolicy, String> {
        let file = path.display();
        let text = fs::read_to_string(path).map_err(|e| format!("{file}: {e}"))?;
        OwnPolicy::parse(&text, upstream).map_err(|e| format!("{file}: {e}"))
    }

    /// As [`OwnPolicy::read`], from its text.
    ///
    /// # Errors
    /// As there.
    pub fn parse(text: &str, upstream: Option<&str>) -> Result<OwnPolicy, String> {
        let value: Value = serde_saphyr::from_str(text).map_err(|e| format!("no YAML: {e}"))?;
        let Value::Object(value) = value else {
            return Err("no policy: it begins with `version: 1`".to_owned());
        };
        let names: Vec<&str> = match value.get("upstreams") {
            Some(Value::Object(upstreams)) => upstreams.keys().map(String::as_str).collect(),
            _ => return Err("no upstreams: there is nothing to send requests to".to_owned()),
        };
        let chosen = match (upstream, names.as_slice()) {
            (_, []) => return Err("no upstreams: there is nothing to send requests to".to_owned()),
            (Some(name), names) if names.contains(&name) => name,
            (Some(name), names) => {
                return Err(format!("there is no upstream `{name}`; there are {}", names.join(", ")));
            }
            (None, [only]) => only,
            (None, names) => {
                let first = names.first().copied().unwrap_or_default();
                let list = names.join(", ");
                return Err(format!("several upstreams ({list}); say which one gets the requests: upstream={first}"));
            }
        };
        Ok(OwnPolicy { upstream: chosen.to_owned(), value })
    }

    /// How many addresses of its own it needs beside [`Addresses`].
    pub fn addresses_needed(&self) -> usize {
        // The shared listener, the inbound one, and one for each upstream that may have its own.
        2 + self.value.get("upstreams").and_then(Value::as_object).map_or(0, Map::len)
    }

    /// The policy with this run's addresses. `spare` gives the addresses of listeners that get no requests here.
    /// `flipped` changes a value that matters to no request.
    pub fn render(
        &self,
        ours: Addresses,
        spare: &[SocketAddr],
        endpoints: &[SocketAddr],
        flipped: bool,
    ) -> Result<String, String> {
        let mut spare = spare.iter();
        let mut next = || spare.next().map(SocketAddr::to_string).ok_or("too few addresses for the policy's listeners");
        let mut root = self.value.clone();
        let urls: Vec<String> = endpoints.iter().map(|endpoint| format!("http://{endpoint}")).collect();

        for (block, address) in [("admin", ours.admin), ("metrics", ours.metrics)] {
            if let Some(block) = block_of(&mut root, block)
                && block.get("listen") != Some(&json!("none"))
            {
                block.insert("listen".to_owned(), json!(address.to_string()));
            }
        }
        if let Some(inbound) = root.get_mut("inbound").and_then(Value::as_object_mut) {
            inbound.insert("listen".to_owned(), json!(next()?));
            inbound.insert("forward".to_owned(), json!(urls.first()));
        }
        if flipped && let Some(drain) = block_of(&mut root, "drain") {
            drain.insert("timeout".to_owned(), json!("21s"));
        }
        let upstreams = root.get_mut("upstreams").and_then(Value::as_object_mut).ok_or("no upstreams")?;
        let several = upstreams.len() > 1;
        for (name, upstream) in upstreams.iter_mut() {
            let upstream = upstream.as_object_mut().ok_or_else(|| format!("upstream `{name}` has no keys"))?;
            upstream.remove("url");
            // The others get no requests here. They must not look anything up either.
            upstream.insert("endpoints".to_owned(), json!(urls));
            if !several {
                // The only one gets everything that comes in.
                upstream.remove("listen");
            } else if *name == self.upstream {
                // A listener of its own leads to it whatever the requests look like.
                upstream.insert("listen".to_owned(), json!(ours.listen.to_string()));
                upstream.remove("match");
            } else if upstream.contains_key("listen") {
                upstream.insert("listen".to_owned(), json!(next()?));
            }
        }
        let shared = if several { next()? } else { ours.listen.to_string() };
        if !several || root.contains_key("listen") {
            root.insert("listen".to_owned(), json!(shared));
        }
        // JSON is YAML. Indented, one of thousands of routes can be larger than a policy may be.
        let pretty = serde_json::to_string_pretty(&root);
        let text = match pretty {
            Ok(text) if text.len() > POLICY_BYTES_MAX => serde_json::to_string(&root),
            other => other,
        };
        text.map_err(|e| format!("the policy cannot be written again: {e}"))
    }
}

/// The block of that name, made if it is missing; `None` if something else stands there.
fn block_of<'a>(root: &'a mut Map<String, Value>, name: &str) -> Option<&'a mut Map<String, Value>> {
    let block = root.entry(name).or_insert_with(|| json!({}));
    if block.is_null() {
        *block = json!({});
    }
    block.as_object_mut()
}

#[cfg(test)]
mod tests {
    use outrigger::policy::compile;

    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn ours() -> Addresses {
        Addresses { listen: address(1001), admin: address(1002), metrics: address(1003) }
    }

    fn spare(policy: &OwnPolicy) -> Vec<SocketAddr> {
        (0..policy.addresses_needed()).map(|n| address(2000 + u16::try_from(n).expect("few"))).collect()
    }

    /// What the program makes of the rewritten policy.
    fn compiled(text: &str, upstream: Option<&str>) -> outrigger::policy::Policy {
        let policy = OwnPolicy::parse(text, upstream).expect("a policy");
        let rewritten =
            policy.render(ours(), &spare(&policy), &[address(3001), address(3002)], false).expect("rendered");
        match compile::load("own.yaml", &rewritten) {
            Ok(compiled) => compiled.policy,
            Err(findings) => panic!("{}\n{rewritten}", findings.render(outrigger::policy::diagnostic::Format::Human)),
        }
    }

    const ONE: &str = "version: 1\nlisten: 0.0.0.0:80\nmetrics: { listen: none }\nname: mine\n\
                       defaults: { timeouts: { request: 750ms } }\n\
                       upstreams:\n  pay:\n    url: http://pay.example:8080\n    listen: 127.0.0.1:4501\n    \
                       retry: { attempts: 3 }\n    balance: { by: roundRobin }\n";

    const TWO: &str = "version: 1\nlisten: 127.0.0.1:80\n\
                       upstreams:\n  a: { url: \"http://a.example\", listen: 127.0.0.1:81 }\n  \
                       b: { url: \"http://b.example\", match: { hosts: [b.internal] } }\n\
                       inbound: { listen: 0.0.0.0:82, forward: \"http://127.0.0.1:83\" }\n";

    #[test]
    fn addresses_become_this_runs_and_everything_else_is_kept() {
        let policy = compiled(ONE, None);
        assert_eq!(policy.name.as_deref(), Some("mine"));
        assert_eq!((policy.admin, policy.metrics), (Some(address(1002)), None));
        let listeners: Vec<SocketAddr> = policy.listeners.iter().map(|listener| listener.addr).collect();
        assert_eq!(listeners, [address(1001)]);
        let text = policy.text;
        assert!(text.contains("750ms") && text.contains("\"attempts\": 3") && text.contains("roundRobin"), "{text}");
        assert!(text.contains("http://127.0.0.1:3001") && text.contains("http://127.0.0.1:3002"), "{text}");
        assert!(!text.contains("example"), "{text}");
    }

    #[test]
    fn the_named_upstream_of_several_gets_the_listener() {
        let policy = compiled(TWO, Some("b"));
        let listeners: Vec<SocketAddr> = policy.listeners.iter().map(|listener| listener.addr).collect();
        assert!(listeners.contains(&address(1001)), "{listeners:?}");
        assert!(listeners.iter().all(|listener| listener.port() > 1000), "{listeners:?}");
        assert!(!policy.text.contains("b.internal") && !policy.text.contains("example"), "{}", policy.text);
    }

    #[test]
    fn ten_thousand_routes_are_still_a_policy_that_can_be_applied() {
        let mut text = "version: 1\nupstreams:\n  a:\n    url: http://a.example\n    routes:\n".to_owned();
        for n in 0..10_000 {
            text.push_str(&format!("      - {{ name: r{n}, match: {{ pathPrefix: /prefix/{n} }} }}\n"));
        }
        let policy = OwnPolicy::parse(&text, None).expect("a policy");
        let rewritten = policy.render(ours(), &spare(&policy), &[address(3001)], false).expect("rendered");
        assert!(rewritten.len() <= POLICY_BYTES_MAX, "{} bytes", rewritten.len());
        assert!(compile::load("own.yaml", &rewritten).is_ok());
    }

    #[test]
    fn several_upstreams_and_no_name_is_an_error_that_lists_them() {
        let said = OwnPolicy::parse(TWO, None).expect_err("two");
        assert_eq!(said, "several upstreams (a, b); say which one gets the requests: upstream=a");
        let said = OwnPolicy::parse(TWO, Some("c")).expect_err("two");
        assert_eq!(said, "there is no upstream `c`; there are a, b");
    }

    #[test]
    fn what_is_no_policy_is_refused() {
        assert!(OwnPolicy::parse("a: [", None).is_err_and(|said| said.starts_with("no YAML")));
        assert!(OwnPolicy::parse("- 1\n", None).is_err_and(|said| said.contains("version: 1")));
        assert!(OwnPolicy::parse("version: 1\n", None).is_err_and(|said| said.starts_with("no upstreams")));
        assert!(
            OwnPolicy::parse("version: 1\nupstreams: {}\n", None).is_err_and(|said| said.starts_with("no upstreams"))
        );
    }

    #[test]
    fn a_flip_changes_the_text_and_nothing_that_requests_notice() {
        let policy = OwnPolicy::parse(ONE, None).expect("a policy");
        let render = |flipped| policy.render(ours(), &spare(&policy), &[address(3001)], flipped).expect("rendered");
        assert_ne!(render(false), render(true));
        assert!(render(true).contains("\"timeout\": \"21s\"") && !render(false).contains("21s"), "{}", render(true));
        assert!(compile::load("own.yaml", &render(true)).is_ok());
    }
}
