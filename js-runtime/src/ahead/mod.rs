//! Decides which modules may be evaluated before the load that will want them: [`imported`] tells what a project
//! imports, and in which order, [`interference`] which of its modules may leave their place in that order. The spare
//! isolates evaluate them ([`crate::spare`]).

mod imported;
mod interference;

pub(crate) use imported::{AheadModules, ImportedModules, files};
