//! A first attempt and, if it takes unusually long, a second one beside it: two futures of one task. The answer that
//! comes first counts; the other attempt is dropped, which closes its connection or resets its stream.

use std::future::Future;
use std::pin::{Pin, pin};
use std::slice;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use super::attempt::Outgoing;
use super::course::{Course, Launch};
use super::exchange::{Attempt, AttemptResult, Parcel};
use super::hygiene;
use super::route::Route;
use crate::clock;
use crate::drain::Tasks;
use crate::reliability::Sent;
use crate::reliability::attempts::Step;
use crate::reliability::hedge::Standby;
use crate::upstreams::endpoint::{Endpoint, InFlight};
use crate::wire::{Alarm, Answer};

/// Runs the first attempt, and its hedge if it comes to that, until the machine knows what they have come to. Returns an
/// answer that nobody gets.
pub(super) async fn run(
    course: &mut Course<'_>,
    launch: Launch,
    request: &mut Outgoing,
    alarm: &Alarm,
    tasks: &Tasks,
) -> Option<Answer> {
    let route = course.route();
    hygiene::drop_attempt(&mut request.headers, request.present, &route.policy.deadline);
    let request = &*request;
    let alarms = [alarm.part(), alarm.part()];
    let [first_alarm, hedge_alarm] = &alarms;
    let attempt = |launch: Launch, number, alarm| {
        let Launch { launched, cutoff, .. } = launch;
        Attempt { route, number, launched, cutoff, alarm, tasks }
    };
    let first = attempt(launch, 1, first_alarm);
    // Its endpoint is chosen before it begins, so that the other one can go elsewhere.
    let (in_flight, now) = match first.choose(request, &[]).await {
        Ok(chosen) => chosen,
        Err(failure) => return course.land(0, Err((failure, Sent::No)), true),
    };
    let endpoint = Arc::clone(in_flight.endpoint());
    course.chosen(0, in_flight);
    let mut parcel = Parcel::beside(request);
    let mut sending = pin!(first.deliver(&endpoint, &mut parcel, now));
    let due = course.machine.hedge_due();
    let ended = std::future::poll_fn(|cx| poll_until(sending.as_mut(), cx, (alarm, first_alarm), due)).await;
    if let Some(result) = ended {
        return course.land(0, result, true);
    }
    let Some((launch, other)) = launch_hedge(course, route, request, &endpoint) else {
        // None is sent. The first one goes on alone.
        let result = std::future::poll_fn(|cx| match poll_until(sending.as_mut(), cx, (alarm, first_alarm), None) {
            Poll::Ready(Some(result)) => Poll::Ready(result),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        });
        return course.land(0, result.await, true);
    };
    let number = course.machine.launched();
    let hedge = attempt(launch, number, hedge_alarm);
    let mut parcel = Parcel::beside(request);
    let mut hedging = pin!(hedge.deliver(&other, &mut parcel, launch.launched));
    let mut over = [false; 2];
    loop {
        let poll = |cx: &mut Context<'_>| loop {
            if !over[0]
                && let Poll::Ready(result) = sending.as_mut().poll(cx)
            {
                return Poll::Ready((0, result));
            }
            if !over[1]
                && let Poll::Ready(result) = hedging.as_mut().poll(cx)
            {
                return Poll::Ready((1, result));
            }
            if !alarm.relay(&[first_alarm, hedge_alarm]) {
                alarm.ask_for(&[first_alarm, hedge_alarm], None);
                return Poll::Pending;
            }
        };
        let (place, result) = std::future::poll_fn(poll).await;
        over[place] = true;
        let unwanted = course.land(place, result, true);
        if !course.machine.is_flying() {
            // Who has lost is let go of at once, not when the answer's body has been read.
            course.supersede();
            return unwanted;
        }
    }
}

/// Polls one attempt until it ends, or until `due`: then `None`.
fn poll_until(
    mut attempt: Pin<&mut impl Future<Output = AttemptResult>>,
    cx: &mut Context<'_>,
    (alarm, part): (&Alarm, &Alarm),
    due: Option<Instant>,
) -> Poll<Option<AttemptResult>> {
    loop {
        if let Poll::Ready(result) = attempt.as_mut().poll(cx) {
            return Poll::Ready(Some(result));
        }
        if due.is_some_and(|due| alarm.passed(due)) {
            return Poll::Ready(None);
        }
        if !alarm.relay(&[part]) {
            alarm.ask_for(&[part], due);
            return Poll::Pending;
        }
    }
}

/// Asks whether a hedge is to be sent, and where to. None = it is not.
fn launch_hedge(
    course: &mut Course<'_>,
    route: &Route<'_>,
    request: &Outgoing,
    first: &Arc<Endpoint>,
) -> Option<(Launch, Arc<Endpoint>)> {
    course.now = clock::now();
    let (standby, other) = elsewhere(route, request, first, course.now);
    course.machine.set_standby(standby);
    // Whatever else it says, it says again when it is asked next.
    let Step::Launch { id, kind, cutoff, permit } = course.ask() else { return None };
    let launch = Launch { id, kind, cutoff, launched: course.now };
    course.launch(launch, permit);
    let other = other?;
    let endpoint = Arc::clone(other.endpoint());
    course.chosen(1, other);
    Some((launch, endpoint))
}

/// Another endpoint that is well, and already counts one attempt more.
fn elsewhere(
    route: &Route<'_>,
    request: &Outgoing,
    first: &Arc<Endpoint>,
    now: Instant,
) -> (Standby, Option<InFlight>) {
    if route.state.endpoints().in_panic(now) {
        return (Standby::Panic, None);
    }
    let picked = route.state.pick(route.upstream, request.hash(), slice::from_ref(first), now).ok();
    let other = picked.filter(|picked| !Arc::ptr_eq(picked.endpoint(), first) && !picked.endpoint().is_ejected());
    (if other.is_some() { Standby::Other } else { Standby::Alone }, other)
}
