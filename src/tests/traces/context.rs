//! The cases of the W3C's own test suite for Trace Context, against the program with traces on.

use outrigger::faults::Answer;

use super::traced;
use crate::stage::{client, upstream};

const ID: &str = "12345678901234567890123456789012";
const SPAN: &str = "1234567890123456";

/// What the upstream got of these fields: its one `traceparent`, and all of `tracestate` in one list.
async fn passed_on(cases: &[String]) -> Vec<(String, String)> {
    let server = upstream(Answer::ok("")).await;
    let (_collector, program) = traced("", &server.url(), "").await;
    let mut client = client(&program).await;
    let mut passed = Vec::new();
    for fields in cases {
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).await;
        assert_eq!(client.answer("GET").await.status, 200, "{fields:?}");
        let head = server.observed().last().expect("a request").head;
        let parents: Vec<&str> = head.all("traceparent").collect();
        let [parent] = parents.as_slice() else { panic!("{fields:?}: {parents:?}") };
        let parts: Vec<&str> = parent.split('-').collect();
        assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [2, 32, 16, 2], "{parent}");
        assert!(parts[0] == "00" && parts[2] != SPAN && parts[2] != "0000000000000000", "{fields:?}: {parent}");
        passed.push((parts[1].to_owned(), head.all("tracestate").collect::<Vec<_>>().join(",")));
    }
    passed
}

#[tokio::test]
async fn a_traceparent_that_is_valid_is_continued() {
    let valid = format!("00-{ID}-{SPAN}-01");
    let cases: Vec<String> = [
        format!("traceparent: {valid}"),
        format!("TraceParent: {valid}"),
        format!("TrAcEpArEnT: {valid}"),
        format!("TRACEPARENT: {valid}"),
        format!("traceparent:   {valid}"),
        format!("traceparent: \t{valid}"),
        format!("traceparent: {valid} "),
        format!("traceparent: {valid}\t"),
        format!("traceparent: \t {valid} \t"),
        format!("traceparent: 00-{ID}-{SPAN}-03"),
        format!("traceparent: cc-{ID}-{SPAN}-01"),
        format!("traceparent: cc-{ID}-{SPAN}-01-what-the-future-will-be-like"),
    ]
    .map(|field| format!("{field}\r\n"))
    .into();
    for ((trace, _), case) in passed_on(&cases).await.iter().zip(&cases) {
        assert_eq!(trace, ID, "{case}");
    }
}

#[tokio::test]
async fn a_traceparent_that_is_malformed_repeated_or_oversized_begins_a_new_trace() {
    let valid = format!("00-{ID}-{SPAN}-01");
    let other = "12345678901234567890123456789011";
    let values = [
        format!("{valid}."),
        format!("{valid}-what-the-future-will-be-like"),
        format!("cc-{ID}-{SPAN}-01.what-the-future-will-be-like"),
        format!("cc-{ID}-{SPAN}-01-{}", "x".repeat(2_000)),
        format!("ff-{ID}-{SPAN}-01"),
        format!(".0-{ID}-{SPAN}-01"),
        format!("0.-{ID}-{SPAN}-01"),
        format!("000-{ID}-{SPAN}-01"),
        format!("0000-{ID}-{SPAN}-01"),
        format!("0-{ID}-{SPAN}-01"),
        format!("00-00000000000000000000000000000000-{SPAN}-01"),
        format!("00-.2345678901234567890123456789012-{SPAN}-01"),
        format!("00-1234567890123456789012345678901.-{SPAN}-01"),
        format!("00-{ID}3-{SPAN}-01"),
        format!("00-1234567890123456789012345678901-{SPAN}-01"),
        format!("00-{ID}-0000000000000000-01"),
        format!("00-{ID}-.234567890123456-01"),
        format!("00-{ID}-123456789012345.-01"),
        format!("00-{ID}-12345678901234567-01"),
        format!("00-{ID}-123456789012345-01"),
        format!("00-{ID}-{SPAN}-.0"),
        format!("00-{ID}-{SPAN}-0."),
        format!("00-{ID}-{SPAN}-001"),
        format!("00-{ID}-{SPAN}-1"),
        String::new(),
    ];
    let mut cases: Vec<String> = values.map(|value| format!("traceparent: {value}\r\ntracestate: foo=1\r\n")).into();
    cases.extend([
        format!("traceparent: 00-{other}-{SPAN}-01\r\ntraceparent: {valid}\r\ntracestate: foo=1\r\n"),
        format!("trace-parent: {valid}\r\n"),
        format!("trace.parent: {valid}\r\n"),
        "tracestate: foo=1\r\n".to_owned(),
        "tracestate: foo=1,bar=2\r\n".to_owned(),
        String::new(),
    ]);
    for ((trace, state), case) in passed_on(&cases).await.iter().zip(&cases) {
        let zeros = trace.bytes().all(|digit| digit == b'0');
        assert!(trace != ID && trace != other && !zeros, "{case}: {trace}");
        assert_eq!(state, "", "what belonged to a trace that ended goes with it: {case}");
    }
}

#[tokio::test]
async fn a_tracestate_goes_on_as_it_came_or_not_at_all() {
    let members = |count: usize| (0..count).map(|n| format!("bar{n:02}={n:02}")).collect::<Vec<_>>().join(",");
    let key = "k".repeat(256);
    let value = "v".repeat(256);
    let table: Vec<(Vec<String>, bool)> = [
        (vec!["foo=1,bar=2"], true),
        (vec!["foo=1,bar=2", "rojo=1,congo=2", "baz=3"], true),
        (vec!["foo=1", ""], true),
        (vec!["", "foo=1"], true),
        (vec!["foo=1 \t , \t bar=2, \t baz=3"], true),
        (vec![&*members(32)], true),
        (vec![&*format!("{key}=1")], true),
        (vec![&*format!("foo={value}")], true),
        (vec!["t@v=1,0t@v=1"], true),
        (vec![&*members(33)], false),
        (vec![&*members(20), "foo=1,foo=1"], false),
        (vec!["foo=1,foo=2"], false),
        (vec!["foo=1", "foo=1"], false),
        (vec!["foo =1"], false),
        (vec!["FOO=1"], false),
        (vec!["foo.bar=1"], false),
        (vec!["foo@=1,bar=2"], false),
        (vec!["@foo=1,bar=2"], false),
        (vec!["foo@@bar=1,bar=2"], false),
        (vec!["foo@bar@baz=1,bar=2"], false),
        (vec![&*format!("{key}k=1")], false),
        (vec![&*format!("foo={value}v")], false),
        (vec!["foo=bar=baz"], false),
        (vec!["foo=,bar=3"], false),
    ]
    .into_iter()
    .map(|(lines, goes_on)| (lines.into_iter().map(str::to_owned).collect(), goes_on))
    .collect();
    let case = |(lines, _): &(Vec<String>, bool)| {
        let lines: String = lines.iter().map(|line| format!("TraceState: {line}\r\n")).collect();
        format!("traceparent: 00-{ID}-{SPAN}-01\r\n{lines}")
    };
    let cases: Vec<String> = table.iter().map(case).collect();
    for ((trace, state), (lines, goes_on)) in passed_on(&cases).await.iter().zip(&table) {
        assert_eq!(trace, ID, "a tracestate says nothing of the traceparent: {lines:?}");
        let expected = if *goes_on { lines.join(",") } else { String::new() };
        assert_eq!(*state, expected, "{lines:?}");
    }
}
