//! How answers get from the writer to those who wait.
//!
//! To wake a task from outside its runtime costs a system call, and often a change of threads there and back: the
//! runtime answers one request and sleeps again before the writer comes to the next. So the answers of one transaction
//! go over together, and a task of the runtime hands them out.

use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use crate::idempotency::store::{Answered, Shown, StoreError};

/// An answer, and who waits for it.
pub(super) enum Delivery {
    Answered(oneshot::Sender<Result<Answered, StoreError>>, Result<Answered, StoreError>),
    Shown(oneshot::Sender<Result<Option<Shown>, StoreError>>, Result<Option<Shown>, StoreError>),
}

impl Delivery {
    pub fn hand_over(self) {
        // Who has gone does not need to know.
        match self {
            Delivery::Answered(reply, told) => drop(reply.send(told)),
            Delivery::Shown(reply, told) => drop(reply.send(told)),
        }
    }
}

/// The writer's end. What is under way is bounded by those who wait.
pub(super) struct Deliveries(Option<UnboundedSender<Vec<Delivery>>>);

impl Deliveries {
    /// Without a runtime each answer is handed over by itself.
    pub fn new(runtime: Option<&Handle>) -> Deliveries {
        Deliveries(runtime.map(|runtime| {
            let (sender, receiver) = unbounded_channel();
            runtime.spawn(hand_out(receiver));
            sender
        }))
    }

    pub fn send(&self, deliveries: Vec<Delivery>) {
        let left = match &self.0 {
            // A runtime that has ended takes nothing, and nobody waits in it.
            Some(sender) if deliveries.len() > 1 => sender.send(deliveries).map_err(|error| error.0).err(),
            _ => Some(deliveries),
        };
        left.into_iter().flatten().for_each(Delivery::hand_over);
    }
}

async fn hand_out(mut receiver: UnboundedReceiver<Vec<Delivery>>) {
    while let Some(deliveries) = receiver.recv().await {
        deliveries.into_iter().for_each(Delivery::hand_over);
    }
}
