//! What tests do to the program from inside: end it or stop it at a named point, or leave out a step on which its
//! promises rest. The at-most-once harness (`tests/at_most_once`) walks over all of them.
//!
//! With the feature `testing` only. Without it both functions are `const`, and the compiler is the witness that they do
//! nothing: a `const fn` can neither read the environment nor send a signal.

use crate::reliability::idempotency::State;

/// Where a keyed request, or the file of its record, stands. A new step of either gets a new point here, and the
/// harness dies there as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Point {
    /// The store was not asked yet.
    BeforeClaim,
    /// The key is ours.
    AfterClaim,
    /// The store is about to be asked for leave to send.
    BeforeSent,
    /// SENT is written and not committed.
    InsideSent,
    /// Whatever was written is about to be committed…
    BeforeCommit,
    /// …is committed, and nobody was told…
    AfterCommit,
    /// The store has given leave to send.
    AfterSent,
    /// The connection is there.
    BeforeFirstByte,
    /// A part of the request has left.
    MidRequest,
    /// All of it has.
    AfterRequest,
    /// The head of the answer is there.
    MidResponse,
    /// All of the answer is, and the store does not know.
    AfterResponse,
    /// COMPLETE is written and not committed.
    InsideComplete,
    /// The store knows, and the client does not.
    AfterComplete,
    /// A part of the answer has left, or all of it.
    MidReply,
    /// UNKNOWN or RETRYABLE is written and not committed.
    InsideFail,
    /// The row of a freed key is deleted, and that is not committed.
    InsideRelease,
    /// Some expired rows are deleted, and that is not committed.
    InsideSweep,
    /// The log is about to be copied into the file…
    BeforeCheckpoint,
    /// …and was.
    AfterCheckpoint,
    /// At start: requests without an owner were found, and that is not committed.
    Recovery,
    /// What a dead letter would need was noted before its request was sent, and that is not committed.
    StubWritten,
    /// A dead letter is written and not committed.
    InsideLetter,
    /// Dead letters were closed by the answer of their key, and that is not committed.
    InsideSupersede,
    /// A dead letter is marked as being sent again, and that is not committed…
    InsideReplayStart,
    /// …is committed, and nothing was sent yet.
    AfterReplayStart,
    /// It was sent again and its key knows what became of it, and the letter does not.
    AfterReplaySent,
    /// A dead letter was closed or opened again, and that is not committed.
    InsideReplayFinish,
}

impl Point {
    /// All.
    pub const ALL: [Point; 28] = [
        Point::BeforeClaim,
        Point::AfterClaim,
        Point::BeforeSent,
        Point::InsideSent,
        Point::BeforeCommit,
        Point::AfterCommit,
        Point::AfterSent,
        Point::BeforeFirstByte,
        Point::MidRequest,
        Point::AfterRequest,
        Point::MidResponse,
        Point::AfterResponse,
        Point::InsideComplete,
        Point::AfterComplete,
        Point::MidReply,
        Point::InsideFail,
        Point::InsideRelease,
        Point::InsideSweep,
        Point::BeforeCheckpoint,
        Point::AfterCheckpoint,
        Point::Recovery,
        Point::StubWritten,
        Point::InsideLetter,
        Point::InsideSupersede,
        Point::InsideReplayStart,
        Point::AfterReplayStart,
        Point::AfterReplaySent,
        Point::InsideReplayFinish,
    ];

    /// The row of a record in this state is being written.
    pub const fn inside(state: State) -> Point {
        match state {
            State::Complete => Point::InsideComplete,
            State::Unknown | State::Retryable => Point::InsideFail,
            // A claimed record is never written.
            State::Sent | State::Claimed => Point::InsideSent,
        }
    }
}

/// A step that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// The request is sent without the store's leave: nobody writes that it may have left.
    UnmarkedSend,
    /// A claim does not look at what is there: it takes the place of it.
    OverwritingClaim,
}

/// Ends or stops the process here if a test has said so.
#[cfg(not(feature = "testing"))]
#[inline(always)]
pub const fn crash_point(_point: Point) {}

/// Whether a test has said so.
#[cfg(not(feature = "testing"))]
#[inline(always)]
pub const fn is_broken(_defect: Defect) -> bool {
    false
}

#[cfg(not(feature = "testing"))]
const _: () = {
    crash_point(Point::AfterSent);
    assert!(!is_broken(Defect::UnmarkedSend) && !is_broken(Defect::OverwritingClaim));
};

#[cfg(feature = "testing")]
pub use armed::{CRASH_AT, DEFECT, STOP_AT, crash_point, is_broken};

#[cfg(feature = "testing")]
mod armed {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use rustix::process::{Signal, getpid, kill_process};

    use super::{Defect, Point};

    /// `Point:N` in this variable: SIGKILL when the point is passed for the N-th time.
    pub const CRASH_AT: &str = "OUTRIGGER_CRASH_AT";
    /// The same with SIGSTOP.
    pub const STOP_AT: &str = "OUTRIGGER_STOP_AT";
    /// The defect by its name.
    pub const DEFECT: &str = "OUTRIGGER_DEFECT";

    static CRASH: LazyLock<Option<Trap>> = LazyLock::new(|| Trap::read(CRASH_AT, Signal::KILL));
    static STOP: LazyLock<Option<Trap>> = LazyLock::new(|| Trap::read(STOP_AT, Signal::STOP));
    static BROKEN: LazyLock<String> = LazyLock::new(|| std::env::var(DEFECT).unwrap_or_default());

    struct Trap {
        point: Point,
        left: AtomicU64,
        signal: Signal,
    }

    impl Trap {
        fn read(variable: &str, signal: Signal) -> Option<Trap> {
            let text = std::env::var(variable).ok()?;
            let (name, passage) = text.split_once(':')?;
            let point = Point::ALL.into_iter().find(|point| format!("{point:?}") == name)?;
            Some(Trap { point, left: AtomicU64::new(passage.parse().ok()?), signal })
        }

        fn pass(&self, point: Point) {
            // Below zero it wraps, and is not 1 again within anybody's life.
            if point == self.point && self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
                let _ = kill_process(getpid(), self.signal);
                // The end comes before this call returns. A stop comes when another thread has seen the signal.
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }

    /// Ends or stops the process here if a test has said so.
    pub fn crash_point(point: Point) {
        [&CRASH, &STOP].into_iter().filter_map(|trap| trap.as_ref()).for_each(|trap| trap.pass(point));
    }

    /// Whether a test has said so.
    pub fn is_broken(defect: Defect) -> bool {
        !BROKEN.is_empty() && *BROKEN == format!("{defect:?}")
    }
}
