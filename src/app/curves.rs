//! The last ten minutes of every upstream as plain numbers: what the page draws before it has seen anything itself.

use super::Core;
use crate::admin::api::{Curve, Curves};
use crate::clock;
use crate::reliability::ending::Ending;
use crate::reliability::verdict::history::{COARSE, Tick};

pub(super) fn curves(core: &Core) -> Curves {
    let now = clock::now();
    let mut curves = Vec::new();
    if let Some(proxy) = core.proxy.get() {
        for upstream in &proxy.snapshot.load().upstreams {
            if let Some(steps) = core.observer.curve(upstream.direction, &upstream.name, now) {
                curves.push(Curve {
                    upstream: upstream.name.to_string(),
                    direction: upstream.direction.as_str().to_owned(),
                    requests: steps.iter().map(|step| step.requests.total()).collect(),
                    failed: steps.iter().map(failed).collect(),
                    rescued: steps.iter().map(|step| u64::from(step.rescued)).collect(),
                });
            }
        }
    }
    Curves { step_seconds: COARSE.as_secs(), curves }
}

/// As the totals count it: what callers do wrong, and that they leave, is no failure.
fn failed(step: &Tick) -> u64 {
    let ours = [Ending::OwnLimit, Ending::OwnFault].map(|ending| u64::from(step.requests.get(ending)));
    step.requests.failed().saturating_add(ours.iter().sum())
}
