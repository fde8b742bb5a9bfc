//! What happens to the client, or to the policy, while a request is under way.

use outrigger::testing::{Program, eventually};
use tokio::task::JoinSet;

use super::call::{Leave, Link, Outcome};
use super::checker::assert_holds;
use super::replicas::{HASTY, PATIENT, Stage, policy};

/// Keys for each way to leave.
const LEAVERS: usize = 12;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_at_any_phase_and_comes_back_finds_its_one_execution() {
    let stage = Stage::set(PATIENT).await;
    let mut requests = Vec::new();
    for leave in [Leave::MidHead, Leave::MidBody, Leave::AtOnce, Leave::Later] {
        for number in 0..LEAVERS {
            let request = stage.request("/crowd", &format!("{leave:?}-{number}"), "Slow", "a body of some length");
            let mut first = Link::new(stage.proxies[0].listen());
            let left = stage.history.call(&mut first, &request, Some(leave)).await;
            assert_eq!(left, Some(Outcome::Info));
            let mut again = Link::new(stage.proxies[1].listen());
            let found = stage.history.call(&mut again, &request, None).await.expect("it runs");
            match leave {
                // Half a request is none.
                Leave::MidHead | Leave::MidBody => assert!(matches!(found, Outcome::Stored(_)), "{leave:?}: {found:?}"),
                Leave::AtOnce | Leave::Later => {
                    assert!(matches!(found, Outcome::Stored(_) | Outcome::Replayed(_)), "{leave:?}: {found:?}");
                }
            }
            requests.push(request);
        }
    }
    assert_eq!(stage.counter.arrivals().len(), requests.len());
    assert_holds(&stage.judge(&requests).await, 0);
}

/// The first proxy follows another policy from now on.
async fn follow(proxy: &mut Program, text: &str) {
    let before = proxy.admin("/status").await["policy"]["revision"].clone();
    proxy.write_policy(text);
    eventually("the policy is in force", async || {
        (proxy.admin("/status").await["policy"]["revision"] != before).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_ends_by_the_policy_with_which_it_began() {
    let mut stage = Stage::set(PATIENT).await;
    let request = stage.request("/opaque", "late", "Late", "1");
    let mut calls = JoinSet::new();
    stage.ask(0, request.clone(), &mut calls);
    eventually("the request at the upstream", async || (!stage.counter.arrivals().is_empty()).then_some(())).await;
    // The route is gone, and with it everything that the request is kept by.
    let text = policy(&stage.counter.url(), &stage.redis, PATIENT);
    let without: String =
        text.lines().filter(|line| !line.contains("name: opaque")).map(|l| format!("{l}\n")).collect();
    follow(&mut stage.proxies[0], &without).await;
    let told = calls.join_next().await.expect("one call").expect("no panic");
    assert!(matches!(told, Outcome::Stored(_)), "{told:?}");
    follow(&mut stage.proxies[0], &text).await;
    let again = stage.history.call(&mut Link::new(stage.proxies[0].listen()), &request, None).await.expect("it runs");
    assert!(matches!(again, Outcome::Replayed(_)), "{again:?}");
    assert_holds(&stage.judge(&[request]).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contract_that_is_loosened_meanwhile_does_not_free_a_key_whose_outcome_is_unknown() {
    let mut stage = Stage::set(HASTY).await;
    let request = stage.request("/opaque", "lost", "Hang", "1");
    let mut calls = JoinSet::new();
    stage.ask(0, request.clone(), &mut calls);
    eventually("the request at the upstream", async || (!stage.counter.arrivals().is_empty()).then_some(())).await;
    let text = policy(&stage.counter.url(), &stage.redis, HASTY);
    let opaque = "name: opaque, match: { path: /opaque }, idempotency: {";
    assert!(text.contains(opaque), "{text}");
    follow(&mut stage.proxies[0], &text.replace(opaque, &format!("{opaque} contract: dedupes,"))).await;
    assert_eq!(calls.join_next().await.expect("one call").expect("no panic"), Outcome::BecameUnknown);
    for proxy in &stage.proxies {
        let again = stage.history.call(&mut Link::new(proxy.listen()), &request, None).await;
        assert_eq!(again, Some(Outcome::SeenUnknown));
    }
    assert_eq!(stage.counter.arrivals().len(), 1);
    assert_holds(&stage.judge(&[request]).await, 0);
}
