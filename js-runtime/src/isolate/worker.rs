//! The threads that user code starts with `node:worker_threads` and `new Worker`: each runs a V8 isolate of its own,
//! with the modules of the same generation, and ends with the isolate that started it.
//!
//! A worker that runs out of memory ends alone, also where it has less than it boots with. A worker whose thread
//! panics takes the isolate that started it along, as a panic there would. Workers may hold no more than the isolate
//! that started them: of buffers together with it, of heaps together with each other.

#![allow(unsafe_code, reason = "V8 calls back as a C function")]

use std::cell::RefCell;
use std::ffi::c_void;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use deno_core::error::{CoreError, CoreErrorKind};
use deno_core::{CompiledWasmModuleStore, SharedArrayBufferStore, v8};
use deno_error::JsErrorBox;
use deno_resolver::npm::{DenoInNpmPackageChecker, NpmResolver};
use deno_runtime::deno_io::Stdio;
use deno_runtime::deno_web::{BlobStore, InMemoryBroadcastChannel};
use deno_runtime::ops::worker_host::{CreateWebWorkerArgs, CreateWebWorkerCb};
use deno_runtime::web_worker::{
    SendableWebWorkerHandle, WebWorker, WebWorkerInternalHandle, WebWorkerOptions, WebWorkerServiceOptions,
    WorkerControlEvent,
};
use deno_runtime::{BootstrapOptions, WorkerExecutionMode};
use js_runtime_api::{Certificates, Sources as _};
use sys_traits::impls::RealSys;

use super::assignment::Spec;
use super::bootstrap::bootstrap_options;
use super::fatal::{self, FatalReceivers, guard_this_thread};
use super::memory;
use super::stack;
use crate::compat::files::WitnessedFiles;
use crate::compat::stdio::Pipes;
use crate::compat::{self, certificates, witness};
use crate::control::{Control, MemoryUse, Name};
use crate::loader::require::RequireLoader;
use crate::loader::{Loader, Modules};
use crate::resolve::node::NodeResolution;

/// The name of every worker thread in lines of the log.
const WORKER: &str = "worker";

/// A mebibyte.
const MIB: usize = 1 << 20;

/// The heap that a worker needs to boot, in bytes. V8 ends the process where there is less.
const BOOTS_WITH: usize = 32 * MIB;

/// The workers that an isolate may have at a time. Each is a thread, and some memory of V8's own.
const MOST_WORKERS: usize = 256;

thread_local! {
    /// The share of a worker's own thread: at the thread's end it gives back the worker's part.
    static SHARE: RefCell<Option<MemoryShare>> = const { RefCell::new(None) };
}

/// The share of a worker in its family's memory.
struct MemoryShare {
    control: Arc<Control>,
    alive: Arc<AtomicUsize>,
    heap: usize,
    webassembly: usize,
}

impl MemoryShare {
    /// Notes the memory as it is without garbage; tells whether the workers' heaps together are larger than one may
    /// be.
    fn note(&mut self, held: MemoryUse, most: usize) -> bool {
        let family = &self.control.memory;
        for (all, is, was) in [
            (&family.worker_heaps, held.heap, self.heap),
            (&family.worker_webassembly, held.webassembly, self.webassembly),
        ] {
            all.fetch_add(is, Ordering::Relaxed);
            all.fetch_sub(was, Ordering::Relaxed);
        }
        (self.heap, self.webassembly) = (held.heap, held.webassembly);
        family.worker_heaps.load(Ordering::Relaxed) > most
    }
}

impl Drop for MemoryShare {
    fn drop(&mut self) {
        let family = &self.control.memory;
        family.worker_heaps.fetch_sub(self.heap, Ordering::Relaxed);
        family.worker_webassembly.fetch_sub(self.webassembly, Ordering::Relaxed);
        self.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The limit of a worker's heap, and the handle that ends it.
struct HeapLimit {
    /// The memory of all workers together.
    family: usize,
    handle: v8::IsolateHandle,
    out_of_memory: Arc<AtomicBool>,
}

impl HeapLimit {
    /// Ends the worker, which tells its starter.
    fn exceeded(&self) {
        self.out_of_memory.store(true, Ordering::SeqCst);
        self.handle.terminate_execution();
    }
}

/// Notes a worker's memory; called by V8 when it has collected the worker's garbage.
unsafe extern "C" fn collected(
    isolate: v8::UnsafeRawIsolatePtr,
    _: v8::GCType,
    _: v8::GCCallbackFlags,
    limit: *mut c_void,
) {
    // SAFETY: V8 calls back while the isolate lives, on its thread.
    let held = MemoryUse::by(&mut unsafe { v8::Isolate::from_raw_isolate_ptr(isolate) });
    // SAFETY: it is leaked where it is given to V8.
    let limit = unsafe { &*limit.cast::<HeapLimit>() };
    let is_too_much = SHARE.try_with(|share| {
        let mut share = share.try_borrow_mut().ok()?;
        Some(share.as_mut()?.note(held, limit.family))
    });
    if is_too_much == Ok(Some(true)) {
        limit.exceeded();
    }
}

/// The parts that an isolate and its workers have in common.
pub(crate) struct WorkerFamily {
    pub(crate) spec: Spec,
    pub(crate) control: Arc<Control>,
    pub(crate) pipes: Pipes,
    pub(crate) blobs: Arc<BlobStore>,
    pub(crate) channels: InMemoryBroadcastChannel,
    pub(crate) buffers: SharedArrayBufferStore,
    pub(crate) wasm: CompiledWasmModuleStore,
    pub(crate) certificates: Arc<Certificates>,
    /// The handles of the workers that were started; `None` once they are to end.
    workers: Mutex<Option<Vec<v8::IsolateHandle>>>,
    /// The number of workers that have not ended.
    alive: Arc<AtomicUsize>,
}

impl WorkerFamily {
    pub(crate) fn new(spec: Spec, control: Arc<Control>, pipes: Pipes) -> Arc<Self> {
        Arc::new(Self {
            certificates: Arc::new(spec.sources.certificates()),
            spec,
            control,
            pipes,
            blobs: Arc::default(),
            channels: InMemoryBroadcastChannel::default(),
            buffers: SharedArrayBufferStore::default(),
            wasm: CompiledWasmModuleStore::default(),
            workers: Mutex::new(Some(Vec::new())),
            alive: Arc::default(),
        })
    }

    /// Makes the worker for a thread that Deno has started, on that thread.
    pub(crate) fn creator(self: &Arc<Self>) -> Arc<CreateWebWorkerCb> {
        let family = self.clone();
        Arc::new(move |arguments| family.create(arguments))
    }

    /// Stops the JavaScript of every worker, also of a worker that only computes. Their threads end by themselves
    /// then.
    pub(crate) fn end_workers(&self) {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner).take();
        for worker in workers.into_iter().flatten() {
            worker.terminate_execution();
        }
    }

    fn create(self: &Arc<Self>, arguments: CreateWebWorkerArgs) -> (WebWorker, SendableWebWorkerHandle) {
        self.control.worker_started();
        witness::begin(self.spec.sources.clone(), Name::new(WORKER), self.control.clone());
        witness::end_evaluation();
        guard_this_thread(FatalReceivers {
            control: self.control.clone(),
            ended: None,
            out_of_memory: None,
        });
        let workers = self.alive.fetch_add(1, Ordering::Relaxed) + 1;
        SHARE.set(Some(MemoryShare {
            control: self.control.clone(),
            alive: self.alive.clone(),
            heap: 0,
            webassembly: 0,
        }));
        let Spec {
            sources,
            caches,
            built_ins,
            deno_dir,
            memory: limits,
            ..
        } = &self.spec;
        let node = NodeResolution::new(sources, deno_dir.clone(), caches.clone());
        let modules = Modules::new(sources.clone(), node, caches.clone(), built_ins.clone());
        let modules = Rc::new(modules);
        modules.begin_thread(arguments.main_module.clone());
        let (stdio, node_services) = match (
            self.pipes.stdio(),
            modules.node.services(Rc::new(RequireLoader(modules.clone()))),
        ) {
            (Ok(stdio), Ok(services)) => (stdio, services),
            (Err(error), _) => fatal::give_up(&format!("cannot give a worker its own standard output: {error}")),
            (_, Err(error)) => fatal::give_up(&format!("a worker cannot find packages: {error}")),
        };
        let heap = arguments
            .resource_limits
            .as_ref()
            .and_then(|asked| asked.max_old_generation_size_mb);
        let asked = heap.map_or(limits.heap, |asked| asked.saturating_mul(MIB).min(limits.heap));
        let heap = asked.max(BOOTS_WITH);
        let services = WebWorkerServiceOptions::<DenoInNpmPackageChecker, NpmResolver<RealSys>, RealSys> {
            blob_store: self.blobs.clone(),
            broadcast_channel: self.channels.clone(),
            deno_rt_native_addon_loader: None,
            compiled_wasm_module_store: Some(self.wasm.clone()),
            feature_checker: Arc::default(),
            fs: Arc::new(WitnessedFiles),
            main_inspector_session_tx: Default::default(),
            module_loader: Rc::new(Loader {
                modules: modules.clone(),
                control: self.control.clone(),
            }),
            node_services: Some(node_services),
            npm_process_state_provider: None,
            permissions: arguments.permissions.clone(),
            root_cert_store_provider: Some(certificates::provider(&self.certificates)),
            shared_array_buffer_store: Some(self.buffers.clone()),
            bundle_provider: None,
        };
        let options = self.options(arguments, modules, stdio, heap);
        let (mut worker, handle) = WebWorker::bootstrap_from_options(services, options);
        compat::begin_zone(&mut worker.js_runtime);
        self.keep(&mut worker, heap);
        let used = MemoryUse::by(worker.js_runtime.v8_isolate()).heap;
        if used > asked || workers > MOST_WORKERS {
            worker.oom_triggered.store(true, Ordering::SeqCst);
            worker.js_runtime.v8_isolate().terminate_execution();
        }
        (worker, handle)
    }

    /// Returns the options of a worker, beside the services that it shares with its isolate.
    fn options(
        self: &Arc<Self>,
        arguments: CreateWebWorkerArgs,
        modules: Rc<Modules>,
        stdio: Stdio,
        heap: usize,
    ) -> WebWorkerOptions {
        let Spec {
            sources,
            startup,
            memory: limits,
            ..
        } = &self.spec;
        WebWorkerOptions {
            name: arguments.name,
            worker_id: arguments.worker_id,
            bootstrap: BootstrapOptions {
                location: Some(arguments.main_module.clone()),
                close_on_idle: arguments.close_on_idle,
                ..bootstrap_options(WorkerExecutionMode::Worker)
            },
            main_module: arguments.main_module,
            extensions: vec![compat::extension(self.control.clone(), sources.variables(), modules)],
            startup_snapshot: Some(startup.blob),
            residual_lazy_js_sources: startup.lazy_js,
            residual_lazy_esm_sources: startup.lazy_esm,
            unsafely_ignore_certificate_errors: certificates::ignored(self.certificates.trusts_everybody()),
            create_params: Some(
                stack::bounded(v8::CreateParams::default())
                    .heap_limits(0, heap)
                    .array_buffer_allocator(memory::buffer_allocator(limits.buffers, self.control.clone())),
            ),
            seed: None,
            create_web_worker_cb: self.creator(),
            format_js_error_fn: None,
            worker_type: arguments.worker_type,
            cache_storage_dir: None,
            stdio,
            trace_ops: None,
            close_on_idle: arguments.close_on_idle,
            maybe_worker_metadata: arguments.maybe_worker_metadata,
            maybe_main_module_blob: arguments.maybe_main_module_blob,
            maybe_coverage_dir: None,
            maybe_cpu_prof_config: None,
            enable_raw_imports: false,
            enable_stack_trace_arg_in_ops: false,
            wait_for_debugger_on_start: false,
            wait_for_page_wait_for_debugger: false,
        }
    }

    fn keep(&self, worker: &mut WebWorker, heap: usize) {
        let teller = worker
            .js_runtime
            .op_state()
            .borrow()
            .borrow::<WebWorkerInternalHandle>()
            .clone();
        guard_this_thread(FatalReceivers {
            control: self.control.clone(),
            ended: None,
            out_of_memory: Some(Box::new(move || {
                // A closed channel has no reader who would want to know.
                let _ = teller.post_event(WorkerControlEvent::TerminalError(out_of_memory(), 1));
            })),
        });
        let isolate = worker.js_runtime.v8_isolate();
        fatal::guard_memory(isolate, heap);
        let handle = isolate.thread_safe_handle();
        let limit = Box::new(HeapLimit {
            family: self.spec.memory.heap,
            handle: handle.clone(),
            out_of_memory: worker.oom_triggered.clone(),
        });
        // The isolate may collect garbage until the very end: the box for V8 has a few bytes, and stays.
        let limit = Box::into_raw(limit).cast::<c_void>();
        isolate.add_gc_epilogue_callback(collected, limit, v8::GCType::kGCTypeMarkSweepCompact);
        match &mut *self.workers.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(workers) => {
                // A worker that has ended has nothing to end.
                if workers.len() >= 2 * MOST_WORKERS {
                    workers.drain(..MOST_WORKERS);
                }
                workers.push(handle.clone());
            }
            // A worker made this one while all were ended.
            None => drop(handle.terminate_execution()),
        }
        let out_of_memory = worker.oom_triggered.clone();
        worker
            .js_runtime
            .add_near_heap_limit_callback(move |current, _initial| {
                out_of_memory.store(true, Ordering::SeqCst);
                handle.terminate_execution();
                let more = memory::leeway(current, heap);
                fatal::heap_may_grow_to(more);
                more
            });
    }
}

/// Makes the error as Deno tells it.
fn out_of_memory() -> CoreError {
    CoreErrorKind::JsBox(JsErrorBox::new(
        "ERR_WORKER_OUT_OF_MEMORY",
        "Worker terminated due to reaching memory limit: JS heap out of memory",
    ))
    .into_box()
}
