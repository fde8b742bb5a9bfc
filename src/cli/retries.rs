//! `outrigger retries`: whether they help, and what they cost.

use super::Exit;
use super::client::segment;
use super::print::{self, Align, Table, Tone, cell};
use super::session::{Failure, Session};
use crate::admin::api::{Retries, RetryReport};
use crate::admin::words;

impl Session<'_> {
    pub(super) fn retries(&mut self, upstream: Option<&str>) -> Result<Exit, Failure> {
        let path =
            upstream.map_or_else(|| "/retries".to_owned(), |name| format!("/retries?upstream={}", segment(name)));
        let answer: Retries = self.client.get(&path)?;
        let exit = if answer.retries.iter().any(is_bad) { Exit::Problem } else { Exit::Fine };
        if self.json(&answer)? {
            return Ok(exit);
        }
        if answer.retries.is_empty() {
            writeln!(self.out, "No request has needed a retry yet.")?;
            return Ok(exit);
        }
        let bad = answer.retries.iter().filter(|report| is_bad(report) && report.class.is_some());
        for report in bad.clone() {
            writeln!(self.out, "{}", print::line(&report.text))?;
        }
        if bad.count() > 0 {
            writeln!(self.out)?;
        }
        self.table(&table(&answer.retries))?;
        for report in answer.retries.iter().filter(|report| report.class.is_none()) {
            if let Some(text) = control_group(report) {
                writeln!(self.out, "\n{}", print::line(&text))?;
            }
        }
        Ok(exit)
    }
}

fn is_bad(report: &RetryReport) -> bool {
    matches!(report.verdict.as_str(), "not-helping" | "harmful")
}

fn table(reports: &[RetryReport]) -> Table {
    let mut table = Table::new(&[
        ("ROUTE", Align::Left),
        ("AFTER", Align::Left),
        ("VERDICT", Align::Left),
        ("REQUESTS", Align::Right),
        ("RETRIES", Align::Right),
        ("RESCUED", Align::Right),
        ("OF 100", Align::Right),
        ("LOAD", Align::Right),
        ("COST OF RESCUE", Align::Right),
        ("COST OF FAILURE", Align::Right),
        ("DENIED", Align::Left),
    ]);
    for report in reports {
        let all = report.class.is_none();
        let of_hundred = report.efficiency.map_or_else(
            || "-".to_owned(),
            |_| format!("{:.0}-{:.0}", report.efficiency_low * 100.0, report.efficiency_high * 100.0),
        );
        table.row([
            cell(if all { format!("{}/{}", report.upstream, report.route) } else { String::new() }),
            cell(report.class.clone().unwrap_or_else(|| "all".to_owned())),
            verdict(report),
            cell(if all { words::grouped(report.requests) } else { String::new() }),
            cell(words::grouped(report.retries)),
            cell(words::grouped(report.rescued)),
            cell(of_hundred),
            cell(format!("{:.2}x", report.amplification)),
            cell(tax(report.rescued_tax_p50_ms, report.rescued_tax_p99_ms)),
            cell(tax(report.failed_tax_p50_ms, report.failed_tax_p99_ms)),
            cell(denied(&report.denied)),
        ]);
    }
    table
}

fn verdict(report: &RetryReport) -> (String, Tone) {
    let tone = match report.verdict.as_str() {
        "helping" => Tone::Good,
        "marginal" => Tone::Warn,
        "not-helping" | "harmful" => Tone::Bad,
        _ => Tone::Plain,
    };
    match report.gated {
        true => (format!("{}, probes only", report.verdict), if tone == Tone::Plain { Tone::Warn } else { tone }),
        false => (report.verdict.clone(), tone),
    }
}

/// Time from the first failure to the end: the median, and what one in a hundred exceeds.
fn tax(p50: Option<f64>, p99: Option<f64>) -> String {
    match (p50, p99) {
        (Some(_), Some(_)) => format!("{} / {}", print::milliseconds(p50), print::milliseconds(p99)),
        _ => "-".to_owned(),
    }
}

fn denied(reasons: &[(String, u64)]) -> String {
    if reasons.is_empty() {
        return "-".to_owned();
    }
    let reasons = reasons.iter().map(|(reason, count)| format!("{reason} {}", words::grouped(*count)));
    reasons.collect::<Vec<_>>().join(", ")
}

fn control_group(report: &RetryReport) -> Option<String> {
    let holdout = report.holdout?;
    let name = format!("{}/{}", report.upstream, report.route);
    let (Some(effect), Some(low), Some(high)) =
        (holdout.effect_percent, holdout.effect_low_percent, holdout.effect_high_percent)
    else {
        return Some(format!(
            "Control group of {name}: {}% of its requests; none has needed a retry yet.",
            holdout.percent
        ));
    };
    Some(format!(
        "Control group of {name}: retries add {effect:.1} points of success ({low:.1} to {high:.1}) among requests that need \
         one; {} of {} succeeded with retries, {} of {} without.",
        words::grouped(holdout.treated_succeeded),
        words::grouped(holdout.treated),
        words::grouped(holdout.control_succeeded),
        words::grouped(holdout.control)
    ))
}
