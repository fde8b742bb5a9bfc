//! What is shown to a proxy that does not let everybody in: a token, a certificate.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use clap::Args;
use http::HeaderValue;

use super::Surroundings;
use crate::policy::tls::{ClientTls, Identity};
use crate::tls::{Connector, Event, Registry};

const HEADING: &str = "Admin API with a guard";

/// Options of every command that asks a running proxy.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = HEADING)]
pub(super) struct Login {
    /// File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]
    #[arg(long = "ca", id = "login-ca", global = true, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// With https: PEM file of your certificate [env: OUTRIGGER_CERT]
    #[arg(long = "cert", id = "login-cert", global = true, value_name = "FILE")]
    pub cert: Option<PathBuf>,
    /// With https: PEM file of its key [env: OUTRIGGER_KEY]
    #[arg(long = "key", id = "login-key", global = true, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// With https: the name in the proxy's certificate, as behind a port-forward [default: the host of --addr]
    #[arg(long, global = true, value_name = "NAME")]
    pub server_name: Option<String>,
}

/// What the files hold.
pub(super) struct Shown {
    /// `Bearer …`.
    pub token: Option<HeaderValue>,
    /// Some iff the address is `https`.
    pub tls: Option<Arc<Connector>>,
    /// Why the last handshake came to nothing.
    pub why: Arc<Mutex<Option<String>>>,
}

impl Login {
    /// With what the environment says of what the command line does not.
    pub fn or(self, surroundings: &Surroundings) -> Login {
        let Login { token_file, ca, cert, key, server_name } = self;
        let theirs = surroundings.login.clone();
        // A certificate and its key come from one place.
        let (cert, key) = if cert.is_some() || key.is_some() { (cert, key) } else { (theirs.cert, theirs.key) };
        Login { token_file: token_file.or(theirs.token_file), ca: ca.or(theirs.ca), cert, key, server_name }
    }

    /// Reads the files. `encrypted`: the address is `https`.
    pub fn read(&self, encrypted: bool) -> Result<Shown, String> {
        let token = match &self.token_file {
            None => None,
            Some(file) => {
                let token = crate::admin::token_in(file).map_err(|why| format!("--token-file: {why}"))?;
                let mut value = HeaderValue::from_bytes(&[b"Bearer ", &*token].concat())
                    .map_err(|_| "--token-file: the token cannot be sent".to_owned())?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        let why = Arc::<Mutex<Option<String>>>::default();
        let tls = if encrypted { Some(self.connector(Arc::clone(&why))?) } else { None };
        Ok(Shown { token, tls, why })
    }

    /// `why`: where a handshake that came to nothing says why.
    fn connector(&self, why: Arc<Mutex<Option<String>>>) -> Result<Arc<Connector>, String> {
        let registry = Registry::new(Arc::new(move |event| {
            if let Event::Refused { told: Some(told), .. } = event {
                *why.lock().unwrap_or_else(PoisonError::into_inner) = Some(told.why.clone());
            }
        }));
        registry.connector(&Arc::from("the proxy"), &Arc::new(self.spec()?))
    }

    fn spec(&self) -> Result<ClientTls, String> {
        let identity = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => Some(Identity { cert: cert.clone(), key: key.clone() }),
            (None, None) => None,
            (Some(_), None) => return Err("--cert needs --key beside it".to_owned()),
            (None, Some(_)) => return Err("--key needs --cert beside it".to_owned()),
        };
        let server_name = self.server_name.as_deref().map(Arc::from);
        Ok(ClientTls { ca: self.ca.clone(), identity, server_name, ..ClientTls::default() })
    }
}
