use super::compare::{Comparison, Judged, Seeds, Verdict, compare};
use super::measure::Measure;
use super::model::Model;
use super::scenario::Scenario;
use super::subject::Subject;
use super::{page, text};
use std::time::Instant;

const RETRYING: &str =
    "version: 1\nupstreams:\n  up:\n    endpoints: [http://127.0.0.1:1]\n    retry: { attempts: 2 }\n";
const PLAIN: &str = "version: 1\nupstreams:\n  up:\n    endpoints: [http://127.0.0.1:1]\n";
const BROWNOUT: &str = "title: Brownout\ndescription: D.\nduration: 6s\nwarmUp: 1s\nload: { rate: 100 }\n\
    upstream: { endpoints: 2, latency: 5ms }\n\
    faults:\n  - { at: 1s, for: 3s, what: errors, ratio: 20%, endpoints: all }\n";

fn subject(text: &str) -> Subject {
    Subject::load("p.yaml", text.as_bytes(), None).unwrap_or_else(|why| panic!("{why}"))
}

fn scenario(text: &str) -> Model {
    Model::of_scenario(&Scenario::parse(text, "s.yaml", &|_| Ok(())).unwrap_or_else(|why| panic!("{why}")))
}

fn play(new: &str, old: Option<&str>, count: u32) -> Comparison {
    let (new, old) = (subject(new), old.map(subject));
    compare(&scenario(BROWNOUT), &new, old.as_ref(), Seeds { first: 1, count }, Instant::now())
}

#[test]
fn retries_are_better_where_some_requests_fail_and_their_cost_is_told() {
    let told = play(RETRYING, Some(PLAIN), 5);
    let judged = |measure| told.rows.iter().find(|row| row.measure == measure).and_then(|row| row.judged);
    assert_eq!((judged(Measure::Success), judged(Measure::Amplification)), (Some(Judged::Better), Some(Judged::Worse)));
    assert_eq!(told.verdict, Verdict::Mixed);
    let text = text::render(&told);
    assert!(text.contains("The new policy is better in success +") && text.contains("amplification"), "{text}");
}

#[test]
fn a_policy_beside_itself_does_not_differ() {
    let told = play(RETRYING, Some(RETRYING), 3);
    assert_eq!(told.verdict, Verdict::NoDifference);
    assert!(text::render(&told).contains("same"));
}

#[test]
fn one_play_is_no_proof() {
    assert_eq!(play(RETRYING, Some(PLAIN), 1).verdict, Verdict::NoDifference);
    assert_eq!(play(RETRYING, None, 1).verdict, Verdict::Alone);
}

#[test]
fn the_same_seeds_say_the_same_to_the_last_byte() {
    let json = |told| serde_json::to_string(&told).unwrap();
    assert_eq!(json(play(RETRYING, Some(PLAIN), 2)), json(play(RETRYING, Some(PLAIN), 2)));
}

#[test]
fn of_several_upstreams_one_must_be_named() {
    let two = "version: 1\nupstreams:\n  a:\n    url: http://a\n  b:\n    url: http://b\n";
    let load = |name| Subject::load("p.yaml", two.as_bytes(), name).map(|subject| subject.upstream().name.to_string());
    assert_eq!(load(Some("b")), Ok("b".to_owned()));
    assert!(load(None).unwrap_err().contains("next: name one of a, b with --upstream"));
    assert!(load(Some("c")).unwrap_err().contains("no upstream `c`"));
}

#[test]
fn what_a_scenario_asks_for_in_vain_is_named() {
    let text = BROWNOUT.replace("load: { rate: 100 }", "load: { rate: 100, idle: 5 }\npolicy: { retries: 1 }");
    let notes = scenario(&text).notes.join("\n");
    assert!(notes.contains("load.idle") && notes.contains("policy: the policy file counts"), "{notes}");
}

#[test]
fn the_page_stands_alone_and_shows_foreign_words_as_text() {
    let mut told = play(RETRYING, Some(PLAIN), 2);
    told.title = "<script>alert(1)</script>".to_owned();
    let page = page::render(&told);
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script"), "{page}");
    assert!(page.contains("default-src 'none'") && !page.contains("http://") && !page.contains("https://"));
    assert_eq!(page.matches("<polyline").count(), 8, "four charts of two policies");
}
