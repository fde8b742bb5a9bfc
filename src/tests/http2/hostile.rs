use std::time::Duration;

use outrigger::faults::{Answer, Behaviour};
use outrigger::testing::frames::{PREFACE, code, encode, flag, head, hpack, kind};
use outrigger::testing::{Frame, Frames, Http2, Program, eventually, within};

use crate::stage::{client, proxied, until};

/// What an attack may add to the memory of the process, besides what one connection may hold anyway.
const MEMORY_MAX: u64 = 8 * 1024 * 1024;
/// Frames in one write.
const BATCH: u32 = 100;

/// The request head of the attacks, as bytes of a frame.
fn opening(stream: u32, method: &str, fields: &[(&str, &str)], ended: bool) -> Vec<u8> {
    let flags = flag::END_HEADERS | if ended { flag::END_STREAM } else { 0 };
    encode(kind::HEADERS, flags, stream, &hpack::literal(&head(method, "/attack", fields)))
}

/// Memory after everybody has been served once, so that what is lazily made is there.
async fn memory(program: &Program) -> u64 {
    assert_eq!(client(program).await.get("/").await.status, 200);
    assert_eq!(Http2::connect(program.listen()).await.get("/").await.status, 200);
    program.rss()
}

/// The program serves others, and the attack has left nothing behind.
async fn unharmed(program: &Program, before: u64) {
    assert_eq!(client(program).await.get("/").await.status, 200);
    let grown = program.rss().saturating_sub(before);
    assert!(grown <= MEMORY_MAX, "{} KiB more than before", grown / 1024);
    program.metrics_when("everything is given back", |m| m.sum("outrigger_inflight", &[]) == 0.0).await;
}

/// Everything that comes until the connection ends; errors of writing mean that it has.
async fn last_words(frames: &mut Frames) -> Option<u32> {
    let rest = frames.rest().await;
    rest.iter().rev().find(|frame| frame.kind == kind::GOAWAY).map(Frame::code)
}

#[tokio::test]
async fn streams_that_are_opened_and_reset_at_once_end_their_connection() {
    let (server, program) = proxied(Answer::ok(""), "").await;
    let before = memory(&program).await;
    let mut frames = Frames::client(program.listen(), &[]).await;
    let outbox = frames.outbox();
    let attack = tokio::spawn(async move {
        for batch in 0..100 {
            let mut bytes = Vec::new();
            for i in 0..BATCH {
                let stream = 2 * (batch * BATCH + i) + 1;
                bytes.extend(opening(stream, "GET", &[], true));
                bytes.extend(encode(kind::RST_STREAM, 0, stream, &code::CANCEL.to_be_bytes()));
            }
            if outbox.write(&bytes).await.is_err() {
                return;
            }
        }
    });
    assert_eq!(last_words(&mut frames).await, Some(code::ENHANCE_YOUR_CALM));
    within("the end of the attack", attack).await.expect("no panic");
    let begun = server.observed().counts().requests;
    assert!(begun <= 2 * 256, "{begun} requests were begun upstream");
    unharmed(&program, before).await;
    program
        .metrics_when("it is counted", |m| m.sum("outrigger_unrouted_requests_total", &[("reason", "abuse")]) == 1.0)
        .await;
}

#[tokio::test]
async fn streams_that_are_reset_one_by_one_after_they_were_begun_end_their_connection() {
    let (server, program) = proxied(Answer::ok(""), "").await;
    let before = memory(&program).await;
    let begun_before = server.observed().counts().requests;
    server.set(Behaviour::stall());
    let mut frames = Frames::client(program.listen(), &[]).await;
    let mut streams = 0;
    let end = loop {
        let stream = 2 * streams + 1;
        streams += 1;
        assert!(streams < 10_000, "nobody minds");
        let ping = encode(kind::PING, 0, 0, &[7; 8]);
        if frames.try_write(&[opening(stream, "GET", &[], true), ping].concat()).await.is_err() {
            break None;
        }
        // Taken, and its task is under way.
        let seen = frames.until(|f| f.kind == kind::GOAWAY || (f.kind == kind::PING && f.has(flag::ACK))).await;
        if seen.kind == kind::GOAWAY {
            break Some(seen.code());
        }
        frames.reset(stream, code::CANCEL).await;
    };
    assert!(matches!(end, None | Some(code::NO_ERROR | code::ENHANCE_YOUR_CALM)), "{end:?}");
    drop(frames);
    let begun = server.observed().counts().requests - begun_before;
    assert!(begun <= 600, "{begun} requests were begun upstream");
    until(&server, |counts| counts.serving == 0).await;
    server.set(Answer::ok(""));
    unharmed(&program, before).await;
}

#[tokio::test]
async fn a_client_that_makes_us_reset_its_streams_is_cut_off() {
    type Trigger = fn(u32) -> Vec<u8>;
    let triggers: [(&str, Trigger); 5] = [
        ("a window that grows by nothing", |stream| {
            [opening(stream, "GET", &[], true), encode(kind::WINDOW_UPDATE, 0, stream, &[0; 4])].concat()
        }),
        ("a window that overflows", |stream| {
            let most = 0x7FFF_FFFF_u32.to_be_bytes();
            [opening(stream, "GET", &[], true), encode(kind::WINDOW_UPDATE, 0, stream, &most)].concat()
        }),
        ("a stream that depends on itself", |stream| {
            let itself = [&stream.to_be_bytes()[..], &[16]].concat();
            [opening(stream, "GET", &[], true), encode(kind::PRIORITY, 0, stream, &itself)].concat()
        }),
        ("data behind the end", |stream| {
            [opening(stream, "GET", &[], true), encode(kind::DATA, 0, stream, b"x")].concat()
        }),
        ("more than was announced", |stream| {
            let announced = opening(stream, "POST", &[("content-length", "1")], false);
            [announced, encode(kind::DATA, flag::END_STREAM, stream, b"xyz")].concat()
        }),
    ];
    let (server, program) = proxied(Answer::ok(""), "").await;
    let before = memory(&program).await;
    for (what, trigger) in triggers {
        server.set(Behaviour::stall());
        let mut frames = Frames::client(program.listen(), &[]).await;
        let outbox = frames.outbox();
        let attack = tokio::spawn(async move {
            let mut sent = 0;
            while sent < 2_000 && outbox.write(&trigger(2 * sent + 1)).await.is_ok() {
                sent += 1;
            }
        });
        let rest = frames.rest().await;
        within("the end of the attack", attack).await.expect("no panic");
        let resets = rest.iter().filter(|frame| frame.kind == kind::RST_STREAM).count();
        assert!(resets <= 1_100, "{what}: {resets} resets");
        drop(frames);
        until(&server, |counts| counts.serving == 0).await;
        server.set(Answer::ok(""));
        unharmed(&program, before).await;
    }
}

#[tokio::test]
async fn a_head_without_end_is_not_collected() {
    let (_server, program) = proxied(Answer::ok(""), "").await;
    let before = memory(&program).await;
    let field = hpack::literal(&[("x-a", &"a".repeat(8_000))]);
    for payload in [Vec::new(), field] {
        let mut frames = Frames::client(program.listen(), &[]).await;
        let outbox = frames.outbox();
        let attack = tokio::spawn(async move {
            let begin = hpack::literal(&head("GET", "/", &[]));
            let mut written = outbox.write(&encode(kind::HEADERS, flag::END_STREAM, 1, &begin)).await;
            let piece = encode(kind::CONTINUATION, 0, 1, &payload);
            let mut sent = 0_u64;
            while written.is_ok() && sent < 64 << 20 {
                written = outbox.write(&piece.repeat(16)).await;
                sent += 16 * piece.len() as u64;
            }
            sent
        });
        frames.rest().await;
        let sent = within("the end of the attack", attack).await.expect("no panic");
        // What the sockets hold comes on top of what was read.
        assert!(sent < 16 << 20, "{sent} bytes were taken");
        unharmed(&program, before).await;
    }
}

#[tokio::test]
async fn empty_data_frames_without_end_cost_no_memory() {
    let (server, program) = proxied(Answer::ok(""), "timeouts: { request: 2s }").await;
    let before = memory(&program).await;
    server.set(Behaviour::stall().early());
    let mut frames = Frames::client(program.listen(), &[]).await;
    let outbox = frames.outbox();
    let attack = tokio::spawn(async move {
        let mut written = outbox.write(&opening(1, "POST", &[], false)).await;
        let flood = encode(kind::DATA, 0, 1, &[]).repeat(1_000);
        for _ in 0..300 {
            if written.is_ok() {
                written = outbox.write(&flood).await;
            }
        }
    });
    let end = frames
        .until(|f| f.kind == kind::GOAWAY || (f.stream == 1 && matches!(f.kind, kind::HEADERS | kind::RST_STREAM)))
        .await;
    let grown = program.rss().saturating_sub(before);
    assert!(grown <= MEMORY_MAX, "{} KiB more than before, at {end:?}", grown / 1024);
    attack.abort();
    drop(frames);
    server.set(Answer::ok(""));
    unharmed(&program, before).await;
}

#[tokio::test]
async fn floods_that_ask_for_answers_nobody_reads_are_not_answered_for_ever() {
    let (_server, program) = proxied(Answer::ok(""), "").await;
    let before = memory(&program).await;
    let settings = encode(kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 255, 255]);
    for frame in [encode(kind::PING, 0, 0, &[1; 8]), settings, encode(kind::PRIORITY, 0, 1, &[0, 0, 0, 0, 1])] {
        let frames = Frames::client(program.listen(), &[]).await;
        let flood = frame.repeat(1_000);
        // It ends when it is done, when the program does not read any more, or when it has closed.
        let _ = tokio::time::timeout(Duration::from_secs(2), async {
            for _ in 0..500 {
                if frames.outbox().write(&flood).await.is_err() {
                    return;
                }
            }
        })
        .await;
        let grown = program.rss().saturating_sub(before);
        assert!(grown <= MEMORY_MAX, "{} KiB more than before", grown / 1024);
        drop(frames);
        unharmed(&program, before).await;
    }
}

#[tokio::test]
async fn a_small_head_that_stands_for_a_large_one_is_refused() {
    let (server, program) = proxied(Answer::ok(""), "").await;
    let before = memory(&program).await;
    let requests = server.observed().counts().requests;
    let mut frames = Frames::client(program.listen(), &[]).await;
    let mut block = hpack::literal(&head("GET", "/", &[]));
    // One entry of the dynamic table, then nothing but references to it.
    block.push(0x40);
    hpack::text(&mut block, b"x-bomb");
    hpack::text(&mut block, "b".repeat(3_900).as_bytes());
    block.extend(std::iter::repeat_n(0x80 | 62, 4_000));
    frames.frame(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 1, &block).await;
    assert!(is_refused(&mut frames).await);
    unharmed(&program, before).await;
    assert_eq!(server.observed().counts().requests, requests + 1, "the harmless one");
}

async fn is_refused(frames: &mut Frames) -> bool {
    let end = frames.until(|f| matches!(f.kind, kind::HEADERS | kind::RST_STREAM | kind::GOAWAY)).await;
    end.kind != kind::HEADERS || frames.fields(&end).await[0].1 == "431"
}

#[tokio::test]
async fn heads_beyond_the_limits_are_refused() {
    let (server, program) = proxied(Answer::ok(""), "").await;
    let before = memory(&program).await;
    let requests = server.observed().counts().requests;
    let many = vec![("x-a", "1"); 10_000];
    let large = "x".repeat(1 << 20);
    for fields in [many, vec![("x-large", large.as_str())]] {
        let mut frames = Frames::client(program.listen(), &[]).await;
        let block = hpack::literal(&head("GET", "/", &fields));
        let pieces: Vec<&[u8]> = block.chunks(16_384).collect();
        let mut bytes = encode(kind::HEADERS, flag::END_STREAM, 1, pieces[0]);
        for (i, piece) in pieces.iter().enumerate().skip(1) {
            let flags = if i + 1 == pieces.len() { flag::END_HEADERS } else { 0 };
            bytes.extend(encode(kind::CONTINUATION, flags, 1, piece));
        }
        // It may close before it has read everything.
        let _ = frames.try_write(&bytes).await;
        assert!(is_refused(&mut frames).await);
    }
    unharmed(&program, before).await;
    assert_eq!(server.observed().counts().requests, requests + 1, "the harmless one");
}

#[tokio::test]
async fn a_head_that_is_a_little_too_large_is_answered_with_431() {
    let (_server, program) = proxied(Answer::ok(""), "").await;
    let mut frames = Frames::client(program.listen(), &[]).await;
    let large = "x".repeat(12_000);
    frames.request(1, "GET", "/", &[("x-1", &large)], true).await;
    assert_eq!(frames.head().await.1[0].1, "200");
    let block = hpack::literal(&head("GET", "/", &[("x-1", &large), ("x-2", &large), ("x-3", &large)]));
    let (first, rest) = block.split_at(16_384);
    frames.frame(kind::HEADERS, flag::END_STREAM, 3, first).await;
    let (second, third) = rest.split_at(16_384);
    frames.frame(kind::CONTINUATION, 0, 3, second).await;
    frames.frame(kind::CONTINUATION, flag::END_HEADERS, 3, third).await;
    assert_eq!(frames.head().await.1[0].1, "431");
    // The connection goes on.
    frames.request(5, "GET", "/", &[], true).await;
    assert_eq!(frames.head().await.1[0].1, "200");
}

#[tokio::test]
async fn bytes_that_are_no_frames_end_the_connection() {
    let (server, program) = proxied(Answer::ok(""), "").await;
    let zero_head = encode(kind::HEADERS, flag::END_HEADERS, 0, &hpack::literal(&head("GET", "/", &[])));
    let cases: [(&str, Vec<u8>); 7] = [
        ("another preface", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_vec()),
        ("text behind the preface", [PREFACE, &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..]].concat()),
        ("zeros behind the preface", [PREFACE, &[0; 1_000]].concat()),
        (
            "a frame larger than announced",
            [PREFACE, &encode(kind::SETTINGS, 0, 0, &[]), &encode(0, 0, 1, &[0; 20_000])].concat(),
        ),
        ("a head on stream 0", [PREFACE, &encode(kind::SETTINGS, 0, 0, &[]), &zero_head].concat()),
        (
            "a head on an even stream",
            [PREFACE, &encode(kind::SETTINGS, 0, 0, &[]), &opening(2, "GET", &[], true)].concat(),
        ),
        (
            "a block that is no HPACK",
            [PREFACE, &encode(kind::SETTINGS, 0, 0, &[]), &encode(kind::HEADERS, 5, 1, &[0xFF; 20])].concat(),
        ),
    ];
    for (what, bytes) in cases {
        let mut client = client(&program).await;
        let _ = client.try_send(&bytes).await;
        // Settings, a GOAWAY or a bare 400, and then the end.
        let said = client.bytes(1 << 20).await;
        assert!(said.len() < 1_000, "{what}: {}", said.escape_ascii());
    }
    assert_eq!(server.observed().counts().requests, 0, "{:?}", server.observed().seen());
    assert_eq!(client(&program).await.get("/").await.status, 200);
}

#[tokio::test]
async fn more_streams_than_announced_are_refused_and_can_be_repeated() {
    let (server, program) = proxied(Behaviour::stall(), "timeouts: { request: 10m }").await;
    let mut frames = Frames::client(program.listen(), &[]).await;
    let bytes: Vec<u8> = (0..300).flat_map(|i| opening(2 * i + 1, "GET", &[], true)).collect();
    frames.write(&bytes).await;
    for _ in 256..300 {
        let refused = frames.until(|frame| frame.kind == kind::RST_STREAM).await;
        assert!(refused.stream > 2 * 256 && refused.code() == code::REFUSED_STREAM, "{refused:?}");
    }
    let begun = until(&server, |counts| counts.requests > 0).await.requests;
    assert!(begun <= 256, "{begun} requests were begun upstream");
}

#[tokio::test]
async fn a_client_that_closes_its_side_or_all_of_it_is_noticed() {
    let (server, program) = proxied(Behaviour::stall(), "timeouts: { request: 10m }").await;
    for reset in [false, true] {
        let frames = Frames::client(program.listen(), &[]).await;
        frames.request(1, "GET", "/", &[], true).await;
        frames.request(3, "POST", "/", &[], false).await;
        until(&server, |counts| counts.serving >= 1).await;
        if reset {
            frames.reset_on_drop();
        }
        drop(frames);
        until(&server, |counts| counts.serving == 0 && counts.open == 0).await;
    }
}

#[tokio::test]
async fn a_slow_body_is_cut_at_the_deadline_and_harms_nobody_else() {
    let (server, program) = proxied(Answer::ok(""), "timeouts: { request: 500ms }").await;
    let mut frames = Frames::client(program.listen(), &[]).await;
    frames.request(1, "POST", "/", &[], false).await;
    let outbox = frames.outbox();
    let drip = tokio::spawn(async move {
        while outbox.write(&encode(kind::DATA, 0, 1, b"x")).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let (stream, fields, _) = frames.head().await;
    assert!(stream == 1 && matches!(fields[0].1.as_str(), "408" | "504"), "{fields:?}");
    frames.request(3, "GET", "/", &[], true).await;
    eventually("the answer to another stream", async || {
        let (stream, fields, _) = frames.head().await;
        (stream == 3 && fields[0].1 == "200").then_some(())
    })
    .await;
    drip.abort();
    assert_eq!(server.observed().counts().executed, 1);
}
