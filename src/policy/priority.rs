//! How important the requests of a route are.

use http::HeaderName;

use crate::reliability::priority::Criticality;

/// `priority` of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriorityPolicy {
    /// The header that may say so, in one of four words.
    pub header: Option<HeaderName>,
    /// What holds without it.
    pub class: Criticality,
}
