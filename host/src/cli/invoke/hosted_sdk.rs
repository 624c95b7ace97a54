//! The project's SDK, behind the control socket of its host.

use std::path::PathBuf;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http_body_util::Full;
use hyper::Method;

use crate::generation::GenerationChoice;
use crate::net::{HttpAnswer, http};
use crate::runner::sdk::{GenerationAnswer, LostAnswer, Sdk};
use crate::runner::sdk_request::SdkRequest;
use crate::server::GENERATION_HEADER;

pub(in crate::cli) struct HostedSdk {
    pub(super) socket: PathBuf,
    /// The generation that a person named for the runs.
    pub(super) generation: Option<GenerationChoice>,
}

impl Sdk for HostedSdk {
    fn call(&self, request: SdkRequest) -> BoxFuture<'static, Result<GenerationAnswer, LostAnswer>> {
        let (socket, generation) = (self.socket.clone(), self.generation);
        async move {
            let mut call = hyper::Request::builder().method(Method::POST).uri(&request.path);
            for (name, value) in &request.headers {
                call = call.header(name, value);
            }
            if let Some(generation) = generation {
                call = call.header(GENERATION_HEADER, generation.to_string());
            }
            let lost = |error: &dyn std::fmt::Display| LostAnswer(format!("the host does not answer: {error}"));
            let call = call
                .body(Full::new(Bytes::from(request.body)))
                .map_err(|error| lost(&error))?;
            let response = http::send_to_socket(&socket, call)
                .await
                .map_err(|error| lost(&error))?;
            let generation = response.headers().get(GENERATION_HEADER);
            let generation = generation.and_then(|value| value.to_str().ok()?.parse().ok());
            let raw = HttpAnswer::read(response).await.map_err(|error| lost(&error))?;
            Ok(GenerationAnswer { raw, generation })
        }
        .boxed()
    }
}
