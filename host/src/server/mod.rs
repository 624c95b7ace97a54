//! The HTTP side: two listeners, one router.

mod admin;
mod answer;
mod auth;
mod calls;
mod listen;
mod router;
mod status;

pub use auth::Access;
pub use listen::{ListenError, Listeners, Peer};
pub use router::{Server, router};
