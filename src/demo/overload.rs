//! An act of its own: an app gets three times what it can do, and the least important requests give way.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::page::{Page, Tone};
use super::payment::Sidecar;
use super::script::SEED;
use super::traffic::{Client, Way};
use crate::clock;
use crate::faults::{Abandoned, Answer, Behaviour, FaultServer, Script};
use crate::reliability::entropy::{Entropy, SplitMix};

/// Requests that the app works on at once, and for how long on each: 200 a second.
const SLOTS: usize = 4;
const WORK: Duration = Duration::from_millis(20);
/// Time between two arrivals: 600 a second.
const EVERY: Duration = Duration::from_micros(1_667);
/// How long they come.
const LASTS: Duration = Duration::from_secs(3);
/// Share of the requests that is critical.
const CRITICAL: f64 = 0.2;
/// Success of critical requests that is promised. The app can do more than there are.
const PROMISED: f64 = 0.9;

/// What became of the requests of one way and class.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    asked: u32,
    served: u32,
}

impl Count {
    fn share(self) -> f64 {
        f64::from(self.served) / f64::from(self.asked.max(1))
    }
}

/// What was seen: `[direct, through Outrigger][sheddable, critical]`.
#[derive(Debug, Default)]
struct Seen {
    counts: [[Count; 2]; 2],
    /// How long those waited whom Outrigger turned away.
    shed_after: Vec<Duration>,
}

/// Plays it. Returns the promise that was broken, if one was.
///
/// # Errors
/// In words.
pub async fn play<W: Write>(directory: &Path, page: &mut Page<W>) -> Result<Option<String>, String> {
    page.gap();
    page.say(Tone::Strong, "Overload: an app that can do 200 requests a second gets 600, a fifth of them critical.");
    let app = || FaultServer::start(app());
    let started = async { Ok::<_, std::io::Error>((app().await?, app().await?)) };
    let (direct, behind) = started.await.map_err(|e| format!("cannot start the app: {e}"))?;
    let sidecar = Sidecar::start(directory, "overload", |listen, admin| policy(&behind, listen, admin))?;
    sidecar.ready().await?;
    let seen = overload(direct.address(), sidecar.listen).await;
    let (_, said) = sidecar.command(&["upstreams", "app"]).await?;
    for line in said.lines().filter(|line| ["limits", "shed"].iter().any(|word| line.trim_start().starts_with(word))) {
        page.verbatim(Tone::Faint, &format!("  {line}"));
    }
    let [[_, critical_direct], [sheddable, critical]] = seen.counts;
    let kept = critical.share() >= PROMISED && critical.share() > critical_direct.share();
    page.say_hanging(if kept { Tone::Good } else { Tone::Bad }, &format!("  => {}", told(&seen)), 5);
    let broken = format!(
        "Broken: critical requests are served while others are shed ({:.0} %, sheddable {:.0} %).",
        critical.share() * 100.0,
        sheddable.share() * 100.0
    );
    Ok((!kept).then_some(broken))
}

fn app() -> Script {
    Script::always(Behaviour::from(Answer::ok("done")).after(WORK)).capacity(SLOTS, Abandoned::RunsOn)
}

fn policy(app: &FaultServer, listen: SocketAddr, admin: SocketAddr) -> String {
    format!(
        "version: 1
name: overload
admin: {{ listen: {admin} }}
metrics: {{ listen: none }}
inbound:
  listen: {listen}
  forward: {}
  limits: {{ adaptive: {{ mode: enforce }} }}
  priority: {{ header: header:X-Criticality, class: sheddable }}
",
        app.url()
    )
}

/// Every arrival both ways at the same moment.
async fn overload(direct: SocketAddr, outrigger: SocketAddr) -> Seen {
    let client = Arc::new(Client::default());
    let mut entropy = SplitMix::new(SEED);
    let mut asked = JoinSet::new();
    let mut pace = interval(EVERY);
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let end = clock::now() + LASTS;
    while clock::now() < end {
        pace.tick().await;
        let critical = entropy.unit() < CRITICAL;
        for (way, to) in [(Way::Direct, direct), (Way::Outrigger, outrigger)] {
            let client = Arc::clone(&client);
            asked.spawn(async move {
                let began = clock::now();
                let class = if critical { "critical" } else { "sheddable" };
                let status = client.ask_as(class, to, "/").await;
                (way, critical, status.map(|status| status.as_u16()), clock::now().saturating_duration_since(began))
            });
        }
    }
    let mut seen = Seen::default();
    while let Some(ended) = asked.join_next().await {
        let Ok((way, critical, status, took)) = ended else { continue };
        let count = &mut seen.counts[usize::from(way == Way::Outrigger)][usize::from(critical)];
        count.asked += 1;
        count.served += u32::from(status == Some(200));
        if way == Way::Outrigger && status == Some(503) {
            seen.shed_after.push(took);
        }
    }
    seen.shed_after.sort_unstable();
    seen
}

fn told(seen: &Seen) -> String {
    let percent = |count: Count| format!("{:.0} %", count.share() * 100.0);
    let [[sheddable_direct, critical_direct], [sheddable, critical]] = seen.counts;
    let median = seen.shed_after.get(seen.shed_after.len() / 2).copied().unwrap_or_default();
    format!(
        "overload: critical {} directly, {} through Outrigger; sheddable {} and {}; who is shed knows after {:.0} ms",
        percent(critical_direct),
        percent(critical),
        percent(sheddable_direct),
        percent(sheddable),
        median.as_secs_f64() * 1e3
    )
}
