//! Lines of text from what was seen: nothing here knows a terminal.

use super::model::{Model, Row, Sort};
use crate::admin::api::{Condition, RequestLine, Status, Verdict};
use crate::admin::words;
use crate::cli::print::{self, Tone};
use crate::upstreams::view::{EndpointView, UpstreamView};

/// Verdicts at the top.
const VERDICTS_MAX: usize = 5;
/// Longest name of a dependency in the table.
const NAME_MAX: usize = 22;
/// Columns before the history.
const TABLE_COLUMNS: usize = NAME_MAX + 63;
/// A shorter history says nothing.
const HISTORY_MIN: usize = 8;
/// Without a terminal.
const PLAIN_COLUMNS: usize = 146;

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

const HELP: [&str; 9] = [
    "q, Ctrl-C     end",
    "s, Tab, right sort by the next column; left: by the one before",
    "up, down      choose a dependency (also k, j)",
    "Enter         look into it: endpoints, retries, its last troubled requests",
    "Esc           back",
    "?             this text; any key closes it",
    "",
    "REQ/S and RETRY/S are of the last second, OK of the last ten, P50 and P99 of successful attempts.",
    "Then: `outrigger why --last --upstream NAME` tells the life of its last troubled request.",
];

/// Of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli::top) struct Size {
    pub columns: usize,
    pub rows: usize,
}

/// A line and how it looks.
struct Line {
    text: String,
    tone: Tone,
    chosen: bool,
}

fn say(text: impl Into<String>) -> Line {
    Line { text: text.into(), tone: Tone::Plain, chosen: false }
}

fn toned(text: impl Into<String>, tone: Tone) -> Line {
    Line { text: text.into(), tone, chosen: false }
}

/// What replaces the whole screen.
pub(super) fn screen(model: &Model, size: Size, colour: bool) -> String {
    let lines = if model.help { HELP.map(say).into() } else { lines(model, size.columns, true) };
    // Home; each line ends with the rest of it cleared; then everything below is cleared.
    let mut text = "\x1b[H".to_owned();
    for (number, line) in lines.iter().take(size.rows).enumerate() {
        let plain = words::plain(&line.text, size.columns.saturating_sub(1));
        let painted = if colour { line.tone.paint(&plain) } else { plain };
        let painted = if line.chosen { format!("\x1b[7m{painted}\x1b[27m") } else { painted };
        let end = if number + 1 < size.rows { "\x1b[K\r\n" } else { "\x1b[K" };
        text.push_str(&painted);
        text.push_str(end);
    }
    text.push_str("\x1b[J");
    text
}

/// One frame for a pipe.
pub(super) fn plain(model: &Model) -> String {
    let lines = lines(model, PLAIN_COLUMNS, false);
    lines.iter().map(|line| format!("{}\n", print::line(line.text.trim_end()))).collect()
}

fn lines(model: &Model, columns: usize, live: bool) -> Vec<Line> {
    let Some(status) = model.status() else { return vec![say("nothing was seen yet")] };
    let mut lines = vec![say(head(status))];
    lines.extend(model.problem.as_ref().map(|why| toned(why.clone(), Tone::Bad)));
    lines.extend(status.verdicts.iter().take(VERDICTS_MAX).map(verdict));
    lines.push(say(""));
    let opened = model.opened().and_then(|name| status.upstreams.iter().find(|view| view.name == name));
    match opened {
        Some(view) => lines.extend(inside(model, view)),
        None => lines.extend(table(model, columns, live)),
    }
    if live {
        lines.push(say(""));
        lines.push(say(if opened.is_some() {
            "Esc back  q end  ? help"
        } else {
            "s sort  Enter look into  q end  ? help"
        }));
    }
    lines
}

fn head(status: &Status) -> String {
    format!(
        "{} {}  up {}  policy revision {}  {}{}",
        status.name,
        status.version,
        words::whole(status.uptime_seconds),
        status.policy.revision,
        status.condition.as_str(),
        if status.draining { "  draining" } else { "" }
    )
}

fn verdict(verdict: &Verdict) -> Line {
    let tone = match verdict.condition {
        Condition::Healthy => Tone::Good,
        Condition::Degraded => Tone::Warn,
        Condition::Failing => Tone::Bad,
    };
    toned(verdict.text.clone(), tone)
}

fn table(model: &Model, columns: usize, live: bool) -> Vec<Line> {
    let room = columns.saturating_sub(TABLE_COLUMNS + 1);
    let history = (room >= HISTORY_MIN).then_some(room.min(60));
    let mark = |sort: Sort, title: &str| if model.sort == sort { format!("{title}*") } else { title.to_owned() };
    let name = mark(Sort::Name, "UPSTREAM");
    let (rate, ok) = (mark(Sort::Rate, "REQ/S"), mark(Sort::Success, "OK"));
    let (p99, in_flight) = (mark(Sort::P99, "P99"), mark(Sort::InFlight, "IN-FLIGHT"));
    let retries = mark(Sort::Retries, "RETRY/S");
    let title = if history.is_some() { "LAST 60 S" } else { "" };
    let mut lines = vec![say(format!(
        "{name:<NAME_MAX$} {rate:>8} {ok:>6} {:>8} {p99:>8} {in_flight:>10} {:<9} {retries:>8} {title}",
        "P50", "CIRCUIT"
    ))];
    for (number, row) in model.rows().iter().enumerate() {
        let tail = history.map(|width| bars(&row.history, width)).unwrap_or_default();
        let in_flight = format!("{}/{}", row.in_flight, row.in_flight_max);
        let text = format!(
            "{:<NAME_MAX$} {:>8} {:>6} {:>8} {:>8} {in_flight:>10} {:<9} {:>8} {tail}",
            words::plain(&row.name, NAME_MAX - 1),
            decimal(row.rate),
            row.success_percent.map_or_else(|| "-".to_owned(), words::percent),
            print::milliseconds(row.p50_ms),
            print::milliseconds(row.p99_ms),
            row.circuit,
            decimal(row.retries),
        );
        lines.push(Line { text, tone: tone(row), chosen: live && number == model.selected() });
    }
    lines
}

fn tone(row: &Row) -> Tone {
    match (row.circuit.as_str(), row.success_percent) {
        ("open", _) => Tone::Bad,
        (_, Some(..50.0)) => Tone::Bad,
        ("half-open", _) | (_, Some(..99.0)) => Tone::Warn,
        _ => Tone::Plain,
    }
}

/// A rate with the precision that matters.
fn decimal(rate: f64) -> String {
    if rate > 0.0 && rate < 100.0 { format!("{rate:.1}") } else { words::grouped(rate.round() as u64) }
}

/// The last `width` values, the highest of them a full bar; nothing is a blank.
pub(super) fn bars(values: &[f64], width: usize) -> String {
    let recent = &values[values.len().saturating_sub(width)..];
    let most = recent.iter().copied().fold(0.0, f64::max);
    let bar = |value: &f64| {
        if *value <= 0.0 || most <= 0.0 {
            return ' ';
        }
        // The least that is something is the lowest bar.
        let step = ((value / most) * BARS.len() as f64).ceil() as usize;
        BARS.get(step.saturating_sub(1).min(BARS.len() - 1)).copied().unwrap_or(' ')
    };
    recent.iter().map(bar).collect()
}

/// One dependency: its endpoints, its retries, its last troubled requests.
fn inside(model: &Model, view: &UpstreamView) -> Vec<Line> {
    let mut lines = vec![say(format!(
        "{} ({}): {} in flight, {} waiting for a slot, retry budget {}",
        view.name,
        view.direction,
        view.limits.in_flight,
        view.limits.pending,
        words::percent(view.budget.remaining_ratio * 100.0)
    ))];
    lines.extend(view.resolve_error.as_ref().map(|why| toned(format!("names: {why}"), Tone::Bad)));
    lines.push(say(""));
    lines.push(say(format!(
        "{:<24} {:>8} {:>12} {:>9} {:>8} {:<12} LAST FAILURE",
        "ENDPOINT", "PENDING", "CONNECTIONS", "LATENCY", "FAILED", "EJECTED"
    )));
    lines.extend(view.endpoints.iter().map(endpoint));
    let reports = model.retries().iter().filter(|report| report.upstream == view.name && report.class.is_none());
    for report in reports {
        lines.push(say(""));
        lines.push(say(format!("retries of {}: {}", report.route, report.text)));
    }
    if !model.troubled().is_empty() {
        lines.push(say(""));
        lines.push(say("Last troubled requests, to be told by `outrigger why ID`"));
        lines.extend(model.troubled().iter().map(troubled));
    }
    lines
}

fn endpoint(view: &EndpointView) -> Line {
    let ejected = match view.ejected_for_ms {
        Some(ms) => format!("{} s", ms.div_ceil(1_000)),
        None if view.fails_checks() => if view.sits_out() { "unhealthy" } else { "in, ill" }.to_owned(),
        None => "-".to_owned(),
    };
    let text = format!(
        "{:<24} {:>8} {:>12} {:>9} {:>8} {ejected:<12} {}",
        view.address,
        view.pending,
        format!("{} open", view.open_connections),
        print::milliseconds(Some(view.ewma_ms)),
        words::percent(view.failure_percent),
        view.last_failure.as_deref().unwrap_or("-"),
    );
    toned(text, if view.sits_out() { Tone::Bad } else { Tone::Plain })
}

fn troubled(line: &RequestLine) -> Line {
    let status = line.status.map_or_else(|| "-".to_owned(), |status| status.to_string());
    let reason = line.reason.as_deref().or(line.retry_denied.as_deref()).unwrap_or("-");
    let age = words::ago(line.age_seconds);
    say(format!(
        "{age:>16}  {status:<4} {:<15} {:>9}  {}x  {reason}  {} {}  {}",
        line.outcome,
        print::milliseconds(Some(line.duration_ms)),
        line.attempts,
        line.method,
        words::plain(&line.path, 40),
        line.trace_id
    ))
}
