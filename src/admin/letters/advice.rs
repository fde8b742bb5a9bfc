//! What is said of letters in words: where one stands, and what may be done next, as commands to copy.

use std::time::Duration;

use crate::admin::api::{LetterDetail, LetterView, Letters, Repair, ReplayEnd, ReplayJob, ReplayPlan, ReplayState};
use crate::admin::api::{ReplayedLetter, ResolveAs};
use crate::admin::{keys, words};

/// Longest foreign text in a sentence.
const TEXT_CHARS_MAX: usize = 500;

/// A command, and what it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub command: String,
    pub effect: &'static str,
}

/// Where a letter stands, and why it may or may not be sent again.
pub(crate) fn standing(letter: &LetterView) -> String {
    let left = words::span(Duration::from_secs(letter.expires_in_seconds));
    let why = || words::plain(letter.not_replayable.as_deref().unwrap_or("no reason was kept"), TEXT_CHARS_MAX);
    match letter.repair {
        Repair::Safe => format!("open, and safe to replay: {}. It expires in {left}.", safe(letter)),
        Repair::NeedsDecision => {
            format!("open, and needs a decision: {}. It expires in {left}.", risky(letter))
        }
        Repair::Impossible => format!("open, but cannot be sent again: {}. It expires in {left}.", why()),
        Repair::Underway => "replaying. It is being sent again at this moment.".to_owned(),
        Repair::Closed => {
            let note = words::plain(&letter.note, TEXT_CHARS_MAX);
            let note = if note.is_empty() { note } else { format!(" ({note})") };
            let meaning = match letter.state.as_str() {
                "replayed" => "It was sent again and answered",
                "superseded" => "The client's own next try succeeded",
                "dropped" => "An operator gave it up",
                "resolved" => "An operator found out what had become of it",
                "expired" => "Nobody decided in time",
                _ => "Nothing more happens to it",
            };
            format!("{}. {meaning}{note}. It is forgotten in {left}.", words::plain(&letter.state, 40))
        }
    }
}

fn safe(letter: &LetterView) -> &'static str {
    match (letter.class.as_str(), letter.contract.as_str()) {
        ("not-executed", _) => "it was not executed",
        (_, "dedupes") => "it may have been executed, but the upstream recognises a repetition by its key",
        _ => "the upstream promises that an answer of 500 or above had no effect",
    }
}

fn risky(letter: &LetterView) -> &'static str {
    match letter.class.as_str() {
        "failed-response" => "the upstream answered 500 or above and may have executed a part of it",
        _ => "it was sent and no answer came, so that nobody here knows whether it was executed",
    }
}

/// Where its key stands.
pub(crate) fn key(letter: &LetterDetail) -> String {
    let whose = match letter.key_origin.as_str() {
        "client" => "given by the client",
        "generated" => "generated here, so that the client cannot repeat it",
        _ => return "none. A client's own next try is another request.".to_owned(),
    };
    match (&letter.key, letter.deduplicated) {
        (Some(key), _) => format!("{whose}; {}", keys::sentence(key)),
        (None, true) => format!("{whose}; there is no record of it any more: it was freed or has expired."),
        (None, false) => format!("{whose}; not deduplicated here."),
    }
}

/// What may be done about a letter, best first.
pub(crate) fn next(letter: &LetterDetail) -> Vec<Step> {
    let id = words::plain(&letter.letter.id, 40);
    let step = |words: &str, effect| Step { command: format!("outrigger dlq {words} --reason TEXT"), effect };
    let executed = if letter.deduplicated {
        "it took effect: close it, repetitions with its key get an answer"
    } else {
        "it took effect: close it"
    };
    let not_executed = if letter.deduplicated {
        "it did not: close it, the next request with its key is executed"
    } else {
        "it did not, and will not: close it"
    };
    let resolve = |steps: &mut Vec<Step>| {
        steps.push(step(&format!("resolve {id} --as executed"), executed));
        steps.push(step(&format!("resolve {id} --as not-executed"), not_executed));
    };
    let mut steps = Vec::new();
    match letter.letter.repair {
        Repair::Safe => steps.push(step(&format!("replay {id}"), "send it again")),
        Repair::NeedsDecision => {
            resolve(&mut steps);
            let words = format!("replay {id} --accept-duplicate-risk");
            steps.push(step(&words, "send it again, although it may be executed twice"));
        }
        Repair::Impossible => resolve(&mut steps),
        Repair::Underway => {
            return vec![Step { command: "outrigger replay ls".to_owned(), effect: "see what is being sent" }];
        }
        Repair::Closed => return steps,
    }
    steps.push(step(&format!("drop {id}"), "give it up"));
    if letter.sealed && letter.body_bytes > 0 {
        steps.push(step(&format!("body {id}"), "read its body; that is noted in the audit"));
    }
    steps
}

/// What a list comes to, in a sentence. Counts are of the letters that are shown.
pub(crate) fn summary(letters: &Letters) -> String {
    let shown = letters.letters.len() as u64;
    let of = |repair| letters.letters.iter().filter(|letter| letter.repair == repair).count() as u64;
    let mut parts = Vec::new();
    let mut say = |count: u64, one: &str, many: &str| {
        if count > 0 {
            parts.push(format!("{} {}", words::grouped(count), if count == 1 { one } else { many }));
        }
    };
    say(of(Repair::Safe), "is safe to replay now", "are safe to replay now");
    say(of(Repair::NeedsDecision), "needs a decision", "need a decision");
    say(of(Repair::Impossible), "cannot be sent again", "cannot be sent again");
    say(of(Repair::Underway), "is being sent again", "are being sent again");
    say(of(Repair::Closed), "is closed", "are closed");
    let begin = if shown < letters.total {
        format!("{} of {}", words::grouped(shown), many(letters.total))
    } else {
        many(shown)
    };
    format!("{begin}: {}.", parts.join(", "))
}

/// The command to go on with. `filter`: the words that chose the letters, with a blank before each.
pub(crate) fn next_of_list(letters: &Letters, filter: &str) -> Option<String> {
    let first = |repair| letters.letters.iter().find(|letter| letter.repair == repair);
    let count = letters.letters.iter().filter(|letter| letter.repair == Repair::Safe).count();
    let show = |letter: &LetterView| format!("outrigger dlq show {}", words::plain(&letter.id, 40));
    match (first(Repair::Safe), count) {
        (Some(letter), 1) => Some(format!("outrigger dlq replay {} --reason TEXT", words::plain(&letter.id, 40))),
        (Some(_), _) => Some(format!("outrigger dlq replay{filter} --dry-run")),
        (None, _) => first(Repair::NeedsDecision).or_else(|| first(Repair::Impossible)).map(show),
    }
}

/// What a replay would do, a line each.
pub(crate) fn plan(plan: &ReplayPlan, rate: u32) -> Vec<String> {
    let letters = if plan.letters == 1 { "matches" } else { "match" };
    let mut lines = vec![format!("{} {letters}.", many(plan.letters))];
    let mut say = |count: u64, text: String| {
        if count > 0 {
            lines.push(format!("  {:>6}  {text}", words::grouped(count)));
        }
    };
    say(plan.safe, "safe to replay".to_owned());
    let flag = "may be executed twice: sent only with --accept-duplicate-risk, see `outrigger dlq show`";
    say(plan.needs_decision, flag.to_owned());
    for excluded in &plan.excluded {
        say(excluded.letters, format!("not replayable: {}", words::plain(&excluded.why, TEXT_CHARS_MAX)));
    }
    let seconds = plan.sends.div_ceil(u64::from(rate.max(1)));
    lines.push(match plan.sends {
        0 => "Nothing would be sent.".to_owned(),
        sends => format!(
            "{} would be sent, oldest first, at {rate} per second: {} at least.",
            words::grouped(sends),
            words::whole(seconds)
        ),
    });
    lines
}

/// What became of one letter that was sent again.
pub(crate) fn replayed(done: &ReplayedLetter) -> String {
    let id = words::plain(&done.letter.id, 40);
    match (done.end, done.status) {
        (ReplayEnd::Replayed, Some(status)) => format!("{id} was sent and answered with {status}: it is closed."),
        (ReplayEnd::Replayed, None) => format!("{id} was sent and answered: it is closed."),
        (ReplayEnd::Superseded, _) => {
            format!("{id} was not sent: the client's own next try has succeeded. It is closed as superseded.")
        }
        (ReplayEnd::Underway, _) => format!("{id} is still being sent."),
        (ReplayEnd::Failed, status) => {
            let what = match (status, &done.failure) {
                (Some(status), _) => format!("the answer was {status}"),
                (None, Some(failure)) => words::plain(failure, 100),
                (None, None) => "there was no answer".to_owned(),
            };
            format!("{id} was not served this time either: {what}. It is {}", standing(&done.letter))
        }
    }
}

/// What became of a letter that was resolved.
pub(crate) fn resolved(letter: &LetterDetail, outcome: ResolveAs) -> String {
    let word = match outcome {
        ResolveAs::Executed => "executed",
        ResolveAs::NotExecuted => "not executed",
    };
    let key = match (&letter.key, letter.deduplicated, outcome) {
        (Some(key), ..) => format!(" Its key is {}", keys::sentence(key)),
        (None, true, ResolveAs::NotExecuted) => " Its key is free: the next request with it is executed.".to_owned(),
        (None, ..) => String::new(),
    };
    format!("{} is resolved as {word}.{key}", words::plain(&letter.letter.id, 40))
}

/// How far a replay of many has come.
pub(crate) fn job(job: &ReplayJob) -> String {
    let state = match job.state {
        ReplayState::Running => "running",
        ReplayState::Finished => "finished",
        ReplayState::Stopped => "stopped",
        ReplayState::Cancelled => "cancelled",
    };
    let counts = [
        (job.replayed, "replayed"),
        (job.superseded, "superseded"),
        (job.failed, "failed"),
        (job.skipped, "skipped"),
        (job.left(), "left"),
    ];
    let counts = counts.iter().filter(|(count, _)| *count > 0);
    let counts: Vec<String> = counts.map(|(count, what)| format!("{} {what}", words::grouped(*count))).collect();
    let counts = if counts.is_empty() { "nothing to send".to_owned() } else { counts.join(", ") };
    let why = job.why.as_deref().map(|why| format!(", {}", words::plain(why, TEXT_CHARS_MAX))).unwrap_or_default();
    format!("Replay {} is {state}{why}: of {} {counts}.", words::plain(&job.id, 60), many(job.letters))
}

/// `1 letter`, `1,204 letters`.
pub(crate) fn many(letters: u64) -> String {
    format!("{} letter{}", words::grouped(letters), if letters == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::letters::view;
    use crate::admin::tests::stage::letters::{decided, letter, spent, unknown};
    use crate::clock::wall_millis;
    use crate::dead_letters::letter::Letter;
    use crate::reliability::classify::Contract;
    use crate::reliability::dead_letters::{Class, LetterState};

    fn detail(letter: &Letter) -> LetterDetail {
        view::detail(letter, None, wall_millis())
    }

    fn commands(letter: &Letter) -> Vec<String> {
        let steps = next(&detail(letter)).into_iter().map(|step| step.command);
        steps.map(|command| command.replace(&letter.id.to_string(), "ID").replace(" --reason TEXT", "")).collect()
    }

    #[test]
    fn what_is_offered_depends_on_what_is_known_of_the_execution() {
        assert_eq!(commands(&letter(1)), ["outrigger dlq replay ID", "outrigger dlq drop ID", "outrigger dlq body ID"]);
        assert_eq!(
            commands(&unknown(2)),
            [
                "outrigger dlq resolve ID --as executed",
                "outrigger dlq resolve ID --as not-executed",
                "outrigger dlq replay ID --accept-duplicate-risk",
                "outrigger dlq drop ID",
                "outrigger dlq body ID",
            ]
        );
        let spent = commands(&spent(3));
        assert!(spent.iter().all(|command| !command.contains("replay")), "{spent:?}");
        assert_eq!(commands(&decided(4)), [""; 0]);
        let underway = Letter { state: LetterState::Replaying, ..letter(5) };
        assert_eq!(commands(&underway), ["outrigger replay ls"]);
    }

    #[test]
    fn each_standing_says_why() {
        let told = |letter: &Letter| standing(&detail(letter).letter);
        assert_eq!(told(&letter(1)), "open, and safe to replay: it was not executed. It expires in 6 d 23 h.");
        assert!(told(&unknown(2)).starts_with("open, and needs a decision: it was sent and no answer came"));
        assert!(told(&spent(3)).starts_with("open, but cannot be sent again: its body was longer than maxBody."));
        assert_eq!(told(&decided(4)), "dropped. An operator gave it up (alice: INC-42). It is forgotten in 6 d 23 h.");
        let promised = |class, contract, word: &str| {
            let mut promised = Letter { class, contract, ..letter(5) };
            promised.words.captured.contract = word.to_owned();
            told(&promised)
        };
        let dedupes = promised(Class::Unknown, Contract::Dedupes, "dedupes");
        assert!(
            dedupes.starts_with("open, and safe to replay: it may have been executed, but the upstream recognises")
        );
        let atomic = promised(Class::FailedResponse, Contract::Atomic5xx, "atomic5xx");
        assert!(atomic.starts_with("open, and safe to replay: the upstream promises"));
        let opaque = promised(Class::FailedResponse, Contract::Opaque, "opaque");
        assert!(opaque.starts_with("open, and needs a decision: the upstream answered 500 or above"));
    }

    #[test]
    fn a_list_ends_with_what_it_comes_to_and_the_next_command() {
        let list = |letters: &[Letter], total| Letters {
            letters: letters.iter().map(|letter| view::view(letter, wall_millis())).collect(),
            total,
            next: None,
        };
        let all = list(&[letter(1), letter(2), unknown(3), spent(4), decided(5)], 5);
        assert_eq!(
            summary(&all),
            "5 letters: 2 are safe to replay now, 1 needs a decision, 1 cannot be sent again, 1 is closed."
        );
        assert_eq!(next_of_list(&all, " --route pay").as_deref(), Some("outrigger dlq replay --route pay --dry-run"));
        let one = list(&[unknown(3), letter(1)], 9);
        assert_eq!(summary(&one), "2 of 9 letters: 1 is safe to replay now, 1 needs a decision.");
        let id = letter(1).id;
        assert_eq!(next_of_list(&one, ""), Some(format!("outrigger dlq replay {id} --reason TEXT")));
        let id = unknown(3).id;
        assert_eq!(next_of_list(&list(&[spent(4), unknown(3)], 2), ""), Some(format!("outrigger dlq show {id}")));
        assert_eq!(next_of_list(&list(&[decided(5)], 1), ""), None);
    }

    #[test]
    fn a_key_is_told_with_its_origin() {
        let mut letter = detail(&letter(1));
        assert_eq!(
            key(&letter),
            "given by the client; there is no record of it any more: it was freed or has expired."
        );
        letter.deduplicated = false;
        assert_eq!(key(&letter), "given by the client; not deduplicated here.");
        letter.key_origin = "none".to_owned();
        assert_eq!(key(&letter), "none. A client's own next try is another request.");
    }
}
