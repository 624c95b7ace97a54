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
}

impl Held {
    pub(super) fn by(isolate: &mut v8::Isolate) -> Self {
        let statistics = isolate.get_heap_statistics();
        Self {
            heap: statistics.used_heap_size(),
            buffers: statistics.external_memory(),
        }
    }

    pub(super) const fn is_near(self, limits: MemoryLimits) -> bool {
        self.heap > limits.heap / 100 * NEAR || self.buffers > limits.buffers / 100 * NEAR
    }
}

/// Whether what user code still refers to nearly fills what it may have. Collects garbage to find
/// out, which takes a while.
pub(super) fn is_nearly_full(isolate: &mut v8::Isolate, limits: MemoryLimits) -> bool {
    if !Held::by(isolate).is_near(limits) {
        return false;
    }
    collect(isolate);
    Held::by(isolate).is_near(limits)
}

/// Returns what V8 has of the system for the heap, used or not, in bytes.
pub(super) fn of_heap(isolate: &mut v8::Isolate) -> usize {
    isolate.get_heap_statistics().total_heap_size()
}

/// Has V8 collect what is garbage at once, and give back the memory. Takes a while.
pub(super) fn collect(isolate: &mut v8::Isolate) {
    isolate.low_memory_notification();
}

/// V8 gets some room to unwind, once, and the isolate is stopped.
pub(super) fn stop_at_heap_limit(runtime: &mut JsRuntime, control: &Arc<Control>) {
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
        let first = control.stopped().is_none();
        control.stop(Stop::OutOfMemory);
        if first { current * 2 } else { current }
    });
    fatal::guard_memory(runtime.v8_isolate());
}

/// Buffers of this size and more, in bytes, are refused at the limit. Smaller ones are what Deno's own
/// operations ask for, which cannot be refused.
const LARGE: usize = 64 << 10;

/// Counts what V8 allocates for array buffers.
struct Account {
    held: AtomicUsize,
    limit: usize,
    control: Arc<Control>,
}

impl Account {
    /// Whether there is room. V8 collects garbage when there is none and asks again, and then tells
    /// user code by a `RangeError`. Small buffers have room for a quarter more, then the isolate is
    /// stopped.
    fn take(&self, length: usize) -> bool {
        let held = self.held.fetch_add(length, Ordering::Relaxed).saturating_add(length);
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
        self.held.fetch_sub(length, Ordering::Relaxed);
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
    let account = Arc::new(Account {
        held: AtomicUsize::new(0),
        limit,
        control,
    });
    // SAFETY: the functions take what is given here, and `drop` takes it back.
    unsafe { v8::new_rust_allocator(Arc::into_raw(account), &FUNCTIONS) }
}

unsafe extern "C" fn allocate(account: &Account, length: usize) -> *mut c_void {
    if !account.take(length) {
        return std::ptr::null_mut();
    }
    // SAFETY: any length may be asked for; null says that there is no memory.
    unsafe { libc::calloc(1, length) }
}

unsafe extern "C" fn allocate_uninitialized(account: &Account, length: usize) -> *mut c_void {
    if !account.take(length) {
        return std::ptr::null_mut();
    }
    // SAFETY: as above.
    unsafe { libc::malloc(length) }
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
