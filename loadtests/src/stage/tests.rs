//! Plays of a second or two, straight at the upstreams.

use super::*;
use crate::results::Round;
use crate::scenario::Scenario;

/// A short scenario with these blocks in place of the usual ones.
fn scenario(load: &str, upstream: &str, faults: &str) -> Scenario {
    let text = format!(
        "title: T\ndescription: D\nduration: 1500ms\nwarmUp: 0s\nload: {{ connections: 200, timeout: 700ms, {load} }}\n\
         upstream: {{ {upstream} }}\npolicy: {{ deadline: 500ms }}\nfaults: [{faults}]\n"
    );
    Scenario::parse(&text, "test.yaml").unwrap()
}

fn play(scenario: &Scenario) -> (Round, Vec<Moment>) {
    let mut stage = Stage::open(scenario, 1, None, None).unwrap();
    let target = Target { addresses: stage.endpoints().to_vec(), direct: true };
    let mut moments = Vec::new();
    let round = stage.play(&target, &mut |moment| moments.push(moment)).unwrap();
    (round, moments)
}

fn outcome(round: &Round, word: &str) -> u64 {
    round.client.outcomes.get(word).copied().unwrap_or(0)
}

#[test]
fn a_healthy_play_answers_every_arrival_and_counts_it_on_both_sides() {
    for upstream in ["answer: 10B, endpoints: 2", "answer: 10B, endpoints: 2, latency: 1ms"] {
        let (round, moments) = play(&scenario("rate: 200, arrivals: constant", upstream, ""));
        assert_eq!((round.client.intended, round.client.ok, outcome(&round, "200")), (300, 300, 300), "{upstream}");
        assert_eq!((round.upstream.requests, round.upstream.executed), (300, 300));
        assert_eq!(round.client.bytes, 3_000);
        assert_eq!(round.timeline.iter().map(|second| second.intended).collect::<Vec<_>>(), [200, 100]);
        assert!(round.timeline.iter().all(|second| second.ok == second.intended));
        assert_eq!((moments.first(), moments.last()), (Some(&Moment::Begins), Some(&Moment::Ends)));
        assert!(matches!(moments[1], Moment::Progress { second: 1, of: 2, failed: 0, .. }), "{moments:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_play_of_arrivals_on_another_stage() {
    let scenario = scenario("rate: 300", "latency: 1ms", "");
    let intended = || play(&scenario).0.timeline.iter().map(|second| second.intended).collect::<Vec<_>>();
    assert_eq!(intended(), intended());
}

#[test]
fn a_stage_can_be_played_again_and_counts_each_play_alone() {
    let scenario = scenario("rate: 100, arrivals: constant, keyed: true, method: POST, body: 5B", "latency: 1ms", "");
    let mut stage = Stage::open(&scenario, 1, None, None).unwrap();
    let target = Target { addresses: stage.endpoints().to_vec(), direct: true };
    stage.warm_up(&target).unwrap();
    for _ in 0..2 {
        let round = stage.play(&target, &mut |_| {}).unwrap();
        assert_eq!((round.upstream.requests, round.upstream.keys, round.upstream.executions_max), (150, 150, 1));
    }
}

#[test]
fn latency_counts_from_the_intended_time_when_the_server_stalls() {
    // One connection: without the intended time, only the one request that was sent would look slow.
    let text = "title: T\ndescription: D\nduration: 2s\nwarmUp: 0s\n\
                load: { rate: 100, arrivals: constant, connections: 1, timeout: 10s }\n\
                upstream: { latency: 1ms }\nfaults: [{ at: 500ms, for: 1s, what: stall, endpoints: all }]\n";
    let (round, _) = play(&Scenario::parse(text, "test.yaml").unwrap());
    assert_eq!((round.client.intended, round.client.ok), (200, 200));
    let median = round.client.latency.iter().find(|(share, _)| *share == 0.5).unwrap().1;
    assert!(median > 100_000, "half of the requests fell into the stall or its queue: {median} us");
}

#[test]
fn a_request_without_a_free_connection_is_waited_for_and_told_not_dropped() {
    let text = "title: T\ndescription: D\nduration: 1s\nwarmUp: 0s\n\
                load: { rate: 4000, arrivals: constant, connections: 1, timeout: 300ms }\n\
                upstream: { latency: 250ms }\npolicy: { deadline: 200ms }\n";
    let (round, _) = play(&Scenario::parse(text, "test.yaml").unwrap());
    assert_eq!(round.client.outcomes.values().sum::<u64>(), 4_000);
    assert!(outcome(&round, "unsent") > 100, "{:?}", round.client.outcomes);
}

#[test]
fn a_dead_endpoint_refuses_and_comes_back() {
    let fault = "{ at: 500ms, for: 500ms, what: dead, endpoints: [1] }";
    let (round, _) = play(&scenario("rate: 200, arrivals: constant", "endpoints: 2, latency: 1ms", fault));
    let (connect, reset) = (outcome(&round, "connect"), outcome(&round, "reset"));
    assert!(connect > 10, "{:?}", round.client.outcomes);
    assert_eq!(round.client.ok + connect + reset, 300);
    assert_eq!(round.timeline[1].intended, 100);
    assert!(round.timeline[1].ok > 90, "healthy again: {:?}", round.timeline);
}

#[test]
fn a_black_hole_answers_nothing_until_its_end() {
    let fault = "{ at: 200ms, for: 1300ms, what: blackHole, endpoints: all }";
    let (round, _) = play(&scenario("rate: 100, arrivals: constant", "latency: 1ms", fault));
    assert!(outcome(&round, "timeout") > 40, "{:?}", round.client.outcomes);
    assert!(round.client.ok >= 20);
    let failures = &round.client.latency_of_failures;
    assert!(failures[0].1 >= 699_000, "a timeout is told when it happens: {failures:?}");
}

#[test]
fn errors_meet_their_share_with_their_status() {
    let fault = "{ at: 0s, for: 1500ms, what: errors, ratio: 50%, status: 502, endpoints: all }";
    let (round, _) = play(&scenario("rate: 400, arrivals: constant", "", fault));
    assert!((220..380).contains(&outcome(&round, "502")), "{:?}", round.client.outcomes);
    assert_eq!(outcome(&round, "502") + outcome(&round, "200"), 600);
}

#[test]
fn a_slow_endpoint_is_slow_for_its_time_only() {
    let fault = "{ at: 0s, for: 1s, what: slow, latency: 150ms, endpoints: all }";
    let (round, _) = play(&scenario("rate: 100, arrivals: constant", "latency: 1ms", fault));
    assert!(round.timeline[0].p50 >= 150_000, "{:?}", round.timeline);
    assert_eq!(round.client.ok, 150);
}

#[test]
fn resets_before_the_effect_leave_none_and_resets_after_it_leave_one() {
    for (point, executed) in [("before", 0), ("after", 150)] {
        let fault = format!("{{ at: 0s, for: 1500ms, what: reset, ratio: 100%, point: {point}, endpoints: all }}");
        let load = "rate: 100, arrivals: constant, method: POST, body: 10B, keyed: true";
        let (round, _) = play(&scenario(load, "", &fault));
        assert_eq!((outcome(&round, "reset"), round.upstream.executed), (150, executed), "{point}");
        assert_eq!(round.upstream.keys, executed);
    }
}

#[test]
fn a_slow_body_comes_in_pieces() {
    let fault = "{ at: 0s, for: 1500ms, what: slowBody, piece: 1KiB, every: 50ms, endpoints: all }";
    let (round, _) = play(&scenario("rate: 20, arrivals: constant", "answer: 4KiB", fault));
    assert_eq!((round.client.ok, round.client.bytes), (30, 30 * 4096));
    assert!(round.client.latency[0].1 >= 150_000, "four pieces, three pauses: {:?}", round.client.latency);
}

#[test]
fn a_reload_is_asked_for_at_its_time() {
    let (_, moments) = play(&scenario("rate: 50", "", "{ at: 500ms, what: reload }, { at: 1100ms, what: reload }"));
    let order: Vec<_> = moments.iter().filter(|moment| !matches!(moment, Moment::Progress { second: 2, .. })).collect();
    assert!(
        matches!(
            order.as_slice(),
            [Moment::Begins, Moment::Reload, Moment::Progress { second: 1, .. }, Moment::Reload, .., Moment::Ends]
        ),
        "{moments:?}"
    );
}

#[test]
fn a_closed_loop_keeps_its_connections_and_counts_what_it_sent() {
    for upstream in ["answer: 10B", "answer: 10B, latency: 1ms", "answer: 200KiB"] {
        let (round, _) = play(&scenario("arrivals: closed", upstream, ""));
        assert!(round.client.intended >= 200, "{upstream}: every connection sends");
        assert_eq!((round.client.ok, round.upstream.executed), (round.client.intended, round.client.intended));
        let length = round.client.bytes / round.client.ok;
        assert_eq!(round.client.bytes % round.client.ok, 0);
        assert!([10, 200 * 1024].contains(&length), "{length}");
    }
}

#[test]
fn churn_closes_connections_after_their_requests() {
    for mode in ["rate: 200, arrivals: constant", "arrivals: closed"] {
        let text = format!(
            "title: T\ndescription: D\nduration: 1500ms\nwarmUp: 0s\n\
             load: {{ connections: 4, requestsPerConnection: 5, timeout: 3s, {mode} }}\nupstream: {{ latency: 1ms }}\n"
        );
        let (round, _) = play(&Scenario::parse(&text, "test.yaml").unwrap());
        assert_eq!(round.client.ok, round.client.intended, "{mode}: {:?}", round.client.outcomes);
        // Four were open before the beginning.
        assert!(round.upstream.connections + 4 >= round.client.ok / 5, "{mode}");
    }
}

#[test]
fn keyed_requests_of_a_closed_loop_have_keys_of_their_own() {
    let (round, _) = play(&scenario("arrivals: closed, keyed: true, method: POST, body: 3B", "latency: 30ms", ""));
    assert_eq!((round.upstream.keys, round.upstream.executions_max), (round.client.ok, 1));
}

#[test]
fn the_service_in_the_middle_passes_requests_and_answers_on() {
    let scenario = scenario(
        "rate: 100, arrivals: constant, method: POST, body: 10B, keyed: true",
        "answer: 7B, errorRatio: 30%",
        "",
    );
    let mut stage = Stage::open(&scenario, 1, None, None).unwrap();
    let next = stage.endpoints()[0];
    let service = stage.service(next).unwrap();
    let round = stage.play(&Target { addresses: vec![service], direct: false }, &mut |_| {}).unwrap();
    assert_eq!((round.upstream.executed, round.upstream.keys), (150, 150), "bodies and keys go through");
    assert!(outcome(&round, "503") > 20 && round.client.ok > 60, "{:?}", round.client.outcomes);
    assert_eq!(round.client.bytes, 7 * round.client.ok);
}

#[test]
fn a_service_whose_next_tier_is_gone_answers_502() {
    let scenario = scenario("rate: 50, arrivals: constant", "", "");
    let mut stage = Stage::open(&scenario, 1, None, None).unwrap();
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let service = stage.service(gone).unwrap();
    let round = stage.play(&Target { addresses: vec![service], direct: false }, &mut |_| {}).unwrap();
    assert_eq!(outcome(&round, "502"), 75, "{:?}", round.client.outcomes);
}

#[test]
fn a_core_that_does_not_exist_is_told() {
    let scenario = scenario("rate: 50", "", "");
    assert!(Stage::open(&scenario, 1, Some(1_000), None).map(|_| ()).unwrap_err().contains("core 1000"));
}

#[test]
fn every_protocol_is_played_in_the_clear_and_encrypted() {
    let folder = tempfile::tempdir().unwrap();
    let credentials = crate::credentials::Credentials::make(folder.path()).unwrap();
    for protocol in ["http1", "h2", "grpc"] {
        for tls in ["none", "server", "mutual"] {
            let upstream = format!("answer: 10B, tls: {tls}");
            let scenario = scenario(&format!("rate: 200, tls: {tls}, protocol: {protocol}, body: 20B"), &upstream, "");
            let mut stage = Stage::open(&scenario, 1, None, Some(&credentials)).unwrap();
            let target = Target { addresses: stage.endpoints().to_vec(), direct: true };
            let round = stage.play(&target, &mut |_| {}).unwrap();
            assert!(round.client.ok > 0 && round.client.ok == round.client.intended, "{protocol}, {tls}: {round:?}");
            let message = if protocol == "grpc" { 15 } else { 10 };
            assert_eq!(round.client.bytes, round.client.ok * message, "{protocol}, {tls}");
        }
    }
}

#[test]
fn a_grpc_answer_with_another_status_is_no_success() {
    let scenario = scenario("rate: 200, protocol: grpc", "answer: 10B, errorRatio: 50%", "");
    let (round, _) = play(&scenario);
    assert_eq!(round.client.ok + outcome(&round, "503"), round.client.intended, "{:?}", round.client.outcomes);
    assert!(outcome(&round, "503") > 0 && round.client.ok > 0);
}

#[test]
fn idle_connections_are_held_and_those_that_were_closed_are_told() {
    let scenario =
        scenario("rate: 10, idle: 50", "answer: 10B, latency: 1ms", "{ at: 0s, for: 1s, what: dead, endpoints: all }");
    let mut stage = Stage::open(&scenario, 1, None, None).unwrap();
    let target = Target { addresses: stage.endpoints().to_vec(), direct: true };
    stage.hold(&target).unwrap();
    assert_eq!(stage.release().unwrap(), None);
    stage.hold(&target).unwrap();
    stage.play(&target, &mut |_| {}).unwrap();
    assert_eq!(stage.release().unwrap().as_deref(), Some("50 of 50 idle connections had been closed"));
}

#[test]
fn an_attacker_resets_as_many_streams_as_the_scenario_says_beside_the_others() {
    let attack = "{ at: 200ms, for: 1s, what: rapidReset, streams: 2000 }";
    let scenario = scenario("rate: 100, protocol: h2", "answer: 10B", attack);
    let (round, _) = play(&scenario);
    assert_eq!(round.reset_streams, 2_000);
    assert_eq!(round.client.ok, round.client.intended, "{:?}", round.client.outcomes);
}
