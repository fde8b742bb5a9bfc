//! `limits.adaptive`, `limits.queue` and `priority`.

use http::HeaderName;

use super::blocks::{MS, SECOND, between};
use super::read::{Layered, Reader, whole};
use crate::policy::priority::PriorityPolicy;
use crate::policy::raw::scalar::{HashOn, Key, Text};
use crate::policy::raw::{self, Mode};
use crate::reliability::adaptive::{AdaptivePolicy, Algorithm};
use crate::reliability::limit::{Limits, QueuePolicy};
use crate::reliability::priority::Criticality;

/// Where a limit begins, and the least it falls to, where the file says nothing.
const INITIAL: u32 = 20;
const MIN: u32 = 4;

impl Reader<'_> {
    /// What `limits` says beyond numbers. `algorithm`: of the direction, as is what the block means without a mode.
    pub(super) fn overload(
        &mut self,
        block: Layered<'_, raw::Limits>,
        limits: Limits,
        algorithm: Algorithm,
        unsaid: Mode,
    ) -> Limits {
        let adaptive = self.adaptive(block.inner(|l| &l.adaptive), limits.requests, algorithm, unsaid);
        let queue = self.queue(block.inner(|l| &l.queue), adaptive);
        Limits { adaptive, queue, ..limits }
    }

    fn adaptive(
        &mut self,
        block: Layered<'_, raw::Adaptive>,
        requests: u32,
        algorithm: Algorithm,
        unsaid: Mode,
    ) -> Option<AdaptivePolicy> {
        let given = self.switched_on("limits.adaptive.mode", block);
        let mode = if given { unsaid } else { Mode::None };
        let mode = self.take("limits.adaptive.mode", block.pick(|a| &a.mode), |mode| Ok(*mode), mode);
        let count = |text: &Text<_>| whole(text, 1, 1_000_000);
        let (min_found, max_found) = (block.pick(|a| &a.min), block.pick(|a| &a.max));
        let max = self.take("limits.adaptive.max", max_found, count, requests);
        let min = self.take("limits.adaptive.min", min_found, count, MIN.min(max));
        if let (true, Some((at, _))) = (min > max, min_found.or(max_found)) {
            self.refuse(at.position, format!("min {min} is larger than max {max}"));
        }
        let found = block.pick(|a| &a.initial);
        let initial = self.take("limits.adaptive.initial", found, count, INITIAL.clamp(min.min(max), max));
        if let (false, Some((at, _))) = ((min..=max).contains(&initial), found) {
            self.refuse(at.position, format!("initial {initial} is not between min {min} and max {max}"));
        }
        let policy = AdaptivePolicy { algorithm, observe: mode == Mode::Observe, min, max, initial };
        (mode != Mode::None).then_some(policy)
    }

    fn queue(&mut self, block: Layered<'_, raw::Queue>, adaptive: Option<AdaptivePolicy>) -> Option<QueuePolicy> {
        let default = match adaptive {
            _ if self.switched_on("limits.queue.mode", block) => Mode::Enforce,
            Some(AdaptivePolicy { observe: true, .. }) => Mode::Observe,
            Some(_) => Mode::Enforce,
            None => Mode::None,
        };
        let mode = self.take("limits.queue.mode", block.pick(|q| &q.mode), |mode| Ok(*mode), default);
        let QueuePolicy { target, interval, .. } = QueuePolicy::default();
        let target = self.take("limits.queue.target", block.pick(|q| &q.target), between(MS, 100 * MS), target);
        let found = block.pick(|q| &q.interval);
        let interval = self.take("limits.queue.interval", found, between(10 * MS, 10 * SECOND), interval);
        (mode != Mode::None).then_some(QueuePolicy { target, interval, observe: mode == Mode::Observe })
    }

    /// None: nobody says anything of it.
    pub(super) fn priority(&mut self, block: Layered<'_, raw::Priority>) -> Option<PriorityPolicy> {
        let header = |text: &Text<HashOn>| match text.text.split_once(':') {
            Some(("header", name)) => {
                let name = HeaderName::try_from(name.trim());
                name.map(Some).map_err(|_| format!("`{}` names no valid header", text.text))
            }
            Some(_) | None => Err(format!("`{}`: write header:NAME, such as header:X-Criticality", text.text)),
        };
        let class = |word: &raw::Class| {
            Ok(match word {
                raw::Class::CriticalPlus => Criticality::CriticalPlus,
                raw::Class::Critical => Criticality::Critical,
                raw::Class::SheddablePlus => Criticality::SheddablePlus,
                raw::Class::Sheddable => Criticality::Sheddable,
            })
        };
        self.switched_on("priority.class", block).then(|| PriorityPolicy {
            header: self.take("priority.header", block.pick(|p| &p.header), header, None),
            class: self.take("priority.class", block.pick(|p| &p.class), class, Criticality::default()),
        })
    }
}

impl<'a, B> Layered<'a, B> {
    /// The layers of a block within this one.
    fn inner<I: 'a>(&self, of: impl Fn(&'a B) -> &'a Key<I>) -> Layered<'a, I> {
        self.map(|block| of(&block.value).get())
    }
}
