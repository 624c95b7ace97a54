//! One figure, how it is computed from samples, and how it is shown.

use serde_json::{Value, json};

/// What a figure should be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Goal {
    /// 99 of a hundred samples are no more than this.
    P99AtMost(f64),
    /// Half of the samples are no less than this.
    P50AtLeast(f64),
}

/// One line of the table.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    name: String,
    unit: &'static str,
    /// Sorted, never empty.
    samples: Vec<f64>,
    goal: Option<Goal>,
}

impl Row {
    /// Panics without samples: there is nothing to say then.
    pub(crate) fn new(name: impl Into<String>, unit: &'static str, mut samples: Vec<f64>) -> Self {
        let name = name.into();
        assert!(!samples.is_empty(), "nothing was measured: {name}");
        samples.sort_by(f64::total_cmp);
        Self {
            name,
            unit,
            samples,
            goal: None,
        }
    }

    pub(crate) fn goal(self, goal: Goal) -> Self {
        Self {
            goal: Some(goal),
            ..self
        }
    }

    pub(crate) fn missed(&self) -> bool {
        match self.goal {
            None => false,
            Some(Goal::P99AtMost(most)) => self.at(0.99) > most,
            Some(Goal::P50AtLeast(least)) => self.at(0.5) < least,
        }
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "name": self.name,
            "unit": self.unit,
            "p50": self.at(0.5),
            "p99": self.at(0.99),
            "max": self.at(1.0),
            "n": self.samples.len(),
            "goal": self.goal.map(|goal| goal.to_string()),
            "missed": self.missed(),
        })
    }

    /// The smallest sample that is no less than `share` of them (nearest rank).
    fn at(&self, share: f64) -> f64 {
        let rank = (share * self.samples.len() as f64).ceil() as usize;
        self.samples[rank.clamp(1, self.samples.len()) - 1]
    }

    fn cells(&self) -> [String; 8] {
        let figure = |share: f64| format!("{:.2}", self.at(share));
        [
            self.name.clone(),
            self.unit.to_owned(),
            figure(0.5),
            figure(0.99),
            figure(1.0),
            self.samples.len().to_string(),
            self.goal.map(|goal| goal.to_string()).unwrap_or_default(),
            if self.missed() { "MISSED" } else { "" }.to_owned(),
        ]
    }
}

impl std::fmt::Display for Goal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::P99AtMost(most) => write!(f, "p99 ≤ {most}"),
            Self::P50AtLeast(least) => write!(f, "p50 ≥ {least}"),
        }
    }
}

/// Aligned columns: names to the left, figures to the right.
pub(crate) fn table(rows: &[Row]) -> String {
    let head = ["", "unit", "p50", "p99", "max", "n", "goal", ""].map(str::to_owned);
    let lines: Vec<_> = std::iter::once(head).chain(rows.iter().map(Row::cells)).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
    let mut out = String::new();
    for line in &lines {
        let mut text = String::new();
        for (column, cell) in line.iter().enumerate() {
            let width = width(column).unwrap_or_default();
            match column {
                2..=5 => text.push_str(&format!("  {cell:>width$}")),
                _ => text.push_str(&format!("  {cell:<width$}")),
            }
        }
        out.push_str(text.trim_end());
        out.push('\n');
    }
    out
}
