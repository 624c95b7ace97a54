//! Names of runs and events, in the shape of Inngest's: ULIDs.

use jiff::Timestamp;

const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Makes a new name: 48 bits of time, 80 bits of chance.
#[must_use]
pub fn ulid() -> String {
    let millis = u128::try_from(Timestamp::now().as_millisecond()).unwrap_or_default();
    let mut chance = [0_u8; 16];
    // Without chance the time is left, by which the ids of one run differ.
    let _ = getrandom::fill(&mut chance[6..]);
    text((millis << 80) | u128::from_be_bytes(chance))
}

/// Writes a number as a ULID.
#[must_use]
pub fn text(number: u128) -> String {
    (0..26)
        .rev()
        .map(|place| {
            let digit = (number >> (5 * place)) & 31;
            char::from(LETTERS[usize::try_from(digit).unwrap_or_default()])
        })
        .collect()
}

/// Reads the number of a ULID.
#[must_use]
pub fn number(ulid: &str) -> Option<u128> {
    ulid.bytes().try_fold(0_u128, |number, letter| {
        let digit = LETTERS.iter().position(|known| *known == letter)?;
        number.checked_mul(32)?.checked_add(u128::try_from(digit).ok()?)
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn ids_are_ulids_and_differ() {
        let (one, other) = (super::ulid(), super::ulid());
        assert_eq!(one.len(), 26);
        assert_ne!(one, other);
        assert!(one.starts_with("01"), "{one}");
        assert_eq!(super::number(&one).map(super::text), Some(one));
    }
}
