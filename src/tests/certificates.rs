//! Certificates of the running program: read, watched, told. What is encrypted with them is tested where traffic is.

use outrigger::testing::{Authority, Leaf, Program, Signal, Volume, eventually};

use crate::stage::executable;

const WEB: &str = "spiffe://shop.example/ns/shop/sa/web";

/// What a secret of this generation holds.
fn secret(authority: &Authority, generation: u32) -> [(&'static str, String); 3] {
    let shown = authority.issue(&Leaf::server(&[]).uri(WEB).name(&format!("generation-{generation}.svc")));
    [("tls.crt", shown.chain), ("tls.key", shown.key), ("ca.crt", authority.root().to_owned())]
}

fn borrowed<'a>(files: &'a [(&'static str, String); 3]) -> Vec<(&'static str, &'a str)> {
    files.iter().map(|(name, text)| (*name, text.as_str())).collect()
}

fn policy(directory: &std::path::Path) -> String {
    let at = |name: &str| directory.join(name).display().to_string();
    format!(
        "inbound:\n  listen: %in%\n  forward: http://127.0.0.1:1\n  \
         tls: {{ cert: {}, key: {}, clientCa: {}, spiffe: ['{WEB}'] }}\n",
        at("tls.crt"),
        at("tls.key"),
        at("ca.crt")
    )
}

/// Waits until `/certificates` says this of the only holder.
async fn holder(program: &Program, why: &str, what: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
    eventually(why, async || {
        let mut answer = program.admin("/certificates").await;
        Some(answer["certificates"][0].take()).filter(|holder| what(holder))
    })
    .await
}

#[tokio::test]
async fn a_secret_that_is_rotated_three_times_is_read_three_times_and_told_everywhere() {
    let authority = Authority::new();
    let place = tempfile::tempdir().unwrap();
    let mut volume = Volume::mount(place.path().join("tls"), &borrowed(&secret(&authority, 0)));
    let program = Program::start(&executable(), &policy(volume.path())).await;
    for generation in 1..=3 {
        volume.write(&borrowed(&secret(&authority, generation)));
        let name = format!("generation-{generation}.svc");
        holder(&program, &name, |holder| {
            holder["presented"]["subject"].as_str().is_some_and(|subject| subject.contains(&name))
        })
        .await;
    }
    let changes = eventually("three entries", async || {
        let changes = program.admin("/changes").await;
        let told = |change: &&serde_json::Value| change["kind"] == "certificate";
        let count = changes["changes"].as_array().map_or(0, |all| all.iter().filter(told).count());
        (count == 3).then_some(changes)
    })
    .await;
    assert!(changes.to_string().contains("inbound: certificate of spiffe://shop.example"), "{changes}");
    let metrics = program.metrics().await;
    let labels = [("direction", "inbound"), ("upstream", "app"), ("role", "presented")];
    assert!(metrics.sum("outrigger_certificate_not_after_timestamp_seconds", &labels) > 1.7e9);
    assert_eq!(metrics.sum("outrigger_certificate_reload_failed", &[]), 0.0);
    assert_eq!(program.stderr().matches("\"event\":\"certificate\"").count(), 3, "{}", program.stderr());
}

#[tokio::test]
async fn a_secret_that_cannot_be_used_is_told_and_the_last_good_one_stays() {
    let authority = Authority::new();
    let place = tempfile::tempdir().unwrap();
    let good = secret(&authority, 0);
    let mut volume = Volume::mount(place.path().join("tls"), &borrowed(&good));
    let program = Program::start(&executable(), &policy(volume.path())).await;
    let mut bad = good.clone();
    bad[1].1 = authority.server(&["a"]).key;
    volume.write(&borrowed(&bad));
    let holds = holder(&program, "a refusal", |holder| holder["error"].is_string()).await;
    assert!(holds["error"].as_str().unwrap().contains("is not the key of the certificate"), "{holds}");
    assert!(holds["presented"]["subject"].as_str().unwrap().contains("generation-0"), "{holds}");
    let status = program.admin("/status").await;
    assert_eq!(status["condition"], "degraded");
    assert!(status["summary"][0].as_str().unwrap().starts_with("New certificate files of inbound cannot be used"));
    assert_eq!(program.metrics().await.sum("outrigger_certificate_reload_failed", &[]), 1.0);
    volume.write(&borrowed(&good));
    program.signal(Signal::Hangup);
    holder(&program, "the good ones again", |holder| holder["error"].is_null()).await;
    assert_eq!(program.admin("/status").await["condition"], "healthy");
}

#[tokio::test]
async fn a_certificate_that_expires_soon_is_a_finding_and_one_that_is_missing_ends_the_start() {
    let authority = Authority::new();
    let place = tempfile::tempdir().unwrap();
    let (now, seconds) = (std::time::SystemTime::now(), std::time::Duration::from_secs);
    let soon = Leaf::server(&[]).uri(WEB).valid(now - seconds(90 * 86_400), now + seconds(3 * 3_600 + 50));
    authority.issue(&soon).write(place.path());
    authority.write(place.path());
    let program = Program::start(&executable(), &policy(place.path())).await;
    let status = program.admin("/status").await;
    let said = status["summary"][0].as_str().unwrap();
    assert!(said.starts_with("The certificate of inbound expires in 3 h (spiffe://shop.example"), "{said}");
    assert_eq!(status["condition"], "degraded");
    drop(program);

    std::fs::remove_file(place.path().join("tls.key")).unwrap();
    let mut program = Program::spawn(&executable(), &policy(place.path()));
    assert_eq!(program.exit().await.code(), Some(1), "the policy is good, and what it needs is not to be had");
    let said = program.stderr();
    assert!(!said.contains("Another outrigger"), "{said}");
    assert!(said.contains("inbound.tls: ") && said.contains("tls.key is not there: is it mounted"), "{said}");
}
