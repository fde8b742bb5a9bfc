//! Letters, tallies and the audit as the API shows them.

use jiff::Timestamp;

use super::advice;
use crate::admin::api::{AttemptView, AuditRow, KeyView, LetterDetail, LetterStats, LetterView, Repair, TallyView};
use crate::admin::control::letters::LetterStock;
use crate::dead_letters::letter::{Audited, KeyOrigin, Letter, Tally};
use crate::reliability::dead_letters::{Judgement, judge};
use crate::reliability::idempotency::Millis;

/// RFC 3339, to the second.
pub(crate) fn moment(at: Millis) -> String {
    let seconds = i64::try_from(at / 1_000).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX).to_string()
}

/// Judged by what the letter itself says.
pub(crate) fn judged(letter: &Letter) -> Judgement {
    judge(letter.state, (letter.class, letter.contract), why_not(letter).is_none(), None)
}

/// What may be done about it now.
pub(crate) fn repair(letter: &Letter) -> Repair {
    match judged(letter) {
        Judgement::Safe => Repair::Safe,
        Judgement::Risky => Repair::NeedsDecision,
        Judgement::Impossible => Repair::Impossible,
        Judgement::Busy => Repair::Underway,
        // By a record alone, which nobody has looked at here.
        Judgement::Superseded | Judgement::Closed => Repair::Closed,
    }
}

/// Why it can never be sent again, whatever its state.
pub(crate) fn why_not(letter: &Letter) -> Option<&str> {
    let unsealed = (!letter.is_sealed).then_some("nothing that a replay needs was kept");
    letter.words.captured.not_replayable.as_deref().or(unsealed)
}

/// A row of the list.
pub(crate) fn view(letter: &Letter, now: Millis) -> LetterView {
    let (captured, ended) = (&letter.words.captured, &letter.words.ended);
    let mut view = LetterView {
        id: letter.id.to_string(),
        version: letter.version,
        state: letter.state.as_str().to_owned(),
        class: letter.class.as_str().to_owned(),
        cause: letter.cause.as_str().to_owned(),
        reason: ended.reason.clone(),
        contract: captured.contract.clone(),
        repair: repair(letter),
        not_replayable: why_not(letter).map(str::to_owned),
        queue: captured.queue.clone(),
        upstream: captured.upstream.clone(),
        route: captured.route.clone(),
        direction: captured.direction.clone(),
        method: captured.method.clone(),
        host: captured.host.clone(),
        target: captured.target.clone(),
        created_at: moment(letter.created),
        age_seconds: now.saturating_sub(letter.created) / 1_000,
        updated_at: moment(letter.updated),
        expires_at: moment(letter.expires),
        expires_in_seconds: letter.expires.saturating_sub(now) / 1_000,
        size_bytes: letter.size,
        attempts: ended.attempts.len() as u64,
        replays: letter.replays,
        note: letter.note.clone(),
        standing: String::new(),
    };
    view.standing = advice::standing(&view);
    view
}

/// All of it that may be read.
pub(crate) fn detail(letter: &Letter, key: Option<KeyView>, now: Millis) -> LetterDetail {
    let (captured, ended) = (&letter.words.captured, &letter.words.ended);
    let origin = match captured.key_origin {
        KeyOrigin::Client => "client",
        KeyOrigin::Generated => "generated",
        KeyOrigin::None => "none",
    };
    let tried = ended.attempts.iter().map(|tried| AttemptView {
        endpoint: tried.endpoint.clone(),
        duration_ms: tried.duration_ms,
        end: tried.end.clone(),
    });
    LetterDetail {
        letter: view(letter, now),
        fields: captured.fields.clone(),
        body_bytes: captured.body_bytes,
        body_sha256: captured.body_sha256.clone(),
        sealed: letter.is_sealed,
        key_origin: origin.to_owned(),
        deduplicated: letter.record.is_some(),
        key,
        trace_id: captured.trace_id.clone(),
        policy_revision: captured.policy_revision,
        tried: tried.collect(),
        status: ended.status,
        answer_fields: ended.answer_fields.clone(),
        answer_text: ended.answer_text.clone(),
    }
}

/// How many there are, and how full that is.
pub(super) fn stats(stock: &LetterStock, now: Millis) -> LetterStats {
    let sum = |of: fn(&Tally) -> u64| stock.tallies.iter().map(of).fold(0, u64::saturating_add);
    let queues = stock.tallies.iter().map(|tally| TallyView {
        queue: tally.queue.clone(),
        state: tally.state.as_str().to_owned(),
        class: tally.class.as_str().to_owned(),
        letters: tally.letters,
        bytes: tally.bytes,
        oldest_at: moment(tally.oldest),
        oldest_age_seconds: now.saturating_sub(tally.oldest) / 1_000,
    });
    LetterStats {
        letters: sum(|tally| tally.letters),
        letters_max: stock.bounds.letters_max,
        bytes: sum(|tally| tally.bytes),
        bytes_max: stock.bounds.bytes_max,
        share_max_percent: stock.bounds.share_max,
        retention_seconds: stock.bounds.retention.as_secs(),
        lost: stock.lost,
        queues: queues.collect(),
    }
}

/// A row of the audit.
pub(super) fn audited(row: Audited, now: Millis) -> AuditRow {
    AuditRow {
        number: row.number,
        at: moment(row.at),
        age_seconds: now.saturating_sub(row.at) / 1_000,
        actor: row.deed.actor,
        action: row.deed.action,
        letter: row.letter.map(|id| id.to_string()),
        reason: row.deed.reason,
        outcome: row.deed.detail,
        intact: row.intact,
    }
}
