//! What a certificate says of itself: names, validity, purpose. Nothing is verified here.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::Peer;
use super::der::{Values, tag};
use crate::clock;

/// Names that are kept of one certificate. More are only counted.
const NAMES_MAX: usize = 100;

/// Object identifiers, as they are encoded.
mod oid {
    pub const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
    pub const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
    pub const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
    pub const PURPOSES: &[u8] = &[0x55, 0x1d, 0x25];
    pub const ANY_PURPOSE: &[u8] = &[0x55, 0x1d, 0x25, 0x00];
    pub const SERVER: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
    pub const CLIENT: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];
}

/// Seconds since 1970.
pub type Seconds = i64;

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Server,
    Client,
}

/// What is read of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Certificate {
    /// The common name of its subject; many have none.
    pub(super) common_name: Option<String>,
    /// Who issued it, by its common name.
    pub(super) issuer: Option<String>,
    pub(super) dns: Vec<Box<str>>,
    pub(super) addresses: Vec<IpAddr>,
    /// URIs, also those that are no text: empty then.
    pub(super) uris: Vec<Box<str>>,
    /// Alternative names of any kind.
    pub(super) names: usize,
    pub(super) not_before: Seconds,
    pub(super) not_after: Seconds,
    pub(super) is_ca: bool,
    /// Which purposes it names. None: it is for any.
    purposes: Option<Vec<Purpose>>,
}

impl Certificate {
    /// None: it is not a certificate in DER.
    pub(super) fn read(der: &[u8]) -> Option<Certificate> {
        let mut body = Values::of(der).enter(tag::SEQUENCE)?.enter(tag::SEQUENCE)?;
        let mut certificate = Certificate::default();
        body.content(tag::VERSION);
        body.content(tag::INTEGER)?;
        body.content(tag::SEQUENCE)?;
        certificate.issuer = common_name(body.enter(tag::SEQUENCE)?);
        let mut validity = body.enter(tag::SEQUENCE)?;
        certificate.not_before = time(&mut validity)?;
        certificate.not_after = time(&mut validity)?;
        certificate.common_name = common_name(body.enter(tag::SEQUENCE)?);
        let extensions = body.find(|(tag, _)| *tag == tag::EXTENSIONS);
        if let Some((_, content)) = extensions {
            let extensions = Values::of(content).enter(tag::SEQUENCE)?;
            for (_, extension) in extensions {
                certificate.extension(Values::of(extension))?;
            }
        }
        Some(certificate)
    }

    fn extension(&mut self, mut extension: Values<'_>) -> Option<()> {
        let id = extension.content(tag::OID)?;
        extension.content(tag::BOOLEAN);
        let mut value = Values::of(extension.content(tag::OCTETS)?);
        match id {
            oid::ALTERNATIVE_NAMES => {
                let mut names = value.enter(tag::SEQUENCE)?;
                names.by_ref().for_each(|(kind, name)| self.name(kind, name));
                names.is_empty().then_some(())
            }
            oid::BASIC_CONSTRAINTS => {
                let ca = value.enter(tag::SEQUENCE)?.content(tag::BOOLEAN);
                self.is_ca = ca.is_some_and(|flag| flag != [0]);
                Some(())
            }
            oid::PURPOSES => {
                let purposes: Vec<&[u8]> = value.enter(tag::SEQUENCE)?.map(|(_, purpose)| purpose).collect();
                let known = |purpose: &&[u8]| match *purpose {
                    oid::SERVER => Some(Purpose::Server),
                    oid::CLIENT => Some(Purpose::Client),
                    _ => None,
                };
                let any = purposes.contains(&oid::ANY_PURPOSE);
                self.purposes = (!any).then(|| purposes.iter().filter_map(known).collect());
                Some(())
            }
            _ => Some(()),
        }
    }

    fn name(&mut self, kind: u8, name: &[u8]) {
        self.names += 1;
        let text = || Box::from(std::str::from_utf8(name).unwrap_or_default());
        match kind {
            tag::DNS if self.dns.len() < NAMES_MAX => self.dns.push(text()),
            tag::URI if self.uris.len() < NAMES_MAX => self.uris.push(text()),
            tag::IP if self.addresses.len() < NAMES_MAX => self.addresses.extend(address(name)),
            _ => {}
        }
    }

    /// Whether it may be used so.
    pub(super) fn serves(&self, purpose: Purpose) -> bool {
        self.purposes.as_ref().is_none_or(|purposes| purposes.contains(&purpose))
    }

    /// Its SPIFFE id.
    ///
    /// # Errors
    /// Why it has none, as the rest of a sentence: "it has …".
    pub(super) fn spiffe(&self) -> Result<&str, String> {
        match self.uris.as_slice() {
            [id] if id.starts_with("spiffe://") => Ok(id),
            [other] => Err(format!("it has the URI {}, which is no SPIFFE id", printable(other))),
            [] => Err("it has no URI, and thereby no SPIFFE id".to_owned()),
            several => Err(format!("it has {} URIs, and a SPIFFE certificate has exactly one", several.len())),
        }
    }

    /// Whom it shows.
    pub(super) fn peer(&self) -> Peer {
        Peer { spiffe: self.spiffe().ok().map(Arc::from), names: self.dns.as_slice().into() }
    }

    /// Whose it is, in a few words: its id, its first names, or its subject.
    pub(super) fn subject(&self) -> String {
        let names: Vec<String> = self.all_names().take(3).collect();
        let more = if self.names > names.len() && !names.is_empty() { ", …" } else { "" };
        match (names.as_slice(), &self.common_name) {
            ([], Some(name)) => format!("CN={}", printable(name)),
            ([], None) => "without any name".to_owned(),
            (names, _) => format!("{}{more}", names.join(", ")),
        }
    }

    /// Its alternative names as far as they are kept, ids first.
    pub(super) fn all_names(&self) -> impl Iterator<Item = String> {
        let addresses = self.addresses.iter().map(ToString::to_string);
        self.uris.iter().chain(&self.dns).map(|name| printable(name)).chain(addresses)
    }

    /// Why it is not valid now, as the rest of a sentence. None: it is.
    pub(super) fn invalid(&self, now: Seconds) -> Option<String> {
        if now > self.not_after {
            Some(format!("expired at {}, {} ago", date(self.not_after), Span(now - self.not_after)))
        } else if now < self.not_before {
            let wait = Span(self.not_before - now);
            Some(format!(
                "is not valid before {}, in {wait}: is the clock of this machine right?",
                date(self.not_before)
            ))
        } else {
            None
        }
    }
}

/// The last common name of a distinguished name.
fn common_name(name: Values<'_>) -> Option<String> {
    let parts = name.flat_map(|(_, set)| Values::of(set)).filter_map(|(_, pair)| {
        let mut pair = Values::of(pair);
        let id = pair.content(tag::OID)?;
        let (_, text) = pair.next()?;
        (id == oid::COMMON_NAME).then(|| String::from_utf8_lossy(text).into_owned())
    });
    parts.last()
}

fn time(values: &mut Values<'_>) -> Option<Seconds> {
    let (kind, text) = values.next()?;
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let year_digits = match kind {
        tag::UTC_TIME => 2,
        tag::GENERALIZED_TIME => 4,
        _ => return None,
    };
    if text.len() != year_digits + 10 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = text.split_at(year_digits);
    let year: i16 = match (year_digits, year.parse().ok()?) {
        // RFC 5280, 4.1.2.5.1.
        (2, year @ 0..50) => 2000 + year,
        (2, year) => 1900 + year,
        (_, year) => year,
    };
    let part = |at: usize| rest.get(at..at + 2)?.parse::<i8>().ok();
    let moment = DateTime::new(year, part(0)?, part(2)?, part(4)?, part(6)?, part(8)?, 0).ok()?;
    Some(moment.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second())
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?))),
        16 => Some(IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?))),
        _ => None,
    }
}

/// The wall clock, as certificates count.
pub fn now() -> Seconds {
    let since = clock::wall().duration_since(UNIX_EPOCH).unwrap_or_default();
    Seconds::try_from(since.as_secs()).unwrap_or(Seconds::MAX)
}

/// RFC 3339, UTC.
pub fn date(seconds: Seconds) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| "the end of time".to_owned(), |time| time.to_string())
}

/// A name out of a certificate must not steer a terminal, nor fill a line.
pub(super) fn printable(name: &str) -> String {
    name.chars().take(256).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Seconds in the largest unit that says enough.
pub(super) struct Span(pub(super) Seconds);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            seconds @ ..120 => write!(f, "{seconds} s"),
            seconds @ 120..7_200 => write!(f, "{} min", seconds / 60),
            seconds @ 7_200..172_800 => write!(f, "{} h", seconds / 3_600),
            seconds => write!(f, "{} days", seconds / 86_400),
        }
    }
}
