//! The address of a collector.

/// Where spans of an OTLP/HTTP endpoint go.
const TRACES: &str = "/v1/traces";
/// Longest URL that is read.
const URL_BYTES_MAX: usize = 2_048;

/// A collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// `host[:port]` as written.
    pub authority: String,
    /// Path and query.
    pub path: String,
}

impl Endpoint {
    /// A base URL, to which the path of traces is added.
    ///
    /// # Errors
    /// Why it cannot be used, as the end of a sentence.
    pub fn base(url: &str) -> Result<Endpoint, String> {
        let mut endpoint = Endpoint::whole(url)?;
        endpoint.path = format!("{}{TRACES}", endpoint.path.trim_end_matches('/'));
        Ok(endpoint)
    }

    /// A URL that is used as it stands.
    ///
    /// # Errors
    /// Why it cannot be used, as the end of a sentence.
    pub fn whole(url: &str) -> Result<Endpoint, String> {
        // An address that nobody meant to be printed: it may hold a password.
        let url = url.trim();
        let rest = match url.split_once("://") {
            Some(("http", rest)) => rest,
            Some(("https", _)) => {
                return Err(
                    "https is not supported by this version: send to a collector beside it over http".to_owned()
                );
            }
            _ => return Err("it is not a URL: write http://HOST:4318".to_owned()),
        };
        let uri: http::Uri = format!("http://{rest}").parse().map_err(|_| "it is not a valid URL".to_owned())?;
        let authority = uri.authority().filter(|_| url.len() <= URL_BYTES_MAX).ok_or("it names no host")?;
        if authority.as_str().contains('@') {
            return Err("credentials belong into OTEL_EXPORTER_OTLP_HEADERS, not into the URL".to_owned());
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let port = authority.port_u16().unwrap_or(80);
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Endpoint { host, port, authority: authority.as_str().to_owned(), path })
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without its query, which may hold a secret.
        let path = self.path.split('?').next().unwrap_or_default();
        write!(f, "http://{}{path}", self.authority)
    }
}
