//! A comparison as one page: it loads nothing, runs nothing, and can be sent around.

use std::fmt::Write as _;

use super::compare::{Comparison, Judged, Point, Tried, Verdict};
use super::measure::Unit;
use super::text;

const CSS: &str = include_str!("page.css");
/// Size of a chart, and of the margin in which its numbers stand.
const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 200.0;
const LEFT: f64 = 56.0;
const BOTTOM: f64 = 24.0;
const TOP: f64 = 8.0;

/// The whole page.
pub fn render(comparison: &Comparison) -> String {
    let mut page = String::with_capacity(32 * 1024);
    let title = escape(&comparison.title);
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
         img-src data:\">\n<link rel=\"icon\" href=\"data:,\">\n<title>{title} · simulated</title>\n\
         <style>\n{CSS}</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
    );
    head(&mut page, comparison);
    table(&mut page, comparison);
    charts(&mut page, comparison);
    if !comparison.notes.is_empty() {
        page.push_str("<h2>Not simulated, or assumed</h2>\n<ul class=\"soft\">\n");
        for note in &comparison.notes {
            let _ = writeln!(page, "<li>{}</li>", escape(note));
        }
        page.push_str("</ul>\n");
    }
    page.push_str("</body>\n</html>\n");
    page
}

fn head(page: &mut String, comparison: &Comparison) {
    let Comparison { load, seconds, plays, seed, endpoints, .. } = comparison;
    let _ = writeln!(
        page,
        "<p class=\"soft\">{}; {endpoints} endpoints, {seconds} s, {plays} plays of each policy from seed {seed}. \
         Simulated with the decisions of the proxy itself; ± is a 95 % interval over the plays.</p>",
        escape(load)
    );
    let kind = match comparison.verdict {
        Verdict::Better => " good",
        Verdict::Worse | Verdict::Mixed => " bad",
        Verdict::Alone | Verdict::NoDifference => "",
    };
    let _ = writeln!(page, "<p class=\"verdict{kind}\">{}</p>", escape(&text::sentence(comparison)));
    page.push_str("<p class=\"soft\">");
    for (class, tried) in classes(comparison) {
        let (file, upstream) = (escape(&tried.file), escape(&tried.upstream));
        let _ = write!(page, "<span class=\"key {class}\"></span>{class}: <code>{file}</code>, upstream {upstream}");
    }
    page.push_str("</p>\n");
}

/// The newer policy is the last one.
fn classes(comparison: &Comparison) -> impl Iterator<Item = (&'static str, &Tried)> {
    let count = comparison.policies.len();
    comparison.policies.iter().enumerate().map(move |(at, tried)| (if at + 1 == count { "new" } else { "old" }, tried))
}

fn table(page: &mut String, comparison: &Comparison) {
    let compared = comparison.policies.len() > 1;
    page.push_str("<div class=\"wide\"><table>\n<tr><th></th>");
    page.push_str(if compared { "<th>old</th><th>new</th><th>difference</th></tr>\n" } else { "<th></th></tr>\n" });
    for row in comparison.rows.iter().filter(|row| row.is_told()) {
        let unit = row.measure.unit();
        let (old, new) = (text::estimate(row.old, unit, row.never_old), text::estimate(row.new, unit, row.never_new));
        let class = match row.judged {
            Some(Judged::Better) => "better",
            Some(Judged::Worse) => "worse",
            None => "",
        };
        let _ = write!(page, "<tr><td>{}</td>", row.measure.name());
        let _ = match compared {
            true => {
                writeln!(page, "<td>{old}</td><td>{new}</td><td class=\"{class}\">{}</td></tr>", text::difference(row))
            }
            false => writeln!(page, "<td>{new}</td></tr>"),
        };
    }
    for row in &comparison.denied {
        let of = |value| text::estimate(value, Unit::PerHundred, 0);
        let _ = write!(page, "<tr><td>denied: {}</td>", row.reason);
        let _ = match compared {
            true => writeln!(page, "<td>{}</td><td>{}</td><td></td></tr>", of(row.old), of(row.new)),
            false => writeln!(page, "<td>{}</td></tr>", of(row.new)),
        };
    }
    page.push_str("</table></div>\n");
}

fn charts(page: &mut String, comparison: &Comparison) {
    let share = |point: &Point| point.succeeded * 100.0 / point.requests.max(1e-9);
    page.push_str(
        "<h2>Second by second</h2>\n<p class=\"soft\">The mean of all plays. Shaded: what the fault script does. A bar below \
         a chart: the breaker was not closed, in the first play.</p>\n",
    );
    chart(page, comparison, "Success, %", Some(100.0), share);
    chart(page, comparison, "Requests that endpoints received, per request", None, |point| {
        point.received / point.requests.max(1e-9)
    });
    chart(page, comparison, "p99 of requests, ms", None, |point| point.p99_ms);
    chart(page, comparison, "p50 of requests, ms", None, |point| point.p50_ms);
}

/// `most`: the upper end of the scale, where it is given by what is shown.
fn chart(page: &mut String, comparison: &Comparison, name: &str, most: Option<f64>, of: impl Fn(&Point) -> f64) {
    let values = comparison.policies.iter().flat_map(|tried| tried.curve.iter().map(&of));
    let top = most.unwrap_or_else(|| nice(values.fold(0.0, f64::max)));
    let seconds = comparison.seconds.max(1.0);
    let x = |at: f64| LEFT + at / seconds * (WIDTH - LEFT);
    let y = |value: f64| TOP + (1.0 - value / top) * (HEIGHT - TOP - BOTTOM);
    let _ =
        writeln!(page, "<figure><figcaption>{name}</figcaption>\n<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">");
    for span in comparison.trouble.iter().filter(|span| span.to > span.from) {
        let (from, width, height) = (x(span.from), x(span.to) - x(span.from), HEIGHT - TOP - BOTTOM);
        let label = escape(&span.label);
        let _ = writeln!(
            page,
            "<rect class=\"fault\" x=\"{from:.1}\" y=\"{TOP}\" width=\"{width:.1}\" height=\"{height:.1}\">\
             <title>{label}</title></rect>"
        );
    }
    for part in [0.0, 0.5, 1.0] {
        let (value, at) = (top * part, y(top * part));
        let digits = if top < 10.0 { 2 } else { 0 };
        let _ = writeln!(
            page,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{value:.digits$}</text>",
            LEFT - 6.0,
            at + 4.0
        );
    }
    let _ = writeln!(
        page,
        "<text x=\"{LEFT}\" y=\"{0}\">0 s</text><text x=\"{WIDTH}\" y=\"{0}\" text-anchor=\"end\">{seconds} s</text>",
        HEIGHT - 6.0
    );
    for (class, tried) in classes(comparison) {
        let mut line = String::new();
        for (second, point) in tried.curve.iter().enumerate() {
            let _ = write!(line, "{:.1},{:.1} ", x(second as f64 + 0.5), y(of(point).clamp(0.0, top)));
        }
        let _ = writeln!(page, "<polyline class=\"curve {class}\" points=\"{}\"/>", line.trim_end());
        // When its breaker was not closed, along the lower edge.
        for (from, to) in &tried.open {
            let at = HEIGHT - BOTTOM + if class == "old" { 3.0 } else { 8.0 };
            let (from, to) = (x(*from), x(*to));
            let _ = writeln!(
                page,
                "<line class=\"open {class}\" x1=\"{from:.1}\" x2=\"{to:.1}\" y1=\"{at}\" y2=\"{at}\">\
                 <title>breaker not closed ({class})</title></line>"
            );
        }
    }
    page.push_str("</svg></figure>\n");
}

/// The least of 1, 2 and 5 times a power of ten that holds it.
fn nice(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf(value.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().find(|step| step * power >= value);
    step.unwrap_or(10.0) * power
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}
