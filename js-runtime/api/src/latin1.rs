//! Values of headers as JavaScript has them: bytes, each of them a character (ISO 8859-1). Nothing is lost either
//! way, whatever a client or an app sends.

/// Reads a header's value as a string of the Fetch standard ("isomorphic decode").
#[must_use]
pub fn header_text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.is_ascii() => text.to_owned(),
        _ => bytes.iter().copied().map(char::from).collect(),
    }
}

/// Returns the bytes of such a string. A character beyond ISO 8859-1, which no JavaScript can have given, becomes a
/// question mark.
#[must_use]
pub fn header_bytes(text: &str) -> Vec<u8> {
    if text.is_ascii() {
        return text.as_bytes().to_vec();
    }
    text.chars()
        .map(|character| u8::try_from(character).unwrap_or(b'?'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{header_bytes, header_text};

    #[test]
    fn every_byte_is_a_character_and_back() {
        let all: Vec<u8> = (0..=255).collect();
        let text = header_text(&all);
        assert_eq!(text.chars().count(), 256);
        assert_eq!(header_bytes(&text), all);
        assert_eq!(header_text("Łódź".as_bytes()), "\u{c5}\u{81}\u{c3}\u{b3}d\u{c5}\u{ba}");
        assert_eq!(header_bytes("a→b"), b"a?b");
    }
}
