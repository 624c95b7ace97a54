//! Decides what may be evaluated before the load that will want it: [`imported`] what a project imports, and in which order,
//! [`interference`] which of its modules may leave their place in that order. The spare isolates evaluate it
//! ([`crate::spare`]).

mod imported;
mod interference;

pub(crate) use imported::{Ahead, Imported, files};
