//! Reading the JSON of `GET /-/status` and of `PUT /api/reload` (docs/http.md).

use serde_json::Value;

/// The answer of `GET /-/status`.
#[derive(Clone, Debug)]
pub struct Status(pub Value);

impl Status {
    /// The current generation; 0 when there is none.
    #[must_use]
    pub fn current(&self) -> u64 {
        self.0["current"].as_u64().unwrap_or_default()
    }

    /// A generation's entry, `null` when the status does not list it.
    #[must_use]
    pub fn generation(&self, id: u64) -> &Value {
        self.generations()
            .iter()
            .find(|entry| entry["id"] == id)
            .unwrap_or(&Value::Null)
    }

    /// The newest generation's number, in whatever state it is.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.generations()
            .iter()
            .filter_map(|entry| entry["id"].as_u64())
            .max()
            .unwrap_or_default()
    }

    /// A generation's state, empty when the status does not list it.
    #[must_use]
    pub fn state(&self, id: u64) -> &str {
        self.generation(id)["state"].as_str().unwrap_or_default()
    }

    /// The calls that a generation is serving.
    #[must_use]
    pub fn in_flight(&self, id: u64) -> &[Value] {
        self.generation(id)["in_flight"].as_array().map_or(&[], Vec::as_slice)
    }

    fn generations(&self) -> &[Value] {
        self.0["generations"].as_array().map_or(&[], Vec::as_slice)
    }
}

/// The answer to a reload.
#[derive(Clone, Debug)]
pub struct Report {
    pub http: u16,
    pub body: Value,
}

impl Report {
    /// `activated`, `unchanged`, `checked` or `rejected`.
    #[must_use]
    pub fn status(&self) -> &str {
        self.body["status"].as_str().unwrap_or_default()
    }

    /// The generation that is current after it.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.body["generation"].as_u64().unwrap_or_default()
    }

    /// Returns the reason of a rejection.
    #[must_use]
    pub fn error(&self) -> &Value {
        &self.body["error"]
    }

    /// Returns the generation that the reload made current; panics when it made
    /// none.
    #[must_use]
    pub fn activated(&self) -> u64 {
        assert!(
            self.http == 200 && self.status() == "activated",
            "the reload should have activated a generation: {self}"
        );
        self.generation()
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:#}", self.http, self.body)
    }
}
