//! The command line.

use std::path::PathBuf;

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// To see that it works.
    Quick,
    /// For figures that are told to others.
    Full,
}

impl Effort {
    /// One or the other.
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
    pub(crate) check: bool,
    pub(crate) json: Option<PathBuf>,
    names: Vec<String>,
}

impl Arguments {
    /// # Errors
    /// What is wrong, for the person who wrote it.
    pub(crate) fn parse(mut given: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut arguments = Self {
            effort: Effort::Full,
            check: false,
            json: None,
            names: Vec::new(),
        };
        while let Some(argument) = given.next() {
            match argument.as_str() {
                "--quick" => arguments.effort = Effort::Quick,
                "--check" => arguments.check = true,
                "--json" => {
                    let file = given.next().ok_or("--json wants a file")?;
                    arguments.json = Some(file.into());
                }
                option if option.starts_with('-') => {
                    return Err(format!(
                        "there is no option {option}: bench [--quick] [--check] [--json FILE] [NAME…]"
                    ));
                }
                _ => arguments.names.push(argument),
            }
        }
        Ok(arguments)
    }

    /// Whether the measurement called `name` is wanted.
    pub(crate) fn want(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|wanted| name.starts_with(wanted.as_str()))
    }
}
