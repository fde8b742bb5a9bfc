//! The files of /proc, as far as we read them. Parsers take text, so that they are tested on fixed texts.

use std::fs;
use std::path::Path;

/// What a tick of /proc lasts: `USER_HZ` is 100 on every architecture that Rust and Linux share.
pub const TICK_NS: u64 = 10_000_000;

/// Of `/proc/PID/stat` or `/proc/PID/task/TID/stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Process group.
    pub group: i32,
    /// CPU time in ticks.
    pub user: u64,
    pub system: u64,
    /// Threads of the process.
    pub threads: u32,
    /// Ticks since boot; tells a process from a later one with the same number.
    pub started: u64,
    /// It has ended and waits for its parent to notice.
    pub zombie: bool,
}

impl Stat {
    /// `None` if the text is no such file.
    pub fn parse(text: &str) -> Option<Stat> {
        // The command's name stands in brackets and may itself contain brackets and blanks.
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        // The first of `fields` is the third of proc_pid_stat(5).
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        Some(Stat {
            group: fields.get(2)?.parse().ok()?,
            user: number(14)?,
            system: number(15)?,
            threads: u32::try_from(number(20)?).ok()?,
            started: number(22)?,
            zombie: *fields.first()? == "Z",
        })
    }
}

/// Of `/proc/PID/status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Resident memory of the process.
    pub rss_kib: u64,
    /// Context switches of this thread.
    pub voluntary: u64,
    pub involuntary: u64,
    /// Process that traces it; 0 without one.
    pub tracer: u32,
}

impl Status {
    /// Lines that are missing count as 0 (a kernel thread has no memory of its own).
    pub fn parse(text: &str) -> Status {
        let number = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
            line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
        };
        Status {
            rss_kib: number("VmRSS"),
            voluntary: number("voluntary_ctxt_switches"),
            involuntary: number("nonvoluntary_ctxt_switches"),
            tracer: u32::try_from(number("TracerPid")).unwrap_or(0),
        }
    }
}

/// Nanoseconds on the CPU, of `/proc/PID/task/TID/schedstat`; `None` where the kernel does not count them.
pub fn schedstat(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

/// Of one `cpu` line of `/proc/stat`, in ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Core {
    /// Running processes, nice ones included.
    pub processes: u64,
    /// Interrupts and what they leave to do later (the network, mostly).
    pub interrupts: u64,
    /// Taken by the host.
    pub steal: u64,
}

impl Core {
    /// `None` if there is no such core.
    pub fn parse(text: &str, core: u32) -> Option<Core> {
        let name = format!("cpu{core}");
        let mut fields = text.lines().map(str::split_whitespace).find_map(|mut fields| {
            (fields.next()? == name).then_some(fields) // a blank line is no core, and no reason to stop looking
        })?;
        let mut next = || fields.next()?.parse::<u64>().ok();
        let (user, nice, system, _idle, _iowait) = (next()?, next()?, next()?, next()?, next()?);
        let (irq, softirq, steal) = (next()?, next()?, next()?);
        Some(Core { processes: user + nice + system, interrupts: irq + softirq, steal })
    }
}

/// Numbers of all processes whose group is one of `groups`.
///
/// Every arm's process leads a group of its own, so that workers are found even when their parent has ended.
pub fn members(groups: &[i32]) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let belongs = |pid: &u32| {
        let stat = read(format!("/proc/{pid}/stat")).and_then(|text| Stat::parse(&text));
        stat.is_some_and(|stat| !stat.zombie && groups.contains(&stat.group))
    };
    pids.filter(belongs).collect()
}

/// Numbers of the threads of a process; empty once it has ended.
pub fn threads(pid: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The text of a file; `None` if the process has ended meanwhile.
pub fn read(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_blanks_does_not_shift_the_fields_of_stat() {
        let text = "4711 (nginx: (work) er) S 4710 4700 4700 0 -1 4194624 3001 0 2 0 \
                    123 456 7 8 20 0 3 0 99887 60416000 1500 18446744073709551615\n";
        let expected = Stat { group: 4700, user: 123, system: 456, threads: 3, started: 99887, zombie: false };
        assert_eq!(Stat::parse(text), Some(expected));
        assert_eq!(Stat::parse("4711 (cut"), None);
        assert_eq!(Stat::parse("4711 (short) S 1 2"), None);
    }

    #[test]
    fn an_ended_process_is_told_from_a_running_one() {
        let text = "9 (sh) Z 1 9 9 0 -1 0 0 0 0 0 1 2 0 0 20 0 1 0 5 0 0";
        assert!(Stat::parse(text).is_some_and(|stat| stat.zombie));
    }

    #[test]
    fn status_gives_memory_switches_and_the_tracer() {
        let text = "Name:\tenvoy\nTracerPid:\t812\nVmHWM:\t  70000 kB\nVmRSS:\t   65432 kB\n\
                    voluntary_ctxt_switches:\t150\nnonvoluntary_ctxt_switches:\t545\n";
        assert_eq!(Status::parse(text), Status { rss_kib: 65432, voluntary: 150, involuntary: 545, tracer: 812 });
        assert_eq!(Status::parse("Name:\tkthreadd\n"), Status::default());
    }

    #[test]
    fn schedstat_begins_with_the_time_on_the_cpu() {
        assert_eq!(schedstat("2906794 1200 33\n"), Some(2_906_794));
        assert_eq!(schedstat(""), None);
    }

    #[test]
    fn a_core_is_found_by_its_whole_number() {
        let text = "cpu  9 9 9 9 9 9 9 9 0 0\ncpu1 1 2 3 400 5 6 7 8 0 0\ncpu11 11 0 0 0 0 0 0 0 0 0\n\nintr 5\n";
        assert_eq!(Core::parse(text, 1), Some(Core { processes: 6, interrupts: 13, steal: 8 }));
        assert_eq!(Core::parse(text, 11), Some(Core { processes: 11, interrupts: 0, steal: 0 }));
        assert_eq!(Core::parse(text, 2), None);
    }

    #[test]
    fn this_process_is_a_member_of_its_own_group() {
        let text = read("/proc/self/stat").expect("/proc");
        let group = Stat::parse(&text).expect("a stat file").group;
        assert!(members(&[group]).contains(&std::process::id()));
        assert!(members(&[]).is_empty());
        assert!(!threads(std::process::id()).is_empty());
    }
}
