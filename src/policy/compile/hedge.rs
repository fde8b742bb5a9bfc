//! `hedge`: when a slow first attempt gets a second one beside it.

use super::blocks::{MINUTE, MS, between};
use super::read::{Layered, Reader, flag, number};
use crate::policy::duration;
use crate::policy::raw::scalar::{HedgeDelay, Text};
use crate::policy::raw::{self, Mode};
use crate::reliability::hedge::{Delay, HedgePolicy};

/// `hedge.percent`: less is nothing, more is a load test.
const PERCENT: (f64, f64) = (0.1, 20.0);

impl Reader<'_> {
    /// None = no block, or one that is switched off.
    pub(super) fn hedge(&mut self, block: Layered<'_, raw::Hedge>) -> Option<HedgePolicy> {
        let given = self.switched_on("hedge.mode", block);
        let default = HedgePolicy::default();
        let mode = self.take("hedge.mode", block.pick(|h| &h.mode), |mode| Ok(*mode), Mode::Enforce);
        let percent = |text: &Text<_>| number(text, PERCENT.0, PERCENT.1);
        let policy = HedgePolicy {
            delay: self.take("hedge.delay", block.pick(|h| &h.delay), delay, default.delay),
            min_delay: self.take(
                "hedge.minDelay",
                block.pick(|h| &h.min_delay),
                between(MS, MINUTE),
                default.min_delay,
            ),
            ratio: self.take("hedge.percent", block.pick(|h| &h.percent), percent, default.ratio * 100.0) / 100.0,
            unsafe_methods: self.take("hedge.unsafe", block.pick(|h| &h.unsafe_methods), flag, default.unsafe_methods),
            observe: mode == Mode::Observe,
        };
        (given && mode != Mode::None).then_some(policy)
    }
}

fn delay(text: &Text<HedgeDelay>) -> Result<Delay, String> {
    let text = &text.text;
    if let Some(percentile) = text.strip_prefix(['p', 'P']) {
        let share = percentile.parse::<f64>().ok().filter(|share| (50.0..=99.9).contains(share));
        return share
            .map(|share| Delay::Percentile((share * 10.0).round() / 1_000.0))
            .ok_or(format!("`{text}` is not within p50 to p99.9"));
    }
    let wrong = |_| format!("`{text}` is neither a percentile such as p95 nor a time such as 50ms");
    let time = duration::parse(text).map_err(wrong)?;
    let fits: bool = (MS..=MINUTE).contains(&time);
    fits.then_some(Delay::After(time)).ok_or(format!("{text} is out of range: 1ms to {}", duration::print(MINUTE)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::policy::compile::load;

    fn hedge(block: &str) -> Result<Option<HedgePolicy>, String> {
        let text = format!("version: 1\nupstreams:\n  a:\n    url: http://a\n    hedge: {block}\n");
        let compiled = load("p.yaml", &text).map_err(|errors| errors.to_string())?;
        Ok(compiled.policy.upstreams[0].routes[0].hedge.clone())
    }

    #[test]
    fn a_block_that_is_present_is_on_with_its_defaults() {
        assert_eq!(hedge("{}"), Ok(Some(HedgePolicy::default())));
        assert_eq!(hedge("{ mode: none }"), Ok(None));
        assert!(hedge("{ mode: observe }").unwrap().unwrap().observe);
    }

    #[test]
    fn a_delay_is_a_percentile_or_a_time() {
        let delay = |word: &str| hedge(&format!("{{ delay: {word} }}")).map(|policy| policy.unwrap().delay);
        assert_eq!(delay("p99.9"), Ok(Delay::Percentile(0.999)));
        assert_eq!(delay("p50"), Ok(Delay::Percentile(0.5)));
        assert_eq!(delay("50ms"), Ok(Delay::After(Duration::from_millis(50))));
        for (word, says) in [
            ("p49", "p50 to p99.9"),
            ("p100", "p50 to p99.9"),
            ("p", "p50"),
            ("50", "50ms"),
            ("0ms", "1ms"),
            ("2m", "1m"),
        ] {
            let said = delay(word).unwrap_err();
            assert!(said.contains(says), "{word}: {said}");
        }
    }

    #[test]
    fn a_route_that_hedges_holds_bodies_also_without_retries_and_one_that_does_neither_holds_none() {
        let text = "version: 1\nupstreams:\n  a:\n    url: http://a\n    routes:\n    \
                    - { name: h, match: { path: /h }, hedge: { percent: 1 } }\n    - { name: n, match: { path: /n } }\n";
        let routes = load("p.yaml", text).unwrap().policy.upstreams.remove(0).routes;
        let held: Vec<usize> = routes.iter().map(|route| route.replay_body_max).collect();
        assert_eq!(held, [64 << 10, 0, 0]);
        assert_eq!(routes[0].hedge.as_ref().unwrap().ratio, 0.01);
        assert!(routes.iter().all(|route| route.retry.retries == 0));
    }
}
