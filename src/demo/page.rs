//! Lines of plain text: at most 100 columns, coloured only where a terminal wants it.

use std::io::{self, IsTerminal, Write};

/// Columns.
pub const WIDTH: usize = 100;

/// How a line is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Plain,
    /// Headings.
    Strong,
    /// What happens meanwhile.
    Faint,
    Good,
    Bad,
}

impl Tone {
    const fn code(self) -> Option<&'static str> {
        match self {
            Tone::Plain => None,
            Tone::Strong => Some("1"),
            Tone::Faint => Some("2"),
            Tone::Good => Some("32"),
            Tone::Bad => Some("1;31"),
        }
    }
}

/// Where the account is written.
pub struct Page<W> {
    out: W,
    colour: bool,
    /// Nobody reads any more.
    closed: bool,
}

impl Page<io::Stdout> {
    /// Standard output.
    pub fn stdout() -> Self {
        let text = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let dumb = text("TERM").is_none_or(|term| term == "dumb");
        let colour = io::stdout().is_terminal() && !dumb && text("NO_COLOR").is_none();
        Page { out: io::stdout(), colour, closed: false }
    }
}

impl<W: Write> Page<W> {
    /// Whether the reader has gone.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// A paragraph; lines after the first are indented by as much as `text` is, and two more.
    pub fn say(&mut self, tone: Tone, text: &str) {
        let indent = text.chars().take_while(|c| *c == ' ').count();
        self.say_hanging(tone, text, indent + 2);
    }

    /// A paragraph; lines after the first are indented by `hang`.
    pub fn say_hanging(&mut self, tone: Tone, text: &str, hang: usize) {
        wrap(text, hang).iter().for_each(|line| self.line(tone, line));
    }

    fn line(&mut self, tone: Tone, line: &str) {
        let written = match tone.code().filter(|_| self.colour && !line.is_empty()) {
            Some(code) => writeln!(self.out, "\x1b[{code}m{line}\x1b[0m"),
            None => writeln!(self.out, "{line}"),
        };
        self.closed |= written.and_then(|()| self.out.flush()).is_err();
    }

    /// A line as it is, however long: what a program printed.
    pub fn verbatim(&mut self, tone: Tone, line: &str) {
        let plain: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.line(tone, plain.trim_end());
    }

    /// An empty line.
    pub fn gap(&mut self) {
        self.say(Tone::Plain, "");
    }

    /// Rows under a header; the first column is aligned left, the others right.
    pub fn table<const N: usize>(&mut self, header: [&str; N], rows: &[[String; N]]) {
        let widths: [usize; N] = std::array::from_fn(|column| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.chain([header[column].chars().count()]).max().unwrap_or(0)
        });
        let line = |cells: [&str; N]| {
            let mut line = String::from(" ");
            for (column, (cell, width)) in cells.into_iter().zip(widths).enumerate() {
                line += &if column == 0 { format!(" {cell:<width$}") } else { format!("  {cell:>width$}") };
            }
            line.trim_end().to_owned()
        };
        self.line(Tone::Strong, &line(header));
        for row in rows {
            self.line(Tone::Plain, &line(std::array::from_fn(|column| row[column].as_str())));
        }
    }
}

/// Breaks at blanks into lines of at most [`WIDTH`]; all but the first are indented by `hang`. A word longer
/// than a line is left whole, since it is an address or a path. Control characters become blanks.
fn wrap(text: &str, hang: usize) -> Vec<String> {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let (mut lines, mut line, mut columns) = (Vec::new(), String::new(), 0);
    for word in text.split_inclusive(' ') {
        let length = word.chars().count();
        let seen = word.trim_end().chars().count();
        if columns + seen > WIDTH && !line.trim().is_empty() {
            lines.push(line.trim_end().to_owned());
            (line, columns) = (" ".repeat(hang), hang);
        }
        line.push_str(word);
        columns += length;
    }
    lines.push(line.trim_end().to_owned());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(colour: bool, write: impl FnOnce(&mut Page<Vec<u8>>)) -> String {
        let mut page = Page { out: Vec::new(), colour, closed: false };
        write(&mut page);
        String::from_utf8(page.out).unwrap()
    }

    #[test]
    fn long_text_is_broken_at_blanks_and_stays_indented() {
        let text = page(false, |page| page.say(Tone::Good, &format!("  {}", "seven78 ".repeat(30))));
        assert!(text.lines().count() > 1 && text.lines().all(|line| line.len() <= WIDTH), "{text}");
        assert!(text.lines().skip(1).all(|line| line.starts_with("    seven78")), "{text}");
        assert_eq!(text.matches("seven78").count(), 30);
    }

    #[test]
    fn a_word_wider_than_the_page_is_left_whole() {
        let word = "/".repeat(WIDTH + 20);
        assert_eq!(wrap(&format!("see {word}"), 3), ["see".to_owned(), format!("   {word}")]);
    }

    #[test]
    fn escape_sequences_are_ours_or_none() {
        assert_eq!(page(false, |page| page.say(Tone::Bad, "a\x1b[31mb")), "a [31mb\n");
        assert_eq!(page(true, |page| page.say(Tone::Good, "well")), "\x1b[32mwell\x1b[0m\n");
    }

    #[test]
    fn numbers_stand_under_each_other() {
        let rows = [["calm".to_owned(), "100.0 %".to_owned()], ["a longer name".to_owned(), "6.1 %".to_owned()]];
        let text = page(false, |page| page.table(["phase", "ok"], &rows));
        assert_eq!(text, "  phase               ok\n  calm           100.0 %\n  a longer name    6.1 %\n");
    }

    #[test]
    fn a_reader_who_left_is_noticed() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut page = Page { out: Gone, colour: false, closed: false };
        page.say(Tone::Plain, "anyone?");
        assert!(page.is_closed());
    }
}
