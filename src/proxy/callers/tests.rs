use std::net::SocketAddr;
use std::sync::atomic::AtomicU32;

use http::HeaderValue;
use proptest::prelude::*;

use super::*;
use crate::clock;
use crate::reliability::rate::RatePolicy;
use crate::tls::Peer;

const SECOND: Duration = Duration::from_secs(1);

fn limit(requests: u32, per: Duration) -> RateLimitPolicy {
    let rate = RatePolicy { requests, per, burst: 0 };
    let field = HeaderValue::from_static("\"per-caller\"");
    RateLimitPolicy { by: CallerKey::Address, rate, observe: false, tell: false, own: false, field }
}

fn passes(judged: Judged) -> bool {
    matches!(judged, Judged::Passes { .. })
}

fn connection(address: &str) -> Connection {
    let address: SocketAddr = address.parse().unwrap();
    Connection::new(address, address, SECOND, None)
}

#[test]
fn a_million_callers_take_no_more_memory_than_one() {
    let (limit, now) = (limit(1_000_000, SECOND), clock::now());
    let rates = Rates::new(&limit, now);
    let before = rates.bytes();
    assert!(before <= 257 * 1024, "{before} bytes");
    for caller in 0..1_000_000_u32 {
        rates.judge(&limit, Caller::Named(&caller.to_be_bytes()), now);
    }
    assert_eq!(rates.bytes(), before);
    let lengths: usize = rates.windows.iter().map(size_of_val).sum();
    assert!(lengths <= 64, "what is counted lies in the fixed tables alone");
}

#[test]
fn who_shares_counters_with_a_hundred_thousand_others_is_over_counted_within_bounds() {
    let (limit, now) = (limit(1_000_000, SECOND), clock::now());
    let rates = Rates::new(&limit, now);
    for caller in 0..100_000_u32 {
        rates.judge(&limit, Caller::Named(&caller.to_be_bytes()), now);
    }
    // e / width × total, with probability 1 − e^−rows for each caller (Cormode and Muthukrishnan).
    let bound = (std::f64::consts::E / COUNTERS as f64 * 100_000.0).ceil() as isize;
    let beyond =
        (0..1_000_u32).filter(|caller| rates.of(0).get(Caller::Named(&caller.to_be_bytes())) > 1 + bound).count();
    assert!(beyond <= 40, "{beyond} of 1,000 are over-counted by more than {bound}");
}

#[test]
fn what_is_refused_is_not_counted_against_the_next_window() {
    let (limit, began) = (limit(5, SECOND), clock::now());
    let rates = Rates::new(&limit, began);
    let passed = |at: u64, requests: u32| {
        let now = began + Duration::from_millis(at);
        (0..requests).filter(|_| passes(rates.judge(&limit, Caller::Nameless, now))).count()
    };
    assert_eq!(passed(0, 100), 5);
    assert_eq!(passed(1_900, 100), 4, "half a request of the window before is left");
    assert_eq!(passed(10_000, 100), 5);
}

#[test]
fn windows_that_change_under_eight_threads_neither_panic_nor_let_more_through() {
    let (limit, began) = (limit(100, SECOND), clock::now());
    let rates = Rates::new(&limit, began);
    let passed: [AtomicU32; 40] = std::array::from_fn(|_| AtomicU32::new(0));
    std::thread::scope(|scope| {
        for thread in 0..8_u32 {
            let (rates, limit, passed) = (&rates, &limit, &passed);
            scope.spawn(move || {
                // Each thread reads a clock of its own, as late as 50 ms behind the others.
                for millisecond in 0..20_000_u64 {
                    let lag = u64::from(thread * 7) % 50;
                    let now = began + Duration::from_millis(millisecond.saturating_sub(lag));
                    if passes(rates.judge(limit, Caller::Nameless, now)) {
                        let window = rates.running.load(Ordering::Acquire) as usize;
                        passed[window].fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let passed: Vec<u32> = passed.iter().map(|count| count.load(Ordering::Relaxed)).collect();
    // What is under way while windows change may be counted in the one before.
    assert!(passed.iter().all(|count| *count <= 100 + 16), "{passed:?}");
    assert!(passed.iter().sum::<u32>() >= 1_000, "{passed:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever callers do, none is taken for less busy than it is.
    #[test]
    fn no_caller_is_under_counted(
        steps in prop::collection::vec((0u8..20, 0u64..700), 1..400),
        requests in 1u32..30,
    ) {
        let (limit, began) = (limit(requests, SECOND), clock::now());
        let rates = Rates::new(&limit, began);
        // The truth: requests that passed, by window and caller.
        let mut passed: HashMap<(u64, u8), u64> = HashMap::new();
        let mut now = began;
        for (caller, gap) in steps {
            now += Duration::from_millis(gap);
            let window = now.duration_since(began).as_secs();
            if passes(rates.judge(&limit, Caller::Named(&[caller]), now)) {
                *passed.entry((window, caller)).or_default() += 1;
            }
            for other in 0..20 {
                let truth = |window| passed.get(&(window, other)).copied().unwrap_or(0) as isize;
                let counted = |window| rates.of(window).get(Caller::Named(&[other]));
                prop_assert!(counted(window) >= truth(window));
                prop_assert!(window == 0 || counted(window - 1) >= truth(window - 1));
            }
            let most = passed.iter().filter(|((of, _), _)| *of == window).map(|(_, count)| *count).max();
            prop_assert!(most.unwrap_or(0) <= u64::from(requests));
        }
    }
}

#[test]
fn callers_are_told_apart_by_what_the_policy_names_and_by_nothing_else() {
    let mut headers = HeaderMap::new();
    let of = |by: &CallerKey, address: &str, headers: &HeaderMap| {
        format!("{:?}", Caller::of(by, &connection(address), headers))
    };
    let address = |text| of(&CallerKey::Address, text, &HeaderMap::new());
    assert_eq!(address("10.0.0.1:1"), address("10.0.0.1:2"));
    assert_eq!(address("10.0.0.1:1"), address("[::ffff:10.0.0.1]:1"));
    assert_ne!(address("10.0.0.1:1"), address("10.0.0.2:1"));
    assert_eq!(address("[2001:db8::1]:1"), address("[2001:db8::ffff:1]:1"), "one network");
    assert_ne!(address("[2001:db8::1]:1"), address("[2001:db8:0:1::1]:1"));

    let by = CallerKey::Header(HeaderName::from_static("x-tenant"));
    assert_eq!(of(&by, "10.0.0.1:1", &headers), "Nameless");
    headers.append("x-tenant", HeaderValue::from_static(" a "));
    let a = of(&by, "10.0.0.1:1", &headers);
    assert_eq!(a, of(&by, "10.0.0.2:9", &headers));
    assert_eq!(a, format!("{:?}", Caller::Named(b"a")));
    headers.append("x-tenant", HeaderValue::from_static("b"));
    assert_eq!(of(&by, "10.0.0.1:1", &headers), "Nameless", "two are none");

    let mut peer = connection("10.0.0.1:1");
    assert_eq!(Caller::of(&CallerKey::Spiffe, &peer, &headers), Caller::Nameless);
    peer.identity = Some(Arc::new(Peer { spiffe: Some("spiffe://shop/cart".into()), names: Arc::default() }));
    assert_eq!(Caller::of(&CallerKey::Spiffe, &peer, &headers), Caller::Named(b"spiffe://shop/cart"));
}

fn policy(limits: &str) -> Policy {
    let text = format!(
        "version: 1\ninbound:\n  forward: http://127.0.0.1:1\n  {limits}\n  routes:\n  - {{ name: a, match: {{ path: /a }} }}\n  \
         - {{ name: own, match: {{ path: /own }}, rateLimit: {{ requests: 1 }} }}\n  \
         - {{ name: free, match: {{ path: /free }}, rateLimit: {{ mode: none }} }}\n"
    );
    crate::policy::compile::load("p.yaml", &text).unwrap_or_else(|errors| panic!("{errors}")).policy
}

#[test]
fn routes_share_the_count_of_inbound_unless_they_have_one_of_their_own_and_counts_survive_a_reload() {
    let (callers, now) = (Callers::default(), clock::now());
    let of = |callers: &Callers, route: usize| callers.table.load().rates[0][route].clone();
    callers.follow(&policy("rateLimit: { requests: 5 }"), 1, now);
    let [a, own, default] = [of(&callers, 0), of(&callers, 1), of(&callers, 3)].map(Option::unwrap);
    assert!(Arc::ptr_eq(&a, &default) && !Arc::ptr_eq(&a, &own));
    assert!(of(&callers, 2).is_none(), "mode: none");

    callers.follow(&policy("rateLimit: { requests: 9, burst: 2 }"), 2, now);
    assert!(Arc::ptr_eq(&a, &of(&callers, 3).unwrap()), "the same count, measured by another rule");
    callers.follow(&policy("rateLimit: { requests: 9, per: 1m }"), 1, now);
    assert!(Arc::ptr_eq(&a, &of(&callers, 3).unwrap()), "a policy that is no longer in force changes nothing");
    callers.follow(&policy("rateLimit: { requests: 9, per: 1m }"), 3, now);
    assert!(!Arc::ptr_eq(&a, &of(&callers, 3).unwrap()), "other windows");
    assert_eq!(callers.alive.lock().unwrap().len(), 2, "what nobody needs is gone");
}
