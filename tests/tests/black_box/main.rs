//! Baton's black-box tests: the built binary, real functions on the real SDK,
//! and a harness that plays Inngest and the person at the keyboard.
//!
//! One binary, so that it links once. Each module is one part of the contract
//! (DESIGN §2, §3); what a test needs to say is in its name.

mod admin;
mod bad_input;
mod broken_code;
mod calls;
mod cli;
mod lifecycle;
mod project_shapes;
mod protocol;
mod reload;
mod reload_requests;
mod under_load;
