//! The reason why a project could not be loaded, and the line of it that is to blame.

use std::collections::HashSet;
use std::path::PathBuf;

use deno_core::error::{CoreError, JsError};
use deno_core::url::Url;
use js_runtime_api::{LoadError, LoadErrorKind};

use crate::control::{ExitCall, StopPosition};
use crate::diagnostics::{self, source_text};
use crate::loader::Modules;
use crate::position::Position;
use crate::prelude::refusals;
use crate::resolve::other_conditions;
use crate::source::packages::is_of_package;
use crate::source::top_level_await::{self, TopLevelAwait};
use crate::source::types::{self, NonValueExport};

/// The reason why a function of the prelude did not return.
#[derive(Debug)]
pub(crate) enum PreludeFailure {
    /// JavaScript threw.
    Threw(Box<JsError>),
    /// Nothing is left to run, and the promise is still pending.
    NeverSettles,
    /// The load took too long; with the place where JavaScript stood, if it ran.
    TimedOut(Option<StopPosition>),
    /// User code called `process.exit`, or another function that ends a process.
    Exited(ExitCall),
    /// The isolate's memory reached a limit.
    OutOfMemory,
    /// Nobody waits for the load any more.
    Abandoned,
    /// Deno refused the call.
    Other(CoreError),
}

const NEVER_SETTLES: &str = "a top-level await never settles: nothing is left that could settle it";

const AWAIT_IN_A_FUNCTION: &str = "Move the await into a function, or await something that ends.";

impl PreludeFailure {
    /// Tells the user the reason, given the module that was being imported and the modules before it.
    pub(super) fn explain(self, module: &Url, modules: &Modules, evaluated: &[Url]) -> LoadError {
        match self {
            Self::Threw(error) => explain_throw(&error, module, modules),
            Self::NeverSettles => at_await(module, modules, evaluated, NEVER_SETTLES),
            Self::TimedOut(stood_at) => match stood_at.and_then(|at| running_at(&at, modules)) {
                Some(position) => {
                    let message = "the module did not finish in time: it was still running here";
                    let help = "Make it faster, or give it more time with --load-timeout.";
                    LoadError {
                        help: Some(help.to_owned()),
                        ..position.into_error(LoadErrorKind::Timeout, message.to_owned())
                    }
                }
                None => at_await(
                    module,
                    modules,
                    evaluated,
                    "the module did not finish in time: it was still waiting",
                ),
            },
            Self::Exited(exit) => exited(exit, module, modules),
            Self::OutOfMemory => {
                let position = Position::start_of(module, &source_text(module, &modules.sources));
                let message = "the module needs more memory than an isolate may have";
                position.into_error(LoadErrorKind::Memory, message.to_owned())
            }
            Self::Abandoned => LoadError {
                message: "the load was abandoned".to_owned(),
                help: Some("Run `baton reload`.".to_owned()),
                ..LoadError::default()
            },
            Self::Other(error) => {
                let position = Position::start_of(module, &source_text(module, &modules.sources));
                position.into_error(LoadErrorKind::Evaluate, error.to_string())
            }
        }
    }
}

fn explain_throw(error: &JsError, module: &Url, modules: &Modules) -> LoadError {
    let message = &error.exception_message;
    if let Some(failure) = modules.failure_behind(message) {
        return failure;
    }
    if let Some(connects) = refusals::connects(error, module, &modules.sources) {
        return connects;
    }
    if let Some((specifier, file)) = unresolved(message)
        && let Ok(referrer) = Url::from_file_path(file)
        && modules.is_compiled(&referrer).unwrap_or(false)
    {
        return modules.missing(specifier, &referrer, message.lines().next().unwrap_or(message));
    }
    if message.contains("Top-level await promise never resolved") {
        let found = diagnostics::from_js_error(error, LoadErrorKind::Timeout, module, &modules.sources);
        return LoadError {
            message: NEVER_SETTLES.to_owned(),
            help: Some(AWAIT_IN_A_FUNCTION.to_owned()),
            ..found
        };
    }
    if let Some(circle) = explain_circle(error, module, modules) {
        return circle;
    }
    if error.name.as_deref() != Some("SyntaxError") {
        let found = diagnostics::from_js_error(error, LoadErrorKind::Evaluate, module, &modules.sources);
        return LoadError {
            help: found.help.or_else(|| advice_on_condition(error, modules)),
            ..found
        };
    }
    // V8 found the error while it linked or compiled; its place, mapped already, stands only in the message.
    let message = diagnostics::message_of(error);
    let kind = if message.contains("does not provide an export") {
        LoadErrorKind::Resolve
    } else {
        LoadErrorKind::Syntax
    };
    let Some((message, url, line, column)) = split_place(message) else {
        return diagnostics::from_js_error(error, kind, module, &modules.sources);
    };
    let position = Position::new(&url, &source_text(&url, &modules.sources), line, column);
    LoadError {
        help: missing_export(message).and_then(|(specifier, name)| {
            advice_on_type(modules, &url, specifier, name).or_else(|| advice_on_names(modules, &url, specifier, name))
        }),
        ..position.into_error(kind, message.to_owned())
    }
}

/// Names a condition where a package throws whose `exports` have another file for that condition, as `server-only`
/// does.
fn advice_on_condition(error: &JsError, modules: &Modules) -> Option<String> {
    let thrown_in = error.frames.first()?.file_name.as_deref()?;
    let path = Url::parse(thrown_in).ok()?.to_file_path().ok()?;
    if !is_of_package(&path) {
        return None;
    }
    let mut folders = path.ancestors().skip(1);
    let (folder, exports) = folders.find_map(|folder| {
        let package = modules.sources.package_json(&folder.join("package.json"))?;
        Some((folder, package.exports.clone()?))
    })?;
    let file = format!("./{}", path.strip_prefix(folder).ok()?.display());
    let condition = other_conditions::before(&exports, &file)?;
    Some(format!(
        "The package has another file for the condition {condition:?}. To use that file, write conditions = \
         [{condition:?}] below [resolve] in baton.toml."
    ))
}

/// Takes `./b` and `Foo` from `The requested module './b' does not provide an export named 'Foo'`.
fn missing_export(message: &str) -> Option<(&str, &str)> {
    let (_, rest) = message.split_once("The requested module '")?;
    let (specifier, rest) = rest.split_once("' does not provide an export named '")?;
    Some((specifier, rest.split_once('\'')?.0))
}

/// The number of modules through which a name is followed.
const LONGEST_WAY: usize = 64;

/// Advises to import or export a name as a type, if it is one where it comes from.
fn advice_on_type(modules: &Modules, importer: &Url, specifier: &str, name: &str) -> Option<String> {
    let mut left = vec![(importer.clone(), specifier.to_owned(), name.to_owned())];
    for _ in 0..LONGEST_WAY {
        let (from, specifier, looked_for) = left.pop()?;
        let Some(url) = modules.found(&specifier, &from) else {
            continue;
        };
        let text = source_text(&url, &modules.sources);
        match types::export_of(&url, &text, &looked_for) {
            NonValueExport::Type => {
                let path = url.to_file_path().unwrap_or_default();
                let root = &modules.sources.project().root;
                let file = path.strip_prefix(root).unwrap_or(&path).display();
                return Some(format!(
                    "{looked_for} is a type in {file}, and types are gone when the code runs: write `import type {{ \
                     {name} }}` or `export type {{ {name} }}`."
                ));
            }
            NonValueExport::Elsewhere(places) => {
                left.extend(
                    places
                        .into_iter()
                        .map(|(specifier, name)| (url.clone(), specifier, name)),
                );
            }
        }
    }
    None
}

/// The most names that a help lists.
const MOST_NAMES: usize = 12;

/// Lists the names that can be imported instead of one that is missing.
fn advice_on_names(modules: &Modules, importer: &Url, specifier: &str, name: &str) -> Option<String> {
    let url = modules.found(specifier, importer)?;
    let mut names = types::values_of(&url, &source_text(&url, &modules.sources));
    names.truncate(MOST_NAMES);
    let has_default = names.iter().any(|name| name == "default");
    names.retain(|name| name != "default");
    let listed = names.join(", ");
    match (names.is_empty(), has_default) {
        (true, false) => Some(format!("{specifier:?} exports no values: export {name} there.")),
        (true, true) => Some(format!(
            "{specifier:?} has only a default export: write `import {name} from {specifier:?}`."
        )),
        (false, _) if name == "default" => Some(format!(
            "{specifier:?} has no default export. Import a name in braces: `import {{ {} }} from {specifier:?}`; it \
             exports {listed}.",
            names[0]
        )),
        (false, _) => Some(format!(
            "{specifier:?} exports {listed}: import one of these, or export {name} there."
        )),
    }
}

/// Names the modules that import each other, where an export was used before it was made.
fn explain_circle(error: &JsError, module: &Url, modules: &Modules) -> Option<LoadError> {
    let message = diagnostics::message_of(error);
    let name = name_before_initialization(message)?;
    let (url, ..) = diagnostics::own_place(error)?;
    let circle = modules.sources.circle(&url, name)?;
    let root = &modules.sources.project().root;
    let names = circle
        .iter()
        .map(|file| file.strip_prefix(root).unwrap_or(file).display().to_string());
    let names = names.collect::<Vec<_>>().join(" → ");
    let found = diagnostics::from_js_error(error, LoadErrorKind::Evaluate, module, &modules.sources);
    Some(LoadError {
        message: format!("{message}: its module is not evaluated yet, because of circular imports: {names}"),
        help: Some(format!(
            "Move {name} into a module of its own that imports none of these."
        )),
        ..found
    })
}

/// Takes `x` from `ReferenceError: Cannot access 'x' before initialization`.
fn name_before_initialization(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("Cannot access '")?;
    let (name, rest) = rest.split_once('\'')?;
    (rest == " before initialization").then_some(name)
}

/// Takes the specifier and the file from `Cannot find module './b'\nRequire stack:\n- /p/a.ts`.
fn unresolved(message: &str) -> Option<(&str, &str)> {
    let (_, rest) = message.split_once("Cannot find module '")?;
    let (specifier, stack) = rest.split_once("'\nRequire stack:\n- ")?;
    Some((specifier, stack.lines().next()?))
}

/// Takes ` at file:///a.ts:1:10` from the end of a message.
fn split_place(message: &str) -> Option<(&str, Url, usize, usize)> {
    let (message, place) = message.rsplit_once(" at ")?;
    let (place, column) = place.rsplit_once(':')?;
    let (url, line) = place.rsplit_once(':')?;
    let url = Url::parse(url).ok().filter(|url| url.scheme() == "file")?;
    Some((message, url, line.parse().ok()?, column.parse().ok()?))
}

/// Returns the place of the interrupted loop in the original source.
fn running_at(at: &StopPosition, modules: &Modules) -> Option<Position> {
    let url = Url::parse(&at.url).ok().filter(|url| url.scheme() == "file")?;
    let (line, column) = modules.original_position(&url, at.line, at.column);
    let text = source_text(&url, &modules.sources);
    Some(Position::new(
        &url,
        &text,
        line.try_into().ok()?,
        column.try_into().ok()?,
    ))
}

fn exited(exit: ExitCall, module: &Url, modules: &Modules) -> LoadError {
    let (url, line, column) = exit.place.unwrap_or_else(|| (module.clone(), 1, 1));
    let position = Position::new(&url, &source_text(&url, &modules.sources), line, column);
    let message = format!("the module called {} while it was loading", exit.call);
    LoadError {
        stack: Some(exit.stack),
        help: Some("Remove the call: a module must not end the process when it is imported.".to_owned()),
        ..position.into_error(LoadErrorKind::Evaluate, message)
    }
}

/// Places the error at the top-level `await` that waits. For a module in TypeScript, which has marks, the place is
/// exact. For others it is as exact as V8 is: V8 says exactly where a module waits only when nothing else is left to
/// run.
///
/// A module of the project comes before packages, as others evaluate its packages every day. Modules that were
/// evaluated before do not wait. Of several awaits in one module the one whose value is exported comes first; the
/// others are named.
fn at_await(module: &Url, modules: &Modules, evaluated: &[Url], message: &str) -> LoadError {
    let order = |module: &Url| {
        let path = module.to_file_path();
        path.map(|path| modules.sources.evaluation_order(&path))
            .unwrap_or_default()
    };
    let settled: HashSet<PathBuf> = evaluated.iter().flat_map(order).collect();
    let (of_packages, own): (Vec<_>, Vec<_>) = order(module)
        .into_iter()
        .filter(|path| !settled.contains(path))
        .partition(|path| is_of_package(path));
    let known = own.iter().find_map(|path| {
        let url = Url::from_file_path(path).ok()?;
        let number = modules.awaits_at(&url)?;
        let text = source_text(&url, &modules.sources);
        let offset = top_level_await::waits(&url, &text).get(number)?.offset;
        let position = Position::of_offset(&url, &text, offset);
        Some(LoadError {
            help: Some(AWAIT_IN_A_FUNCTION.to_owned()),
            ..position.into_error(LoadErrorKind::Timeout, message.to_owned())
        })
    });
    if let Some(known) = known {
        return known;
    }
    let waiting = own
        .iter()
        .chain(&of_packages)
        .filter_map(|path| Url::from_file_path(path).ok())
        .find_map(|url| {
            let text = source_text(&url, &modules.sources);
            let waits = top_level_await::waits(&url, &text);
            let likely = waits.iter().find(|wait| wait.is_exported).or(waits.first())?;
            let others = waits.iter().filter(|wait| *wait != likely);
            let position = |wait: &TopLevelAwait| Position::of_offset(&url, &text, wait.offset);
            let error = position(likely).into_error(LoadErrorKind::Timeout, message.to_owned());
            Some((error, others.map(|wait| position(wait).line()).collect::<Vec<_>>()))
        });
    match waiting {
        Some((error, others)) if others.is_empty() => LoadError {
            help: Some(AWAIT_IN_A_FUNCTION.to_owned()),
            ..error
        },
        Some((error, others)) => {
            let lines: Vec<_> = others.iter().map(ToString::to_string).collect();
            let help = format!(
                "Move this await into a function, or one of those on line {}: each may be the one that waits.",
                lines.join(", ")
            );
            LoadError {
                help: Some(help),
                ..error
            }
        }
        None => Position::start_of(module, &source_text(module, &modules.sources))
            .into_error(LoadErrorKind::Timeout, message.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::{missing_export, name_before_initialization, split_place, unresolved};

    #[test]
    fn the_name_is_taken_from_what_v8_says_about_an_export_that_is_not_made_yet() {
        let said = "ReferenceError: Cannot access 'FEED' before initialization";
        assert_eq!(name_before_initialization(said), Some("FEED"));
        assert_eq!(name_before_initialization("Error: Cannot access 'x' today"), None);
        assert_eq!(name_before_initialization("TypeError: x is not a function"), None);
    }

    #[test]
    fn the_module_and_the_name_are_taken_from_what_v8_says_about_an_export() {
        let said = "SyntaxError: The requested module './b' does not provide an export named 'Foo'";
        assert_eq!(missing_export(said), Some(("./b", "Foo")));
        assert_eq!(missing_export("SyntaxError: Unexpected token"), None);
    }

    #[test]
    fn the_first_file_of_a_require_stack_is_the_one_that_requires() {
        let said = "Error: Cannot find module './b'\nRequire stack:\n- /p/a.ts\n- /p/main.ts";
        assert_eq!(unresolved(said), Some(("./b", "/p/a.ts")));
        assert_eq!(unresolved("Error: Cannot find module './b'"), None);
    }

    #[test]
    fn a_place_at_the_end_of_a_message_is_split_off() {
        let (message, url, line, column) = split_place("no export named 'x' at file:///p/b.ts:1:10").unwrap();
        assert_eq!(
            (message, url.path(), line, column),
            ("no export named 'x'", "/p/b.ts", 1, 10)
        );
        assert!(split_place("Unexpected end of input at all").is_none());
    }
}
