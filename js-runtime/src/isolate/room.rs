//! Memory that is there before calls need it. V8 copies what a call leaves into its old generation, and to have the
//! system give memory for that, page by page, takes longer than the rest of the call at times.

use deno_core::{JsRuntime, v8};
use js_runtime_api::MemoryLimits;

use super::memory::{Held, collect_and_keep, of_heap};

/// What V8's old generation grows to before V8 looks for garbage in it the first time, in bytes.
pub(crate) const OLD_GENERATION: usize = 64 << 20;

/// V8's, in bytes.
const PAGE: usize = 256 << 10;

/// So many texts of that length, in bytes, fit on a page with a trifle. Of one that is longer V8 hashes the length alone.
const FILLERS: usize = 16;
const FILLER: usize = 15 << 10;

/// Kept in the isolate. V8 gives back a page that nothing lies on, so a trifle lies on each of these.
struct Trifles {
    _kept: Vec<v8::Global<v8::String>>,
}

/// Makes room in the old generation, as much as calls fill before V8 looks for garbage; it stays until it is given up.
pub(super) fn make(runtime: &mut JsRuntime, limits: MemoryLimits) {
    let all = OLD_GENERATION.min(limits.heap / 2);
    let pages = all.saturating_sub(Held::by(runtime.v8_isolate()).heap) / PAGE;
    let trifles = {
        deno_core::scope!(scope, runtime);
        let filled = (0..pages).map_while(|page| {
            v8::scope!(let scope, scope);
            // Garbage at once.
            (0..FILLERS).try_for_each(|at| internalized(scope, page, at, FILLER).map(drop))?;
            let trifle = internalized(scope, page, FILLERS, NAME)?;
            Some(v8::Global::new(scope, trifle))
        });
        filled.collect()
    };
    let isolate = runtime.v8_isolate();
    isolate.set_slot(Trifles { _kept: trifles });
    tracing::debug!(memory = of_heap(isolate), "there is room for what calls leave");
    collect_and_keep(isolate);
}

pub(super) fn is_made(isolate: &v8::Isolate) -> bool {
    isolate.get_slot::<Trifles>().is_some()
}

/// Has V8 give the room back to the system when it collects garbage next.
pub(super) fn give_up(isolate: &mut v8::Isolate) {
    isolate.remove_slot::<Trifles>();
}

/// So long is what makes a text the only one of its kind.
const NAME: usize = 32;

/// A text that V8 keeps in its old generation from the first, as it does with all that are internalized.
fn internalized<'s>(
    scope: &v8::PinScope<'s, '_>,
    page: usize,
    at: usize,
    length: usize,
) -> Option<v8::Local<'s, v8::String>> {
    let mut text = format!("room {page:010} {at:010}").into_bytes();
    text.resize(length, b' ');
    v8::String::new_from_one_byte(scope, &text, v8::NewStringType::Internalized)
}
