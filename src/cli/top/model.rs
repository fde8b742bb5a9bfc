//! What was seen of the process, second by second, and what the user looks at.

use std::cmp::Ordering;
use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use serde::Serialize;

use super::keys::Key;
use crate::admin::api::{RequestLine, Requests, Retries, Status};
use crate::upstreams::view::UpstreamView;

/// Looks that are remembered: a minute.
const LOOKS_MAX: usize = 60;
/// Looks that the share of successes is of.
const RECENT: usize = 10;

/// One look at the process.
pub(super) struct Seen {
    pub status: Status,
    pub retries: Retries,
    /// Of the dependency that is opened.
    pub troubled: Option<Requests>,
    pub at: Instant,
}

/// What a key led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heed {
    Go,
    Quit,
}

/// By which column rows are sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sort {
    Name,
    #[default]
    Rate,
    Success,
    P99,
    InFlight,
    Retries,
}

impl Sort {
    const ALL: [Sort; 6] = [Sort::Name, Sort::Rate, Sort::Success, Sort::P99, Sort::InFlight, Sort::Retries];

    fn step(self, by: isize) -> Sort {
        let at = Sort::ALL.iter().position(|sort| *sort == self).unwrap_or(0);
        let next = at.saturating_add(Sort::ALL.len().saturating_add_signed(by)) % Sort::ALL.len();
        Sort::ALL.get(next).copied().unwrap_or_default()
    }

    fn compare(self, a: &Row, b: &Row) -> Ordering {
        let down = |a: f64, b: f64| b.total_cmp(&a);
        match self {
            Sort::Name => a.name.cmp(&b.name),
            Sort::Rate => down(a.rate, b.rate),
            // The worst first; those without requests last.
            Sort::Success => a.success_percent.unwrap_or(101.0).total_cmp(&b.success_percent.unwrap_or(101.0)),
            Sort::P99 => down(a.p99_ms.unwrap_or(-1.0), b.p99_ms.unwrap_or(-1.0)),
            Sort::InFlight => b.in_flight.cmp(&a.in_flight),
            Sort::Retries => down(a.retries, b.retries),
        }
    }
}

/// One dependency, with rates per second.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    pub name: String,
    pub direction: String,
    /// Requests per second since the last look.
    pub rate: f64,
    /// Of the last ten seconds.
    pub success_percent: Option<f64>,
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    pub in_flight: u32,
    pub in_flight_max: u32,
    /// `-` without a breaker.
    pub circuit: String,
    /// Retries per second since the last look.
    pub retries: f64,
    /// What retries achieve, if that is known: a word of `GET /retries`.
    pub verdict: Option<String>,
    /// Requests per second of the last minute, oldest first.
    pub history: Vec<f64>,
}

/// Counters at a moment.
#[derive(Clone, Copy)]
struct Counts {
    at: Instant,
    requests: u64,
    failed: u64,
    retries: u64,
}

/// What happened between two looks, per second.
#[derive(Clone, Copy)]
struct Second {
    requests: f64,
    failed: f64,
    retries: f64,
}

#[derive(Default)]
struct History {
    last: Option<Counts>,
    seconds: VecDeque<Second>,
}

impl History {
    fn take_in(&mut self, view: &UpstreamView, at: Instant) {
        let totals = &view.totals;
        let now = Counts { at, requests: totals.requests, failed: totals.requests_failed, retries: totals.retries };
        let Some(last) = self.last.replace(now) else { return };
        let took = at.saturating_duration_since(last.at).as_secs_f64();
        if took <= 0.0 {
            return;
        }
        // Counters of a process that was restarted begin anew: nothing is known of the time between.
        let rate = |now: u64, last: u64| now.saturating_sub(last) as f64 / took;
        self.seconds.push_back(Second {
            requests: rate(now.requests, last.requests),
            failed: rate(now.failed, last.failed),
            retries: rate(now.retries, last.retries),
        });
        if self.seconds.len() > LOOKS_MAX {
            self.seconds.pop_front();
        }
    }

    fn success_percent(&self) -> Option<f64> {
        let recent = self.seconds.iter().rev().take(RECENT);
        let (requests, failed) = recent.fold((0.0, 0.0), |(all, bad), s| (all + s.requests, bad + s.failed));
        (requests > 0.0).then(|| (100.0 * (1.0 - failed / requests)).clamp(0.0, 100.0))
    }
}

/// All of it.
#[derive(Default)]
pub(super) struct Model {
    status: Option<Status>,
    retries: Vec<crate::admin::api::RetryReport>,
    troubled: Vec<RequestLine>,
    histories: HashMap<(String, String), History>,
    /// Why nothing new is shown.
    pub problem: Option<String>,
    pub sort: Sort,
    pub help: bool,
    selected: usize,
    opened: Option<String>,
}

impl Model {
    /// A look.
    pub fn take_in(&mut self, seen: Seen) {
        let upstreams = &seen.status.upstreams;
        let known = |key: &(String, String)| upstreams.iter().any(|view| view.direction == key.0 && view.name == key.1);
        self.histories.retain(|key, _| known(key));
        for view in upstreams {
            let key = (view.direction.clone(), view.name.clone());
            self.histories.entry(key).or_default().take_in(view, seen.at);
        }
        self.problem = None;
        self.retries = seen.retries.retries;
        self.troubled = seen.troubled.map(|listed| listed.requests).unwrap_or_default();
        self.status = Some(seen.status);
        self.selected = self.selected.min(self.count().saturating_sub(1));
    }

    /// The process does not answer.
    pub fn lost(&mut self, why: String) {
        self.problem = Some(why);
    }

    pub fn status(&self) -> Option<&Status> {
        self.status.as_ref()
    }

    pub fn retries(&self) -> &[crate::admin::api::RetryReport] {
        &self.retries
    }

    pub fn troubled(&self) -> &[RequestLine] {
        &self.troubled
    }

    /// The dependency that is looked into.
    pub fn opened(&self) -> Option<&str> {
        self.opened.as_deref()
    }

    pub fn selected(&self) -> usize {
        self.selected
    }

    fn count(&self) -> usize {
        self.status.as_ref().map_or(0, |status| status.upstreams.len())
    }

    /// Sorted.
    pub fn rows(&self) -> Vec<Row> {
        let upstreams = self.status.iter().flat_map(|status| &status.upstreams);
        let mut rows: Vec<Row> = upstreams.map(|view| self.row(view)).collect();
        rows.sort_by(|a, b| self.sort.compare(a, b));
        rows
    }

    fn row(&self, view: &UpstreamView) -> Row {
        let history = self.histories.get(&(view.direction.clone(), view.name.clone()));
        let last = history.and_then(|history| history.seconds.back());
        let verdict = self.retries.iter().find(|report| report.upstream == view.name && report.class.is_none());
        Row {
            name: view.name.clone(),
            direction: view.direction.clone(),
            rate: last.map_or(0.0, |second| second.requests),
            success_percent: history.and_then(History::success_percent),
            p50_ms: view.p50_ms,
            p99_ms: view.p99_ms,
            in_flight: view.limits.in_flight,
            in_flight_max: view.limits.in_flight_max,
            circuit: view.circuit.as_ref().map_or_else(|| "-".to_owned(), |circuit| circuit.state.clone()),
            retries: last.map_or(0.0, |second| second.retries),
            verdict: verdict.map(|report| report.verdict.clone()),
            history: history.map_or_else(Vec::new, |h| h.seconds.iter().map(|second| second.requests).collect()),
        }
    }

    /// A key was pressed.
    pub fn press(&mut self, key: Key) -> Heed {
        if matches!(key, Key::Letter('q') | Key::Interrupt) {
            return Heed::Quit;
        }
        if self.help {
            self.help = false;
            return Heed::Go;
        }
        match key {
            Key::Letter('?' | 'h') => self.help = true,
            Key::Back => self.opened = None,
            Key::Letter('s') | Key::Tab | Key::Right => self.sort = self.sort.step(1),
            Key::Left => self.sort = self.sort.step(-1),
            Key::Up | Key::Letter('k') => self.selected = self.selected.saturating_sub(1),
            Key::Down | Key::Letter('j') => {
                self.selected = (self.selected + 1).min(self.count().saturating_sub(1));
            }
            Key::Enter if self.opened.is_some() => self.opened = None,
            Key::Enter => self.opened = self.rows().get(self.selected).map(|row| row.name.clone()),
            Key::Letter(_) | Key::Interrupt => {}
        }
        Heed::Go
    }
}
