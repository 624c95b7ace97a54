//! Findings as bytes that outlive the process, and back.

use std::collections::BTreeMap;

use js_runtime_api::{Definition, Warning};
use serde::{Deserialize, Serialize};

use super::{DefinedFunction, Findings, STEP_ID_REPEATED, STEP_NESTED};

#[derive(Serialize, Deserialize)]
struct StoredFindings {
    functions: Vec<StoredFunction>,
    warnings: Vec<StoredWarning>,
}

#[derive(Serialize, Deserialize)]
struct StoredFunction {
    id: Option<String>,
    line: u32,
    retries: Option<u32>,
    texts: BTreeMap<String, u32>,
    starts_program: Option<(String, u32)>,
}

#[derive(Serialize, Deserialize)]
struct StoredWarning {
    code: String,
    function: Option<String>,
    message: String,
    line: Option<u32>,
    help: Option<String>,
}

/// Turns findings into bytes; `None` when they cannot be written.
pub(crate) fn to_bytes(findings: &Findings) -> Option<Vec<u8>> {
    let function = |DefinedFunction { id, definition }: &DefinedFunction| StoredFunction {
        id: id.clone(),
        line: definition.line,
        retries: definition.retries,
        texts: definition.texts.clone(),
        starts_program: definition.starts_program.clone(),
    };
    let warning = |warning: &Warning| StoredWarning {
        code: warning.code.clone().into_owned(),
        function: warning.function.clone(),
        message: warning.message.clone(),
        line: warning.line,
        help: warning.help.clone(),
    };
    let kept = StoredFindings {
        functions: findings.functions.iter().map(function).collect(),
        warnings: findings.warnings.iter().map(warning).collect(),
    };
    serde_json::to_vec(&kept).ok()
}

/// Reads findings from bytes; `None` when the bytes are not ours.
pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Findings> {
    let StoredFindings { functions, warnings } = serde_json::from_slice(bytes).ok()?;
    let function = |kept: StoredFunction| DefinedFunction {
        id: kept.id,
        definition: Definition {
            line: kept.line,
            retries: kept.retries,
            texts: kept.texts,
            starts_program: kept.starts_program,
            ..Definition::default()
        },
    };
    let warning = |kept: StoredWarning| {
        let code = [STEP_NESTED, STEP_ID_REPEATED]
            .into_iter()
            .find(|known| *known == kept.code)?;
        Some(Warning {
            code: code.into(),
            function: kept.function,
            message: kept.message,
            line: kept.line,
            help: kept.help,
            ..Warning::default()
        })
    };
    Some(Findings {
        functions: functions.into_iter().map(function).collect(),
        warnings: warnings.into_iter().map(warning).collect::<Option<_>>()?,
    })
}

#[cfg(test)]
mod tests {
    use deno_ast::MediaType;
    use deno_core::url::Url;

    use super::{from_bytes, to_bytes};
    use crate::prelude::findings;
    use crate::source::transpile;

    #[test]
    fn what_was_found_reads_back_and_what_is_not_ours_does_not() {
        let text = "export const f = inngest.createFunction({ id: 'f', retries: 1 }, { cron: '* * * * *' }, async ({ step }) => {\n\
                    execSync('ls');\n await step.run('a', () => step.run('b', g));\n\
                    await Promise.all(xs.map((x) => step.run('same', () => x)));\n});";
        let url = Url::parse("file:///p/a.ts").unwrap();
        let parsed = transpile::parse(&url, MediaType::TypeScript, text.into()).unwrap();
        let found = findings::look(&parsed);
        assert_eq!((found.functions.len(), found.warnings.len()), (1, 2), "{found:?}");
        let bytes = to_bytes(&found).unwrap();
        assert_eq!(from_bytes(&bytes), Some(found));

        assert_eq!(from_bytes(b""), None);
        assert_eq!(from_bytes(&bytes[..bytes.len() - 1]), None);
        let unknown = String::from_utf8(bytes)
            .unwrap()
            .replace("step_nested", "step_of_later");
        assert_eq!(from_bytes(unknown.as_bytes()), None);
    }
}
