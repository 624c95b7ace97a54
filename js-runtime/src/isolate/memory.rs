//! What an isolate may hold: near its limits it is condemned, at a limit it is stopped before V8
//! would end the process.

#![allow(unsafe_code, reason = "V8 takes an allocator as C functions with a data pointer")]

use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use deno_core::{JsRuntime, v8};
use js_runtime_api::MemoryLimits;

use super::control::{Control, Stop};
use super::fatal;

/// Above this share of a limit, in percent, an isolate is condemned.
const NEAR: usize = 85;

/// What an isolate holds, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) heap: usize,
    pub(super) buffers: usize,
    /// The memories of WebAssembly, which no allocator is asked for, and whatever else V8 counts beside its heap.
    pub(super) webassembly: usize,
}

impl Held {
    pub(super) fn by(isolate: &mut v8::Isolate) -> Self {
        // By nothing: it returns the whole.
        let outside = isolate.adjust_amount_of_external_allocated_memory(0);
        let outside = usize::try_from(outside).unwrap_or_default();
        let statistics = isolate.get_heap_statistics();
        Self {
            heap: statistics.used_heap_size(),
            buffers: statistics.external_memory(),
            webassembly: outside.saturating_sub(statistics.external_memory()),
        }
    }

    /// With what the isolate's workers hold; memories of WebAssembly count as buffers.
    pub(super) fn with_workers(self, control: &Control) -> Self {
        let family = &control.memory;
        let webassembly = self.webassembly + family.worker_webassembly.load(Ordering::Relaxed);
        Self {
            heap: self.heap + family.worker_heaps.load(Ordering::Relaxed),
            buffers: self.buffers.max(family.buffers.load(Ordering::Relaxed)) + webassembly,
            webassembly: 0,
        }
    }

    /// Tells whether buffers hold more than even many small ones may: memories of WebAssembly are not refused.
    pub(super) const fn is_beyond(self, limits: MemoryLimits) -> bool {
        self.buffers > limits.buffers / 4 * 5
    }

    pub(super) const fn is_near(self, limits: MemoryLimits) -> bool {
        self.heap > limits.heap / 100 * NEAR || self.buffers > limits.buffers / 100 * NEAR
    }
}

/// The memory that an isolate and its workers hold together beside the isolate's own heap.
#[derive(Debug, Default)]
pub(super) struct FamilyMemory {
    /// The workers' heaps, each as it was when V8 had collected its garbage.
    pub(super) worker_heaps: AtomicUsize,
    /// The memories of WebAssembly of the workers, as of then.
    pub(super) worker_webassembly: AtomicUsize,
    /// All array buffers.
    buffers: AtomicUsize,
}

/// Whether what user code still refers to nearly fills what it may have. Collects garbage to find
/// out, which takes a while.
pub(super) fn is_nearly_full(isolate: &mut v8::Isolate, limits: MemoryLimits, control: &Control) -> bool {
    if !Held::by(isolate).with_workers(control).is_near(limits) {
        return false;
    }
    collect(isolate);
    Held::by(isolate).with_workers(control).is_near(limits)
}

/// The heap that V8 gets at its limit so that it comes to see that it is stopped. V8 that is given no more ends its thread,
/// and a loop that it has optimised sees nothing: all that it is given is lost then.
pub(super) fn leeway(current: usize, limit: usize) -> usize {
    const LEAST: usize = 64 << 20;
    limit.saturating_add(limit.max(LEAST)).max(current)
}

/// Returns what V8 has of the system for the heap, used or not, in bytes.
pub(super) fn of_heap(isolate: &mut v8::Isolate) -> usize {
    isolate.get_heap_statistics().total_heap_size()
}

/// Has V8 collect what is garbage at once, and give back the memory. Takes a while.
pub(super) fn collect(isolate: &mut v8::Isolate) {
    isolate.low_memory_notification();
}

/// V8 gets some room to unwind, and the isolate is stopped.
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
        control.stop(Stop::OutOfMemory);
        let more = leeway(current, heap);
        fatal::heap_may_grow_to(more);
        more
    });
    fatal::guard_memory(runtime.v8_isolate(), heap);
}

/// Buffers of this size and more, in bytes, are refused at the limit. Smaller ones are what Deno's own
/// operations ask for, which cannot be refused.
const LARGE: usize = 64 << 10;

/// Counts what V8 allocates for array buffers, of an isolate and its workers together.
struct Account {
    limit: usize,
    control: Arc<Control>,
}

impl Account {
    /// Whether there is room. V8 collects garbage when there is none and asks again, and then tells
    /// user code by a `RangeError`. Small buffers have room for a quarter more, then the isolate is
    /// stopped.
    fn take(&self, length: usize) -> bool {
        let held = self.held().fetch_add(length, Ordering::Relaxed).saturating_add(length);
        if held > self.limit && length >= LARGE {
            self.give_back(length);
            return false;
        }
        if held > self.limit / 4 * 5 {
            self.control.stop(Stop::OutOfMemory);
        }
        true
    }

    fn give_back(&self, length: usize) {
        self.held().fetch_sub(length, Ordering::Relaxed);
    }

    fn held(&self) -> &AtomicUsize {
        &self.control.memory.buffers
    }

    /// Counts what the system gave, if it gave any.
    fn given(&self, memory: *mut c_void, length: usize) -> *mut c_void {
        if memory.is_null() && length > 0 {
            self.give_back(length);
        }
        memory
    }
}

/// An allocator for array buffers that may hold `limit` bytes.
pub(super) fn buffer_allocator(limit: usize, control: Arc<Control>) -> v8::UniqueRef<v8::Allocator> {
    static FUNCTIONS: v8::RustAllocatorVtable<Account> = v8::RustAllocatorVtable {
        allocate,
        allocate_uninitialized,
        free,
        drop: drop_account,
    };
    let account = Arc::new(Account { limit, control });
    // SAFETY: the functions take what is given here, and `drop` takes it back.
    unsafe { v8::new_rust_allocator(Arc::into_raw(account), &FUNCTIONS) }
}

unsafe extern "C" fn allocate(account: &Account, length: usize) -> *mut c_void {
    if !account.take(length) {
        return std::ptr::null_mut();
    }
    // SAFETY: any length may be asked for; null says that there is no memory.
    account.given(unsafe { libc::calloc(1, length) }, length)
}

unsafe extern "C" fn allocate_uninitialized(account: &Account, length: usize) -> *mut c_void {
    if !account.take(length) {
        return std::ptr::null_mut();
    }
    // SAFETY: as above.
    account.given(unsafe { libc::malloc(length) }, length)
}

unsafe extern "C" fn free(account: &Account, data: *mut c_void, length: usize) {
    account.give_back(length);
    // SAFETY: V8 frees each allocation once.
    unsafe { libc::free(data) }
}

unsafe extern "C" fn drop_account(account: *const Account) {
    // SAFETY: made by `Arc::into_raw` in `buffer_allocator`, and dropped once.
    drop(unsafe { Arc::from_raw(account) });
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    use super::{Account, allocate, allocate_uninitialized, free, leeway};
    use crate::isolate::Control;

    #[test]
    fn a_buffer_that_the_system_refuses_is_not_counted_and_workers_share_a_limit() {
        let control = Arc::new(Control::default());
        let limit = usize::MAX / 2;
        let [own, workers] = [0, 1].map(|_| Account {
            limit,
            control: control.clone(),
        });
        let held = || control.memory.buffers.load(Ordering::Relaxed);
        // SAFETY: what is allocated is freed once, with its length.
        unsafe {
            assert!(allocate(&own, limit - 1).is_null());
            assert!(allocate_uninitialized(&own, limit - 1).is_null());
            assert_eq!(held(), 0);
            let (one, other) = (allocate(&own, 10), allocate(&workers, 20));
            assert_eq!(held(), 30);
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
