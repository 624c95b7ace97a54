//! Deriving and checking passwords, which takes long on purpose: on a thread of the isolate's pool
//! unless the caller wants to wait.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use argon2::{Algorithm, Argon2, Params, Version};
use deno_core::{JsRuntime, V8CrossThreadTaskSpawner, v8};
use serde::Deserialize;

/// The work to be done.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub(super) enum PasswordWork {
    #[serde(rename_all = "camelCase")]
    Argon2 {
        algorithm: String,
        password: String,
        salt: Vec<u8>,
        memory_cost: u32,
        time_cost: u32,
        parallelism: u32,
        length: usize,
    },
    BcryptHash {
        password: Vec<u8>,
        cost: u32,
    },
    BcryptVerify {
        password: Vec<u8>,
        hash: String,
    },
}

/// The result of the work: the derived bytes, the text of a hash, or the answer whether the password is the one.
pub(super) enum PasswordResult {
    Bytes(Vec<u8>),
    Text(String),
    Matches(bool),
}

impl PasswordWork {
    /// # Errors
    /// When the parameters are outside of what the algorithm allows.
    pub(super) fn perform(self) -> Result<PasswordResult, String> {
        match self {
            Self::Argon2 {
                algorithm,
                password,
                salt,
                memory_cost,
                time_cost,
                parallelism,
                length,
            } => {
                let algorithm = Algorithm::new(algorithm).map_err(|error| error.to_string())?;
                let params = Params::new(memory_cost, time_cost, parallelism, Some(length));
                let params = params.map_err(|error| error.to_string())?;
                let mut derived = vec![0; length];
                Argon2::new(algorithm, Version::V0x13, params)
                    .hash_password_into(password.as_bytes(), &salt, &mut derived)
                    .map_err(|error| error.to_string())?;
                Ok(PasswordResult::Bytes(derived))
            }
            Self::BcryptHash { password, cost } => {
                let hash = bcrypt::hash_with_result(password, cost).map_err(|error| error.to_string())?;
                Ok(PasswordResult::Text(hash.format_for_version(bcrypt::Version::TwoB)))
            }
            // A text that is no hash matches nothing.
            Self::BcryptVerify { password, hash } => Ok(PasswordResult::Matches(
                bcrypt::verify(password, &hash).unwrap_or(false),
            )),
        }
    }
}

impl PasswordResult {
    pub(super) fn into_v8<'s>(self, scope: &mut v8::PinScope<'s, '_>) -> Option<v8::Local<'s, v8::Value>> {
        match self {
            Self::Bytes(bytes) => {
                let length = bytes.len();
                let store = v8::ArrayBuffer::new_backing_store_from_vec(bytes).make_shared();
                let buffer = v8::ArrayBuffer::with_backing_store(scope, &store);
                v8::Uint8Array::new(scope, buffer, 0, length).map(Into::into)
            }
            Self::Text(text) => v8::String::new(scope, &text).map(Into::into),
            Self::Matches(matches) => Some(v8::Boolean::new(scope, matches).into()),
        }
    }
}

/// The promises that threads are to settle. Kept by V8 with the isolate.
#[derive(Default)]
pub(super) struct PendingPromises {
    next: Cell<u32>,
    resolvers: RefCell<HashMap<u32, v8::Global<v8::PromiseResolver>>>,
}

impl PendingPromises {
    fn add(&self, resolver: v8::Global<v8::PromiseResolver>) -> u32 {
        let id = self.next.get();
        self.next.set(id.wrapping_add(1));
        self.resolvers.borrow_mut().insert(id, resolver);
        id
    }

    fn take(&self, id: u32) -> Option<v8::Global<v8::PromiseResolver>> {
        self.resolvers.borrow_mut().remove(&id)
    }
}

/// Performs the work on a thread of the isolate's pool, which ends with the isolate.
pub(super) fn perform_elsewhere<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    work: PasswordWork,
) -> Option<v8::Local<'s, v8::Promise>> {
    let resolver = v8::PromiseResolver::new(scope)?;
    let promise = resolver.get_promise(scope);
    let global = v8::Global::new(scope, resolver);
    let id = scope.get_slot::<PendingPromises>()?.add(global);
    let state = JsRuntime::op_state_from(scope);
    let (spawner, tracker) = {
        let state = state.borrow();
        (
            state.borrow::<V8CrossThreadTaskSpawner>().clone(),
            state.external_ops_tracker.clone(),
        )
    };
    // A call that waits for nothing else still waits for this.
    tracker.ref_op();
    tokio::task::spawn_blocking(move || {
        let done = work.perform();
        spawner.spawn(move |scope| {
            tracker.unref_op();
            settle(scope, id, done);
        });
    });
    Some(promise)
}

fn settle(scope: &mut v8::PinScope<'_, '_>, id: u32, done: Result<PasswordResult, String>) {
    let Some(resolver) = scope.get_slot::<PendingPromises>().and_then(|pending| pending.take(id)) else {
        return;
    };
    let resolver = v8::Local::new(scope, resolver);
    match done {
        Ok(done) => {
            if let Some(value) = done.into_v8(scope) {
                resolver.resolve(scope, value);
            }
        }
        Err(message) => {
            if let Some(message) = v8::String::new(scope, &message) {
                let error = v8::Exception::error(scope, message);
                resolver.reject(scope, error);
            }
        }
    }
}
