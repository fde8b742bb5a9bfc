//! CPU time, memory and context switches of an arm's processes between two moments.

use std::collections::BTreeMap;
use std::time::Instant;

use outrigger::clock;

use super::proc::{self, Core, Stat, Status, TICK_NS};
use crate::results::Cost;

/// What one thread had used when it was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Usage {
    /// On the CPU.
    cpu_ns: u64,
    /// The same in ticks, by mode.
    user: u64,
    system: u64,
    voluntary: u64,
    involuntary: u64,
}

impl Usage {
    /// What was used since `base`. Counters never fall; a kernel that lets them is not worth a panic.
    fn since(self, base: Usage) -> Usage {
        Usage {
            cpu_ns: self.cpu_ns.saturating_sub(base.cpu_ns),
            user: self.user.saturating_sub(base.user),
            system: self.system.saturating_sub(base.system),
            voluntary: self.voluntary.saturating_sub(base.voluntary),
            involuntary: self.involuntary.saturating_sub(base.involuntary),
        }
    }

    fn plus(self, other: Usage) -> Usage {
        Usage {
            cpu_ns: self.cpu_ns + other.cpu_ns,
            user: self.user + other.user,
            system: self.system + other.system,
            voluntary: self.voluntary + other.voluntary,
            involuntary: self.involuntary + other.involuntary,
        }
    }

    /// Seconds in user mode and in the kernel.
    ///
    /// The sum is the scheduler's, in nanoseconds. The kernel gives the two modes in ticks of 10 ms only, and on
    /// most kernels by looking which one a timer tick met: good for a share, too coarse for a sum.
    fn seconds(self) -> (f64, f64) {
        let ticks = self.user + self.system;
        let share = if ticks == 0 { 0.5 } else { self.user as f64 / ticks as f64 };
        let total = self.cpu_ns as f64 / 1e9;
        (total * share, total * (1.0 - share))
    }
}

/// A thread: its number and when it began, since numbers are used again.
type Thread = (u32, u64);

/// Watches processes by their groups. Sample it about every second: what a process used since the last sample is
/// lost if it ends (old workers after a reload do).
#[derive(Debug)]
pub struct Meter {
    groups: Vec<i32>,
    core: Option<u32>,
    began: Instant,
    core_base: Core,
    base: BTreeMap<Thread, Usage>,
    last: BTreeMap<Thread, Usage>,
    threads: u32,
    rss_idle_kib: u64,
    rss_kib: u64,
    rss_max_kib: u64,
    stopped: Option<Stopped>,
}

/// What the last look brought.
#[derive(Clone, Copy, Debug)]
struct Stopped {
    used: Usage,
    wall_s: f64,
    core_stolen: f64,
}

impl Meter {
    /// Begins now. `idle_kib` is the memory that [`resident_kib`] saw before any load, `core` the processes' core.
    pub fn begin(groups: Vec<i32>, core: Option<u32>, idle_kib: u64) -> Meter {
        let mut meter = Meter {
            groups,
            core,
            began: clock::now(),
            core_base: core_now(core),
            base: BTreeMap::new(),
            last: BTreeMap::new(),
            threads: 0,
            rss_idle_kib: idle_kib,
            rss_kib: 0,
            rss_max_kib: 0,
            stopped: None,
        };
        meter.sample();
        meter.base = meter.last.clone();
        meter
    }

    /// Looks at all processes. Threads that have ended keep what they were last seen with.
    pub fn sample(&mut self) {
        (self.threads, self.rss_kib) = (0, 0);
        for pid in proc::members(&self.groups) {
            let status = proc::read(format!("/proc/{pid}/status")).unwrap_or_default();
            self.rss_kib += Status::parse(&status).rss_kib;
            for thread in proc::threads(pid) {
                if let Some((key, usage)) = look(pid, thread) {
                    self.last.insert(key, usage);
                    self.threads += 1;
                }
            }
        }
        self.rss_max_kib = self.rss_max_kib.max(self.rss_kib);
    }

    /// The measured part is over: nothing is counted any more.
    pub fn stop(&mut self) {
        self.sample();
        let wall_s = clock::now().duration_since(self.began).as_secs_f64();
        let base = |thread| self.base.get(thread).copied().unwrap_or_default();
        let used =
            self.last.iter().map(|(thread, usage)| usage.since(base(thread))).fold(Usage::default(), Usage::plus);
        let stolen =
            || taken_by_others(self.core_base, core_now(self.core), used.cpu_ns, wall_s, interrupts_are_apart());
        let core_stolen = if self.core.is_some() { stolen() } else { 0.0 };
        self.stopped = Some(Stopped { used, wall_s, core_stolen });
    }

    /// What was used until [`Meter::stop`], or until now without one. `requests`: how many the clients sent meanwhile.
    pub fn cost(mut self, requests: u64) -> Cost {
        if self.stopped.is_none() {
            self.stop();
        }
        let Some(Stopped { used, wall_s, core_stolen }) = self.stopped else { return Cost::default() };
        let (user_s, system_s) = used.seconds();
        let each = |count: u64| count as f64 / requests.max(1) as f64;
        Cost {
            user_s,
            system_s,
            wall_s,
            requests,
            rss_idle_kib: self.rss_idle_kib,
            rss_kib: self.rss_kib,
            rss_max_kib: self.rss_max_kib,
            threads: self.threads,
            switches_voluntary: each(used.voluntary),
            switches_involuntary: each(used.involuntary),
            syscalls: None,
            syscalls_by_name: Vec::new(),
            core_stolen,
        }
    }
}

/// Resident memory of all processes of the groups, in KiB. Pages that processes share count once for each.
pub fn resident_kib(groups: &[i32]) -> u64 {
    let statuses = proc::members(groups).into_iter().filter_map(|pid| proc::read(format!("/proc/{pid}/status")));
    statuses.map(|text| Status::parse(&text).rss_kib).sum()
}

/// `None` once the thread has ended.
fn look(pid: u32, thread: u32) -> Option<(Thread, Usage)> {
    let folder = format!("/proc/{pid}/task/{thread}");
    let stat = Stat::parse(&proc::read(format!("{folder}/stat"))?)?;
    let status = Status::parse(&proc::read(format!("{folder}/status"))?);
    let exact = proc::read(format!("{folder}/schedstat")).and_then(|text| proc::schedstat(&text));
    let usage = Usage {
        cpu_ns: exact.unwrap_or((stat.user + stat.system) * TICK_NS),
        user: stat.user,
        system: stat.system,
        voluntary: status.voluntary,
        involuntary: status.involuntary,
    };
    Some(((thread, stat.started), usage))
}

fn core_now(core: Option<u32>) -> Core {
    let text = core.and_then(|_| proc::read("/proc/stat")).unwrap_or_default();
    core.and_then(|core| Core::parse(&text, core)).unwrap_or_default()
}

/// Share of a core that was used by anything but us, which used `ours_ns` of it.
///
/// Work of the network stack runs in soft interrupts, mostly on behalf of whoever is running. Most kernels count
/// it as that process's time and, in /proc/stat, as interrupts; those that keep it apart (`apart`) count it for no
/// process, so that it would look like somebody else's.
fn taken_by_others(from: Core, to: Core, ours_ns: u64, wall_s: f64, apart: bool) -> f64 {
    let ticks = |of: fn(&Core) -> u64| of(&to).saturating_sub(of(&from));
    let interrupts = if apart { 0 } else { ticks(|core| core.interrupts) };
    let busy_ns = (ticks(|core| core.processes) + ticks(|core| core.steal) + interrupts) * TICK_NS;
    if wall_s > 0.0 { busy_ns.saturating_sub(ours_ns) as f64 / 1e9 / wall_s } else { 0.0 }
}

/// Whether this kernel keeps the time of interrupts apart from processes. Where its configuration cannot be read,
/// yes: then a little of other processes' load goes unseen, and no good round is refused.
fn interrupts_are_apart() -> bool {
    let release = proc::read("/proc/sys/kernel/osrelease").unwrap_or_default();
    let config = proc::read(format!("/boot/config-{}", release.trim()));
    let config = config.or_else(|| {
        let unpacked = std::process::Command::new("zcat").arg("/proc/config.gz").output().ok()?;
        unpacked.status.success().then(|| String::from_utf8_lossy(&unpacked.stdout).into_owned())
    });
    config.is_none_or(|text| text.lines().any(|line| line == "CONFIG_IRQ_TIME_ACCOUNTING=y"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_the_schedulers_and_only_the_share_is_by_ticks() {
        let used = Usage { cpu_ns: 2_000_000_000, user: 30, system: 90, ..Usage::default() };
        assert_eq!(used.seconds(), (0.5, 1.5));
    }

    #[test]
    fn less_than_a_tick_is_split_evenly() {
        assert_eq!(Usage { cpu_ns: 4_000_000, ..Usage::default() }.seconds(), (0.002, 0.002));
    }

    #[test]
    fn what_we_used_ourselves_is_not_taken_by_others() {
        let from = Core { processes: 100, interrupts: 10, steal: 0 };
        let to = Core { processes: 160, interrupts: 30, steal: 20 };
        // A second: 600 ms processes, 200 ms interrupts, 200 ms stolen; ours are 700 ms.
        assert_eq!(taken_by_others(from, to, 700_000_000, 1.0, false), 0.3);
        assert!((taken_by_others(from, to, 700_000_000, 1.0, true) - 0.1).abs() < 1e-9);
        assert_eq!(taken_by_others(from, from, 5, 1.0, false), 0.0);
        assert_eq!(taken_by_others(from, to, 0, 0.0, false), 0.0);
    }

    #[test]
    fn a_process_that_works_is_seen_working() {
        let group = Stat::parse(&proc::read("/proc/self/stat").expect("/proc")).expect("a stat file").group;
        let mut meter = Meter::begin(vec![group], None, 7);
        let until = clock::now() + std::time::Duration::from_millis(60);
        let mut rounds = 0_u64;
        while clock::now() < until {
            rounds = std::hint::black_box(rounds + 1);
        }
        meter.stop();
        let cost = meter.cost(10);
        assert!(cost.user_s + cost.system_s > 0.0, "{cost:?}");
        assert!(cost.rss_kib > 0 && cost.rss_max_kib >= cost.rss_kib && cost.rss_idle_kib == 7, "{cost:?}");
        assert!(cost.threads > 0 && cost.wall_s > 0.0 && cost.requests == 10, "{cost:?}");
    }
}
