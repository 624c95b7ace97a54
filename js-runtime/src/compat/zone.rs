//! The time zone of an isolate, which is that of its generation's environment until user code writes another.
//!
//! V8 takes the zone from ICU, whose default is the whole process's. An isolate asks for it once and keeps it for
//! `Date`; `Intl` asks each time. So the isolate is asked while ICU's default is another for that moment, and in an
//! isolate of another zone than the process's `zone.js` names the zone to `Intl`. The variables of the process stay
//! as they are.

use std::sync::{Mutex, OnceLock, PoisonError};

use deno_core::{JsRuntime, v8};

/// Evaluates to the function that has the isolate ask for its zone; its argument says whether `Intl` is to be told.
const SCRIPT: &str = include_str!("zone.js");
/// The name by which an isolate's global object keeps that function.
const KEY: &str = "baton.zone";

/// Gives a new isolate the zone of its generation's environment, if that is another than the process's.
pub(super) fn begin(runtime: &mut JsRuntime, of_generation: Option<&str>) {
    let process = std::env::var("TZ").ok();
    if of_generation != process.as_deref() {
        deno_core::scope!(scope, runtime);
        change(scope, of_generation);
    }
}

/// Gives an isolate another zone, as the variable `TZ` names it; without one that of the process.
pub(super) fn change(scope: &mut v8::PinScope<'_, '_>, zone: Option<&str>) {
    static CHANGES: Mutex<()> = Mutex::new(());
    let _one = CHANGES.lock().unwrap_or_else(PoisonError::into_inner);
    let process = process_default();
    if let Some(zone) = zone {
        icu::set_default(&icu_name(zone));
    }
    scope.date_time_configuration_change_notification(v8::TimeZoneDetection::Skip);
    ask(scope, zone.is_some());
    icu::set_default(process);
}

/// Returns the default that ICU has found for the process.
fn process_default() -> &'static [u16] {
    static FOUND: OnceLock<Vec<u16>> = OnceLock::new();
    FOUND.get_or_init(icu::default)
}

/// Calls the function of [`SCRIPT`]; it never throws but where V8 is stopped or out of memory.
fn ask(scope: &mut v8::PinScope<'_, '_>, tells_intl: bool) -> Option<()> {
    let global = scope.get_current_context().global(scope);
    let name = v8::String::new(scope, KEY)?;
    let key = v8::Private::for_api(scope, Some(name));
    let known = global.get_private(scope, key)?;
    let function = match v8::Local::<v8::Function>::try_from(known) {
        Ok(function) => function,
        Err(_) => {
            let source = v8::String::new(scope, SCRIPT)?;
            let made = v8::Script::compile(scope, source, None)?.run(scope)?;
            global.set_private(scope, key, made)?;
            v8::Local::<v8::Function>::try_from(made).ok()?
        }
    };
    let tells_intl = v8::Boolean::new(scope, tells_intl);
    function.call(scope, global.into(), &[tells_intl.into()]).map(drop)
}

/// Returns ICU's name for a value of `TZ`: `:Asia/Tokyo` is `Asia/Tokyo`, and `JST-9` is `GMT+9`.
fn icu_name(zone: &str) -> Vec<u16> {
    let zone = zone.strip_prefix(':').unwrap_or(zone);
    let zone = ["posix/", "right/"]
        .iter()
        .find_map(|prefix| zone.strip_prefix(prefix))
        .unwrap_or(zone);
    let name = of_posix(zone).unwrap_or_else(|| zone.to_owned());
    name.encode_utf16().collect()
}

/// Returns ICU's name of a zone that POSIX writes as an abbreviation and the hours to the west, with no time in
/// summer.
fn of_posix(zone: &str) -> Option<String> {
    let hours = match zone.strip_prefix('<') {
        Some(quoted) => quoted.split_once('>')?.1,
        None => {
            let end = zone.find(|character: char| !character.is_ascii_alphabetic())?;
            if end < 3 {
                return None;
            }
            &zone[end..]
        }
    };
    let (east, hours) = match hours.strip_prefix('-') {
        Some(hours) => ('+', hours),
        None => ('-', hours.strip_prefix('+').unwrap_or(hours)),
    };
    let (hours, minutes) = hours.split_once(':').unwrap_or((hours, "0"));
    let (hours, minutes) = (hours.parse::<u8>().ok()?, minutes.parse::<u8>().ok()?);
    Some(format!("GMT{east}{hours}:{minutes:02}"))
}

/// ICU as V8 brings it, by the names that its version has. (With another version of V8's ICU, linking fails.)
#[allow(unsafe_code, reason = "C functions")]
mod icu {
    unsafe extern "C" {
        fn ucal_setDefaultTimeZone_77(name: *const u16, error: *mut i32);
        fn ucal_getDefaultTimeZone_77(name: *mut u16, capacity: i32, error: *mut i32) -> i32;
    }

    /// Sets the default zone. A name that ICU does not know is UTC.
    pub(super) fn set_default(name: &[u16]) {
        let terminated: Vec<u16> = name.iter().copied().chain([0]).collect();
        let mut error = 0;
        // SAFETY: the name ends with a zero, and ICU guards its default by a lock of its own.
        unsafe { ucal_setDefaultTimeZone_77(terminated.as_ptr(), &raw mut error) };
    }

    pub(super) fn default() -> Vec<u16> {
        const CAPACITY: u8 = 128;
        let mut name = vec![0; CAPACITY.into()];
        let mut error = 0;
        // SAFETY: ICU writes at most as many units as it is told.
        let length = unsafe { ucal_getDefaultTimeZone_77(name.as_mut_ptr(), CAPACITY.into(), &raw mut error) };
        name.truncate(length.try_into().unwrap_or(0));
        name
    }
}

#[cfg(test)]
mod tests {
    use super::icu_name;

    #[test]
    fn what_tz_says_is_a_name_that_icu_knows() {
        for (said, name) in [
            ("Asia/Tokyo", "Asia/Tokyo"),
            (":America/New_York", "America/New_York"),
            ("posix/Asia/Tokyo", "Asia/Tokyo"),
            ("JST-9", "GMT+9:00"),
            ("<+0530>-5:30", "GMT+5:30"),
            ("EST5", "GMT-5:00"),
            ("GMT+3", "GMT-3:00"),
            ("EST5EDT", "EST5EDT"),
            ("Etc/GMT+3", "Etc/GMT+3"),
            ("UTC", "UTC"),
            ("", ""),
        ] {
            assert_eq!(String::from_utf16(&icu_name(said)).unwrap(), name, "{said}");
        }
    }
}
