//! What hyper does not tell of a head: whether it named its length.

/// Looks for a `Content-Length` line in one head, across reads. Stops at the empty line that ends the head.
#[derive(Debug, Default)]
pub(super) struct HeadScanner {
    line: Line,
    began: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// At the start of a line, so many bytes of the name matched.
    Matching(usize),
    /// The line is another one: skip to its end.
    #[default]
    Other,
    /// The head is over.
    Ended,
}

const NAME: &[u8] = b"content-length";

impl HeadScanner {
    pub(super) fn names_content_length(&mut self, bytes: &[u8]) -> bool {
        let mut rest = bytes;
        loop {
            match self.line {
                Line::Ended => return false,
                Line::Other => {
                    let end = memchr::memchr(b'\n', rest);
                    // Empty lines may precede a request line.
                    let line = &rest[..end.unwrap_or(rest.len())];
                    self.began |= line.iter().any(|b| *b != b'\r');
                    let Some(end) = end else { return false };
                    rest = &rest[end + 1..];
                    self.line = Line::Matching(0);
                }
                Line::Matching(at) => {
                    let Some((&byte, after)) = rest.split_first() else { return false };
                    if at == 0 && byte == b'\n' && self.began {
                        self.line = Line::Ended;
                    } else if at == 0 && byte == b'\r' {
                        // The line feed decides.
                        rest = after;
                    } else if byte.eq_ignore_ascii_case(&NAME[at]) {
                        rest = after;
                        if at + 1 == NAME.len() {
                            self.line = Line::Other;
                            return true;
                        }
                        self.line = Line::Matching(at + 1);
                    } else {
                        self.line = Line::Other;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::HeadScanner;

    fn scan(parts: &[&[u8]]) -> bool {
        let mut scanner = HeadScanner::default();
        parts.iter().any(|p| scanner.names_content_length(p))
    }

    #[test]
    fn a_content_length_line_is_seen_in_any_case_and_across_reads() {
        let head = b"POST / HTTP/1.1\r\nHost: a\r\ncOntent-Length: 5\r\n\r\nhello";
        assert!(scan(&[head]));
        for cut in 1..head.len() {
            assert!(scan(&[&head[..cut], &head[cut..]]), "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = head.chunks(1).collect();
        assert!(scan(&bytes));
    }

    #[test]
    fn bytes_after_the_head_are_not_looked_at() {
        let head = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        let next = b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n";
        assert!(!scan(&[&[&head[..], &next[..]].concat()]));
        assert!(!scan(&[b"POST / HTTP/1.1\n\nContent-Length: 5\n\n"]));
    }

    #[test]
    fn empty_lines_before_the_request_line_end_no_head() {
        assert!(scan(&[b"\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n"]));
    }

    #[test]
    fn other_names_that_share_a_beginning_are_other_names() {
        assert!(!scan(&[b"POST / HTTP/1.1\r\nContent-Len: 5\r\nX-Content-Length: 5\r\n\r\n"]));
    }
}
