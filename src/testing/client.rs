//! A client that writes exactly what it is given and reads answers strictly.

use std::io;
use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use tokio::net::TcpStream;

use super::tls::{ClientTls, Handshake};
use super::within;
use crate::faults::message::{self, BodyReader, Digest, Field, Framing, Head, Inbox, Outbox};

/// Largest body kept by [`Client::answer`]; larger ones are read with [`Client::digest`].
const BODY_MAX: usize = 16 * 1024 * 1024;

/// One connection to the program under test.
#[derive(Debug)]
pub struct Client {
    inbox: Inbox,
    outbox: Outbox,
}

/// An answer, whole.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status line and the fields.
    pub head: Head,
    /// Its status code.
    pub status: u16,
    /// How the end of the body was found.
    pub framing: Framing,
    /// The body.
    pub body: Bytes,
    /// Trailer fields.
    pub trailers: Vec<Field>,
}

impl Answer {
    /// First value of a field, name in any case.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.get(name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; panics with the body if it is not.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("not JSON: {e}\n{}", self.text()))
    }
}

impl Client {
    /// Connects; panics if it cannot.
    pub async fn connect(address: SocketAddr) -> Client {
        match Client::try_connect(address).await {
            Ok(client) => client,
            Err(e) => panic!("cannot connect to {address}: {e}"),
        }
    }

    /// Connects.
    pub async fn try_connect(address: SocketAddr) -> io::Result<Client> {
        let stream = within("connecting", TcpStream::connect(address)).await?;
        stream.set_nodelay(true)?;
        let (inbox, outbox) = message::split(stream);
        Ok(Client { inbox, outbox })
    }

    /// Connects inside TLS.
    pub async fn connect_tls(address: SocketAddr, tls: &ClientTls) -> io::Result<(Client, Handshake)> {
        let (line, handshake) = tls.connect(address).await?;
        let (inbox, outbox) = message::split(line);
        Ok((Client { inbox, outbox }, handshake))
    }

    /// Writes these bytes.
    pub async fn send(&self, bytes: impl AsRef<[u8]>) {
        if let Err(e) = self.try_send(bytes).await {
            panic!("cannot write: {e}");
        }
    }

    /// Writes these bytes; the peer may have closed.
    pub async fn try_send(&self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        within("writing", self.outbox.write(bytes.as_ref())).await
    }

    /// `GET path` with nothing but a Host, and its answer.
    pub async fn get(&mut self, path: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: app.test\r\n\r\n")).await;
        self.answer("GET").await
    }

    /// `POST path` with a sized body, further fields (each ending with CRLF), and its answer.
    pub async fn post(&mut self, path: &str, fields: &str, body: &[u8]) -> Answer {
        let head = format!("POST {path} HTTP/1.1\r\nHost: app.test\r\n{fields}Content-Length: {}\r\n\r\n", body.len());
        self.send([head.as_bytes(), body].concat()).await;
        self.answer("POST").await
    }

    /// The answer to a request with this method; panics if there is none. 1xx answers are skipped.
    pub async fn answer(&mut self, method: &str) -> Answer {
        match self.try_answer(method).await {
            Ok(Some(answer)) => answer,
            Ok(None) => panic!("the connection was closed without an answer to {method}"),
            Err(e) => panic!("no valid answer to {method}: {e}"),
        }
    }

    /// The answer to a request with this method; None = closed before its first byte.
    pub async fn try_answer(&mut self, method: &str) -> io::Result<Option<Answer>> {
        within("an answer", async {
            let Some(head) = self.final_head().await? else { return Ok(None) };
            let framing = head.answer_framing(method)?;
            let mut reader = BodyReader::new(framing);
            let mut body = BytesMut::new();
            while let Some(piece) = reader.piece(&mut self.inbox).await? {
                body.extend_from_slice(&piece);
                assert!(body.len() <= BODY_MAX, "a body above {BODY_MAX} bytes is read with `digest`");
            }
            let status = head.status()?;
            Ok(Some(Answer { status, framing, body: body.freeze(), trailers: reader.trailers, head }))
        })
        .await
    }

    /// The next head, be it informational or not; None = closed before its first byte.
    pub async fn head(&mut self) -> io::Result<Option<Head>> {
        within("a head", self.inbox.head()).await
    }

    /// Reads the body that follows `head` without keeping it. Each piece, not the whole, is bounded in time.
    pub async fn digest(&mut self, head: &Head, method: &str) -> io::Result<Digest> {
        let mut reader = BodyReader::new(head.answer_framing(method)?);
        let mut digest = Digest::default();
        while let Some(piece) = within("a piece of the body", reader.piece(&mut self.inbox)).await? {
            digest.update(&piece);
        }
        Ok(digest)
    }

    /// Reads raw bytes until there are as many as asked for, or the connection ends.
    pub async fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while all.len() < count {
            match within("raw bytes", self.inbox.take_any()).await {
                Ok(bytes) if !bytes.is_empty() => all.extend_from_slice(&bytes),
                Ok(_) | Err(_) => break,
            }
        }
        all
    }

    /// Waits for the peer to close; panics if it sends anything first.
    pub async fn closed(&mut self) {
        let rest = within("the close of the connection", self.inbox.take_any()).await;
        // A reset is a close too: the peer may have had unread bytes of ours.
        if let Ok(rest) = rest {
            assert!(rest.is_empty(), "bytes instead of a close: {}", String::from_utf8_lossy(&rest));
        }
    }

    /// Makes the drop of this connection a reset.
    pub fn reset_on_drop(&self) {
        if let Err(e) = self.outbox.reset_on_close() {
            panic!("cannot set SO_LINGER: {e}");
        }
    }

    /// Bytes that have arrived on this connection.
    pub fn received(&self) -> u64 {
        self.inbox.received()
    }

    /// The sending half, for writing while an answer is read.
    pub fn outbox(&self) -> Outbox {
        self.outbox.clone()
    }

    async fn final_head(&mut self) -> io::Result<Option<Head>> {
        loop {
            match self.inbox.head().await? {
                Some(head) if (102..200).contains(&head.status()?) || head.status()? == 100 => {}
                other => return Ok(other),
            }
        }
    }
}

/// One `GET` on a connection of its own; None if nothing (complete) comes back.
pub async fn get(address: SocketAddr, path: &str) -> Option<Answer> {
    let mut client = Client::try_connect(address).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    client.try_send(request).await.ok()?;
    client.try_answer("GET").await.ok().flatten()
}
