use super::*;
use crate::reliability::sim::system::run;
use std::time::Instant;

fn subject() -> Subject {
    let text = "version: 1\nupstreams:\n  up:\n    endpoints: [http://127.0.0.1:1]\n    retry: { attempts: 2 }\n";
    Subject::load("p.yaml", text.as_bytes(), None).unwrap()
}

/// Ten seconds at 100 a second; in the middle four one endpoint of two answers half of its requests with 503.
fn recording() -> Recording {
    let cell = |endpoint: usize, step: usize| {
        let ill = endpoint == 2 && (3..7).contains(&step);
        let ends =
            if ill { vec![("200".to_owned(), 25), ("503".to_owned(), 25)] } else { vec![("200".to_owned(), 50)] };
        CellDocument { stream: 0, endpoint, step, ends, latencies: vec![(4_000, 5_000, 40), (5_000, 8_000, 10)] }
    };
    let endpoint = EndpointDocument { upstream: "up".to_owned(), address: None };
    Recording {
        format: FORMAT.to_owned(),
        version: VERSION,
        recorded_at: "2026-11-24T00:00:00Z".to_owned(),
        step_ms: 1_000,
        steps: 10,
        dropped: 0,
        streams: vec![StreamDocument {
            upstream: "up".to_owned(),
            route: "default".to_owned(),
            idempotent: true,
            arrivals: vec![100; 10],
            succeeded: 900,
        }],
        endpoints: vec![endpoint.clone(), endpoint],
        cells: (0..10).flat_map(|step| [cell(1, step), cell(2, step)]).collect(),
    }
}

#[test]
fn a_recording_survives_its_file_and_others_are_refused() {
    let bytes = serde_json::to_vec(&recording()).unwrap();
    assert_eq!(Recording::parse(&bytes, "r.json"), Ok(recording()));
    let newer = serde_json::to_vec(&Recording { version: 2, ..recording() }).unwrap();
    assert!(Recording::parse(&newer, "r.json").unwrap_err().contains("version 2; this program reads"));
    assert!(Recording::parse(b"{\"format\":", "r.json").unwrap_err().starts_with("r.json:1:10: this is no recording"));
    let mut wrong = recording();
    wrong.cells[0].stream = 9;
    assert!(Recording::parse(&serde_json::to_vec(&wrong).unwrap(), "r.json").unwrap_err().contains("out of range"));
}

#[test]
fn arrivals_come_as_they_were_and_endpoints_do_what_they_did() {
    let subject = subject();
    let model = recording().model(&subject, None).unwrap();
    let outcome = run(&model.setup(&subject), 1, Instant::now());
    assert_eq!(outcome.requests, 1_000);
    assert!(outcome.seconds.iter().all(|second| second.requests == 100));
    let again = |from: usize, to: usize| outcome.seconds[from..to].iter().map(|second| second.again).sum::<u32>();
    assert!(again(0, 3) == 0 && again(7, 10) <= 1 && again(3, 7) > 15, "{}", again(3, 7));
    let median = outcome.times.quantile(0.5).unwrap();
    assert!((4_000..5_500).contains(&median.as_micros()), "{median:?}");
}

#[test]
fn what_a_recording_cannot_say_is_said() {
    let subject = subject();
    assert!(recording().model(&subject, None).unwrap().notes[0].contains("--capacity N says it"));
    let mut other = recording();
    other.streams[0].route = "gone".to_owned();
    let notes = other.model(&subject, Some(4)).unwrap().notes.join("\n");
    assert!(notes.contains("serves 4 at once") && notes.contains("no route `gone`"), "{notes}");
    let mut flood = recording();
    flood.streams[0].arrivals = vec![u32::MAX; 10];
    assert!(flood.model(&subject, None).unwrap_err().contains("at most 50000000 are played"));
    let mut foreign = recording();
    foreign.streams[0].upstream = "else".to_owned();
    assert!(foreign.model(&subject, None).unwrap_err().contains("recorded were requests to else"));
}
