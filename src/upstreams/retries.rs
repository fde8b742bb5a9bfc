//! The ledgers of retries as the shell keeps them: a number for every route that retries, and what they say.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use super::view::HedgeView;
use super::{Event, Upstream};
use crate::policy::RoutePolicy;
use crate::reliability::efficacy::{Change, Harm, Report, RouteNumber};
use crate::reliability::hedge::HedgePolicy;

/// Numbers of routes, by name; a name keeps its number for as long as each policy has it.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    by_name: HashMap<Arc<str>, RouteNumber>,
    next: u32,
}

impl Numbers {
    /// Parallel to `routes`; `None` for those that neither retry nor hedge.
    fn assign(&mut self, routes: &[RoutePolicy]) -> Vec<Option<RouteNumber>> {
        let mut before = std::mem::take(&mut self.by_name);
        let mut number = |route: &RoutePolicy| {
            if route.retry.retries == 0 && route.hedge.is_none() {
                return None;
            }
            let number = before.remove(&route.name).unwrap_or_else(|| {
                self.next = self.next.wrapping_add(1);
                RouteNumber(self.next)
            });
            self.by_name.insert(Arc::clone(&route.name), number);
            Some(number)
        };
        routes.iter().map(&mut number).collect()
    }
}

/// What is known of the retries of one route.
#[derive(Clone, Debug)]
pub struct RouteRetries {
    /// Its name.
    pub route: Arc<str>,
    /// `retry.holdoutPercent`.
    pub holdout_percent: f64,
    /// All classes of failures together, then each; empty if nothing ever failed.
    pub reports: Vec<Report>,
}

impl Upstream {
    /// Ledgers for these routes: kept where the name stays, begun where it is new, forgotten where it is gone.
    pub(super) fn keep_ledgers(&self, routes: &[RoutePolicy], now: Instant) -> Vec<Option<RouteNumber>> {
        let numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner).assign(routes);
        let hedged = numbers.iter().zip(routes).filter_map(|(number, route)| number.filter(|_| route.hedge.is_some()));
        let hedged: Vec<RouteNumber> = hedged.collect();
        self.decide(|dependency| {
            dependency.efficacy.keep(now, numbers.iter().flatten().copied());
            dependency.hedges.keep(now, hedged);
        });
        numbers
    }

    /// Routes with something to say. `routes` are those of the policy in force.
    pub fn retries(&self, routes: &[RoutePolicy], now: Instant) -> Vec<RouteRetries> {
        let numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let numbered = |route: &RoutePolicy| {
            let number = *numbers.by_name.get(&route.name)?;
            Some((Arc::clone(&route.name), route.retry.holdout_percent, number))
        };
        let routes: Vec<_> = routes.iter().filter_map(numbered).collect();
        drop(numbers);
        let told = routes.into_iter().map(|(route, holdout_percent, number)| {
            // Route by route: summing up the windows of all of them would keep requests waiting.
            let reports = self.lock().efficacy.reports(now, number);
            RouteRetries { route, holdout_percent, reports }
        });
        told.filter(|route| !route.reports.is_empty()).collect()
    }

    /// What hedges of these routes have come to, where they may be hedged.
    pub(super) fn hedge_views(&self, routes: &[RoutePolicy], now: Instant) -> Vec<HedgeView> {
        let hedged = routes.iter().filter_map(|route| Some((route, route.hedge.as_ref()?)));
        let numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let numbered: Vec<_> =
            hedged.filter_map(|(r, hedge)| Some((r, hedge, *numbers.by_name.get(&r.name)?))).collect();
        drop(numbers);
        let view = |(route, hedge, number): (&RoutePolicy, &HedgePolicy, RouteNumber)| {
            let report = self.lock().hedges.report(now, number, hedge)?;
            Some(HedgeView::new(&route.name, hedge, &report))
        };
        numbered.into_iter().filter_map(view).collect()
    }

    /// Judges all ledgers anew. `harm` is asked for only if there is anything to judge.
    pub fn review_retries(&self, now: Instant, harm: impl FnOnce() -> Harm) {
        if self.lock().efficacy.is_quiet() {
            return;
        }
        let harm = harm();
        self.decide(|dependency| dependency.efficacy.review(now, harm));
    }

    /// Tells a change of a verdict. Not under the lock of the dependency.
    pub(super) fn tell_verdict(&self, change: Change) {
        let numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let named = numbers.by_name.iter().find(|(_, number)| **number == change.route);
        let Some(route) = named.map(|(name, _)| Arc::clone(name)) else { return };
        drop(numbers);
        (self.events)(Event::Retries { upstream: Arc::clone(&self.name), route, change });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::compile::load;

    fn routes(names: &[&str]) -> Vec<RoutePolicy> {
        let route = |name: &&str| format!("    - {{ name: {name}, match: {{ path: /{name} }} }}\n");
        let routes: String = names.iter().map(route).collect();
        let text = format!(
            "version: 1\nupstreams:\n  up:\n    url: http://127.0.0.1:1\n    retry: {{}}\n    routes:\n{routes}    \
             - {{ name: never, match: {{ path: /never }}, retry: {{ attempts: 0 }} }}\n"
        );
        let mut policy = load("p.yaml", &text).unwrap_or_else(|errors| panic!("{errors}")).policy;
        policy.upstreams.remove(0).routes
    }

    #[test]
    fn a_route_keeps_its_number_while_its_name_stays_and_no_number_is_used_twice() {
        let mut numbers = Numbers::default();
        let first = numbers.assign(&routes(&["a", "b"]));
        assert_eq!(first, [Some(RouteNumber(1)), Some(RouteNumber(2)), None, Some(RouteNumber(3))]);
        let second = numbers.assign(&routes(&["c", "b"]));
        assert_eq!(second, [Some(RouteNumber(4)), Some(RouteNumber(2)), None, Some(RouteNumber(3))]);
        let third = numbers.assign(&routes(&["a"]));
        assert_eq!(third, [Some(RouteNumber(5)), None, Some(RouteNumber(3))]);
        assert_eq!(numbers.by_name.len(), 2);
    }
}
