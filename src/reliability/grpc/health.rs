//! `grpc.health.v1.Health/Check`, by hand: one string there, one number back.

/// The method.
pub const CHECK_PATH: &str = "/grpc.health.v1.Health/Check";
/// `HealthCheckRequest.service`: field 1, length-delimited.
const SERVICE: u8 = 0x0a;
/// `HealthCheckResponse.status`: field 1, a number.
const STATUS: u64 = 0x08;
/// `SERVING`.
const SERVING: u64 = 1;
/// Flag and length before a message.
const PREFIX: usize = 5;

/// The call's body: the message for `service` (empty: the server as a whole), with its prefix.
pub fn check_request(service: &str) -> Vec<u8> {
    let mut message = Vec::with_capacity(service.len() + 8);
    // A default is left out, as protobuf has it.
    if !service.is_empty() {
        message.push(SERVICE);
        let mut left = service.len();
        while left >= 0x80 {
            message.push((left & 0x7f) as u8 | 0x80);
            left >>= 7;
        }
        message.push(left as u8);
        message.extend_from_slice(service.as_bytes());
    }
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut body = Vec::with_capacity(PREFIX + message.len());
    body.push(0);
    body.extend_from_slice(&length.to_be_bytes());
    body.append(&mut message);
    body
}

/// Whether the body of an answer says SERVING. Fields that are not known are passed over.
pub fn is_serving(body: &[u8]) -> bool {
    let Some((prefix, rest)) = body.split_first_chunk::<PREFIX>() else { return false };
    let [compressed, length @ ..] = *prefix;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    // We said that we understand no compression.
    let Some(mut message) = rest.get(..length).filter(|_| compressed == 0) else { return false };
    let mut status = 0;
    while !message.is_empty() {
        let Some(tag) = number(&mut message) else { return false };
        let known = match tag & 7 {
            0 => number(&mut message).map(|value| {
                if tag == STATUS {
                    status = value;
                }
            }),
            1 => skip(&mut message, 8),
            2 => number(&mut message).and_then(|length| skip(&mut message, usize::try_from(length).ok()?)),
            5 => skip(&mut message, 4),
            _ => None,
        };
        if known.is_none() {
            return false;
        }
    }
    status == SERVING
}

/// A varint.
fn number(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn skip(message: &mut &[u8], bytes: usize) -> Option<()> {
    *message = message.get(bytes..)?;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_question_is_what_protobuf_makes_of_it() {
        assert_eq!(check_request(""), [0, 0, 0, 0, 0]);
        assert_eq!(check_request("a.B"), [0, 0, 0, 0, 5, 0x0a, 3, b'a', b'.', b'B']);
        let long = check_request(&"x".repeat(200));
        assert_eq!(long[..8], [0, 0, 0, 0, 203, 0x0a, 0xc8, 0x01]);
        assert_eq!(long.len(), 5 + 3 + 200);
    }

    #[test]
    fn only_serving_is_serving() {
        assert!(is_serving(&[0, 0, 0, 0, 2, 8, 1]));
        for status in [0, 2, 3, 4] {
            assert!(!is_serving(&[0, 0, 0, 0, 2, 8, status]), "{status}");
        }
        assert!(!is_serving(&[0, 0, 0, 0, 0]), "an empty message is UNKNOWN");
        assert!(!is_serving(&[1, 0, 0, 0, 2, 8, 1]), "compressed");
        assert!(!is_serving(&[0, 0, 0, 0, 3, 8, 1]), "cut");
        assert!(is_serving(&[0, 0, 0, 0, 6, 0x12, 2, b'h', b'i', 8, 1]), "a field of a later version before it");
        assert!(is_serving(&[0, 0, 0, 0, 4, 8, 2, 8, 1]), "the last one counts");
    }

    proptest! {
        #[test]
        fn no_answer_is_too_odd_to_be_read(body in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = is_serving(&body);
        }
    }
}
