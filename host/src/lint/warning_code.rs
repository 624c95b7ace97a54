//! The names of warnings: stable, for machines and for `deny`.

/// A warning's name.
pub type WarningCode = &'static str;

/// The name of the warning about live runs that new code would disturb.
pub const LIVE_RUNS: WarningCode = "live_runs";

/// The names of the warnings that may reject code; docs/warnings.md explains each.
pub const CODES: [WarningCode; 12] = [
    "configuration_unsplit",
    "cron_invalid",
    "cron_never",
    "expression_invalid",
    "function_gone",
    "functions_unknown",
    "id_changed",
    LIVE_RUNS,
    "retries_unsaid",
    "retries_zero",
    "step_id_repeated",
    "step_nested",
];

/// Finds a code.
///
/// # Errors
/// With the nearest one, for the person who wrote it.
pub fn parse_code(text: &str) -> Result<WarningCode, String> {
    if let Some(code) = CODES.iter().find(|code| **code == text) {
        return Ok(code);
    }
    let scored = CODES.iter().map(|code| (strsim::jaro_winkler(text, code), *code));
    let nearest = scored
        .filter(|(score, _)| *score > 0.7)
        .max_by(|one, other| one.0.total_cmp(&other.0));
    Err(match nearest {
        Some((_, code)) => format!("unknown warning {text:?}, did you mean {code:?}?"),
        None => format!("unknown warning {text:?}: expected one of {}", CODES.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use super::{CODES, parse_code};

    #[test]
    fn each_warning_is_in_the_manual() {
        let manual = include_str!("../../../docs/warnings.md");
        for code in CODES {
            assert!(manual.contains(&format!("| `{code}` |")), "{code}");
            assert_eq!(parse_code(code), Ok(code));
        }
    }

    #[test]
    fn a_slip_of_the_pen_is_answered_with_the_nearest() {
        assert!(parse_code("retry_zero").unwrap_err().contains("\"retries_zero\""));
    }
}
