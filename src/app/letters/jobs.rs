//! Replays of many letters: one after another, at a bounded rate, until something speaks against going on.
//!
//! A job is written down after each letter; a restart goes on behind it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::one::{self, Wish};
use super::{Open, failed};
use crate::admin::api::{ReplayEnd, ReplayJob, ReplayState};
use crate::admin::control::Refused;
use crate::admin::control::letters::{CancelOrder, StartOrder};
use crate::app::Core;
use crate::app::control::Sources;
use crate::clock;
use crate::dead_letters::job::{Job, JobState, SavedFilter};
use crate::dead_letters::letter::{Deed, Filter, Letter, LetterId};
use crate::random;
use crate::reliability::dead_letters::LetterState;
use crate::reliability::idempotency::Millis;

/// Jobs at once.
const RUNNING_MAX: usize = 8;
/// So long an operator waits for a job to end that she has cancelled.
const ENDS_WITHIN: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The jobs of this process that run.
#[derive(Default)]
pub struct Jobs(Mutex<HashMap<LetterId, Running>>);

struct Running {
    filter: SavedFilter,
    cancel: CancellationToken,
}

impl Jobs {
    /// Enters a job, unless another one may come to the same letters.
    fn enter(&self, id: LetterId, filter: SavedFilter) -> Result<CancellationToken, Refused> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((other, _)) = running.iter().find(|(_, other)| other.filter.may_meet(&filter)) {
            return Err(Refused::Conflict(format!(
                "the replay {other} may come to the same letters: wait for it, or cancel it"
            )));
        }
        if running.len() >= RUNNING_MAX {
            return Err(Refused::Conflict(format!("{RUNNING_MAX} replays are running, which is all that may")));
        }
        let cancel = CancellationToken::new();
        running.insert(id, Running { filter, cancel: cancel.clone() });
        Ok(cancel)
    }

    fn leave(&self, id: LetterId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    fn cancel(&self, id: LetterId) -> bool {
        let running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.get(&id).map(|running| running.cancel.cancel()).is_some()
    }

    fn runs(&self, id: LetterId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&id)
    }
}

/// Begins one.
pub fn start(sources: &Sources, order: StartOrder) -> Result<ReplayJob, Refused> {
    let open = Open::of(&sources.core)?;
    let StartOrder { plan: wanted, rate, stop_after, reason, author } = order;
    let (accept, filter, max) = (wanted.accept_duplicate_risk, wanted.filter.clone(), wanted.max);
    let plan = super::plan(sources, wanted)?;
    if plan.sends == 0 {
        return Err(Refused::Conflict("there is nothing that this order would send: see its plan".to_owned()));
    }
    let now = clock::wall_millis();
    let filter = Filter {
        states: vec![LetterState::Open],
        // Those that come in meanwhile are another day's work.
        until: Some(filter.until.map_or(now + 1, |until| until.min(now + 1))),
        ..filter
    };
    let job = Job {
        state: JobState::Running,
        why: None,
        author,
        reason,
        started: now,
        ended: None,
        rate: rate.max(1),
        stop_after: stop_after.max(1),
        accept_duplicate_risk: accept,
        letters: plan.sends,
        max,
        replayed: 0,
        superseded: 0,
        failed: 0,
        skipped: 0,
        filter: SavedFilter::from(&filter),
        after: None,
    };
    let id = LetterId::new(now, random::bits128());
    let cancel = sources.core.jobs.enter(id, job.filter.clone())?;
    let deed = Deed {
        actor: job.author.clone(),
        action: "replay-many".to_owned(),
        reason: job.reason.clone(),
        detail: format!("replay {id} of {} letters at {} per second", plan.sends, job.rate),
    };
    let written = sources.core.stores.wait_for(async {
        save(&open, id, &job).await?;
        open.letters.store.audit(None, deed).await.map_err(failed)
    });
    if let Err(error) = written.and_then(|written| written) {
        sources.core.jobs.leave(id);
        return Err(error);
    }
    let view = view(id, &job);
    launch(&sources.core, open, id, job, cancel);
    Ok(view)
}

/// Goes on with the jobs that an earlier process had begun.
pub fn resume(core: &Arc<Core>) {
    let Ok(open) = Open::of(core) else { return };
    let Ok(jobs) = core.stores.wait(open.letters.store.jobs()) else { return };
    for (id, text) in jobs {
        let Ok(job) = serde_json::from_slice::<Job>(text.as_bytes()) else { continue };
        if job.state == JobState::Running
            && !core.jobs.runs(id)
            && let Ok(cancel) = core.jobs.enter(id, job.filter.clone())
        {
            launch(core, open.clone(), id, job, cancel);
        }
    }
}

pub fn list(sources: &Sources) -> Result<Vec<ReplayJob>, Refused> {
    let open = Open::of(&sources.core)?;
    let jobs = sources.core.stores.wait(open.letters.store.jobs()).map_err(failed)?;
    let read =
        jobs.iter().rev().filter_map(|(id, text)| Some(view(*id, &serde_json::from_slice(text.as_bytes()).ok()?)));
    Ok(read.collect())
}

pub fn cancel(sources: &Sources, order: CancelOrder) -> Result<ReplayJob, Refused> {
    let open = Open::of(&sources.core)?;
    let unknown =
        || Refused::UnknownLetter(format!("there is no replay {}: `outrigger replay ls` lists them", order.id));
    let id = LetterId::parse(&order.id).ok_or_else(unknown)?;
    let of = || list(sources)?.into_iter().find(|job| job.id == id.to_string()).ok_or_else(unknown);
    let before = of()?;
    if !sources.core.jobs.cancel(id) {
        return Err(Refused::Conflict(format!("the replay {id} does not run any more")));
    }
    let detail = format!("replay {id} is cancelled, {} letters before its end", before.left());
    let deed = Deed { actor: order.author, action: "cancel-replay".to_owned(), reason: order.reason, detail };
    sources.core.stores.wait(open.letters.store.audit(None, deed)).map_err(failed)?;
    let ended = async {
        while sources.core.jobs.runs(id) {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    // It ends behind the letter that it is sending, which may take longer than this.
    let _ = sources.core.stores.wait_for(async { tokio::time::timeout(ENDS_WITHIN, ended).await });
    of()
}

fn launch(core: &Arc<Core>, open: Open, id: LetterId, mut job: Job, cancel: CancellationToken) {
    let held = Arc::clone(core);
    core.spawn_on_data(async move {
        let end = run(&held, &open, id, &mut job, &cancel).await;
        if let Some((state, why)) = end {
            job.state = state;
            job.why = why;
            job.ended = Some(clock::wall_millis());
            // If this is lost, it goes on at the next start and ends at once.
            let _ = save(&open, id, &job).await;
        }
        held.jobs.leave(id);
    });
}

/// How it ended; `None`: the process ends, and the job goes on with the next one.
async fn run(
    core: &Core,
    open: &Open,
    id: LetterId,
    job: &mut Job,
    cancel: &CancellationToken,
) -> Option<(JobState, Option<String>)> {
    let stopped = |why: String| Some((JobState::Stopped, Some(why)));
    let Some(filter) = job.filter.filter() else {
        return stopped("its filter has words that this version does not know".to_owned());
    };
    let pause = Duration::from_secs(1) / job.rate.max(1);
    let mut next = clock::now();
    loop {
        tokio::select! {
            biased;
            () = core.tasks.stop().cancelled() => return None,
            () = cancel.cancelled() => return Some((JobState::Cancelled, None)),
            () = tokio::time::sleep_until(next.into()) => {}
        }
        next = clock::now() + pause;
        if job.max.is_some_and(|max| job.replayed + job.failed >= max) {
            return Some((JobState::Finished, None));
        }
        let after = job.after.as_deref().and_then(LetterId::parse);
        let letter = match open.letters.store.letters(filter.clone(), after, 1).await {
            Ok(mut found) => found.pop(),
            Err(error) => return stopped(format!("the letters cannot be read: {error}")),
        };
        let Some(letter) = letter else { return Some((JobState::Finished, None)) };
        if let Some(why) = circuit_open(core, &letter) {
            return stopped(why);
        }
        let end = step(open, job, &letter).await;
        job.after = Some(letter.id.to_string());
        if let Err(error) = save(open, id, job).await {
            return stopped(format!("its progress cannot be written down: {error:?}"));
        }
        match end {
            Step::Sent => {}
            // Nothing went out: no need to hold back.
            Step::Quiet => next = clock::now(),
            Step::Failed(why) if job.failed >= u64::from(job.stop_after) => {
                return stopped(format!("{} letters were not served: the last one {why}", job.failed));
            }
            Step::Failed(_) => {}
            Step::Broken(why) => return stopped(why),
        }
    }
}

/// A dependency that is not well is left alone.
fn circuit_open(core: &Core, letter: &Letter) -> Option<String> {
    let name = &letter.words.captured.upstream;
    let upstream = core.registry.find(name)?;
    let now = clock::now();
    let left = upstream.decide(|dependency| dependency.breaker.as_ref().and_then(|breaker| breaker.precheck(now)))?;
    Some(format!("the circuit of {name} is open for another {} s", left.as_secs().max(1)))
}

enum Step {
    Sent,
    Quiet,
    Failed(String),
    Broken(String),
}

async fn step(open: &Open, job: &mut Job, letter: &Letter) -> Step {
    let wish = Wish {
        id: letter.id,
        version: None,
        accept_duplicate_risk: job.accept_duplicate_risk,
        reason: job.reason.clone(),
        author: job.author.clone(),
    };
    match one::replay(open, &wish).await {
        Ok(done) => match done.end {
            ReplayEnd::Replayed => {
                job.replayed += 1;
                Step::Sent
            }
            ReplayEnd::Superseded => {
                job.superseded += 1;
                Step::Quiet
            }
            ReplayEnd::Failed | ReplayEnd::Underway => {
                job.failed += 1;
                Step::Failed(done.failure.unwrap_or_else(|| "was not answered".to_owned()))
            }
        },
        Err(Refused::Store(why)) => Step::Broken(why),
        // As the plan said: they are not among those that it set out to send.
        Err(Refused::Risky(_) | Refused::NotReplayable(_)) => Step::Quiet,
        Err(_) => {
            job.skipped += 1;
            Step::Quiet
        }
    }
}

async fn save(open: &Open, id: LetterId, job: &Job) -> Result<(), Refused> {
    let text = serde_json::to_string(job).map_err(|error| Refused::Store(error.to_string()))?;
    open.letters.store.save_job(id, text).await.map_err(failed)
}

fn moment(at: Millis) -> String {
    i64::try_from(at).ok().and_then(|at| Timestamp::from_millisecond(at).ok()).unwrap_or_default().to_string()
}

fn view(id: LetterId, job: &Job) -> ReplayJob {
    ReplayJob {
        id: id.to_string(),
        state: match job.state {
            JobState::Running => ReplayState::Running,
            JobState::Finished => ReplayState::Finished,
            JobState::Stopped => ReplayState::Stopped,
            JobState::Cancelled => ReplayState::Cancelled,
        },
        why: job.why.clone(),
        author: job.author.clone(),
        reason: job.reason.clone(),
        started_at: moment(job.started),
        age_seconds: clock::wall_millis().saturating_sub(job.started) / 1000,
        ended_at: job.ended.map(moment),
        rate: job.rate,
        accept_duplicate_risk: job.accept_duplicate_risk,
        letters: job.letters,
        replayed: job.replayed,
        superseded: job.superseded,
        failed: job.failed,
        skipped: job.skipped,
    }
}
