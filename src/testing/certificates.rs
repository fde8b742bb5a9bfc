//! Certificate chains made on the spot: authorities, leaves for any name and time, and their files.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, PKCS_ED25519, PKCS_RSA_SHA256, SanType, date_time_ymd,
};

/// A day.
pub const DAY: Duration = Duration::from_secs(86_400);

/// Unwraps what cannot fail for the names that tests use.
fn must<T, E: fmt::Display>(what: &str, result: Result<T, E>) -> T {
    match result {
        Ok(value) => value,
        Err(e) => panic!("{what}: {e}"),
    }
}

/// Who issues certificates.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// What a peer sends besides its leaf: certificates of authorities below the root, nearest first.
    between: Vec<String>,
    root: String,
}

impl Default for Authority {
    fn default() -> Self {
        Authority::new()
    }
}

impl Authority {
    /// A root of its own, with a name that no other has.
    pub fn new() -> Authority {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        Authority::named(&format!("Test authority {}", NUMBER.fetch_add(1, Ordering::Relaxed)))
    }

    /// A root with this name.
    pub fn named(name: &str) -> Authority {
        let key = must("a key", KeyPair::generate());
        let issuer = must("a root", CertifiedIssuer::self_signed(authority(name), key));
        let root = issuer.pem();
        Authority { issuer, between: Vec::new(), root }
    }

    /// An authority that this one vouches for.
    pub fn intermediate(&self, name: &str) -> Authority {
        let key = must("a key", KeyPair::generate());
        let issuer = must("an intermediate", CertifiedIssuer::signed_by(authority(name), key, &self.issuer));
        let mut between = vec![issuer.pem()];
        between.extend(self.between.iter().cloned());
        Authority { issuer, between, root: self.root.clone() }
    }

    /// The certificate of the root (PEM): what a peer has to trust.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// A certificate for this leaf, with a key of its own.
    pub fn issue(&self, leaf: &Leaf) -> Identity {
        let key = match leaf.kind {
            KeyKind::Ecdsa => KeyPair::generate(),
            KeyKind::Rsa => KeyPair::generate_for(&PKCS_RSA_SHA256),
            KeyKind::Ed25519 => KeyPair::generate_for(&PKCS_ED25519),
        };
        let key = must("a key", key);
        let certificate = must("a certificate", leaf.params().signed_by(&key, &self.issuer));
        let chain = std::iter::once(certificate.pem()).chain(self.between.iter().cloned()).collect();
        Identity { chain, key: key.serialize_pem() }
    }

    /// A server's certificate for these names and addresses, valid for a year.
    pub fn server(&self, names: &[&str]) -> Identity {
        self.issue(&Leaf::server(names))
    }

    /// A client's certificate with this SPIFFE id, valid for a year.
    pub fn client(&self, spiffe: &str) -> Identity {
        self.issue(&Leaf::client(spiffe))
    }

    /// Writes the root to `DIRECTORY/ca.crt`.
    pub fn write(&self, directory: &Path) -> PathBuf {
        let path = directory.join("ca.crt");
        must(&path.display().to_string(), std::fs::write(&path, &self.root));
        path
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2120, 1, 1));
    params
}

fn common_name(name: &str) -> DistinguishedName {
    let mut all = DistinguishedName::new();
    all.push(DnType::CommonName, name);
    all
}

/// The kind of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// P-256.
    Ecdsa,
    /// 2048 bits.
    Rsa,
    /// Ed25519.
    Ed25519,
}

/// What a certificate says.
#[derive(Clone, Debug)]
pub struct Leaf {
    names: Vec<SanType>,
    from: SystemTime,
    until: SystemTime,
    server: bool,
    client: bool,
    kind: KeyKind,
}

impl Leaf {
    /// For a server with these DNS names and IP addresses, valid from yesterday for a year.
    pub fn server(names: &[&str]) -> Leaf {
        let now = SystemTime::now();
        let (from, until) = (now - DAY, now + 365 * DAY);
        let leaf = Leaf { names: Vec::new(), from, until, server: true, client: false, kind: KeyKind::Ecdsa };
        names.iter().fold(leaf, |leaf, name| leaf.name(name))
    }

    /// For a client with this SPIFFE id, valid from yesterday for a year.
    pub fn client(spiffe: &str) -> Leaf {
        Leaf { server: false, client: true, ..Leaf::server(&[]) }.uri(spiffe)
    }

    /// For both sides, as certificates of a mesh are.
    pub fn both(mut self) -> Leaf {
        (self.server, self.client) = (true, true);
        self
    }

    /// Adds a DNS name or an IP address.
    pub fn name(mut self, name: &str) -> Leaf {
        let san = match name.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(ascii(name)),
        };
        self.names.push(san);
        self
    }

    /// Adds a URI, such as `spiffe://cluster.local/ns/shop/sa/cart`.
    pub fn uri(mut self, uri: &str) -> Leaf {
        self.names.push(SanType::URI(ascii(uri)));
        self
    }

    /// Valid between these moments; certificates know whole seconds.
    pub fn valid(mut self, from: SystemTime, until: SystemTime) -> Leaf {
        (self.from, self.until) = (from, until);
        self
    }

    /// Expired yesterday.
    pub fn expired(self) -> Leaf {
        let now = SystemTime::now();
        self.valid(now - 30 * DAY, now - DAY)
    }

    /// Valid from tomorrow on.
    pub fn not_yet_valid(self) -> Leaf {
        let now = SystemTime::now();
        self.valid(now + DAY, now + 30 * DAY)
    }

    /// Expires in so long, to the second.
    pub fn expires_in(self, left: Duration) -> Leaf {
        let now = SystemTime::now();
        self.valid(now - DAY, now + left)
    }

    /// With a key of this kind, instead of ECDSA on P-256.
    pub fn key(mut self, kind: KeyKind) -> Leaf {
        self.kind = kind;
        self
    }

    fn params(&self) -> CertificateParams {
        let since_epoch = |moment: SystemTime| moment.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name("leaf");
        params.subject_alt_names.clone_from(&self.names);
        params.not_before = date_time_ymd(1970, 1, 1) + Duration::from_secs(since_epoch(self.from).as_secs());
        params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(since_epoch(self.until).as_secs());
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        if self.server {
            params.insert_extended_key_usage(ExtendedKeyUsagePurpose::ServerAuth);
        }
        if self.client {
            params.insert_extended_key_usage(ExtendedKeyUsagePurpose::ClientAuth);
        }
        params.use_authority_key_identifier_extension = true;
        params
    }
}

fn ascii(text: &str) -> Ia5String {
    must(text, Ia5String::try_from(text))
}

/// A certificate with its chain, and its key; both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The leaf, then the authorities between it and the root.
    pub chain: String,
    /// PKCS #8.
    pub key: String,
}

impl Identity {
    /// The files as Kubernetes names them in a secret of type `kubernetes.io/tls`.
    pub fn files(&self) -> [(&'static str, &str); 2] {
        [("tls.crt", &self.chain), ("tls.key", &self.key)]
    }

    /// Writes `tls.crt` and `tls.key` into the directory, in place.
    pub fn write(&self, directory: &Path) -> IdentityFiles {
        must(&directory.display().to_string(), std::fs::create_dir_all(directory));
        for (name, text) in self.files() {
            let path = directory.join(name);
            must(&path.display().to_string(), std::fs::write(&path, text));
        }
        IdentityFiles { cert: directory.join("tls.crt"), key: directory.join("tls.key") }
    }
}

/// Where an identity was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityFiles {
    /// The chain.
    pub cert: PathBuf,
    /// The key.
    pub key: PathBuf,
}
