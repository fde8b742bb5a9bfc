//! The ledger of one route: its requests, and a class for every way in which they failed.

use super::class::Class;
use super::counts::{Counts, Tries};
use super::harm::Harm;
use super::holdout::Control;
use super::{FailureClass, Helpfulness, WINDOW};
use crate::reliability::window::Window;
use std::time::Instant;

/// About 300 bytes while nothing fails.
#[derive(Clone, Debug)]
pub(super) struct Route {
    /// A window fits 2^32 requests in each of its slots.
    pub requests: Window<u32>,
    classes: [Option<Box<Class>>; FailureClass::ALL.len()],
}

/// What is known of a route's retries: after one class of failure, or after all.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// None = all classes together.
    pub class: Option<FailureClass>,
    /// Whether they help.
    pub verdict: Helpfulness,
    /// Whether they are held to probes. Of all classes: whether any is.
    pub held: bool,
    /// Requests of the route in the window.
    pub requests: u64,
    /// Retries in the window.
    pub tries: Tries,
    /// All else in the window.
    pub counts: Counts,
    /// Retries since the route was first seen.
    pub all_tries: Tries,
    /// All else since then.
    pub all_counts: Counts,
    /// Treated and held out, since then.
    pub control: Control,
}

impl Route {
    pub fn new(now: Instant) -> Self {
        Route { requests: Window::new(now, WINDOW), classes: [const { None }; FailureClass::ALL.len()] }
    }

    /// The class, made if this is its first failure.
    pub fn class_mut(&mut self, now: Instant, class: FailureClass) -> &mut Class {
        self.classes[class as usize].get_or_insert_with(|| Box::new(Class::new(now)))
    }

    pub fn class(&self, class: FailureClass) -> Option<&Class> {
        self.classes[class as usize].as_deref()
    }

    pub fn classes_mut(&mut self) -> impl Iterator<Item = (FailureClass, &mut Class)> {
        FailureClass::ALL.into_iter().zip(&mut self.classes).filter_map(|(class, of)| Some((class, of.as_deref_mut()?)))
    }

    pub fn classes(&self) -> impl Iterator<Item = (FailureClass, &Class)> {
        FailureClass::ALL.into_iter().zip(&self.classes).filter_map(|(class, of)| Some((class, of.as_deref()?)))
    }

    /// All classes together, then each; empty if nothing ever failed.
    pub fn reports(&self, now: Instant) -> Vec<Report> {
        let requests = self.requests.read(now).into();
        let report = |(class, of): (FailureClass, &Class)| Report {
            class: Some(class),
            verdict: of.verdict(),
            held: of.is_held(),
            requests,
            tries: of.tries(now),
            counts: of.counts(now),
            all_tries: of.all_tries,
            all_counts: of.all_counts,
            control: of.control,
        };
        let mut reports: Vec<Report> = self.classes().map(report).collect();
        if let Some(sum) = together(&reports) {
            reports.insert(0, sum);
        }
        reports
    }
}

fn together(classes: &[Report]) -> Option<Report> {
    let mut sum = Report { class: None, ..classes.first()?.clone() };
    for report in &classes[1..] {
        sum.held |= report.held;
        sum.tries += report.tries;
        sum.counts += report.counts;
        sum.all_tries += report.all_tries;
        sum.all_counts += report.all_counts;
        sum.control += report.control;
    }
    // Probes are too few for a verdict of their own: where nothing but probes is left, theirs is that of the hold.
    let mut tried = classes.iter().filter(|report| report.tries.retries() > 0).peekable();
    let held = tried.peek().is_some() && tried.all(|report| report.held);
    sum.verdict = match classes.iter().map(|report| report.verdict).max() {
        Some(worst) if held => worst,
        _ => Helpfulness::of(&sum.tries, Harm::default()),
    };
    Some(sum)
}
