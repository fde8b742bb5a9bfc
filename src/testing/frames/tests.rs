use super::hpack::{Decoder, literal};
use super::*;
use crate::faults::{Answer, FaultServer};

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

#[test]
fn the_examples_of_the_rfc_are_read() {
    // RFC 7541 C.4: three requests of one connection, with Huffman codes and the dynamic table.
    let mut decoder = Decoder::default();
    let read = |decoder: &mut Decoder, hex: &str| decoder.decode(&bytes(hex));
    let first = read(&mut decoder, "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff");
    assert_eq!(first.last().unwrap(), &(":authority".to_string(), "www.example.com".to_string()));
    let second = read(&mut decoder, "8286 84be 5886 a8eb 1064 9cbf");
    assert_eq!(second.last().unwrap(), &("cache-control".to_string(), "no-cache".to_string()));
    let third = read(&mut decoder, "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf");
    assert_eq!(third.last().unwrap(), &("custom-key".to_string(), "custom-value".to_string()));
    assert_eq!(third[3], first[3], "from the dynamic table");
}

#[test]
fn literals_of_any_length_are_read_as_they_were_written() {
    let long = "v".repeat(70_000);
    let fields = [(":path", "/"), ("x", long.as_str()), ("", "")];
    let read = Decoder::default().decode(&literal(&fields));
    let read: Vec<_> = read.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(read, fields);
}

#[tokio::test]
async fn a_client_of_frames_and_a_server_of_frames_understand_each_other() {
    let server = FramesServer::start().await;
    let address = server.address();
    let client = tokio::spawn(async move { Frames::client(address, &[(setting::ENABLE_PUSH, 0)]).await });
    let mut theirs = server.accept(&[]).await;
    let mut client = client.await.unwrap();
    client.request(1, "POST", "/a", &[("x", "1")], false).await;
    client.data(1, b"hello", true).await;
    let (stream, fields, ended) = theirs.head().await;
    assert_eq!((stream, fields[3].1.as_str(), ended), (1, "/a", false));
    let data = theirs.until(|frame| frame.kind == kind::DATA).await;
    assert_eq!((&data.payload[..], data.has(flag::END_STREAM)), (&b"hello"[..], true));
    theirs.goaway(0, code::ENHANCE_YOUR_CALM).await;
    drop(theirs);
    let end = client.rest().await;
    let end = end.last().unwrap();
    assert_eq!((end.last_stream(), end.code()), (0, code::ENHANCE_YOUR_CALM));
}

#[tokio::test]
async fn the_scripted_upstream_understands_frames_and_counts_what_breaks_the_protocol() {
    let server = FaultServer::start(Answer::ok("hello").field("x-answer", "1")).await.unwrap();
    let mut client = Frames::client(server.address(), &[]).await;
    client.request(1, "GET", "/", &[], true).await;
    let (stream, fields, _) = client.head().await;
    assert_eq!((stream, fields[0].1.as_str()), (1, "200"));
    assert!(fields.contains(&("x-answer".to_string(), "1".to_string())), "{fields:?}");
    // DATA on a stream that nobody opened.
    client.data(5, b"x", false).await;
    let end = client.rest().await;
    assert_eq!(end.last().unwrap().kind, kind::GOAWAY, "{end:?}");
    let counts = server.observed().until(crate::testing::BOUND, |c| c.malformed == 1 && c.open == 0).await;
    assert!(counts.is_ok(), "{counts:?}");
}
