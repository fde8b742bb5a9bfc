//! What is settled when the body of an answer has ended that is passed on before it is known to be whole.

use std::sync::Arc;

use super::dead_letters::{Post, Watch};
use super::record::Record;
use crate::dead_letters::letter::LetterId;
use crate::drain::Tasks;
use crate::idempotency::answer::StoredAnswer;
use crate::idempotency::claim::{Claim, Report};
use crate::idempotency::waiting::Waiting;
use crate::reliability::dead_letters::{Cause, Class, of_failure};
use crate::reliability::{Failure, Sent};

/// Of one answer.
pub struct Keeper {
    /// The record of its key, if there is one.
    pub record: Option<Keeping>,
    /// What a letter needs, if one may be written.
    pub watch: Option<Box<Watch>>,
    /// What the head alone makes of the request.
    pub sorted: Option<(Cause, Class)>,
    pub tasks: Tasks,
}

/// A record that waits for its answer to end.
pub struct Keeping {
    pub claim: Arc<Claim>,
    pub waiting: Arc<Waiting>,
    pub answer: StoredAnswer,
    pub ambiguous: bool,
}

impl Keeper {
    /// The body has ended. `broken`: how, if the upstream did not send all of it. The client has had the head of its
    /// answer, so of a letter it learns nothing.
    pub fn settle(self, broken: Option<Failure>, record: &Record) {
        let Keeper { record: keeping, watch, sorted, tasks } = self;
        let post = watch.and_then(|watch| match (broken, &keeping) {
            (Some(failure), _) => watch.failed(of_failure(failure, Sent::Yes), failure, record),
            (None, Some(Keeping { answer, .. })) => {
                watch.answered(sorted, (answer.status, &answer.headers(), None), record)
            }
            (None, None) => None,
        });
        match (keeping, post) {
            (Some(Keeping { claim, waiting, answer, ambiguous }), post) => {
                let report = if broken.is_some() { Report::Fail } else { Report::Complete { answer, ambiguous } };
                tell_later(&tasks, claim, waiting, report, post);
            }
            (None, Some(post)) => {
                tasks.spawn(async move {
                    // The client has had its answer already.
                    let _ = post.send().await;
                });
            }
            (None, None) => {}
        }
    }
}

/// Tells the store in a task of its own, as often as it takes, and then those who wait for it.
pub fn tell_later(tasks: &Tasks, claim: Arc<Claim>, waiting: Arc<Waiting>, report: Report, post: Option<Post>) {
    tasks.spawn(async move {
        let kept = claim.insist(report, post.as_ref().map(Post::letter)).await;
        let _: Option<LetterId> = post.and_then(|post| post.end(&kept));
        waiting.wake(claim.id());
    });
}
