//! The code that a file became.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// The JavaScript that was made of a file, and the map of it back to the file.
#[derive(Debug)]
pub(crate) struct EmittedCode {
    pub(crate) code: Arc<str>,
    pub(crate) source_map: Option<Arc<[u8]>>,
}

impl EmittedCode {
    /// Returns the bytes for the disk: the length of the code, the code, and the map behind it if there is one.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let map = self.source_map.as_deref().unwrap_or_default();
        let length = (self.code.len() as u64).to_le_bytes();
        [&length, self.code.as_bytes(), map].concat()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk::<8>()?;
        let (code, map) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        Some(Self {
            code: std::str::from_utf8(code).ok()?.into(),
            source_map: (!map.is_empty()).then(|| map.into()),
        })
    }

    /// Adds the map for debuggers, which find it in a comment behind the code.
    pub(crate) fn with_source_map_in_code(self) -> Self {
        let Some(map) = &self.source_map else {
            return self;
        };
        let map = BASE64_STANDARD.encode(map);
        let code = format!(
            "{}\n//# sourceMappingURL=data:application/json;base64,{map}\n",
            self.code
        );
        Self {
            code: code.into(),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::EmittedCode;

    #[test]
    fn what_was_emitted_reads_back_and_what_is_too_short_does_not() {
        for source_map in [None, Some(b"{}".as_slice().into())] {
            let emitted = EmittedCode {
                code: "export const a = \"\u{e9}\";".into(),
                source_map,
            };
            let bytes = emitted.to_bytes();
            let again = EmittedCode::from_bytes(&bytes).unwrap();
            assert_eq!(
                (again.code, again.source_map),
                (emitted.code.clone(), emitted.source_map)
            );
            assert!(EmittedCode::from_bytes(&bytes[..emitted.code.len()]).is_none());
        }
        assert!(EmittedCode::from_bytes(b"").is_none());
        assert!(EmittedCode::from_bytes(&[255; 20]).is_none());
    }
}
