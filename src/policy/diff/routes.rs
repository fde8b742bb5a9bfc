//! Differences among the routes of one upstream.

use std::collections::HashMap;

use super::{Change, Difference, Kind, Side, differences};
use crate::policy::effective::{self, Setting, WorstCase};
use crate::policy::routes::RouteMatch;
use crate::policy::{Direction, RoutePolicy};

/// Routes named in one line; beyond them only their number.
const NAMES_MAX: usize = 5;

impl Side<'_> {
    /// None for the default route.
    fn wanted(&self, route: usize) -> Option<&RouteMatch> {
        self.reach.and_then(|reach| reach.entry.routes.get(route))
    }
}

/// A line for all routes that change in the same way: a value of the upstream reaches all of them.
pub(super) fn changes(was: &Side<'_>, is: &Side<'_>) -> Vec<Change> {
    let before: HashMap<&str, usize> = numbers(&was.upstream.routes);
    let after: HashMap<&str, usize> = numbers(&is.upstream.routes);
    let mut groups = Groups::default();
    let mut treatments = Treatments { direction: is.upstream.direction, last: None };
    for (number, route) in is.upstream.routes.iter().enumerate() {
        let change = match before.get(&*route.name).and_then(|n| Some((*n, was.upstream.routes.get(*n)?))) {
            Some((n, old)) => {
                let mut settings = match_difference(was.wanted(n), is.wanted(number));
                settings.extend(treatments.differences(old, route));
                let (old, new) = (effective::worst_case(was.upstream, old), effective::worst_case(is.upstream, route));
                compared(settings, old, new)
            }
            None => {
                let mut settings = match_difference(None, is.wanted(number));
                settings.extend(deduplication(None, Some(route)));
                settings.extend(letters(None, Some(route)));
                Some(Change { kind: Kind::Added, ..empty(settings) })
            }
        };
        if let Some(change) = change {
            groups.add(change, &route.name);
        }
    }
    for route in was.upstream.routes.iter().filter(|route| !after.contains_key(&*route.name)) {
        let settings = deduplication(Some(route), None).into_iter().chain(letters(Some(route), None)).collect();
        groups.add(Change { kind: Kind::Removed, ..empty(settings) }, &route.name);
    }
    let upstream = &is.upstream.name;
    let named =
        |(change, names): (Change, Vec<&str>)| Change { subject: format!("{upstream}/{}", list(&names)), ..change };
    groups.in_order.into_iter().map(named).collect()
}

fn numbers(routes: &[RoutePolicy]) -> HashMap<&str, usize> {
    routes.iter().enumerate().map(|(number, route)| (&*route.name, number)).collect()
}

/// Changes without their subject, and the routes of each, in the order in which they were met first.
#[derive(Default)]
struct Groups<'a> {
    in_order: Vec<(Change, Vec<&'a str>)>,
    index: HashMap<Change, usize>,
}

impl<'a> Groups<'a> {
    fn add(&mut self, change: Change, route: &'a str) {
        match self.index.get(&change).and_then(|index| self.in_order.get_mut(*index)) {
            Some((_, routes)) => routes.push(route),
            None => {
                self.index.insert(change.clone(), self.in_order.len());
                self.in_order.push((change, vec![route]));
            }
        }
    }
}

/// Differences in what is done with the requests of a route. Most routes are treated like the one before, and
/// then nothing is printed to be compared.
struct Treatments<'a> {
    direction: Direction,
    last: Option<(&'a RoutePolicy, &'a RoutePolicy, Vec<Difference>)>,
}

impl<'a> Treatments<'a> {
    fn differences(&mut self, old: &'a RoutePolicy, new: &'a RoutePolicy) -> Vec<Difference> {
        if is_treated_alike(old, new) {
            return Vec::new();
        }
        if let Some((last_old, last_new, found)) = &self.last
            && is_treated_alike(last_old, old)
            && is_treated_alike(last_new, new)
        {
            return found.clone();
        }
        let found = differences(&effective::route(self.direction, old), &effective::route(self.direction, new));
        self.last = Some((old, new, found.clone()));
        found
    }
}

/// Equal but for the name. Taken apart without `..`, so that a new field cannot be forgotten.
fn is_treated_alike(a: &RoutePolicy, b: &RoutePolicy) -> bool {
    let RoutePolicy {
        name: _,
        timeouts,
        retry,
        hedge,
        replay_body_max,
        deadline,
        priority,
        proxy_status,
        idempotency,
        dead_letter,
        rate_limit,
    } = a;
    *timeouts == b.timeouts
        && *retry == b.retry
        && *hedge == b.hedge
        && *replay_body_max == b.replay_body_max
        && *deadline == b.deadline
        && *priority == b.priority
        && *proxy_status == b.proxy_status
        && *idempotency == b.idempotency
        && *dead_letter == b.dead_letter
        && *rate_limit == b.rate_limit
}

/// Of a route that comes or goes: whether its duplicates are recognised.
fn deduplication(old: Option<&RoutePolicy>, new: Option<&RoutePolicy>) -> Option<Difference> {
    let store = |route: Option<&RoutePolicy>| Some(route?.idempotency.as_ref()?.store.as_str().to_owned());
    let (old, new) = (store(old), store(new));
    (old != new).then_some(Difference { key: "idempotency.store", old, new })
}

/// Of a route that comes or goes: whether what fails is kept.
fn letters(old: Option<&RoutePolicy>, new: Option<&RoutePolicy>) -> Option<Difference> {
    let queue = |route: Option<&RoutePolicy>| Some(route?.dead_letter.as_ref()?.queue.to_string());
    let (old, new) = (queue(old), queue(new));
    (old != new).then_some(Difference { key: "deadLetter.queue", old, new })
}

fn match_difference(old: Option<&RouteMatch>, new: Option<&RouteMatch>) -> Vec<Difference> {
    if old == new {
        return Vec::new();
    }
    let setting = |wanted: &RouteMatch| Setting { key: "match", value: effective::match_text(wanted) };
    differences(old.map(setting).as_slice(), new.map(setting).as_slice())
}

fn empty(settings: Vec<Difference>) -> Change {
    Change { subject: String::new(), kind: Kind::Changed, settings, load: None, wait_ms: None }
}

fn compared(settings: Vec<Difference>, was: WorstCase, is: WorstCase) -> Option<Change> {
    let ms = |case: WorstCase| u64::try_from(case.wait.as_millis()).unwrap_or(u64::MAX);
    let change = Change {
        load: (was.load != is.load).then_some((was.load, is.load)),
        wait_ms: (was.wait != is.wait).then_some((ms(was), ms(is))),
        ..empty(settings)
    };
    (!change.settings.is_empty() || change.load.is_some() || change.wait_ms.is_some()).then_some(change)
}

fn list(names: &[&str]) -> String {
    match names {
        [one] => (*one).to_owned(),
        few if few.len() <= NAMES_MAX => format!("{{{}}}", few.join(", ")),
        many => format!("{{{}, and {} more}}", many[..NAMES_MAX].join(", "), many.len() - NAMES_MAX),
    }
}
