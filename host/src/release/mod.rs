//! Releases: immutable copies of a project in a registry that the user already has. `baton push` makes one, and a host
//! of `baton start oci://REF` serves it.
//!
//! ```text
//! baton push    files ─▶ pack ─▶ check (load) ─▶ upload ─▶ registry
//! baton start   registry ─▶ download (digest) ─▶ unpack ─▶ folder ─▶ a generation
//! ```
//!
//! A release is an artefact of the OCI image specification: a manifest, a config blob that describes the release, and
//! two layers. Its digest is that of its manifest, and names everything in it.
//!
//! # Files
//!
//! - `reference.rs` the name of a release in a registry; `digest.rs` the name of bytes
//! - `artefact.rs` manifest and config blob; `addon.rs` the platform of a native addon
//! - `selection.rs` the files of a project that belong into a release, `secret_files.rs` those that look like secrets
//! - `pack.rs` files into a layer, `unpack.rs` a layer into files
//! - `registry.rs` the requests of the distribution specification, `registry_login.rs` the way in
//! - `upload.rs` a release to a registry, `download.rs` a release from one
//! - `folder.rs` the releases that are unpacked on this machine

pub mod addon;
pub mod artefact;
pub mod digest;
pub mod download;
pub mod folder;
pub mod pack;
pub mod reference;
pub mod registry;
mod registry_login;
pub mod secret_files;
pub mod selection;
pub mod unpack;
pub mod upload;

pub use digest::Digest;
pub use folder::{ReleaseFolders, ReleaseName, UnpackedRelease};
pub use reference::ReleaseReference;
pub use registry::{Registry, RegistryError};
