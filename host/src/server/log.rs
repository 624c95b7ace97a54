//! `GET /-/log`: the newest lines of the log that this process keeps in memory.

use axum::Json;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::json_errors;
use crate::telemetry::logs;
use crate::telemetry::{Level, LineFilter};

/// The number of lines where nothing is said, and the most.
const USUAL: usize = 100;
const MOST: usize = 1000;

/// The query of `GET /-/log`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogQuery {
    #[serde(default)]
    level: Level,
    function: Option<String>,
    text: Option<String>,
    lines: Option<usize>,
}

pub(super) async fn lines(query: Result<Query<LogQuery>, QueryRejection>) -> Response {
    let Query(query) = match query {
        Ok(query) => query,
        Err(rejection) => {
            let help = "It may have level=error (or warn, info, debug), function=ID, text=WORDS and lines=N.";
            return json_errors::error(StatusCode::BAD_REQUEST, rejection.body_text(), help);
        }
    };
    let filter = LineFilter {
        level: query.level,
        function: query.function,
        text: query.text,
    };
    let most = query.lines.unwrap_or(USUAL).min(MOST);
    Json(json!({ "lines": logs::newest(&filter, most) })).into_response()
}
