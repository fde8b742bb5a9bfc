//! What operators ask and order of dead letters, carried out at the file that has them.

mod jobs;
mod journaled;
mod one;
mod order;

use std::sync::Arc;

use bytes::Bytes;

pub use self::jobs::{Jobs, resume};

use self::one::Wish;
use super::control::Sources;
use super::{Core, keys};
use crate::admin::api::{ReplayEnd, ReplayPlan};
use crate::admin::control::Refused;
use crate::admin::control::letters::{
    AuditList, BodyOrder, LetterControl, LetterList, LetterPage, LetterStock, PlanOrder, ReplayOrder, Replayed,
    ShownLetter,
};
use crate::admin::letters::view::why_not;
use crate::clock;
use crate::dead_letters::letter::{Audited, Deed, Filter, Letter, LetterId, Tally};
use crate::idempotency::store::{Shown, Store, StoreError};
use crate::idempotency::stores::Letters;
use crate::policy::idempotency::{IdempotencyPolicy, StoreKind};
use crate::proxy::Proxy;
use crate::reliability::classify::Contract;
use crate::reliability::dead_letters::{Judgement, LetterState, judge};
use crate::reliability::idempotency::{Millis, RecordId, stricter};
use crate::telemetry::metrics::LetterGauge;

/// Letters that are in memory at once where many are looked at.
const PAGE: usize = 100;
/// A record is let go of again and again for so long after its letter has expired, in ms.
const LET_GO_WITHIN: Millis = 600_000;
/// Rows of the audit that are read at once.
const ROWS: usize = 500;

/// The admin API's handles.
pub fn points(sources: &Sources) -> LetterControl {
    fn with<A: 'static, T: 'static>(
        sources: &Sources,
        work: fn(&Sources, A) -> Result<T, Refused>,
    ) -> Box<dyn Fn(A) -> Result<T, Refused> + Send + Sync> {
        let sources = sources.clone();
        Box::new(move |asked| work(&sources, asked))
    }
    let (stats_of, replays_of) = (sources.clone(), sources.clone());
    LetterControl {
        list: with(sources, list),
        find: with(sources, find),
        stats: Box::new(move || stats(&stats_of)),
        show: with(sources, show),
        body: with(sources, body),
        replay: with(sources, journaled::replay),
        drop: with(sources, journaled::drop),
        resolve: with(sources, journaled::resolve),
        plan: with(sources, plan),
        start: with(sources, journaled::start),
        replays: Box::new(move || jobs::list(&replays_of)),
        cancel: with(sources, journaled::cancel),
        audit: with(sources, audit),
    }
}

/// What is needed for everything here.
#[derive(Clone)]
struct Open {
    letters: Letters,
    proxy: Arc<Proxy>,
}

impl Open {
    fn of(core: &Core) -> Result<Open, Refused> {
        let proxy = core.proxy.get().ok_or_else(|| Refused::Conflict("no policy is in force yet".to_owned()))?;
        let letters = proxy.stores.load().letters.clone().ok_or(Refused::NoLetters)?;
        Ok(Open { letters, proxy: Arc::clone(proxy) })
    }

    async fn letter(&self, id: LetterId) -> Result<Letter, Refused> {
        let filter = Filter { ids: vec![id], ..Filter::default() };
        let found = self.letters.store.letters(filter, None, 1).await.map_err(failed)?;
        let absent = || Refused::UnknownLetter(format!("there is no dead letter {id}: it may have been forgotten"));
        found.into_iter().next().ok_or_else(absent)
    }

    /// The record of a letter's key and the store that has it; `None`: its key is not deduplicated.
    fn place(&self, letter: &Letter) -> Result<Option<Place>, Refused> {
        let Some((id, _)) = letter.record else { return Ok(None) };
        let captured = &letter.words.captured;
        let label = format!("{}/{}", captured.upstream, captured.route);
        let snapshot = self.proxy.snapshot.load_full();
        let upstream = snapshot.policy.upstreams.iter().find(|upstream| *upstream.name == *captured.upstream);
        let route = upstream.and_then(|upstream| upstream.routes.iter().find(|route| *route.name == *captured.route));
        let deduplication = route.and_then(|route| Some((route.idempotency.clone()?, route.retry.contract)));
        let Some((policy, contract)) = deduplication else {
            return Err(Refused::Conflict(format!(
                "the letter belongs to {label}, which the policy in force does not deduplicate: put the route back, or \
                 drop the letter"
            )));
        };
        let Some(store) = self.proxy.stores.load().of(policy.store).cloned() else {
            return Err(Refused::Store(format!("the store `{}` is not open", policy.store.as_str())));
        };
        Ok(Some(Place { store, kind: policy.store, id, policy, contract }))
    }

    /// The letter's key, if it has one, and its record, if there is one.
    async fn record(&self, letter: &Letter) -> Result<(Option<Place>, Option<Shown>), Refused> {
        let Some(place) = self.place(letter)? else { return Ok((None, None)) };
        let shown = place.store.show(place.id).await.map_err(failed)?;
        Ok((Some(place), shown))
    }
}

/// The record of a letter's key.
struct Place {
    store: Arc<dyn Store>,
    kind: StoreKind,
    id: RecordId,
    policy: Arc<IdempotencyPolicy>,
    /// What the policy in force says of the upstream.
    contract: Contract,
}

fn failed(error: StoreError) -> Refused {
    Refused::Store(error.to_string())
}

fn judged(letter: &Letter, place: Option<&Place>, shown: Option<&Shown>) -> Judgement {
    let kept = why_not(letter).is_none();
    let key = place.map(|_| shown.map(|shown| (shown.record.state, shown.record.ambiguous)));
    // What was promised when it failed, and what is promised now: whichever permits less.
    let contract = place.map_or(letter.contract, |place| stricter(letter.contract, place.contract));
    judge(letter.state, (letter.class, contract), kept, key)
}

fn list(sources: &Sources, wanted: LetterList) -> Result<LetterPage, Refused> {
    let open = Open::of(&sources.core)?;
    let LetterList { filter, after, limit } = wanted;
    let asked = open.letters.store.newest_letters(filter, after, limit + 1);
    let (mut letters, total) = sources.core.stores.wait(asked).map_err(failed)?;
    let more = letters.len() > limit;
    letters.truncate(limit);
    Ok(LetterPage { letters, total, more })
}

fn find(sources: &Sources, digits: String) -> Result<Vec<LetterId>, Refused> {
    let open = Open::of(&sources.core)?;
    sources.core.stores.wait(open.letters.store.find_letters(digits)).map_err(failed)
}

fn stats(sources: &Sources) -> Result<LetterStock, Refused> {
    let open = Open::of(&sources.core)?;
    let tallies = sources.core.stores.wait(open.letters.store.tallies()).map_err(failed)?;
    Ok(LetterStock { tallies, bounds: open.letters.store.letter_bounds(), lost: sources.core.metrics.letters_lost() })
}

/// Tells the metrics what is kept. Without an answer of the store in time they say what they said before.
pub fn measure(core: &Core) {
    let Ok(open) = Open::of(core) else { return core.metrics.letters_kept(Vec::new()) };
    let Ok(tallies) = core.stores.wait(open.letters.store.tallies()) else { return };
    let now = clock::wall_millis();
    let mut gauges: Vec<LetterGauge> = Vec::new();
    for tally in tallies {
        let state = tally.state.as_str();
        let oldest = (tally.state == LetterState::Open).then(|| now.saturating_sub(tally.oldest) / 1000);
        match gauges.iter_mut().find(|gauge| gauge.queue == tally.queue && gauge.state == state) {
            Some(gauge) => {
                gauge.letters += tally.letters;
                gauge.bytes += tally.bytes;
                gauge.oldest = gauge.oldest.max(oldest);
            }
            None => {
                let Tally { queue, letters, bytes, .. } = tally;
                gauges.push(LetterGauge { queue, state, letters, bytes, oldest });
            }
        }
    }
    core.metrics.letters_kept(gauges);
}

/// Letters that expired a while ago need their records no longer: the embedded store knows, another one has to be told.
pub async fn let_go(core: &Core) {
    let Ok(open) = Open::of(core) else { return };
    if open.proxy.stores.load().redis.is_none() {
        return;
    }
    let now = clock::wall_millis();
    let filter = Filter { states: vec![LetterState::Expired], ..Filter::default() };
    let mut before = None;
    // The newest ones expired last. To be told twice harms no record.
    while let Ok((letters, _)) = open.letters.store.newest_letters(filter.clone(), before, PAGE).await {
        let recent: Vec<_> = letters.iter().filter(|letter| letter.updated + LET_GO_WITHIN >= now).collect();
        for letter in &recent {
            one::unpin(open.place(letter).ok().flatten().as_ref()).await;
        }
        before = letters.last().map(|letter| letter.id);
        if recent.len() < PAGE {
            return;
        }
    }
}

fn show(sources: &Sources, id: LetterId) -> Result<ShownLetter, Refused> {
    let open = Open::of(&sources.core)?;
    sources.core.stores.wait_for(async {
        let letter = open.letter(id).await?;
        // A key that cannot be looked at must not hide the letter.
        let shown = open.record(&letter).await.ok().and_then(|(_, shown)| shown);
        Ok(ShownLetter { letter, key: shown.as_ref().map(keys::view) })
    })?
}

fn body(sources: &Sources, order: BodyOrder) -> Result<Bytes, Refused> {
    let open = Open::of(&sources.core)?;
    sources.core.stores.wait_for(async {
        let letter = open.letter(order.id).await?;
        let contents = one::unsealed(&open, &letter).await?;
        let detail = format!("read {} bytes", contents.body.len());
        let deed = Deed { actor: order.author, action: "body".to_owned(), reason: order.reason, detail };
        open.letters.store.audit(Some(letter.id), deed).await.map_err(failed)?;
        Ok(contents.body)
    })?
}

fn replay(sources: &Sources, order: ReplayOrder) -> Result<Replayed, Refused> {
    let open = Open::of(&sources.core)?;
    let ReplayOrder { id, version, accept_duplicate_risk, reason, author } = order;
    let wish = Wish { id, version, accept_duplicate_risk, reason, author };
    let replaying = open.clone();
    let done = sources.core.run_for(one::PATIENCE, async move { one::replay(&replaying, &wish).await });
    match done {
        Some(done) => done,
        None => {
            let letter = sources.core.stores.wait_for(open.letter(id))??;
            Ok(Replayed { end: ReplayEnd::Underway, status: None, failure: None, letter })
        }
    }
}

/// What a replay of these letters would send.
fn plan(sources: &Sources, order: PlanOrder) -> Result<ReplayPlan, Refused> {
    let open = Open::of(&sources.core)?;
    let filter = Filter { states: vec![LetterState::Open], ..order.filter };
    let mut plan = ReplayPlan::default();
    let mut after = None;
    loop {
        let asked = open.letters.store.letters(filter.clone(), after, PAGE);
        let letters = sources.core.stores.wait(asked).map_err(failed)?;
        let Some(last) = letters.last() else { break };
        after = Some(last.id);
        sources.core.stores.wait_for(async {
            for letter in &letters {
                order::count(&open, &mut plan, letter).await;
            }
        })?;
    }
    plan.end(order.accept_duplicate_risk, order.max);
    Ok(plan)
}

fn audit(sources: &Sources, wanted: AuditList) -> Result<Vec<Audited>, Refused> {
    let open = Open::of(&sources.core)?;
    let mut rows: Vec<Audited> = Vec::new();
    loop {
        let before = rows.last().map(|row| row.number);
        let limit = (wanted.limit - rows.len()).min(ROWS);
        let asked = open.letters.store.audited(before, limit);
        let found = sources.core.stores.wait(asked).map_err(failed)?;
        let all = found.len() == limit;
        let recent = found.into_iter().take_while(|row| wanted.since.is_none_or(|since| row.at >= since));
        let seen = rows.len();
        rows.extend(recent);
        if rows.len() == wanted.limit || !all || rows.len() < seen + limit {
            return Ok(rows);
        }
    }
}
