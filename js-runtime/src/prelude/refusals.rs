//! The reason why a project that was evaluated is not served, and the line of it that is to blame.

use deno_core::error::JsError;
use deno_core::url::Url;
use js_runtime_api::{Entry, LoadError, LoadErrorKind};

use super::IdCollision;
use crate::diagnostics::{self, source_text};
use crate::position::Position;
use crate::source::snapshot::SourceSnapshot;

/// The error that the prelude throws where user code calls `connect()` of inngest/connect while it is loaded.
const CONNECTS: &str = "a worker of Inngest Connect";

const INSTEAD_OF_CONNECTING: &str = "Export the functions instead of connecting them (`export { hello }`), and have the \
    host connect: `baton dev --connect`. Or name the file that connects: `baton dev src/worker.ts`.";

/// Returns the error of user code that connects while it is loaded; `None` for any other error.
pub(crate) fn connects(error: &JsError, module: &Url, sources: &SourceSnapshot) -> Option<LoadError> {
    if !error.exception_message.contains(CONNECTS) {
        return None;
    }
    let found = diagnostics::from_js_error(error, LoadErrorKind::NoFunctions, module, sources);
    Some(LoadError {
        message: format!(
            "this is {CONNECTS} (`connect()` of inngest/connect) in a folder of functions, whose modules connect nothing"
        ),
        help: Some(INSTEAD_OF_CONNECTING.to_owned()),
        ..found
    })
}

/// Makes the error for two functions of one app with the same id.
pub(crate) fn duplicate_id(duplicate: &IdCollision, sources: &SourceSnapshot) -> LoadError {
    let IdCollision { app, id, first, second } = duplicate;
    let Ok(url) = Url::parse(second) else {
        return LoadError::bug("a module has no URL");
    };
    let text = source_text(&url, sources);
    let offset = offset_of_id(&text, id);
    let root = &sources.project().root;
    let name = |module: &String| {
        let path = Url::parse(module)
            .ok()
            .and_then(|url| url.to_file_path().ok())
            .unwrap_or_default();
        path.strip_prefix(root).unwrap_or(&path).display().to_string()
    };
    let message = if first == second {
        format!("{} has two functions with the id {id:?} (app {app:?})", name(second))
    } else {
        format!(
            "{} and {} both have a function with the id {id:?} (app {app:?})",
            name(first),
            name(second)
        )
    };
    Position::of_offset(&url, &text, offset).into_error(LoadErrorKind::DuplicateId, message)
}

/// Returns the offset at which a function's id is written: that of the last `id: "…"`, since within one file the
/// later function is the one too many; else that of the last literal that reads like the id.
fn offset_of_id(text: &str, id: &str) -> usize {
    let literals = ['"', '\'', '`'].map(|quote| format!("{quote}{id}{quote}"));
    let places = literals
        .iter()
        .flat_map(|literal| text.match_indices(literal.as_str()))
        .map(|(at, _)| at);
    let is_id = |at: usize| text[..at].trim_end().ends_with("id:");
    places.max_by_key(|at| (is_id(*at), *at)).unwrap_or(0)
}

/// Makes the error for a project with nothing to serve.
pub(crate) fn no_functions(sources: &SourceSnapshot) -> LoadError {
    let path = sources.project().entry.path();
    let count = sources.entries().len();
    let message = match (&sources.project().entry, count) {
        (Entry::File(_), _) => format!(
            "{} exports neither Inngest functions nor an app, and starts no server",
            path.display()
        ),
        (Entry::Folder(_), 0) => format!("{} has no modules", path.display()),
        (Entry::Folder(_), 1) => format!("the only module in {} exports no Inngest function", path.display()),
        (Entry::Folder(_), _) => format!(
            "none of the {count} modules in {} exports an Inngest function",
            path.display()
        ),
    };
    let help = match sources.project().entry {
        Entry::File(_) => {
            "Export an app (`export default { fetch }`, or a router) or a function that `inngest.createFunction(…)` \
             returns."
        }
        Entry::Folder(_) => {
            "Export a function that `inngest.createFunction(…)` returns from a .ts, .tsx, .mts, .js or .mjs file there."
        }
    };
    LoadError {
        kind: LoadErrorKind::NoFunctions,
        message,
        file: Some(path.display().to_string()),
        help: Some(help.to_owned()),
        ..LoadError::default()
    }
}

#[cfg(test)]
mod tests {
    use super::offset_of_id;

    #[test]
    fn an_id_is_found_where_it_is_an_id() {
        let text = "fn({ id: \"a\", triggers: [{ event: \"a\" }] });";
        assert_eq!(offset_of_id(text, "a"), text.find("\"a\"").unwrap());
        let twice = "fn({ id: 'a' });\nfn({ id: 'a' });";
        assert_eq!(offset_of_id(twice, "a"), twice.rfind("'a'").unwrap());
        assert_eq!(offset_of_id("const ID = `a`;", "a"), 11);
        assert_eq!(offset_of_id("nothing", "a"), 0);
    }
}
