//! One connection is opened for all who wait for one, in whatever order they ask, look, leave, and it is there or fails.
//!
//! Each step is atomic under the lock of [`Connections`], so an order of steps is all that threads could add; proptest
//! draws the order, and shrinks what fails.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use proptest::prelude::*;
use tokio::sync::oneshot;

use super::connections::{Connections, Joined, Opened, Patience};
use crate::clock;
use crate::drain::Tasks;
use crate::reliability::Failure;

#[derive(Clone, Copy, Debug)]
enum Step {
    Ask,
    Look(usize),
    Leave(usize),
    /// The connection that is being opened speaks HTTP/1.1, or is refused.
    Land(bool),
    /// Tasks run.
    Run,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Ask),
        4 => (0usize..8).prop_map(Step::Look),
        1 => (0usize..8).prop_map(Step::Leave),
        2 => any::<bool>().prop_map(Step::Land),
        2 => Just(Step::Run),
    ]
}

/// What the endpoint sees.
#[derive(Default)]
struct Endpoint {
    opened: AtomicUsize,
    opening: AtomicUsize,
    most: AtomicUsize,
    land: Mutex<Option<oneshot::Sender<bool>>>,
}

/// What one asks for is on its way.
type Answer = Pin<Box<dyn Future<Output = Result<Joined, Failure>>>>;

struct Asker {
    answer: Option<Answer>,
    /// The opening that it waits for, known from its first look on.
    waits_for: Option<usize>,
}

#[derive(Default)]
struct World {
    shared: Arc<Connections>,
    tasks: Tasks,
    endpoint: Arc<Endpoint>,
    askers: Vec<Asker>,
    /// How each opening went.
    landed: Vec<bool>,
}

impl World {
    fn ask(&mut self) {
        let (shared, tasks, endpoint) = (Arc::clone(&self.shared), self.tasks.clone(), Arc::clone(&self.endpoint));
        let open = move || {
            let (land, landing) = oneshot::channel();
            *endpoint.land.lock().unwrap() = Some(land);
            endpoint.opened.fetch_add(1, Ordering::SeqCst);
            let now = endpoint.opening.fetch_add(1, Ordering::SeqCst) + 1;
            endpoint.most.fetch_max(now, Ordering::SeqCst);
            let endpoint = Arc::clone(&endpoint);
            Some(async move {
                let http1 = landing.await;
                endpoint.opening.fetch_sub(1, Ordering::SeqCst);
                if http1 == Ok(true) { Ok(Opened::Http1) } else { Err(Failure::ConnectionRefused) }
            })
        };
        let hour = Duration::from_secs(3600);
        let patience = Patience { cutoff: clock::now() + hour, connect: hour };
        let answer = Box::pin(async move { shared.join(patience, &tasks, open).await });
        self.askers.push(Asker { answer: Some(answer), waits_for: None });
    }

    fn look(&mut self, which: usize) -> Result<(), TestCaseError> {
        let Some(asker) = self.askers.get_mut(which) else { return Ok(()) };
        let Some(answer) = &mut asker.answer else { return Ok(()) };
        let seen = answer.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let opened = self.endpoint.opened.load(Ordering::SeqCst);
        let waits_for = *asker.waits_for.get_or_insert(opened);
        if let Poll::Ready(answer) = seen {
            asker.answer = None;
            prop_assert!(opened > 0 && waits_for > 0);
            let told = matches!(answer, Ok(Joined::Http1));
            prop_assert_eq!(Some(&told), self.landed.get(waits_for - 1), "of another opening than it waited for");
        }
        Ok(())
    }

    fn land(&mut self, http1: bool) {
        let land = self.endpoint.land.lock().unwrap().take();
        if let Some(land) = land {
            self.landed.push(http1);
            let _ = land.send(http1);
        }
    }

    async fn take(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Ask => self.ask(),
            Step::Look(which) => self.look(which)?,
            Step::Leave(which) => {
                if let Some(asker) = self.askers.get_mut(which) {
                    asker.answer = None;
                }
            }
            Step::Land(http1) => self.land(http1),
            Step::Run => tokio::task::yield_now().await,
        }
        prop_assert!(self.endpoint.most.load(Ordering::SeqCst) <= 1, "two connections are being opened");
        Ok(())
    }

    /// Whoever has not left gets an answer: with the opening under way, or with the one after it.
    async fn end(&mut self) -> Result<(), TestCaseError> {
        for _ in 0..2 {
            for which in 0..self.askers.len() {
                self.take(Step::Look(which)).await?;
            }
            // Once for the task to be polled first, once to hear how it went.
            self.take(Step::Run).await?;
            self.land(true);
            self.take(Step::Run).await?;
            self.take(Step::Run).await?;
        }
        for which in 0..self.askers.len() {
            self.take(Step::Look(which)).await?;
        }
        prop_assert!(self.askers.iter().all(|asker| asker.answer.is_none()), "somebody waits for ever");
        Ok(())
    }
}

proptest! {
    #[test]
    fn one_opens_for_all_and_all_hear_of_it_in_any_order(steps in prop::collection::vec(step(), 0..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut world = World::default();
            for step in steps {
                world.take(step).await?;
            }
            world.end().await
        })?;
    }
}
