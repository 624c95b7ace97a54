//! The memory that an isolate and its workers hold.

use std::sync::atomic::{AtomicUsize, Ordering};

use deno_core::v8;
use js_runtime_api::MemoryLimits;

/// The share of a limit, in percent, above which an isolate is condemned.
const NEAR: usize = 85;

/// The memory that an isolate holds, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MemoryUse {
    pub(crate) heap: usize,
    pub(crate) buffers: usize,
    /// The memories of WebAssembly, which no allocator is asked for, and whatever else V8 counts beside its heap.
    pub(crate) webassembly: usize,
}

impl MemoryUse {
    pub(crate) fn by(isolate: &mut v8::Isolate) -> Self {
        // Adjusting by nothing returns the whole.
        let outside = isolate.adjust_amount_of_external_allocated_memory(0);
        let outside = usize::try_from(outside).unwrap_or_default();
        let statistics = isolate.get_heap_statistics();
        Self {
            heap: statistics.used_heap_size(),
            buffers: statistics.external_memory(),
            webassembly: outside.saturating_sub(statistics.external_memory()),
        }
    }

    /// Adds the memory of the isolate's workers; memories of WebAssembly count as buffers.
    pub(crate) fn with_workers(self, family: &FamilyMemory) -> Self {
        let webassembly = self.webassembly + family.worker_webassembly.load(Ordering::Relaxed);
        Self {
            heap: self.heap + family.worker_heaps.load(Ordering::Relaxed),
            buffers: self.buffers.max(family.buffers.load(Ordering::Relaxed)) + webassembly,
            webassembly: 0,
        }
    }

    /// Tells whether buffers hold more than even many small ones may: memories of WebAssembly are not refused.
    pub(crate) const fn is_beyond(self, limits: MemoryLimits) -> bool {
        self.buffers > limits.buffers / 4 * 5
    }

    pub(crate) const fn is_near(self, limits: MemoryLimits) -> bool {
        self.heap > limits.heap / 100 * NEAR || self.buffers > limits.buffers / 100 * NEAR
    }
}

/// The memory that an isolate and its workers hold together beside the isolate's own heap.
#[derive(Debug, Default)]
pub(crate) struct FamilyMemory {
    /// The workers' heaps, each as it was when V8 had collected its garbage.
    pub(crate) worker_heaps: AtomicUsize,
    /// The memories of WebAssembly of the workers, as of then.
    pub(crate) worker_webassembly: AtomicUsize,
    /// All array buffers.
    pub(crate) buffers: AtomicUsize,
}
