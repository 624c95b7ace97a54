//! Names of packages: those that npm takes, and one that is made of a folder's name.

/// The most characters of a name.
const LONGEST: usize = 214;

/// Names that mean something else to npm, to Node, or in this project itself.
const TAKEN: [&str; 50] = [
    "node_modules",
    "favicon.ico",
    "inngest",
    "typescript",
    "baton",
    "assert",
    "async_hooks",
    "buffer",
    "child_process",
    "cluster",
    "console",
    "constants",
    "crypto",
    "dgram",
    "diagnostics_channel",
    "dns",
    "domain",
    "events",
    "fs",
    "http",
    "http2",
    "https",
    "inspector",
    "module",
    "net",
    "os",
    "path",
    "perf_hooks",
    "process",
    "punycode",
    "querystring",
    "readline",
    "repl",
    "sea",
    "sqlite",
    "stream",
    "string_decoder",
    "sys",
    "test",
    "timers",
    "tls",
    "trace_events",
    "tty",
    "url",
    "util",
    "v8",
    "vm",
    "wasi",
    "worker_threads",
    "zlib",
];

/// Makes a name that npm takes of the name of a folder.
pub(super) fn from_folder(folder: &str) -> String {
    let mut name = String::new();
    for character in folder.chars().flat_map(char::to_lowercase) {
        if is_plain(character) {
            name.push(character);
        } else if !name.ends_with('-') {
            name.push('-');
        }
    }
    name.truncate(LONGEST);
    let trimmed = name.trim_start_matches(['.', '_', '-']).trim_end_matches('-');
    match trimmed {
        "" => "my-app".to_owned(),
        taken if TAKEN.contains(&taken) => format!("{taken}-app"),
        free => free.to_owned(),
    }
}

/// Returns the reason why npm refuses a name; none for a name that it takes.
pub(super) fn fault(name: &str) -> Option<&'static str> {
    let plain = match name.strip_prefix('@') {
        None => name,
        Some(scoped) => match scoped.split_once('/') {
            Some((scope, rest)) if !scope.is_empty() && scope.chars().all(is_plain) => rest,
            _ => return Some("a scope is written @scope/name"),
        },
    };
    if plain.is_empty() {
        Some("it is empty")
    } else if name.len() > LONGEST {
        Some("it is longer than 214 characters")
    } else if plain.starts_with(['.', '_', '-']) {
        Some("it begins with a dot, an underscore or a dash")
    } else if !plain.chars().all(is_plain) {
        Some("it may have lower-case letters, digits, dashes, dots and underscores only")
    } else if TAKEN.contains(&name) {
        Some("the name means something else to Node.js or npm")
    } else {
        None
    }
}

/// Returns the name of an app: that of its package, without the scope.
pub(super) fn of_app(package: &str) -> &str {
    package.rsplit('/').next().unwrap_or(package)
}

const fn is_plain(character: char) -> bool {
    character.is_ascii_lowercase() || character.is_ascii_digit() || matches!(character, '-' | '.' | '_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{fault, from_folder, of_app};

    #[test]
    fn a_folders_name_becomes_one_that_npm_takes() {
        for (folder, name) in [
            ("orders", "orders"),
            ("My Orders", "my-orders"),
            (".hidden", "hidden"),
            ("_private", "private"),
            ("node_modules", "node_modules-app"),
            ("http", "http-app"),
            ("inngest", "inngest-app"),
            ("Grüße", "gr-e"),
            ("日本", "my-app"),
            ("@acme", "acme"),
            ("v1.2", "v1.2"),
            ("", "my-app"),
        ] {
            assert_eq!(from_folder(folder), name, "{folder}");
        }
    }

    #[test]
    fn a_name_that_npm_refuses_is_refused_with_the_reason() {
        for good in ["orders", "@acme/orders", "a.b_c-d", "7"] {
            assert_eq!(fault(good), None, "{good}");
        }
        for (bad, reason) in [
            ("", "empty"),
            ("Orders", "lower-case letters"),
            ("my orders", "lower-case letters"),
            (".orders", "begins with"),
            ("_orders", "begins with"),
            ("http", "something else"),
            ("@acme", "@scope/name"),
            ("@/orders", "@scope/name"),
            ("@acme/", "empty"),
            ("../up", "begins with"),
        ] {
            assert!(
                fault(bad).is_some_and(|said| said.contains(reason)),
                "{bad}: {:?}",
                fault(bad)
            );
        }
        assert!(fault(&"x".repeat(215)).is_some());
    }

    #[test]
    fn an_app_has_no_scope() {
        assert_eq!((of_app("@acme/orders"), of_app("orders")), ("orders", "orders"));
    }

    proptest! {
        #[test]
        fn every_folder_has_a_name_that_npm_takes(folder in any::<String>()) {
            prop_assert_eq!(fault(&from_folder(&folder)), None);
        }
    }
}
