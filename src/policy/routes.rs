//! Which upstream and route a request belongs to. Skeleton: to be filled.
/// Index of an upstream in `Policy::upstreams` and of a route in its `routes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RouteId {
    pub upstream: u32,
    pub route: u32,
}

/// Routes of one listener. Look-ups cost the number of path segments, not the number of routes.
#[derive(Debug, Default)]
pub struct RouteTable {
    _p: (),
}
impl RouteTable {
    /// `host`: authority as the client sent it, port included, any case. `path` without query.
    pub fn select(&self, host: &str, path: &str, method: &http::Method) -> Option<RouteId> {
        let _ = (host, path, method);
        todo!()
    }
}
