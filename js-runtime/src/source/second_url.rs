//! The second URL of a CommonJS module, whose default export is another one (`loader/interop.rs`).

use deno_core::url::Url;

/// Marks the second URL.
const QUERY: &str = "exports.default";

/// Returns the URL that importers get when they ask for a module's place.
pub(crate) fn without_mark(mut url: Url) -> Url {
    let unmarked = url
        .query()
        .and_then(|query| query.strip_suffix(QUERY))
        .map(str::to_owned);
    if let Some(rest) = unmarked {
        let rest = rest.trim_end_matches('&');
        url.set_query((!rest.is_empty()).then_some(rest));
    }
    url
}

/// Returns a stack with the files' own names.
pub(crate) fn without_marks(stack: &str) -> String {
    stack
        .replace(&format!("&{QUERY}:"), ":")
        .replace(&format!("?{QUERY}:"), ":")
}

/// Tells whether a URL is a second one.
pub(crate) fn is_marked(url: &Url) -> bool {
    url.query().is_some_and(|query| query.ends_with(QUERY))
}

/// Returns the second URL of a module.
pub(crate) fn with_mark(mut url: Url) -> Url {
    let query = url.query().map_or(QUERY.to_owned(), |query| format!("{query}&{QUERY}"));
    url.set_query(Some(&query));
    url
}

#[cfg(test)]
mod tests {
    use deno_core::url::Url;

    use super::{with_mark, without_mark, without_marks};

    #[test]
    fn the_second_url_is_marked_beside_a_query_of_its_own_and_unmarked_again() {
        for url in ["file:///p/a.js", "file:///p/a.js?v=1", "file:///p/a.js?v=1#x"] {
            let url = Url::parse(url).unwrap();
            let marked = with_mark(url.clone());
            assert_ne!(marked, url);
            assert_eq!(without_mark(marked), url);
            assert_eq!(without_mark(url.clone()), url);
            let frames =
                [&url, &with_mark(url.clone())].map(|url| format!("at {}:1:2", url.as_str().replace("#x", "")));
            assert_eq!(without_marks(&frames[1]), frames[0]);
        }
    }
}
