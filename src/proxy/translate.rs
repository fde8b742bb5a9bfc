//! A head of HTTP/2 as HTTP/1.1 has it. What the two have in common is looked at elsewhere.

use http::header::{COOKIE, HOST};
use http::{HeaderValue, Request};

use super::websocket;

/// Makes of a request's head what HTTP/1.1 has of it: its authority is its `Host`, where there is none, and the crumbs of
/// a cookie are one field (RFC 9113 §8.2.3, §8.3.1); a CONNECT for a WebSocket is an upgrade.
pub fn from_http2<B>(request: &mut Request<B>) {
    websocket::upgrade_of_connect(request);
    if !request.headers().contains_key(HOST)
        && let Some(authority) = request.uri().authority()
        && let Ok(host) = HeaderValue::try_from(authority.as_str())
    {
        request.headers_mut().insert(HOST, host);
    }
    let mut crumbs = request.headers().get_all(COOKIE).iter();
    if crumbs.next().is_some() && crumbs.next().is_some() {
        let crumbs: Vec<&[u8]> = request.headers().get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
        if let Ok(cookie) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
            request.headers_mut().insert(COOKIE, cookie);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(uri: &str, fields: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().uri(uri).version(http::Version::HTTP_2);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let mut request = request.body(()).unwrap();
        from_http2(&mut request);
        request
    }

    #[test]
    fn the_authority_is_the_host_where_there_is_none() {
        assert_eq!(translated("http://a:81/x", &[]).headers()[HOST], "a:81");
        assert_eq!(translated("http://a:81/x", &[("host", "b")]).headers()[HOST], "b");
        assert!(!translated("/x", &[]).headers().contains_key(HOST));
    }

    #[test]
    fn crumbs_are_joined_in_their_order_and_one_stays_as_it_is() {
        let joined = translated("http://a/", &[("cookie", "a=1"), ("cookie", "b=2; c=3"), ("cookie", "d=4")]);
        assert_eq!(joined.headers().get_all(COOKIE).iter().collect::<Vec<_>>(), ["a=1; b=2; c=3; d=4"]);
        assert_eq!(translated("http://a/", &[("cookie", "a=1")]).headers()[COOKIE], "a=1");
    }
}
