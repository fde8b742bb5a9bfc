//! What a replay of many letters would do, from the letters alone.

use super::view::{repair, why_not};
use crate::admin::api::{Excluded, Repair, ReplayPlan};
use crate::dead_letters::letter::Letter;

/// Counts. `max`: at most so many would be sent.
pub fn plan<'a>(
    letters: impl IntoIterator<Item = &'a Letter>,
    accept_duplicate_risk: bool,
    max: Option<u64>,
) -> ReplayPlan {
    let mut plan = ReplayPlan::default();
    for letter in letters {
        plan.letters += 1;
        match repair(letter) {
            Repair::Safe => plan.safe += 1,
            Repair::NeedsDecision => plan.needs_decision += 1,
            Repair::Impossible => exclude(&mut plan, why_not(letter).unwrap_or_default()),
            Repair::Underway => exclude(&mut plan, "it is being sent again already"),
            Repair::Closed => exclude(&mut plan, &format!("it is closed as {}", letter.state.as_str())),
        }
    }
    let may = if accept_duplicate_risk { plan.safe.saturating_add(plan.needs_decision) } else { plan.safe };
    plan.sends = max.map_or(may, |max| may.min(max));
    plan
}

fn exclude(plan: &mut ReplayPlan, why: &str) {
    match plan.excluded.iter_mut().find(|excluded| excluded.why == why) {
        Some(excluded) => excluded.letters += 1,
        None => plan.excluded.push(Excluded { why: why.to_owned(), letters: 1 }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::tests::stage::letters::{decided, letter, spent, unknown};

    #[test]
    fn only_what_cannot_happen_twice_is_sent_unless_the_risk_is_accepted() {
        let letters = [letter(1), letter(2), unknown(3), spent(4), spent(5), decided(6)];
        let cautious = plan(&letters, false, None);
        assert_eq!((cautious.letters, cautious.safe, cautious.needs_decision, cautious.sends), (6, 2, 1, 2));
        let excluded: Vec<_> = cautious.excluded.iter().map(|e| (e.why.as_str(), e.letters)).collect();
        assert_eq!(excluded, [("its body was longer than maxBody", 2), ("it is closed as dropped", 1)]);
        assert_eq!(plan(&letters, true, None).sends, 3);
        assert_eq!(plan(&letters, true, Some(1)).sends, 1);
    }
}
