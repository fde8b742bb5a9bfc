//! The care of endpoints: how they are checked, and whose zone is whose.

use std::net::IpAddr;
use std::sync::Arc;

use crate::reliability::classify::StatusSet;
use crate::reliability::health::HealthPolicy;

/// `healthCheck`, compiled.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthCheckPolicy {
    /// What is asked.
    pub question: Question,
    /// How often, and what follows.
    pub timing: HealthPolicy,
    /// Who fails is told, and goes on to get requests.
    pub observe: bool,
}

/// What endpoints are asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Question {
    /// `GET path`, answered with one of these statuses.
    Http {
        /// The path.
        path: Arc<str>,
        /// The statuses.
        codes: StatusSet,
    },
    /// `grpc.health.v1.Health/Check`, answered with SERVING.
    Grpc {
        /// Empty: the server as a whole.
        service: Arc<str>,
    },
}

/// `balance.zone`, compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZonePolicy {
    /// The zone that we are in.
    pub local: Arc<str>,
    /// Every zone with its networks, in the order of the file.
    pub zones: Vec<(Arc<str>, Vec<Network>)>,
    /// While at least this share of our zone is well, requests stay in it. In thousandths.
    pub min_healthy_permille: u32,
}

impl ZonePolicy {
    /// The zone of an address: that of the longest network that has it.
    pub fn zone_of(&self, ip: IpAddr) -> Option<&Arc<str>> {
        let networks = self.zones.iter().flat_map(|(name, networks)| networks.iter().map(move |n| (name, n)));
        networks
            .filter(|(_, network)| network.contains(ip))
            .max_by_key(|(_, network)| network.bits)
            .map(|(name, _)| name)
    }

    /// Whether an address is in our zone.
    pub fn is_local(&self, ip: IpAddr) -> bool {
        self.zone_of(ip).is_some_and(|zone| *zone == self.local)
    }

    /// `local`, the name of another zone, or `none`.
    pub fn word(&self, ip: IpAddr) -> String {
        match self.zone_of(ip) {
            Some(zone) if *zone == self.local => "local".to_owned(),
            Some(zone) => zone.to_string(),
            None => "none".to_owned(),
        }
    }

    /// `minHealthyPercent`.
    pub fn min_healthy_percent(&self) -> f64 {
        f64::from(self.min_healthy_permille) / 10.0
    }
}

/// `10.4.0.0/20`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its first address.
    pub addr: IpAddr,
    /// Leading bits that addresses in it have in common.
    pub bits: u8,
}

impl Network {
    /// Reads `10.4.0.0/20`, `fd00::/8`, or a single address.
    ///
    /// # Errors
    /// A sentence with the form.
    pub fn parse(text: &str) -> Result<Network, String> {
        let form = || format!("`{text}` is no network: write 10.4.0.0/20 or fd00:4::/48");
        let (addr, bits) = match text.split_once('/') {
            Some((addr, bits)) if bits.len() <= 3 && bits.bytes().all(|b| b.is_ascii_digit()) => {
                (addr, Some(bits.parse::<u8>().map_err(|_| form())?))
            }
            Some(_) => return Err(form()),
            None => (text, None),
        };
        let addr: IpAddr = addr.parse().map_err(|_| form())?;
        let width = if addr.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(width);
        if bits > width {
            return Err(form());
        }
        let network = Network { addr, bits };
        if network.first(addr) != addr {
            return Err(format!("`{text}` has bits beyond its length: write {}/{bits}", network.first(addr)));
        }
        Ok(network)
    }

    /// Whether an address is in it.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        ip.is_ipv4() == self.addr.is_ipv4() && self.first(ip) == self.addr
    }

    /// The first address of a network as large as this one that has `ip`.
    fn first(&self, ip: IpAddr) -> IpAddr {
        match ip {
            IpAddr::V4(ip) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits.min(32))).unwrap_or(0);
                IpAddr::from((u32::from(ip) & mask).to_be_bytes())
            }
            IpAddr::V6(ip) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits.min(128))).unwrap_or(0);
                IpAddr::from((u128::from(ip) & mask).to_be_bytes())
            }
        }
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.addr, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        Network::parse(text).unwrap_or_else(|why| panic!("{why}"))
    }

    #[test]
    fn a_network_has_the_addresses_that_begin_like_it() {
        let network = |text: &str, ip: &str| network(text).contains(ip.parse().unwrap());
        assert!(network("10.4.0.0/20", "10.4.15.255"));
        assert!(!network("10.4.0.0/20", "10.4.16.0"));
        assert!(network("0.0.0.0/0", "203.0.113.9"));
        assert!(network("10.4.0.7", "10.4.0.7") && !network("10.4.0.7", "10.4.0.8"));
        assert!(network("fd00:4::/48", "fd00:4:0:1::1") && !network("fd00:4::/48", "fd00:5::1"));
        assert!(!network("0.0.0.0/0", "::1"), "families are apart");
        assert!(network("10.0.0.0/8", "::ffff:10.1.2.3"), "but for IPv4 in the words of IPv6");
    }

    #[test]
    fn what_is_no_network_is_refused_with_the_form() {
        for text in ["", "10.4.0.0/33", "10.4.0.0/", "10.4.0/8", "fd00::/129", "10.4.0.0/+8", "zone-a"] {
            assert!(Network::parse(text).unwrap_err().contains("write 10.4.0.0/20"), "{text}");
        }
        assert!(Network::parse("10.4.1.0/20").unwrap_err().contains("write 10.4.0.0/20"));
    }

    #[test]
    fn of_two_networks_the_longer_one_decides() {
        let zones = vec![(Arc::from("a"), vec![network("10.0.0.0/8")]), (Arc::from("b"), vec![network("10.4.0.0/16")])];
        let policy = ZonePolicy { local: Arc::from("a"), zones, min_healthy_permille: 700 };
        let word = |ip: &str| policy.word(ip.parse().unwrap());
        assert_eq!(
            (word("10.3.0.1"), word("10.4.0.1"), word("192.0.2.1")),
            ("local".into(), "b".into(), "none".into())
        );
        assert!((policy.min_healthy_percent() - 70.0).abs() < 1e-9);
    }
}
