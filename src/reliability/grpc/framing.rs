//! Where messages end in the body of a call: each has five bytes before it, a flag and its length.

const PREFIX: usize = 5;

/// Follows a body as it arrives, and keeps nothing of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Messages {
    prefix: [u8; PREFIX],
    /// Bytes of the prefix that have arrived; 0 between two messages.
    begun: usize,
    /// Bytes of the message that are to come.
    left: usize,
}

impl Messages {
    /// More of the body has arrived.
    pub fn feed(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            if self.left > 0 {
                let taken = self.left.min(data.len());
                (self.left, data) = (self.left - taken, data.get(taken..).unwrap_or_default());
                continue;
            }
            let (Some((first, rest)), Some(place)) = (data.split_first(), self.prefix.get_mut(self.begun)) else {
                return;
            };
            *place = *first;
            (self.begun, data) = (self.begun + 1, rest);
            if self.begun == PREFIX {
                let [_flag, length @ ..] = self.prefix;
                self.begun = 0;
                self.left = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
            }
        }
    }

    /// Whether all that has begun has arrived: who sent it may wait for an answer now.
    pub const fn is_between(&self) -> bool {
        self.begun == 0 && self.left == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_message_ends_with_its_last_byte() {
        let mut messages = Messages::default();
        assert!(messages.is_between());
        for byte in [0, 0, 0, 0, 2, b'a'] {
            messages.feed(&[byte]);
            assert!(!messages.is_between());
        }
        messages.feed(b"b");
        assert!(messages.is_between());
        messages.feed(&[1, 0, 0, 0, 0]);
        assert!(messages.is_between(), "an empty message is one");
        messages.feed(&[0, 0, 0, 0, 1, b'x', 0]);
        assert!(!messages.is_between());
    }

    proptest! {
        #[test]
        fn cuts_make_no_difference(lengths in prop::collection::vec(0usize..40, 0..6), cut in 1usize..9) {
            let mut body = Vec::new();
            for length in &lengths {
                body.push(0);
                body.extend_from_slice(&(*length as u32).to_be_bytes());
                body.extend(std::iter::repeat_n(7u8, *length));
            }
            let mut messages = Messages::default();
            body.chunks(cut).for_each(|piece| messages.feed(piece));
            prop_assert!(messages.is_between());
            if lengths.last().is_some_and(|last| *last > 0) {
                let mut short = Messages::default();
                short.feed(&body[..body.len() - 1]);
                prop_assert!(!short.is_between());
            }
        }
    }
}
