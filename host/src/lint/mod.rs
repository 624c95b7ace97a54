//! Warnings about a project that loads: each has its place, and tells what to write instead. Nothing here changes
//! anything; `deny` in `baton.toml` makes a code an error.

mod cron;
mod option_expressions;
mod removed_functions;
mod retries;
mod unsplit_configuration;
mod warning;
mod warning_code;

use js_runtime_api::{LoadError, LoadErrorKind, Manifest, Warning};

pub use removed_functions::ServingCode;
pub use warning_code::{LIVE_RUNS, WarningCode, parse_code};

/// Returns all warnings about new code, also in comparison with the code that serves before it.
#[must_use]
pub fn look(new: &Manifest, before: Option<&ServingCode<'_>>) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for (_, function) in new.functions() {
        warnings.extend(retries::look(function));
        warnings.extend(cron::look(function));
        warnings.extend(option_expressions::look(function));
    }
    if let Some(before) = before {
        warnings.extend(removed_functions::look(before, new));
        if before.stays {
            warnings.extend(unsplit_configuration::look(before.manifest, new));
        }
    }
    warnings
}

/// Returns one error for all denied warnings, if there are some.
#[must_use]
pub fn denied(warnings: &[Warning], deny: &[WarningCode]) -> Option<LoadError> {
    let mut denied = warnings
        .iter()
        .filter(|warning| deny.iter().any(|code| *code == warning.code));
    let first = denied.next()?;
    let mut message = format!("{} ({})", first.message, first.code);
    for other in denied {
        let place = other.file.as_ref().map(|file| match other.line {
            Some(line) => format!("{file}:{line}: "),
            None => format!("{file}: "),
        });
        message.push_str(&format!(
            "\n{}{} ({})",
            place.unwrap_or_default(),
            other.message,
            other.code
        ));
    }
    let deny = format!("`deny` in baton.toml makes {} an error.", first.code);
    Some(LoadError {
        kind: LoadErrorKind::Lint,
        message,
        file: first.file.clone(),
        line: first.line,
        help: Some(match &first.help {
            Some(help) => format!("{help}\n{deny}"),
            None => deny,
        }),
        ..LoadError::default()
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use js_runtime_api::{App, Definition, Function, LoadErrorKind, Manifest};
    use serde_json::json;

    use super::{ServingCode, denied, look};

    fn function(id: &str) -> Function {
        Function {
            id: format!("app-{id}"),
            name: id.to_owned(),
            triggers: vec![json!({"event": format!("app/{id}")})],
            retries: Some(3),
            definition: Some(Definition {
                file: "functions/a.ts".to_owned(),
                line: 3,
                retries: Some(5),
                texts: BTreeMap::from([("0 0 31 2 *".to_owned(), 7), ("data.user".to_owned(), 8)]),
                starts_program: None,
            }),
            ..Function::default()
        }
    }

    fn manifest(functions: Vec<Function>) -> Manifest {
        let app = App {
            id: "app".to_owned(),
            functions,
            ..App::default()
        };
        Manifest {
            apps: vec![app],
            ..Manifest::default()
        }
    }

    /// Checks that these warnings are found, each by its code and its line.
    fn check(function: Function, expected: &[(&str, u32)]) {
        let warnings = look(&manifest(vec![function]), None);
        let found: Vec<_> = warnings
            .iter()
            .map(|found| (&*found.code, found.line.unwrap()))
            .collect();
        assert_eq!(found, expected, "{warnings:#?}");
        for warning in warnings {
            assert_eq!(warning.file.as_deref(), Some("functions/a.ts"));
            assert!(warning.help.is_some_and(|help| !help.is_empty()));
        }
    }

    #[test]
    fn a_plain_function_is_not_worth_a_word() {
        check(function("a"), &[]);
    }

    #[test]
    fn no_retries_at_all_are_told_where_they_are_written() {
        check(
            Function {
                retries: Some(0),
                ..function("a")
            },
            &[("retries_zero", 5)],
        );
    }

    #[test]
    fn a_long_function_that_says_nothing_about_retries_is_told() {
        let long = |finish: &str| Function {
            retries: None,
            config: BTreeMap::from([("timeouts".to_owned(), json!({"finish": finish}))]),
            ..function("a")
        };
        check(long("30m"), &[("retries_unsaid", 3)]);
        check(long("10s"), &[]);
        let defaulted = Function {
            retries: Some(2),
            retries_defaulted: true,
            ..long("30m")
        };
        check(defaulted, &[]);
        let mut starts = Function {
            retries: None,
            ..function("a")
        };
        starts.definition.as_mut().unwrap().starts_program = Some(("execSync".to_owned(), 12));
        check(starts, &[("retries_unsaid", 3)]);
    }

    #[test]
    fn crons_that_are_never_due_or_no_crons_are_told() {
        let cron = |cron: &str| Function {
            triggers: vec![json!({"cron": cron})],
            ..function("a")
        };
        check(cron("0 0 31 2 *"), &[("cron_never", 7)]);
        check(cron("TZ=Europe/Berlin 0 0 30 2 *"), &[("cron_never", 3)]);
        check(cron("0 25 * * *"), &[("cron_invalid", 3)]);
        check(cron("TZ=Europe/Nowhere 0 7 * * *"), &[("cron_invalid", 3)]);
        check(cron("0 * * * * *"), &[("cron_invalid", 3)]);
        for good in [
            "TZ=Europe/Berlin 0 7 * * *",
            "*/5 * * * 1-5",
            "@daily",
            "@every 90s",
            "0 0 29 2 *",
        ] {
            check(cron(good), &[]);
        }
    }

    #[test]
    fn expressions_that_cannot_be_evaluated_are_told() {
        let key = |key: &str| Function {
            config: BTreeMap::from([("concurrency".to_owned(), json!([{"limit": 1, "key": key}]))]),
            ..function("a")
        };
        check(key("data.user"), &[("expression_invalid", 8)]);
        check(key("event.data.user ="), &[("expression_invalid", 3)]);
        check(key("${event.data.user}"), &[("expression_invalid", 3)]);
        for good in [
            "event.data.user",
            "event.data.a + '-' + string(event.data.b)",
            "'all'",
            "lowercase(event.name)",
        ] {
            check(key(good), &[]);
        }
    }

    #[test]
    fn what_is_gone_and_what_got_another_id_are_told() {
        let before = manifest(vec![function("old"), function("gone"), function("stays")]);
        let mut renamed = function("new");
        renamed.triggers = vec![json!({"event": "app/old"})];
        let new = manifest(vec![renamed, function("stays")]);
        let alive = |id: &str| usize::from(id == "app-gone");
        let warnings = look(
            &new,
            Some(&ServingCode {
                manifest: &before,
                stays: false,
                alive: &alive,
            }),
        );
        let told: Vec<_> = warnings
            .iter()
            .map(|told| (&*told.code, told.function.as_deref().unwrap()))
            .collect();
        assert_eq!(told, [("id_changed", "app-new"), ("function_gone", "app-gone")]);
        assert!(warnings[1].message.contains("1 call"), "{:?}", warnings[1]);
    }

    #[test]
    fn a_canary_is_told_of_the_configurations_that_it_changes() {
        let before = manifest(vec![function("a"), function("b"), function("gone")]);
        let mut changed = function("b");
        changed.retries = Some(1);
        changed.config = BTreeMap::from([("concurrency".to_owned(), json!(3))]);
        let mut edited = function("a");
        edited.source_hash = Some("another text".to_owned());
        let new = manifest(vec![edited, changed, function("added")]);
        let told = |stays| {
            let alive = |_: &str| 0;
            let before = ServingCode {
                manifest: &before,
                stays,
                alive: &alive,
            };
            let mut warnings = look(&new, Some(&before));
            warnings.retain(|warning| warning.code == "configuration_unsplit");
            warnings
        };
        assert_eq!(told(false), []);
        let warnings = told(true);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(
            warnings[0].message.contains("app-b (concurrency, retries)"),
            "{}",
            warnings[0].message
        );
    }

    #[test]
    fn what_is_denied_is_an_error_at_its_place() {
        let zero = Function {
            retries: Some(0),
            ..function("a")
        };
        let warnings = look(&manifest(vec![zero]), None);
        assert_eq!(denied(&warnings, &["cron_never"]), None);
        let error = denied(&warnings, &["retries_zero"]).unwrap();
        assert_eq!(
            (error.kind, error.file.as_deref(), error.line),
            (LoadErrorKind::Lint, Some("functions/a.ts"), Some(5))
        );
        assert!(error.help.unwrap().contains("deny"), "{}", error.message);
    }
}
