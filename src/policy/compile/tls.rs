//! `tls` and `protocol`. Only what is written is looked at: whether the files are there and fit together is for those who
//! read them (`crate::tls`), at `outrigger check` and whenever a policy comes into force.

use std::sync::Arc;

use super::Context;
use super::read::{Layer, Layered, Reader, list};
use super::stores::file_path;
use super::target::{self, Scheme};
use crate::policy::diagnostic::Diagnostic;
use crate::policy::lint::Code;
use crate::policy::raw;
use crate::policy::raw::scalar::{At, FilePath, Key, MinVersion, Position, ServerName, SpiffeId, Text};
use crate::policy::tls::{ClientTls, Identity, Protocol, ServerTls, TlsVersion};

/// Ids of one list.
const IDS_MAX: usize = 1_000;
/// Bytes of one id, as the SPIFFE standard has it.
const ID_BYTES_MAX: usize = 2_048;

/// What is found of one key, and in which layer.
type Found<'a, T> = Option<(&'a At<T>, Layer)>;

impl Context {
    /// Whether an upstream's URLs are https. All of them are alike, or it is an error.
    pub(super) fn scheme(&mut self, own: &raw::Upstream) -> Scheme {
        let listed = own.endpoints.value().map(Vec::as_slice).unwrap_or_default();
        let mut written = own.url.get().into_iter().chain(listed);
        let mut known: Option<(Scheme, Position)> = None;
        let another = written.find_map(|at| {
            let scheme = target::scheme(&at.value.text)?;
            let (first, _) = *known.get_or_insert((scheme, at.position));
            (first != scheme).then_some(at.position)
        });
        let (first, place) = known.unzip();
        if let Some(position) = another {
            let message = "one endpoint is http and another https: an upstream is encrypted as a whole";
            let finding = Diagnostic::new(Code::MixedSchemes, position, message)
                .with_note("write the same scheme everywhere")
                .with_related(place, "the first one");
            self.findings.push(finding);
        }
        first.unwrap_or(Scheme::Http)
    }
}

impl Reader<'_> {
    /// None: the upstream is in clear.
    pub(super) fn client_tls(
        &mut self,
        scheme: Scheme,
        own: Option<&At<raw::UpstreamTls>>,
        block: Layered<'_, raw::UpstreamTls>,
    ) -> Option<Arc<ClientTls>> {
        let tls = self.client_block(block);
        match (scheme, own) {
            (Scheme::Https, _) => Some(Arc::new(tls)),
            (Scheme::Http, Some(at)) => {
                let message = "`tls` has no effect on an http URL: what is sent goes in clear";
                let note = "write the URL with https://, or remove `tls`";
                self.report(Diagnostic::new(Code::TlsOnHttp, at.position, message).with_note(note));
                None
            }
            // What stands in `defaults` is for those that are https.
            (Scheme::Http, None) => None,
        }
    }

    /// The block by itself.
    pub(super) fn client_block(&mut self, block: Layered<'_, raw::UpstreamTls>) -> ClientTls {
        let identity = self.identity(block.pick(|t| &t.cert), block.pick(|t| &t.key));
        ClientTls {
            ca: self.take("tls.ca", block.pick(|t| &t.ca), |text| file_path(text).map(Some), None),
            identity,
            spiffe: self.ids(block.pick(|t| &t.spiffe)),
            server_name: self.take("tls.serverName", block.pick(|t| &t.server_name), server_name, None),
            min_version: self.min_version(block.pick(|t| &t.min_version)),
        }
    }

    /// None also after an error.
    pub(super) fn server_tls(&mut self, at: Option<&At<raw::InboundTls>>) -> Option<Arc<ServerTls>> {
        let at = at?;
        let block = Layered::own(Some(at));
        let (cert, key) = (block.pick(|t| &t.cert), block.pick(|t| &t.key));
        if cert.is_none() && key.is_none() {
            self.refuse(at.position, "tls needs `cert` and `key`: the certificate that callers see, and its key");
        }
        let identity = self.identity(cert, key);
        let spiffe = self.ids(block.pick(|t| &t.spiffe));
        if let Some((ids, _)) = block.pick(|t| &t.spiffe)
            && !at.value.client_ca.is_given()
        {
            let message = "`spiffe` names who may call, and without `clientCa` nobody is asked for a certificate";
            let note = "add clientCa: the certificates of whoever vouches for callers";
            self.report(Diagnostic::new(Code::IdsWithoutCa, ids.position, message).with_note(note));
        }
        Some(Arc::new(ServerTls {
            client_ca: self.take("tls.clientCa", block.pick(|t| &t.client_ca), |text| file_path(text).map(Some), None),
            identity: identity?,
            spiffe,
            min_version: self.min_version(block.pick(|t| &t.min_version)),
        }))
    }

    /// A certificate and its key, both or none.
    fn identity(&mut self, cert: Found<'_, Text<FilePath>>, key: Found<'_, Text<FilePath>>) -> Option<Identity> {
        match (cert, key) {
            (Some((cert, of_cert)), Some((key, of_key))) if of_cert != of_key => {
                let message = "`cert` and `key` belong together, and only one of the two is written here";
                let (here, there) = if of_cert == Layer::Own { (cert, key) } else { (key, cert) };
                let finding = Diagnostic::new(Code::InvalidValue, here.position, message)
                    .with_note("write the other one beside it")
                    .with_related(Some(there.position), "the other one, of `defaults`");
                self.report(finding);
            }
            (Some(_), Some(_)) | (None, None) => {}
            (Some((cert, _)), None) => self.refuse(cert.position, "`cert` needs its `key` beside it"),
            (None, Some((key, _))) => self.refuse(key.position, "`key` needs its `cert` beside it"),
        }
        let read = |text: &Text<FilePath>| file_path(text).map(Some);
        let (cert, key) = (self.take("tls.cert", cert, read, None), self.take("tls.key", key, read, None));
        Some(Identity { cert: cert?, key: key? })
    }

    fn ids(&mut self, found: Found<'_, Vec<At<Text<SpiffeId>>>>) -> Vec<Arc<str>> {
        let Some((at, _)) = found else { return Vec::new() };
        if at.value.is_empty() || at.value.len() > IDS_MAX {
            let message = format!(
                "{} ids: between 1 and {IDS_MAX} are possible; without the key ids are not looked at",
                at.value.len()
            );
            self.refuse(at.position, message);
            return Vec::new();
        }
        self.take_list("tls.spiffe", list(found), spiffe_id, Vec::new())
    }

    fn min_version(&mut self, found: Found<'_, Text<MinVersion>>) -> TlsVersion {
        let read = |text: &Text<MinVersion>| match text.text.as_str() {
            "1.2" => Ok(TlsVersion::Tls12),
            "1.3" => Ok(TlsVersion::Tls13),
            "1.0" | "1.1" => Err(format!("TLS {} is broken and not spoken: write 1.2 or 1.3", text.text)),
            other => Err(format!("`{other}` is not a version of TLS: write 1.2 or 1.3")),
        };
        self.take("tls.minVersion", found, read, TlsVersion::default())
    }

    /// The word in the nearest layer that has one.
    pub(super) fn protocol(&mut self, own: &Key<raw::Protocol>, defaults: Option<&Key<raw::Protocol>>) -> Protocol {
        let own = own.get().map(|at| (at, Layer::Own));
        let found = own.or_else(|| Some((defaults?.get()?, Layer::Defaults)));
        let read = |word: &raw::Protocol| {
            Ok(match word {
                raw::Protocol::Auto => Protocol::Auto,
                raw::Protocol::Http1 => Protocol::Http1,
                raw::Protocol::Http2 => Protocol::Http2,
            })
        };
        self.take("protocol", found, read, Protocol::Auto)
    }
}

/// `spiffe://trust.domain/path`, as the standard has it, of a workload.
fn spiffe_id(text: &Text<SpiffeId>) -> Result<Arc<str>, String> {
    let id = text.text.as_str();
    let form = || format!("`{id}` is not a SPIFFE id: write spiffe://TRUST.DOMAIN/PATH");
    let rest = id.strip_prefix("spiffe://").ok_or_else(form)?;
    if id.contains('*') {
        return Err(format!("`{id}`: ids are compared as a whole, wildcards are not supported"));
    }
    let (domain, path) = rest.split_once('/').ok_or_else(form)?;
    let of_domain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
    let of_path = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let segment = |part: &str| !matches!(part, "" | "." | "..") && part.bytes().all(of_path);
    let whole = !domain.is_empty() && domain.bytes().all(of_domain) && path.split('/').all(segment);
    if whole && id.len() <= ID_BYTES_MAX { Ok(id.into()) } else { Err(form()) }
}

fn server_name(text: &Text<ServerName>) -> Result<Option<Arc<str>>, String> {
    let name = text.text.as_str();
    let authority = match name.parse::<std::net::IpAddr>() {
        Ok(_) => return Ok(Some(name.into())),
        Err(_) => target::authority(&format!("http://{name}")),
    };
    match authority {
        Ok(authority) if authority.host == name && name.bytes().any(|b| b.is_ascii_alphabetic()) => {
            Ok(Some(name.into()))
        }
        Ok(_) | Err(_) => Err(format!("`{name}` is not a host name: write payments.shop.svc, without port or scheme")),
    }
}
