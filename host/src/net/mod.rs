//! Sockets and HTTP, as far as they are nobody's in particular: binding a port, the control socket of a host, and the
//! client for one request.
//!
//! # Files
//!
//! - `port.rs` binds a port, and tells who has it; `control_socket.rs` the names of a host's control socket;
//!   `http.rs` the HTTP client for everything that the host asks, `answer_body.rs` an answer, whose connection ends
//!   with it

mod answer_body;
mod control_socket;
pub mod http;
mod port;

pub use answer_body::AnswerBody;
pub use control_socket::{ControlSocket, own_control_socket};
pub use http::{HttpAnswer, HttpError};
pub use port::{ListenError, bind, owner_of};
