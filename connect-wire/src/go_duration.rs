//! Durations as Go writes them (`time.Duration.String`) and reads them (`time.ParseDuration`): `10s`, `1m30s`, `500ms`,
//! `1.5h`. The gateway says its intervals so.

use std::time::Duration;

use thiserror::Error;

/// A text that is no duration, or one that is not in question here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum GoDurationError {
    /// The text is not of Go's form.
    #[error("not a duration: expected a number and a unit, such as `10s` or `1m30s`")]
    Malformed,
    /// The duration is below zero.
    #[error("negative duration")]
    Negative,
    /// The duration is longer than Go's longest, about 292 years.
    #[error("duration is too long")]
    TooLong,
}

/// Go counts in nanoseconds, in 64 bits with a sign.
const LONGEST: u128 = i64::MAX as u128;

/// More digits behind the point say nothing in nanoseconds.
const DIGITS: usize = 18;

/// Reads a duration.
///
/// ```
/// use std::time::Duration;
/// use connect_wire::go_duration;
///
/// assert_eq!(go_duration::parse("1m30.5s"), Ok(Duration::from_millis(90_500)));
/// ```
///
/// # Errors
/// The text is refused where Go refuses it, and where it is below zero.
pub fn parse(text: &str) -> Result<Duration, GoDurationError> {
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(GoDurationError::Malformed);
    }
    let mut total = 0_u128;
    while !rest.is_empty() {
        let (whole, after) = digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(GoDurationError::Malformed);
        }
        let end = after
            .find(|letter: char| letter == '.' || letter.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let unit = nanoseconds(unit).ok_or(GoDurationError::Malformed)?;
        let whole: u128 = match whole {
            "" => 0,
            whole => whole.parse().map_err(|_| GoDurationError::TooLong)?,
        };
        let fraction = &fraction[..fraction.len().min(DIGITS)];
        let part: u128 = fraction.parse().unwrap_or(0);
        let scale = 10_u128.pow(u32::try_from(fraction.len()).unwrap_or(0));
        total = whole
            .checked_mul(unit)
            .and_then(|nanoseconds| nanoseconds.checked_add(part * unit / scale))
            .and_then(|nanoseconds| nanoseconds.checked_add(total))
            .filter(|nanoseconds| *nanoseconds <= LONGEST)
            .ok_or(GoDurationError::TooLong)?;
        rest = after;
    }
    if negative && total > 0 {
        return Err(GoDurationError::Negative);
    }
    Ok(Duration::from_nanos(u64::try_from(total).unwrap_or(u64::MAX)))
}

/// Writes a duration as Go does.
///
/// ```
/// use std::time::Duration;
/// use connect_wire::go_duration;
///
/// assert_eq!(go_duration::text(Duration::from_secs(120)), "2m0s");
/// assert_eq!(go_duration::text(Duration::from_millis(1500)), "1.5s");
/// ```
#[must_use]
pub fn text(duration: Duration) -> String {
    let nanoseconds = duration.as_nanos();
    match nanoseconds {
        0 => "0s".to_owned(),
        1..1_000 => format!("{nanoseconds}ns"),
        1_000..1_000_000 => decimal(nanoseconds, 1_000, "µs"),
        1_000_000..1_000_000_000 => decimal(nanoseconds, 1_000_000, "ms"),
        _ => {
            let seconds = decimal(nanoseconds % 60_000_000_000, 1_000_000_000, "s");
            let minutes = nanoseconds / 60_000_000_000;
            match (minutes / 60, minutes % 60) {
                (0, 0) => seconds,
                (0, minutes) => format!("{minutes}m{seconds}"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
            }
        }
    }
}

fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

fn nanoseconds(unit: &str) -> Option<u128> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

fn decimal(nanoseconds: u128, unit: u128, name: &str) -> String {
    let (whole, part) = (nanoseconds / unit, nanoseconds % unit);
    if part == 0 {
        return format!("{whole}{name}");
    }
    let width = unit.ilog10() as usize;
    let part = format!("{part:0width$}");
    format!("{whole}.{}{name}", part.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fuzz::{bytes_of, fuzz};

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, milliseconds) in [
            ("0", 0),
            ("0s", 0),
            ("-0", 0),
            ("10s", 10_000),
            ("+5s", 5_000),
            ("1m30s", 90_000),
            ("2m0s", 120_000),
            ("500ms", 500),
            ("1.5h", 5_400_000),
            (".5s", 500),
            ("1.s", 1_000),
            ("1h2m3s4ms", 3_723_004),
            ("3000us", 3),
            ("3000µs", 3),
            ("3000μs", 3),
            ("0.100000000000000000000000s", 100),
            ("30s1m", 90_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "-", "+", "10", "s", ".s", "1x", "1 s", "10S", "1m30", "1s-1s", "١s"] {
            assert_eq!(parse(text), Err(GoDurationError::Malformed), "{text:?}");
        }
        assert_eq!(parse("-1s"), Err(GoDurationError::Negative));
        for text in ["9223372036854775808ns", "99999999999999999999999999999999999999999999h"] {
            assert_eq!(parse(text), Err(GoDurationError::TooLong), "{text}");
        }
        assert_eq!(
            parse("9223372036854775807ns"),
            Ok(Duration::from_nanos(i64::MAX as u64))
        );
    }

    #[test]
    fn durations_are_written_as_go_writes_them() {
        for (nanoseconds, expected) in [
            (0, "0s"),
            (1, "1ns"),
            (1_100, "1.1µs"),
            (2_200_000, "2.2ms"),
            (3_300_000_000, "3.3s"),
            (245_000_000_000, "4m5s"),
            (245_001_000_000, "4m5.001s"),
            (18_367_001_000_000, "5h6m7.001s"),
            (480_000_000_001, "8m0.000000001s"),
            (3_600_000_000_000, "1h0m0s"),
        ] {
            assert_eq!(text(Duration::from_nanos(nanoseconds)), expected);
        }
    }

    proptest! {
        #[test]
        fn each_duration_is_read_as_it_was_written(nanoseconds in 0..=i64::MAX as u64) {
            let duration = Duration::from_nanos(nanoseconds);
            prop_assert_eq!(parse(&text(duration)), Ok(duration));
        }
    }

    #[test]
    fn fuzz_durations_are_read_or_refused() {
        let parts: &[&[u8]] = &[
            b"1",
            b"90",
            b".",
            b"s",
            b"m",
            b"h",
            b"ms",
            b"\xc2\xb5s",
            b"-",
            b"+",
            b"0",
        ];
        fuzz("durations", &bytes_of(parts, 12), |bytes| {
            if let Ok(duration) = parse(&String::from_utf8_lossy(&bytes)) {
                prop_assert_eq!(parse(&text(duration)), Ok(duration));
            }
            Ok(())
        });
    }
}
