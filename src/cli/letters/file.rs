//! Where bodies and exports go.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::admin::words;
use crate::cli::Exit;
use crate::cli::print;
use crate::cli::session::{Failure, Session};

/// Standard output, or a file.
#[derive(Debug)]
pub(super) enum Target {
    Output,
    File(PathBuf),
}

impl Target {
    /// A file must not be there yet. This is looked at before the proxy is asked, because the asking leaves a trace.
    pub fn new(out: Option<PathBuf>) -> Result<Target, Failure> {
        match out {
            None => Ok(Target::Output),
            Some(path) if path.symlink_metadata().is_ok() => Err(taken(&path)),
            Some(path) => Ok(Target::File(path)),
        }
    }
}

/// A file that was not there before.
pub(super) struct Written {
    file: File,
    path: PathBuf,
}

impl Written {
    /// Creates it with `bytes` in it.
    pub fn new(path: &Path, bytes: &[u8]) -> Result<Written, Failure> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            // What clients send is for nobody else on this machine.
            use std::os::unix::fs::OpenOptionsExt;
            options.mode(0o600);
        }
        let file = options.open(path).map_err(|error| failed(path, &error))?;
        let mut written = Written { file, path: path.to_owned() };
        written.append(bytes)?;
        Ok(written)
    }

    pub fn append(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.file.write_all(bytes).map_err(|error| failed(&self.path, &error))
    }
}

fn taken(path: &Path) -> Failure {
    let path = print::line(&path.to_string_lossy());
    Failure::Usage(format!("{path} exists already"), "name a new file with --out".to_owned())
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    let path = print::line(&path.to_string_lossy());
    Failure::File(format!("{path} could not be written: {error}"), "name another file with --out".to_owned())
}

impl Session<'_> {
    pub(super) fn write_body(&mut self, body: &[u8], target: Target) -> Result<Exit, Failure> {
        match target {
            Target::File(path) => {
                Written::new(&path, body)?;
                let path = print::line(&path.to_string_lossy());
                writeln!(self.out, "{} bytes written to {path}.", body.len())?;
            }
            Target::Output if self.surroundings.terminal && !is_text(body) => {
                let text = "the body is binary, and standard output is a terminal".to_owned();
                return Err(Failure::Usage(text, "write it to a file with --out FILE".to_owned()));
            }
            Target::Output => self.out.write_all(body)?,
        }
        Ok(Exit::Fine)
    }
}

/// It cannot do anything to a terminal but fill it.
fn is_text(body: &[u8]) -> bool {
    std::str::from_utf8(body).is_ok_and(|text| {
        let text = text.replace("\r\n", " ").replace(['\n', '\t'], " ");
        words::plain(&text, usize::MAX) == text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_what_cannot_move_the_cursor() {
        for text in [&b""[..], b"{\r\n\t\"a\": 1\n}", "größe €".as_bytes(), &b"x".repeat(5_000)] {
            assert!(is_text(text), "{text:?}");
        }
        for binary in [&b"\x1b[2J"[..], b"\0", b"\xff", b"a\rb", "\u{202e}".as_bytes()] {
            assert!(!is_text(binary), "{binary:?}");
        }
    }
}
