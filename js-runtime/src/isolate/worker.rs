//! The threads that user code starts with `node:worker_threads` and `new Worker`: each runs a V8 isolate of its own,
//! with the modules of the same generation, and ends with the isolate that started it.
//!
//! A worker that runs out of memory ends alone. One whose thread panics takes the isolate that started it along, as a
//! panic there would.

use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use deno_core::{CompiledWasmModuleStore, SharedArrayBufferStore, v8};
use deno_resolver::npm::{DenoInNpmPackageChecker, NpmResolver};
use deno_runtime::deno_web::{BlobStore, InMemoryBroadcastChannel};
use deno_runtime::ops::worker_host::{CreateWebWorkerArgs, CreateWebWorkerCb};
use deno_runtime::web_worker::{SendableWebWorkerHandle, WebWorker, WebWorkerOptions, WebWorkerServiceOptions};
use deno_runtime::{BootstrapOptions, WorkerExecutionMode};
use js_runtime_api::{Certificates, Sources as _};
use sys_traits::impls::RealSys;

use super::control::Control;
use super::fatal::{self, Told, guard_this_thread};
use super::memory;
use super::name::Name;
use super::thread::{Spec, bootstrap_options};
use crate::compat::files::WitnessedFiles;
use crate::compat::stdio::Pipes;
use crate::compat::{self, certificates, witness};
use crate::loader::{Loader, Modules};
use crate::resolve::node::NodeResolution;
use crate::resolve::require::RequireLoader;

/// The name of every worker thread in lines of the log.
const WORKER: &str = "worker";

/// A mebibyte.
const MIB: usize = 1 << 20;

/// What an isolate and its workers have in common.
pub(crate) struct Family {
    pub(crate) spec: Spec,
    pub(crate) control: Arc<Control>,
    pub(crate) pipes: Pipes,
    pub(crate) blobs: Arc<BlobStore>,
    pub(crate) channels: InMemoryBroadcastChannel,
    pub(crate) buffers: SharedArrayBufferStore,
    pub(crate) wasm: CompiledWasmModuleStore,
    pub(crate) certificates: Arc<Certificates>,
    /// Of the workers that were started; `None` once they are to end.
    workers: Mutex<Option<Vec<v8::IsolateHandle>>>,
}

impl Family {
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
        })
    }

    /// Makes the worker for a thread that Deno has started, on that thread.
    pub(crate) fn creator(self: &Arc<Self>) -> Arc<CreateWebWorkerCb> {
        let family = self.clone();
        Arc::new(move |arguments| family.create(arguments))
    }

    /// Stops the JavaScript of every worker, also of one that only computes. Their threads end by themselves then.
    pub(crate) fn end_workers(&self) {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner).take();
        for worker in workers.into_iter().flatten() {
            worker.terminate_execution();
        }
    }

    fn create(self: &Arc<Self>, arguments: CreateWebWorkerArgs) -> (WebWorker, SendableWebWorkerHandle) {
        self.control.worker_started();
        witness::begin(self.spec.sources.clone(), Name::new(WORKER));
        witness::end_evaluation();
        guard_this_thread(Told {
            control: self.control.clone(),
            ended: None,
        });
        let Spec {
            sources,
            caches,
            startup,
            deno_dir,
            memory: limits,
            ..
        } = &self.spec;
        let node = NodeResolution::new(sources, deno_dir.clone(), caches.clone());
        let modules = Rc::new(Modules::new(sources.clone(), node, caches.clone()));
        let (stdio, node_services) = match (
            self.pipes.stdio(),
            modules.node.services(Rc::new(RequireLoader(modules.clone()))),
        ) {
            (Ok(stdio), Ok(services)) => (stdio, services),
            (Err(error), _) => fatal::give_up(&format!("a worker cannot have its own standard output: {error}")),
            (_, Err(error)) => fatal::give_up(&format!("a worker cannot find packages: {error}")),
        };
        let heap = arguments
            .resource_limits
            .and_then(|asked| asked.max_old_generation_size_mb);
        let heap = heap.map_or(limits.heap, |asked| (asked * MIB).min(limits.heap));
        let services = WebWorkerServiceOptions::<DenoInNpmPackageChecker, NpmResolver<RealSys>, RealSys> {
            blob_store: self.blobs.clone(),
            broadcast_channel: self.channels.clone(),
            deno_rt_native_addon_loader: None,
            compiled_wasm_module_store: Some(self.wasm.clone()),
            feature_checker: Arc::default(),
            fs: Arc::new(WitnessedFiles),
            main_inspector_session_tx: Default::default(),
            module_loader: Rc::new(Loader(modules.clone())),
            node_services: Some(node_services),
            npm_process_state_provider: None,
            permissions: arguments.permissions,
            root_cert_store_provider: Some(certificates::provider(&self.certificates)),
            shared_array_buffer_store: Some(self.buffers.clone()),
            bundle_provider: None,
        };
        let options = WebWorkerOptions {
            name: arguments.name,
            worker_id: arguments.worker_id,
            bootstrap: BootstrapOptions {
                location: Some(arguments.main_module.clone()),
                close_on_idle: arguments.close_on_idle,
                ..bootstrap_options(WorkerExecutionMode::Worker)
            },
            main_module: arguments.main_module,
            extensions: vec![compat::extension(
                self.control.clone(),
                sources.variables(),
                modules.clone(),
            )],
            startup_snapshot: Some(startup.blob),
            residual_lazy_js_sources: startup.lazy_js,
            residual_lazy_esm_sources: startup.lazy_esm,
            unsafely_ignore_certificate_errors: certificates::ignored(self.certificates.trusts_everybody()),
            create_params: Some(
                v8::CreateParams::default()
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
        };
        let (mut worker, handle) = WebWorker::bootstrap_from_options(services, options);
        self.keep(&mut worker);
        compat::begin_zone(&mut worker.js_runtime);
        (worker, handle)
    }

    fn keep(&self, worker: &mut WebWorker) {
        let isolate = worker.js_runtime.v8_isolate();
        fatal::guard_memory(isolate);
        let handle = isolate.thread_safe_handle();
        match &mut *self.workers.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(workers) => workers.push(handle.clone()),
            // A worker made this one while all were ended.
            None => drop(handle.terminate_execution()),
        }
        let out_of_memory = worker.oom_triggered.clone();
        worker
            .js_runtime
            .add_near_heap_limit_callback(move |current, _initial| {
                // V8 gets some room to unwind, once.
                let first = !out_of_memory.swap(true, Ordering::SeqCst);
                handle.terminate_execution();
                if first { current * 2 } else { current }
            });
    }
}
