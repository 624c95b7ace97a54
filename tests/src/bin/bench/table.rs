//! The table of all figures, as text with aligned columns and as Markdown: a line for each statistic,
//! and a column for each subject that was measured.

use crate::row::{Cell, Goal, Row, Statistic};
use crate::subject::Subject;

/// The head and the lines of a table.
struct Table {
    head: Vec<String>,
    lines: Vec<Vec<String>>,
    /// The number of columns before the figures.
    names: usize,
    figures: usize,
}

/// Returns aligned columns: names to the left, figures to the right.
pub(crate) fn text(rows: &[Row]) -> String {
    let table = Table::of(rows);
    let all: Vec<_> = std::iter::once(&table.head).chain(&table.lines).collect();
    let widths: Vec<_> = (0..table.head.len())
        .map(|column| {
            all.iter()
                .map(|line| line[column].chars().count())
                .max()
                .unwrap_or_default()
        })
        .collect();
    let mut out = String::new();
    for line in all {
        let mut text = String::new();
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            if table.is_figure(column) {
                text.push_str(&format!("  {cell:>width$}"));
            } else {
                text.push_str(&format!("  {cell:<width$}"));
            }
        }
        out.push_str(text.trim_end());
        out.push('\n');
    }
    out
}

/// Returns a table as GitHub shows it.
pub(crate) fn markdown(rows: &[Row]) -> String {
    let table = Table::of(rows);
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rule = (0..table.head.len()).map(|column| if table.is_figure(column) { "---:" } else { "---" });
    let mut out = line(&table.head);
    out.push_str(&line(&rule.map(str::to_owned).collect::<Vec<_>>()));
    for cells in &table.lines {
        out.push_str(&line(cells));
    }
    out
}

impl Table {
    fn of(rows: &[Row]) -> Self {
        let subjects: Vec<_> = Subject::ALL
            .into_iter()
            .filter(|subject| rows.iter().any(|row| row.cell(*subject).is_some()))
            .collect();
        let mut head: Vec<_> = ["", "", "unit"].map(str::to_owned).to_vec();
        head.extend(subjects.iter().map(|subject| subject.name().to_owned()));
        head.extend(["goal", ""].map(str::to_owned));
        let lines = rows.iter().flat_map(|row| {
            let statistics = row.statistics().iter();
            statistics.map(|statistic| line(row, *statistic, &subjects))
        });
        Self {
            lines: lines.collect(),
            head,
            names: 3,
            figures: subjects.len(),
        }
    }

    fn is_figure(&self, column: usize) -> bool {
        (self.names..self.names + self.figures).contains(&column)
    }
}

fn line(row: &Row, statistic: Statistic, subjects: &[Subject]) -> Vec<String> {
    let mut cells = vec![row.name.clone(), statistic.to_string(), row.unit.to_owned()];
    let figures = subjects.iter().map(|subject| {
        let cell = row.cell(*subject);
        cell.map(|cell| figure(cell, statistic)).unwrap_or_default()
    });
    cells.extend(figures);
    let goals: Vec<Goal> = row.goals(statistic).collect();
    let texts: Vec<_> = goals.iter().map(ToString::to_string).collect();
    cells.push(texts.join(", "));
    let missed = goals.iter().any(|goal| row.misses(*goal));
    cells.push(if missed { "MISSED" } else { "" }.to_owned());
    cells
}

fn figure(cell: &Cell, statistic: Statistic) -> String {
    let mut parts = Vec::new();
    if let Some(figure) = cell.at(statistic) {
        parts.push(number(figure));
    }
    if statistic == Statistic::P50 {
        parts.extend(cell.spread().map(|spread| format!("±{}", number(spread))));
        parts.extend(cell.note().map(str::to_owned));
    }
    parts.join(" ")
}

/// Returns a figure with no more digits than mean something.
fn number(figure: f64) -> String {
    match figure.abs() {
        0.0 => "0".to_owned(),
        small if small < 10.0 => format!("{figure:.2}"),
        middle if middle < 100.0 => format!("{figure:.1}"),
        _ => format!("{figure:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{markdown, text};
    use crate::row::{Goal, Row, Statistic};
    use crate::subject::Subject;

    fn rows() -> Vec<Row> {
        let mut calls = Row::samples("a call", "ms")
            .goal(Goal::AtMost(Statistic::P50, 1.0))
            .goal(Goal::AtMost(Statistic::P99, 9.0));
        calls.add(Subject::Baton, vec![1.0, 2.0, 3.0]);
        calls.add(Subject::Baton, vec![5.0]);
        calls.note(Subject::Node, "never");
        let mut lost = Row::figure("lost", "calls").goal(Goal::AtMost(Statistic::Max, 0.0));
        lost.add(Subject::Baton, vec![0.0]);
        vec![calls, lost]
    }

    #[test]
    fn each_statistic_has_a_line_with_its_goals_and_each_measured_subject_a_column() {
        let expected = [
            "               unit        Baton  node --watch  goal",
            "  a call  p50  ms     2.00 ±1.50         never  p50 ≤ 1  MISSED",
            "  a call  p99  ms           5.00                p99 ≤ 9",
            "  lost    p50  calls           0                max ≤ 0",
        ];
        assert_eq!(text(&rows()).lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn markdown_says_the_same() {
        let expected = "\
|  |  | unit | Baton | node --watch | goal |  |
| --- | --- | --- | ---: | ---: | --- | --- |
| a call | p50 | ms | 2.00 ±1.50 | never | p50 ≤ 1 | MISSED |
| a call | p99 | ms | 5.00 |  | p99 ≤ 9 |  |
| lost | p50 | calls | 0 |  | max ≤ 0 |  |
";
        assert_eq!(markdown(&rows()), expected);
    }
}
