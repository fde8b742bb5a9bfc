//! What a replay needs of a request, as bytes.
//!
//! One version byte (2: with the caller's id, which is written only where there is one), then pieces with their length in front. Read back from a store that may be damaged: whatever is
//! found there is refused or is what was written, and nothing is trusted to be as long as it says.

use bytes::{BufMut, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

const VERSION: u8 = 1;
/// The same with the caller behind it.
const VERSION_WITH_CALLER: u8 = 2;

/// The request as it can be sent again: by the same door, with the same key, on behalf of the same caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// Method.
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// The client's, without those of its connection; the key and who its owner is among them.
    pub fields: HeaderMap,
    /// All of it.
    pub body: Bytes,
    /// The field that holds the idempotency key, and its value as it was sent. One that we have made up stands here
    /// alone.
    pub key: Option<(HeaderName, HeaderValue)>,
    /// The SPIFFE id in its caller's certificate, which was verified when the request came in.
    pub caller: Option<String>,
}

impl Contents {
    /// As bytes. `None`: a piece is longer than can be told.
    pub fn encode(&self) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(64 + self.target.len() + 64 * self.fields.len() + self.body.len());
        out.put_u8(if self.caller.is_some() { VERSION_WITH_CALLER } else { VERSION });
        piece(&mut out, self.method.as_str().as_bytes())?;
        piece(&mut out, self.target.as_bytes())?;
        out.put_u8(u8::from(self.key.is_some()));
        if let Some((name, value)) = &self.key {
            field(&mut out, name, value)?;
        }
        out.put_u32(u32::try_from(self.fields.len()).ok()?);
        for (name, value) in &self.fields {
            field(&mut out, name, value)?;
        }
        piece(&mut out, &self.body)?;
        if let Some(caller) = &self.caller {
            piece(&mut out, caller.as_bytes())?;
        }
        Some(out)
    }

    /// From bytes. `None`: they are not what [`Contents::encode`] writes.
    pub fn decode(bytes: &Bytes) -> Option<Contents> {
        let mut rest = Rest(bytes.clone());
        let version = rest.take(1)?.first().copied()?;
        if !matches!(version, VERSION | VERSION_WITH_CALLER) {
            return None;
        }
        let method = Method::from_bytes(&rest.piece()?).ok()?;
        let target = String::from_utf8(rest.piece()?.to_vec()).ok()?;
        let key = match rest.number::<1>()? {
            0 => None,
            1 => Some(rest.field()?),
            _ => return None,
        };
        let mut fields = HeaderMap::new();
        for _ in 0..rest.number::<4>()? {
            let (name, value) = rest.field()?;
            // A map has a bound of its own.
            fields.try_append(name, value).ok()?;
        }
        let body = rest.piece()?;
        let caller = match version {
            VERSION_WITH_CALLER => Some(String::from_utf8(rest.piece()?.to_vec()).ok()?),
            _ => None,
        };
        rest.0.is_empty().then_some(Contents { method, target, fields, body, key, caller })
    }
}

fn piece(out: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
    out.put_u32(u32::try_from(bytes.len()).ok()?);
    out.put_slice(bytes);
    Some(())
}

fn field(out: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) -> Option<()> {
    piece(out, name.as_str().as_bytes())?;
    piece(out, value.as_bytes())
}

/// What has not been read yet.
struct Rest(Bytes);

impl Rest {
    fn take(&mut self, length: usize) -> Option<Bytes> {
        (length <= self.0.len()).then(|| self.0.split_to(length))
    }

    /// Big-endian, of so many bytes.
    fn number<const BYTES: usize>(&mut self) -> Option<u32> {
        Some(self.take(BYTES)?.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
    }

    fn piece(&mut self) -> Option<Bytes> {
        let length = self.number::<4>()?;
        self.take(usize::try_from(length).ok()?)
    }

    fn field(&mut self) -> Option<(HeaderName, HeaderValue)> {
        let name = HeaderName::from_bytes(&self.piece()?).ok()?;
        Some((name, HeaderValue::from_bytes(&self.piece()?).ok()?))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::dead_letters) fn payment() -> Contents {
        let mut fields = HeaderMap::new();
        fields.insert("idempotency-key", HeaderValue::from_static("\"k\""));
        fields.insert("authorization", HeaderValue::from_static("Bearer s3cret"));
        fields.append("x-line", HeaderValue::from_static("1"));
        fields.append("x-line", HeaderValue::from_bytes(b"\xff\tz").expect("a value"));
        fields.insert("x-empty", HeaderValue::from_static(""));
        Contents {
            method: Method::from_bytes(b"PURGE").expect("a method"),
            target: "/pay?a=b&c=%FF".to_owned(),
            fields,
            body: Bytes::from_static(b"12 EUR\0\xff"),
            key: Some((HeaderName::from_static("idempotency-key"), HeaderValue::from_static("\"k\""))),
            caller: None,
        }
    }

    #[test]
    fn what_was_written_is_read_again() {
        let bare = Contents { fields: HeaderMap::new(), body: Bytes::new(), key: None, ..payment() };
        let by_somebody = Contents { caller: Some("spiffe://shop.example/cart".to_owned()), ..payment() };
        for contents in [payment(), bare, by_somebody] {
            let bytes = Bytes::from(contents.encode().expect("short pieces"));
            assert_eq!(Contents::decode(&bytes), Some(contents));
        }
    }

    #[test]
    fn without_a_caller_it_is_what_earlier_versions_wrote_and_read() {
        assert_eq!(payment().encode().expect("short pieces").first(), Some(&VERSION));
        let anonymous = [&[VERSION_WITH_CALLER][..], &payment().encode().expect("short pieces")[1..]].concat();
        assert_eq!(Contents::decode(&anonymous.into()), None, "the caller is missing");
    }

    #[test]
    fn what_is_cut_or_goes_on_is_refused_and_what_is_changed_never_panics() {
        let bytes = payment().encode().expect("short pieces");
        for end in 0..bytes.len() {
            assert_eq!(Contents::decode(&Bytes::copy_from_slice(&bytes[..end])), None, "cut at {end}");
        }
        let longer = [&bytes[..], b"x"].concat();
        assert_eq!(Contents::decode(&longer.into()), None);
        for at in 0..bytes.len() {
            for change in [0x01, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] ^= change;
                let read = Contents::decode(&damaged.into());
                assert!(at > 0 || read.is_none(), "an unknown version");
            }
        }
    }

    #[test]
    fn a_count_that_lies_costs_nothing() {
        let mut bytes = vec![VERSION];
        piece(&mut bytes, b"POST").expect("short");
        piece(&mut bytes, b"/").expect("short");
        bytes.put_u8(0);
        bytes.put_u32(u32::MAX);
        assert_eq!(Contents::decode(&bytes.into()), None);
    }
}
