//! The figures that are reported: their names, their units, and which way is better.

use std::fmt::Write as _;

/// A figure. The words are those of gates and thresholds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    Success,
    CriticalSuccess,
    Amplification,
    P50,
    P90,
    P99,
    P999,
    P50Added,
    P90Added,
    P99Added,
    P999Added,
    P99Moved,
    FailureP50,
    FailureP99,
    Throughput,
    PerCore,
    Recovery,
    ExecutionsPerKey,
    DuplicatedKeys,
    Cpu,
    CpuUser,
    CpuSystem,
    Syscalls,
    Switches,
    SwitchesVoluntary,
    SwitchesInvoluntary,
    Threads,
    RssIdle,
    Rss,
    RssMax,
    RssPerConnection,
}

/// What a figure counts, in the unit it is kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// 0.0 to 1.0.
    Share,
    /// A plain number.
    Number,
    /// Microseconds.
    Time,
    /// MiB.
    Memory,
    /// Per second.
    Rate,
}

/// The unit a figure is shown in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Percent,
    /// Whole things: threads, keys.
    Count,
    /// So many times as much.
    Factor,
    /// So many for each request.
    PerRequest,
    Micros,
    Millis,
    Seconds,
    Kibibytes,
    Mebibytes,
    PerSecond,
}

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    Higher,
    Lower,
}

/// What is known of a figure.
struct Facts {
    word: &'static str,
    title: &'static str,
    /// The short form, for heads of columns.
    head: &'static str,
    unit: Unit,
}

impl Metric {
    /// Every figure, in the order of the enum.
    pub const ALL: [Metric; 31] = [
        Metric::Success,
        Metric::CriticalSuccess,
        Metric::Amplification,
        Metric::P50,
        Metric::P90,
        Metric::P99,
        Metric::P999,
        Metric::P50Added,
        Metric::P90Added,
        Metric::P99Added,
        Metric::P999Added,
        Metric::P99Moved,
        Metric::FailureP50,
        Metric::FailureP99,
        Metric::Throughput,
        Metric::PerCore,
        Metric::Recovery,
        Metric::ExecutionsPerKey,
        Metric::DuplicatedKeys,
        Metric::Cpu,
        Metric::CpuUser,
        Metric::CpuSystem,
        Metric::Syscalls,
        Metric::Switches,
        Metric::SwitchesVoluntary,
        Metric::SwitchesInvoluntary,
        Metric::Threads,
        Metric::RssIdle,
        Metric::Rss,
        Metric::RssMax,
        Metric::RssPerConnection,
    ];

    const fn facts(self) -> Facts {
        const fn facts(word: &'static str, title: &'static str, head: &'static str, unit: Unit) -> Facts {
            Facts { word, title, head, unit }
        }
        match self {
            Metric::Success => facts("success", "success", "success", Unit::Percent),
            Metric::CriticalSuccess => {
                facts("critical_success", "success of critical requests", "critical", Unit::Percent)
            }
            Metric::Amplification => facts("amplification", "attempts per request", "attempts", Unit::Factor),
            Metric::P50 => facts("p50", "p50", "p50", Unit::Millis),
            Metric::P90 => facts("p90", "p90", "p90", Unit::Millis),
            Metric::P99 => facts("p99", "p99", "p99", Unit::Millis),
            Metric::P999 => facts("p99.9", "p99.9", "p99.9", Unit::Millis),
            Metric::P50Added => facts("p50_added", "+p50", "+p50", Unit::Millis),
            Metric::P90Added => facts("p90_added", "+p90", "+p90", Unit::Millis),
            Metric::P99Added => facts("p99_added", "+p99", "+p99", Unit::Millis),
            Metric::P999Added => facts("p99.9_added", "+p99.9", "+p99.9", Unit::Millis),
            Metric::P99Moved => facts("p99_moved", "p99 moved by the fault", "p99 moved", Unit::Millis),
            Metric::FailureP50 => facts("failure_p50", "p50 of failures", "fail p50", Unit::Millis),
            Metric::FailureP99 => facts("failure_p99", "p99 of failures", "fail p99", Unit::Millis),
            Metric::Throughput => facts("throughput", "succeeded", "ok", Unit::PerSecond),
            Metric::PerCore => facts("per_core", "at saturation, per core", "per core", Unit::PerSecond),
            Metric::Recovery => facts("recovery", "recovery", "recovery", Unit::Seconds),
            Metric::ExecutionsPerKey => {
                facts("executions_per_key", "executions of a key, at most", "per key", Unit::Count)
            }
            Metric::DuplicatedKeys => facts("duplicated_keys", "keys executed twice", "twice", Unit::Count),
            Metric::Cpu => facts("cpu", "CPU per request", "CPU", Unit::Micros),
            Metric::CpuUser => facts("cpu_user", "CPU per request, user", "user", Unit::Micros),
            Metric::CpuSystem => facts("cpu_system", "CPU per request, system", "system", Unit::Micros),
            Metric::Syscalls => facts("syscalls", "system calls per request", "syscalls", Unit::PerRequest),
            Metric::Switches => facts("switches", "context switches per request", "switches", Unit::PerRequest),
            Metric::SwitchesVoluntary => {
                facts("switches_voluntary", "voluntary switches per request", "voluntary", Unit::PerRequest)
            }
            Metric::SwitchesInvoluntary => {
                facts("switches_involuntary", "involuntary switches per request", "involuntary", Unit::PerRequest)
            }
            Metric::Threads => facts("threads", "threads", "threads", Unit::Count),
            Metric::RssIdle => facts("rss_idle", "memory, idle", "idle RSS", Unit::Mebibytes),
            Metric::Rss => facts("rss", "memory, loaded", "RSS", Unit::Mebibytes),
            Metric::RssMax => facts("rss_max", "memory, at most", "max RSS", Unit::Mebibytes),
            Metric::RssPerConnection => {
                facts("rss_per_connection", "memory of an idle connection", "per connection", Unit::Kibibytes)
            }
        }
    }

    /// The word for it in gates and thresholds.
    pub const fn word(self) -> &'static str {
        self.facts().word
    }

    /// The words for it in sentences, without unit.
    pub const fn title(self) -> &'static str {
        self.facts().title
    }

    /// The word over its column, without unit.
    pub const fn head(self) -> &'static str {
        self.facts().head
    }

    /// The unit it is shown in.
    pub const fn unit(self) -> Unit {
        self.facts().unit
    }

    /// Finds a figure by its word; `p999` stands for `p99.9`.
    pub fn named(word: &str) -> Option<Metric> {
        let word = word.replace("p999", "p99.9");
        Metric::ALL.into_iter().find(|metric| metric.word() == word)
    }

    /// Which way is better.
    pub const fn better(self) -> Better {
        match self {
            Metric::Success | Metric::CriticalSuccess | Metric::Throughput | Metric::PerCore => Better::Higher,
            Metric::Amplification
            | Metric::P50
            | Metric::P90
            | Metric::P99
            | Metric::P999
            | Metric::P50Added
            | Metric::P90Added
            | Metric::P99Added
            | Metric::P999Added
            | Metric::P99Moved
            | Metric::FailureP50
            | Metric::FailureP99
            | Metric::Recovery
            | Metric::ExecutionsPerKey
            | Metric::DuplicatedKeys
            | Metric::Cpu
            | Metric::CpuUser
            | Metric::CpuSystem
            | Metric::Syscalls
            | Metric::Switches
            | Metric::SwitchesVoluntary
            | Metric::SwitchesInvoluntary
            | Metric::Threads
            | Metric::RssIdle
            | Metric::Rss
            | Metric::RssMax
            | Metric::RssPerConnection => Better::Lower,
        }
    }

    /// Whether the worst round counts instead of the median: an effect that happened twice is not evened out by the
    /// rounds in which it did not.
    pub const fn worst_round_counts(self) -> bool {
        matches!(self, Metric::ExecutionsPerKey | Metric::DuplicatedKeys)
    }

    /// Whether it depends on how fast the machine is: such figures of two machines cannot be compared.
    pub const fn depends_on_machine(self) -> bool {
        !matches!(
            self,
            Metric::Success
                | Metric::CriticalSuccess
                | Metric::Amplification
                | Metric::ExecutionsPerKey
                | Metric::DuplicatedKeys
                | Metric::Recovery
        )
    }

    /// A value without its unit, as tables show it; `–` if it is no number.
    pub fn show(self, value: f64) -> String {
        if self == Metric::Recovery && value == f64::INFINITY {
            return "never".to_owned();
        }
        let shown = self.unit().shown_of(value);
        if !shown.is_finite() {
            return "–".to_owned();
        }
        match self.unit() {
            Unit::Percent => percent(shown),
            Unit::PerSecond => thousands(shown),
            Unit::Micros => fixed(shown, if shown.abs() < 100.0 { 1 } else { 0 }),
            Unit::Millis => fixed(shown, decimals(shown, 2)),
            Unit::Kibibytes | Unit::Mebibytes => fixed(shown, decimals(shown, 1)),
            Unit::Seconds => trimmed(fixed(shown, 1)),
            Unit::Count => trimmed(fixed(shown, 1)),
            Unit::Factor => fixed(shown, 2),
            Unit::PerRequest => fixed(shown, if shown.abs() < 10.0 { 2 } else { 1 }),
        }
    }

    /// A value with its unit: `99.9 %`, `1.09`, `19.8 µs`.
    pub fn show_with_unit(self, value: f64) -> String {
        let shown = self.show(value);
        if shown == "–" || shown == "never" { shown } else { format!("{shown}{}", self.unit().suffix()) }
    }
}

impl Unit {
    /// What it counts.
    pub const fn quantity(self) -> Quantity {
        match self {
            Unit::Percent => Quantity::Share,
            Unit::Count | Unit::Factor | Unit::PerRequest => Quantity::Number,
            Unit::Micros | Unit::Millis | Unit::Seconds => Quantity::Time,
            Unit::Kibibytes | Unit::Mebibytes => Quantity::Memory,
            Unit::PerSecond => Quantity::Rate,
        }
    }

    /// A kept value in this unit.
    pub fn shown_of(self, value: f64) -> f64 {
        match self {
            Unit::Percent => value * 100.0,
            Unit::Millis => value / 1e3,
            Unit::Seconds => value / 1e6,
            Unit::Kibibytes => value * 1024.0,
            Unit::Count | Unit::Factor | Unit::PerRequest | Unit::Micros | Unit::Mebibytes | Unit::PerSecond => value,
        }
    }

    /// For table heads; empty for plain numbers.
    pub const fn symbol(self) -> &'static str {
        match self {
            Unit::Percent => "%",
            Unit::Count | Unit::Factor | Unit::PerRequest => "",
            Unit::Micros => "µs",
            Unit::Millis => "ms",
            Unit::Seconds => "s",
            Unit::Kibibytes => "KiB",
            Unit::Mebibytes => "MiB",
            Unit::PerSecond => "/s",
        }
    }

    /// Behind a number in a sentence.
    pub const fn suffix(self) -> &'static str {
        match self {
            Unit::Percent => " %",
            Unit::Count | Unit::Factor | Unit::PerRequest => "",
            Unit::Micros => " µs",
            Unit::Millis => " ms",
            Unit::Seconds => " s",
            Unit::Kibibytes => " KiB",
            Unit::Mebibytes => " MiB",
            Unit::PerSecond => "/s",
        }
    }
}

/// `decimals`, fewer for large numbers, so that about three digits stand.
fn decimals(value: f64, most: usize) -> usize {
    let digits = if value.abs() < 10.0 {
        2
    } else if value.abs() < 100.0 {
        1
    } else {
        0
    };
    digits.min(most)
}

/// With that many decimals, a true minus sign, and never `-0.00`; `–` for what is no number.
pub fn fixed(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let text = format!("{:.*}", decimals, value.abs());
    let zero = text.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    if value < 0.0 && !zero { format!("−{text}") } else { text }
}

/// Without `.0` at the end.
fn trimmed(text: String) -> String {
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

/// A percentage. It never rounds up to 100: a lost request must stay visible.
fn percent(value: f64) -> String {
    if value >= 100.0 {
        return "100".to_owned();
    }
    // The addend keeps 99.5 from becoming 99.49 by its binary form.
    let down = |factor: f64| (value * factor + 1e-6).floor() / factor;
    if value > 99.99 { fixed(down(10_000.0), 4) } else { fixed(down(100.0), 2) }
}

/// Whole, in groups of three.
pub fn thousands(value: f64) -> String {
    let digits = fixed(value, 0);
    let (sign, digits) = digits.strip_prefix('−').map_or(("", digits.as_str()), |rest| ("−", rest));
    let mut text = sign.to_owned();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        // Writing to a String cannot fail.
        let _ = write!(text, "{digit}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_all_has_every_figure_in_the_order_of_the_enum() {
        for (index, metric) in Metric::ALL.into_iter().enumerate() {
            assert_eq!(metric as usize, index, "{metric:?}");
        }
    }

    #[test]
    fn words_are_distinct_and_lead_back_to_their_figure() {
        for metric in Metric::ALL {
            assert_eq!(Metric::named(metric.word()), Some(metric));
        }
        assert_eq!(Metric::named("p999_added"), Some(Metric::P999Added));
        assert_eq!(Metric::named("P99"), None);
    }

    #[test]
    fn a_lost_request_keeps_success_below_100() {
        assert_eq!(Metric::Success.show(0.999_999_9), "99.9999");
        assert_eq!(Metric::Success.show(0.999_96), "99.9960");
        assert_eq!(Metric::Success.show(1.0), "100");
        assert_eq!(Metric::Success.show(0.995), "99.50");
        assert_eq!(Metric::Success.show(0.0), "0.00");
    }

    #[test]
    fn values_stand_in_the_unit_of_their_column() {
        assert_eq!(Metric::P99.show_with_unit(1_234.0), "1.23 ms");
        assert_eq!(Metric::P99.show_with_unit(1_234_000.0), "1234 ms");
        assert_eq!(Metric::Cpu.show_with_unit(19.84), "19.8 µs");
        assert_eq!(Metric::Rss.show_with_unit(11.96), "12.0 MiB");
        assert_eq!(Metric::Recovery.show_with_unit(2_000_000.0), "2 s");
        assert_eq!(Metric::PerCore.show_with_unit(48_200.4), "48,200/s");
        assert_eq!(Metric::Amplification.show_with_unit(1.089), "1.09");
    }

    #[test]
    fn what_is_no_number_is_a_dash_and_a_recovery_that_does_not_come_is_never() {
        assert_eq!(Metric::P99.show(f64::NAN), "–");
        assert_eq!(Metric::Success.show(f64::INFINITY), "–");
        assert_eq!(Metric::Recovery.show(f64::INFINITY), "never");
        assert_eq!(Metric::Recovery.show(f64::NAN), "–");
    }

    #[test]
    fn negative_figures_have_a_minus_sign_and_zero_has_none() {
        assert_eq!(Metric::P50Added.show(-21.0), "−0.02");
        assert_eq!(Metric::P50Added.show(-2.0), "0.00");
        assert_eq!(thousands(-1_234_567.0), "−1,234,567");
    }
}
