//! Messages that `child_process.fork` sends with `serialization: "advanced"`, in a form that the V8 of Node reads.
//!
//! Deno writes the same bytes, but under the version of its own V8, which is newer than Node's: Node refuses to read
//! them and the child ends. The older version writes everything that a message can hold in the same way.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use deno_core::v8::ValueSerializerHelper as _;
use deno_core::{CancelFuture as _, OpState, ResourceId, op2, v8};
use deno_error::JsErrorBox;
use deno_runtime::deno_process::ipc::{INITIAL_CAPACITY, IpcAdvancedStreamResource};

/// The newest version of the format that Node 20 to 24 read.
const VERSION: u8 = 15;
/// The offset of the version: after the message's length in four bytes, and a byte that announces it.
const VERSION_AT: usize = LENGTH + 1;
const LENGTH: usize = 4;

/// The tags of a typed array, a `DataView` or a `Buffer`, and of any other object of the host.
const VIEW: u32 = 0;
const OTHER: u32 = 1;

/// Writes views of buffers as Node does, by their kind and their bytes.
struct Views;

impl v8::ValueSerializerImpl for Views {
    fn throw_data_clone_error<'s>(&self, scope: &mut v8::PinScope<'s, '_>, message: v8::Local<'s, v8::String>) {
        let error = v8::Exception::type_error(scope, message);
        scope.throw_exception(error);
    }

    fn has_custom_host_object(&self, _isolate: &v8::Isolate) -> bool {
        false
    }

    fn write_host_object<'s>(
        &self,
        scope: &mut v8::PinScope<'s, '_>,
        object: v8::Local<'s, v8::Object>,
        serializer: &dyn v8::ValueSerializerHelper,
    ) -> Option<bool> {
        let Ok(view) = v8::Local::<v8::ArrayBufferView>::try_from(object) else {
            serializer.write_uint32(OTHER);
            return serializer.write_value(scope.get_current_context(), object.into());
        };
        serializer.write_uint32(VIEW);
        serializer.write_uint32(kind(scope, view)?);
        serializer.write_uint32(u32::try_from(view.byte_length()).ok()?);
        let mut storage = [0; v8::TYPED_ARRAY_MAX_SIZE_IN_HEAP];
        serializer.write_raw_bytes(view.get_contents(&mut storage));
        Some(true)
    }

    fn get_shared_array_buffer_id<'s>(
        &self,
        _scope: &mut v8::PinScope<'s, '_>,
        _buffer: v8::Local<'s, v8::SharedArrayBuffer>,
    ) -> Option<u32> {
        None
    }
}

/// Returns the number of a view's kind in Node's `v8.DefaultSerializer`.
fn kind<'s>(scope: &mut v8::PinScope<'s, '_>, view: v8::Local<'s, v8::ArrayBufferView>) -> Option<u32> {
    let kinds = [
        view.is_int8_array(),
        view.is_uint8_array(),
        view.is_uint8_clamped_array(),
        view.is_int16_array(),
        view.is_uint16_array(),
        view.is_int32_array(),
        view.is_uint32_array(),
        view.is_float32_array(),
        view.is_float64_array(),
        view.is_data_view(),
        view.is_uint8_array() && is_buffer(scope, view),
        view.is_big_int64_array(),
        view.is_big_uint64_array(),
        view.is_float16_array(),
    ];
    // A `Buffer` is a `Uint8Array`, too.
    let kind = kinds.iter().rposition(|is_it| *is_it)?;
    u32::try_from(kind).ok()
}

fn is_buffer<'s>(scope: &mut v8::PinScope<'s, '_>, view: v8::Local<'s, v8::ArrayBufferView>) -> bool {
    view.get_constructor_name().to_rust_string_lossy(scope) == "Buffer"
}

fn serialized<'s>(scope: &mut v8::PinScope<'s, '_>, value: v8::Local<'s, v8::Value>) -> Result<Vec<u8>, JsErrorBox> {
    let serializer = v8::ValueSerializer::new(scope, Box::new(Views));
    serializer.set_treat_array_buffer_views_as_host_objects(true);
    serializer.write_raw_bytes(&[0; LENGTH]);
    serializer.write_header();
    // An exception that the serializer throws is thrown once this function returns.
    serializer.write_value(scope.get_current_context(), value);
    let mut bytes = serializer.release();
    let length = u32::try_from(bytes.len() - LENGTH).map_err(|_| JsErrorBox::range_error("the message is too long"))?;
    bytes[..LENGTH].copy_from_slice(&length.to_be_bytes());
    bytes[VERSION_AT] = bytes[VERSION_AT].min(VERSION);
    Ok(bytes)
}

/// Sends a message; sets the first element of `queue_ok` to false where many messages wait to be sent. A `raw_fd`
/// below 0 is none.
#[op2]
pub(super) fn op_baton_ipc_write_advanced<'a>(
    scope: &mut v8::PinScope<'a, '_>,
    state: Rc<RefCell<OpState>>,
    #[smi] rid: ResourceId,
    value: v8::Local<'a, v8::Value>,
    #[smi] raw_fd: i32,
    queue_ok: v8::Local<'a, v8::Array>,
) -> Result<impl Future<Output = Result<(), io::Error>> + use<>, JsErrorBox> {
    let bytes = serialized(scope, value)?;
    let stream = state
        .borrow()
        .resource_table
        .get::<IpcAdvancedStreamResource>(rid)
        .map_err(JsErrorBox::from_err)?;
    let queued = stream.queued_bytes.fetch_add(bytes.len(), Ordering::Relaxed) + bytes.len();
    if queued > 2 * INITIAL_CAPACITY {
        let full = v8::Boolean::new(scope, false);
        queue_ok.set_index(scope, 0, full.into());
    }
    Ok(async move {
        let raw_fd = (raw_fd >= 0).then_some(raw_fd);
        let written = stream.clone().write_msg_bytes(&bytes, raw_fd);
        let written = written.or_cancel(stream.cancel.clone()).await;
        stream.queued_bytes.fetch_sub(bytes.len(), Ordering::Relaxed);
        written?
    })
}
