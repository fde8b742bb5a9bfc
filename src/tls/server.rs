//! The server's side: what is presented, and which callers are believed.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ServerConfig, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureScheme};

use super::material::{Believed, Presented};
use super::provider::{provider, versions};
use super::refusal::Refused;
use crate::policy::tls::ServerTls;

/// What listeners offer (ALPN), the best first.
const OFFERED: [&[u8]; 2] = [b"h2", b"http/1.1"];
/// Tickets that a client gets after a TLS 1.3 handshake.
const TICKETS: usize = 2;

/// A configuration of its own, and with it a key of its own for tickets: those of the one before are worth nothing.
///
/// # Errors
/// A sentence.
pub(super) fn config(
    spec: &Arc<ServerTls>,
    presented: &Presented,
    believed: Option<&Believed>,
) -> Result<ServerConfig, String> {
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider()))
        .with_protocol_versions(versions(spec.min_version))
        .map_err(|error| format!("TLS cannot be set up: {error}"))?;
    let builder = match believed {
        None => builder.with_no_client_auth(),
        Some(believed) => {
            let roots = Arc::clone(&believed.roots);
            let inner = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider())).build();
            let inner = inner.map_err(|error| format!("clientCa cannot be used: {error}"))?;
            builder.with_client_cert_verifier(Arc::new(Callers { spec: Arc::clone(spec), inner }))
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&presented.certified))));
    config.alpn_protocols = OFFERED.map(<[u8]>::to_vec).to_vec();
    config.send_tls13_tickets = TICKETS;
    // What a session is resumed with is kept by the client, sealed: however many there are, nothing is kept here.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    let ticketer = rustls::crypto::aws_lc_rs::Ticketer::new();
    config.ticketer = ticketer.map_err(|error| format!("TLS cannot be set up: {error}"))?;
    Ok(config)
}

/// Looks at ids during the handshake, so that a caller that may not call is told so by an alert. A resumed session comes
/// past here not at all: what counts is the look after the handshake.
#[derive(Debug)]
struct Callers {
    spec: Arc<ServerTls>,
    inner: Arc<dyn ClientCertVerifier>,
}

impl ClientCertVerifier for Callers {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.inner.verify_client_cert(end_entity, intermediates, now);
        let verified = verified.map_err(|error| Refused::verification(error, end_entity))?;
        Refused::unless_listed(end_entity, &self.spec.spiffe)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
