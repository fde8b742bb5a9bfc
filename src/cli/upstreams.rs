//! `outrigger upstreams` and `outrigger budgets`, and the cells that several tables share.

use std::time::Duration;

use super::Exit;
use super::client::segment;
use super::print::{self, Align, Table, Tone, cell};
use super::session::{Failure, Session};
use crate::admin::api::{Budgets, UpstreamBudget, Upstreams};
use crate::admin::words;
use crate::upstreams::view::{
    BREAKER, BUDGET, BudgetView, CircuitView, EJECTION, EndpointView, HedgeView, LimitsView, ObservedView,
    RateLimitView, TotalsView, UpstreamView,
};

/// Header of the column that [`success`] fills.
pub(super) const SUCCESS: &str = "FIRST TRY -> FINAL";
/// The reserved name of the inbound target, which is never retried and has no budget.
const INBOUND: &str = "app";

impl Session<'_> {
    pub(super) fn upstreams(&mut self) -> Result<Exit, Failure> {
        let answer: Upstreams = self.client.get("/upstreams")?;
        if self.json(&answer)? {
            return Ok(Exit::Fine);
        }
        let mut table = Table::new(&[
            ("UPSTREAM", Align::Left),
            ("DIRECTION", Align::Left),
            ("REQUESTS", Align::Right),
            ("FAILED", Align::Right),
            ("REFUSED", Align::Right),
            (SUCCESS, Align::Right),
            ("P50", Align::Right),
            ("P99", Align::Right),
            ("CIRCUIT", Align::Left),
            ("ENDPOINTS", Align::Right),
        ]);
        for view in &answer.upstreams {
            table.row([
                cell(view.name.clone()),
                cell(view.direction.clone()),
                cell(words::grouped(view.totals.requests)),
                cell(words::grouped(view.totals.requests_failed)),
                cell(words::grouped(view.totals.refused)),
                cell(success(&view.totals)),
                cell(print::milliseconds(view.p50_ms)),
                cell(print::milliseconds(view.p99_ms)),
                circuit(view.circuit.as_ref()),
                endpoints_up(view),
            ]);
        }
        self.table(&table)?;
        Ok(Exit::Fine)
    }

    pub(super) fn upstream(&mut self, name: &str) -> Result<Exit, Failure> {
        let view: UpstreamView = self.client.get(&format!("/upstreams/{}", segment(name)))?;
        if self.json(&view)? {
            return Ok(Exit::Fine);
        }
        let text = describe(&view);
        self.out.write_all(text.as_bytes())?;
        let mut table = Table::new(&[
            ("ENDPOINT", Align::Left),
            ("STATE", Align::Left),
            ("LATENCY", Align::Right),
            ("FAILING", Align::Right),
            ("SAMPLES", Align::Right),
            ("PENDING", Align::Right),
            ("CONNECTIONS", Align::Right),
            ("LAST FAILURE", Align::Left),
        ]);
        for endpoint in &view.endpoints {
            table.row([
                cell(endpoint.address.clone()),
                endpoint_state(endpoint),
                cell(print::milliseconds(Some(endpoint.ewma_ms))),
                cell(words::percent(endpoint.failure_percent)),
                cell(words::grouped(u64::from(endpoint.samples))),
                cell(endpoint.pending.to_string()),
                cell(format!("{} ({} idle)", endpoint.open_connections, endpoint.idle_connections)),
                cell(endpoint.last_failure.clone().unwrap_or_else(|| "-".to_owned())),
            ]);
        }
        self.table(&table)?;
        Ok(Exit::Fine)
    }

    pub(super) fn budgets(&mut self, upstream: Option<&str>) -> Result<Exit, Failure> {
        let budgets: Vec<UpstreamBudget> = match upstream {
            None => self.client.get::<Budgets>("/budgets")?.budgets,
            Some(name) => {
                // One by name, so that a wrong name is answered with the right ones.
                let view: UpstreamView = self.client.get(&format!("/upstreams/{}", segment(name)))?;
                vec![UpstreamBudget { upstream: view.name, budget: view.budget, totals: view.totals }]
            }
        };
        let answer = Budgets { budgets };
        if self.json(&answer)? {
            return Ok(Exit::Fine);
        }
        let mut table = Table::new(&[
            ("UPSTREAM", Align::Left),
            ("REQUESTS", Align::Right),
            ("ATTEMPTS", Align::Right),
            ("LOAD", Align::Right),
            (SUCCESS, Align::Right),
            ("RETRIES", Align::Right),
            ("RESCUED", Align::Right),
            ("BUDGET", Align::Right),
            ("DENIED", Align::Left),
        ]);
        for UpstreamBudget { upstream, budget: left, totals } in &answer.budgets {
            table.row([
                cell(upstream.clone()),
                cell(words::grouped(totals.requests)),
                cell(words::grouped(totals.attempts)),
                cell(load(totals)),
                cell(success(totals)),
                cell(words::grouped(totals.retries)),
                cell(words::grouped(totals.rescued)),
                budget(upstream, left),
                cell(denied(totals)),
            ]);
        }
        self.table(&table)?;
        Ok(Exit::Fine)
    }
}

fn describe(view: &UpstreamView) -> String {
    let mut text = format!("{} ({})\n", print::line(&view.name), print::line(&view.direction));
    let mut fact = |name: &str, value: String| text.push_str(&format!("  {name:<10} {}\n", print::line(&value)));
    fact(
        "requests",
        format!("{}, success {} (first try -> final)", words::grouped(view.totals.requests), success(&view.totals)),
    );
    fact("latency", format!("p50 {}, p99 {}", print::milliseconds(view.p50_ms), print::milliseconds(view.p99_ms)));
    fact(
        "retries",
        format!(
            "{}, rescued {}, load {}, denied {}",
            words::grouped(view.totals.retries),
            words::grouped(view.totals.rescued),
            load(&view.totals),
            denied(&view.totals)
        ),
    );
    for hedges in &view.hedges {
        fact("hedges", self::hedges(hedges));
    }
    fact("budget", budget(&view.name, &view.budget).0);
    fact("circuit", circuit(view.circuit.as_ref()).0);
    fact("limits", limits(&view.limits));
    if !view.limits.shed.is_empty() {
        fact("shed", shed(&view.limits));
    }
    for limit in &view.rate_limits {
        fact("rate limit", rate_limit(limit));
    }
    for observed in &view.observed {
        fact("observed", would(observed));
    }
    let age = words::whole(view.endpoint_set_age_seconds);
    fact("endpoints", format!("{} up, set unchanged for {age}", endpoints_up(view).0));
    let zoned = view.endpoints.iter().filter(|endpoint| endpoint.zone.is_some()).count();
    if zoned > 0 {
        let near: Vec<&EndpointView> =
            view.endpoints.iter().filter(|endpoint| endpoint.zone.as_deref() == Some("local")).collect();
        let well = near.iter().filter(|endpoint| !endpoint.sits_out()).count();
        fact("zone", format!("{} of {zoned} endpoints are in our zone, {well} of these up", near.len()));
    }
    if view.checks_ignored {
        fact("checks", "most endpoints fail them, so they are ignored".to_owned());
    }
    if let Some(error) = &view.resolve_error {
        fact("resolving", format!("failed, last good set is kept: {error}"));
    }
    text.push('\n');
    text
}

fn hedges(hedges: &HedgeView) -> String {
    let suppressed: Vec<String> =
        hedges.suppressed.iter().map(|(why, count)| format!("{why} {}", words::grouped(*count))).collect();
    let held = if suppressed.is_empty() { String::new() } else { format!(" Not sent: {}.", suppressed.join(", ")) };
    format!("{}: {}{held}", hedges.route, hedges.sentence())
}

/// How many are in flight and wait, and the limit that was found.
fn limits(limits: &LimitsView) -> String {
    let (in_flight, pending) = (limits.in_flight, limits.pending);
    let mut text = format!("in flight {in_flight}/{}, pending {pending}/{}", limits.in_flight_max, limits.pending_max);
    if let Some(found) = &limits.found {
        let limit = found.limit;
        text.push_str(&match found.mode.as_str() {
            "enforce" => format!(", limit found and in force {limit}"),
            _ => format!(", limit found {limit} (observed only)"),
        });
    }
    text
}

/// Who got no slot, the most important first, and who would have got none.
fn shed(limits: &LimitsView) -> String {
    let of = |mode: &str| {
        let mut classes: Vec<(&str, Vec<String>)> = Vec::new();
        for shed in limits.shed.iter().rev().filter(|shed| shed.mode == mode) {
            let reason = format!("{} {}", shed.reason, words::grouped(shed.count));
            match classes.last_mut().filter(|(class, _)| *class == shed.class) {
                Some((_, reasons)) => reasons.push(reason),
                None => classes.push((&shed.class, vec![reason])),
            }
        }
        classes.iter().map(|(class, reasons)| format!("{class}: {}", reasons.join(", "))).collect::<Vec<_>>()
    };
    let (enforced, observed) = (of("enforce"), of("observe"));
    let would = (!observed.is_empty()).then(|| format!("would shed {}", observed.join(", ")));
    let did = (!enforced.is_empty()).then(|| enforced.join(", "));
    did.into_iter().chain(would).collect::<Vec<_>>().join("; ")
}

fn rate_limit(limit: &RateLimitView) -> String {
    let burst = if limit.burst == 0 { String::new() } else { format!(" and a burst of {}", limit.burst) };
    let (many, would) = match limit.mode.as_str() {
        "observe" => (limit.would_refuse, "would have refused"),
        _ => (limit.refused, "refused"),
    };
    let requests = if many == 1 { "request" } else { "requests" };
    let last = limit.last_seconds_ago.map_or_else(String::new, |ago| format!(", the last one {}", words::ago(ago)));
    format!(
        "route {}: {} per {}{burst} by {}; {would} {} {requests}{last}",
        limit.route,
        words::grouped(u64::from(limit.requests)),
        limit.per,
        limit.by,
        words::grouped(many),
    )
}

/// What a mechanism in mode observe has kept itself from doing.
fn would(observed: &ObservedView) -> String {
    let count = words::grouped(observed.count);
    match observed.mechanism.as_str() {
        EJECTION => format!("ejection would have taken out an endpoint {count} times"),
        BUDGET => format!("the retry budget would have denied {count} retries"),
        BREAKER => format!("the circuit breaker would have refused {count} attempts"),
        other => format!("the {other} would have refused {count} requests and retries"),
    }
}

/// First try -> final, as clients saw it. What was refused unsent is a success of neither.
pub(super) fn success(totals: &TotalsView) -> String {
    if totals.requests == 0 {
        return "-".to_owned();
    }
    let last = totals.requests.saturating_sub(totals.requests_failed);
    let first = last.saturating_sub(totals.rescued);
    format!("{} -> {}", words::share(first, totals.requests), words::share(last, totals.requests))
}

/// Attempts per request: actual against effective.
fn load(totals: &TotalsView) -> String {
    if totals.requests == 0 {
        return "-".to_owned();
    }
    format!("{:.2}x", totals.attempts as f64 / totals.requests as f64)
}

fn denied(totals: &TotalsView) -> String {
    if totals.denied.is_empty() {
        return "-".to_owned();
    }
    let reasons = totals.denied.iter().map(|(reason, count)| format!("{reason} {}", words::grouped(*count)));
    reasons.collect::<Vec<_>>().join(", ")
}

pub(super) fn circuit(circuit: Option<&CircuitView>) -> (String, Tone) {
    let Some(circuit) = circuit else { return cell("-") };
    let tone = match circuit.state.as_str() {
        "closed" => Tone::Good,
        "half-open" => Tone::Warn,
        _ => Tone::Bad,
    };
    match &circuit.held {
        Some(held) => (format!("held {held}"), if held == "open" { Tone::Bad } else { Tone::Warn }),
        None => (circuit.state.clone(), tone),
    }
}

pub(super) fn budget(upstream: &str, budget: &BudgetView) -> (String, Tone) {
    if upstream == INBOUND {
        return cell("-");
    }
    if budget.gated {
        return ("probes only".to_owned(), Tone::Warn);
    }
    let tone = if budget.remaining_ratio < 0.1 { Tone::Warn } else { Tone::Plain };
    (words::percent(budget.remaining_ratio * 100.0), tone)
}

pub(super) fn endpoints_up(view: &UpstreamView) -> (String, Tone) {
    let total = view.endpoints.len();
    let up = view.endpoints.iter().filter(|endpoint| !endpoint.sits_out()).count();
    let tone = match (up, view.panic || view.checks_ignored) {
        (0, _) | (_, true) => Tone::Bad,
        (up, false) if up < total => Tone::Warn,
        _ => Tone::Plain,
    };
    (format!("{up}/{total}"), tone)
}

fn endpoint_state(endpoint: &EndpointView) -> (String, Tone) {
    match endpoint.ejected_for_ms {
        Some(ms) => (format!("out for {}", words::span(Duration::from_millis(ms))), Tone::Warn),
        None => match &endpoint.health {
            Some(health) if health.state == "unhealthy" => {
                let cause = health.cause.as_deref().map_or_else(String::new, |cause| format!(" ({cause})"));
                let word = if health.sits_out { "out" } else { "up" };
                (print::line(&format!("{word}, fails its checks{cause}")), Tone::Warn)
            }
            Some(health) if health.state == "unknown" => ("up, not checked yet".to_owned(), Tone::Good),
            Some(_) | None => ("up".to_owned(), Tone::Good),
        },
    }
}
