//! Panics of foreign code that gets users' texts: they are answers, and end no isolate.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static IS_CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// Does work; if it panics, returns the panic's message. No frames of V8 may be between here and the panic.
///
/// # Errors
/// With the panic's message.
pub(crate) fn contained<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let before = IS_CONTAINED.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    IS_CONTAINED.set(before);
    outcome.map_err(|panic| message_of(&*panic))
}

/// Tells whether a panic on this thread is somebody's answer.
pub(crate) fn is_contained() -> bool {
    IS_CONTAINED.try_with(Cell::get).unwrap_or(false)
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it panicked").to_owned()
}

#[cfg(test)]
mod tests {
    use super::{contained, is_contained};

    #[test]
    fn a_panic_is_its_message_and_the_next_one_is_nobodys_answer() {
        assert_eq!(contained(|| 1), Ok(1));
        assert_eq!(contained(|| -> u8 { panic!("at {}", 2) }), Err("at 2".to_owned()));
        assert_eq!(contained(is_contained), Ok(true));
        assert!(!is_contained());
    }
}
