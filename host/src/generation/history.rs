//! The sources of the generations that served last, so that one can go back to them.

use std::collections::VecDeque;
use std::sync::Arc;

use js_runtime_api::Sources;

use super::report::NotKept;
use super::state::GenerationId;

/// How many can be gone back to, the current one included.
const KEPT: usize = 5;

/// See the module's documentation. The newest is last.
#[derive(Debug, Default)]
pub(super) struct History(VecDeque<(GenerationId, Arc<dyn Sources>)>);

impl History {
    /// Keeps the sources of a generation that serves from now on.
    pub(super) fn push(&mut self, id: GenerationId, sources: Arc<dyn Sources>) {
        self.0.push_back((id, sources));
        if self.0.len() > KEPT {
            self.0.pop_front();
        }
    }

    pub(super) fn kept(&self) -> Vec<GenerationId> {
        self.0.iter().map(|(id, _)| *id).collect()
    }

    /// The sources of that generation, or of the newest one that is not the current one.
    pub(super) fn find(
        &self,
        wanted: Option<GenerationId>,
        current: Option<GenerationId>,
    ) -> Result<Arc<dyn Sources>, NotKept> {
        let mut newest_first = self.0.iter().rev();
        let found = newest_first.find(|(id, _)| wanted.map_or(Some(*id) != current, |wanted| wanted == *id));
        found
            .map(|(_, sources)| sources.clone())
            .ok_or_else(|| NotKept::new(wanted, &self.kept()))
    }
}
