//! What each command prints, and what it asks of the process.

use std::time::Duration;

use super::{Server, say_in};
use crate::admin::api::CircuitAction;
use crate::admin::control::{
    ChangesFilter, CircuitOrder, KeyName, Outcome, Refused, ReloadOrder, ResolveOrder, RollbackOrder,
};
use crate::admin::tests::stage::{Order, Process, closed};
use crate::cli::Surroundings;

const STATUS: &str = "\
Everything is healthy: 1 upstream, 1,204 requests since the start, 99.9% succeeded.
Last change 4 min ago: policy revision 7 applied (payments: retry.attempts 1 -> 3), by watch.
Retries of payments/charge after timeouts do not help: 2 of 210 rescued.
4 dead letters are open, 3 not executed, 1 of unknown outcome: outrigger dlq replay --queue payments/charge --dry-run

UPSTREAM  REQUESTS  FIRST TRY -> FINAL     P50    P99  CIRCUIT  IN-FLIGHT  BUDGET  ENDPOINTS
payments     1,204      97.2% -> 99.9%  4.1 ms  38 ms  closed       3/256     80%        2/2

policy: revision 7 (c0ffeec0ffee) by watch, applied 4 min ago from /etc/outrigger/policy.yaml
certificate: inbound expires in 60 d (spiffe://shop.example/ns/shop/sa/web, /etc/outrigger-tls/tls.crt)
checkout: outrigger VERSION, pid PID, up 2 h 5 min

Last changes
         4 min ago  policy revision 7 applied [watch]
                      payments: retry.attempts 1 -> 3
";

#[test]
fn status_says_it_in_words_then_numbers_then_what_changed() {
    let said = Server::healthy().say(&["status"]);
    let pid = std::process::id().to_string();
    let expected = STATUS.replace("VERSION", env!("CARGO_PKG_VERSION")).replace("PID", &pid);
    assert_eq!(said.exited(0).out, expected);
    assert_eq!(said.err, "");
}

#[test]
fn status_exits_1_when_degraded_and_shows_why_a_file_is_refused() {
    let mut process = Process::healthy();
    process.policy.policy.reload.failed = true;
    process.policy.policy.reload.error = Some("policy.yaml:7:30: unknown field `timeuot`\n7 | x\x1b[2J".to_owned());
    let said = Server::of(process).say(&["status"]);
    assert!(said.exited(1).out.starts_with("The policy file is refused, revision 7 stays in force: policy.yaml:7:30"));
    assert!(said.out.contains("\npolicy.yaml:7:30: unknown field `timeuot`\n7 | x\u{fffd}[2J\n"), "{}", said.out);
}

#[test]
fn colours_appear_only_where_wanted() {
    let server = Server::healthy();
    assert!(!server.say(&["status"]).out.contains('\x1b'));
    let wanted = Surroundings { colour: true, ..server.surroundings() };
    let said = say_in(&wanted, &["status"]);
    assert!(said.out.starts_with("\x1b[32mEverything is healthy"), "{}", said.out);
    assert!(!say_in(&wanted, &["status", "-o", "json"]).out.contains('\x1b'));
}

#[test]
fn json_is_the_apis_own() {
    let server = Server::healthy();
    let parse =
        |words: &[&str]| -> serde_json::Value { serde_json::from_str(&server.say(words).exited(0).out).unwrap() };
    assert_eq!(parse(&["status", "-o", "json"])["upstreams"][0]["totals"]["firstAttemptsFailed"], 34);
    assert_eq!(parse(&["-o", "json", "upstreams"])["upstreams"][0]["name"], "payments");
    assert_eq!(parse(&["upstreams", "payments", "-o", "json"])["endpointSetAgeSeconds"], 3_725);
    assert_eq!(parse(&["budgets", "-o", "json"])["budgets"][0]["totals"]["denied"][0][0], "budget");
    assert_eq!(parse(&["circuits", "-o", "json"])["circuits"][0]["circuit"]["state"], "closed");
    assert_eq!(parse(&["changes", "-o", "json"])["changes"][0]["kind"], "policy-applied");
    assert_eq!(parse(&["policy", "show", "-o", "json"])["policy"]["author"], "watch");
    assert_eq!(parse(&["policy", "history", "-o", "json"])["revisions"][0]["revision"], 7);
    assert_eq!(parse(&["policy", "reload", "-o", "json"])["changed"], false);
}

#[test]
fn upstreams_list_all_or_open_one_with_its_endpoints() {
    let mut process = Process::healthy();
    process.views[0].endpoints[1].ejected_for_ms = Some(4_200);
    process.views[0].endpoints[1].last_failure = Some("connection_refused".to_owned());
    let server = Server::of(process);
    assert_eq!(
        server.say(&["upstreams"]).exited(0).out,
        "\
UPSTREAM  DIRECTION  REQUESTS  FAILED  REFUSED  FIRST TRY -> FINAL     P50    P99  CIRCUIT  ENDPOINTS
payments  outbound      1,204       1        0      97.2% -> 99.9%  4.1 ms  38 ms  closed         1/2
"
    );
    assert_eq!(
        server.say(&["upstreams", "payments"]).exited(0).out,
        "\
payments (outbound)
  requests   1,204, success 97.2% -> 99.9% (first try -> final)
  latency    p50 4.1 ms, p99 38 ms
  retries    36, rescued 33, load 1.03x, denied budget 2
  budget     80%
  circuit    closed
  limits     in flight 3/256, pending 0/64
  endpoints  1/2 up, set unchanged for 1 h 2 min

ENDPOINT       STATE          LATENCY  FAILING  SAMPLES  PENDING  CONNECTIONS  LAST FAILURE
10.2.3.4:8080  up              4.2 ms       0%       60        1   4 (3 idle)  -
10.2.3.5:8080  out for 4.2 s   4.2 ms       0%       60        1   4 (3 idle)  connection_refused
"
    );
}

#[test]
fn retries_that_do_not_help_are_said_first_and_are_a_problem() {
    let server = Server::healthy();
    assert_eq!(
        server.say(&["retries", "payments"]).exited(1).out,
        "\
Retries of payments/charge after timeouts do not help: 2 of 210 rescued.

ROUTE            AFTER    VERDICT                   REQUESTS  RETRIES  RESCUED  OF 100   LOAD  COST OF RESCUE   COST OF FAILURE  DENIED
payments/charge  all      not-helping, probes only     2,310      210        2     0-3  1.09x   40 ms / 40 ms  512 ms / 1024 ms  efficacy 210
                 timeout  not-helping, probes only                210        2     0-3  1.09x   40 ms / 40 ms  512 ms / 1024 ms  efficacy 210
"
    );
    let said = server.say(&["retries", "-o", "json"]);
    let answer: serde_json::Value = serde_json::from_str(&said.exited(1).out).unwrap();
    assert_eq!(answer["retries"][1]["byAttempt"][0]["attempt"], 2);
}

#[test]
fn retries_that_help_are_fine_and_a_control_group_says_by_how_much() {
    let mut process = Process::healthy();
    process.retries.truncate(1);
    let report = &mut process.retries[0];
    (report.verdict, report.gated) = ("helping".to_owned(), false);
    report.holdout = Some(crate::admin::api::Holdout {
        percent: 1.0,
        treated: 1_000,
        treated_succeeded: 900,
        control: 10,
        control_succeeded: 2,
        effect_percent: Some(70.0),
        effect_low_percent: Some(38.7),
        effect_high_percent: Some(84.6),
    });
    let said = Server::of(process).say(&["retries"]);
    let text = "Control group of payments/charge: retries add 70.0 points of success (38.7 to 84.6) among requests that need one; \
                900 of 1,000 succeeded with retries, 2 of 10 without.\n";
    assert!(said.exited(0).out.ends_with(text), "{}", said.out);
    let mut process = Process::healthy();
    process.retries.clear();
    assert_eq!(Server::of(process).say(&["retries"]).exited(0).out, "No request has needed a retry yet.\n");
}

#[test]
fn budgets_set_effective_against_actual() {
    assert_eq!(
        Server::healthy().say(&["budgets", "payments"]).exited(0).out,
        "\
UPSTREAM  REQUESTS  ATTEMPTS   LOAD  FIRST TRY -> FINAL  RETRIES  RESCUED  BUDGET  DENIED
payments     1,204     1,240  1.03x      97.2% -> 99.9%       36       33     80%  budget 2
"
    );
}

#[test]
fn the_inbound_row_has_no_budget_and_a_nameless_process_is_named_once() {
    let mut process = Process::healthy();
    process.views[0].name = "app".to_owned();
    let server = Server::of(process);
    assert!(server.say(&["budgets"]).exited(0).out.contains("    -  budget 2"), "{:?}", server.say(&["budgets"]));
    assert!(!server.say(&["status"]).out.contains("80%"));
}

#[test]
fn requests_refused_unsent_are_no_first_try_successes() {
    let mut process = Process::healthy();
    let totals = &mut process.views[0].totals;
    (totals.requests, totals.requests_failed, totals.refused, totals.rescued) = (30, 30, 20, 0);
    (totals.attempts, totals.first_attempts_failed) = (20, 10);
    let said = Server::of(process).say(&["budgets"]);
    assert!(said.exited(0).out.contains(" 0% -> 0% "), "{}", said.out);
}

#[test]
fn circuits_are_listed_with_what_they_measured() {
    let mut process = Process::healthy();
    let mut api = process.views[0].clone();
    api.name = "search".to_owned();
    api.circuit = None;
    process.views[0].circuit = Some(crate::upstreams::view::CircuitView {
        state: "open".to_owned(),
        failure_percent: 61.5,
        retry_after_ms: Some(4_000),
        ..closed()
    });
    process.views.push(api);
    assert_eq!(
        Server::of(process).say(&["circuits", "ls"]).exited(0).out,
        "\
UPSTREAM  CIRCUIT  FAILING  SLOW  SAMPLES  THROTTLED  NEXT PROBE
payments  open       61.5%    0%      120         0%       4.0 s
search    -              -     -        -          -           -
"
    );
}

#[test]
fn holding_a_circuit_states_author_reason_and_time() {
    let server = Server::healthy();
    let said = server.say(&["circuits", "open", "payments", "--ttl", "90s", "--reason", "INC-42"]);
    assert_eq!(said.exited(0).out, "The circuit of payments is now: held open for 90s.\n");
    server.say(&["circuits", "close", "payments", "--reason", "INC-42"]).exited(0);
    server.say(&["circuits", "reset", "payments", "--reason", "over"]).exited(0);
    let order = |action, seconds, reason: &str| {
        Order::Circuit(CircuitOrder {
            upstream: "payments".to_owned(),
            action,
            ttl: Duration::from_secs(seconds),
            reason: reason.to_owned(),
            author: "alice".to_owned(),
        })
    };
    let expected = [
        order(CircuitAction::Open, 90, "INC-42"),
        order(CircuitAction::Close, 600, "INC-42"),
        order(CircuitAction::Reset, 600, "over"),
    ];
    assert_eq!(server.stage().orders(), expected);
}

#[test]
fn a_key_is_shown_in_words_and_resolved_with_author_and_reason() {
    let server = Server::healthy();
    let said = server.say(&["idem", "show", "payments/charge", "it's", "--principal", "alice"]);
    assert_eq!(
        said.exited(0).out,
        "\
payments/charge it's of alice: unknown. It was sent and its outcome is not known; repetitions are refused with 409 for another 6 d 23 h.
Resolve it: outrigger idem resolve --as executed|not-executed --reason TEXT --principal alice payments/charge 'it'\\''s'
"
    );
    let said = server.say(&["idem", "resolve", "payments/charge", "k1", "--as", "not-executed", "--reason", "INC-42"]);
    assert_eq!(
        said.exited(0).out,
        "\
payments/charge k1: resolved as not executed. The key is free: the next request with it is executed.
The change journal has it under record c0ffee00.
"
    );
    let name = |key: &str, principal: Option<&str>| KeyName {
        upstream: "payments".to_owned(),
        route: "charge".to_owned(),
        key: key.as_bytes().to_vec(),
        principal: principal.map(str::to_owned),
    };
    let resolve = ResolveOrder {
        name: name("k1", None),
        outcome: Outcome::NotExecuted,
        reason: "INC-42".to_owned(),
        author: "alice".to_owned(),
    };
    let expected = [Order::ShowKey(name("it's", Some("alice"))), Order::ResolveKey(resolve)];
    assert_eq!(server.stage().orders(), expected);
}

#[test]
fn a_change_without_a_reason_is_a_usage_error_and_never_sent() {
    let server = Server::healthy();
    for words in [
        &["circuits", "open", "payments"][..],
        &["circuits", "reset", "payments"],
        &["policy", "rollback", "5"],
        &["circuits", "open", "payments", "--reason", "x", "--ttl", "ten"],
    ] {
        server.say(words).exited(2);
    }
    assert_eq!(server.stage().orders(), []);
}

#[test]
fn the_policy_is_shown_rolled_back_and_reloaded() {
    let server = Server::healthy();
    assert_eq!(server.say(&["policy", "show"]).exited(0).out, "version: 1\nupstreams: {}\n");
    assert_eq!(
        server.say(&["policy", "history"]).exited(0).out,
        "\
REVISION  APPLIED               HASH          AUTHOR  SOURCE                      WHAT CHANGED
     * 7  2026-11-22T10:00:00Z  c0ffeec0ffee  watch   /etc/outrigger/policy.yaml  payments: retry.attempts 1 -> 3
"
    );
    let said = server.say(&["policy", "rollback", "5", "--reason", "INC-42"]);
    assert_eq!(
        said.exited(0).out,
        "Revision 8 (beefbeefbeef) is in force.\nThe policy file still holds the other text: its next edit, SIGHUP or a restart brings it back.\n"
    );
    let said = server.say(&["policy", "reload"]);
    assert_eq!(said.exited(0).out, "Nothing to do: revision 8 (beefbeefbeef) has this very text.\n");
    let author = || "alice".to_owned();
    let expected = [
        Order::Rollback(RollbackOrder { revision: 5, reason: "INC-42".to_owned(), author: author() }),
        Order::Reload(ReloadOrder { author: author() }),
    ];
    assert_eq!(server.stage().orders(), expected);
}

#[test]
fn a_refused_change_exits_1_with_the_exact_error_and_the_next_step() {
    let server = Server::healthy();
    let finding = "policy.yaml:7:30: unknown field `timeuot`\n7 |     timeuot: 2s";
    server.stage().process().refuse = Some(Refused::Policy(finding.to_owned()));
    let said = server.say(&["policy", "reload"]);
    let next = "correct the file and reload; the policy in force is unchanged";
    assert_eq!(said.exited(1).err, format!("outrigger: {finding}\nnext: {next}\n"));
    assert_eq!(said.out, "");
}

#[test]
fn an_unknown_upstream_exits_1_with_the_right_names() {
    let said = Server::healthy().say(&["upstreams", "pay/ments"]);
    let expected = "outrigger: no upstream is named `pay/ments`\nnext: use one of: payments\n";
    assert_eq!(said.exited(1).err, expected);
}

#[test]
fn changes_pass_on_span_limit_upstream_and_kind() {
    let server = Server::healthy();
    server.say(&["changes", "--since", "30m", "--limit", "7"]).exited(0);
    server.say(&["changes"]).exited(0);
    server.say(&["changes", "--upstream", "payments", "--kind", "circuit"]).exited(0);
    let expected = [
        Order::Changes(ChangesFilter { since: Some(Duration::from_secs(1_800)), limit: 7, ..ChangesFilter::default() }),
        Order::Changes(ChangesFilter { limit: 100, ..ChangesFilter::default() }),
        Order::Changes(ChangesFilter {
            limit: 100,
            upstream: Some("payments".to_owned()),
            kind: Some("circuit".to_owned()),
            since: None,
        }),
    ];
    assert_eq!(server.stage().orders(), expected);
    server.stage().process().changes.clear();
    assert_eq!(server.say(&["changes"]).out, "Nothing changed in that time.\n");
    for wrong in [["--since", "30"], ["--since", "1d"], ["--limit", "0"], ["--limit", "1001"], ["--kind", "x"]] {
        server.say(&["changes", wrong[0], wrong[1]]).exited(2);
    }
}
