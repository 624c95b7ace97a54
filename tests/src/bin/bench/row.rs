//! One row of figures: it computes the figures from samples, and knows their goals.

use serde_json::{Value, json};

use crate::subject::Subject;

/// The way to make one figure of many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Statistic {
    /// The median of the medians of the rounds.
    P50,
    /// The number that 99 of a hundred samples of all rounds do not exceed.
    P99,
    /// The largest sample.
    Max,
}

/// The bound that a figure of Baton's should keep.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Goal {
    AtMost(Statistic, f64),
    AtLeast(Statistic, f64),
}

impl Goal {
    pub(crate) fn statistic(self) -> Statistic {
        match self {
            Self::AtMost(statistic, _) | Self::AtLeast(statistic, _) => statistic,
        }
    }
}

/// The kind of samples, which decides about the statistics that are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Many samples a round.
    Samples,
    /// One figure a round.
    Figure,
}

/// The samples of one subject.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    subject: Subject,
    /// The samples of each round, sorted, never empty.
    rounds: Vec<Vec<f64>>,
    /// A remark that stands beside the figures, or instead of them.
    note: Option<String>,
}

/// See the module's documentation.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    shape: Shape,
    cells: Vec<Cell>,
    goals: Vec<Goal>,
}

impl Row {
    /// Makes a row for samples that are to be added, many a round.
    pub(crate) fn samples(name: impl Into<String>, unit: &'static str) -> Self {
        Self::empty(name.into(), unit, Shape::Samples)
    }

    /// Makes a row for figures that are to be added, one a round.
    pub(crate) fn figure(name: impl Into<String>, unit: &'static str) -> Self {
        Self::empty(name.into(), unit, Shape::Figure)
    }

    /// Makes a row of Baton's samples of a single round.
    pub(crate) fn of_baton(name: impl Into<String>, unit: &'static str, samples: Vec<f64>) -> Self {
        let mut row = match samples.len() {
            1 => Self::figure(name, unit),
            _ => Self::samples(name, unit),
        };
        row.add(Subject::Baton, samples);
        row
    }

    fn empty(name: String, unit: &'static str, shape: Shape) -> Self {
        Self {
            name,
            unit,
            shape,
            cells: Vec::new(),
            goals: Vec::new(),
        }
    }

    /// Adds a round of a subject. Panics without samples, because then there is nothing to show.
    pub(crate) fn add(&mut self, subject: Subject, mut round: Vec<f64>) {
        assert!(
            !round.is_empty(),
            "nothing was measured: {} of {}",
            self.name,
            subject.name()
        );
        round.sort_by(f64::total_cmp);
        self.of(subject).rounds.push(round);
    }

    /// Adds a remark on a subject, once.
    pub(crate) fn note(&mut self, subject: Subject, note: impl Into<String>) {
        self.of(subject).note = Some(note.into());
    }

    pub(crate) fn goal(mut self, goal: Goal) -> Self {
        self.goals.push(goal);
        self
    }

    fn of(&mut self, subject: Subject) -> &mut Cell {
        let at = self.cells.iter().position(|cell| cell.subject == subject);
        let at = at.unwrap_or_else(|| {
            self.cells.push(Cell {
                subject,
                rounds: Vec::new(),
                note: None,
            });
            self.cells.len() - 1
        });
        &mut self.cells[at]
    }

    pub(crate) fn cell(&self, subject: Subject) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.subject == subject)
    }

    /// Returns the statistics that are shown, a line each.
    pub(crate) fn statistics(&self) -> &'static [Statistic] {
        match self.shape {
            Shape::Samples => &[Statistic::P50, Statistic::P99],
            Shape::Figure => &[Statistic::P50],
        }
    }

    pub(crate) fn goals(&self, statistic: Statistic) -> impl Iterator<Item = Goal> {
        let shown = self.statistics().contains(&statistic);
        let goals = self.goals.iter().copied();
        // A goal whose statistic has no line is shown in the first line.
        goals.filter(move |goal| match shown {
            true if statistic == Statistic::P50 => {
                goal.statistic() == Statistic::P50 || !self.statistics().contains(&goal.statistic())
            }
            _ => goal.statistic() == statistic,
        })
    }

    /// Tells whether Baton misses the goal. A goal for a figure that was not measured is missed too.
    pub(crate) fn misses(&self, goal: Goal) -> bool {
        let figure = self.cell(Subject::Baton).and_then(|cell| cell.at(goal.statistic()));
        match (goal, figure) {
            (_, None) => true,
            (Goal::AtMost(_, most), Some(figure)) => figure > most,
            (Goal::AtLeast(_, least), Some(figure)) => figure < least,
        }
    }

    pub(crate) fn missed(&self) -> bool {
        self.goals.iter().any(|goal| self.misses(*goal))
    }

    /// Returns the quotient of Baton's figure and another subject's. For each round it divides Baton's
    /// median by the other's median of the same round, in which the machine was the same. None if one of
    /// them was not measured.
    pub(crate) fn ratio(&self, of: Subject) -> Option<Self> {
        let (ours, theirs) = (self.cell(Subject::Baton)?, self.cell(of)?);
        let name = format!("{}: Baton ÷ {}", self.name, of.name());
        quotient(name, ours, theirs)
    }

    /// Returns the same quotient of two rows of Baton.
    pub(crate) fn by(&self, other: &Self, name: impl Into<String>) -> Option<Self> {
        let (ours, theirs) = (self.cell(Subject::Baton)?, other.cell(Subject::Baton)?);
        quotient(name.into(), ours, theirs)
    }

    pub(crate) fn json(&self) -> Value {
        let cells = self
            .cells
            .iter()
            .map(|cell| (cell.subject.name().to_owned(), cell.json()));
        let goals = self
            .goals
            .iter()
            .map(|goal| json!({ "goal": goal.to_string(), "missed": self.misses(*goal) }));
        json!({
            "name": self.name,
            "unit": self.unit,
            "figures": cells.collect::<serde_json::Map<_, _>>(),
            "goals": goals.collect::<Vec<_>>(),
        })
    }
}

impl Cell {
    pub(crate) fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// Returns the figure; none if nothing was measured.
    pub(crate) fn at(&self, statistic: Statistic) -> Option<f64> {
        let share = match statistic {
            Statistic::P50 => return nearest_rank(&sorted(self.medians()), 0.5),
            Statistic::P99 => 0.99,
            Statistic::Max => 1.0,
        };
        nearest_rank(&sorted(self.rounds.iter().flatten().copied()), share)
    }

    /// Returns half of the distance between the rounds' smallest and largest median; none for a single
    /// round.
    pub(crate) fn spread(&self) -> Option<f64> {
        let medians = sorted(self.medians());
        match medians.as_slice() {
            [least, .., most] => Some((most - least) / 2.0),
            _ => None,
        }
    }

    fn medians(&self) -> impl Iterator<Item = f64> {
        self.rounds.iter().filter_map(|round| nearest_rank(round, 0.5))
    }

    fn json(&self) -> Value {
        json!({
            "p50": self.at(Statistic::P50),
            "p99": self.at(Statistic::P99),
            "max": self.at(Statistic::Max),
            "spread": self.spread(),
            "n": self.rounds.iter().map(Vec::len).sum::<usize>(),
            "rounds": self.medians().collect::<Vec<_>>(),
            "note": self.note,
        })
    }
}

fn quotient(name: String, above: &Cell, below: &Cell) -> Option<Row> {
    let mut row = Row::figure(name, "×");
    for (above, below) in above.medians().zip(below.medians()) {
        row.add(Subject::Baton, vec![above / below]);
    }
    row.cell(Subject::Baton).is_some().then_some(row)
}

fn sorted(samples: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut samples: Vec<_> = samples.collect();
    samples.sort_by(f64::total_cmp);
    samples
}

/// Returns the smallest sample that is no less than `share` of them.
fn nearest_rank(sorted: &[f64], share: f64) -> Option<f64> {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

impl std::fmt::Display for Statistic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::P50 => "p50",
            Self::P99 => "p99",
            Self::Max => "max",
        })
    }
}

impl std::fmt::Display for Goal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (statistic, sign, figure) = match self {
            Self::AtMost(statistic, most) => (statistic, '≤', most),
            Self::AtLeast(statistic, least) => (statistic, '≥', least),
        };
        write!(f, "{statistic} {sign} {figure}")
    }
}

#[cfg(test)]
mod tests {
    use super::{Goal, Row, Statistic};
    use crate::subject::Subject;

    fn rounds(subjects: &[(Subject, &[&[f64]])]) -> Row {
        let mut row = Row::samples("a call", "ms");
        for (subject, rounds) in subjects {
            for round in *rounds {
                row.add(*subject, round.to_vec());
            }
        }
        row
    }

    #[test]
    fn the_median_is_that_of_the_rounds_medians_and_the_spread_half_of_what_they_span() {
        // The median of all samples would be 1.
        let row = rounds(&[(Subject::Baton, &[&[1.0, 1.0, 1.0, 1.0, 1.0], &[9.0], &[5.0, 4.0, 7.0]])]);
        let cell = row.cell(Subject::Baton).expect("a cell");
        assert_eq!(cell.at(Statistic::P50), Some(5.0));
        assert_eq!(cell.spread(), Some(4.0));
        assert_eq!(cell.at(Statistic::Max), Some(9.0));
    }

    #[test]
    fn of_a_hundred_samples_the_second_largest_is_p99() {
        let samples: Vec<_> = (1..=100).rev().map(f64::from).collect();
        let row = Row::of_baton("a call", "ms", samples);
        let cell = row.cell(Subject::Baton).expect("a cell");
        assert_eq!(cell.at(Statistic::P99), Some(99.0));
        assert_eq!(cell.spread(), None, "of a single round");
    }

    #[test]
    fn a_ratio_is_computed_round_by_round_so_that_a_slow_round_is_slow_for_both() {
        let row = rounds(&[
            (Subject::Baton, &[&[1.0], &[10.0], &[2.0]]),
            (Subject::BunHot, &[&[2.0], &[20.0], &[4.0]]),
        ]);
        let ratio = row.ratio(Subject::BunHot).expect("both were measured");
        let cell = ratio.cell(Subject::Baton).expect("a cell");
        assert_eq!((cell.at(Statistic::P50), cell.spread()), (Some(0.5), Some(0.0)));
        assert!(row.ratio(Subject::Deno).is_none(), "it was not measured");
    }

    #[test]
    fn a_goal_is_about_baton_and_is_missed_by_what_was_never_reached() {
        let at_most = |most| Goal::AtMost(Statistic::P50, most);
        let row = rounds(&[(Subject::Baton, &[&[5.0]]), (Subject::BunHot, &[&[500.0]])]);
        assert!(!row.clone().goal(at_most(5.0)).missed());
        assert!(row.clone().goal(at_most(4.9)).missed());
        assert!(row.clone().goal(Goal::AtLeast(Statistic::P50, 5.1)).missed());
        assert!(!row.goal(Goal::AtLeast(Statistic::Max, 5.0)).missed());

        let mut never = Row::samples("a call", "ms").goal(at_most(5.0));
        never.note(Subject::Baton, "never");
        assert!(never.missed());
    }
}
