//! WebSocket begins in two ways: as an upgrade of HTTP/1.1 (RFC 6455), and as an extended CONNECT of HTTP/2 (RFC 8441).
//! Here the second becomes the first, which is how this proxy knows upgrades.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request};
use hyper::ext::Protocol;

use crate::random;

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
/// RFC 6455 §1.3: what a server shows that it has read the request and knows the protocol.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Makes an upgrade of a CONNECT for a WebSocket. Other requests stay as they are.
pub fn upgrade_of_connect<B>(request: &mut Request<B>) {
    let protocol = request.extensions().get::<Protocol>();
    let asked = protocol.is_some_and(|protocol| protocol.as_str().eq_ignore_ascii_case("websocket"));
    if request.method() != Method::CONNECT || !asked {
        return;
    }
    *request.method_mut() = Method::GET;
    let headers = request.headers_mut();
    headers.insert(UPGRADE, WEBSOCKET);
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    // It proves to us that the upstream has read this request, and is no secret.
    if let Ok(key) = HeaderValue::try_from(base64(&random::bits128().to_be_bytes())) {
        headers.insert(SEC_WEBSOCKET_KEY, key);
    }
}

/// What must be answered to the key in `asked`; `None` if this is about no WebSocket.
pub fn accept_for(asked: &HeaderMap) -> Option<HeaderValue> {
    let key = asked.get(SEC_WEBSOCKET_KEY).filter(|_| asked.get(UPGRADE).is_some_and(is_websocket))?;
    let digest = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key.as_bytes(), GUID].concat());
    HeaderValue::try_from(base64(digest.as_ref())).ok()
}

/// Whether `answer` proves that it is meant for `asked`.
pub fn is_accepted(asked: &HeaderMap, answer: &HeaderMap) -> bool {
    accept_for(asked).is_none_or(|expected| answer.get(SEC_WEBSOCKET_ACCEPT) == Some(&expected))
}

fn is_websocket(protocol: &HeaderValue) -> bool {
    protocol.as_bytes().eq_ignore_ascii_case(WEBSOCKET.as_bytes())
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let at = |i: usize| u32::from(three.get(i).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for digit in 0..4 {
            let value = (bits >> (18 - 6 * digit) & 63) as usize;
            text.push(if digit > three.len() { '=' } else { char::from(DIGITS[value]) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_the_key_of_the_rfc_is_that_of_the_rfc() {
        let mut asked = HeaderMap::new();
        asked.insert(UPGRADE, HeaderValue::from_static("WebSocket"));
        asked.insert(SEC_WEBSOCKET_KEY, HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
        let mut answer = HeaderMap::new();
        assert!(!is_accepted(&asked, &answer));
        answer.insert(SEC_WEBSOCKET_ACCEPT, HeaderValue::from_static("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert!(is_accepted(&asked, &answer));
        asked.insert(UPGRADE, HeaderValue::from_static("other"));
        assert_eq!(accept_for(&asked), None);
    }

    #[test]
    fn base64_is_that_of_rfc_4648() {
        let cases =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE=")];
        for (bytes, text) in cases {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn only_a_connect_for_a_websocket_becomes_an_upgrade() {
        let mut request = Request::new(());
        *request.method_mut() = Method::CONNECT;
        request.extensions_mut().insert(Protocol::from_static("connect-udp"));
        upgrade_of_connect(&mut request);
        assert_eq!((request.method(), request.headers().len()), (&Method::CONNECT, 0));
        request.extensions_mut().insert(Protocol::from_static("websocket"));
        upgrade_of_connect(&mut request);
        assert_eq!(request.method(), Method::GET);
        assert_eq!(request.headers()[SEC_WEBSOCKET_KEY].len(), 24);
    }
}
