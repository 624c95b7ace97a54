//! The properties of the process that belong to the whole host and cannot be an isolate's own: an error says what to
//! write instead. Only the title may be set, since nothing but the process itself would read it.

use deno_core::op2;
use deno_error::JsErrorBox;

use crate::system::posix;

#[op2(fast)]
pub(super) fn op_baton_chdir(#[string] directory: &str) -> Result<(), JsErrorBox> {
    let message = format!(
        "process.chdir({directory:?}) is not possible: the working folder belongs to the whole host. \
         Give child processes their own with the `cwd` option."
    );
    Err(JsErrorBox::generic(message))
}

/// Returns Node's default; it can be read and not set.
#[op2]
#[smi]
pub(super) fn op_baton_umask(#[smi] mask: Option<u32>) -> Result<u32, JsErrorBox> {
    match mask {
        None => Ok(0o022),
        Some(_) => Err(JsErrorBox::generic(
            "process.umask(mask) is not possible: the mask belongs to the whole host. Pass a mode when you create a \
             file.",
        )),
    }
}

/// Does nothing: Node's module keeps the text and reads it back.
#[op2(fast)]
pub(super) fn op_baton_set_title(#[string] _title: &str) {}

#[op2]
pub(super) fn op_baton_set_id(#[serde] _id: serde_json::Value) -> Result<(), JsErrorBox> {
    Err(JsErrorBox::generic(
        "the user and the group cannot be changed: they belong to the whole host. Give child processes their own with \
         the `uid` and `gid` options.",
    ))
}

#[op2(fast)]
pub(super) fn op_baton_set_priority(pid: u32, priority: i32) -> Result<(), JsErrorBox> {
    if pid == 0 || pid == std::process::id() {
        return Err(JsErrorBox::generic(format!(
            "os.setPriority({priority}) is not possible: the priority belongs to the whole host. \
             Give child processes their own with os.setPriority(child.pid, {priority})."
        )));
    }
    posix::set_priority(pid, priority).map_err(JsErrorBox::from_err)
}

/// Refuses the heap snapshot: V8 asks one callback near the limit, which must be the one that stops the isolate.
#[op2(fast)]
pub(super) fn op_baton_snapshot_near_heap_limit(#[smi] _limit: u32) -> Result<(), JsErrorBox> {
    Err(JsErrorBox::generic(
        "v8.setHeapSnapshotNearHeapLimit is not possible: Baton ends an isolate that is near its limit. Write a \
         snapshot with v8.writeHeapSnapshot.",
    ))
}
