//! The client's side: what is presented, and which servers are believed.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    ClientConfig, ResolvesClientCert, Resumption, WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::SingleCertAndKey;
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::connector::Offer;
use super::material::Presented;
use super::provider::{provider, versions};
use super::refusal::Refused;
use crate::policy::tls::ClientTls;

/// Sessions that are kept of one upstream, to be resumed: eight for each name.
const SESSIONS_MAX: usize = 256;

/// One configuration for each [`Offer`]. They share their sessions with each other and with nobody else, so that no session
/// is resumed under another identity or another trust than its own.
///
/// # Errors
/// A sentence.
pub(super) fn configs(
    spec: &ClientTls,
    presented: Option<&Presented>,
    roots: Arc<RootCertStore>,
) -> Result<[Arc<ClientConfig>; 3], String> {
    let verifier: Arc<dyn ServerCertVerifier> = if spec.spiffe.is_empty() {
        let inner = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider())).build();
        let inner = inner.map_err(|error| format!("ca cannot be used: {error}"))?;
        Arc::new(ByHost { inner })
    } else {
        Arc::new(ById { roots, ids: spec.spiffe.clone() })
    };
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider()))
        .with_protocol_versions(versions(spec.min_version))
        .map_err(|error| format!("TLS cannot be set up: {error}"))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match presented {
        None => builder.with_no_client_auth(),
        Some(presented) => {
            let certified = SingleCertAndKey::from(Arc::clone(&presented.certified));
            builder.with_client_cert_resolver(Arc::new(certified) as Arc<dyn ResolvesClientCert>)
        }
    };
    config.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
    Ok([Offer::Http1, Offer::Http2, Offer::Either].map(|offer| {
        let mut config = config.clone();
        config.alpn_protocols = offer.protocols();
        Arc::new(config)
    }))
}

/// The certificate must be for the host. As rustls verifies it; what is refused is put into words here, where the
/// certificate is at hand.
#[derive(Debug)]
struct ByHost {
    inner: Arc<WebPkiServerVerifier>,
}

/// The certificate must have one of these ids; its host names are not looked at.
#[derive(Debug)]
struct ById {
    roots: Arc<RootCertStore>,
    ids: Vec<Arc<str>>,
}

impl ById {
    fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let parsed = ParsedCertificate::try_from(end_entity)?;
        let algorithms = provider().signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, intermediates, now, algorithms)
    }
}

/// Signatures of a handshake, as the provider checks them.
macro_rules! signatures_by_provider {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            let algorithms = &provider().signature_verification_algorithms;
            rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            let algorithms = &provider().signature_verification_algorithms;
            rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            provider().signature_verification_algorithms.supported_schemes()
        }
    };
}

impl ServerCertVerifier for ByHost {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        verified.map_err(|error| Refused::verification(error, end_entity))
    }

    signatures_by_provider!();
}

impl ServerCertVerifier for ById {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.verify(end_entity, intermediates, now);
        verified.map_err(|error| Refused::verification(error, end_entity))?;
        Refused::unless_listed(end_entity, &self.ids)?;
        Ok(ServerCertVerified::assertion())
    }

    signatures_by_provider!();
}
