//! Why there is no session: in one word for programs, and in a sentence that says which certificate and what about it.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{AlertDescription, CertificateError, Error, OtherError, PeerIncompatible};

use super::HandshakeFailed;
use super::certificate::{self, Certificate, printable};
use crate::reliability::Failure;

/// Of one cause, one refusal in this time is told; the others are counted.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// Ids that a sentence lists.
const LISTED_MAX: usize = 5;

/// What is wrong with a certificate that a peer showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// It is believed, and its id is not one of those listed.
    pub(super) by_id: bool,
    /// The sentence.
    pub(super) why: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Refused {}

impl Refused {
    fn error(self) -> Error {
        Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(self))))
    }

    /// What a verification found wrong, in words.
    pub(super) fn verification(error: Error, shown: &CertificateDer<'_>) -> Error {
        match error {
            Error::InvalidCertificate(error) => {
                let certificate = Certificate::read(shown);
                let whose = certificate.as_ref().map_or_else(String::new, |c| format!(" of {}", c.subject()));
                let why = format!("the certificate{whose} {}", fault(&error, certificate.as_ref()));
                Refused { by_id: false, why }.error()
            }
            other => other,
        }
    }

    /// Whether the id of a certificate is one of these. No list: every certificate that is believed will do.
    pub(super) fn unless_listed(shown: &CertificateDer<'_>, listed: &[Arc<str>]) -> Result<(), Error> {
        let unreadable = || "the certificate cannot be understood".to_owned();
        let read = Certificate::read(shown).ok_or_else(|| Refused { by_id: true, why: unreadable() }.error())?;
        Refused::unless_one_of(&read, listed).map_err(Refused::error)
    }

    fn unless_one_of(read: &Certificate, listed: &[Arc<str>]) -> Result<(), Refused> {
        if listed.is_empty() {
            return Ok(());
        }
        let why = match read.spiffe() {
            Ok(id) if listed.iter().any(|wanted| **wanted == *id) => return Ok(()),
            Ok(id) => format!("the id found is {}, and {} is wanted", printable(id), one_of(listed)),
            Err(none) => format!("the certificate of {}: {none}, and {} is wanted", read.subject(), one_of(listed)),
        };
        Err(Refused { by_id: true, why })
    }

    /// A look after the handshake, which also those sessions get that were resumed, and thereby not verified: the certificate
    /// is that of the session's first handshake, and may have expired since.
    pub(super) fn after_handshake(read: &Certificate, listed: &[Arc<str>]) -> Result<(), Refused> {
        if let Some(invalid) = read.invalid(certificate::now()) {
            return Err(Refused { by_id: false, why: format!("the certificate of {} {invalid}", read.subject()) });
        }
        Refused::unless_one_of(read, listed)
    }
}

fn one_of(ids: &[Arc<str>]) -> String {
    match ids {
        [only] => only.to_string(),
        few if few.len() <= LISTED_MAX => format!("one of {}", few.join(", ")),
        many => {
            let first: Vec<&str> = many.iter().take(LISTED_MAX).map(AsRef::as_ref).collect();
            format!("one of {} and {} others", first.join(", "), many.len() - LISTED_MAX)
        }
    }
}

/// The rest of a sentence that begins with the certificate.
fn fault(error: &CertificateError, shown: Option<&Certificate>) -> String {
    let invalid = || shown.and_then(|shown| shown.invalid(certificate::now()));
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            // Where the leaf is valid, it is one of those behind it.
            invalid().unwrap_or_else(|| "has expired, or the one of its issuer has".to_owned())
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            invalid().unwrap_or_else(|| "is not valid yet, or the one of its issuer is not".to_owned())
        }
        CertificateError::UnknownIssuer => {
            let issuer = shown.and_then(|c| c.issuer.as_deref()).map(printable).unwrap_or_default();
            format!("is from an authority that is not believed here ({issuer}), or its intermediates were not sent")
        }
        CertificateError::NotValidForName => "is not for the host that was asked for".to_owned(),
        CertificateError::NotValidForNameContext { expected, presented: _ } => {
            let names: Vec<String> = shown.iter().flat_map(|c| c.all_names()).take(LISTED_MAX).collect();
            let found = if names.is_empty() { "no name at all".to_owned() } else { names.join(", ") };
            format!("is not for {}: it is for {found}", name(expected))
        }
        CertificateError::BadSignature => "is signed wrongly".to_owned(),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "is not for this purpose: its extended key usage says otherwise".to_owned()
        }
        CertificateError::BadEncoding => "cannot be understood".to_owned(),
        CertificateError::Other(OtherError(inner)) => {
            let webpki = inner.downcast_ref::<webpki::Error>();
            match webpki {
                Some(webpki::Error::CaUsedAsEndEntity) => {
                    "is the one of an authority, and not for a server or client: is it self-signed?".to_owned()
                }
                Some(other) => format!("is not accepted: {other}"),
                None => format!("is not accepted: {inner}"),
            }
        }
        other => format!("is not accepted: {other}"),
    }
}

pub(super) fn name(name: &ServerName<'_>) -> String {
    match name {
        ServerName::DnsName(name) => name.as_ref().to_owned(),
        ServerName::IpAddress(address) => std::net::IpAddr::from(*address).to_string(),
        _ => "the name asked for".to_owned(),
    }
}

/// The word and the sentence of a handshake as a client that came to nothing.
pub(super) fn of_client(error: &io::Error) -> (Failure, String) {
    match tls(error) {
        Some(Error::InvalidCertificate(CertificateError::Other(OtherError(inner)))) => {
            let why = inner.downcast_ref::<Refused>().map_or_else(|| inner.to_string(), ToString::to_string);
            (Failure::TlsCertificate, why)
        }
        Some(error @ (Error::InvalidCertificate(_) | Error::NoCertificatesPresented | Error::UnsupportedNameType)) => {
            (Failure::TlsCertificate, error.to_string())
        }
        Some(Error::AlertReceived(alert)) => (Failure::TlsAlert, format!("the server refused: {}", alerted(*alert))),
        Some(error) => (Failure::TlsFailed, protocol(error)),
        None => (Failure::TlsFailed, format!("the connection ended during the handshake: {error}")),
    }
}

/// The same as a server. No sentence: nothing that anybody would want to read, such as a probe that connects and goes away.
pub(super) fn of_server(error: &io::Error) -> (HandshakeFailed, Option<String>) {
    match tls(error) {
        Some(Error::InvalidCertificate(CertificateError::Other(OtherError(inner)))) => {
            let refused = inner.downcast_ref::<Refused>();
            let by_id = refused.is_some_and(|refused| refused.by_id);
            let failed = if by_id { HandshakeFailed::Identity } else { HandshakeFailed::Certificate };
            (failed, Some(refused.map_or_else(|| inner.to_string(), ToString::to_string)))
        }
        Some(Error::NoCertificatesPresented) => {
            let why = "the caller showed no certificate, and one is demanded (clientCa)";
            (HandshakeFailed::Certificate, Some(why.to_owned()))
        }
        Some(error @ Error::InvalidCertificate(_)) => (HandshakeFailed::Certificate, Some(error.to_string())),
        Some(Error::AlertReceived(alert)) => {
            (HandshakeFailed::Gone, Some(format!("the caller refused our certificate: {}", alerted(*alert))))
        }
        Some(error) => (HandshakeFailed::Protocol, Some(protocol(error))),
        None => (HandshakeFailed::Gone, None),
    }
}

fn tls(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

/// Whether a server says by `error`, which came with the first read, that it refused our certificate. With TLS 1.3 that is
/// when a client learns it. Such a server has not looked at a byte that was sent to it.
pub fn is_refusal(error: &io::Error) -> bool {
    let Some(Error::AlertReceived(alert)) = tls(error) else { return false };
    matches!(
        alert,
        AlertDescription::AccessDenied
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRequired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::DecryptError
            | AlertDescription::HandshakeFailure
            | AlertDescription::UnknownCA
            | AlertDescription::UnsupportedCertificate
    )
}

/// What a peer's alert means, where its name alone does not say it.
fn alerted(alert: AlertDescription) -> String {
    let meaning = match alert {
        AlertDescription::UnknownCA => "it does not believe who vouches for our certificate",
        AlertDescription::CertificateRequired => "it demands a certificate, and we have none to show",
        AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnsupportedCertificate => "it does not accept our certificate",
        AlertDescription::CertificateExpired => "it says that our certificate has expired",
        AlertDescription::AccessDenied => "we may not call there",
        AlertDescription::ProtocolVersion => "it speaks none of our versions of TLS",
        AlertDescription::HandshakeFailure => "it found nothing that both sides support, or demands a certificate",
        AlertDescription::UnrecognisedName => "it does not know the host that was asked for",
        AlertDescription::NoApplicationProtocol => "it speaks none of the HTTP versions that were offered",
        _ => return format!("alert {alert:?}"),
    };
    format!("{meaning} (alert {alert:?})")
}

fn protocol(error: &Error) -> String {
    match error {
        Error::InvalidMessage(_) | Error::InappropriateMessage { .. } => {
            format!("what the peer sent is no TLS: {error}. Does it speak in clear on this port?")
        }
        Error::PeerIncompatible(
            PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::Tls13RequiredForQuic
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => format!("the peer speaks no version of TLS that is allowed here: {error}"),
        Error::NoApplicationProtocol => "the peer speaks none of the HTTP versions that are spoken here".to_owned(),
        other => other.to_string(),
    }
}

/// How often each cause is told.
#[derive(Debug, Default)]
pub(super) struct Rate {
    told: Mutex<Vec<(&'static str, Instant, u64)>>,
}

impl Rate {
    /// Some: it is to be told, with how many of the kind were not since the last time.
    pub(super) fn tell(&self, kind: &'static str, now: Instant) -> Option<u64> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match told.iter_mut().find(|(known, _, _)| *known == kind) {
            Some((_, last, more)) if now.saturating_duration_since(*last) < TELL_EVERY => {
                *more += 1;
                None
            }
            Some((_, last, more)) => {
                *last = now;
                Some(std::mem::take(more))
            }
            None => {
                told.push((kind, now, 0));
                Some(0)
            }
        }
    }
}
