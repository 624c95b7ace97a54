//! The places where two texts differ, line by line.

/// Lines in the same place that differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hunk {
    /// The heading of the part of the transcript: the last line before it that starts one.
    pub(super) part: String,
    pub(super) node: Vec<String>,
    pub(super) baton: Vec<String>,
}

impl std::fmt::Display for Hunk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "    {}", self.part)?;
        for line in &self.node {
            writeln!(f, "  - {line}")?;
        }
        for line in &self.baton {
            writeln!(f, "  + {line}")?;
        }
        Ok(())
    }
}

/// Returns all places where the texts differ, by their longest common subsequence of lines.
pub(super) fn hunks(node: &[String], baton: &[String]) -> Vec<Hunk> {
    let same = node.iter().zip(baton).take_while(|(node, baton)| node == baton).count();
    let heading = node[..same].iter().rev().find(|line| is_heading(line));
    let mut part = heading.cloned().unwrap_or_default();
    let (node, baton) = (&node[same..], &baton[same..]);
    let endings = node.iter().rev().zip(baton.iter().rev());
    let same = endings.take_while(|(node, baton)| node == baton).count();
    let (node, baton) = (&node[..node.len() - same], &baton[..baton.len() - same]);

    let common = common_lengths(node, baton);
    let mut hunks: Vec<Hunk> = Vec::new();
    let (mut left, mut right) = (0, 0);
    let mut open = false;
    while left < node.len() || right < baton.len() {
        if left < node.len() && right < baton.len() && node[left] == baton[right] {
            if is_heading(&node[left]) {
                part.clone_from(&node[left]);
            }
            (left, right, open) = (left + 1, right + 1, false);
            continue;
        }
        if !open {
            hunks.push(Hunk {
                part: part.clone(),
                node: Vec::new(),
                baton: Vec::new(),
            });
            open = true;
        }
        let hunk = hunks.last_mut().expect("an open hunk");
        let takes_node =
            right == baton.len() || (left < node.len() && common[left + 1][right] >= common[left][right + 1]);
        if takes_node {
            hunk.node.push(node[left].trim().to_owned());
            left += 1;
        } else {
            hunk.baton.push(baton[right].trim().to_owned());
            right += 1;
        }
    }
    hunks
}

/// Tells whether a part of a transcript begins here.
fn is_heading(line: &str) -> bool {
    line.starts_with(['▶', '◀'])
}

/// Returns the number of lines that the texts have in common from each pair of lines on.
fn common_lengths(node: &[String], baton: &[String]) -> Vec<Vec<usize>> {
    let mut lengths = vec![vec![0; baton.len() + 1]; node.len() + 1];
    for left in (0..node.len()).rev() {
        for right in (0..baton.len()).rev() {
            lengths[left][right] = if node[left] == baton[right] {
                lengths[left + 1][right + 1] + 1
            } else {
                lengths[left + 1][right].max(lengths[left][right + 1])
            };
        }
    }
    lengths
}
