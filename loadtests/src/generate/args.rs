//! `outrigger-bench load`: the generator alone, to be checked against other tools.

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use http::Uri;
use outrigger::policy::{duration, size};

use super::{Generator, Plan, Told};
use crate::credentials::Dialer;
use crate::results::{ClientSide, Mode};
use crate::scenario::{LoadPlan, Protocol, Tls};

/// Sends load to one address and prints what came back.
#[derive(Clone, Debug, clap::Args)]
pub struct LoadArgs {
    /// Where to: `http://127.0.0.1:8080/path`, or https. Loopback only.
    pub url: String,
    /// Requests per second, open loop: arrivals do not wait for answers.
    #[arg(long, value_name = "N", required_unless_present = "closed", conflicts_with = "closed")]
    pub rate: Option<f64>,
    /// Closed loop: each connection sends its next request when it has its answer.
    #[arg(long)]
    pub closed: bool,
    /// Arrivals at equal distances instead of a Poisson process.
    #[arg(long, conflicts_with = "closed")]
    pub constant: bool,
    /// The most connections open at once.
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub connections: u32,
    /// How long requests are sent.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration::parse)]
    pub duration: Duration,
    /// HTTP/2. Open loop only.
    #[arg(long, conflicts_with = "closed")]
    pub http2: bool,
    /// Unary calls of gRPC; --body is the length of the message.
    #[arg(long, conflicts_with = "closed")]
    pub grpc: bool,
    /// For https: authorities that are trusted (PEM).
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// For https: the name in the server's certificate, if it is not the address.
    #[arg(long, value_name = "NAME", default_value = "127.0.0.1")]
    pub name: String,
    /// For https: the client's certificate and key (PEM).
    #[arg(long, value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
    /// HTTP/1.1 only: close each connection after this many requests.
    #[arg(long, value_name = "N", conflicts_with = "http2")]
    pub requests_per_connection: Option<u32>,
    #[arg(long, default_value = "GET")]
    pub method: String,
    /// Bytes of each request body.
    #[arg(long, value_name = "SIZE", default_value = "0B", value_parser = size::parse)]
    pub body: u64,
    /// The client gives up after this, counted from the intended time.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration::parse)]
    pub timeout: Duration,
    /// Of the arrivals.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Pins the generator to this core.
    #[arg(long, value_name = "CORE")]
    pub core: Option<u32>,
}

/// Runs it, and says whether any request succeeded.
///
/// # Errors
/// The address is none of ours, or nothing could be run.
pub fn run(args: LoadArgs) -> Result<bool, String> {
    let (address, path, encrypted) = target(&args.url)?;
    let protocol = match (args.grpc, args.http2) {
        (true, _) => Protocol::Grpc,
        (false, true) => Protocol::Http2,
        (false, false) => Protocol::Http1,
    };
    let dialer = encrypted.then(|| dialer(&args, protocol)).transpose()?;
    let load = LoadPlan {
        arrivals: match (args.closed, args.constant) {
            (true, _) => Mode::Closed,
            (false, true) => Mode::Constant,
            (false, false) => Mode::Poisson,
        },
        tls: match (encrypted, &args.cert) {
            (false, _) => Tls::None,
            (true, None) => Tls::Server,
            (true, Some(_)) => Tls::Mutual,
        },
        idle: 0,
        rate: bounded("--rate", args.rate.unwrap_or(0.0), 50_000.0)?,
        connections: bounded("--connections", args.connections, 8_000)?,
        protocol,
        method: if args.grpc { "POST".to_owned() } else { args.method },
        path,
        body: bounded("--body", args.body, 16 << 20)?,
        keyed: false,
        critical: None,
        timeout: args.timeout,
        requests_per_connection: args.requests_per_connection,
    };
    if load.connections == 0 || args.duration.is_zero() {
        return Err("nothing to send: --connections and --duration are at least 1".to_owned());
    }
    if load.rate * args.duration.as_secs_f64() > 5_000_000.0 || args.duration > Duration::from_secs(3_600) {
        return Err("more than 5,000,000 requests or an hour: lower --rate or --duration".to_owned());
    }
    let plan =
        Plan { targets: vec![address], load, dialer, duration: args.duration, seed: args.seed, keys: String::new() };
    let (tell, told) = mpsc::channel();
    // The receiver lives until the end.
    let mut generator = Generator::prepare(plan, args.core, move |word| drop(tell.send(word)))?;
    for word in told {
        match word {
            Told::Ready => generator.begin(Instant::now()),
            Told::Second { ok, failed } => eprint!("\r{ok} ok, {failed} failed "),
            Told::Ended => break,
        }
    }
    eprintln!();
    let (side, _) = generator.join()?;
    print(&side);
    Ok(side.ok > 0)
}

fn bounded<N: PartialOrd + Display>(name: &str, value: N, most: N) -> Result<N, String> {
    if value <= most { Ok(value) } else { Err(format!("{name} {value} is more than {most}")) }
}

/// How the load is encrypted.
fn dialer(args: &LoadArgs, protocol: Protocol) -> Result<Dialer, String> {
    let read = |path: &PathBuf| std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()));
    if args.closed {
        return Err("the closed loop has no TLS: give a --rate".to_owned());
    }
    let ca = args.ca.as_ref().ok_or("https needs to know whom to trust: add --ca FILE")?;
    let identity = match (&args.cert, &args.key) {
        (Some(cert), Some(key)) => Some((read(cert)?, read(key)?)),
        (_, None) | (None, _) => None,
    };
    let identity = identity.as_ref().map(|(cert, key)| (cert.as_str(), key.as_str()));
    Dialer::new(&read(ca)?, &args.name, identity, protocol)
}

fn target(url: &str) -> Result<(SocketAddr, String, bool), String> {
    let wrong = |why: &str| format!("`{url}` {why}: write for example http://127.0.0.1:8080/path");
    let uri: Uri = url.parse().map_err(|e| wrong(&format!("is no URL ({e})")))?;
    let encrypted = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        Some(_) | None => return Err(wrong("is not HTTP")),
    };
    let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
    let authority = authority.replace("localhost", "127.0.0.1");
    let address: SocketAddr =
        if authority.contains(':') { authority } else { format!("{authority}:{}", if encrypted { 443 } else { 80 }) }
            .parse()
            .map_err(|_| wrong("has no address with a port"))?;
    if !address.ip().is_loopback() {
        return Err(wrong("is not on this machine; load goes over loopback only"));
    }
    Ok((address, uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(), encrypted))
}

fn print(side: &ClientSide) {
    let rate = side.intended as f64 / side.seconds.max(1e-9);
    println!("requests  {} in {:.2} s ({rate:.1}/s), {} ok", side.intended, side.seconds, side.ok);
    for (word, count) in &side.outcomes {
        println!("  {word:<9} {count}");
    }
    println!("bodies    {} bytes", side.bytes);
    println!("send lag  p99 {} us; generator busy {:.0} %", side.send_lag_p99, side.generator_busy * 100.0);
    println!("latency{}", if side.latency.is_empty() { "   none: no request succeeded" } else { "" });
    for (share, micros) in &side.latency {
        println!("  p{:<8} {:>10.3} ms", (share * 1e7).round() / 1e5, *micros as f64 / 1e3);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_goes_to_this_machine_only() {
        let local = SocketAddr::from(([127, 0, 0, 1], 8080));
        assert_eq!(target("http://localhost:8080/a?b").unwrap(), (local, "/a?b".to_owned(), false));
        assert_eq!(target("http://127.0.0.1:8080").unwrap(), (local, "/".to_owned(), false));
        assert_eq!(target("https://127.0.0.1:8080").unwrap(), (local, "/".to_owned(), true));
        for url in ["http://192.0.2.1:80/", "ftp://127.0.0.1:1/", "http://example.com/", "127.0.0.1:80", "http:///"] {
            assert!(target(url).unwrap_err().contains("http://127.0.0.1:8080/path"), "{url}");
        }
    }
}
