//! As much of DER as reading certificates takes: a value after the other, of definite length, within the bytes there are.

/// Tags of what is read here.
pub(super) mod tag {
    pub const BOOLEAN: u8 = 0x01;
    pub const INTEGER: u8 = 0x02;
    pub const OCTETS: u8 = 0x04;
    pub const OID: u8 = 0x06;
    pub const UTC_TIME: u8 = 0x17;
    pub const GENERALIZED_TIME: u8 = 0x18;
    pub const SEQUENCE: u8 = 0x30;
    /// `[0]`, with values in it: the version of a certificate.
    pub const VERSION: u8 = 0xa0;
    /// `[3]`, with values in it: the extensions of a certificate.
    pub const EXTENSIONS: u8 = 0xa3;
    /// `[2]`: a DNS name among alternative names.
    pub const DNS: u8 = 0x82;
    /// `[6]`: a URI among them.
    pub const URI: u8 = 0x86;
    /// `[7]`: an IP address among them.
    pub const IP: u8 = 0x87;
}

/// Values in a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Values<'a>(&'a [u8]);

impl<'a> Values<'a> {
    pub(super) const fn of(bytes: &'a [u8]) -> Self {
        Values(bytes)
    }

    /// The content of the next value, if it has this tag; otherwise nothing is taken.
    pub(super) fn content(&mut self, tag: u8) -> Option<&'a [u8]> {
        let before = self.0;
        match self.next() {
            Some((found, content)) if found == tag => Some(content),
            Some(_) | None => {
                self.0 = before;
                None
            }
        }
    }

    /// The values inside of the next one, if it has this tag.
    pub(super) fn enter(&mut self, tag: u8) -> Option<Values<'a>> {
        self.content(tag).map(Values)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Tag and content of each. What cannot be read ends the row; whether bytes are left then says `is_empty`.
impl<'a> Iterator for Values<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        // Tags of several bytes occur nowhere in a certificate.
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (length, rest) = match first {
            ..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (digits.iter().fold(0_usize, |length, digit| (length << 8) | usize::from(*digit)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }
}
