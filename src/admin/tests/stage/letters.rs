//! A fake store of letters and a fake replay, behind the real API.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;

use super::Process;
use crate::admin::api::ReplayPlan;
use crate::admin::api::{KeyView, ReplayEnd, ReplayJob, ReplayState};
use crate::admin::control::letters::{
    AuditList, BodyOrder, CancelOrder, DropOrder, LetterControl, LetterList, LetterPage, LetterStock, PlanOrder,
    ReplayOrder, Replayed, ResolveLetterOrder, ShownLetter, StartOrder, refused,
};
use crate::admin::control::{AskWith, Refused};
use crate::admin::letters::view::judged;
use crate::clock::wall_millis;
use crate::dead_letters::letter::{
    Audited, Bounds, Captured, Deed, Ended, Filter, KeyOrigin, Letter, LetterId, Refusal, Tally, Tried, Words,
};
use crate::reliability::classify::Contract;
use crate::reliability::dead_letters::{Cause, Class, LetterState};
use crate::reliability::idempotency::{Fingerprint, RecordId};

/// Ids are made from this moment, so that they are the same in each run.
const BEGIN: u64 = 1_795_341_600_000;

/// What was asked and ordered about letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LetterOrder {
    List(LetterList),
    Body(BodyOrder),
    Replay(ReplayOrder),
    Drop(DropOrder),
    Resolve(ResolveLetterOrder),
    Plan(PlanOrder),
    Start(StartOrder),
    Cancel(CancelOrder),
    Audit(AuditList),
}

/// The letters, and what is made of orders about them.
pub(crate) struct Post {
    pub letters: Vec<Letter>,
    /// Each question about replays takes one step of the first.
    pub replays: Vec<ReplayJob>,
    pub audit: Vec<Audited>,
    pub body: Vec<u8>,
    pub key: Option<KeyView>,
    /// What becomes of a letter that is sent again.
    pub end: ReplayEnd,
    /// Each letter that the replay comes to fails.
    pub failing: bool,
    /// There is no store.
    pub closed: bool,
}

impl Post {
    /// Two that are safe, one that needs a decision, one that cannot be sent, one that is closed.
    pub fn usual() -> Self {
        let deed = |actor: &str, action: &str, detail: &str| Deed {
            actor: actor.to_owned(),
            action: action.to_owned(),
            reason: "INC-42".to_owned(),
            detail: detail.to_owned(),
        };
        let row = |number, at, letter, deed| Audited { number, at, letter, deed, intact: true };
        Post {
            letters: vec![letter(1), letter(2), unknown(3), spent(4), decided(5)],
            replays: vec![job()],
            audit: vec![
                row(2, BEGIN, None, deed("bob", "replay-many", "2 letters")),
                row(1, BEGIN - 60_000, Some(decided(5).id), deed("alice", "drop", "dropped")),
            ],
            body: br#"{"amount":7}"#.to_vec(),
            key: None,
            end: ReplayEnd::Replayed,
            failing: false,
            closed: false,
        }
    }
}

/// What a replay would do, by what the letters themselves say.
pub(crate) fn plan_of(letters: &[Letter], accept_duplicate_risk: bool, max: Option<u64>) -> ReplayPlan {
    let mut plan = ReplayPlan::default();
    letters.iter().for_each(|letter| plan.count(letter, judged(letter)));
    plan.end(accept_duplicate_risk, max);
    plan
}

/// Number `n`, which was not executed and is safe to replay.
pub(crate) fn letter(n: u8) -> Letter {
    let captured = Captured {
        queue: "payments/charge".to_owned(),
        upstream: "payments".to_owned(),
        route: "charge".to_owned(),
        direction: "outbound".to_owned(),
        method: "POST".to_owned(),
        host: "payments.shop".to_owned(),
        target: "/charges?token=[redacted:1f2e3d4c]".to_owned(),
        fields: vec!["content-type: application/json".to_owned(), "authorization: [redacted:0a1b2c3d]".to_owned()],
        body_bytes: 12,
        body_sha256: "ab".repeat(32),
        not_replayable: None,
        key_origin: KeyOrigin::Client,
        trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".to_owned(),
        policy_revision: 7,
        contract: "opaque".to_owned(),
    };
    let tried = |end: &str| Tried { endpoint: "10.2.3.4:8080".to_owned(), duration_ms: 250, end: end.to_owned() };
    // Half a minute past the hour, so that a slow test sees the same age.
    let created = wall_millis() - u64::from(n) * 3_600_000 - 30_000;
    Letter {
        id: LetterId::new(BEGIN - u64::from(n) * 60_000, u128::from(n) | u128::from(n) << 24),
        version: 1,
        state: LetterState::Open,
        class: Class::NotExecuted,
        cause: Cause::RetriesExhausted,
        contract: Contract::Opaque,
        record: Some((RecordId([n; 16]), Fingerprint([n; 16]))),
        created,
        updated: created,
        expires: wall_millis() + 604_000_000,
        size: 900,
        replays: 0,
        note: String::new(),
        words: Words {
            captured,
            ended: Ended {
                reason: "connection-refused".to_owned(),
                status: None,
                attempts: vec![tried("connection-refused"), tried("connection-refused")],
                answer_fields: Vec::new(),
                answer_text: String::new(),
            },
        },
        is_sealed: true,
    }
}

/// One that was sent and not answered.
pub(crate) fn unknown(n: u8) -> Letter {
    let mut letter = Letter { class: Class::Unknown, cause: Cause::OutcomeUnknown, ..letter(n) };
    letter.words.ended.reason = "try-timeout".to_owned();
    letter
}

/// One that can never be sent again.
pub(crate) fn spent(n: u8) -> Letter {
    let mut letter = Letter { is_sealed: false, ..letter(n) };
    letter.words.captured.not_replayable = Some("its body was longer than maxBody".to_owned());
    letter
}

/// One that was given up.
pub(crate) fn decided(n: u8) -> Letter {
    Letter { state: LetterState::Dropped, note: "alice: INC-42".to_owned(), version: 2, ..letter(n) }
}

/// A replay that is about to send its first of two letters.
pub(crate) fn job() -> ReplayJob {
    ReplayJob {
        id: "r1".to_owned(),
        state: ReplayState::Running,
        why: None,
        author: "alice".to_owned(),
        reason: "INC-42".to_owned(),
        started_at: "2026-11-22T10:00:00Z".to_owned(),
        age_seconds: 1,
        ended_at: None,
        rate: 1,
        accept_duplicate_risk: false,
        letters: 2,
        replayed: 0,
        superseded: 0,
        failed: 0,
        skipped: 0,
    }
}

fn matches(filter: &Filter, letter: &Letter) -> bool {
    let captured = &letter.words.captured;
    let is = |stated: &Option<String>, value: &str| stated.as_ref().is_none_or(|stated| stated == value);
    (filter.ids.is_empty() || filter.ids.contains(&letter.id))
        && (filter.states.is_empty() || filter.states.contains(&letter.state))
        && (filter.classes.is_empty() || filter.classes.contains(&letter.class))
        && (filter.causes.is_empty() || filter.causes.contains(&letter.cause))
        && is(&filter.queue, &captured.queue)
        && is(&filter.upstream, &captured.upstream)
        && is(&filter.route, &captured.route)
}

impl Process {
    fn found(&self, filter: &Filter) -> Vec<Letter> {
        self.letters.letters.iter().filter(|letter| matches(filter, letter)).cloned().collect()
    }

    fn letter(&mut self, id: LetterId, version: Option<u64>) -> Result<&mut Letter, Refused> {
        let found = self.letters.letters.iter_mut().find(|letter| letter.id == id);
        let letter = found.ok_or_else(|| refused(id, Refusal::Absent))?;
        let (is, state) = (letter.version, letter.state);
        if state.is_closed() || version.is_some_and(|version| version != is) {
            return Err(refused(id, Refusal::Stale { version: is, state }));
        }
        Ok(letter)
    }

    fn close(&mut self, id: LetterId, version: Option<u64>, state: LetterState) -> Result<Letter, Refused> {
        let letter = self.letter(id, version)?;
        letter.state = state;
        letter.version += 1;
        Ok(letter.clone())
    }

    fn list(&mut self, order: LetterList) -> Result<LetterPage, Refused> {
        let mut found = self.found(&order.filter);
        let total = found.len() as u64;
        found.sort_by_key(|letter| std::cmp::Reverse(letter.id));
        found.retain(|letter| order.after.is_none_or(|after| letter.id < after));
        let more = found.len() > order.limit;
        found.truncate(order.limit);
        self.note(LetterOrder::List(order));
        Ok(LetterPage { letters: found, total, more })
    }

    fn replay(&mut self, order: ReplayOrder) -> Result<Replayed, Refused> {
        let (id, version, accepted) = (order.id, order.version, order.accept_duplicate_risk);
        self.note(LetterOrder::Replay(order));
        let end = self.letters.end;
        let letter = self.letter(id, version)?;
        if !accepted && letter.class.is_risky(letter.contract) {
            return Err(Refused::Risky(format!("the letter {id} may have been executed")));
        }
        let (state, status, failure) = match end {
            ReplayEnd::Replayed => (LetterState::Replayed, Some(201), None),
            ReplayEnd::Superseded => (LetterState::Superseded, None, None),
            ReplayEnd::Failed => (LetterState::Open, None, Some("try-timeout".to_owned())),
            ReplayEnd::Underway => (LetterState::Replaying, None, None),
        };
        Ok(Replayed { end, status, failure, letter: self.close(id, version, state)? })
    }

    fn drop_letters(&mut self, order: DropOrder) -> Result<u64, Refused> {
        let DropOrder { filter, expect_count, version, .. } = order.clone();
        self.note(LetterOrder::Drop(order));
        let found = self.found(&filter);
        if found.len() as u64 != expect_count {
            return Err(Refused::Changed(format!("there are {} letters now, not {expect_count}", found.len())));
        }
        for letter in found {
            self.close(letter.id, version, LetterState::Dropped)?;
        }
        Ok(expect_count)
    }

    fn step(&mut self) -> Vec<ReplayJob> {
        let failing = self.letters.failing;
        if let Some(job) = self.letters.replays.first_mut().filter(|job| job.state == ReplayState::Running) {
            match job.left() {
                0 => job.state = ReplayState::Finished,
                _ if failing => job.failed += 1,
                _ => job.replayed += 1,
            }
        }
        self.letters.replays.clone()
    }

    fn note(&mut self, order: LetterOrder) {
        self.orders.push(super::Order::Letters(order));
    }
}

fn stock(letters: &[Letter]) -> LetterStock {
    let mut tallies: Vec<Tally> = Vec::new();
    for letter in letters {
        let queue = &letter.words.captured.queue;
        let same = |tally: &&mut Tally| (&tally.queue, tally.state, tally.class) == (queue, letter.state, letter.class);
        match tallies.iter_mut().find(same) {
            Some(tally) => {
                (tally.letters, tally.bytes) = (tally.letters + 1, tally.bytes + letter.size);
                tally.oldest = tally.oldest.min(letter.created);
            }
            None => tallies.push(Tally {
                queue: queue.clone(),
                state: letter.state,
                class: letter.class,
                letters: 1,
                bytes: letter.size,
                oldest: letter.created,
            }),
        }
    }
    let retention = Duration::from_secs(7 * 86_400);
    let bounds = Bounds { retention, letters_max: 10_000, bytes_max: 64 << 20, share_max: 50 };
    LetterStock { tallies, bounds, lost: 3 }
}

pub(super) fn control(process: &Arc<Mutex<Process>>) -> LetterControl {
    fn act<A: 'static, T: 'static>(
        process: &Arc<Mutex<Process>>,
        act: fn(&mut Process, A) -> Result<T, Refused>,
    ) -> AskWith<A, Result<T, Refused>> {
        let process = process.clone();
        Box::new(move |argument| {
            let mut process = process.lock().unwrap();
            match process.refuse.take() {
                Some(refused) => Err(refused),
                None if process.letters.closed => Err(Refused::NoLetters),
                None => act(&mut process, argument),
            }
        })
    }
    fn ask<T: 'static>(
        process: &Arc<Mutex<Process>>,
        read: fn(&mut Process, ()) -> Result<T, Refused>,
    ) -> Box<dyn Fn() -> Result<T, Refused> + Send + Sync> {
        let act = act(process, read);
        Box::new(move || act(()))
    }
    LetterControl {
        list: act(process, Process::list),
        find: act(process, |process, part: String| {
            let whole = |letter: &Letter| letter.id.to_string().replace('-', "");
            let fits = |letter: &&Letter| whole(letter).starts_with(&part) || whole(letter).ends_with(&part);
            Ok(process.letters.letters.iter().filter(fits).map(|letter| letter.id).collect())
        }),
        stats: ask(process, |process, ()| Ok(stock(&process.letters.letters))),
        show: act(process, |process, id| {
            let found = process.letters.letters.iter().find(|letter| letter.id == id).cloned();
            let letter = found.ok_or_else(|| refused(id, Refusal::Absent))?;
            Ok(ShownLetter { letter, key: process.letters.key.clone() })
        }),
        body: act(process, |process, order| {
            process.note(LetterOrder::Body(order));
            Ok(Bytes::from(process.letters.body.clone()))
        }),
        replay: act(process, Process::replay),
        drop: act(process, Process::drop_letters),
        resolve: act(process, |process, order: ResolveLetterOrder| {
            let (id, version) = (order.id, order.version);
            process.note(LetterOrder::Resolve(order));
            let letter = process.close(id, version, LetterState::Resolved)?;
            Ok(ShownLetter { letter, key: process.letters.key.clone() })
        }),
        plan: act(process, |process, order: PlanOrder| {
            let plan = plan_of(&process.found(&order.filter), order.accept_duplicate_risk, order.max);
            process.note(LetterOrder::Plan(order));
            Ok(plan)
        }),
        start: act(process, |process, order: StartOrder| {
            let (found, plan_order) = (process.found(&order.plan.filter), &order.plan);
            let letters = plan_of(&found, plan_order.accept_duplicate_risk, plan_order.max).sends;
            let job = ReplayJob { id: "r2".to_owned(), rate: order.rate, letters, ..job() };
            process.note(LetterOrder::Start(order));
            process.letters.replays.insert(0, job.clone());
            Ok(job)
        }),
        replays: ask(process, |process, ()| Ok(process.step())),
        cancel: act(process, |process, order: CancelOrder| {
            let job = process.letters.replays.iter_mut().find(|job| job.id == order.id).unwrap();
            job.state = ReplayState::Cancelled;
            let job = job.clone();
            process.note(LetterOrder::Cancel(order));
            Ok(job)
        }),
        audit: act(process, |process, order: AuditList| {
            let rows = process.letters.audit.iter().take(order.limit).cloned().collect();
            process.note(LetterOrder::Audit(order));
            Ok(rows)
        }),
    }
}
