//! As much of the protobuf encoding as OTLP needs: a writer, and a reader for one small answer.

/// A message under construction. Fields of value zero or "" are left out, as proto3 does.
#[derive(Debug, Default)]
pub(super) struct Writer(Vec<u8>);

/// The kinds of values on the wire.
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const FIXED32: u64 = 5;

impl Writer {
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    pub(super) fn varint(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.tag(field, VARINT);
            self.raw(value);
        }
    }

    /// Also if it is zero, where the field is one of several that exclude each other.
    pub(super) fn chosen_varint(&mut self, field: u32, value: u64) {
        self.tag(field, VARINT);
        self.raw(value);
    }

    pub(super) fn fixed64(&mut self, field: u32, value: u64) {
        self.tag(field, FIXED64);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn fixed32(&mut self, field: u32, value: u32) {
        self.tag(field, FIXED32);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn bytes(&mut self, field: u32, value: &[u8]) {
        if !value.is_empty() {
            self.chosen_bytes(field, value);
        }
    }

    /// Also if it is empty.
    pub(super) fn chosen_bytes(&mut self, field: u32, value: &[u8]) {
        self.tag(field, BYTES);
        self.raw(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    /// A message inside this one.
    pub(super) fn message(&mut self, field: u32, fill: impl FnOnce(&mut Writer)) {
        self.tag(field, BYTES);
        let begin = self.0.len();
        fill(self);
        // Its length stands before it, and is known only now.
        let mut length = Writer::default();
        length.raw((self.0.len() - begin) as u64);
        self.0.splice(begin..begin, length.0);
    }

    fn tag(&mut self, field: u32, kind: u64) {
        self.raw(u64::from(field) << 3 | kind);
    }

    fn raw(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

/// A field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message in their order; ends where the message ends or makes no sense.
pub(super) fn fields(mut rest: &[u8]) -> impl Iterator<Item = (u64, Value<'_>)> {
    std::iter::from_fn(move || {
        let tag = varint(&mut rest)?;
        let value = match tag & 0b111 {
            VARINT => Value::Number(varint(&mut rest)?),
            BYTES => {
                let length = usize::try_from(varint(&mut rest)?).ok()?;
                let (bytes, after) = rest.split_at_checked(length)?;
                rest = after;
                Value::Bytes(bytes)
            }
            kind @ (FIXED32 | FIXED64) => {
                let (bytes, after) = rest.split_at_checked(if kind == FIXED64 { 8 } else { 4 })?;
                rest = after;
                Value::Bytes(bytes)
            }
            _ => return None,
        };
        Some((tag >> 3, value))
    })
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
