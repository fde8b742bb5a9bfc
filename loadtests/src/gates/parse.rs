//! The text of conditions.

use super::{Bound, Condition, Reference, Relation};
use crate::report::metric::{Metric, Quantity, Unit};

/// Longer texts are no conditions.
const LONGEST: usize = 200;

/// Arms that the tool brings along.
const KNOWN_ARMS: [&str; 6] = ["direct", "outrigger", "envoy", "haproxy", "nginx", "pingora"];

/// An amount of a figure, as written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Amount {
    /// In the unit that figures are kept in.
    pub kept: f64,
    pub unit: Unit,
}

/// Reads `[arm:] figure operator bound`.
pub fn condition(text: &str) -> Result<Condition, String> {
    let text = text.trim();
    if text.is_empty() || text.len() > LONGEST {
        return Err("a condition is like `success >= 99.5%`".to_owned());
    }
    let (arm, rest) = match text.split_once(':') {
        Some((arm, rest)) => (Some(arm_name(arm)?), rest.trim()),
        None => (None, text),
    };
    let at = rest
        .find(['<', '>', '=', '!', '≤', '≥'])
        .ok_or_else(|| format!("`{text}` has no operator: write `<=`, `<`, `>=`, `>` or `==`"))?;
    let (word, rest) = rest.split_at(at);
    let metric = metric(word.trim())?;
    let (relation, bound) = relation(rest)?;
    let bound = bound.trim();
    if bound.is_empty() {
        return Err(format!("`{text}` has no bound: write a value, such as {}", example(metric)));
    }
    let bound = if bound.starts_with(|first: char| first.is_ascii_digit() || first == '.') && !is_factor(bound) {
        let amount = amount(metric, bound)?;
        Bound::Value(amount.kept, amount.unit)
    } else {
        times(metric, bound)?
    };
    Ok(Condition { text: text.to_owned(), arm, metric, relation, bound })
}

/// A figure by its word.
///
/// # Errors
/// Names the nearest word, or all of them.
pub fn metric(word: &str) -> Result<Metric, String> {
    Metric::named(word).ok_or_else(|| {
        let words = Metric::ALL.map(Metric::word);
        if word.is_empty() {
            return format!("the figure is missing; there are {}", words.join(", "));
        }
        match nearest(word, &words) {
            Some(near) => format!("there is no figure `{word}`; did you mean `{near}`?"),
            None => format!("there is no figure `{word}`; there are {}", words.join(", ")),
        }
    })
}

fn relation(text: &str) -> Result<(Relation, &str), String> {
    let table = [
        ("<=", Relation::AtMost),
        (">=", Relation::AtLeast),
        ("==", Relation::Equal),
        ("≤", Relation::AtMost),
        ("≥", Relation::AtLeast),
        ("<", Relation::Below),
        (">", Relation::Above),
    ];
    for (symbol, relation) in table {
        if let Some(rest) = text.strip_prefix(symbol) {
            if let Some(odd) = rest.trim_start().chars().next().filter(|odd| "<>=!".contains(*odd)) {
                return Err(format!("`{symbol}{odd}` is no operator: write `<=`, `<`, `>=`, `>` or `==`"));
            }
            return Ok((relation, rest));
        }
    }
    Err("write `<=`, `<`, `>=`, `>` or `==` between figure and bound".to_owned())
}

/// An amount with the unit that the figure needs: `99.5%`, `50ms`, `12MiB`, `4.1`.
///
/// # Errors
/// Says which unit is missing or wrong.
pub fn amount(metric: Metric, text: &str) -> Result<Amount, String> {
    let text = text.trim();
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_')).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let digits = number.replace('_', "");
    let value: f64 = digits.parse().map_err(|_| format!("`{text}` is no amount: write {}", example(metric)))?;
    let (factor, unit) = unit_of(metric, unit.trim())?;
    if metric.unit().quantity() == Quantity::Share && value > 100.0 {
        return Err(format!("`{text}` is more than everything: {} goes up to 100%", metric.word()));
    }
    Ok(Amount { kept: value * factor, unit })
}

/// What one of the unit is in the unit that the figure is kept in.
fn unit_of(metric: Metric, unit: &str) -> Result<(f64, Unit), String> {
    let own = metric.unit();
    let found = match (own.quantity(), unit) {
        (Quantity::Share, "%") => Some((0.01, own)),
        (Quantity::Number, "") => Some((1.0, own)),
        (Quantity::Rate, "" | "/s") => Some((1.0, own)),
        (Quantity::Time, "us" | "µs" | "μs") => Some((1.0, Unit::Micros)),
        (Quantity::Time, "ms") => Some((1e3, Unit::Millis)),
        (Quantity::Time, "s") => Some((1e6, Unit::Seconds)),
        (Quantity::Memory, "KiB") => Some((1.0 / 1024.0, own)),
        (Quantity::Memory, "MiB") => Some((1.0, own)),
        (Quantity::Memory, "GiB") => Some((1024.0, own)),
        (Quantity::Share | Quantity::Number | Quantity::Rate | Quantity::Time | Quantity::Memory, _) => None,
    };
    found.ok_or_else(|| {
        let word = metric.word();
        match own.quantity() {
            Quantity::Share => format!("{word} is a percentage: write it like `99.5%`"),
            Quantity::Number => format!("{word} is a plain number: write it like `1.2`"),
            Quantity::Rate => format!("{word} is requests per second: write it like `2000/s`"),
            Quantity::Time => format!("{word} needs a unit of time (us, ms or s): write it like `50ms`"),
            Quantity::Memory => format!("{word} needs a unit of memory (KiB, MiB or GiB): write it like `12MiB`"),
        }
    })
}

/// An amount that the figure could have.
fn example(metric: Metric) -> &'static str {
    match metric.unit() {
        Unit::Percent => "`99.5%`",
        Unit::Count => "`1`",
        Unit::Factor => "`1.2`",
        Unit::PerRequest => "`4.1`",
        Unit::Micros => "`20us`",
        Unit::Millis => "`50ms`",
        Unit::Seconds => "`2s`",
        Unit::Kibibytes => "`40KiB`",
        Unit::Mebibytes => "`12MiB`",
        Unit::PerSecond => "`2000/s`",
    }
}

/// Whether the text begins with a factor: `1.05x haproxy`.
fn is_factor(text: &str) -> bool {
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').trim_start();
    rest.starts_with(['x', '×', '*'])
}

/// `[1.05x] haproxy`, `best peer`, `best retrying peer`, each with `± amount` behind it.
fn times(metric: Metric, text: &str) -> Result<Bound, String> {
    let (factor, rest) = if is_factor(text) {
        let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
        let (number, rest) = text.split_at(end);
        let factor: f64 =
            number.parse().map_err(|_| format!("`{number}` is no factor: write it like `1.05x haproxy`"))?;
        (Some(factor), rest.trim_start().trim_start_matches(['x', '×', '*']).trim())
    } else {
        (None, text)
    };
    // An allowance stands apart, so that `outrigger-b` is one name.
    let (name, plus) = match (rest.split_once(" + "), rest.split_once(" - ")) {
        (Some((name, more)), _) => (name, amount(metric, more)?.kept),
        (None, Some((name, less))) => (name, -amount(metric, less)?.kept),
        (None, None) => (rest, 0.0),
    };
    let words: Vec<&str> = name.split_whitespace().collect();
    let of = match words.as_slice() {
        ["best", "peer"] => Reference::BestPeer,
        ["best", "retrying", "peer"] => Reference::BestRetryingPeer,
        ["best", ..] => {
            return Err(format!("`{name}` is nobody: write `best peer`, `best retrying peer` or the name of an arm"));
        }
        [one] => Reference::Arm(arm_name(one)?),
        [] => return Err(format!("`{text}` lacks the arm to compare with: write it like `1.05x haproxy`")),
        [..] => {
            return Err(format!(
                "`{text}` is neither an amount nor an arm: write {} or `1.05x haproxy`",
                example(metric)
            ));
        }
    };
    Ok(Bound::Times { factor, of, plus })
}

/// The name of an arm. Names that the tool does not know are allowed (`outrigger-b`), near misses are not.
fn arm_name(text: &str) -> Result<String, String> {
    let name = text.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) || !name.chars().all(plain) {
        return Err(format!("`{name}` is no name of an arm: a letter, then letters, digits, `-`, `_` and `.`"));
    }
    if !KNOWN_ARMS.iter().any(|known| name.starts_with(known))
        && let Some(near) = nearest(name, &KNOWN_ARMS)
    {
        return Err(format!("there is no arm `{name}`; did you mean `{near}`?"));
    }
    Ok(name.to_owned())
}

/// The word that is probably meant: at most a third of it is wrong.
pub fn nearest<'a>(word: &str, words: &[&'a str]) -> Option<&'a str> {
    if word.len() > 40 {
        return None;
    }
    let word = word.to_lowercase();
    let near = words.iter().map(|ours| (distance(&word, ours), *ours));
    near.filter(|(edits, ours)| *edits <= (ours.len() / 3).max(1)).min_by_key(|(edits, _)| *edits).map(|(_, ours)| ours)
}

/// Letters to insert, remove or exchange, and neighbours to swap (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let exchanged = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = exchanged.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}
