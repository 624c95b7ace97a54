//! The limits for an isolate's memory: near a limit the isolate is condemned, at a limit it is stopped before V8
//! would end the process.

#![allow(unsafe_code, reason = "V8 takes an allocator as C functions with a data pointer")]

use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use deno_core::{JsRuntime, v8};
use js_runtime_api::MemoryLimits;

use super::fatal;
use crate::control::{Control, MemoryUse, StopReason};

/// Tells whether the memory to which user code still refers nearly fills the limits. Collects garbage to find out,
/// which takes a while.
pub(super) fn is_nearly_full(isolate: &mut v8::Isolate, limits: MemoryLimits, control: &Control) -> bool {
    if !MemoryUse::by(isolate).with_workers(&control.memory).is_near(limits) {
        return false;
    }
    collect(isolate);
    MemoryUse::by(isolate).with_workers(&control.memory).is_near(limits)
}

/// Returns the heap that V8 gets at its limit, so that it comes to see that it is stopped. Without more heap V8 ends
/// its thread. A loop that V8 has optimised sees no stop, and all of the extra heap is lost then.
pub(super) fn leeway(current: usize, limit: usize) -> usize {
    const LEAST: usize = 64 << 20;
    limit.saturating_add(limit.max(LEAST)).max(current)
}

/// Returns the memory that V8 has from the system for the heap, used or not, in bytes.
pub(super) fn of_heap(isolate: &mut v8::Isolate) -> usize {
    isolate.get_heap_statistics().total_heap_size()
}

/// Has V8 collect garbage at once, and give back the memory. Takes a while.
pub(super) fn collect(isolate: &mut v8::Isolate) {
    isolate.low_memory_notification();
}

/// Stops the isolate at its heap limit, and gives V8 some room to unwind.
pub(super) fn stop_at_heap_limit(runtime: &mut JsRuntime, heap: usize, control: &Arc<Control>) {
    let control = control.clone();
    // SAFETY: V8 calls back only while the isolate lives.
    let raw = unsafe { runtime.v8_isolate().as_raw_isolate_ptr() };
    runtime.add_near_heap_limit_callback(move |current, _initial| {
        // SAFETY: as above, and on the isolate's thread.
        let used = unsafe { v8::Isolate::from_raw_isolate_ptr(raw) }
            .get_heap_statistics()
            .used_heap_size();
        // V8 asks also when an array buffer was refused.
        if used < current / 4 * 3 {
            return current;
        }
        control.stop(StopReason::OutOfMemory);
        let more = leeway(current, heap);
        fatal::heap_may_grow_to(more);
        more
    });
    fatal::guard_memory(runtime.v8_isolate(), heap);
}

/// The size of buffers, in bytes, from which they are refused at the limit. Deno's own operations ask for smaller
/// ones, which cannot be refused.
const LARGE: usize = 64 << 10;

/// The account of V8's memory for array buffers, of an isolate and its workers together.
struct BufferAccount {
    limit: usize,
    control: Arc<Control>,
}

impl BufferAccount {
    /// Tells whether there is room. V8 collects garbage when there is none and asks again, and then tells user code
    /// by a `RangeError`. Small buffers have room for a quarter more, then the isolate is stopped.
    fn take(&self, length: usize) -> bool {
        let held = self.held().fetch_add(length, Ordering::Relaxed).saturating_add(length);
        if held > self.limit && length >= LARGE {
            self.give_back(length);
            return false;
        }
        if held > self.limit / 4 * 5 {
            self.control.stop(StopReason::OutOfMemory);
        }
        true
    }

    fn give_back(&self, length: usize) {
        self.held().fetch_sub(length, Ordering::Relaxed);
    }

    fn held(&self) -> &AtomicUsize {
        &self.control.memory.buffers
    }

    /// Allocates; returns null where there is no room, or the system gives none.
    fn allocate(&self, length: usize, content: NewContent) -> *mut c_void {
        if !self.take(length) {
            return std::ptr::null_mut();
        }
        // SAFETY: any length may be asked for; null says that there is no memory.
        let memory = unsafe {
            match content {
                NewContent::Zeros => libc::calloc(1, length),
                NewContent::Anything => libc::malloc(length),
            }
        };
        if memory.is_null() && length > 0 {
            self.give_back(length);
        }
        memory
    }
}

/// The content of newly allocated memory.
enum NewContent {
    Zeros,
    Anything,
}

/// Makes an allocator for array buffers that may hold `limit` bytes.
pub(super) fn buffer_allocator(limit: usize, control: Arc<Control>) -> v8::UniqueRef<v8::Allocator> {
    static FUNCTIONS: v8::RustAllocatorVtable<BufferAccount> = v8::RustAllocatorVtable {
        allocate,
        allocate_uninitialized,
        free,
        drop: drop_account,
    };
    let account = Arc::new(BufferAccount { limit, control });
    // SAFETY: the functions take what is given here, and `drop` takes it back.
    unsafe { v8::new_rust_allocator(Arc::into_raw(account), &FUNCTIONS) }
}

extern "C" fn allocate(account: &BufferAccount, length: usize) -> *mut c_void {
    account.allocate(length, NewContent::Zeros)
}

extern "C" fn allocate_uninitialized(account: &BufferAccount, length: usize) -> *mut c_void {
    account.allocate(length, NewContent::Anything)
}

unsafe extern "C" fn free(account: &BufferAccount, data: *mut c_void, length: usize) {
    account.give_back(length);
    // SAFETY: V8 frees each allocation once.
    unsafe { libc::free(data) }
}

unsafe extern "C" fn drop_account(account: *const BufferAccount) {
    // SAFETY: made by `Arc::into_raw` in `buffer_allocator`, and dropped once.
    drop(unsafe { Arc::from_raw(account) });
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    use super::{BufferAccount, allocate, allocate_uninitialized, free, leeway};
    use crate::control::Control;

    #[test]
    fn a_buffer_that_the_system_refuses_is_not_counted_and_workers_share_a_limit() {
        let control = Arc::new(Control::default());
        let limit = usize::MAX / 2;
        let [own, workers] = [0, 1].map(|_| BufferAccount {
            limit,
            control: control.clone(),
        });
        let held = || control.memory.buffers.load(Ordering::Relaxed);
        assert!(allocate(&own, limit - 1).is_null());
        assert!(allocate_uninitialized(&own, limit - 1).is_null());
        assert_eq!(held(), 0);
        let (one, other) = (allocate(&own, 10), allocate(&workers, 20));
        assert_eq!(held(), 30);
        // SAFETY: what is allocated is freed once, with its length.
        unsafe {
            free(&own, one, 10);
            free(&workers, other, 20);
        }
        assert_eq!(held(), 0);
    }

    #[test]
    fn v8_gets_more_of_the_heap_but_not_without_end() {
        for initial in [1 << 20, 128 << 20, 2 << 30] {
            let mut steps = std::iter::successors(Some(initial), |current| Some(leeway(*current, initial)));
            let settled = steps.nth(100).unwrap();
            assert!(settled > initial && settled <= initial + initial.max(64 << 20));
            assert_eq!(leeway(settled, initial), settled);
        }
    }
}
