//! Line charts as inline SVG: colours and dashes come from the page's style sheet, so that light, dark and print work.

pub mod axis;
pub mod latency;
pub mod timeline;

use std::fmt::Write as _;

use axis::Axis;

/// The drawing's own units; the page scales it.
const WIDTH: f64 = 600.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 18.0;
const TOP: f64 = 28.0;
const BOTTOM: f64 = 44.0;
const PLOT: f64 = 230.0;
/// Height of one line of fault labels, and about the width of one letter in it.
const LANE: f64 = 19.0;
const LETTER: f64 = 7.0;

/// One arm's line.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Class of the arm in the style sheet: `a3`.
    pub class: String,
    pub name: String,
    /// Drawn above the others.
    pub ours: bool,
    /// A line is broken where there is no value.
    pub points: Vec<(f64, Option<f64>)>,
}

/// A shaded stretch of the x axis; an event where both ends are the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Band {
    pub from: f64,
    pub to: f64,
    pub label: String,
}

/// What the pointer reveals over a stretch of the x axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Hint {
    pub from: f64,
    pub to: f64,
    pub text: String,
}

/// A chart, described.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    pub title: String,
    pub x: Axis,
    pub y: Axis,
    pub series: Vec<Series>,
    pub bands: Vec<Band>,
    pub hints: Vec<Hint>,
}

/// A band with its place: pixels, and the lane of its label.
struct Placed<'a> {
    band: &'a Band,
    from: f64,
    to: f64,
    text: String,
    text_at: f64,
    anchor: &'static str,
    lane: usize,
}

impl Chart {
    /// The chart as an `<svg>` element; `None` if there is nothing to draw.
    pub fn svg(&self) -> Option<String> {
        let drawable = |series: &Series| series.points.iter().any(|(_, y)| y.is_some_and(f64::is_finite));
        if !self.series.iter().any(drawable) {
            return None;
        }
        let placed = self.placed();
        let lanes = placed.iter().map(|band| band.lane + 1).max().unwrap_or(0);
        let top = TOP + lanes as f64 * LANE;
        let height = top + PLOT + BOTTOM;
        let mut svg =
            format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">\n", escaped(&self.title));
        self.draw_bands(&mut svg, &placed, top);
        self.draw_axes(&mut svg, top);
        let (ours, others): (Vec<&Series>, Vec<&Series>) = self.series.iter().partition(|series| series.ours);
        for series in others.into_iter().chain(ours) {
            self.draw_series(&mut svg, series, top);
        }
        for hint in &self.hints {
            let (from, to) = (self.across(hint.from), self.across(hint.to));
            put(
                &mut svg,
                format_args!(
                    "<rect class=\"hint\" x=\"{from:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{PLOT}\"><title>{}</title></rect>\n",
                    (to - from).max(0.5),
                    escaped(&hint.text)
                ),
            );
        }
        svg.push_str("</svg>");
        Some(svg)
    }

    fn across(&self, x: f64) -> f64 {
        LEFT + self.x.place(x) * (WIDTH - LEFT - RIGHT)
    }

    fn down(&self, y: f64, top: f64) -> f64 {
        top + (1.0 - self.y.place(y)) * PLOT
    }

    /// Labels begin where their band begins, end at the right edge if they must, and never lie upon one another.
    fn placed(&self) -> Vec<Placed<'_>> {
        let right = WIDTH - RIGHT;
        let mut lanes_end: Vec<f64> = Vec::new();
        let mut placed = Vec::new();
        let mut bands: Vec<&Band> =
            self.bands.iter().filter(|band| band.from.is_finite() && !band.to.is_nan()).collect();
        bands.sort_by(|a, b| a.from.total_cmp(&b.from));
        for band in bands {
            let (from, to) = (self.across(band.from), self.across(band.to));
            let text = shortened(&band.label, ((right - LEFT) / LETTER) as usize);
            let length = text.chars().count() as f64 * LETTER;
            let (text_at, begins, anchor) =
                if from + length > right { (right, right - length, "end") } else { (from, from, "start") };
            let ends = (begins + length).max(to) + LETTER;
            let begins = begins.min(from);
            let lane = lanes_end.iter().position(|end| *end <= begins).unwrap_or(lanes_end.len());
            match lanes_end.get_mut(lane) {
                Some(end) => *end = ends,
                None => lanes_end.push(ends),
            }
            placed.push(Placed { band, from, to, text, text_at, anchor, lane });
        }
        placed
    }

    fn draw_bands(&self, svg: &mut String, placed: &[Placed<'_>], top: f64) {
        for Placed { band, from, to, text, text_at, anchor, lane } in placed {
            let base = TOP - 8.0 + (*lane as f64 + 1.0) * LANE;
            let event = to - from < 0.5;
            let title = escaped(&band.label);
            if event {
                put(
                    svg,
                    format_args!(
                        "<line class=\"event\" x1=\"{from:.1}\" x2=\"{from:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"><title>{title}</title></line>\n",
                        base - 1.0,
                        top + PLOT
                    ),
                );
            } else {
                let width = to - from;
                put(
                    svg,
                    format_args!(
                        "<rect class=\"fault\" x=\"{from:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{PLOT}\"><title>{title}</title></rect>\n\
                         <rect class=\"extent\" x=\"{from:.1}\" y=\"{base:.1}\" width=\"{width:.1}\" height=\"2.5\"/>\n"
                    ),
                );
            }
            let (text_at, anchor) =
                if event && *anchor == "start" { (text_at + 4.0, *anchor) } else { (*text_at, *anchor) };
            put(
                svg,
                format_args!(
                    "<text class=\"label\" x=\"{text_at:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>\n",
                    base - 4.0,
                    escaped(text)
                ),
            );
        }
    }

    fn draw_axes(&self, svg: &mut String, top: f64) {
        let (right, bottom) = (WIDTH - RIGHT, top + PLOT);
        for (at, text) in &self.y.ticks {
            let y = self.down(*at, top);
            put(
                svg,
                format_args!(
                    "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                     <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
                    LEFT - 7.0,
                    y + 4.0,
                    escaped(text)
                ),
            );
        }
        for (at, text) in &self.x.ticks {
            let x = self.across(*at);
            // A long number at the right edge ends there.
            let over = x + text.chars().count() as f64 * LETTER / 2.0 > WIDTH;
            let (text_at, anchor) = if over { (WIDTH, "end") } else { (x, "middle") };
            put(
                svg,
                format_args!(
                    "<line class=\"tick\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{bottom:.1}\" y2=\"{:.1}\"/>\
                     <text x=\"{text_at:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>\n",
                    bottom + 5.0,
                    bottom + 19.0,
                    escaped(text)
                ),
            );
        }
        put(
            svg,
            format_args!(
                "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{bottom:.1}\" y2=\"{bottom:.1}\"/>\
                 <text class=\"unit\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
                 <text class=\"unit\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n",
                LEFT - 7.0,
                top - 13.0,
                escaped(&self.y.unit),
                f64::midpoint(LEFT, right),
                bottom + 38.0,
                escaped(&self.x.unit)
            ),
        );
    }

    fn draw_series(&self, svg: &mut String, series: &Series, top: f64) {
        let mut path = String::new();
        let mut dots = Vec::new();
        let mut run: Vec<(f64, f64)> = Vec::new();
        let mut finish = |run: &mut Vec<(f64, f64)>, path: &mut String| {
            if let [(x, y)] = run.as_slice() {
                dots.push((*x, *y));
            } else {
                for (index, (x, y)) in run.iter().enumerate() {
                    put(path, format_args!("{}{x:.1} {y:.1}", if index == 0 { "M" } else { "L" }));
                }
            }
            run.clear();
        };
        for (x, y) in &series.points {
            match y.filter(|y| y.is_finite()) {
                Some(y) => run.push((self.across(*x), self.down(y, top))),
                None => finish(&mut run, &mut path),
            }
        }
        finish(&mut run, &mut path);
        let class = format!("line {}{}", escaped(&series.class), if series.ours { " ours" } else { "" });
        let name = escaped(&series.name);
        if !path.is_empty() {
            put(svg, format_args!("<path class=\"{class}\" d=\"{path}\"><title>{name}</title></path>\n"));
        }
        for (x, y) in dots {
            put(
                svg,
                format_args!(
                    "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"><title>{name}</title></circle>\n"
                ),
            );
        }
    }
}

/// Appends; writing to a String cannot fail.
fn put(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(arguments);
}

/// For text and attributes of SVG.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            plain => escaped.push(plain),
        }
    }
    escaped
}

/// At most so many letters.
fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(series: Vec<Series>, bands: Vec<Band>) -> Chart {
        Chart {
            title: "success".to_owned(),
            x: Axis::seconds(30.0),
            y: Axis::percent(0.5),
            series,
            bands,
            hints: vec![Hint { from: 0.0, to: 1.0, text: "second 0: <all> well".to_owned() }],
        }
    }

    fn series(points: &[Option<f64>]) -> Series {
        let points = points.iter().enumerate().map(|(x, y)| (x as f64, *y)).collect();
        Series { class: "a0".to_owned(), name: "R&D".to_owned(), ours: true, points }
    }

    fn band(from: f64, to: f64, label: &str) -> Band {
        Band { from, to, label: label.to_owned() }
    }

    #[test]
    fn a_line_is_broken_where_there_is_no_value_and_a_lonely_point_is_a_dot() {
        let svg = chart(vec![series(&[Some(1.0), Some(0.9), None, Some(1.0), None, Some(f64::NAN)])], Vec::new()).svg();
        let svg = svg.expect("a drawing");
        assert_eq!(svg.matches('M').count(), 1, "{svg}");
        assert_eq!(svg.matches("<circle").count(), 1, "{svg}");
        assert!(!svg.contains("NaN"), "{svg}");
    }

    #[test]
    fn without_values_there_is_no_chart() {
        assert_eq!(chart(vec![series(&[None, Some(f64::INFINITY)])], Vec::new()).svg(), None);
        assert_eq!(chart(Vec::new(), Vec::new()).svg(), None);
    }

    #[test]
    fn names_and_labels_are_escaped() {
        let svg =
            chart(vec![series(&[Some(1.0), Some(1.0)])], vec![band(1.0, 2.0, "<script>\"")]).svg().expect("a drawing");
        assert!(
            svg.contains("R&amp;D") && svg.contains("&lt;script&gt;&quot;") && svg.contains("&lt;all&gt;"),
            "{svg}"
        );
        assert!(!svg.contains("<script"), "{svg}");
    }

    #[test]
    fn labels_of_overlapping_bands_lie_in_lanes_of_their_own() {
        let chart = chart(
            vec![series(&[Some(1.0)])],
            vec![
                band(4.0, 12.0, "slow"),
                band(8.0, 16.0, "dead"),
                band(20.0, 24.0, "reset"),
                band(14.0, 14.0, "reload"),
            ],
        );
        let lanes: Vec<(&str, usize)> =
            chart.placed().iter().map(|placed| (placed.band.label.as_str(), placed.lane)).collect();
        assert_eq!(lanes, [("slow", 0), ("dead", 1), ("reload", 0), ("reset", 0)]);
    }

    #[test]
    fn a_label_stays_within_the_drawing_however_late_and_long_it_is() {
        let long = "x".repeat(300);
        let chart =
            chart(vec![series(&[Some(1.0)])], vec![band(29.0, 30.0, "a rather long label"), band(1.0, 2.0, &long)]);
        for placed in chart.placed() {
            let length = placed.text.chars().count() as f64 * LETTER;
            let (from, to) = match placed.anchor {
                "end" => (placed.text_at - length, placed.text_at),
                _start => (placed.text_at, placed.text_at + length),
            };
            assert!(from >= LEFT - 0.1 && to <= WIDTH - RIGHT + 0.1, "{from}–{to}");
        }
    }
}
