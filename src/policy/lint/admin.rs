//! The admin API: who could reach it who should not.

use std::net::{IpAddr, SocketAddr};

use super::{Code, Lint};
use crate::policy::origin::PROCESS;
use crate::policy::{Policy, Target, UpstreamPolicy};

impl Lint<'_> {
    pub(super) fn admin(&mut self, policy: &Policy) {
        let access = &policy.admin_access;
        let position = self.origins.position(PROCESS, None, "admin.listen");
        if let Some(admin) = policy.admin {
            if let Some(message) = access.refuses(admin) {
                self.report(Code::AdminExposed, position, message);
            }
            if access.tls.is_none() && access.token_file.is_some() && !admin.ip().to_canonical().is_loopback() {
                let message =
                    format!("the token for {admin} goes over the network in clear: admin.tls is not configured");
                self.report(Code::TokenInClear, position, message);
            }
        }
        for (index, upstream) in policy.upstreams.iter().enumerate() {
            for (what, own) in [("admin.listen", policy.admin), ("metrics.listen", policy.metrics)] {
                if let Some(own) = own.filter(|own| leads_to(upstream, *own)) {
                    let places = ["url", "endpoints", "forward"].into_iter();
                    let position = places.filter_map(|key| self.origins.position(index as u32, None, key)).next();
                    let message = format!("`{}` leads to {own}, which is {what} of this proxy itself", upstream.name);
                    self.report(Code::UpstreamIsOurselves, position, message);
                }
            }
        }
    }
}

/// Whether requests of an upstream would arrive at a listener of this process, as far as the policy tells.
fn leads_to(upstream: &UpstreamPolicy, own: SocketAddr) -> bool {
    let here = own.ip().to_canonical();
    let arrives = |address: IpAddr| {
        let address = address.to_canonical();
        let any = here.is_unspecified() && address.is_loopback();
        // The kernel takes 0.0.0.0 as a destination for this machine.
        address == here || any || address.is_unspecified()
    };
    match &upstream.target {
        Target::Fixed(list) => list.iter().any(|one| one.addr.port() == own.port() && arrives(one.addr.ip())),
        Target::Dns { host, port, authority: _ } => {
            let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
            let local = host == "localhost" || host.ends_with(".localhost");
            *port == own.port() && local && (here.is_loopback() || here.is_unspecified())
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::compile::load;

    fn findings(rest: &str) -> String {
        match load("p.yaml", &format!("version: 1\n{rest}")) {
            Ok(compiled) => compiled.warnings.to_string(),
            Err(findings) => findings.to_string(),
        }
    }

    #[test]
    fn an_upstream_must_not_lead_back_to_our_own_listeners() {
        let of = |url: &str| findings(&format!("upstreams: {{ a: {{ url: '{url}' }} }}\n"));
        for ours in [
            "http://127.0.0.1:4490",
            "http://localhost:4490",
            "http://LOCALHOST.:4490",
            "http://api.localhost:4490",
            "http://0.0.0.0:4490",
            "http://[::ffff:127.0.0.1]:4490",
            "http://127.0.0.1:4491",
            "http://127.9.9.9:4491",
            "http://[::1]:4491",
        ] {
            assert!(of(ours).contains("OR056"), "{ours}: {}", of(ours));
        }
        // Another Pod's, and another program's.
        for theirs in ["http://10.0.0.9:4491", "http://127.0.0.1:4492", "http://127.0.0.2:4490", "http://payments:4490"]
        {
            assert!(!of(theirs).contains("OR056"), "{theirs}: {}", of(theirs));
        }
        assert!(
            findings("inbound: { forward: 'http://127.0.0.1:4490' }\n").contains("admin.listen of this proxy itself")
        );
    }

    #[test]
    fn beyond_loopback_the_admin_api_needs_a_token_or_certificates() {
        let with = |admin: &str| {
            findings(&format!(
                "admin: {{ listen: '10.0.0.1:4490', {admin} }}\nupstreams: {{ a: {{ url: http://a }} }}\n"
            ))
        };
        let pair = "cert: /c, key: /k";
        for open in ["".to_owned(), format!("tls: {{ {pair} }}")] {
            assert!(with(&open).contains("OR008"), "{open}: {}", with(&open));
        }
        for guarded in [format!("tls: {{ {pair}, clientCa: /ca }}"), format!("tls: {{ {pair} }}, tokenFile: /t")] {
            assert_eq!(with(&guarded), "", "{guarded}");
        }
        let in_clear = with("tokenFile: /t");
        assert!(in_clear.contains("OR055") && !in_clear.contains("OR008"), "{in_clear}");
    }
}
