//! Consistent hashing by pingora-ketama: a key to endpoints in order of preference.

use std::collections::HashMap;
use std::net::SocketAddr;

use pingora_ketama::{Bucket, Continuum};

/// More endpoints than this are left off the ring (node indices are 16 bits wide).
const NODES_MAX: usize = 4_096;
/// Points of one node, as pingora-ketama sets them.
const POINTS_PER_NODE: usize = 160;

/// A ring over the endpoints of one set.
pub struct Ring {
    continuum: Continuum,
    index: HashMap<SocketAddr, usize>,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ring({} nodes)", self.index.len())
    }
}

impl Ring {
    /// A ring over `addresses`, which must be in the order of the endpoint set. `None` for an empty set.
    pub fn new(addresses: &[SocketAddr]) -> Option<Ring> {
        let mut sorted: Vec<SocketAddr> = addresses.iter().copied().take(NODES_MAX).collect();
        // Ties are broken by input order: sorted, so that every replica builds the same ring.
        sorted.sort_unstable();
        sorted.dedup();
        if sorted.is_empty() {
            return None;
        }
        let buckets: Vec<Bucket> = sorted.iter().map(|a| Bucket::new(*a, 1)).collect();
        let index = addresses.iter().take(NODES_MAX).enumerate().map(|(i, a)| (*a, i)).collect();
        Some(Ring { continuum: Continuum::new(&buckets), index })
    }

    /// Endpoint indices in order of preference for `key`, each once.
    pub fn order(&self, key: &[u8]) -> impl Iterator<Item = usize> {
        let nodes = self.index.len();
        let mut seen = vec![false; nodes];
        let mut found = 0;
        let mut walk = self.continuum.node_iter(key).take(POINTS_PER_NODE * nodes);
        std::iter::from_fn(move || {
            // The walk never ends by itself and repeats nodes: bounded above, de-duplicated here.
            while found < nodes {
                let &i = self.index.get(walk.next()?)?;
                if let Some(seen) = seen.get_mut(i).filter(|s| !**s) {
                    *seen = true;
                    found += 1;
                    return Some(i);
                }
            }
            None
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(n: u16) -> Vec<SocketAddr> {
        (0..n).map(|i| SocketAddr::from(([10, 0, (i >> 8) as u8, i as u8], 80))).collect()
    }

    #[test]
    fn the_order_names_each_endpoint_once() {
        let ring = Ring::new(&addresses(7)).unwrap();
        let mut order: Vec<usize> = ring.order(b"key").collect();
        assert_eq!(order.len(), 7);
        order.sort_unstable();
        assert_eq!(order, (0..7).collect::<Vec<_>>());
    }

    #[test]
    fn a_shuffled_set_gives_the_same_address_for_a_key() {
        let a = addresses(5);
        let mut b = a.clone();
        b.rotate_left(2);
        let (x, y) = (Ring::new(&a).unwrap(), Ring::new(&b).unwrap());
        for key in 0..200u32 {
            let key = key.to_be_bytes();
            assert_eq!(a[x.order(&key).next().unwrap()], b[y.order(&key).next().unwrap()]);
        }
    }

    #[test]
    fn removing_an_endpoint_moves_only_its_own_keys() {
        let all = addresses(10);
        let fewer = &all[..9];
        let (x, y) = (Ring::new(&all).unwrap(), Ring::new(fewer).unwrap());
        for key in 0..1_000u32 {
            let key = key.to_be_bytes();
            let before = all[x.order(&key).next().unwrap()];
            if before != all[9] {
                assert_eq!(before, fewer[y.order(&key).next().unwrap()]);
            }
        }
    }

    #[test]
    fn empty_and_huge_sets_are_no_reason_to_panic() {
        assert!(Ring::new(&[]).is_none());
        let huge: Vec<SocketAddr> =
            (0..70_000u32).map(|i| SocketAddr::from((std::net::Ipv4Addr::from(i), 80))).collect();
        let ring = Ring::new(&huge[..5_000]).unwrap();
        assert!(ring.order(b"k").next().unwrap() < NODES_MAX);
    }
}
