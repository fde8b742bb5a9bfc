use super::*;
use crate::admin::api::{Suspect, change_kind};
use crate::admin::tests::stage::{Process, payments};
use crate::dead_letters::letter::{Bounds, Tally};
use crate::upstreams::view::HedgeView;

fn said(change: impl FnOnce(&mut Vec<Verdict>, &mut Vec<Change>, &mut Vec<Repairable>)) -> Vec<String> {
    let process = Process::healthy();
    let (mut verdicts, mut changes, mut repairs) = (process.verdicts, process.changes, Vec::new());
    change(&mut verdicts, &mut changes, &mut repairs);
    let upstreams = [payments()];
    lines(&Parts { verdicts: &verdicts, upstreams: &upstreams, changes: &changes, retries: &[], repairs: &repairs })
}

fn failing(verdicts: &mut [Verdict]) {
    verdicts[0].condition = Condition::Failing;
    verdicts[0].cause = Some("refusing".to_owned());
    verdicts[0].text = "payments is failing: it is.".to_owned();
}

#[test]
fn four_questions_have_four_answers() {
    assert_eq!(
        said(|_, _, _| {}),
        [
            "Everything is healthy: 1 upstream, 1,204 requests since the start, 99.9% succeeded.",
            "Last change 4 min ago: policy revision 7 applied (payments: retry.attempts 1 -> 3), by watch.",
            "Retries of payments: 36 retries rescued 33 requests at 1.03x load; 2 retries were not made.",
            "Nothing to repair: no dead letter is open.",
        ]
    );
}

#[test]
fn hedges_are_told_beside_the_retries_where_any_were_sent() {
    let hedges = HedgeView { won: 1_030, lost: 70, ..HedgeView::default() };
    let upstreams = [UpstreamView { hedges: vec![hedges], ..payments() }];
    let lines = lines(&Parts { verdicts: &[], upstreams: &upstreams, changes: &[], retries: &[], repairs: &[] });
    assert!(lines[2].ends_with("2 retries were not made. Hedges: 1,030 of 1,100 won."), "{lines:?}");
}

#[test]
fn the_worst_verdict_is_told_whole_and_the_others_by_name() {
    let lines = said(|verdicts, _, _| {
        failing(verdicts);
        let other = Verdict { upstream: Some("orders".to_owned()), text: "other".to_owned(), ..verdicts[0].clone() };
        verdicts.push(other);
    });
    assert_eq!(lines[0], "payments is failing: it is. Also not well: orders (failing, refusing).");
    assert!(lines[2].starts_with("Retries of payments: 36 retries rescued"), "{lines:?}");
}

#[test]
fn a_suspect_is_the_change_that_is_told() {
    let lines = said(|verdicts, _, _| {
        failing(verdicts);
        verdicts[0].suspect = Some(Suspect {
            kind: "policy-applied".to_owned(),
            summary: "revision 12".to_owned(),
            at: String::new(),
            before_seconds: 4,
            revision: Some(12),
            before_percent: Some(0.1),
            after_percent: Some(38.0),
            text: "error rate of payments rose from 0.1% to 38% 4 s after revision 12".to_owned(),
        });
    });
    assert_eq!(lines[1], "Error rate of payments rose from 0.1% to 38% 4 s after revision 12.");
}

#[test]
fn what_breakers_and_ejection_do_is_no_change() {
    let lines = said(|_, changes, _| {
        changes[0].kind = "circuit".to_owned();
        let ejected = Change { summary: "payments: endpoint x ejected".to_owned(), ..changes[0].clone() };
        changes.push(Change { kind: change_kind::EJECTION.to_owned(), ..ejected });
    });
    assert_eq!(lines[1], "Nothing changed in the last 10 min.");
    let lines = said(|_, changes, _| {
        changes[0].kind = "endpoints".to_owned();
        changes[0].summary = "payments: endpoints 1 -> 1; added: 1; gone: 2".to_owned();
    });
    assert!(lines[1].starts_with("Last change 4 min ago: payments: endpoints 1 -> 1"), "{lines:?}");
}

#[test]
fn dead_letters_are_counted_with_the_command_to_go_on() {
    let tally = |queue: &str, state, class, letters| Tally {
        queue: queue.to_owned(),
        state,
        class,
        letters,
        bytes: 1,
        oldest: 0,
    };
    let stock = LetterStock {
        tallies: vec![
            tally("payments/charge", LetterState::Open, Class::NotExecuted, 38),
            tally("payments/charge", LetterState::Open, Class::Unknown, 4),
            tally("payments/charge", LetterState::Dropped, Class::Unknown, 9),
            tally("refunds", LetterState::Open, Class::FailedResponse, 1),
        ],
        bounds: Bounds { retention: std::time::Duration::from_secs(1), letters_max: 1, bytes_max: 1, share_max: 100 },
        lost: 0,
    };
    let found = repairs(&stock);
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].upstream.as_str(), found[0].route.as_str()), ("payments", "charge"));
    assert_eq!((found[0].open, found[0].unknown, found[0].replayable), (42, 4, 38));
    assert_eq!(found[1].command.as_deref(), Some("outrigger dlq ls --queue refunds"));
    let lines = said(|_, _, repairs| *repairs = found);
    assert_eq!(
        lines[3],
        "43 dead letters are open, 38 not executed, 4 of unknown outcome: outrigger dlq replay --queue \
         payments/charge --dry-run"
    );
}
