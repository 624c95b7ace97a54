//! Edits of a text that leave each of its lines where it is, and the source map that follows them.

use std::collections::BTreeMap;
use std::ops::Range;

use deno_core::url::Url;
use sourcemap::{SourceMap, SourceMapBuilder};

use crate::source::emitted::EmittedCode;

/// Edits that do not overlap; insertions at one place come in the order in which they were asked for.
#[derive(Default)]
pub(crate) struct TextEdits(Vec<(Range<usize>, String)>);

/// The places that edits move.
#[derive(Default)]
struct PositionMap {
    /// The columns, in UTF-16, behind the edits, by line: before and after the edits.
    columns: BTreeMap<u32, Vec<(u32, u32)>>,
    /// The replacements, by line and column.
    replaced: Vec<Range<(u32, u32)>>,
}

impl TextEdits {
    pub(in crate::source) fn replace(&mut self, range: Range<usize>, text: impl Into<String>) {
        self.0.push((range, text.into()));
    }

    pub(crate) fn insert(&mut self, at: usize, text: impl Into<String>) {
        self.replace(at..at, text);
    }

    /// Returns the emitted code, edited. A text that was taken as it is gets a source map, so that its columns stay.
    pub(crate) fn apply_to(self, url: &Url, emitted: &EmittedCode) -> EmittedCode {
        let map = match &emitted.source_map {
            Some(map) => Some(map.to_vec()),
            None => self.unmoved(url, &emitted.code),
        };
        let (code, source_map) = self.apply(&emitted.code, map.as_deref());
        EmittedCode {
            code: code.into(),
            source_map: source_map.map(Into::into),
        }
    }

    /// Returns the source map of a text to itself: a place at the beginning of each line, and behind each edit.
    fn unmoved(&self, url: &Url, text: &str) -> Option<Vec<u8>> {
        let mut ends: Vec<usize> = self.0.iter().map(|(range, _)| range.end).collect();
        ends.sort_unstable();
        let mut map = SourceMapBuilder::new(None);
        let source = map.add_source(url.as_str());
        let mut ends = ends.into_iter().peekable();
        let mut begins = 0;
        for (line, content) in (0..).zip(text.split_inclusive('\n')) {
            map.add_raw(line, 0, line, 0, Some(source), None, false);
            let behind = begins + content.len();
            while let Some(end) = ends.next_if(|end| *end < behind) {
                let mut place = TextPosition::default();
                place.pass(text.get(begins..end)?);
                map.add_raw(line, place.column, line, place.column, Some(source), None, false);
            }
            begins = behind;
        }
        let mut bytes = Vec::new();
        map.into_sourcemap().to_writer(&mut bytes).ok()?;
        Some(bytes)
    }

    /// Returns the edited text and its source map.
    pub(in crate::source) fn apply(mut self, text: &str, map: Option<&[u8]>) -> (String, Option<Vec<u8>>) {
        self.0.sort_by_key(|(range, _)| (range.start, range.end));
        let mut moves = PositionMap::default();
        let mut edited = String::with_capacity(text.len() + text.len() / 4);
        let (mut before, mut after) = (TextPosition::default(), TextPosition::default());
        let mut at = 0;
        for (range, new) in self.0 {
            // An edit that overlaps another would be a fault of the caller's: the first one counts.
            let Some(kept) = text.get(at..range.start) else {
                continue;
            };
            let Some(old) = text.get(range.clone()) else {
                continue;
            };
            before.pass(kept);
            let begins = before;
            before.pass(old);
            edited.push_str(kept);
            edited.push_str(&new);
            after.pass(kept);
            after.pass(&new);
            let lost = old.matches('\n').count().saturating_sub(new.matches('\n').count());
            let lines = "\n".repeat(lost);
            edited.push_str(&lines);
            after.pass(&lines);
            moves
                .replaced
                .push((begins.line, begins.column)..(before.line, before.column));
            moves
                .columns
                .entry(before.line)
                .or_default()
                .push((before.column, after.column));
            at = range.end;
        }
        edited.push_str(text.get(at..).unwrap_or_default());
        let map = map.and_then(|map| moved(map, &moves));
        (edited, map)
    }
}

/// A position in a text.
#[derive(Default, Clone, Copy)]
struct TextPosition {
    line: u32,
    column: u32,
}

impl TextPosition {
    fn pass(&mut self, text: &str) {
        for character in text.chars() {
            if character == '\n' {
                self.line += 1;
                self.column = 0;
            } else {
                self.column += if character.len_utf16() == 2 { 2 } else { 1 };
            }
        }
    }
}

/// Returns the source map of the edited text; `None` for a map that cannot be read.
fn moved(map: &[u8], moves: &PositionMap) -> Option<Vec<u8>> {
    let map = SourceMap::from_slice(map).ok()?;
    let mut moved = SourceMapBuilder::new(map.get_file());
    for (index, source) in (0..).zip(map.sources()) {
        let id = moved.add_source(source);
        moved.set_source_contents(id, map.get_source_contents(index));
    }
    for token in map.tokens() {
        let (line, column) = token.get_dst();
        let next = moves.replaced.partition_point(|range| range.end <= (line, column));
        if moves
            .replaced
            .get(next)
            .is_some_and(|range| range.start < (line, column))
        {
            continue;
        }
        let behind = moves
            .columns
            .get(&line)
            .and_then(|edits| edits.iter().rfind(|(old, _)| *old <= column));
        let column = behind.map_or(column, |(old, new)| column - old + new);
        let source = (token.get_src_id() != !0).then(|| token.get_src_id());
        moved.add_raw(
            line,
            column,
            token.get_src_line(),
            token.get_src_col(),
            source,
            None,
            false,
        );
    }
    let mut bytes = Vec::new();
    moved.into_sourcemap().to_writer(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use deno_core::url::Url;
    use sourcemap::{SourceMap, SourceMapBuilder};

    use super::TextEdits;
    use crate::source::emitted::EmittedCode;

    #[test]
    fn a_text_that_had_no_source_map_keeps_its_places() {
        let mut edits = TextEdits::default();
        edits.insert(7, "mark(");
        edits.insert(8, ")");
        edits.insert(11, "\nend");
        let url = Url::parse("file:///a.js").unwrap();
        let emitted = EmittedCode {
            code: "x\nö = y; z".into(),
            source_map: None,
        };
        let edited = edits.apply_to(&url, &emitted);
        assert_eq!(&*edited.code, "x\nö = mark(y); z\nend");
        let map = SourceMap::from_slice(&edited.source_map.unwrap()).unwrap();
        let places = [(0, 0), (1, 0), (1, 9), (1, 11)].map(|(line, column)| {
            let token = map.lookup_token(line, column).unwrap();
            (token.get_src_line(), token.get_src_col())
        });
        assert_eq!(places, [(0, 0), (1, 0), (1, 4), (1, 5)]);
    }

    #[test]
    fn edits_keep_lines_and_move_what_follows_them_in_a_line() {
        let text = "ab\ncd\nef\n";
        let mut map = SourceMapBuilder::new(None);
        for line in 0..3 {
            for column in 0..2 {
                map.add(line, column, line + 10, column, Some("a.ts"), None, false);
            }
        }
        let mut bytes = Vec::new();
        map.into_sourcemap().to_writer(&mut bytes).unwrap();

        let mut edits = TextEdits::default();
        edits.insert(7, "333");
        edits.insert(0, "1");
        edits.replace(1..4, "2");
        edits.insert(0, "\u{1f600}");
        let (edited, map) = edits.apply(text, Some(&bytes));
        assert_eq!(edited, "1\u{1f600}a2\nd\ne333f\n");
        let map = SourceMap::from_slice(&map.unwrap()).unwrap();
        for (line, column, original) in [(0, 3, (10, 0)), (1, 0, (11, 1)), (2, 0, (12, 0)), (2, 4, (12, 1))] {
            let token = map.lookup_token(line, column).unwrap();
            assert_eq!(token.get_src(), original, "{line}:{column}");
        }
    }
}
