//! The life of an isolate's thread: boot, load, answer calls, give everything back.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use deno_core::url::Url;
use deno_core::{PollEventLoopOptions, v8};
use deno_resolver::npm::{DenoInNpmPackageChecker, NpmResolver};
use deno_runtime::WorkerExecutionMode;
use deno_runtime::deno_permissions::{
    Permissions, PermissionsContainer, PermissionsOptions, RuntimePermissionDescriptorParser,
};
use deno_runtime::worker::{MainWorker, WorkerOptions, WorkerServiceOptions};
use futures::FutureExt as _;
use js_runtime_api::{IsolateEnd, LoadError, LoadErrorKind, Reach};
use sys_traits::impls::RealSys;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use super::ahead::{self, AheadFailure};
use super::assignment::{AheadMismatch, Assignment, AssignmentInbox, AssignmentReceiver, LoadFailure, Spec};
use super::bootstrap::bootstrap_options;
use super::project_load::Load;
use super::worker::WorkerFamily;
use super::{driver, memory, stack};
use crate::ahead::ImportedModules;
use crate::compat::files::WitnessedFiles;
use crate::compat::stdio::Pipes;
use crate::compat::witness;
use crate::compat::{self, certificates};
use crate::control::{Control, Name, StopReason};
use crate::loader::require::RequireLoader;
use crate::loader::{Loader, Modules};
use crate::own_files::PRELUDE;
use crate::position::relative_to;
use crate::prelude::Prelude;
use crate::resolve::analysis::BESIDE_STACK;
use crate::resolve::node::NodeResolution;
use crate::source::caches::ScriptCodeCache;
use crate::system::posix::{FreedMemory, work_in};

/// The time that an isolate waits for its disposal after another isolate has taken its place: disposal takes
/// processor time that the first calls of the other isolate want.
const SUCCESSOR_FIRST: Duration = Duration::from_millis(30);

/// The time for which threads stay that work beside an isolate's loop: as long as the isolate lives.
const STAY: Duration = Duration::from_hours(24 * 365 * 10);

/// Runs on the isolate's own thread, from its first to its last line; says why it ended.
pub(crate) fn run(
    spec: Spec,
    pipes: Pipes,
    control: &Arc<Control>,
    name: Name,
    coming: AssignmentInbox,
    event_loop: io::Result<Runtime>,
) -> IsolateEnd {
    let family = WorkerFamily::new(spec, control.clone(), pipes);
    let event_loop = match event_loop {
        Ok(event_loop) => event_loop,
        Err(error) => {
            let message = format!("cannot make an event loop for the isolate: {error}");
            let error = LoadError {
                kind: LoadErrorKind::System,
                message,
                ..LoadError::default()
            };
            pollster::block_on(refuse(coming.assigned, error));
            return IsolateEnd::Closed;
        }
    };
    event_loop.block_on(Box::pin(live(&family, name, coming)));
    family.end_workers();
    // Tasks that extensions spawned and nobody awaits end here.
    event_loop.shutdown_background();
    drop(family);
    FreedMemory::GivenBack.tell();
    control.thread_ends();
    match control.stopped() {
        None if control.condemned() => IsolateEnd::Condemned,
        None => IsolateEnd::Closed,
        Some(StopReason::TimedOut | StopReason::Terminated) => IsolateEnd::Terminated,
        Some(StopReason::OutOfMemory) => IsolateEnd::OutOfMemory,
        Some(StopReason::Panicked) => IsolateEnd::Panicked,
        // User code was told to end.
        Some(StopReason::Exited(_)) if control.was_signalled() => {
            if control.condemned() {
                IsolateEnd::Condemned
            } else {
                IsolateEnd::Closed
            }
        }
        Some(StopReason::Exited(exit)) => IsolateEnd::Exited {
            call: exit.call.clone(),
            code: exit.code,
            stack: exit.stack.clone(),
        },
    }
}

/// Makes the event loop of an isolate's thread, as Deno makes it. One thread for files and computations beside the
/// loop is there from the start, and such threads stay: tokio panics where there is none and none can be had.
/// `working_folder`: that of the thread and of those beside it, from now on.
///
/// # Errors
/// When the system has no descriptors or threads left, or there is no such folder.
pub(super) fn event_loop(working_folder: Option<&Path>) -> io::Result<Runtime> {
    if let Some(folder) = working_folder {
        work_in(folder)?;
    }
    let working_folder = working_folder.map(Path::to_owned);
    let event_loop = Builder::new_current_thread()
        .enable_all()
        .on_thread_start(move || {
            // The folder was there for the isolate's thread.
            let _ = working_folder.as_deref().map(work_in);
        })
        // Each thread has room for a parser.
        .max_blocking_threads(32)
        .thread_keep_alive(STAY)
        .thread_stack_size(BESIDE_STACK)
        .build()?;
    let begin = || drop(event_loop.spawn_blocking(|| ()));
    match catch_unwind(AssertUnwindSafe(begin)) {
        Ok(()) => Ok(event_loop),
        Err(_) => Err(io::ErrorKind::WouldBlock.into()),
    }
}

async fn live(family: &Arc<WorkerFamily>, name: Name, coming: AssignmentInbox) {
    let AssignmentInbox { assigned, waits, acts } = coming;
    let began = Instant::now();
    let WorkerFamily { spec, control, .. } = &**family;
    let node = NodeResolution::new(&spec.sources, spec.deno_dir.clone(), spec.caches.clone());
    let modules = Modules::new(spec.sources.clone(), node, spec.caches.clone(), spec.built_ins.clone());
    let modules = Rc::new(modules);
    let mut worker = match boot(family, &modules) {
        Ok(worker) => worker,
        Err(error) => return refuse(assigned, error).await,
    };
    control.booted(&mut worker.js_runtime);
    memory::stop_at_heap_limit(&mut worker.js_runtime, spec.memory.heap, control);
    compat::begin_zone(&mut worker.js_runtime);

    let root = &spec.sources.project().root;
    let sockets = spec.sockets.as_ref().map(TempDir::path);
    let mut load = Load {
        worker: &mut worker,
        modules: &modules,
        control,
        memory: spec.memory,
        sockets,
    };
    let prelude = match load.prelude(name.clone()).await {
        Ok(prelude) => prelude,
        Err(error) => {
            dispose(worker, &modules, control);
            return refuse(assigned, error).await;
        }
    };
    let booted = began.elapsed();
    witness::begin(spec.sources.clone(), name.clone(), control.clone());
    if let Err(acting) = evaluate_ahead(&mut load, &prelude, spec, &name).await {
        if let Some(module) = acting {
            let _ = acts.set(module);
        }
        drop(prelude);
        return dispose(worker, &modules, control);
    }
    let written_ahead = environment_written(load.worker);
    let ahead = began.elapsed() - booted;
    waits.send_replace(true);
    tracing::debug!(
        isolate = &*name.get(),
        ?booted,
        ?ahead,
        packages = spec.ahead.packages.len(),
        modules = spec.ahead.modules.len(),
        "isolate booted"
    );
    let Some(Assignment {
        name: given,
        queue,
        ready,
        progress,
    }) = wait_for(&mut load, assigned).await
    else {
        drop(prelude);
        return dispose(worker, &modules, control);
    };
    name.become_known_as(&given);

    let began = Instant::now();
    let outcome = load.project(&prelude, &spec.ahead.modules, &progress).await;
    witness::end_evaluation();
    let evaluated = began.elapsed();
    tracing::debug!(isolate = given, ?evaluated, "isolate loaded");
    spec.caches.report();
    spec.sources.note_loaded();
    let outcome = outcome.map_err(LoadFailure::Failed).and_then(|loaded| {
        let is_written = !spec.ahead.is_empty() && environment_written(load.worker) != written_ahead;
        suits(spec, is_written).map_err(LoadFailure::Unsuited)?;
        Ok(loaded)
    });
    match outcome {
        Ok((serving, manifest)) => {
            // Nobody waits any more: the load was abandoned, and control says stop.
            let _ = ready.send(Ok(manifest));
            driver::drive(&mut worker, &prelude, &serving, &queue, control, spec.memory).await;
            if control.draining() && control.stopped().is_none() {
                tokio::time::sleep(SUCCESSOR_FIRST).await;
            }
            drop(prelude);
            dispose(worker, &modules, control);
        }
        Err(not_loaded) => {
            drop(prelude);
            dispose(worker, &modules, control);
            let _ = ready.send(Err(match not_loaded {
                LoadFailure::Failed(error) => LoadFailure::Failed(relative_to(error, root)),
                unsuited @ LoadFailure::Unsuited(_) => unsuited,
            }));
        }
    }
}

/// Evaluates the modules that are to be evaluated ahead of the load.
///
/// # Errors
/// With the module that must not be, where it is known.
async fn evaluate_ahead(
    load: &mut Load<'_>,
    prelude: &Prelude,
    spec: &Spec,
    name: &Name,
) -> Result<(), Option<PathBuf>> {
    if !spec.ahead.is_empty() {
        let modules = spec.ahead.modules.len();
        tracing::debug!(isolate = &*name.get(), modules, "evaluating ahead of a load");
    }
    let evaluated = ahead::evaluate(load, prelude, &spec.ahead).await;
    evaluated.map_err(|AheadFailure { module, how }| {
        let shown = module.as_deref().map(Path::display);
        tracing::debug!(
            module = shown.map(tracing::field::display),
            ?how,
            "a module cannot be evaluated ahead of the load"
        );
        module
    })
}

/// Checks that the modules evaluated ahead made no difference to the load. `is_written`: the load wrote to the
/// environment.
fn suits(spec: &Spec, is_written: bool) -> Result<(), AheadMismatch> {
    if spec.ahead.is_empty() {
        return Ok(());
    }
    if is_written {
        return Err(AheadMismatch::EnvironmentWritten);
    }
    if !ImportedModules::of(&spec.sources, &spec.caches).has(&spec.ahead) {
        return Err(AheadMismatch::ImportedOtherwise);
    }
    Ok(())
}

/// Waits for the isolate's assignment; `None` when the isolate is to end. Work that packages have begun goes on.
async fn wait_for(load: &mut Load<'_>, mut assigned: AssignmentReceiver) -> Option<Assignment> {
    let runtime = &mut load.worker.js_runtime;
    std::future::poll_fn(|context| {
        if load.control.poll_stopped(context).is_some() {
            return Poll::Ready(None);
        }
        if let Poll::Ready(assignment) = assigned.poll_unpin(context) {
            return Poll::Ready(assignment.ok());
        }
        while let Poll::Ready(Err(error)) = runtime.poll_event_loop(context, PollEventLoopOptions::default()) {
            tracing::error!(%error, "uncaught error in user code");
        }
        Poll::Pending
    })
    .await
}

/// Answers a load with the reason why there will be no isolate.
async fn refuse(assigned: AssignmentReceiver, error: LoadError) {
    if let Ok(assignment) = assigned.await {
        let _ = assignment.ready.send(Err(LoadFailure::Failed(error)));
    }
}

fn environment_written(worker: &mut MainWorker) -> blake3::Hash {
    let state = worker.js_runtime.op_state();
    let state = state.borrow();
    state.borrow::<compat::process_env::IsolateEnvironment>().written()
}

/// The permissions of a confined isolate: it reads, and nothing leaves it.
///
/// # Errors
/// Only when Baton itself is at fault.
fn confined(parser: &RuntimePermissionDescriptorParser<RealSys>) -> Result<Permissions, LoadError> {
    let all = || Some(Vec::new());
    let options = PermissionsOptions {
        // Where all reads are allowed, Deno audits each of them as a write, too.
        allow_read: Some(vec!["/".to_owned()]),
        allow_env: all(),
        allow_sys: all(),
        allow_import: all(),
        prompt: false,
        ..PermissionsOptions::default()
    };
    Permissions::from_options(parser, &options).map_err(|error| LoadError::bug(error.to_string()))
}

fn boot(family: &Arc<WorkerFamily>, modules: &Rc<Modules>) -> Result<MainWorker, LoadError> {
    let WorkerFamily { spec, control, .. } = &**family;
    let root = &spec.sources.project().root;
    let main_module = Url::from_file_path(root.join(PRELUDE))
        .map_err(|()| LoadError::bug(format!("{} is not an absolute path", root.display())))?;
    let node_services = modules
        .node
        .services(Rc::new(RequireLoader(modules.clone())))
        .map_err(|error| LoadError {
            kind: LoadErrorKind::Resolve,
            message: format!("cannot read the project's package.json: {error}"),
            help: Some("Correct the file, or make it readable.".to_owned()),
            ..LoadError::default()
        })?;
    let stdio = family.pipes.stdio();
    let stdio = stdio.map_err(|error| LoadError {
        kind: LoadErrorKind::System,
        message: format!("cannot open pipes for the isolate's output: {error}"),
        ..LoadError::default()
    })?;
    let parser = Arc::new(RuntimePermissionDescriptorParser::new(RealSys));
    let permissions = match spec.reach {
        Reach::World => Permissions::allow_all(),
        Reach::Confined => {
            control.confine();
            confined(&parser)?
        }
    };
    Ok(MainWorker::bootstrap_from_options::<
        DenoInNpmPackageChecker,
        NpmResolver<RealSys>,
        RealSys,
    >(
        &main_module,
        WorkerServiceOptions {
            blob_store: family.blobs.clone(),
            broadcast_channel: family.channels.clone(),
            deno_rt_native_addon_loader: None,
            feature_checker: Default::default(),
            fs: Arc::new(WitnessedFiles),
            module_loader: Rc::new(Loader {
                modules: modules.clone(),
                control: control.clone(),
            }),
            node_services: Some(node_services),
            npm_process_state_provider: None,
            permissions: PermissionsContainer::new(parser, permissions),
            root_cert_store_provider: Some(certificates::provider(&family.certificates)),
            fetch_dns_resolver: Default::default(),
            shared_array_buffer_store: Some(family.buffers.clone()),
            compiled_wasm_module_store: Some(family.wasm.clone()),
            v8_code_cache: Some(Arc::new(ScriptCodeCache(spec.caches.clone()))),
            bundle_provider: None,
        },
        WorkerOptions {
            bootstrap: bootstrap_options(WorkerExecutionMode::None),
            create_web_worker_cb: family.creator(),
            extensions: vec![compat::extension(
                control.clone(),
                spec.sources.variables(),
                modules.clone(),
            )],
            create_params: Some(
                stack::bounded(v8::CreateParams::default())
                    .heap_limits(0, spec.memory.heap)
                    .array_buffer_allocator(memory::buffer_allocator(spec.memory.buffers, control.clone())),
            ),
            unsafely_ignore_certificate_errors: certificates::ignored(family.certificates.trusts_everybody()),
            stdio,
            startup_snapshot: Some(spec.startup.blob),
            residual_lazy_js_sources: spec.startup.lazy_js,
            residual_lazy_esm_sources: spec.startup.lazy_esm,
            ..Default::default()
        },
    ))
}

/// Ends the isolate on its thread. All handles into its memory must be gone by now.
fn dispose(mut worker: MainWorker, modules: &Rc<Modules>, control: &Control) {
    let events = [
        |worker: &mut MainWorker| worker.dispatch_beforeunload_event().map(drop),
        MainWorker::dispatch_unload_event,
        MainWorker::dispatch_process_exit_event,
    ];
    for dispatch in events {
        // A listener may have exited, or have been stopped.
        if control.stopped().is_some() {
            break;
        }
        if let Err(error) = dispatch(&mut worker)
            && control.stopped().is_none()
        {
            tracing::warn!(%error, "a listener threw while its isolate ended");
        }
    }
    if control.stopped().is_none() {
        worker.run_napi_ref_finalizers();
    }
    Control::disposing(&mut worker.js_runtime);
    drop(worker);
    let leaked = Rc::strong_count(modules) - 1;
    if leaked > 0 {
        tracing::warn!(leaked, "an isolate's modules are still referenced after its end");
    }
}
