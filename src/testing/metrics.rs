//! Reads the Prometheus text format.

use std::collections::BTreeMap;

/// One scrape.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Vec<Sample>);

#[derive(Clone, Debug)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Metrics {
    /// Parses a scrape; panics at a line that is neither a comment nor a sample.
    pub fn parse(text: &str) -> Metrics {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let sample = |line| parse_sample(line).unwrap_or_else(|| panic!("not a sample: {line}"));
        Metrics(lines.map(sample).collect())
    }

    /// Sum of all samples of this name that carry these labels; 0 if there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.matching(name, labels).map(|sample| sample.value).sum()
    }

    /// Whether there is a sample of this name with these labels.
    pub fn has(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        self.matching(name, labels).next().is_some()
    }

    fn matching(&self, name: &str, labels: &[(&str, &str)]) -> impl Iterator<Item = &Sample> {
        self.0.iter().filter(move |sample| {
            sample.name == name && labels.iter().all(|(k, v)| sample.labels.get(*k).is_some_and(|have| have == v))
        })
    }
}

fn parse_sample(line: &str) -> Option<Sample> {
    let (series, value) = line.rsplit_once(' ')?;
    let value = value.parse().ok()?;
    let Some((name, rest)) = series.split_once('{') else {
        return Some(Sample { name: series.to_string(), labels: BTreeMap::new(), value });
    };
    let mut rest = rest.strip_suffix('}')?;
    let mut labels = BTreeMap::new();
    while !rest.is_empty() {
        let (key, after) = rest.split_once("=\"")?;
        let (text, end) = unquote(after)?;
        labels.insert(key.trim_start_matches(',').to_string(), text);
        rest = &after[end..];
    }
    Some(Sample { name: name.to_string(), labels, value })
}

/// The text up to the closing quote, and where the rest begins.
fn unquote(text: &str) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    loop {
        match chars.next()? {
            (at, '"') => return Some((value, at + 1)),
            (_, '\\') => match chars.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            (_, other) => value.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Metrics;

    #[test]
    fn samples_are_summed_over_the_labels_that_are_not_asked_for() {
        let metrics =
            Metrics::parse("# HELP x y\nx{a=\"1\",b=\"q\\\"}\\\\\"} 2\nx{a=\"1\",b=\"r\"} 3.5\nx{a=\"2\"} 7\ny 1e3\n");
        assert_eq!(metrics.sum("x", &[("a", "1")]), 5.5);
        assert_eq!(metrics.sum("x", &[("b", "q\"}\\")]), 2.0);
        assert_eq!(metrics.sum("y", &[]), 1000.0);
        assert!(!metrics.has("x", &[("a", "3")]));
    }
}
