//! A question over a connection of its own.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use h2::RecvStream;
use h2::client;
use http::header::{ACCEPT, CONTENT_TYPE, TE, USER_AGENT};
use http::response::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version};

use crate::reliability::Failure;
use crate::reliability::grpc::{self, Code};
use crate::tls::Transport;
use crate::wire::probe::Heard;
use crate::wire::traffic::Counted;

/// The method that is called.
pub(in crate::wire) const HEALTH_PATH: &str = grpc::CHECK_PATH;
/// Of an answer to a call, so much is read: it is a number of two bytes.
const ANSWER_BYTES_MAX: usize = 1_024;

/// `GET`, and the status of the answer.
///
/// # Errors
/// There is no answer.
pub(in crate::wire) async fn get_status(stream: Transport, uri: Uri, agent: HeaderValue) -> Result<Heard, Failure> {
    let mut request = request(Method::GET, uri, agent);
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static("*/*"));
    let (head, _, _) = exchange(stream, request, None).await?;
    Ok(Heard::Status(head.status.as_u16()))
}

/// `grpc.health.v1.Health/Check`, and what it says.
///
/// # Errors
/// There is no answer.
pub(in crate::wire) async fn call_health(
    stream: Transport,
    uri: Uri,
    agent: HeaderValue,
    service: &str,
) -> Result<Heard, Failure> {
    let mut request = request(Method::POST, uri, agent);
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    request.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
    let message = Bytes::from(grpc::check_request(service));
    let (head, read, trailers) = exchange(stream, request, Some(message)).await?;
    let told = |fields: &HeaderMap| fields.get("grpc-status").map(|value| Code::parse(value.as_bytes()));
    let code = trailers.as_ref().and_then(told).or_else(|| told(&head.headers));
    let code = code.unwrap_or_else(|| Code::of_http(head.status.as_u16()));
    Ok(Heard::Call { code, serving: grpc::is_serving(&read) })
}

fn request(method: Method, uri: Uri, agent: HeaderValue) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_2;
    request.headers_mut().insert(USER_AGENT, agent);
    request
}

/// The head of an answer, and what was read of it.
type Answer = (Parts, Vec<u8>, Option<HeaderMap>);

/// `message`: of a call, whose answer is read to its end.
async fn exchange(stream: Transport, request: Request<()>, message: Option<Bytes>) -> Result<Answer, Failure> {
    let broken = |_: h2::Error| Failure::ConnectionTerminated;
    let stream = Counted { inner: stream, traffic: Arc::default() };
    let (sender, connection) = client::handshake(stream).await.map_err(broken)?;
    let asked = async {
        let mut sender = sender.ready().await?;
        let (answer, mut body) = sender.send_request(request, message.is_none())?;
        let Some(message) = message else { return Ok((answer.await?.into_parts().0, Vec::new(), None)) };
        body.send_data(message, true)?;
        let (head, mut arriving) = answer.await?.into_parts();
        let (read, trailers) = whole(&mut arriving).await?;
        Ok((head, read, trailers))
    };
    let (mut asked, mut connection) = (pin!(asked), pin!(connection));
    let heard = tokio::select! {
        biased;
        heard = &mut asked => heard,
        _ended = &mut connection => asked.await,
    };
    heard.map_err(broken)
}

async fn whole(arriving: &mut RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut read = Vec::new();
    while let Some(data) = arriving.data().await {
        let data = data?;
        let room = ANSWER_BYTES_MAX.saturating_sub(read.len());
        read.extend_from_slice(data.get(..room.min(data.len())).unwrap_or_default());
        arriving.flow_control().release_capacity(data.len())?;
    }
    Ok((read, arriving.trailers().await?))
}
