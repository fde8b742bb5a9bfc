//! `rateLimit`.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::blocks::{SECOND, between};
use super::idempotency::{Callers, HOUR};
use super::read::{Layered, Reader, flag, whole};
use super::upstreams::Compiled;
use super::{Context, lint::Code};
use crate::policy::diagnostic::Diagnostic;
use crate::policy::rate_limit::{CallerKey, RateLimitPolicy};
use crate::policy::raw::scalar::Text;
use crate::policy::raw::{self, Mode};
use crate::reliability::rate::RatePolicy;

/// `rateLimit.requests` at most.
const REQUESTS_MAX: u32 = 1_000_000;
/// Limits of one policy: each has 256 KiB of counters of its own, whatever its callers send.
const LIMITS_MAX: usize = 64;
/// Headers that differ from request to request, or are gone before anybody could count them.
const NO_CALLERS: [&str; 6] = ["connection", "content-length", "host", "te", "traceparent", "transfer-encoding"];

impl Reader<'_> {
    /// None = off. `block`: the route's own first.
    pub(super) fn rate_limit(
        &mut self,
        block: Layered<'_, raw::RateLimit>,
        own: bool,
        callers: Callers,
    ) -> Option<Arc<RateLimitPolicy>> {
        let (place, _) = block.place()?;
        self.switched_on("rateLimit", block);
        let mode = self.take("rateLimit.mode", block.pick(|r| &r.mode), |mode| Ok(*mode), Mode::Enforce);
        let by = self.take("rateLimit.by", block.pick(|r| &r.by), |t| caller_key(t, callers), CallerKey::Address);
        let found = block.pick(|r| &r.requests);
        let requests = self.take("rateLimit.requests", found, |t| whole(t, 1, REQUESTS_MAX), 1);
        if found.is_none() && mode != Mode::None {
            let note = "write requests: 100, or as many as one caller may send in each `per`";
            let message = "rateLimit needs `requests`: only you know what is too much";
            self.report(Diagnostic::new(Code::InvalidValue, place, message).with_note(note));
        }
        let per = self.take("rateLimit.per", block.pick(|r| &r.per), between(SECOND, HOUR), SECOND);
        let found = block.pick(|r| &r.burst);
        let burst = self.take("rateLimit.burst", found, |t| whole(t, 0, REQUESTS_MAX), 0);
        // Written further away than `requests`, it was not meant for this one: it is cut to fit.
        let inherited = block.distance(|r| &r.burst) > block.distance(|r| &r.requests);
        if let (true, false, Some((at, _))) = (burst > requests, inherited, found) {
            self.refuse(at.position, "burst is more than requests: a window can leave no more than that unused");
        }
        let burst = burst.min(requests);
        let tell = self.take("rateLimit.tellLimits", block.pick(|r| &r.tell_limits), flag, false);
        let rate = RatePolicy { requests, per, burst };
        let policy =
            RateLimitPolicy { by, rate, observe: mode == Mode::Observe, tell, own, field: field(requests, per) };
        (mode != Mode::None).then(|| Arc::new(policy))
    }
}

/// `RateLimit-Policy`: a name, the quota, and the window in whole seconds.
fn field(requests: u32, per: Duration) -> HeaderValue {
    let seconds = per.as_secs() + u64::from(per.subsec_nanos() > 0);
    let text = format!("\"per-caller\";q={requests};w={seconds}");
    // Digits and ASCII words are always a valid value.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("\"per-caller\""))
}

fn caller_key(text: &Text<raw::scalar::RateBy>, callers: Callers) -> Result<CallerKey, String> {
    match (text.text.as_str(), callers) {
        ("address", _) => Ok(CallerKey::Address),
        ("mtls:spiffe", Callers::Verified) => Ok(CallerKey::Spiffe),
        ("mtls:spiffe", Callers::Strangers) => {
            Err("`mtls:spiffe` needs inbound.tls with a clientCa: without it no caller shows a certificate".to_owned())
        }
        ("mtls:spiffe", Callers::App) => {
            Err("`mtls:spiffe` is for inbound: an upstream's only caller is the app itself. Leave it out to limit all \
                 requests together, or write header:NAME if the app acts for many"
                .to_owned())
        }
        (other, _) => match other.split_once(':') {
            Some(("header", name)) => match HeaderName::try_from(name.trim()) {
                Ok(name) if NO_CALLERS.contains(&name.as_str()) => Err(format!("`{name}` tells no callers apart")),
                Ok(name) => Ok(CallerKey::Header(name)),
                Err(_) => Err(format!("`{other}` names no valid header")),
            },
            Some(_) | None => Err(format!("`{other}`: write address, header:NAME or mtls:spiffe")),
        },
    }
}

impl Context {
    /// Each limit costs memory, and this is what bounds it.
    pub(super) fn check_rate_limits(&mut self, upstreams: &[Compiled<'_>]) {
        let mut counts: HashSet<(usize, Option<usize>)> = HashSet::new();
        for (index, upstream) in upstreams.iter().enumerate() {
            for (number, route) in upstream.policy.routes.iter().enumerate() {
                let Some(limit) = &route.rate_limit else { continue };
                counts.insert((index, limit.own.then_some(number)));
                if counts.len() > LIMITS_MAX {
                    let place = self.origins.position(index as u32, Some(number as u32), "rateLimit");
                    let message = format!("more than {LIMITS_MAX} rate limits: each has counters of its own");
                    let finding = Diagnostic::new(Code::InvalidValue, place.unwrap_or_default(), message)
                        .with_note("write the block at inbound or at the upstream, so that its routes share one");
                    self.findings.push(finding);
                    return;
                }
            }
        }
    }
}
