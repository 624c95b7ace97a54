//! A time as the SDK writes it: `1d12h` from now on, or an ISO date.

use std::time::Duration;

use jiff::Timestamp;

/// The time at which something is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moment {
    /// A time so long after the text was said.
    After(Duration),
    At(Timestamp),
    /// A text that is no time.
    Unreadable(String),
}

impl Moment {
    /// Reads `2s`, `1h30m`, `500ms` (units `w d h m s ms`), or a date.
    #[must_use]
    pub fn read(text: &str) -> Self {
        if let Some(duration) = duration(text) {
            return Self::After(duration);
        }
        match text.parse() {
            Ok(at) => Self::At(at),
            Err(_) => Self::Unreadable(text.to_owned()),
        }
    }

    /// Reads the value of a `retry-after` header: seconds, or a date of either kind.
    #[must_use]
    pub fn retry_after(text: &str) -> Option<Self> {
        if let Ok(seconds) = text.trim().parse() {
            return Some(Self::After(Duration::from_secs(seconds)));
        }
        if let Ok(at) = text.trim().parse() {
            return Some(Self::At(at));
        }
        let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text.trim());
        date.ok().map(Self::At)
    }

    /// The time that is left until the moment; zero once the moment has passed.
    #[must_use]
    pub fn left(&self, now: Timestamp) -> Duration {
        match self {
            Self::After(duration) => *duration,
            Self::At(at) => Duration::try_from(at.duration_since(now)).unwrap_or_default(),
            Self::Unreadable(_) => Duration::ZERO,
        }
    }
}

fn duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit())?;
        let (number, after) = rest.split_at(digits);
        let letters = after
            .find(|letter: char| !letter.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let millis: u64 = match unit {
            "w" => 7 * 24 * 60 * 60 * 1000,
            "d" => 24 * 60 * 60 * 1000,
            "h" => 60 * 60 * 1000,
            "m" => 60 * 1000,
            "s" => 1000,
            "ms" => 1,
            _ => return None,
        };
        let count: u64 = number.parse().ok()?;
        total = total.checked_add(Duration::from_millis(count.checked_mul(millis)?))?;
        rest = after;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::Moment;

    #[test]
    fn times_are_read_as_the_sdk_writes_them() {
        let check = |text: &str, seconds: u64| {
            assert_eq!(
                Moment::read(text),
                Moment::After(Duration::from_secs(seconds)),
                "{text}"
            );
        };
        check("2s", 2);
        check("1h30m", 5400);
        check("1w1d", 8 * 24 * 60 * 60);
        assert_eq!(Moment::read("500ms"), Moment::After(Duration::from_millis(500)));
        let at: Timestamp = "2026-08-01T10:00:00Z".parse().unwrap();
        assert_eq!(Moment::read("2026-08-01T10:00:00.000Z"), Moment::At(at));
        assert_eq!(Moment::read("soon"), Moment::Unreadable("soon".to_owned()));
        assert_eq!(Moment::read(""), Moment::Unreadable(String::new()));
    }

    #[test]
    fn a_date_that_has_passed_is_due_now() {
        let now: Timestamp = "2026-08-01T10:00:00Z".parse().unwrap();
        assert_eq!(Moment::read("2026-08-01T10:00:05Z").left(now), Duration::from_secs(5));
        assert_eq!(Moment::read("2026-07-01T10:00:00Z").left(now), Duration::ZERO);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let after = |text| Moment::retry_after(text);
        assert_eq!(after("30"), Some(Moment::After(Duration::from_secs(30))));
        assert!(matches!(after("2026-08-01T10:00:00.000Z"), Some(Moment::At(_))));
        assert!(matches!(after("Sat, 01 Aug 2026 10:00:00 GMT"), Some(Moment::At(_))));
        assert_eq!(after("later"), None);
    }
}
