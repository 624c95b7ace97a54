//! ULIDs: ids whose first ten characters are a time. The ids of connections tell the server's clock, those of leases the
//! lease's end.

use std::time::Duration;

/// The digits of Crockford's base 32.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// The characters of a ULID.
const LENGTH: usize = 26;

/// The characters of them that are the time.
const TIME: usize = 10;

/// Returns the time of a ULID, since 1970; `None` where the text is no ULID.
///
/// ```
/// use std::time::Duration;
/// use connect_wire::ulid;
///
/// let id = ulid::text(Duration::from_millis(1_700_000_000_123), 42);
/// assert_eq!(ulid::time(&id), Some(Duration::from_millis(1_700_000_000_123)));
/// assert_eq!(ulid::time("no ULID"), None);
/// ```
#[must_use]
pub fn time(ulid: &str) -> Option<Duration> {
    if ulid.len() != LENGTH || ulid.as_bytes()[0] > b'7' {
        return None;
    }
    let digits: Option<Vec<u64>> = ulid.bytes().map(digit).collect();
    let milliseconds = digits?[..TIME].iter().fold(0_u64, |time, digit| (time << 5) | digit);
    Some(Duration::from_millis(milliseconds))
}

/// Makes a ULID of a time since 1970, in milliseconds, and of a number that tells it apart from others: its lowest 80
/// bits count.
#[must_use]
pub fn text(time: Duration, number: u128) -> String {
    let time = time.as_millis() & ((1 << 48) - 1);
    let value = (time << 80) | (number & ((1 << 80) - 1));
    (0..LENGTH)
        .rev()
        .map(|place| DIGITS[((value >> (5 * place)) & 31) as usize] as char)
        .collect()
}

fn digit(letter: u8) -> Option<u64> {
    let letter = letter.to_ascii_uppercase();
    let value = DIGITS.iter().position(|digit| *digit == letter)?;
    u64::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_time_of_a_known_ulid_is_read() {
        // https://github.com/ulid/spec
        let time = time("01ARZ3NDEKTSV4RRFFQ69G5FAV");
        assert_eq!(time, Some(Duration::from_millis(1_469_922_850_259)));
        assert_eq!(super::time("01arz3ndektsv4rrffq69g5fav"), time);
    }

    #[test]
    fn other_texts_have_no_time() {
        let longest = "7ZZZZZZZZZZZZZZZZZZZZZZZZZ";
        assert_eq!(time(longest), Some(Duration::from_millis((1 << 48) - 1)));
        for text in [
            "",
            "01ARZ3NDEKTSV4RRFFQ69G5FA",
            "01ARZ3NDEKTSV4RRFFQ69G5FAVX",
            "8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
            "01ARZ3NDEKTSV4RRFFQ69G5FAU",
            "01ARZ3NDEKTSV4RRFFQ69G5Fé",
        ] {
            assert_eq!(time(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_ulid_keeps_its_time_and_sorts_by_it(first in 0..(1_u64 << 48), second in 0..(1_u64 << 48), number: u128) {
            let of = |milliseconds| text(Duration::from_millis(milliseconds), number);
            prop_assert_eq!(time(&of(first)), Some(Duration::from_millis(first)));
            prop_assert_eq!(of(first).cmp(&of(second)), first.cmp(&second));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,30}") {
            let _ = time(&text);
        }
    }
}
