//! What a command does to a key, and to the file.

use std::sync::Arc;

use super::index::Live;
use crate::reliability::idempotency::{Millis, Op, Record, Reply, State, apply};
use crate::sabotage::{Defect, is_broken};

/// What a command would do to a key.
pub(super) struct Step {
    pub after: Option<Record>,
    pub reply: Reply,
    pub effect: Effect,
    /// A claim of a key that had no record.
    pub fresh: bool,
}

/// What a dead letter makes of a record that is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pinning {
    /// Nothing.
    Keep,
    /// There is a letter now that needs it.
    Pin,
    /// There is none any more.
    Unpin,
}

/// What of it concerns the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Nothing,
    /// The stored answer is asked for.
    Read,
    /// The row becomes what the record is.
    Write,
    /// The row of a claimed record, which itself is never written, is pinned or unpinned.
    Pin,
    Delete,
}

impl Step {
    /// `pinning`: what a dead letter makes of it, if the operation is carried out.
    pub fn of(live: &Live, op: &Op, now: Millis, pinning: Pinning) -> Step {
        let blind = matches!(op, Op::Claim(_)) && is_broken(Defect::OverwritingClaim);
        let known = live.record.filter(|_| !blind);
        let pinned = live.record.filter(|_| pinning == Pinning::Pin).map(|record| Record { pinned: true, ..record });
        let (mut after, mut reply) = apply(pinned.or(known), op, now);
        if pinned.is_some() && reply != Reply::Done {
            (after, reply) = apply(live.record, op, now);
        }
        if let (Pinning::Unpin, Reply::Done, Some(record)) = (pinning, reply, &mut after) {
            record.pinned = false;
        }
        let fresh = match (reply, live.record, after) {
            (Reply::Granted { fence: 1, .. }, Some(before), Some(after)) => {
                before.state != State::Claimed || before.nonce != after.nonce
            }
            (Reply::Granted { .. }, None, _) => true,
            _ => false,
        };
        Step { after, reply, effect: effect(live, op, after, reply), fresh }
    }

    /// Changes the key.
    pub fn take_place(&self, live: &mut Live, route: Option<Arc<str>>) {
        // What has expired is absent, but stays until its row is swept: the row is found by it.
        if self.after.is_some() || live.row.is_none() || self.effect == Effect::Delete {
            live.record = self.after;
        }
        if matches!(self.reply, Reply::Granted { .. }) && route.is_some() {
            live.route = route;
        }
        match self.effect {
            // What row there may be is of an expired record.
            _ if self.fresh => live.on_disk = false,
            Effect::Write => live.on_disk = true,
            Effect::Delete => live.on_disk = false,
            Effect::Nothing | Effect::Read | Effect::Pin => {}
        }
    }
}

fn effect(live: &Live, op: &Op, after: Option<Record>, reply: Reply) -> Effect {
    match (reply, after) {
        (Reply::Replay { .. }, _) => Effect::Read,
        // Of this record, or of an expired one before it.
        (Reply::Done, None) if live.row.is_some() => Effect::Delete,
        // A lease is not written: after a restart there is no owner, whatever it says.
        (Reply::Done, Some(_)) if matches!(op, Op::Renew { .. }) => Effect::Nothing,
        (Reply::Done, Some(after)) if live.record != Some(after) => match after.state {
            State::Claimed if live.on_disk => Effect::Pin,
            State::Claimed => Effect::Nothing,
            State::Sent | State::Complete | State::Unknown | State::Retryable => Effect::Write,
        },
        // What time has changed needs no writing: it changes a row as well.
        _ => Effect::Nothing,
    }
}
