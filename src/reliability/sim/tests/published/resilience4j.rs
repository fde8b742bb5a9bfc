//! resilience4j: a window of calls, and what half-open permits.

use std::collections::VecDeque;

/// One call.
#[derive(Clone, Copy)]
struct Call {
    failed: bool,
    ms: u32,
}

const OK: Call = Call { failed: false, ms: 100 };
const ERROR: Call = Call { failed: true, ms: 100 };

/// The last calls, and sums of them.
struct CallWindow {
    size: usize,
    slow_above_ms: u32,
    calls: VecDeque<Call>,
}

impl CallWindow {
    fn new(size: usize) -> CallWindow {
        CallWindow { size, slow_above_ms: 1_000, calls: VecDeque::new() }
    }

    fn record(&mut self, call: Call) {
        if self.calls.len() == self.size {
            self.calls.pop_front();
        }
        self.calls.push_back(call);
    }

    fn total_ms(&self) -> u32 {
        self.calls.iter().map(|call| call.ms).sum()
    }

    fn share(&self, which: impl Fn(&Call) -> bool) -> f64 {
        let found = self.calls.iter().filter(|call| which(call)).count();
        found as f64 * 100.0 / self.calls.len() as f64
    }

    fn failure_percent(&self) -> f64 {
        self.share(|call| call.failed)
    }

    fn slow_percent(&self) -> f64 {
        self.share(|call| call.ms > self.slow_above_ms)
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Closed,
    Open,
    HalfOpen,
    ForcedOpen,
}

/// Opens at 50 % of failed or slow calls, judged when a window is full.
struct Breaker {
    state: State,
    window: CallWindow,
    permits: usize,
    refused: u32,
}

impl Breaker {
    const PERCENT: f64 = 50.0;

    fn new(state: State, window: usize) -> Breaker {
        Breaker { state, window: CallWindow::new(window), permits: window, refused: 0 }
    }

    fn acquire(&mut self) -> bool {
        let permitted = match self.state {
            State::Closed => true,
            State::HalfOpen => self.permits > 0,
            State::Open | State::ForcedOpen => false,
        };
        if self.state == State::HalfOpen {
            self.permits = self.permits.saturating_sub(1);
        }
        self.refused += u32::from(!permitted);
        permitted
    }

    /// A permit that was not used.
    fn release(&mut self) {
        self.permits += 1;
    }

    fn record(&mut self, call: Call) {
        self.window.record(call);
        if self.window.calls.len() < self.window.size {
            return;
        }
        let ill = self.window.failure_percent() >= Self::PERCENT || self.window.slow_percent() >= Self::PERCENT;
        self.state = match self.state {
            State::Closed | State::HalfOpen if ill => State::Open,
            State::HalfOpen => State::Closed,
            other => other,
        };
    }

    /// The state after these calls.
    fn after(mut self, calls: &[Call]) -> State {
        calls.iter().for_each(|call| self.record(*call));
        self.state
    }
}

#[test]
fn c1_three_of_five_failed_or_slow_open_with_the_fifth() {
    let mut breaker = Breaker::new(State::Closed, 5);
    [ERROR, ERROR, ERROR, OK].iter().for_each(|call| breaker.record(*call));
    assert_eq!(breaker.state, State::Closed);
    breaker.record(OK);
    assert_eq!((breaker.state, breaker.window.failure_percent()), (State::Open, 60.0));
    let slow = Call { ms: 2_000, ..OK };
    assert_eq!(Breaker::new(State::Closed, 5).after(&[OK, OK, slow, slow]), State::Closed);
    assert_eq!(Breaker::new(State::Closed, 5).after(&[OK, OK, slow, slow, slow]), State::Open);
}

#[test]
fn c2_half_open_is_judged_when_all_four_results_are_in() {
    let half_open = || Breaker::new(State::HalfOpen, 4);
    assert_eq!(half_open().after(&[ERROR, ERROR, OK]), State::HalfOpen);
    assert_eq!(half_open().after(&[ERROR, ERROR, OK, ERROR]), State::Open);
    assert_eq!(half_open().after(&[ERROR, OK, OK, OK]), State::Closed);
    let slow = Call { ms: 5_000, ..OK };
    let mut breaker = half_open();
    [slow, slow, slow, Call { ms: 1_000, ..OK }].iter().for_each(|call| breaker.record(*call));
    assert_eq!((breaker.state, breaker.window.slow_percent()), (State::Open, 75.0));
}

#[test]
fn c3_the_fifth_permit_is_refused_one_given_back_is_granted_and_refusals_are_counted() {
    let mut breaker = Breaker::new(State::HalfOpen, 4);
    assert!((0..4).all(|_| breaker.acquire()));
    assert!(!breaker.acquire());
    breaker.release();
    assert!(breaker.acquire());
    let mut forced = Breaker::new(State::ForcedOpen, 4);
    assert!((0..3).all(|_| !forced.acquire()));
    assert_eq!(forced.refused, 3);
}

#[test]
fn w1_five_calls_have_a_sum_a_mean_and_a_share_of_slow_ones() {
    let mut window = CallWindow::new(5);
    for (failed, ms) in [(false, 10_000), (true, 10_000), (false, 100), (false, 100), (false, 100)] {
        window.record(Call { failed, ms });
    }
    assert_eq!((window.total_ms(), window.total_ms() / 5), (20_300, 4_060));
    assert_eq!(window.slow_percent(), 40.0);
}

#[test]
fn w2_the_share_of_failures_falls_with_each_success_and_to_zero_when_the_error_leaves() {
    let mut window = CallWindow::new(4);
    let seen = [ERROR, OK, OK, OK, OK].map(|call| {
        window.record(call);
        window.failure_percent() as f32
    });
    // In single precision, as they print it.
    assert_eq!(seen, [100.0, 50.0, 33.333_332, 25.0, 0.0]);
}
