//! Prometheus text exposition (format 0.0.4) for what the exporter crate does not hold: gauges read at scrape
//! time, so that a removed upstream leaves no series behind, and our own histograms.

use std::fmt::Write;

use crate::telemetry::histogram::HistogramSnapshot;

/// The `# TYPE` of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Counter,
    Gauge,
    Histogram,
}

impl Type {
    const fn as_str(self) -> &'static str {
        match self {
            Type::Counter => "counter",
            Type::Gauge => "gauge",
            Type::Histogram => "histogram",
        }
    }
}

/// Name, type and help of one metric.
#[derive(Clone, Copy, Debug)]
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) kind: Type,
    pub(super) help: &'static str,
}

/// Text under construction. All samples of a family follow its header, as the format demands.
#[derive(Debug, Default)]
pub(super) struct Exposition {
    text: String,
}

impl Exposition {
    pub(super) fn family(&mut self, family: &Family) {
        let Family { name, kind, help } = family;
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {}", kind.as_str());
    }

    /// One sample. Labels with an empty value are left out: to Prometheus the two are the same.
    pub(super) fn sample(&mut self, name: &str, suffix: &str, labels: &[(&str, &str)], value: f64) {
        self.text.push_str(name);
        self.text.push_str(suffix);
        let mut open = false;
        for (label, value) in labels.iter().filter(|(_, value)| !value.is_empty()) {
            self.text.push_str(if open { "," } else { "{" });
            self.text.push_str(label);
            self.text.push_str("=\"");
            escape(value, &mut self.text);
            self.text.push('"');
            open = true;
        }
        if open {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }

    /// A family with one sample per entry; nothing at all if there is none.
    pub(super) fn samples<'a, L>(&mut self, family: &Family, samples: impl IntoIterator<Item = (L, f64)>)
    where
        L: AsRef<[(&'a str, &'a str)]>,
    {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return;
        }
        self.family(family);
        for (labels, value) in samples {
            self.sample(family.name, "", labels.as_ref(), value);
        }
    }

    pub(super) fn histogram(&mut self, name: &str, labels: &[(&str, &str)], snapshot: &HistogramSnapshot) {
        let mut with_le = labels.to_vec();
        with_le.push(("le", ""));
        let last = with_le.len() - 1;
        let infinite = std::iter::once(("+Inf", snapshot.count));
        for (le, count) in snapshot.cumulative.iter().copied().chain(infinite) {
            with_le[last].1 = le;
            self.sample(name, "_bucket", &with_le, count as f64);
        }
        self.sample(name, "_sum", labels, snapshot.sum_seconds);
        self.sample(name, "_count", labels, snapshot.count as f64);
    }

    pub(super) fn finish(self) -> String {
        self.text
    }
}

/// Label values come from the policy; the file may still hold quotes or line feeds.
fn escape(value: &str, out: &mut String) {
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_values_cannot_break_out_of_their_quotes() {
        let mut text = Exposition::default();
        text.sample("m", "", &[("a", "x\"} 1\nevil 2 \\"), ("b", "")], 3.0);
        assert_eq!(text.finish(), "m{a=\"x\\\"} 1\\nevil 2 \\\\\"} 3\n");
    }
}
