//! An upstream's answer: however it is cut into reads, it is the same answer or the same refusal.

use http::Method;
use outrigger::wire::h1::whole;

/// The first byte chooses method and cut; the rest is what the upstream sends.
pub fn read(data: &[u8]) {
    let Some((&choice, bytes)) = data.split_first() else { return };
    let method = if choice & 1 == 0 { Method::GET } else { Method::HEAD };
    let at_once = whole::read(std::iter::once(bytes), &method);
    let cut = usize::from(choice >> 1).max(1);
    let in_pieces = whole::read(bytes.chunks(cut), &method);
    match (&at_once, &in_pieces) {
        (Ok(one), Ok(other)) => assert_eq!(one, other, "cut into pieces of {cut}"),
        // Which of several faults is met first may depend on what has arrived.
        (Err(_), Err(_)) => {}
        (one, other) => panic!("whole: {one:?}, in pieces of {cut}: {other:?}"),
    }
    let Ok(answer) = at_once else { return };
    assert!(answer.fields.values().all(|v| !v.as_bytes().iter().any(|b| matches!(b, b'\r' | b'\n' | 0))));
    assert!(answer.fields.get_all("transfer-encoding").iter().count() <= 1);
    assert!(!(answer.fields.contains_key("transfer-encoding") && answer.fields.contains_key("content-length")));
    assert!(method != Method::HEAD || answer.body.is_empty(), "an answer to HEAD has no body");
}
