//! `outrigger dlq show`.

use crate::admin::api::LetterDetail;
use crate::admin::letters::advice;
use crate::admin::words;
use crate::cli::print::{self, Align, Table, cell};

/// One letter, for people.
pub(super) fn describe(detail: &LetterDetail, colour: bool) -> String {
    let letter = &detail.letter;
    let mut text = format!("{}: {}\n", print::line(&letter.id), print::line(&advice::standing(letter)));
    let mut say = |name: &str, value: String| text.push_str(&format!("  {name:<9}  {}\n", print::line(&value)));
    say("request", format!("{} {}{}", letter.method, letter.host, letter.target));
    say("route", format!("{}/{} ({}), queue {}", letter.upstream, letter.route, letter.direction, letter.queue));
    say("captured", format!("{}, {}", words::ago(letter.age_seconds), letter.created_at));
    say("cause", format!("{}: {}", letter.cause, letter.reason));
    say("class", format!("{}, contract {}", letter.class, letter.contract));
    say("body", body(detail));
    say("key", advice::key(detail));
    say("trace", format!("{}, policy revision {}", detail.trace_id, detail.policy_revision));
    say("replays", replays(detail));
    if !detail.tried.is_empty() {
        text.push('\n');
        text.push_str(&attempts(detail).render(colour));
    }
    section(&mut text, "Fields", &detail.fields);
    if detail.status.is_some() || !detail.answer_fields.is_empty() || !detail.answer_text.is_empty() {
        let status = detail.status.map(|status| format!(" {status}")).unwrap_or_default();
        let mut lines = detail.answer_fields.clone();
        if !detail.answer_text.is_empty() {
            lines.push(String::new());
            lines.extend(detail.answer_text.lines().map(str::to_owned));
        }
        section(&mut text, &format!("The last answer{status}"), &lines);
    }
    let steps = advice::next(detail);
    if !steps.is_empty() {
        text.push_str("\nNext\n");
        let width = steps.iter().map(|step| step.command.chars().count()).max().unwrap_or_default();
        for step in steps {
            text.push_str(&format!("  {:<width$}  {}\n", step.command, step.effect));
        }
    }
    text
}

fn body(detail: &LetterDetail) -> String {
    let bytes = detail.body_bytes;
    let size = format!("{} byte{}", words::grouped(bytes), if bytes == 1 { "" } else { "s" });
    let kept = if detail.sealed { "kept sealed" } else { "not kept" };
    format!("{size}, sha256 {}, {kept}", print::short(&detail.body_sha256))
}

fn replays(detail: &LetterDetail) -> String {
    let note = if detail.letter.note.is_empty() { String::new() } else { format!(", last: {}", detail.letter.note) };
    match detail.letter.replays {
        0 => "none".to_owned(),
        1 => format!("1{note}"),
        replays => format!("{replays}{note}"),
    }
}

fn attempts(detail: &LetterDetail) -> Table {
    let columns =
        [("ATTEMPT", Align::Right), ("ENDPOINT", Align::Left), ("DURATION", Align::Right), ("END", Align::Left)];
    let mut table = Table::new(&columns);
    for (number, tried) in (1_u32..).zip(&detail.tried) {
        let endpoint = if tried.endpoint.is_empty() { "-" } else { &tried.endpoint };
        table.row([
            cell(number.to_string()),
            cell(endpoint),
            cell(print::milliseconds(Some(tried.duration_ms as f64))),
            cell(tried.end.clone()),
        ]);
    }
    table
}

fn section(text: &mut String, title: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    text.push_str(&format!("\n{title}\n"));
    for line in lines {
        text.push_str(format!("  {}", print::line(line)).trim_end());
        text.push('\n');
    }
}
