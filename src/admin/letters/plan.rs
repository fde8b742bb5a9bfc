//! What a replay of many letters would do.

use super::view::why_not;
use crate::admin::api::{Excluded, ReplayPlan};
use crate::dead_letters::letter::Letter;
use crate::reliability::dead_letters::{Judgement, LetterState};

/// Reasons that are told one by one; the rest counts with the last of them.
const REASONS_MAX: usize = 20;

impl ReplayPlan {
    /// Counts a letter of which this was judged.
    pub(crate) fn count(&mut self, letter: &Letter, judgement: Judgement) {
        self.letters += 1;
        match judgement {
            Judgement::Safe => self.safe += 1,
            Judgement::Risky => self.needs_decision += 1,
            Judgement::Impossible => self.exclude(why_not(letter).unwrap_or_default()),
            Judgement::Superseded => self.exclude("a later request with its key was answered"),
            Judgement::Busy if letter.state == LetterState::Replaying => self.exclude("it is being sent again already"),
            Judgement::Busy => self.exclude("a request with its key is under way"),
            Judgement::Closed => self.exclude(&format!("it is closed as {}", letter.state.as_str())),
        }
    }

    /// Counts a letter of which nothing could be found out.
    pub(crate) fn count_unjudged(&mut self, why: &str) {
        self.letters += 1;
        self.exclude(why);
    }

    /// All are counted. `max`: at most so many would be sent.
    pub(crate) fn end(&mut self, accept_duplicate_risk: bool, max: Option<u64>) {
        let may = self.safe.saturating_add(if accept_duplicate_risk { self.needs_decision } else { 0 });
        self.sends = max.map_or(may, |max| may.min(max));
    }

    fn exclude(&mut self, why: &str) {
        if let Some(known) = self.excluded.iter_mut().find(|excluded| excluded.why == why) {
            known.letters += 1;
        } else if self.excluded.len() < REASONS_MAX {
            self.excluded.push(Excluded { why: why.to_owned(), letters: 1 });
        } else if let Some(last) = self.excluded.last_mut() {
            last.letters += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::admin::tests::stage::letters::{decided, letter, plan_of as plan, spent, unknown};

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
