//! Random commands, and the model's word on each.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::model::Model;
use super::{Fixture, answer};
use crate::idempotency::answer::StoredAnswer;
use crate::idempotency::store::Command;
use crate::reliability::classify::Contract;
use crate::reliability::idempotency::{Claim, Fingerprint, Millis, Nonce, Op, Record, RecordId, Reply, State};

/// One thing that happens.
#[derive(Clone, Debug)]
enum Event {
    Command(Command),
    /// Time passes.
    Pass(Millis),
    /// The process ends and starts again. Only where a store can.
    Restart,
}

/// Few keys and few owners, so that they meet.
fn events(real_time: bool) -> impl Strategy<Value = Vec<Event>> {
    let id = (0..3_u8).prop_map(|number| RecordId([number; 16]));
    let command = (id, any_op(real_time)).prop_map(|(id, (op, owner))| {
        let route = matches!(op, Op::Claim(_)).then(|| "payments/create".into());
        let answered = matches!(op, Op::Complete { .. } | Op::ResolveExecuted { .. });
        Event::Command(Command { id, op, route, answer: answered.then(|| answer(owner)), letter: None })
    });
    // Where time passes by itself, nobody can say when exactly something ends; so nothing does.
    let pass = (1..40_u64).prop_map(move |tens| Event::Pass(if real_time { 0 } else { tens * 10 }));
    vec(prop_oneof![40 => command, 6 => pass, 1 => Just(Event::Restart)], 1..80)
}

fn any_op(real_time: bool) -> impl Strategy<Value = (Op, u8)> {
    let span = move || {
        let spans = if real_time { vec![100_000_u64, 200_000] } else { vec![100, 300, 100_000] };
        proptest::sample::select(spans)
    };
    let contract = prop_oneof![
        2 => Just(Contract::Opaque),
        1 => Just(Contract::Atomic5xx),
        2 => Just(Contract::Dedupes),
    ];
    let print = prop_oneof![9 => Just(Fingerprint([1; 16])), 1 => Just(Fingerprint([2; 16]))];
    (0..16_u8, 1..5_u8, span(), span(), print, contract, any::<bool>()).prop_map(
        |(kind, owner, lease, keep, fingerprint, contract, ambiguous)| {
            let nonce = Nonce([owner; 16]);
            let op = match kind {
                0..=3 => Op::Claim(Claim { fingerprint, nonce, lease, keep, contract }),
                4..=6 => Op::MarkSent { nonce, lease },
                7..=8 => Op::Complete { nonce, ambiguous, keep },
                9 => Op::Release { nonce },
                10 => Op::Fail { nonce, keep },
                11 => Op::Renew { nonce, lease },
                12 => Op::ResolveExecuted { nonce, keep },
                13 => Op::ResolveNotExecuted { nonce },
                14 if ambiguous => Op::Pin,
                14 => Op::Unpin,
                _ => Op::Lookup { fingerprint },
            };
            (op, owner)
        },
    )
}

/// Runs events on an empty store, and compares every reply and every record with the model's.
async fn compare<F: Fixture>(fixture: &F, events: &[Event]) {
    let mut model = Model::default();
    for (at, event) in events.iter().enumerate() {
        match event {
            Event::Pass(ms) => fixture.advance(*ms).await,
            Event::Restart => {
                if fixture.restart().await {
                    model.restart(fixture.now());
                }
            }
            Event::Command(command) => {
                let told = fixture.store().apply(command.clone()).await.expect("the store works");
                let expected = model.apply(command.clone(), fixture.now());
                let context = || format!("event {at} of {events:#?}");
                assert_eq!(plain::<F>(told.reply), plain::<F>(expected.reply), "{}", context());
                assert_eq!(told.answer, expected.answer, "{}", context());
                let shown = fixture.store().show(command.id).await.expect("the store works");
                let shown = shown.map(|shown| (shown.record, shown.answer)).map(comparable::<F>);
                let expected = model.shown(command.id, fixture.now()).map(comparable::<F>);
                assert_eq!(shown, expected, "{}", context());
            }
        }
    }
}

/// On a clock that goes on by itself, the time left differs a little.
fn plain<F: Fixture>(reply: Reply) -> Reply {
    match reply {
        Reply::Busy { sent, .. } if F::REAL_TIME => Reply::Busy { sent, left: 0 },
        other => other,
    }
}

/// A lease is its owner's only, and an answer is one only while it is replayed.
fn comparable<F: Fixture>((record, answer): (Record, Option<StoredAnswer>)) -> (Record, Option<StoredAnswer>) {
    let expires = if F::REAL_TIME { 0 } else { record.expires };
    (Record { lease_until: 0, expires, ..record }, answer.filter(|_| record.state == State::Complete))
}

/// Random commands on a fresh store each time.
pub(crate) fn check<F: Fixture, R: Future<Output = Option<F>>>(fixture: impl Fn() -> R) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = Config { cases: 100, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&events(F::REAL_TIME), |events| {
        runtime.block_on(async {
            if let Some(fixture) = fixture().await {
                compare(&fixture, &events).await;
            }
        });
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}
