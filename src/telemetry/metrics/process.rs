//! `process_*`: what Prometheus client libraries say about their process, read from /proc. Elsewhere than on
//! Linux the lines are absent rather than wrong.

use std::fs;

use super::exposition::{Exposition, Family, Type};

/// Ticks per second of the times in /proc. The kernel converts to USER_HZ, which is 100 on every
/// architecture that Rust's std supports on Linux.
const TICKS_PER_SECOND: f64 = 100.0;

const CPU: Family = Family {
    name: "process_cpu_seconds_total",
    kind: Type::Counter,
    help: "User and system CPU time spent by the process, in seconds.",
};
const START: Family = Family {
    name: "process_start_time_seconds",
    kind: Type::Gauge,
    help: "When the process started, in seconds since the Unix epoch.",
};
const RESIDENT: Family = Family {
    name: "process_resident_memory_bytes",
    kind: Type::Gauge,
    help: "Memory of the process that is in RAM, in bytes.",
};
const VIRTUAL: Family = Family {
    name: "process_virtual_memory_bytes",
    kind: Type::Gauge,
    help: "Virtual memory of the process, in bytes.",
};
const THREADS: Family =
    Family { name: "process_threads", kind: Type::Gauge, help: "Operating system threads of the process." };
const OPEN_FDS: Family = Family { name: "process_open_fds", kind: Type::Gauge, help: "Open file descriptors." };
const MAX_FDS: Family =
    Family { name: "process_max_fds", kind: Type::Gauge, help: "Limit of open file descriptors (soft)." };

pub(super) fn render(out: &mut Exposition) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let none: [(&str, &str); 0] = [];
    let mut one = |family: &Family, value: Option<f64>| out.samples(family, value.map(|v| (none, v)));
    one(
        &CPU,
        stat_field(&stat, 14).zip(stat_field(&stat, 15)).map(|(user, system)| (user + system) / TICKS_PER_SECOND),
    );
    one(&START, stat_field(&stat, 22).zip(boot_time_seconds()).map(|(ticks, boot)| boot + ticks / TICKS_PER_SECOND));
    one(&RESIDENT, status_number(&status, "VmRSS:").map(|kib| kib * 1024.0));
    one(&VIRTUAL, status_number(&status, "VmSize:").map(|kib| kib * 1024.0));
    one(&THREADS, status_number(&status, "Threads:"));
    one(&OPEN_FDS, open_fds());
    one(&MAX_FDS, max_fds());
}

/// Field `number` of proc(5) `stat`, counted from 1. The second field is the program's name in brackets and
/// may hold spaces, so counting starts after the last bracket.
fn stat_field(stat: &str, number: usize) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

fn status_number(status: &str, key: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

fn boot_time_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

fn open_fds() -> Option<f64> {
    // One of the entries is the directory that is being read.
    Some(fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as f64)
}

fn max_fds() -> Option<f64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_brackets_and_spaces_does_not_shift_the_fields() {
        let stat = "7 (a) b) c) S 1 7 7 0 -1 4 0 0 0 0 150 50 0 0 20 0 4 0 12345 9 9";
        assert_eq!(
            (stat_field(stat, 14), stat_field(stat, 15), stat_field(stat, 22)),
            (Some(150.0), Some(50.0), Some(12345.0))
        );
        assert_eq!(stat_field("", 14), None);
        assert_eq!(stat_field("7 (x) S", 99), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_memory_a_descriptor_and_a_start_time_in_the_past() {
        let mut out = Exposition::default();
        render(&mut out);
        let text = out.finish();
        let value = |name: &str| -> f64 {
            text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' ')).unwrap().parse().unwrap()
        };
        assert!(value("process_resident_memory_bytes") > 1e6);
        assert!(value("process_open_fds") >= 3.0);
        assert!(value("process_max_fds") >= value("process_open_fds"));
        assert!(value("process_threads") >= 1.0);
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
        assert!((0.0..86_400.0).contains(&(now - value("process_start_time_seconds"))));
    }
}
