//! An exchange whose time is over, and whose answer may still come.

use http::Method;

use super::response::HeadEnd;
use super::{Answer, Link};
use crate::reliability::Failure;

/// All of the request has left, and not yet the head of an answer has arrived. Dropped, the connection is closed.
#[derive(Debug)]
pub struct Late {
    link: Link,
    end: HeadEnd,
    interim: u32,
    asked: Method,
    idle_max: u32,
}

impl Late {
    pub(super) fn new(link: Link, end: HeadEnd, interim: u32, asked: &Method, idle_max: u32) -> Late {
        Late { link, end, interim, asked: asked.clone(), idle_max }
    }

    /// Waits for the head of the answer for as long as it is polled.
    ///
    /// # Errors
    /// The connection broke, or what came is no answer.
    pub async fn answer(mut self) -> Result<Answer, Failure> {
        let Late { link, end, interim, asked, idle_max } = &mut self;
        let head = std::future::poll_fn(|cx| link.0.poll_head(cx, asked, end, interim)).await?;
        let idle_max = *idle_max;
        Ok(self.link.answer(head, idle_max))
    }
}
