//! The blocks of an upstream and of a route, one function each. Defaults stand here and in the
//! sentences of `raw`; `config/outrigger.yaml` is compared with both by a test.

use std::time::Duration;

use http::HeaderName;

use super::read::{Layer, Layered, Reader, flag, list, number, size, time, whole};
use crate::policy::DeadlinePolicy;
use crate::policy::diagnostic::Diagnostic;
use crate::policy::lint::Code;
use crate::policy::raw::scalar::{At, Key, Text, Time};
use crate::policy::raw::{self, BalanceBy, DeadlineHeader, Mode, ObserveMode};
use crate::policy::{ProxyStatus, RoutePolicy, duration};
use crate::reliability::attempts::RetryPolicy;
use crate::reliability::backoff::{Backoff, Jitter};
use crate::reliability::balance::Balance;
use crate::reliability::breaker::{BreakerPolicy, SlowCall};
use crate::reliability::budget::BudgetPolicy;
use crate::reliability::classify::{Contract, RetryOn, StatusSet};
use crate::reliability::deadline::Timeouts;
use crate::reliability::ejection::EjectionPolicy;
use crate::reliability::grpc::{Code as GrpcCode, CodeSet};
use crate::reliability::limit::Limits;
use crate::reliability::throttle::ThrottlePolicy;

pub(super) const MS: Duration = Duration::from_millis(1);
pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// `retry.attempts` at most: beyond it, retries are load and not help.
const RETRIES_MAX: u32 = 10;
/// `retry.holdoutPercent` at most: more would be an outage of one's own making.
const HOLDOUT_PERCENT_MAX: f64 = 10.0;
/// Replayable bodies are memory: 16 MiB each at most.
const REPLAY_BODY_MAX: u64 = 16 << 20;
/// `retryBudget`: tokens at start, and least cap.
const BUDGET_BURST: u32 = 10;
/// `retryBudget`: retries per first attempt, whatever else is granted.
const BUDGET_MAX_RATIO: f64 = 0.5;
/// A probe of a half-open breaker is given up after this time, if no attempt ends earlier.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// `limits` of the direction, where the file says nothing.
pub(super) const OUTBOUND_LIMITS: Limits =
    Limits { connections: 128, requests: 256, pending: 64, adaptive: None, queue: None };
pub(super) const INBOUND_LIMITS: Limits =
    Limits { connections: 512, requests: 128, pending: 32, adaptive: None, queue: None };

pub(super) type Found<'a, T> = Option<(&'a At<T>, Layer)>;

pub(super) fn between(least: Duration, most: Duration) -> impl Fn(&Text<Time>) -> Result<Duration, String> {
    move |text| time(text, least, most)
}

impl Reader<'_> {
    pub(super) fn timeouts(&mut self, block: Layered<'_, raw::Timeouts>) -> Timeouts {
        let request = self.take("timeouts.request", block.pick(|t| &t.request), between(MS, DAY), 15 * SECOND);
        let one = |text: &Text<Time>| time(text, MS, DAY).map(Some);
        let found = block.pick(|t| &t.backend_request);
        let backend_request = self.take("timeouts.backendRequest", found, one, None);
        // Written further away than `request`, it was not meant for this one: it is cut to fit. Written
        // as near or nearer, it is a contradiction.
        let inherited = block.distance(|t| &t.backend_request) > block.distance(|t| &t.request);
        if let (Some(one), Some((at, _)), false) = (backend_request, found, inherited)
            && one > request
        {
            let (one, all) = (duration::print(one), duration::print(request));
            let message =
                format!("backendRequest {one} > request {all}: one attempt cannot take longer than all of them");
            let related = block.pick(|t| &t.request).map(|(at, _)| at.position);
            let finding = Diagnostic::new(Code::AttemptExceedsRequest, at.position, message)
                .with_note("lower this, or raise request")
                .with_related(related, "the limit for the whole request");
            self.report(finding);
        }
        Timeouts {
            request,
            backend_request: backend_request.map(|one| one.min(request)),
            connect: self.take("timeouts.connect", block.pick(|t| &t.connect), between(MS, 5 * MINUTE), 250 * MS),
            idle: self.take("timeouts.idle", block.pick(|t| &t.idle), between(SECOND, DAY), 60 * SECOND),
        }
    }

    pub(super) fn inbound_timeouts(&mut self, block: Layered<'_, raw::InboundTimeouts>) -> Timeouts {
        Timeouts {
            request: self.take("timeouts.request", block.pick(|t| &t.request), between(MS, DAY), 15 * SECOND),
            backend_request: None,
            connect: self.take("timeouts.connect", block.pick(|t| &t.connect), between(MS, 5 * MINUTE), 250 * MS),
            idle: self.take("timeouts.idle", block.pick(|t| &t.idle), between(SECOND, DAY), 60 * SECOND),
        }
    }

    pub(super) fn deadline(&mut self, block: Layered<'_, raw::Deadline>) -> DeadlinePolicy {
        let both = vec![DeadlineHeader::GrpcTimeout, DeadlineHeader::XEnvoyExpectedRqTimeoutMs];
        let headers = self.take_list("deadline.headers", list(block.pick(|d| &d.headers)), |h| Ok(*h), both);
        DeadlinePolicy {
            grpc_timeout: headers.contains(&DeadlineHeader::GrpcTimeout),
            envoy_timeout: headers.contains(&DeadlineHeader::XEnvoyExpectedRqTimeoutMs),
            propagate: self.take("deadline.propagate", block.pick(|d| &d.propagate), flag, true),
            margin: self.take("deadline.margin", block.pick(|d| &d.margin), between(Duration::ZERO, MINUTE), 10 * MS),
            from_trace: self.take("deadline.fromTrace", block.pick(|d| &d.from_trace), flag, false),
        }
    }

    /// The policy, and the size up to which bodies are held if anything is sent twice.
    pub(super) fn retry(&mut self, block: Layered<'_, raw::Retry>, contract: Contract) -> (RetryPolicy, usize) {
        let attempts = u32::from(self.switched_on("retry.attempts", block));
        let retries = self.take("retry.attempts", block.pick(|r| &r.attempts), |t| whole(t, 0, RETRIES_MAX), attempts);
        let max_body =
            self.take("retry.maxBody", block.pick(|r| &r.max_body), |t| size(t, 0, REPLAY_BODY_MAX), 64 << 10);
        let holdout = |text: &Text<_>| number(text, 0.0, HOLDOUT_PERCENT_MAX);
        let holdout = self.take("retry.holdoutPercent", block.pick(|r| &r.holdout_percent), holdout, 0.0);
        let policy = RetryPolicy {
            retries,
            on: self.retry_on(block),
            codes: self.codes(block),
            grpc_codes: self.grpc_codes(block),
            backoff: self.backoff(block),
            respect_retry_after: self.take(
                "retry.respectRetryAfter",
                block.pick(|r| &r.respect_retry_after),
                flag,
                true,
            ),
            contract,
            all_methods: self.all_methods(block),
            // Without retries there is nothing to hold out.
            holdout_percent: if retries == 0 { 0.0 } else { holdout },
        };
        (policy, usize::try_from(max_body).unwrap_or(usize::MAX))
    }

    /// Who asks for exactly once, or for nothing to be lost, does not want failures by lot.
    pub(super) fn check_holdout(&mut self, block: Layered<'_, raw::Retry>, route: &RoutePolicy) {
        let dear = route.idempotency.is_some() || route.dead_letter.is_some();
        if let Some((at, _)) = block.pick(|r| &r.holdout_percent).filter(|_| dear && route.retry.holdout_percent > 0.0)
        {
            let message = format!(
                "route `{}` has idempotency keys or a deadLetter: its requests must not fail for the sake of a \
                 measurement. Write `retry: {{ holdoutPercent: 0 }}` in that route",
                route.name
            );
            self.refuse(at.position, message);
        }
    }

    fn retry_on(&mut self, block: Layered<'_, raw::Retry>) -> RetryOn {
        use raw::RetryOn as Word;
        let all = vec![Word::ConnectFailure, Word::RefusedStream, Word::Reset, Word::Timeout];
        let words = self.take_list("retry.retryOn", list(block.pick(|r| &r.retry_on)), |word| Ok(*word), all);
        RetryOn {
            connect_failure: words.contains(&Word::ConnectFailure),
            refused_stream: words.contains(&Word::RefusedStream),
            reset: words.contains(&Word::Reset),
            timeout: words.contains(&Word::Timeout),
        }
    }

    fn codes(&mut self, block: Layered<'_, raw::Retry>) -> StatusSet {
        let code = |text: &Text<_>| match whole(text, 100, 599)? {
            code @ 400..=599 => Ok(code as u16),
            code => Err(format!("{code} is no failure: only 400 to 599 can be retried")),
        };
        let codes = self.take_list("retry.codes", list(block.pick(|r| &r.codes)), code, vec![502, 503, 504]);
        let mut set = StatusSet::default();
        codes.into_iter().for_each(|code| set.insert(code));
        set
    }

    fn grpc_codes(&mut self, block: Layered<'_, raw::Retry>) -> CodeSet {
        let code = |text: &Text<_>| match GrpcCode::named(&text.text) {
            Some(GrpcCode::Ok) => Err("OK is no failure: it cannot be retried".to_owned()),
            Some(code) => Ok(code),
            None => Err(format!("`{}` is no code of gRPC: they are written as in UNAVAILABLE", text.text)),
        };
        let default = CodeSet::DEFAULT.iter().collect();
        self.take_list("retry.grpcCodes", list(block.pick(|r| &r.grpc_codes)), code, default).into_iter().collect()
    }

    /// Whether a request may be sent twice whatever its method. Said once for everything, it would soon hold for what
    /// nobody thought of.
    fn all_methods(&mut self, block: Layered<'_, raw::Retry>) -> bool {
        let found = block.pick(|r| &r.methods);
        let everywhere = matches!(found, Some((_, Layer::Defaults)));
        let all = |methods: &raw::RetryMethods| match methods {
            raw::RetryMethods::Idempotent => Ok(false),
            raw::RetryMethods::All if everywhere => {
                Err("methods: all belongs to an upstream or a route whose requests may all be sent twice".to_owned())
            }
            raw::RetryMethods::All => Ok(true),
        };
        self.take("retry.methods", found, all, false)
    }

    fn backoff(&mut self, block: Layered<'_, raw::Retry>) -> Backoff {
        let range = || between(Duration::ZERO, MINUTE);
        let found = block.pick(|r| &r.backoff);
        let base = self.take("retry.backoff", found, range(), 25 * MS);
        // Whoever raises the first wait alone means the waits to be at least as long.
        let cap = self.take("retry.maxBackoff", block.pick(|r| &r.max_backoff), range(), (250 * MS).max(base));
        if let (true, Some((at, _))) = (base > cap, found) {
            self.refuse(at.position, "backoff is longer than maxBackoff");
        }
        let jitter = |jitter: &raw::Jitter| {
            Ok(match jitter {
                raw::Jitter::Full => Jitter::Full,
                raw::Jitter::Equal => Jitter::Equal,
                raw::Jitter::None => Jitter::None,
            })
        };
        Backoff {
            base,
            cap,
            jitter: self.take("retry.jitter", block.pick(|r| &r.jitter), jitter, Jitter::Full),
            overload_base: (250 * MS).max(base),
            overload_cap: (2 * SECOND).max(cap),
        }
    }

    pub(super) fn budget(&mut self, block: Layered<'_, raw::RetryBudget>) -> BudgetPolicy {
        let percent = |text: &Text<_>| number(text, 0.0, 100.0);
        let ratio = self.take("retryBudget.percent", block.pick(|b| &b.percent), percent, 20.0) / 100.0;
        let range = between(SECOND, 5 * MINUTE);
        let ttl = self.take("retryBudget.interval", block.pick(|b| &b.interval), range, 10 * SECOND);
        let rate = |text: &Text<_>| number(text, 0.0, 1_000.0);
        let floor = self.take("retryBudget.minPerSecond", block.pick(|b| &b.min_per_second), rate, 1.0);
        // Nothing allowed means nothing, also not the tokens to begin with.
        let burst = if ratio == 0.0 && floor == 0.0 { 0 } else { BUDGET_BURST };
        let mode = self.take("retryBudget.mode", block.pick(|b| &b.mode), |mode| Ok(*mode), ObserveMode::Enforce);
        let (max_ratio, observe) = (BUDGET_MAX_RATIO.max(ratio), mode == ObserveMode::Observe);
        BudgetPolicy { ratio, ttl, burst, max_ratio, floor_per_second: floor, observe }
    }

    /// `attempt`: the longest that an attempt of this upstream may take.
    pub(super) fn breaker(
        &mut self,
        block: Layered<'_, raw::CircuitBreaker>,
        attempt: Duration,
    ) -> Option<BreakerPolicy> {
        let given = self.switched_on("circuitBreaker.mode", block);
        let mode = self.take("circuitBreaker.mode", block.pick(|b| &b.mode), |mode| Ok(*mode), Mode::Enforce);
        let open_found = block.pick(|b| &b.open_duration);
        let open = self.take("circuitBreaker.openDuration", open_found, between(100 * MS, 10 * MINUTE), SECOND);
        let most = (30 * SECOND).max(open);
        let found = block.pick(|b| &b.max_open_duration);
        let max_open = self.take("circuitBreaker.maxOpenDuration", found, between(100 * MS, 60 * MINUTE), most);
        if let (true, Some((at, _))) = (open > max_open, open_found) {
            self.refuse(at.position, "openDuration is longer than maxOpenDuration");
        }
        let run = |text: &Text<_>| whole(text, 1, 10_000).map(Some);
        let share = |text: &Text<_>| number(text, 1.0, 100.0);
        let policy = BreakerPolicy {
            window: self.window("circuitBreaker.window", block.pick(|b| &b.window), 10 * SECOND),
            min_requests: self.min_requests("circuitBreaker.minRequests", block.pick(|b| &b.min_requests)),
            failure_percent: self.take(
                "circuitBreaker.failurePercent",
                block.pick(|b| &b.failure_percent),
                share,
                90.0,
            ),
            consecutive_failures: self.take(
                "circuitBreaker.consecutiveFailures",
                block.pick(|b| &b.consecutive_failures),
                run,
                None,
            ),
            slow_call: self.slow_call(block.pick(|b| &b.slow_call)),
            open,
            max_open,
            half_open_requests: self.take(
                "circuitBreaker.halfOpenRequests",
                block.pick(|b| &b.half_open_requests),
                |text| whole(text, 1, 100),
                3,
            ),
            probe_timeout: PROBE_TIMEOUT.min(attempt),
            observe: mode == Mode::Observe,
        };
        (given && mode != Mode::None).then_some(policy)
    }

    fn slow_call(&mut self, found: Found<'_, raw::SlowCall>) -> Option<SlowCall> {
        let (at, layer) = found?;
        if !at.value.threshold.is_given() {
            self.refuse(at.position, "slowCall needs a threshold, such as threshold: 1s");
            return None;
        }
        let threshold = at.value.threshold.get().map(|at| (at, layer));
        let percent = at.value.percent.get().map(|at| (at, layer));
        Some(SlowCall {
            threshold: self.take("circuitBreaker.slowCall.threshold", threshold, between(MS, DAY), SECOND),
            percent: self.take("circuitBreaker.slowCall.percent", percent, |t| number(t, 1.0, 100.0), 80.0),
        })
    }

    /// `request`: the longest `timeouts.request` of the upstream, `breaker`: its mode, None if there is none.
    pub(super) fn throttle(
        &mut self,
        block: Layered<'_, raw::Throttle>,
        request: Duration,
        breaker: Option<&BreakerPolicy>,
    ) -> Option<ThrottlePolicy> {
        let own = if self.switched_on("throttle.mode", block) { Mode::Enforce } else { Mode::None };
        let default = match breaker {
            Some(BreakerPolicy { observe: true, .. }) => Mode::Observe,
            Some(BreakerPolicy { observe: false, .. }) => Mode::Enforce,
            None => own,
        };
        let mode = self.take("throttle.mode", block.pick(|t| &t.mode), |mode| Ok(*mode), default);
        // A window shorter than requests take would see no answers.
        let window = (10 * SECOND).max(2 * request).min(5 * MINUTE);
        let most = |text: &Text<_>| number(text, 0.0, 99.0);
        let policy = ThrottlePolicy {
            k: self.take("throttle.multiplier", block.pick(|t| &t.multiplier), |t| number(t, 1.1, 100.0), 2.0),
            window: self.window("throttle.window", block.pick(|t| &t.window), window),
            max_rejection: self.take(
                "throttle.maxRejectedPercent",
                block.pick(|t| &t.max_rejected_percent),
                most,
                90.0,
            ) / 100.0,
            min_requests: self.min_requests("throttle.minRequests", block.pick(|t| &t.min_requests)),
            observe: mode == Mode::Observe,
        };
        (mode != Mode::None).then_some(policy)
    }

    pub(super) fn ejection(&mut self, block: Layered<'_, raw::Ejection>) -> EjectionPolicy {
        let mode = self.take("ejection.mode", block.pick(|e| &e.mode), |mode| Ok(*mode), ObserveMode::Enforce);
        let base_found = block.pick(|e| &e.base_duration);
        let base = self.take("ejection.baseDuration", base_found, between(100 * MS, 10 * MINUTE), SECOND);
        let found = block.pick(|e| &e.max_duration);
        let max = self.take("ejection.maxDuration", found, between(100 * MS, 60 * MINUTE), (60 * SECOND).max(base));
        if let (true, Some((at, _))) = (base > max, base_found) {
            self.refuse(at.position, "baseDuration is longer than maxDuration");
        }
        let (share, run) = (|t: &Text<_>| number(t, 1.0, 100.0), |t: &Text<_>| whole(t, 1, 10_000));
        let found = block.pick(|e| &e.max_ejected_percent);
        let max_ejected_percent = self.take("ejection.maxEjectedPercent", found, |t| whole(t, 0, 100), 50);
        EjectionPolicy {
            consecutive_failures: self.take(
                "ejection.consecutiveFailures",
                block.pick(|e| &e.consecutive_failures),
                run,
                5,
            ),
            failure_percent: self.take("ejection.failurePercent", block.pick(|e| &e.failure_percent), share, 50.0),
            min_requests: self.min_requests("ejection.minRequests", block.pick(|e| &e.min_requests)),
            window: self.window("ejection.window", block.pick(|e| &e.window), 10 * SECOND),
            base,
            max,
            max_ejected_percent,
            observe: mode == ObserveMode::Observe,
        }
    }

    fn window(&mut self, key: &'static str, found: Found<'_, Text<Time>>, default: Duration) -> Duration {
        self.take(key, found, between(SECOND, 5 * MINUTE), default)
    }

    fn min_requests(&mut self, key: &'static str, found: Found<'_, Text<raw::scalar::Whole>>) -> u32 {
        self.take(key, found, |text| whole(text, 1, 100_000), 20)
    }

    pub(super) fn balance(&mut self, block: Layered<'_, raw::Balance>) -> (Balance, Option<HeaderName>) {
        let by = |by: &BalanceBy| {
            Ok(match by {
                BalanceBy::PeakEwma => Balance::PeakEwma,
                BalanceBy::LeastRequest => Balance::LeastRequest,
                BalanceBy::RoundRobin => Balance::RoundRobin,
                BalanceBy::Hash => Balance::Hash,
            })
        };
        let by_found = block.pick(|b| &b.by);
        let balance = self.take("balance.by", by_found, by, Balance::PeakEwma);
        let header = |text: &Text<_>| match text.text.split_once(':') {
            Some(("header", name)) => {
                let name = HeaderName::try_from(name.trim());
                name.map(Some).map_err(|_| format!("`{}` names no valid header", text.text))
            }
            Some(_) | None => Err(format!("`{}`: write header:NAME", text.text)),
        };
        let on_found = block.pick(|b| &b.hash_on);
        let hash_on = self.take("balance.hashOn", on_found, header, None);
        let hash_on_written = on_found.map(|(at, _)| at.position);
        match (balance, by_found, hash_on_written) {
            (Balance::Hash, Some((at, _)), None) => {
                let finding = Diagnostic::new(Code::HashWithoutKey, at.position, "balance by hash needs a key")
                    .with_note("add hashOn: header:NAME");
                self.report(finding);
            }
            (Balance::PeakEwma | Balance::LeastRequest | Balance::RoundRobin, _, Some(position))
                // A key in `defaults` may be meant for the upstreams that hash.
                if !matches!(on_found, Some((_, Layer::Defaults))) =>
            {
                let finding = Diagnostic::new(Code::HashWithoutKey, position, "hashOn has no effect without by: hash")
                    .with_note("add by: hash, or remove this");
                self.report(finding);
            }
            (Balance::Hash | Balance::PeakEwma | Balance::LeastRequest | Balance::RoundRobin, _, _) => {}
        }
        (balance, if balance == Balance::Hash { hash_on } else { None })
    }

    pub(super) fn limits(&mut self, block: Layered<'_, raw::Limits>, default: Limits) -> Limits {
        let count = |text: &Text<_>| whole(text, 1, 1_000_000);
        let Limits { connections, requests, pending, adaptive, queue } = default;
        Limits {
            adaptive,
            queue,
            connections: self.take("limits.connections", block.pick(|l| &l.connections), count, connections),
            requests: self.take("limits.requests", block.pick(|l| &l.requests), count, requests),
            pending: self.take("limits.pending", block.pick(|l| &l.pending), |t| whole(t, 0, 1_000_000), pending),
        }
    }

    /// How many idle connections per endpoint, and for how long.
    pub(super) fn keep_alive(&mut self, block: Layered<'_, raw::KeepAlive>, limits: Limits) -> (u32, Duration) {
        let count = |text: &Text<_>| whole(text, 0, 1_000_000);
        let connections = self.take("keepAlive.connections", block.pick(|k| &k.connections), count, limits.connections);
        let idle = self.take("keepAlive.idle", block.pick(|k| &k.idle), between(SECOND, 60 * MINUTE), 30 * SECOND);
        (connections, idle)
    }

    /// The nearest of `layers` that is given.
    pub(super) fn proxy_status(
        &mut self,
        layers: &[(&Key<raw::ProxyStatus>, Layer)],
        default: ProxyStatus,
    ) -> ProxyStatus {
        let found = layers.iter().find_map(|(key, layer)| Some((key.get()?, *layer)));
        let read = |status: &raw::ProxyStatus| {
            Ok(match status {
                raw::ProxyStatus::Full => ProxyStatus::Full,
                raw::ProxyStatus::Basic => ProxyStatus::Basic,
                raw::ProxyStatus::None => ProxyStatus::None,
            })
        };
        self.take("proxyStatus", found, read, default)
    }
}
