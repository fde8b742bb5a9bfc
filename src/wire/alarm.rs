//! One timer for everything that one task waits for.
//!
//! A timer that is made, registered, polled and taken back for each request costs more than the request's own
//! decisions. Deadlines of one task follow each other and nearly always move forward: one timer per task is
//! enough, and it is set anew only when something earlier is asked for, or when it rings too early.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use pin_project_lite::pin_project;
use tokio::time::Sleep;

use crate::clock;

/// Asked for by nobody.
const NOTHING: u64 = u64::MAX;

/// What a task asks its timer for. One asker at a time: the last one counts.
#[derive(Debug)]
pub struct Alarm {
    base: Instant,
    /// Nanoseconds since `base`, or [`NOTHING`].
    wanted: AtomicU64,
    /// When it last rang, in nanoseconds since `base`; 0 = never.
    rang: AtomicU64,
}

impl Alarm {
    /// Nothing is asked for yet.
    pub fn new() -> Alarm {
        Alarm { base: clock::now(), wanted: AtomicU64::new(NOTHING), rang: AtomicU64::new(0) }
    }

    /// The task is polled again at `until` at the latest.
    pub fn ask(&self, until: Instant) {
        self.wanted.store(self.nanos(until), Ordering::Relaxed);
    }

    /// Whether it rang at or after `until`. Reads no clock.
    pub fn passed(&self, until: Instant) -> bool {
        let rang = self.rang.load(Ordering::Relaxed);
        rang != 0 && rang >= self.nanos(until)
    }

    /// An alarm for one of several parts of the task's work. Who polls the parts rings it through [`Alarm::relay`].
    pub fn part(&self) -> Alarm {
        Alarm { base: self.base, wanted: AtomicU64::new(NOTHING), rang: AtomicU64::new(0) }
    }

    /// Rings those of `parts` whose time has come. True: one has rung, and its part must be polled again.
    pub fn relay(&self, parts: &[&Alarm]) -> bool {
        let rang = self.rang.load(Ordering::Relaxed);
        let mut rung = false;
        for part in parts {
            let wanted = part.wanted.load(Ordering::Relaxed);
            if rang != 0 && wanted <= rang {
                part.rang.store(rang, Ordering::Relaxed);
                part.wanted.store(NOTHING, Ordering::Relaxed);
                rung = true;
            }
        }
        rung
    }

    /// Asks for the earliest of what `parts` ask for, and of `until`.
    pub fn ask_for(&self, parts: &[&Alarm], until: Option<Instant>) {
        let until = until.map_or(NOTHING, |until| self.nanos(until));
        let wanted = parts.iter().map(|part| part.wanted.load(Ordering::Relaxed)).fold(until, u64::min);
        self.wanted.store(wanted, Ordering::Relaxed);
    }

    fn nanos(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.base).as_nanos()).unwrap_or(NOTHING - 1)
    }

    fn at(&self, nanos: u64) -> Option<Instant> {
        self.base.checked_add(Duration::from_nanos(nanos))
    }
}

impl Default for Alarm {
    fn default() -> Self {
        Alarm::new()
    }
}

/// The timer behind an [`Alarm`], polled by the task's outermost future.
#[derive(Debug, Default)]
pub struct Bell {
    sleep: Option<Pin<Box<Sleep>>>,
    /// Nanoseconds since the alarm's base at which `sleep` ends; 0 = it is not registered with this task.
    armed: u64,
}

impl Bell {
    /// Called after everything inside has been polled and waits. `Ready`: the alarm rang, poll again.
    pub fn poll(&mut self, alarm: &Alarm, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let wanted = alarm.wanted.load(Ordering::Relaxed);
            if self.armed != 0 && self.armed <= wanted {
                // It rings early enough, and this task is the one that it wakes.
                let rings = self.sleep.as_ref().is_some_and(|s| s.is_elapsed());
                if !rings {
                    return Poll::Pending;
                }
            }
            let Some(until) = alarm.at(wanted).filter(|_| wanted != NOTHING) else { return Poll::Pending };
            let now = clock::now();
            if now >= until {
                self.armed = 0;
                alarm.rang.store(alarm.nanos(now).max(1), Ordering::Relaxed);
                // Rung once: whoever waits on asks again.
                alarm.wanted.store(NOTHING, Ordering::Relaxed);
                return Poll::Ready(());
            }
            let sleep = match &mut self.sleep {
                Some(sleep) => {
                    sleep.as_mut().reset(until.into());
                    sleep
                }
                None => self.sleep.insert(Box::pin(tokio::time::sleep_until(until.into()))),
            };
            self.armed = wanted.max(1);
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

pin_project! {
    /// A future whose task has an alarm.
    pub struct Alarmed<'a, F> {
        #[pin]
        inner: F,
        alarm: &'a Alarm,
        bell: Bell,
    }
}

/// Polls `inner` again whenever `alarm` rings.
pub fn alarmed<F: Future>(alarm: &Alarm, inner: F) -> Alarmed<'_, F> {
    Alarmed { inner, alarm, bell: Bell::default() }
}

impl<F: Future> Future for Alarmed<'_, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        loop {
            if let Poll::Ready(output) = this.inner.as_mut().poll(cx) {
                return Poll::Ready(output);
            }
            if this.bell.poll(this.alarm, cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn until(alarm: &Alarm, at: Instant) {
        alarm.ask(at);
        std::future::poll_fn(|_| if alarm.passed(at) { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    #[tokio::test(start_paused = true)]
    async fn it_rings_at_the_moment_asked_for_and_not_before() {
        let alarm = Alarm::new();
        let start = clock::now();
        alarmed(&alarm, until(&alarm, start + Duration::from_millis(300))).await;
        let late = clock::now() - start;
        assert!(late >= Duration::from_millis(300) && late < Duration::from_millis(303), "{late:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn later_and_earlier_wishes_follow_each_other_on_one_timer() {
        let alarm = Alarm::new();
        let start = clock::now();
        alarmed(&alarm, async {
            for (at, by) in [(500, 503), (600, 603), (610, 613), (2_000, 2_003)] {
                until(&alarm, start + Duration::from_millis(at)).await;
                let now = clock::now() - start;
                assert!(now >= Duration::from_millis(at) && now < Duration::from_millis(by), "{at}: {now:?}");
            }
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn parts_ring_each_at_its_own_time_on_the_timer_of_their_task() {
        let alarm = Alarm::new();
        let start = clock::now();
        let (short, long) = (alarm.part(), alarm.part());
        let at = |millis| start + Duration::from_millis(millis);
        alarmed(&alarm, async {
            for (due, part, rings) in [(Some(at(5)), &short, 5), (None, &short, 20), (None, &long, 90)] {
                short.ask(at(20));
                long.ask(at(90));
                std::future::poll_fn(|_| {
                    loop {
                        if due.map_or(part.passed(at(rings)), |due| alarm.passed(due)) {
                            return Poll::Ready(());
                        }
                        if !alarm.relay(&[&short, &long]) {
                            alarm.ask_for(&[&short, &long], due);
                            return Poll::Pending;
                        }
                    }
                })
                .await;
                let late = clock::now() - at(rings);
                assert!(late < Duration::from_millis(3), "{rings}: {late:?}");
            }
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn an_earlier_wish_is_not_held_up_by_a_later_one_that_nobody_waits_for_any_more() {
        let alarm = Alarm::new();
        let start = clock::now();
        alarmed(&alarm, async {
            alarm.ask(start + Duration::from_secs(60));
            tokio::task::yield_now().await;
            until(&alarm, start + Duration::from_millis(20)).await;
        })
        .await;
        assert!(clock::now() - start < Duration::from_millis(30));
    }
}
