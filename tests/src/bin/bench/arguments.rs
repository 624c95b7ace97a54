//! The command line.

use std::path::PathBuf;

const USAGE: &str = "bench [--quick] [--rounds N] [--alone] [--check] [--json FILE] [--markdown FILE] [NAME…]";

/// The amount of measuring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// A quick look that shows that the benchmark works.
    Quick,
    /// The effort for figures that are told to others.
    Full,
}

impl Effort {
    /// Returns the one value or the other, by the effort.
    pub(crate) fn choose<T>(self, quick: T, full: T) -> T {
        match self {
            Self::Quick => quick,
            Self::Full => full,
        }
    }
}

/// See the crate's documentation.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    pub(crate) effort: Effort,
    /// The number of turns that every subject has, if the command line gives
    /// it.
    pub(crate) rounds: Option<usize>,
    /// Tells whether Baton is measured without the others.
    pub(crate) alone: bool,
    pub(crate) check: bool,
    pub(crate) json: Option<PathBuf>,
    pub(crate) markdown: Option<PathBuf>,
    names: Vec<String>,
}

impl Arguments {
    /// # Errors
    /// What is wrong, for the person who wrote it.
    pub(crate) fn parse(mut given: impl Iterator<Item = String>, known: &[&str]) -> Result<Self, String> {
        let mut arguments = Self {
            effort: Effort::Full,
            rounds: None,
            alone: false,
            check: false,
            json: None,
            markdown: None,
            names: Vec::new(),
        };
        while let Some(argument) = given.next() {
            let mut value = || given.next();
            match argument.as_str() {
                "--quick" => arguments.effort = Effort::Quick,
                "--rounds" => {
                    let count = value().and_then(|count| count.parse().ok()).filter(|count| *count > 0);
                    arguments.rounds = Some(count.ok_or("--rounds wants a number")?);
                }
                "--alone" => arguments.alone = true,
                "--check" => arguments.check = true,
                "--json" => arguments.json = Some(value().ok_or("--json wants a file")?.into()),
                "--markdown" => arguments.markdown = Some(value().ok_or("--markdown wants a file")?.into()),
                option if option.starts_with('-') => {
                    return Err(format!("there is no option {option}: {USAGE}"));
                }
                name if !known.iter().any(|known| known.starts_with(name)) => {
                    let known = known.join(", ");
                    return Err(format!("there is no measurement {name}, only {known}: {USAGE}"));
                }
                _ => arguments.names.push(argument),
            }
        }
        Ok(arguments)
    }

    /// Tells whether the measurement called `name` is wanted.
    pub(crate) fn want(&self, name: &str, slow: bool) -> bool {
        let unasked = self.names.is_empty() && !(slow && self.effort == Effort::Quick);
        unasked || self.names.iter().any(|wanted| name.starts_with(wanted.as_str()))
    }
}
