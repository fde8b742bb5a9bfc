//! Files with certificates and keys: read, understood, and looked at together.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;
use sha2::{Digest as _, Sha256};

use super::certificate::{self, Certificate, Purpose, Seconds, Span, date};
use super::provider::provider;
use crate::policy::tls::Identity;

/// Files beyond this are not read. The system's own bundle has a fifth of it.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Certificates of one identity. Real chains have two or three.
const CHAIN_MAX: usize = 10;
/// A certificate that lives longer than a few days is renewed long before this.
const NOTICE: Seconds = 14 * 86_400;

/// Which file of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `cert`.
    Cert,
    /// `key`.
    Key,
    /// `ca`, or `clientCa`.
    Authorities,
}

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Degree {
    /// It cannot be used.
    Unusable,
    /// It can, and not for long.
    ExpiresSoon,
    /// It can, and peers will probably refuse it.
    Odd,
    /// A key that everybody can read.
    Open,
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which one.
    pub part: Part,
    /// How bad it is.
    pub degree: Degree,
    /// The whole sentence, with the file and the next step.
    pub text: String,
}

/// A certificate in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// From which file.
    pub file: PathBuf,
    /// Whose it is: its id, its first names, or its subject.
    pub subject: String,
    /// Until when it is valid.
    pub not_after: Seconds,
    /// From when on.
    pub not_before: Seconds,
    /// SHA-256 of it, in hexadecimal digits.
    pub fingerprint: String,
}

/// What we present.
pub(super) struct Presented {
    pub(super) certified: Arc<CertifiedKey>,
    pub(super) held: Held,
}

/// Whom we believe.
pub(super) struct Believed {
    pub(super) roots: Arc<RootCertStore>,
    /// The one that expires first.
    pub(super) held: Option<Held>,
}

/// Reads files, and keeps what was wrong with them and a mark of what was in them.
#[derive(Default)]
pub(super) struct Reading {
    pub(super) problems: Vec<Problem>,
    content: DefaultHasher,
}

impl Reading {
    /// Equal, as long as the files hold the same.
    pub(super) fn mark(&self) -> u64 {
        self.content.finish()
    }

    /// The first sentence about what cannot be used.
    pub(super) fn unusable(&self) -> Option<&str> {
        self.problems.iter().find(|p| p.degree == Degree::Unusable).map(|p| p.text.as_str())
    }

    fn say(&mut self, part: Part, degree: Degree, text: String) {
        self.problems.push(Problem { part, degree, text });
    }

    fn file(&mut self, part: Part, path: &Path) -> Option<Vec<u8>> {
        match bytes(path) {
            Ok(bytes) => {
                bytes.hash(&mut self.content);
                Some(bytes)
            }
            Err(text) => {
                text.hash(&mut self.content);
                self.say(part, Degree::Unusable, text);
                None
            }
        }
    }

    /// A certificate with its chain and its key. None: a problem says why.
    pub(super) fn identity(&mut self, identity: &Identity, purpose: Purpose) -> Option<Presented> {
        let chain = self.file(Part::Cert, &identity.cert).and_then(|pem| self.chain(&identity.cert, &pem, purpose));
        let key = self.file(Part::Key, &identity.key).and_then(|pem| self.key(&identity.key, &pem));
        let ((chain, held), key) = (chain?, key?);
        let signing = match provider().key_provider.load_private_key(key) {
            Ok(signing) => signing,
            Err(error) => {
                let text = format!("{}: no key that can be used here: {error}", identity.key.display());
                self.say(Part::Key, Degree::Unusable, text);
                return None;
            }
        };
        let certified = CertifiedKey::new(chain, signing);
        match certified.keys_match() {
            // Some kinds of keys cannot be compared; a handshake would tell.
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(_) => {
                let (key, cert) = (identity.key.display(), identity.cert.display());
                let text = format!("{key} is not the key of the certificate in {cert} ({})", held.subject);
                self.say(Part::Key, Degree::Unusable, text);
                return None;
            }
        }
        Some(Presented { certified: Arc::new(certified), held })
    }

    fn chain(&mut self, path: &Path, pem: &[u8], purpose: Purpose) -> Option<(Vec<CertificateDer<'static>>, Held)> {
        let shown = path.display();
        let chain = match certificates(path, pem) {
            Ok(chain) if chain.len() > CHAIN_MAX => {
                let text = format!("{shown} holds {} certificates: is it a bundle of authorities?", chain.len());
                self.say(Part::Cert, Degree::Unusable, text);
                return None;
            }
            Ok(chain) => chain,
            Err(text) => {
                self.say(Part::Cert, Degree::Unusable, text);
                return None;
            }
        };
        let (der, behind) = chain.split_first()?;
        let Some(leaf) = Certificate::read(der) else {
            self.say(Part::Cert, Degree::Unusable, format!("{shown}: the first certificate cannot be understood"));
            return None;
        };
        let now = certificate::now();
        let before = self.problems.len();
        self.validity(Part::Cert, path, &leaf, now);
        if let Some(text) = unbuildable(path, der, behind, purpose, now) {
            self.say(Part::Cert, Degree::Unusable, text);
        }
        self.oddities(path, &leaf, purpose);
        let usable = self.problems.iter().skip(before).all(|p| p.degree != Degree::Unusable);
        let held = Held::of(path, der, &leaf);
        usable.then_some((chain, held))
    }

    fn validity(&mut self, part: Part, path: &Path, leaf: &Certificate, now: Seconds) {
        let (shown, subject) = (path.display(), leaf.subject());
        if let Some(why) = leaf.invalid(now) {
            self.say(part, Degree::Unusable, format!("the certificate in {shown} ({subject}) {why}"));
        } else if expires_soon(leaf.not_before, leaf.not_after, now) {
            let (left, date) = (Span(leaf.not_after - now), date(leaf.not_after));
            let text = format!("the certificate in {shown} ({subject}) expires in {left}, at {date}: renew it");
            self.say(part, Degree::ExpiresSoon, text);
        }
    }

    fn oddities(&mut self, path: &Path, leaf: &Certificate, purpose: Purpose) {
        let (shown, subject) = (path.display(), leaf.subject());
        let mut odd = |text: String| self.say(Part::Cert, Degree::Odd, text);
        if leaf.names == 0 {
            odd(format!("the certificate in {shown} ({subject}) has no alternative name: nobody looks at the subject"));
        }
        if !leaf.serves(purpose) {
            let what = match purpose {
                Purpose::Server => "servers (extended key usage: server authentication)",
                Purpose::Client => "clients (extended key usage: client authentication)",
            };
            odd(format!("the certificate in {shown} ({subject}) is not one for {what}: the peer will refuse it"));
        }
        if leaf.uris.len() > 1 {
            let several = leaf.uris.len();
            odd(format!("the certificate in {shown} has {several} URIs: with several, none of them is a SPIFFE id"));
        }
        if leaf.is_ca {
            odd(format!("the certificate in {shown} ({subject}) is one of an authority: most peers refuse such a one"));
        }
    }

    fn key(&mut self, path: &Path, pem: &[u8]) -> Option<PrivateKeyDer<'static>> {
        let shown = path.display();
        if readable_by_all(path) {
            let text = format!("{shown} is readable by every user of this machine: chmod 0400, or defaultMode: 0400");
            self.say(Part::Key, Degree::Open, text);
        }
        let text = match PrivateKeyDer::from_pem_slice(pem) {
            Ok(key) => return Some(key),
            Err(_) if holds(pem, b"ENCRYPTED") => format!(
                "the key in {shown} is encrypted, and nobody is here to type its password: `openssl pkey -in {shown} -out \
                 PLAIN` makes one that can be read"
            ),
            Err(_) if holds(pem, b"BEGIN CERTIFICATE") => {
                format!("{shown} holds a certificate and no key: are cert and key the wrong way round?")
            }
            Err(_) => format!("{shown} holds no key: a PEM file with BEGIN PRIVATE KEY is needed"),
        };
        self.say(Part::Key, Degree::Unusable, text);
        None
    }

    /// Certificates that vouch for others. None: a problem says why.
    pub(super) fn authorities(&mut self, path: &Path) -> Option<Believed> {
        let pem = self.file(Part::Authorities, path)?;
        let found = match certificates(path, &pem) {
            Ok(found) => found,
            Err(text) => {
                self.say(Part::Authorities, Degree::Unusable, text);
                return None;
            }
        };
        let (now, mut roots) = (certificate::now(), RootCertStore::empty());
        let mut held: Option<Held> = None;
        let mut expired = None;
        for der in found {
            let Some(read) = Certificate::read(&der) else { continue };
            if let Some(why) = read.invalid(now) {
                expired = Some(format!("the certificate in {} ({}) {why}", path.display(), read.subject()));
                continue;
            }
            let this = Held::of(path, &der, &read);
            if roots.add(der).is_ok() && held.as_ref().is_none_or(|first| this.not_after < first.not_after) {
                held = Some(this);
            }
        }
        if roots.is_empty() {
            let none = || format!("{}: none of its certificates can vouch for others", path.display());
            self.say(Part::Authorities, Degree::Unusable, expired.unwrap_or_else(none));
            return None;
        }
        if let Some(first) = held.as_ref().filter(|held| expires_soon(held.not_before, held.not_after, now)) {
            let left = Span(first.not_after - now);
            let text = format!("an authority in {} ({}) expires in {left}: renew it", path.display(), first.subject);
            self.say(Part::Authorities, Degree::ExpiresSoon, text);
        }
        Some(Believed { roots: Arc::new(roots), held })
    }
}

impl Held {
    fn of(file: &Path, der: &CertificateDer<'_>, read: &Certificate) -> Held {
        Held {
            file: file.to_owned(),
            subject: read.subject(),
            not_after: read.not_after,
            not_before: read.not_before,
            fingerprint: fingerprint(der),
        }
    }
}

/// SHA-256, as `openssl x509 -fingerprint -sha256` prints it, without colons and in small letters.
fn fingerprint(der: &CertificateDer<'_>) -> String {
    Sha256::digest(der.as_ref()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A quarter of what it lives is left, or less than two weeks: short-lived ones are renewed every day.
pub fn expires_soon(not_before: Seconds, not_after: Seconds, now: Seconds) -> bool {
    let notice = NOTICE.min((not_after - not_before) / 4);
    not_after - now < notice
}

/// The content of a file.
fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    let shown = path.display();
    let told = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => format!("{shown} is not there: is it mounted, and is the path right?"),
        io::ErrorKind::PermissionDenied => {
            format!("{shown} cannot be read by this user: permission denied. For a mounted secret, set fsGroup")
        }
        _ => format!("{shown} cannot be read: {error}"),
    };
    let file = std::fs::File::open(path).map_err(told)?;
    let mut content = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut content).map_err(told)?;
    if content.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("{shown} is larger than 1 MiB: it is no file with a few certificates"));
    }
    Ok(content)
}

fn holds(pem: &[u8], word: &[u8]) -> bool {
    pem.windows(word.len()).any(|window| window == word)
}

/// Every certificate in a PEM file; at least one.
fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let shown = path.display();
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) if pem.is_empty() => Err(format!("{shown} is empty")),
        Ok(_) if holds(pem, b"PRIVATE KEY") => {
            Err(format!("{shown} holds a key and no certificate: are cert and key the wrong way round?"))
        }
        Ok(_) => Err(format!("{shown} holds no certificate: a PEM file with BEGIN CERTIFICATE is needed")),
        Err(error) => Err(format!("{shown} is no PEM file that can be read: {error}")),
    }
}

/// Why the certificates behind the first one do not vouch for it. None: they do, or there are none.
fn unbuildable(
    path: &Path,
    leaf: &CertificateDer<'_>,
    behind: &[CertificateDer<'_>],
    purpose: Purpose,
    now: Seconds,
) -> Option<String> {
    let (last, between) = behind.split_last()?;
    let usage = match purpose {
        Purpose::Server => webpki::KeyUsage::server_auth(),
        Purpose::Client => webpki::KeyUsage::client_auth(),
    };
    let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(u64::try_from(now).unwrap_or(0)));
    let verified = webpki::EndEntityCert::try_from(leaf).and_then(|leaf| {
        let anchor = webpki::anchor_from_trusted_cert(last)?;
        let algorithms = provider().signature_verification_algorithms.all;
        leaf.verify_for_usage(algorithms, &[anchor], between, at, usage, None, None).map(|_| ())
    });
    match verified {
        Err(webpki::Error::UnknownIssuer) => Some(format!(
            "{}: the certificates behind the first one do not vouch for it; first the certificate, then its issuer, and so on",
            path.display()
        )),
        Err(webpki::Error::CertExpired { .. }) => {
            Some(format!("{}: a certificate between the first one and its authority has expired", path.display()))
        }
        // What else is wrong is told in other words, or by the peer.
        Err(_) | Ok(()) => None,
    }
}

#[cfg(unix)]
fn readable_by_all(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

#[cfg(not(unix))]
fn readable_by_all(_path: &Path) -> bool {
    false
}
