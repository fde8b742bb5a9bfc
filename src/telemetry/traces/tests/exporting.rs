//! Batches and their fate, in virtual time.

use std::collections::VecDeque;
use std::sync::Mutex;

use super::*;
use crate::telemetry::metrics::Metrics;

/// Answers in order; the last one stays. None = nothing ever comes.
#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<Option<u16>>>>,
    carried: Arc<Mutex<Vec<Parcel>>>,
}

impl Carrier for Script {
    async fn carry(&self, parcel: Parcel) -> Result<Reply, String> {
        let timeout = parcel.timeout;
        self.carried.lock().unwrap().push(parcel);
        let status = {
            let mut answers = self.answers.lock().unwrap();
            if answers.len() > 1 { answers.pop_front().flatten() } else { answers.front().copied().flatten() }
        };
        match status {
            Some(status) => Ok(Reply { status, retry_after: None, body: bytes::Bytes::new() }),
            None => {
                tokio::time::sleep(timeout).await;
                Err("it did not answer in time".to_owned())
            }
        }
    }
}

struct Scene {
    traces: Arc<Traces>,
    plan: Arc<Plan>,
    metrics: Arc<Metrics>,
    script: Script,
}

impl Scene {
    fn new(answers: &[Option<u16>], variables: &[(&str, &str)]) -> Scene {
        let variables = [variables, &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318")]].concat();
        let metrics = Metrics::new();
        let (traces, exporter) = Traces::new(environment(&variables), metrics.spans());
        let plan = traces.follow(&policy("")).unwrap();
        let script = Script { answers: Arc::new(Mutex::new(answers.iter().copied().collect())), ..Script::default() };
        crate::drain::Tasks::default().spawn(exporter.run(script.clone()));
        Scene { traces, plan, metrics, script }
    }

    fn tell(&self, requests: usize) {
        for _ in 0..requests {
            self.plan.tell(refused());
        }
    }

    fn count(&self, sample: &str) -> u64 {
        let text = self.metrics.render(&[]);
        let line =
            text.lines().find_map(|line| line.strip_prefix(sample)).unwrap_or_else(|| panic!("{sample}\n{text}"));
        line.trim().parse().unwrap()
    }

    fn exported(&self) -> u64 {
        self.count("outrigger_spans_exported_total ")
    }

    fn dropped(&self, reason: &str) -> u64 {
        self.count(&format!("outrigger_spans_dropped_total{{reason=\"{reason}\"}} "))
    }

    fn tries(&self) -> usize {
        self.script.carried.lock().unwrap().len()
    }
}

async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

#[tokio::test(start_paused = true)]
async fn a_batch_leaves_when_it_is_full_or_has_waited() {
    let scene = Scene::new(&[Some(200)], &[("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10")]);
    scene.tell(25);
    pass(MS).await;
    assert_eq!((scene.tries(), scene.exported()), (2, 20));
    pass(5_000 * MS).await;
    assert_eq!((scene.tries(), scene.exported()), (3, 25));
    let parcel = scene.script.carried.lock().unwrap()[0].clone();
    assert_eq!((parcel.endpoint.to_string().as_str(), parcel.timeout), ("http://c:4318/v1/traces", 10_000 * MS));
}

#[tokio::test(start_paused = true)]
async fn a_collector_that_is_busy_is_asked_again_and_one_that_refuses_is_not() {
    let scene = Scene::new(&[Some(503), Some(429), Some(200)], &[]);
    scene.tell(1);
    pass(20_000 * MS).await;
    assert_eq!((scene.tries(), scene.exported()), (3, 1));
    assert_eq!(scene.count("outrigger_span_exports_failed_total "), 2);

    let scene = Scene::new(&[Some(400)], &[]);
    scene.tell(1);
    pass(60_000 * MS).await;
    assert_eq!((scene.tries(), scene.exported(), scene.dropped("export-failed")), (1, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn while_the_collector_hangs_the_queue_stays_bounded_and_what_finds_no_room_is_counted() {
    let scene = Scene::new(&[None], &[("OTEL_BSP_MAX_QUEUE_SIZE", "100"), ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10")]);
    scene.tell(1_000);
    assert_eq!(scene.dropped("queue-full"), 900);
    pass(120_000 * MS).await;
    // Each batch is given up after half a minute: there is room again, and the loss is told.
    assert!(scene.dropped("export-failed") >= 30, "{}", scene.dropped("export-failed"));
    scene.tell(10);
    assert_eq!(scene.dropped("queue-full"), 900);
}

#[tokio::test(start_paused = true)]
async fn at_the_end_what_waits_is_sent_at_once_and_a_silent_collector_is_not_waited_for() {
    let scene = Scene::new(&[Some(200)], &[("OTEL_BSP_SCHEDULE_DELAY", "3600000")]);
    scene.tell(3);
    pass(1_000 * MS).await;
    assert_eq!((scene.exported(), scene.traces.close(2_000 * MS).await, scene.exported()), (0, 0, 3));

    let scene = Scene::new(&[None], &[]);
    scene.tell(3);
    let began = crate::clock::now();
    assert_eq!(scene.traces.close(2_000 * MS).await, 3);
    assert_eq!(crate::clock::now() - began, 2_000 * MS);
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_takes_the_endpoint_away_ends_the_export() {
    let (traces, exporter) = Traces::new(environment(&[]), Arc::default());
    let script = Script { answers: Arc::new(Mutex::new([Some(200)].into())), ..Script::default() };
    crate::drain::Tasks::default().spawn(exporter.run(script.clone()));
    let plan = traces.follow(&policy("tracing: { endpoint: 'http://a:1' }")).unwrap();
    plan.tell(refused());
    assert!(traces.follow(&policy("")).is_none());
    pass(10_000 * MS).await;
    assert_eq!(script.carried.lock().unwrap().len(), 0);
    traces.follow(&policy("tracing: { endpoint: 'http://b:2' }")).unwrap().tell(refused());
    pass(10_000 * MS).await;
    assert_eq!(script.carried.lock().unwrap()[0].endpoint.port, 2);
}
