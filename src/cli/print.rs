//! Tables and words for people: plain, aligned, coloured only where a terminal asks for it.
//!
//! Everything that comes over the network is stripped of control characters before it meets a terminal.

use crate::admin::words;

/// Longest cell, in characters; longer text is cut.
const CELL_CHARS_MAX: usize = 120;
/// Longest printed line of foreign text.
const LINE_CHARS_MAX: usize = 2_000;

/// How a cell is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Good,
    Warn,
    Bad,
}

impl Tone {
    /// `text` with the escape sequences of this tone around it.
    pub fn paint(self, text: &str) -> String {
        let code = match self {
            Tone::Plain => return text.to_owned(),
            Tone::Good => "32",
            Tone::Warn => "33",
            Tone::Bad => "1;31",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// Rows under a header line, two spaces between columns, no lines drawn.
pub(super) struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<(String, Tone)>>,
}

impl Table {
    pub fn new(columns: &[(&'static str, Align)]) -> Self {
        Table { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row of as many cells as there are columns.
    pub fn row<const N: usize>(&mut self, cells: [(String, Tone); N]) {
        self.rows.push(cells.map(|(text, tone)| (words::plain(&text, CELL_CHARS_MAX), tone)).into());
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub fn render(&self, colour: bool) -> String {
        let width = |column: usize, header: &str| {
            let cells = self.rows.iter().filter_map(|row| row.get(column)).map(|(text, _)| text.chars().count());
            cells.chain([header.chars().count()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = self.columns.iter().enumerate().map(|(i, (header, _))| width(i, header)).collect();
        let header: Vec<_> = self.columns.iter().map(|(header, _)| ((*header).to_owned(), Tone::Plain)).collect();
        let mut text = String::new();
        for row in std::iter::once(&header).chain(&self.rows) {
            let mut line = String::new();
            for ((cell, tone), ((_, align), width)) in row.iter().zip(self.columns.iter().zip(&widths)) {
                let padding = " ".repeat(width.saturating_sub(cell.chars().count()));
                let cell = if colour { tone.paint(cell) } else { cell.clone() };
                match align {
                    Align::Left => line.push_str(&format!("{cell}{padding}  ")),
                    Align::Right => line.push_str(&format!("{padding}{cell}  ")),
                }
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// A plain cell.
pub(super) fn cell(text: impl Into<String>) -> (String, Tone) {
    (text.into(), Tone::Plain)
}

/// Foreign text on one line.
pub(super) fn line(text: &str) -> String {
    words::plain(text, LINE_CHARS_MAX)
}

/// Foreign text that may span lines.
pub(super) fn lines(text: &str) -> String {
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Milliseconds with the precision that matters.
pub(super) fn milliseconds(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(ms) if ms < 10.0 => format!("{ms:.1} ms"),
        Some(ms) if ms < 10_000.0 => format!("{ms:.0} ms"),
        Some(ms) => format!("{:.1} s", ms / 1_000.0),
    }
}

/// The first 12 characters of a hash.
pub(super) fn short(hash: &str) -> String {
    words::plain(hash.get(..12).unwrap_or(hash), 12)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_lines_do_not_end_in_blanks() {
        let mut table = Table::new(&[("NAME", Align::Left), ("COUNT", Align::Right), ("NOTE", Align::Left)]);
        table.row([cell("a"), cell("1,204"), cell("")]);
        table.row([cell("longer"), cell("7"), cell("x")]);
        assert_eq!(table.render(false), "NAME    COUNT  NOTE\na       1,204\nlonger      7  x\n");
    }

    #[test]
    fn colours_do_not_move_columns() {
        let mut table = Table::new(&[("STATE", Align::Left), ("N", Align::Right)]);
        table.row([("open".to_owned(), Tone::Bad), cell("1")]);
        assert_eq!(table.render(true), "STATE  N\n\x1b[1;31mopen\x1b[0m   1\n");
    }

    #[test]
    fn a_cell_cannot_smuggle_an_escape_sequence() {
        let mut table = Table::new(&[("A", Align::Left)]);
        table.row([cell("\x1b]0;title\x07")]);
        assert!(!table.render(true).contains('\x1b'));
    }

    #[test]
    fn milliseconds_keep_two_digits_of_meaning() {
        let cases = [(Some(0.42), "0.4 ms"), (Some(38.2), "38 ms"), (Some(12_345.0), "12.3 s"), (None, "-")];
        for (value, text) in cases {
            assert_eq!(milliseconds(value), text);
        }
    }
}
