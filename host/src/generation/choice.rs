//! The generation that a person names for a run.

use std::fmt;
use std::str::FromStr;

use super::state::GenerationId;

/// The name of a live generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GenerationChoice {
    /// The canary that is on.
    Canary,
    Number(GenerationId),
}

impl FromStr for GenerationChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "canary" {
            return Ok(Self::Canary);
        }
        let number = text.parse().map(|number| Self::Number(GenerationId(number)));
        number.map_err(|_| format!("expected `canary` or the number of a generation, got {text:?}"))
    }
}

impl fmt::Display for GenerationChoice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Canary => formatter.write_str("canary"),
            Self::Number(GenerationId(number)) => write!(formatter, "{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{GenerationChoice, GenerationId};

    #[test]
    fn a_generation_is_named_by_its_number_or_as_the_canary() {
        for (text, choice) in [
            ("canary", GenerationChoice::Canary),
            ("8", GenerationChoice::Number(GenerationId(8))),
        ] {
            assert_eq!(text.parse(), Ok(choice));
            assert_eq!(choice.to_string(), text);
        }
        for wrong in ["", "eight", "-1", "Canary"] {
            wrong.parse::<GenerationChoice>().unwrap_err();
        }
    }
}
