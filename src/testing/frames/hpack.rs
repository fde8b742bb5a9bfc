//! Heads of HTTP/2 (RFC 7541): written as literals, read whatever way a peer wrote them.

use std::collections::VecDeque;

use crate::faults::message::Field;

/// Largest dynamic table, in bytes as the RFC counts them: the default, which no test changes.
const TABLE_MAX: usize = 4_096;

/// A head in which every field is literal, neither compressed nor indexed.
pub fn literal(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        text(&mut block, name.as_bytes());
        text(&mut block, value.as_bytes());
    }
    block
}

/// A string literal: its length, its bytes.
pub fn text(block: &mut Vec<u8>, bytes: &[u8]) {
    integer(block, 0, 7, bytes.len());
    block.extend_from_slice(bytes);
}

/// An integer with a prefix of so many bits, below `high` bits that say what it is.
pub fn integer(block: &mut Vec<u8>, high: u8, prefix: u32, mut value: usize) {
    let most = (1usize << prefix) - 1;
    if value < most {
        block.push(high | value as u8);
        return;
    }
    block.push(high | most as u8);
    value -= most;
    while value >= 128 {
        block.push((value % 128) as u8 | 128);
        value /= 128;
    }
    block.push(value as u8);
}

/// Reads the heads of one direction of one connection, in order.
#[derive(Debug, Default)]
pub struct Decoder {
    /// Newest first.
    table: VecDeque<Field>,
    most: Option<usize>,
}

impl Decoder {
    /// The fields of one head; panics if the block is not valid.
    pub fn decode(&mut self, block: &[u8]) -> Vec<Field> {
        let mut reader = Reader { rest: block };
        let mut fields = Vec::new();
        while let Some(first) = reader.rest.first().copied() {
            if first & 0x80 != 0 {
                let index = reader.integer(7);
                fields.push(self.entry(index));
            } else if first & 0xE0 == 0x20 {
                self.most = Some(reader.integer(5));
                self.evict();
            } else {
                let indexed = first & 0xC0 == 0x40;
                let index = reader.integer(if indexed { 6 } else { 4 });
                let name = if index == 0 { reader.text() } else { self.entry(index).0 };
                let field = (name, reader.text());
                if indexed {
                    self.table.push_front(field.clone());
                    self.evict();
                }
                fields.push(field);
            }
        }
        fields
    }

    fn entry(&self, index: usize) -> Field {
        let found = match index.checked_sub(STATIC.len() + 1) {
            Some(at) => self.table.get(at).cloned(),
            None => STATIC.get(index.wrapping_sub(1)).map(|(n, v)| ((*n).to_string(), (*v).to_string())),
        };
        found.unwrap_or_else(|| panic!("no field has the index {index}"))
    }

    fn evict(&mut self) {
        let most = self.most.unwrap_or(TABLE_MAX);
        while self.table.iter().map(|(name, value)| name.len() + value.len() + 32).sum::<usize>() > most {
            self.table.pop_back();
        }
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.rest.split_first() else { panic!("the block ends within a field") };
        self.rest = rest;
        *first
    }

    fn integer(&mut self, prefix: u32) -> usize {
        let most = (1usize << prefix) - 1;
        let mut value = usize::from(self.byte()) & most;
        if value < most {
            return value;
        }
        for shift in (0..28).step_by(7) {
            let byte = usize::from(self.byte());
            value += (byte & 127) << shift;
            if byte < 128 {
                return value;
            }
        }
        panic!("an integer has no end")
    }

    fn text(&mut self) -> String {
        let huffman = self.rest.first().is_some_and(|byte| byte & 128 != 0);
        let length = self.integer(7);
        let Some((bytes, rest)) = self.rest.split_at_checked(length) else { panic!("the block ends within a text") };
        self.rest = rest;
        let bytes = if huffman { unpack(bytes) } else { bytes.to_vec() };
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// Undoes the Huffman code. It is canonical: among codes of one length, larger symbols have larger codes, and longer
/// codes begin where shorter ones end; so that its lengths are all there is to know.
fn unpack(bytes: &[u8]) -> Vec<u8> {
    let mut found = Vec::new();
    let (mut code, mut length, mut first) = (0u32, 0u8, 0u32);
    for bit in bytes.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)) {
        (code, length, first) = (code << 1 | u32::from(bit), length + 1, first << 1);
        let mut same = (0u8..=255).filter(|symbol| LENGTHS[usize::from(*symbol)] == length);
        let count = same.clone().count() as u32;
        if code - first < count {
            found.extend(same.nth((code - first) as usize));
            (code, length, first) = (0, 0, 0);
        } else {
            first += count;
        }
    }
    assert!(length < 8 && code + 1 == 1 << length, "a text does not end with the padding of the RFC");
    found
}

/// RFC 7541, appendix A.
const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

/// Lengths of the codes of RFC 7541, appendix B, in bits.
#[rustfmt::skip]
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];
