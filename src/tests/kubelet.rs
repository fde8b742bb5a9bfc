//! A Pod from its start to its end, with a test in the place of the kubelet.

mod jobs;
mod pod;
mod shutdown;

use std::net::SocketAddr;

use outrigger::faults::{Answer, FaultServer};
use outrigger::testing::{Load, eventually, free_address, get};

use crate::stage::upstream;
use pod::Pod;

/// An app that calls its dependency all the time, over one kept connection, and says how that goes. After SIGTERM it
/// makes so many more calls, the last one over a new connection, and ends.
const APP: &str = r#"
port=$1 more=$2 ending=
trap 'ending=1' TERM
dial() { exec 3<> "/dev/tcp/127.0.0.1/$port" || { echo "refused"; exit 9; }; }
call() {
  local line length=0
  printf 'GET / HTTP/1.1\r\nHost: dependency\r\n\r\n' >&3 || { echo "lost"; exit 9; }
  IFS= read -r status <&3 || { echo "lost"; exit 9; }
  while IFS= read -r line <&3; do
    line=${line%$'\r'}
    [ -n "$line" ] || break
    case "${line,,}" in content-length:*) length=${line##* } ;; esac
  done
  IFS= read -r -N "$length" body <&3
  case "$status" in *' 200 '*) echo "served" ;; *) echo "failed $status"; exit 9 ;; esac
}
dial
echo "started"
while [ -z "$ending" ]; do call; sleep 0.02; done
echo "ending"
for i in $(seq "$more"); do call; sleep 0.02; done
exec 3>&-
dial
call
echo "done"
"#;

/// What every policy here begins with.
fn ports() -> (String, [SocketAddr; 3]) {
    let [listen, admin, metrics] = [free_address(), free_address(), free_address()];
    let text =
        format!("version: 1\nlisten: {listen}\nadmin: {{ listen: {admin} }}\nmetrics: {{ listen: {metrics} }}\n");
    (text, [listen, admin, metrics])
}

fn outbound(server: &FaultServer) -> String {
    format!("upstreams:\n  up:\n    url: {}\n", server.url())
}

#[tokio::test]
async fn the_app_starts_after_the_sidecar_also_when_the_policy_comes_late_or_is_wrong_at_first() {
    let server = upstream(Answer::ok("x")).await;
    let (head, [listen, _, metrics]) = ports();
    let good = format!("{head}{}", outbound(&server));
    let bad = good.replace("upstreams", "upstraems");
    let mut pod = Pod::new(metrics, &[]);
    pod.with_app(APP, &[listen.port().to_string(), "1".to_owned()]);
    let mut steps = vec![good, bad];
    pod.started(|pod| {
        // Once the right one is written, it may start between two looks.
        assert!(steps.is_empty() || !pod.probe("--live").0, "what has no policy does not run");
        // Once without a file, once with a wrong one, and then the right one.
        let due = 3 - u32::try_from(steps.len()).expect("two");
        // The wrong one stays until it has been read.
        let read = steps.len() != 1 || pod.sidecar.log().contains("upstraems");
        if pod.sidecar.starts > due
            && read
            && let Some(text) = steps.pop()
        {
            pod.policy.write(&[("policy.yaml", &text)]);
        }
    })
    .await;
    assert!(pod.sidecar.starts >= 3, "{}", pod.sidecar.starts);
    let log = pod.sidecar.log();
    assert!(log.contains("policy.yaml") && log.contains("upstraems"), "both are told: {log}");
    pod.app().start();
    let app = pod.app.as_ref().expect("an app");
    eventually("a first call", async || app.log().contains("served").then_some(())).await;
    assert_eq!(pod.probe("--ready"), (true, "ready\n".to_owned()));
    assert_eq!(pod.probe("--live"), (true, "alive\n".to_owned()));
}

#[tokio::test]
async fn three_swaps_of_the_policy_are_three_reloads_and_cost_no_request() {
    let (a, b) = (upstream(Answer::ok("a")).await, upstream(Answer::ok("b")).await);
    let (head, [listen, _, metrics]) = ports();
    let mut pod = Pod::new(metrics, &[]);
    pod.policy.write(&[("policy.yaml", &format!("{head}{}", outbound(&a)))]);
    pod.start().await;
    let load = Load::start(listen, 8, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    for (server, number) in [(&b, 1.0), (&a, 2.0), (&b, 3.0)] {
        load.progress(50).await;
        pod.policy.write(&[("policy.yaml", &format!("{head}{}", outbound(server)))]);
        let before = server.observed().counts().requests;
        eventually("the new dependency is called", async || {
            (server.observed().counts().requests > before + 20).then_some(())
        })
        .await;
        // The first one is the start. A new policy is counted once it is in force.
        eventually("the count of reloads", async || {
            let page = get(metrics, "/metrics").await.expect("metrics").text();
            let reloads = outrigger::testing::Metrics::parse(&page).sum("outrigger_policy_reloads_total", &[]);
            (reloads == number + 1.0).then_some(())
        })
        .await;
    }
    let report = load.stop().await;
    report.assert_all(200);
}
