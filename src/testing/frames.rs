//! A peer of HTTP/2, client or server, that writes and reads frames by hand: for what must be exact, and for what a
//! library would never send. Nothing is checked on the way out.

pub mod hpack;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use bytes::{Bytes, BytesMut};
use tokio::net::{TcpListener, TcpStream};

use super::tls::ClientTls;
use super::within;
use crate::faults::message::{self, Field, Inbox, Outbox};
use hpack::Decoder;

/// What a client sends first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames (RFC 9113 §6).
pub mod kind {
    #![expect(missing_docs, reason = "the names are those of the RFC")]
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// Flags of frames.
pub mod flag {
    #![expect(missing_docs, reason = "the names are those of the RFC")]
    pub const ACK: u8 = 1;
    pub const END_STREAM: u8 = 1;
    pub const END_HEADERS: u8 = 4;
}

/// Settings (RFC 9113 §6.5.2).
pub mod setting {
    #![expect(missing_docs, reason = "the names are those of the RFC")]
    pub const HEADER_TABLE_SIZE: u16 = 1;
    pub const ENABLE_PUSH: u16 = 2;
    pub const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub const INITIAL_WINDOW_SIZE: u16 = 4;
    pub const MAX_FRAME_SIZE: u16 = 5;
    pub const MAX_HEADER_LIST_SIZE: u16 = 6;
    pub const ENABLE_CONNECT_PROTOCOL: u16 = 8;
}

/// Codes of errors (RFC 9113 §7).
pub mod code {
    #![expect(missing_docs, reason = "the names are those of the RFC")]
    pub const NO_ERROR: u32 = 0;
    pub const PROTOCOL_ERROR: u32 = 1;
    pub const INTERNAL_ERROR: u32 = 2;
    pub const FLOW_CONTROL_ERROR: u32 = 3;
    pub const STREAM_CLOSED: u32 = 5;
    pub const FRAME_SIZE_ERROR: u32 = 6;
    pub const REFUSED_STREAM: u32 = 7;
    pub const CANCEL: u32 = 8;
    pub const COMPRESSION_ERROR: u32 = 9;
    pub const ENHANCE_YOUR_CALM: u32 = 11;
}

/// A frame as it stood on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its type, one of [`kind`].
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream; 0 is the connection.
    pub stream: u32,
    /// What follows its head of nine bytes.
    pub payload: Bytes,
}

impl Frame {
    /// Whether all bits of this flag are set.
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag == flag
    }

    /// The code of a RST_STREAM or GOAWAY; panics for other frames.
    pub fn code(&self) -> u32 {
        match self.kind {
            kind::RST_STREAM => self.number(0),
            kind::GOAWAY => self.number(4),
            other => panic!("a frame of type {other} has no code: {self:?}"),
        }
    }

    /// The last stream that a GOAWAY names; panics for other frames.
    pub fn last_stream(&self) -> u32 {
        assert_eq!(self.kind, kind::GOAWAY, "no GOAWAY: {self:?}");
        self.number(0) & 0x7FFF_FFFF
    }

    /// The settings of a SETTINGS frame, in order.
    pub fn settings(&self) -> Vec<(u16, u32)> {
        let pairs = self.payload.chunks_exact(6);
        pairs.map(|b| (u16::from_be_bytes([b[0], b[1]]), u32::from_be_bytes([b[2], b[3], b[4], b[5]]))).collect()
    }

    fn number(&self, at: usize) -> u32 {
        let bytes = self.payload.get(at..at + 4).and_then(|b| b.try_into().ok());
        bytes.map_or_else(|| panic!("a short frame: {self:?}"), u32::from_be_bytes)
    }
}

/// One frame, encoded.
pub fn encode(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// A connection of frames.
#[derive(Debug)]
pub struct Frames {
    inbox: Inbox,
    outbox: Outbox,
    buffer: BytesMut,
    decoder: Decoder,
}

impl Frames {
    /// Connects in the clear and sends nothing; panics if it cannot.
    pub async fn connect(address: SocketAddr) -> Frames {
        match within("connecting", TcpStream::connect(address)).await {
            Ok(stream) => {
                // Without it a small frame may wait for an acknowledgement; on failure it is only slower.
                let _ = stream.set_nodelay(true);
                Frames::over(message::split(stream))
            }
            Err(e) => panic!("cannot connect to {address}: {e}"),
        }
    }

    /// Connects inside TLS and sends nothing.
    pub async fn connect_tls(address: SocketAddr, tls: &ClientTls) -> io::Result<Frames> {
        Ok(Frames::over(message::split(tls.connect(address).await?.0)))
    }

    /// On a connection that is open.
    pub fn over((inbox, outbox): (Inbox, Outbox)) -> Frames {
        Frames { inbox, outbox, buffer: BytesMut::new(), decoder: Decoder::default() }
    }

    /// Connects, and exchanges the preface and SETTINGS as a client of good manners: afterwards the first stream is 1.
    pub async fn client(address: SocketAddr, settings: &[(u16, u32)]) -> Frames {
        let mut frames = Frames::connect(address).await;
        frames.greet(settings).await;
        frames
    }

    /// Sends the preface and SETTINGS, and acknowledges those of the peer.
    pub async fn greet(&mut self, settings: &[(u16, u32)]) {
        self.write(PREFACE).await;
        self.settings(settings).await;
        self.settled().await;
    }

    /// Waits for the peer's SETTINGS and acknowledges them.
    pub async fn settled(&mut self) {
        let theirs = self.until(|frame| frame.kind == kind::SETTINGS && !frame.has(flag::ACK)).await;
        drop(theirs);
        self.frame(kind::SETTINGS, flag::ACK, 0, &[]).await;
    }

    /// Writes bytes as they are; panics if the peer has closed.
    pub async fn write(&self, bytes: &[u8]) {
        if let Err(e) = self.try_write(bytes).await {
            panic!("cannot write: {e}");
        }
    }

    /// Writes bytes as they are.
    pub async fn try_write(&self, bytes: &[u8]) -> io::Result<()> {
        within("writing", self.outbox.write(bytes)).await
    }

    /// Writes one frame; panics if the peer has closed.
    pub async fn frame(&self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.write(&encode(kind, flags, stream, payload)).await;
    }

    /// Writes SETTINGS.
    pub async fn settings(&self, settings: &[(u16, u32)]) {
        let payload: Vec<u8> =
            settings.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
        self.frame(kind::SETTINGS, 0, 0, &payload).await;
    }

    /// Writes a head in one HEADERS frame, every field literal and never indexed.
    pub async fn headers(&self, stream: u32, fields: &[(&str, &str)], ended: bool) {
        let flags = flag::END_HEADERS | if ended { flag::END_STREAM } else { 0 };
        self.frame(kind::HEADERS, flags, stream, &hpack::literal(fields)).await;
    }

    /// Writes the head of `METHOD path` for `app.test`, with further fields.
    pub async fn request(&self, stream: u32, method: &str, path: &str, fields: &[(&str, &str)], ended: bool) {
        self.headers(stream, &head(method, path, fields), ended).await;
    }

    /// Writes one DATA frame.
    pub async fn data(&self, stream: u32, bytes: &[u8], ended: bool) {
        self.frame(kind::DATA, if ended { flag::END_STREAM } else { 0 }, stream, bytes).await;
    }

    /// Writes RST_STREAM.
    pub async fn reset(&self, stream: u32, code: u32) {
        self.frame(kind::RST_STREAM, 0, stream, &code.to_be_bytes()).await;
    }

    /// Writes GOAWAY.
    pub async fn goaway(&self, last: u32, code: u32) {
        self.frame(kind::GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat()).await;
    }

    /// Writes PING.
    pub async fn ping(&self, opaque: u64) {
        self.frame(kind::PING, 0, 0, &opaque.to_be_bytes()).await;
    }

    /// Writes WINDOW_UPDATE; stream 0 is the connection.
    pub async fn window_update(&self, stream: u32, more: u32) {
        self.frame(kind::WINDOW_UPDATE, 0, stream, &more.to_be_bytes()).await;
    }

    /// The next frame; None = the connection was closed or reset.
    pub async fn next(&mut self) -> Option<Frame> {
        self.next_within("a frame").await
    }

    async fn next_within(&mut self, what: &str) -> Option<Frame> {
        while self.buffer.len() < 9 || self.buffer.len() < 9 + self.length() {
            match within(what, self.inbox.take_any()).await {
                Ok(bytes) if !bytes.is_empty() => self.buffer.extend_from_slice(&bytes),
                Ok(_) | Err(_) => return None,
            }
        }
        let length = self.length();
        let head = self.buffer.split_to(9);
        let payload = self.buffer.split_to(length).freeze();
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7FFF_FFFF;
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    fn length(&self) -> usize {
        u32::from_be_bytes([0, self.buffer[0], self.buffer[1], self.buffer[2]]) as usize
    }

    /// Reads up to a frame that satisfies `what`, and panics if the connection ends before it. PINGs are answered.
    pub async fn until(&mut self, what: impl Fn(&Frame) -> bool) -> Frame {
        let mut passed = Vec::new();
        loop {
            let Some(frame) = self.next().await else { panic!("the connection ended after {passed:?}") };
            if frame.kind == kind::PING && !frame.has(flag::ACK) {
                // The peer may have closed meanwhile, which the next read tells.
                let _ = self.try_write(&encode(kind::PING, flag::ACK, 0, &frame.payload)).await;
            }
            if what(&frame) {
                return frame;
            }
            passed.push((frame.kind, frame.flags, frame.stream));
        }
    }

    /// Reads up to the head of a message on any stream, and decodes it.
    pub async fn head(&mut self) -> (u32, Vec<Field>, bool) {
        let frame = self.until(|frame| frame.kind == kind::HEADERS).await;
        let fields = self.fields(&frame).await;
        (frame.stream, fields, frame.has(flag::END_STREAM))
    }

    /// Decodes a HEADERS frame, with the CONTINUATIONs that follow it. Each one must be decoded, in order.
    pub async fn fields(&mut self, frame: &Frame) -> Vec<Field> {
        const PADDED: u8 = 8;
        const PRIORITY: u8 = 32;
        let mut block = frame.payload.to_vec();
        if frame.has(PADDED) {
            let padding = usize::from(block.remove(0));
            block.truncate(block.len() - padding);
        }
        if frame.has(PRIORITY) {
            block.drain(..5);
        }
        let mut last = frame.has(flag::END_HEADERS);
        while !last {
            let Some(more) = self.next().await else { panic!("the connection ended within a head") };
            assert_eq!((more.kind, more.stream), (kind::CONTINUATION, frame.stream), "within a head: {more:?}");
            block.extend_from_slice(&more.payload);
            last = more.has(flag::END_HEADERS);
        }
        self.decoder.decode(&block)
    }

    /// Reads to the end of the connection: every frame that came.
    pub async fn rest(&mut self) -> Vec<Frame> {
        let mut all = Vec::new();
        while let Some(frame) = self.next_within("the end of the connection").await {
            all.push(frame);
        }
        all
    }

    /// Makes the drop of this connection a reset.
    pub fn reset_on_drop(&self) {
        if let Err(e) = self.outbox.reset_on_close() {
            panic!("cannot set SO_LINGER: {e}");
        }
    }

    /// The sending half, for writing while frames are read.
    pub fn outbox(&self) -> Outbox {
        self.outbox.clone()
    }
}

/// The head of a request for `app.test`.
pub fn head<'a>(method: &'a str, path: &'a str, fields: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let pseudo = [(":method", method), (":scheme", "http"), (":authority", "app.test"), (":path", path)];
    pseudo.into_iter().chain(fields.iter().copied()).collect()
}

/// A server of frames: it accepts, and the test plays the rest.
#[derive(Debug)]
pub struct FramesServer {
    listener: TcpListener,
    address: SocketAddr,
}

impl FramesServer {
    /// Listens on a free port of 127.0.0.1; panics if there is none.
    pub async fn start() -> FramesServer {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        match listener.and_then(|listener| Ok((listener.local_addr()?, listener))) {
            Ok((address, listener)) => FramesServer { listener, address },
            Err(e) => panic!("cannot listen: {e}"),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://ADDRESS`, for a policy.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next connection, of which nothing has been read.
    pub async fn accept_silently(&self) -> Frames {
        match within("a connection", self.listener.accept()).await {
            Ok((stream, _)) => {
                // Without it a small frame may wait for an acknowledgement; on failure it is only slower.
                let _ = stream.set_nodelay(true);
                Frames::over(message::split(stream))
            }
            Err(e) => panic!("cannot accept: {e}"),
        }
    }

    /// The next connection, past its preface and the exchange of SETTINGS.
    pub async fn accept(&self, settings: &[(u16, u32)]) -> Frames {
        let mut frames = self.accept_silently().await;
        frames.settings(settings).await;
        let mut preface = BytesMut::new();
        while preface.len() < PREFACE.len() {
            match within("the preface", frames.inbox.take_any()).await {
                Ok(bytes) if !bytes.is_empty() => preface.extend_from_slice(&bytes),
                other => panic!("no preface: {other:?} after {preface:?}"),
            }
        }
        assert_eq!(preface.split_to(PREFACE.len()), PREFACE, "not the preface of HTTP/2");
        frames.buffer = preface;
        frames.settled().await;
        frames
    }
}

#[cfg(test)]
mod tests;
