//! The functions of the module `bun` that are made of Rust crates, as an object for its TypeScript.

use std::cell::RefCell;
use std::cmp::Ordering;

use deno_core::{serde_v8, v8};
use deno_semver::{Version, VersionReq};
use globset::{GlobBuilder, GlobSet};
use serde::Serialize;
use unicode_width::UnicodeWidthStr as _;

use super::passwords::{self, PasswordWork};
use super::{document, passwords::PasswordResult};

type Arguments<'s> = v8::FunctionCallbackArguments<'s>;
type ReturnValue<'s> = v8::ReturnValue<'s, v8::Value>;

/// Makes the object `Natives` of `bytes.ts`; `None` when V8 is out of memory.
pub(crate) fn object<'s>(scope: &mut v8::PinScope<'s, '_>) -> Option<v8::Local<'s, v8::Object>> {
    if scope.get_slot::<passwords::PendingPromises>().is_none() {
        scope.set_slot(passwords::PendingPromises::default());
    }
    let object = v8::Object::new(scope);
    let functions = [
        ("yaml", v8::Function::new(scope, yaml)?),
        ("toml", v8::Function::new(scope, toml)?),
        ("globMatch", v8::Function::new(scope, glob_match)?),
        ("satisfies", v8::Function::new(scope, satisfies)?),
        ("order", v8::Function::new(scope, order)?),
        ("hash", v8::Function::new(scope, hash)?),
        ("width", v8::Function::new(scope, width)?),
        ("password", v8::Function::new(scope, password)?),
        ("passwordSync", v8::Function::new(scope, password_sync)?),
    ];
    for (name, function) in functions {
        let name = v8::String::new(scope, name)?;
        object.set(scope, name.into(), function.into())?;
    }
    Some(object)
}

fn yaml(scope: &mut v8::PinScope<'_, '_>, arguments: Arguments<'_>, returned: ReturnValue<'_>) {
    let text = arguments.get(0).to_rust_string_lossy(scope);
    give(scope, returned, document::yaml(&text));
}

fn toml(scope: &mut v8::PinScope<'_, '_>, arguments: Arguments<'_>, returned: ReturnValue<'_>) {
    let text = arguments.get(0).to_rust_string_lossy(scope);
    give(scope, returned, document::toml(&text));
}

/// Matches a path. Arguments: pattern and path.
fn glob_match(scope: &mut v8::PinScope<'_, '_>, arguments: Arguments<'_>, mut returned: ReturnValue<'_>) {
    let pattern = arguments.get(0).to_rust_string_lossy(scope);
    let path = arguments.get(1).to_rust_string_lossy(scope);
    returned.set_bool(glob_matches(&pattern, &path));
}

/// Tells whether one of Bun's patterns matches the whole path; a text that is no pattern matches nothing.
fn glob_matches(pattern: &str, path: &str) -> bool {
    thread_local! {
        /// The last pattern: callers ask for many paths with one pattern.
        static LAST: RefCell<Option<(String, Option<GlobSet>)>> = const { RefCell::new(None) };
    }
    let positive = pattern.trim_start_matches('!');
    let negated = (pattern.len() - positive.len()) % 2 == 1;
    let matched = LAST.with_borrow_mut(|last| {
        if last.as_ref().is_none_or(|(known, _)| known != positive) {
            *last = Some((positive.to_owned(), matcher_of(positive)));
        }
        let matcher = last.as_ref().and_then(|(_, matcher)| matcher.as_ref());
        matcher.is_some_and(|matcher| matcher.is_match(path))
    });
    matched != negated
}

/// The most braces of a pattern: each may be within the one before, and is parsed by recursion.
const MOST_BRACES: usize = 256;

/// Returns the matcher of a pattern; `None` for a text that is no pattern, or for too large a pattern.
fn matcher_of(pattern: &str) -> Option<GlobSet> {
    if pattern.matches('{').count() > MOST_BRACES {
        return None;
    }
    let glob = GlobBuilder::new(pattern)
        .literal_separator(true)
        .backslash_escape(true)
        .empty_alternates(true)
        .build();
    // A matcher of a single pattern panics where its expression is too large.
    GlobSet::builder().add(glob.ok()?).build().ok()
}

/// Tells whether a version satisfies a range. Arguments: version and range.
fn satisfies(scope: &mut v8::PinScope<'_, '_>, arguments: Arguments<'_>, mut returned: ReturnValue<'_>) {
    let version = Version::parse_from_npm(&arguments.get(0).to_rust_string_lossy(scope));
    let range = VersionReq::parse_from_npm(&arguments.get(1).to_rust_string_lossy(scope));
    returned.set_bool(matches!((version, range), (Ok(version), Ok(range)) if range.matches(&version)));
}

/// Compares two versions.
fn order(scope: &mut v8::PinScope<'_, '_>, arguments: Arguments<'_>, mut returned: ReturnValue<'_>) {
    let [left, right] = [0, 1].map(|index| arguments.get(index).to_rust_string_lossy(scope));
    match (Version::parse_from_npm(&left), Version::parse_from_npm(&right)) {
        (Ok(left), Ok(right)) => returned.set_int32(match left.cmp(&right) {
            Ordering::Less => -1,
            Ordering::Equal => 0,
            Ordering::Greater => 1,
        }),
        (Err(_), _) => throw(scope, &format!("Invalid SemVer: {left}\n")),
        (_, Err(_)) => throw(scope, &format!("Invalid SemVer: {right}\n")),
    }
}

/// Computes a hash. Arguments: algorithm, bytes, and the seed as a bigint.
fn hash(scope: &mut v8::PinScope<'_, '_>, arguments: Arguments<'_>, mut returned: ReturnValue<'_>) {
    let algorithm = arguments.get(0).to_rust_string_lossy(scope);
    let bytes = bytes(arguments.get(1));
    let seed = v8::Local::<v8::BigInt>::try_from(arguments.get(2)).map_or(0, |seed| seed.u64_value().0);
    #[allow(clippy::cast_possible_truncation, reason = "the algorithm's seed has 32 bits")]
    let short = seed as u32;
    let hash = match algorithm.as_str() {
        "wyhash" => {
            wyhash_final4::generics::WyHasher::<wyhash_final4::wyhash64::WyHash64>::from_seed(seed).hash(&bytes)
        }
        "xxHash32" => u64::from(xxhash_rust::xxh32::xxh32(&bytes, short)),
        "xxHash64" => xxhash_rust::xxh64::xxh64(&bytes, seed),
        // "xxHash3"
        _ => xxhash_rust::xxh3::xxh3_64_with_seed(&bytes, seed),
    };
    returned.set(v8::BigInt::new_from_u64(scope, hash).into());
}

/// Returns the number of columns that a text without escape sequences takes.
fn width(scope: &mut v8::PinScope<'_, '_>, arguments: Arguments<'_>, mut returned: ReturnValue<'_>) {
    let text = arguments.get(0).to_rust_string_lossy(scope);
    returned.set_double(text.width() as f64);
}

fn password<'s>(scope: &mut v8::PinScope<'s, '_>, arguments: Arguments<'s>, mut returned: ReturnValue<'_>) {
    if let Some(work) = work(scope, arguments.get(0))
        && let Some(promise) = passwords::perform_elsewhere(scope, work)
    {
        returned.set(promise.into());
    }
}

fn password_sync<'s>(scope: &mut v8::PinScope<'s, '_>, arguments: Arguments<'s>, mut returned: ReturnValue<'_>) {
    let Some(work) = work(scope, arguments.get(0)) else {
        return;
    };
    match work.perform().map(|done: PasswordResult| done.into_v8(scope)) {
        Ok(Some(value)) => returned.set(value),
        Ok(None) => {}
        Err(message) => throw(scope, &message),
    }
}

fn work<'s>(scope: &mut v8::PinScope<'s, '_>, value: v8::Local<'s, v8::Value>) -> Option<PasswordWork> {
    match serde_v8::from_v8(scope, value) {
        Ok(work) => Some(work),
        Err(error) => {
            throw(scope, &error.to_string());
            None
        }
    }
}

fn bytes(value: v8::Local<'_, v8::Value>) -> Vec<u8> {
    let Ok(view) = v8::Local::<v8::ArrayBufferView>::try_from(value) else {
        return Vec::new();
    };
    let mut bytes = vec![0; view.byte_length()];
    view.copy_contents(&mut bytes);
    bytes
}

fn give(scope: &mut v8::PinScope<'_, '_>, mut returned: ReturnValue<'_>, value: Result<impl Serialize, String>) {
    match value.and_then(|value| serde_v8::to_v8(scope, value).map_err(|error| error.to_string())) {
        Ok(value) => returned.set(value),
        Err(message) => {
            if let Some(message) = v8::String::new(scope, &message) {
                let error = v8::Exception::syntax_error(scope, message);
                scope.throw_exception(error);
            }
        }
    }
}

fn throw(scope: &mut v8::PinScope<'_, '_>, message: &str) {
    if let Some(message) = v8::String::new(scope, message) {
        let error = v8::Exception::error(scope, message);
        scope.throw_exception(error);
    }
}
