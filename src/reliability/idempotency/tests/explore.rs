//! Every interleaving of three owners, crashes, pauses and leases that run out, on the real machine.

use std::collections::HashSet;

use super::*;

/// How far an owner has come. Each step may be its last: then it has crashed, or is paused for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Begins,
    /// The claim is granted.
    Holds,
    /// MARK_SENT is acknowledged; no byte has left.
    MaySend,
    /// It has the upstream's answer.
    Answered,
    /// The upstream executed it, and the answer is lost.
    LostSight,
    /// Provably nothing was executed.
    Unprocessed,
    Over,
}

#[derive(Clone, Debug)]
struct World {
    record: Option<Record>,
    owners: [Owner; 3],
    now: Millis,
    effects: u32,
    /// An owner was told that there is an answer to replay.
    replayed: bool,
}

type Machine = fn(Option<Record>, &Op, Millis) -> (Option<Record>, Reply);

/// All worlds that can be reached. `None`: too many, which would make "none is bad" worth nothing.
fn reachable(machine: Machine, contract: Contract) -> Option<Vec<World>> {
    let begin = World { record: None, owners: [Owner::Begins; 3], now: 0, effects: 0, replayed: false };
    let mut seen = HashSet::from([format!("{begin:?}")]);
    let (mut open, mut all) = (vec![begin], Vec::new());
    while let Some(world) = open.pop() {
        for next in successors(&world, machine, contract) {
            if seen.insert(format!("{next:?}")) {
                open.push(next);
            }
        }
        all.push(world);
        if all.len() > 500_000 {
            return None;
        }
    }
    Some(all)
}

fn successors(world: &World, machine: Machine, contract: Contract) -> Vec<World> {
    let mut next = Vec::new();
    // The lease of whoever holds one runs out.
    if world.now < 3 * (LEASE + 1) {
        next.push(World { now: world.now + LEASE + 1, ..world.clone() });
    }
    for index in 0..world.owners.len() {
        let n = index as u8 + 1;
        let told = |op: Op, then: &dyn Fn(Reply) -> Owner| {
            let mut after = world.clone();
            let (record, reply) = machine(world.record, &op, world.now);
            after.record = record;
            after.replayed |= matches!(reply, Reply::Replay { .. });
            after.owners[index] = then(reply);
            after
        };
        let moved = |owner: Owner, effects: u32| {
            let mut after = world.clone();
            after.owners[index] = owner;
            after.effects += effects;
            after
        };
        match world.owners[index] {
            Owner::Begins => next.push(told(claim(n, contract), &|reply| match reply {
                Reply::Granted { .. } => Owner::Holds,
                _ => Owner::Over,
            })),
            Owner::Holds => {
                next.push(told(sent(n), &|reply| if reply == Reply::Done { Owner::MaySend } else { Owner::Over }));
                next.push(told(Op::Release { nonce: nonce(n) }, &|_| Owner::Over));
            }
            Owner::MaySend => {
                next.push(moved(Owner::Answered, 1));
                next.push(moved(Owner::LostSight, 1));
                next.push(moved(Owner::Unprocessed, 0));
            }
            Owner::Answered => next.push(told(complete(n), &|_| Owner::Over)),
            Owner::LostSight => {
                next.push(told(fail(n), &|_| Owner::Over));
                // The answer comes late after all.
                next.push(told(complete(n), &|_| Owner::Over));
            }
            Owner::Unprocessed => next.push(told(Op::Release { nonce: nonce(n) }, &|_| Owner::Over)),
            Owner::Over => {}
        }
        if world.owners[index] != Owner::Over {
            next.push(moved(Owner::Over, 0));
        }
    }
    next
}

#[test]
fn no_interleaving_of_owners_crashes_and_leases_executes_twice() {
    for contract in [Contract::Opaque, Contract::Atomic5xx] {
        let worlds = reachable(apply, contract).expect("few enough to see them all");
        assert!(worlds.len() > 1_000, "{}", worlds.len());
        for world in &worlds {
            assert!(world.effects <= 1, "{world:?}");
            assert!(!world.replayed || world.effects == 1, "an answer without an effect: {world:?}");
        }
        // It can be executed at all, and every end is reached.
        for state in [State::Claimed, State::Sent, State::Complete, State::Unknown] {
            assert!(worlds.iter().any(|w| w.record.is_some_and(|r| r.state == state)), "{state:?}");
        }
    }
}

#[test]
fn an_upstream_that_deduplicates_is_asked_again_but_never_while_an_owner_lives() {
    let worlds = reachable(apply, Contract::Dedupes).expect("few enough to see them all");
    assert!(worlds.iter().any(|w| w.effects > 1), "that is what its contract is for");
    for world in worlds.iter().filter(|w| w.now == 0) {
        let at_it = world.owners.iter().filter(|o| matches!(o, Owner::Holds | Owner::MaySend)).count();
        assert!(at_it <= 1, "{world:?}");
    }
}

/// What the exploration is worth: machines with a known mistake must be caught by it.
#[test]
fn a_machine_with_a_known_mistake_executes_twice() {
    /// MARK_SENT is not looked at.
    fn unmarked(record: Option<Record>, op: &Op, now: Millis) -> (Option<Record>, Reply) {
        match op {
            Op::MarkSent { .. } => (record, Reply::Done),
            other => apply(record, other, now),
        }
    }
    /// A plain SET instead of one that asks whether there is a record.
    fn unasked(record: Option<Record>, op: &Op, now: Millis) -> (Option<Record>, Reply) {
        match op {
            Op::Claim(_) => apply(None, op, now),
            other => apply(record, other, now),
        }
    }
    /// A release that does not look at whose claim it is, and deletes (truxify #4623).
    fn unowned(record: Option<Record>, op: &Op, now: Millis) -> (Option<Record>, Reply) {
        match op {
            Op::Release { .. } => (None, Reply::Done),
            other => apply(record, other, now),
        }
    }
    /// A failure deletes the claim after a partial effect (actor-ts #984).
    fn forgetful(record: Option<Record>, op: &Op, now: Millis) -> (Option<Record>, Reply) {
        match op {
            Op::Fail { .. } => (None, Reply::Done),
            other => apply(record, other, now),
        }
    }
    for (name, machine) in [
        ("unmarked", unmarked as Machine),
        ("unasked", unasked as Machine),
        ("unowned", unowned as Machine),
        ("forgetful", forgetful as Machine),
    ] {
        let worlds = reachable(machine, Contract::Opaque).expect("few enough to see them all");
        assert!(worlds.iter().any(|w| w.effects > 1), "{name}");
    }
}
