use std::time::{Duration, Instant};

use super::keys::{self, Key};
use super::model::{Heed, Model, Seen, Sort};
use super::render::{self, Size, bars};
use crate::admin::api::{Condition, PolicySummary, Readiness, Reload, Retries, Status, Verdict};
use crate::admin::tests::stage::payments;
use crate::upstreams::view::UpstreamView;

fn status(upstreams: Vec<UpstreamView>) -> Status {
    let policy = PolicySummary {
        revision: 7,
        hash: String::new(),
        applied_at: String::new(),
        age_seconds: 1,
        author: String::new(),
        source: String::new(),
        reload: Reload::default(),
    };
    let verdict = Verdict {
        upstream: None,
        direction: None,
        route: None,
        condition: Condition::Failing,
        cause: None,
        text: "payments is failing\x1b[2J".to_owned(),
        since: None,
        since_seconds: None,
        share: None,
        confidence: None,
        evidence: Vec::new(),
        suspect: None,
    };
    Status {
        name: "checkout".to_owned(),
        version: "1".to_owned(),
        pid: 1,
        uptime_seconds: 61,
        condition: Condition::Failing,
        readiness: Readiness { ready: true, reasons: Vec::new() },
        draining: false,
        verdicts: vec![verdict],
        policy,
        upstreams,
        certificates: Vec::new(),
        changes: Vec::new(),
        summary: Vec::new(),
        retries: Vec::new(),
        repairs: Vec::new(),
    }
}

/// `payments` and `search` at the second `second`, with so many requests and failures of `search` so far.
fn seen(began: Instant, second: u64, requests: u64, failed: u64) -> Seen {
    let mut search = UpstreamView { name: "search".to_owned(), ..payments() };
    search.totals.requests = requests;
    search.totals.requests_failed = failed;
    let at = began + Duration::from_secs(second);
    Seen { status: status(vec![payments(), search]), retries: Retries { retries: Vec::new() }, troubled: None, at }
}

fn watched() -> Model {
    let (mut model, began) = (Model::default(), Instant::now());
    for second in 0..=70 {
        model.take_in(seen(began, second, 1_000 + second * 20, second * 5));
    }
    model
}

#[test]
fn rates_are_differences_per_second_and_history_is_a_minute() {
    let rows = watched().rows();
    assert_eq!((rows[0].name.as_str(), rows[0].rate, rows[0].success_percent), ("search", 20.0, Some(75.0)));
    assert_eq!((rows[1].rate, rows[1].success_percent), (0.0, None));
    assert_eq!(rows[0].history, [20.0; 60]);
}

#[test]
fn a_look_that_comes_late_and_a_process_that_begins_anew_do_not_falsify_rates() {
    let (mut model, began) = (Model::default(), Instant::now());
    model.take_in(seen(began, 0, 1_000, 0));
    model.take_in(seen(began, 4, 1_100, 0));
    assert_eq!(model.rows()[0].rate, 25.0);
    model.take_in(seen(began, 5, 3, 0));
    assert!(model.rows().iter().all(|row| row.rate == 0.0));
}

#[test]
fn keys_sort_choose_open_and_end() {
    let mut model = watched();
    assert_eq!(model.sort, Sort::Rate);
    model.press(Key::Tab);
    model.press(Key::Letter('s'));
    assert_eq!(model.sort, Sort::P99);
    for _ in 0..3 {
        model.press(Key::Left);
    }
    assert_eq!(model.sort, Sort::Name);
    model.press(Key::Left);
    assert_eq!(model.sort, Sort::Retries);
    model.press(Key::Right);
    for _ in 0..5 {
        model.press(Key::Down);
    }
    assert_eq!(model.selected(), 1);
    model.press(Key::Enter);
    assert_eq!(model.opened(), Some("search"));
    model.press(Key::Back);
    assert_eq!(model.opened(), None);
    model.press(Key::Letter('?'));
    assert!(model.help);
    model.press(Key::Enter);
    assert!(!model.help && model.opened().is_none());
    assert_eq!(model.press(Key::Letter('x')), Heed::Go);
    assert_eq!(model.press(Key::Letter('q')), Heed::Quit);
    assert_eq!(model.press(Key::Interrupt), Heed::Quit);
}

#[test]
fn bytes_of_a_terminal_are_read_as_keys() {
    assert_eq!(keys::read(b"\x1b[Bq"), [Key::Down, Key::Letter('q')]);
    assert_eq!(keys::read(b"\x1b[A\x1bOC\x1b[Z"), [Key::Up, Key::Right, Key::Left]);
    assert_eq!(keys::read(b"\x1b"), [Key::Back]);
    assert_eq!(keys::read(b"\x1b[15~\x7f\r\t\x03"), [Key::Back, Key::Enter, Key::Tab, Key::Interrupt]);
    assert_eq!(keys::read(b"\x1b[1;5"), []);
    assert_eq!(keys::read(&[0xc3, 0xa4, 0]), []);
}

#[test]
fn no_line_is_wider_than_the_terminal_and_no_frame_higher() {
    for (columns, rows) in [(20, 3), (80, 24), (200, 50)] {
        let text = render::screen(&watched(), Size { columns, rows }, false);
        let lines: Vec<&str> = text.trim_start_matches("\x1b[H").trim_end_matches("\x1b[J").split("\r\n").collect();
        assert!(lines.len() <= rows, "{text:?}");
        for line in lines {
            let shown = line.replace("\x1b[K", "").replace("\x1b[7m", "").replace("\x1b[27m", "");
            assert!(shown.chars().count() <= columns, "{columns}: {shown:?}");
            assert!(!shown.contains('\x1b'), "{shown:?}");
        }
    }
}

#[test]
fn a_frame_has_verdicts_then_rows_then_what_to_press() {
    let text = render::screen(&watched(), Size { columns: 160, rows: 40 }, true);
    let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what} in {text:?}"));
    assert!(at("\x1b[1;31mpayments is failing\u{fffd}[2J") < at("REQ/S*"));
    assert!(at("REQ/S*") < at("search") && at("search") < at("q end"));
    assert!(text.contains("20.0") && text.contains("75%") && text.contains("████"), "{text}");
    // The chosen row is shown in reverse.
    assert!(text.contains("\x1b[7m\x1b[33msearch"), "{text:?}");
}

#[test]
fn looking_into_a_dependency_shows_its_endpoints() {
    let mut model = watched();
    model.press(Key::Enter);
    let text = render::plain(&model);
    assert!(text.contains("search (outbound): 3 in flight"), "{text}");
    assert!(text.contains("10.2.3.4:8080") && text.contains("4 open"), "{text}");
}

#[test]
fn a_process_that_is_gone_is_said_above_what_was_seen_last() {
    let mut model = watched();
    model.lost("no proxy answers".to_owned());
    let text = render::plain(&model);
    assert!(text.contains("no proxy answers\n") && text.contains("search"), "{text}");
}

#[test]
fn bars_grow_with_their_values_and_nothing_is_blank() {
    assert_eq!(bars(&[0.0, 1.0, 4.0, 8.0], 4), " ▁▄█");
    assert_eq!(bars(&[0.001, 1_000.0], 2), "▁█");
    assert_eq!(bars(&[9.0, 1.0, 2.0], 2), "▄█");
    assert_eq!(bars(&[], 5), "");
    assert_eq!(bars(&[0.0], 5), " ");
}
