//! What is shown of dead letters, and what is said where there is no store of them.

use super::{Server, say_in};
use crate::admin::api::KeyView;
use crate::admin::control::letters::BodyOrder;
use crate::admin::tests::stage::letters::{LetterOrder, decided, letter, spent, unknown};
use crate::admin::tests::stage::{Order, Process};
use crate::cli::Surroundings;
use crate::dead_letters::letter::Letter;

pub(super) fn id(letter: &Letter) -> String {
    letter.id.to_string()
}

/// What was ordered about letters, without the questions.
pub(super) fn ordered(server: &Server) -> Vec<LetterOrder> {
    let letters = server.stage().orders().into_iter().filter_map(|order| match order {
        Order::Letters(LetterOrder::List(_)) => None,
        Order::Letters(order) => Some(order),
        other => panic!("{other:?}"),
    });
    letters.collect()
}

pub(super) fn by() -> (String, String) {
    ("INC-42".to_owned(), "alice".to_owned())
}

#[test]
fn a_list_ends_with_what_can_be_done() {
    let expected = format!(
        "\
ID                                    AGE  ROUTE            CLASS         CAUSE              REASON              ATTEMPTS/REPLAYS  STATE
{}  1 h  payments/charge  not-executed  retries-exhausted  connection-refused               2/0  open
{}  2 h  payments/charge  not-executed  retries-exhausted  connection-refused               2/0  open
{}  3 h  payments/charge  unknown       outcome-unknown    try-timeout                      2/0  open
{}  4 h  payments/charge  not-executed  retries-exhausted  connection-refused               2/0  open

4 letters: 2 are safe to replay now, 1 needs a decision, 1 cannot be sent again.
Next: outrigger dlq replay --route payments --dry-run
",
        id(&letter(1)),
        id(&letter(2)),
        id(&unknown(3)),
        id(&spent(4))
    );
    let server = Server::healthy();
    assert_eq!(server.say(&["dlq", "ls", "--route", "payments"]).exited(0).out, expected);
    let part = server.say(&["dlq", "ls", "--state", "all", "--limit", "2"]);
    let next = id(&letter(2));
    let ending = format!(
        "2 of 5 letters: 2 are safe to replay now.\nNext: outrigger dlq replay --state all --dry-run\nMore: outrigger \
         dlq ls --limit 2 --state all --after {next}\n"
    );
    assert!(part.exited(0).out.ends_with(&ending), "{}", part.out);
    let rest = server.say(&["dlq", "ls", "--state", "all", "--after", &next]);
    assert!(rest.out.contains("3 of 5 letters: ") && rest.out.contains(&id(&decided(5))), "{}", rest.out);
    let none = server.say(&["dlq", "ls", "--state", "expired"]);
    assert_eq!(none.exited(0).out, "There are no such dead letters.\n");
    let json: serde_json::Value = serde_json::from_str(&server.say(&["dlq", "ls", "-o", "json"]).out).unwrap();
    assert_eq!(json["letters"][2]["repair"], "needs-decision");
}

#[test]
fn a_letter_is_shown_with_its_key_and_what_may_be_done() {
    let mut process = Process::healthy();
    process.letters.key = Some(KeyView {
        state: "unknown".to_owned(),
        attempt: 1,
        fence: 1,
        contract: "opaque".to_owned(),
        ambiguous: true,
        pinned: true,
        expires_in_ms: None,
        lease_left_ms: None,
        route: "payments/charge".to_owned(),
        answer: None,
    });
    process.letters.letters[2].words.ended.answer_text = "try\x1b[2J later".to_owned();
    let server = Server::of(process);
    let at = crate::admin::letters::view::moment(unknown(3).created);
    let said = server.say(&["dlq", "show", &id(&unknown(3))[24..]]);
    let expected = "\
ID: open, and needs a decision: it was sent and no answer came, so that nobody here knows whether it was executed. It expires in 6 d 23 h.
  request    POST payments.shop/charges?token=[redacted:1f2e3d4c]
  route      payments/charge (outbound), queue payments/charge
  captured   3 h ago, AT
  cause      outcome-unknown: try-timeout
  class      unknown, contract opaque
  body       12 bytes, sha256 abababababab, kept sealed
  key        given by the client; unknown. It was sent and its outcome is not known; repetitions are refused with 409 until its dead letter is closed.
  trace      4bf92f3577b34da6a3ce929d0e0e4736, policy revision 7
  replays    none

ATTEMPT  ENDPOINT       DURATION  END
      1  10.2.3.4:8080    250 ms  connection-refused
      2  10.2.3.4:8080    250 ms  connection-refused

Fields
  content-type: application/json
  authorization: [redacted:0a1b2c3d]

The last answer

  try\u{fffd}[2J later

Next
  outrigger dlq resolve ID --as executed --reason TEXT          it took effect: close it, repetitions with its key get an answer
  outrigger dlq resolve ID --as not-executed --reason TEXT      it did not: close it, the next request with its key is executed
  outrigger dlq replay ID --accept-duplicate-risk --reason TEXT  send it again, although it may be executed twice
  outrigger dlq drop ID --reason TEXT                           give it up
  outrigger dlq body ID --reason TEXT                           read its body; that is noted in the audit
";
    let out = said.exited(0).out.replace(&id(&unknown(3)), "ID");
    // The second may have passed between the two looks at the clock.
    let captured = out.lines().find(|line| line.starts_with("  captured")).unwrap();
    assert!(captured.contains(&at[..15]), "{captured}");
    let out = out.replace(captured, "  captured   3 h ago, AT");
    let squeezed = |text: &str| text.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    assert_eq!(squeezed(&out), squeezed(expected));
}

#[test]
fn an_id_that_fits_several_letters_or_none_is_an_error_that_says_so() {
    let server = Server::healthy();
    let several = server.say(&["dlq", "show", &id(&letter(2))[..8]]);
    assert!(several.exited(1).err.contains("fits more than one letter: "), "{several:?}");
    assert!(several.err.contains(&id(&unknown(3))) && several.err.ends_with("next: write the whole id\n"));
    let none = server.say(&["dlq", "drop", "ffffffff", "--reason", "x"]);
    assert!(none.exited(1).err.contains("no dead letter's id begins or ends with `ffffffff`"), "{none:?}");
}

#[test]
fn a_body_is_written_as_it_is_but_not_binary_to_a_terminal() {
    let server = Server::healthy();
    let name = id(&letter(1));
    let words = ["dlq", "body", name.as_str(), "--reason", "INC-42"];
    assert_eq!(server.say(&words).exited(0).out, r#"{"amount":7}"#);
    let (reason, author) = by();
    assert_eq!(ordered(&server), [LetterOrder::Body(BodyOrder { id: letter(1).id, reason, author })]);
    server.say(&[&words[..], &["-o", "json"]].concat()).exited(2);

    let terminal = Surroundings { terminal: true, ..server.surroundings() };
    assert_eq!(say_in(&terminal, &words).exited(0).out, r#"{"amount":7}"#);
    server.stage().process().letters.body = b"\x00\x1b[2J".to_vec();
    let refused = say_in(&terminal, &words);
    assert!(refused.exited(2).err.contains("next: write it to a file with --out FILE"), "{refused:?}");
    assert_eq!(refused.out, "");
    assert_eq!(server.say(&words).exited(0).out, "\0\x1b[2J");

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("body");
    let to_file = [&words[..], &["--out", file.to_str().unwrap()]].concat();
    say_in(&terminal, &to_file).exited(0);
    assert_eq!(std::fs::read(&file).unwrap(), b"\x00\x1b[2J");
    let before = ordered(&server).len();
    assert!(server.say(&to_file).exited(2).err.contains("exists already"));
    assert_eq!(ordered(&server).len(), before, "what cannot be written is not read");
}

#[test]
fn an_export_has_all_letters_a_line_each() {
    let mut process = Process::healthy();
    process.letters.letters = (1..=200).map(letter).collect();
    let server = Server::of(process);
    let said = server.say(&["dlq", "export", "--state", "all"]);
    let lines: Vec<serde_json::Value> =
        said.exited(0).out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 200);
    assert_eq!((&lines[0]["id"], &lines[199]["id"]), (&id(&letter(1)).into(), &id(&letter(200)).into()));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("letters.ndjson");
    let said = server.say(&["dlq", "export", "--out", file.to_str().unwrap()]);
    assert!(said.exited(0).out.starts_with("200 letters written to "), "{said:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 200);
}

#[test]
fn stats_say_how_many_how_full_and_how_many_were_lost() {
    let said = Server::healthy().say(&["dlq", "stats"]);
    assert_eq!(
        said.exited(0).out,
        "\
QUEUE            STATE    CLASS         LETTERS     SIZE   OLDEST
payments/charge  open     not-executed        3  2,700 B  4 h ago
payments/charge  open     unknown             1    900 B  3 h ago
payments/charge  dropped  not-executed        1    900 B  5 h ago

5 letters of 10,000 (0.1%), 4,500 B of 64.0 MiB (0.1%); one queue may take 50% of that. Letters are kept for 7 d.
3 letters were lost since the start, because a bound was reached or the disk failed: see the process log.
"
    );
}

#[test]
fn the_audit_tells_who_did_what_and_whether_it_is_intact() {
    let server = Server::healthy();
    let said = server.say(&["audit"]);
    let expected = format!(
        "\
NUMBER  TIME                  WHO    WHAT         LETTER                                REASON  OUTCOME
     2  2026-11-22T10:00:00Z  bob    replay-many  -                                     INC-42  2 letters
     1  2026-11-22T09:59:00Z  alice  drop         {}  INC-42  dropped

The chain of hashes is intact over these rows.
",
        id(&decided(5))
    );
    assert_eq!(said.exited(0).out, expected);
    server.stage().process().letters.audit[1].intact = false;
    let said = server.say(&["audit", "--since", "24h"]);
    assert!(said.exited(1).out.contains("The chain of hashes is broken at 1: "), "{said:?}");
    server.say(&["audit", "-o", "json"]).exited(1);
    server.stage().process().letters.audit.clear();
    assert_eq!(server.say(&["audit"]).exited(0).out, "Nothing was done to dead letters in that time.\n");
}

#[test]
fn without_a_store_every_command_says_what_to_add() {
    let server = Server::healthy();
    server.stage().process().letters.closed = true;
    let name = id(&letter(1));
    let commands = [
        &["dlq", "ls"][..],
        &["dlq", "stats"],
        &["dlq", "show", &name],
        &["dlq", "body", &name, "--reason", "x"],
        &["dlq", "replay", &name, "--reason", "x"],
        &["dlq", "replay", "--dry-run"],
        &["dlq", "replay", "--state", "open", "--yes", "--reason", "x"],
        &["dlq", "drop", &name, "--reason", "x"],
        &["dlq", "drop", "--state", "open", "--yes", "--reason", "x"],
        &["dlq", "resolve", &name, "--as", "executed", "--reason", "x"],
        &["dlq", "export"],
        &["replay", "ls"],
        &["replay", "status", "r1"],
        &["replay", "cancel", "r1", "--reason", "x"],
        &["audit"],
    ];
    for words in commands {
        let said = server.say(words);
        let sentence = "outrigger: no route keeps dead letters: add `deadLetter: {}` to a route in the policy\n";
        assert!(said.exited(1).err.starts_with(sentence), "{words:?}: {said:?}");
        assert_eq!(said.out, "", "{words:?}");
    }
}
