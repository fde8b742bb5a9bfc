//! The scripts against the machine itself, on a clock that both read.

use std::collections::HashSet;
use std::mem::{Discriminant, discriminant};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use super::clock::{BEGIN, on_a_clock, set_clock};
use super::*;
use crate::clock::wall;
use crate::idempotency::memory::MemoryStore;
use crate::reliability::entropy::{Entropy, SplitMix};
use crate::reliability::idempotency::{Record, State};

struct Pair {
    redis: RedisStore,
    memory: MemoryStore,
    now: Arc<AtomicU64>,
    seen: HashSet<Discriminant<Reply>>,
}

impl Pair {
    async fn new(server: &RedisServer) -> Pair {
        let now = Arc::new(AtomicU64::new(BEGIN));
        let clock = Arc::clone(&now);
        let memory = MemoryStore::new(Arc::new(move || clock.load(Ordering::Relaxed)), 1_000);
        Pair { redis: on_a_clock(server).await, memory, now, seen: HashSet::new() }
    }

    async fn pass(&self, milliseconds: Millis) {
        let now = self.now.fetch_add(milliseconds, Ordering::Relaxed) + milliseconds;
        set_clock(&self.redis, now).await;
    }

    /// One command to both.
    async fn step(&mut self, record: u8, command: Command) {
        // The store in memory keeps route and answer of an expired record until it is asked.
        let fingerprint = Fingerprint([0; 16]);
        self.memory.apply_now(Command::new(id(record), Op::Lookup { fingerprint })).expect("an answer");

        let what = format!("{command:?} at {}", self.now.load(Ordering::Relaxed));
        let expected = self.memory.apply_now(command.clone());
        assert_eq!(self.redis.apply(command).await, expected, "{what}");
        self.seen.insert(discriminant(&expected.expect("an answer").reply));

        let expected = self.memory.show(id(record)).await;
        assert_eq!(self.redis.show(id(record)).await, expected, "after {what}");
        if let Ok(Some(shown)) = expected {
            self.check_expiry(record, &shown.record, &what).await;
        }
    }

    async fn check_expiry(&self, record: u8, expected: &Record, what: &str) {
        let wall = || wall().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64;
        let (before, left, after) = (wall(), ttl(&self.redis, record).await, wall());
        if expected.pinned {
            assert_eq!(left, -1, "after {what}");
            return;
        }
        let held = matches!(expected.state, State::Claimed | State::Sent);
        let last = expected.expires.max(if held { expected.lease_until } else { 0 }) as i64;
        assert!(left > 0 && after + left >= last, "forgotten {} ms early after {what}", last - after - left);
        // A read may see that a lease is over, which the next write stores.
        assert!(before + left <= last.max(expected.lease_until as i64) + 1000, "kept too long after {what}");
    }
}

fn any(random: &mut SplitMix, from: &[Millis]) -> Millis {
    from[random.below(from.len())]
}

/// The same of one owner: who repeats a report repeats it as it was.
fn answer_of(owner: Nonce) -> StoredAnswer {
    let random = &mut SplitMix::new(u64::from(owner.0[0]));
    let body =
        (!owner.0[0].is_multiple_of(3)).then(|| (0..random.below(200)).map(|_| random.next_u64() as u8).collect());
    StoredAnswer { status: 200 + random.below(400) as u16, fields: Bytes::from_static(b"a: \x80b\n"), body }
}

fn any_command(random: &mut SplitMix, record: u8, owner: Option<Nonce>) -> Command {
    // Mostly the owner speaks, or nothing would ever come far.
    let nonce = match owner {
        Some(owner) if random.below(5) > 0 => owner,
        _ => nonce(random.below(6) as u8),
    };
    let lease = any(random, &[0, 1, 100, 10_000]);
    let keep = any(random, &[0, 1, 150, 20_000, 500_000]);
    let fingerprint = Fingerprint([u8::from(random.below(10) == 0); 16]);
    let ambiguous = random.below(2) == 0;
    let op = match random.below(16) {
        0..=4 => {
            let contract = [Contract::Opaque, Contract::Atomic5xx, Contract::Dedupes][random.below(3)];
            Op::Claim(Claim { fingerprint, nonce: super::nonce(random.below(6) as u8), lease, keep, contract })
        }
        5 => Op::Lookup { fingerprint },
        6..=7 => Op::MarkSent { nonce, lease },
        8 => Op::Renew { nonce, lease },
        9..=10 => Op::Complete { nonce, ambiguous, keep },
        11 => Op::Release { nonce },
        12 => Op::Fail { nonce, keep },
        13 => Op::ResolveExecuted { nonce, keep },
        14 => Op::ResolveNotExecuted { nonce },
        _ if random.below(2) == 0 => Op::Pin,
        _ => Op::Unpin,
    };
    let mut command = Command::new(id(record), op);
    match op {
        Op::Claim(_) => command.route = Some(Arc::from(format!("route/{}", random.below(9)))),
        Op::Complete { .. } | Op::ResolveExecuted { .. } => command.answer = Some(answer_of(nonce)),
        _ => {}
    }
    command
}

#[tokio::test]
async fn any_sequence_of_commands_is_answered_as_the_machine_answers() {
    let server = RedisServer::start().await;
    let mut pair = Pair::new(&server).await;
    for seed in 0..8 {
        let mut random = SplitMix::new(seed);
        for _ in 0..400 {
            let record = seed as u8 * 8 + random.below(3) as u8;
            let owner = pair.memory.show(id(record)).await.expect("an answer").map(|shown| shown.record.nonce);
            let command = any_command(&mut random, record, owner);
            pair.step(record, command).await;
            let passed = any(&mut random, &[0, 0, 0, 0, 1, 1, 99, 101, 151, 10_001]);
            pair.pass(passed).await;
        }
    }
    assert_eq!(pair.seen.len(), 8, "every reply was seen");
}

#[tokio::test]
async fn counters_stop_at_their_ends_and_spans_have_one() {
    let server = RedisServer::start().await;
    let store = connect(&server).await;
    assert_eq!(reply(&store, claim(1, 1, MINUTE, HOUR)).await, GRANTED);
    raw(&store, &["HSET", &store.key(id(1)), "st", "R", "fence", "4294967295", "att", "65535"]).await;
    let granted = Ok(Reply::Granted { attempt: u16::MAX, fence: u32::MAX });
    assert_eq!(reply(&store, claim(1, 2, Millis::MAX, Millis::MAX)).await, granted);
    assert_eq!(reply(&store, mark_sent(1, 2, Millis::MAX)).await, DONE);
    let busy = reply(&store, claim(1, 3, 1, 1)).await;
    assert!(matches!(busy, Ok(Reply::Busy { left, sent: true }) if left > 1 << 51), "{busy:?}");
    assert!(ttl(&store, 1).await > 1 << 51);
}
