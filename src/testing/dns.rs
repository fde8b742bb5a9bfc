//! A name server that says what it is told to: every name has these addresses.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::UdpSocket;
use tokio::task::AbortHandle;

/// Answers are good for so many seconds.
const TTL: u32 = 1;
/// Of a question: the header, and type and class behind the name.
const HEADER: usize = 12;
/// An address, asked for by type.
const TYPE_A: [u8; 2] = [0, 1];

/// Ends with its value.
#[derive(Debug)]
pub struct NameServer {
    address: SocketAddr,
    addresses: Arc<Mutex<Vec<Ipv4Addr>>>,
    asked: Arc<AtomicU64>,
    task: AbortHandle,
}

impl NameServer {
    /// Serves on a free port of loopback.
    ///
    /// # Errors
    /// There is no port.
    pub async fn start(addresses: &[Ipv4Addr]) -> io::Result<NameServer> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = socket.local_addr()?;
        let addresses = Arc::new(Mutex::new(addresses.to_vec()));
        let asked = Arc::new(AtomicU64::new(0));
        let (known, count) = (Arc::clone(&addresses), Arc::clone(&asked));
        let task = tokio::spawn(async move {
            let mut packet = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut packet).await {
                let known = known.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if let Some(answer) = packet.get(..length).and_then(|question| answer(question, &known)) {
                    count.fetch_add(1, Ordering::Relaxed);
                    let _ = socket.send_to(&answer, from).await;
                }
            }
        });
        Ok(NameServer { address, addresses, asked, task: task.abort_handle() })
    }

    /// Where it is asked.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it says from now on.
    pub fn set(&self, addresses: &[Ipv4Addr]) {
        *self.addresses.lock().unwrap_or_else(PoisonError::into_inner) = addresses.to_vec();
    }

    /// How often it was asked.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The answer to a question with one name; `None`: it is none.
fn answer(question: &[u8], addresses: &[Ipv4Addr]) -> Option<Vec<u8>> {
    let name_end = HEADER + question.get(HEADER..)?.iter().position(|byte| *byte == 0)? + 1;
    let asked = question.get(name_end..name_end + 4)?;
    let addresses = if asked.starts_with(&TYPE_A) { addresses } else { &[] };
    let mut answer = question.get(..name_end + 4)?.to_vec();
    // A response, by who may say so, to a question that may go on to ask; no error. One question, these answers.
    let count = u16::try_from(addresses.len()).ok()?.to_be_bytes();
    answer.splice(2..HEADER, [0x85, 0x80, 0, 1, count[0], count[1], 0, 0, 0, 0]);
    for address in addresses {
        // The name is that of the question.
        answer.extend_from_slice(&[0xc0, HEADER as u8, 0, 1, 0, 1]);
        answer.extend_from_slice(&TTL.to_be_bytes());
        answer.extend_from_slice(&[0, 4]);
        answer.extend_from_slice(&address.octets());
    }
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_answered_with_every_address_and_nothing_is_known_of_other_families() {
        let question = |kind: u8| {
            let mut question = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 2, b'u', b'p', 0, 0, kind, 0, 1];
            question.extend_from_slice(&[0, 0, 41, 4, 0, 0, 0, 0, 0, 0, 0]);
            question
        };
        let found = answer(&question(1), &[Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::LOCALHOST]).unwrap();
        assert_eq!(found[..12], [0xab, 0xcd, 0x85, 0x80, 0, 1, 0, 2, 0, 0, 0, 0]);
        assert_eq!(found.len(), 20 + 2 * 16);
        assert_eq!(found[32..36], [127, 0, 0, 2]);
        let six = answer(&question(28), &[Ipv4Addr::LOCALHOST]).unwrap();
        assert_eq!((six.len(), six[7]), (20, 0));
        assert_eq!(answer(&[0; 5], &[]), None);
    }
}
