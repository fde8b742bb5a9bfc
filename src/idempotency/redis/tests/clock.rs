//! A clock of our own on the server, in the place of its TIME.

use super::super::scripts::Scripts;
use super::*;

/// Far enough in the future that the server itself forgets nothing while a test runs.
pub(super) const BEGIN: Millis = 4_102_444_800_000;

/// A store whose time is [`BEGIN`] and passes only by [`set_clock`].
pub(super) async fn on_a_clock(server: &RedisServer) -> RedisStore {
    let mut store = connect(server).await;
    store.scripts = Scripts::edited(|text| {
        assert_eq!(text.matches("redis.call('TIME')").count(), 1, "the scripts read one clock, once");
        text.replace("redis.call('TIME')", "redis.call('HMGET', 'clock', 's', 'us')").into()
    });
    set_clock(&store, BEGIN).await;
    store
}

pub(super) async fn set_clock(store: &RedisStore, now: Millis) {
    // Parts of a millisecond are cut off.
    let (seconds, micros) = ((now / 1000).to_string(), (now % 1000 * 1000 + 999).to_string());
    raw(store, &["HSET", "clock", "s", &seconds, "us", &micros]).await;
}
