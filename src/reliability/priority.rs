//! How important a request is, in the four words of the Google SRE book (chapter 21).
//!
//! Who is overloaded sheds from below: a class is refused while the ones above it are served. A request that is
//! somebody's retry weighs one class less, because the first try has had its chance and the retry is load that the
//! overload itself has made.

/// A class of requests. The greater one is served first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Criticality {
    /// Partial or no service is fine: batch work that is repeated tomorrow.
    Sheddable,
    /// Batch work that should be done within minutes or hours.
    SheddablePlus,
    /// What users see, and what nobody has said anything about.
    #[default]
    Critical,
    /// What must not fail: its failure is an incident.
    CriticalPlus,
}

impl Criticality {
    /// Every class, the least important first: a class is its place in this list.
    pub const ALL: [Criticality; 4] =
        [Criticality::Sheddable, Criticality::SheddablePlus, Criticality::Critical, Criticality::CriticalPlus];

    /// The word used in the policy, in headers, metrics and problem details.
    pub const fn as_str(self) -> &'static str {
        match self {
            Criticality::Sheddable => "sheddable",
            Criticality::SheddablePlus => "sheddable-plus",
            Criticality::Critical => "critical",
            Criticality::CriticalPlus => "critical-plus",
        }
    }

    /// The class that a header names: one of the four words, in any case, with `-` or with `_` as the SRE book writes
    /// them. None = anything else, of which nothing is remembered.
    pub fn parse(value: &[u8]) -> Option<Criticality> {
        let same = |a: &u8, b: &u8| a.eq_ignore_ascii_case(b) || (*a == b'-' && *b == b'_');
        let value = value.trim_ascii();
        Criticality::ALL.into_iter().find(|class| {
            let word = class.as_str().as_bytes();
            word.len() == value.len() && word.iter().zip(value).all(|(a, b)| same(a, b))
        })
    }

    /// One class less.
    pub const fn demoted(self) -> Criticality {
        match self {
            Criticality::CriticalPlus => Criticality::Critical,
            Criticality::Critical => Criticality::SheddablePlus,
            Criticality::SheddablePlus | Criticality::Sheddable => Criticality::Sheddable,
        }
    }
}

/// The class of one request: what its header says, else what its route says, less one if it is a retry. `attempt`: of
/// the request that came in, counted from 1.
pub fn class_of(route: Criticality, header: Option<&[u8]>, attempt: u32) -> Criticality {
    let class = header.and_then(Criticality::parse).unwrap_or(route);
    if attempt > 1 { class.demoted() } else { class }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_says_one_of_four_words_however_they_are_written() {
        for class in Criticality::ALL {
            assert_eq!(Criticality::parse(class.as_str().as_bytes()), Some(class));
            let google = class.as_str().to_ascii_uppercase().replace('-', "_");
            assert_eq!(Criticality::parse(google.as_bytes()), Some(class), "{google}");
        }
        for other in ["", "critical plus", "criticalplus", "critical-plus-plus", "1", "sheddable\0"] {
            assert_eq!(Criticality::parse(other.as_bytes()), None, "{other}");
        }
        assert_eq!(Criticality::parse(b"  Critical "), Some(Criticality::Critical));
    }

    #[test]
    fn what_nobody_understands_is_of_the_routes_class_and_a_retry_is_one_class_less() {
        let route = Criticality::SheddablePlus;
        assert_eq!(class_of(route, None, 1), route);
        assert_eq!(class_of(route, Some(b"important!"), 1), route);
        assert_eq!(class_of(route, Some(b"critical-plus"), 1), Criticality::CriticalPlus);
        assert_eq!(class_of(route, Some(b"critical-plus"), 2), Criticality::Critical);
        assert_eq!(class_of(Criticality::Sheddable, None, 9), Criticality::Sheddable);
    }

    #[test]
    fn the_classes_are_in_order_and_each_is_its_own_place() {
        for (place, class) in Criticality::ALL.into_iter().enumerate() {
            assert_eq!(class as usize, place);
            assert!(class.demoted() <= class);
        }
    }
}
