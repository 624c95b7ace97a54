//! The project's SDK, behind the control socket of its host.

use std::path::PathBuf;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Response};

use super::super::client;
use crate::http_connection::AnswerBody;
use crate::runner::answer::Raw;
use crate::runner::fetch::fetch;
use crate::runner::op::HttpRequest;
use crate::runner::request::Request;
use crate::runner::sdk::{Answered, Lost, Sdk};
use crate::server::GENERATION_HEADER;

pub(super) struct HostedSdk {
    pub(super) socket: PathBuf,
}

impl Sdk for HostedSdk {
    fn call(&self, request: Request) -> BoxFuture<'static, Result<Answered, Lost>> {
        let socket = self.socket.clone();
        async move {
            let mut http = hyper::Request::builder().method(Method::POST).uri(&request.path);
            for (name, value) in &request.headers {
                http = http.header(name, value);
            }
            let lost = |error: &dyn std::fmt::Display| Lost(format!("the host does not answer: {error}"));
            let http = http
                .body(Full::new(Bytes::from(request.body)))
                .map_err(|error| lost(&error))?;
            let response = client::open(&socket, http).await.map_err(|error| lost(&error))?;
            let generation = response.headers().get(GENERATION_HEADER);
            let generation = generation.and_then(|value| value.to_str().ok()?.parse().ok());
            let raw = whole(response).await.map_err(|error| lost(&error))?;
            Ok(Answered { raw, generation })
        }
        .boxed()
    }

    fn fetch(&self, request: HttpRequest) -> BoxFuture<'static, Result<Raw, Lost>> {
        fetch(request).boxed()
    }
}

async fn whole(response: Response<AnswerBody>) -> Result<Raw, hyper::Error> {
    let (head, body) = response.into_parts();
    let headers = head.headers.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.as_str().to_owned(), value)
    });
    Ok(Raw {
        status: head.status.as_u16(),
        headers: headers.collect(),
        body: body.collect().await?.to_bytes().into(),
    })
}
