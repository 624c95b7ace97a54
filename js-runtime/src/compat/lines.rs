//! Text that arrives in pieces, and the lines that it makes.

use std::time::Duration;

/// The time that a line may wait for its end.
pub(super) const PATIENCE: Duration = Duration::from_millis(200);

/// The limit for the length of a line; a longer line is cut.
const LONGEST: usize = 64 << 10;

/// The line that has not ended yet.
#[derive(Debug, Default)]
pub(super) struct Lines(Vec<u8>);

impl Lines {
    /// Adds a piece of text, and gives the lines that it ends.
    pub(super) fn push(&mut self, piece: &[u8], mut line: impl FnMut(&str)) {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            self.0.extend_from_slice(part);
            if part.ends_with(b"\n") || self.0.len() >= LONGEST {
                self.end(&mut line);
            }
        }
    }

    /// Gives the part of the line that is there, without waiting for more.
    pub(super) fn end(&mut self, mut line: impl FnMut(&str)) {
        if !self.0.is_empty() {
            let text = String::from_utf8_lossy(&self.0);
            line(text.trim_end_matches(['\r', '\n']));
            self.0.clear();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, Lines};

    fn lines_of(pieces: &[&[u8]]) -> Vec<String> {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        for piece in pieces {
            lines.push(piece, |line| found.push(line.to_owned()));
        }
        lines.end(|line| found.push(line.to_owned()));
        assert!(lines.is_empty());
        found
    }

    #[test]
    fn pieces_become_lines_wherever_they_are_cut() {
        assert_eq!(lines_of(&[b"a\nb\r\n", b"c", b"d\n\ne"]), ["a", "b", "cd", "", "e"]);
        let euro = "a €\n".as_bytes();
        assert_eq!(lines_of(&[&euro[..3], &euro[3..]]), ["a €"]);
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let long = vec![b'x'; LONGEST];
        assert_eq!(
            lines_of(&[&long, b"y\n"]),
            [String::from_utf8(long.clone()).unwrap(), "y".to_owned()]
        );
    }
}
