//! The documents of a release: its manifest, and the config blob that describes it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Digest;
use super::addon::Addon;

pub const ARTIFACT_TYPE: &str = "application/vnd.baton.release.v1";
pub const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
pub const CONFIG_TYPE: &str = "application/vnd.baton.release.config.v1+json";
pub const PROJECT_LAYER: &str = "application/vnd.baton.release.project.v1.tar+zstd";
pub const PACKAGES_LAYER: &str = "application/vnd.baton.release.packages.v1.tar+zstd";

/// The most bytes of a manifest, and of a config blob.
pub const LARGEST_DOCUMENT: u64 = 4 << 20;
/// The most bytes of a layer, compressed.
const LARGEST_LAYER: u64 = 4 << 30;

/// A manifest as the OCI image specification has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseManifest {
    schema_version: u32,
    media_type: String,
    #[serde(default)]
    artifact_type: String,
    pub config: Descriptor,
    pub layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

/// The type, the digest and the size of a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    pub media_type: String,
    pub digest: Digest,
    pub size: u64,
}

/// The config blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseConfig {
    /// The name of the project.
    pub name: String,
    /// The folder of functions or the entry file, relative to the project's root.
    pub entry: String,
    /// The commit that was checked out, as people are shown it: `46c2113`, `46c2113-dirty`.
    #[serde(default)]
    pub git: Option<String>,
    /// The ids of the functions.
    #[serde(default)]
    pub functions: Vec<String>,
    /// The version of the package `inngest`.
    #[serde(default)]
    pub inngest: Option<String>,
    /// The native addons in the packages.
    #[serde(default)]
    pub addons: Vec<Addon>,
    /// The version of Baton that made the release.
    pub baton: String,
    pub created: Timestamp,
}

/// The reason why an artefact is not a release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArtefactError {
    #[error("malformed manifest: {0}")]
    Manifest(String),
    #[error("its type is {0:?}, expected {ARTIFACT_TYPE}")]
    Type(String),
    #[error("malformed config: {0}")]
    Config(String),
    #[error("it has a layer of the unknown type {0:?}")]
    Layer(String),
    #[error("expected one layer of the type {0}")]
    Layers(&'static str),
    #[error("its {what} has {size} bytes, and the limit is {most}")]
    Large { what: &'static str, size: u64, most: u64 },
    #[error("its entry {0:?} leads out of the release")]
    Entry(String),
}

impl ReleaseManifest {
    /// Makes the manifest of a release with these blobs.
    #[must_use]
    pub fn new(config: Descriptor, layers: Vec<Descriptor>, release: &ReleaseConfig) -> Self {
        let created = (
            "org.opencontainers.image.created".to_owned(),
            release.created.to_string(),
        );
        let title = ("org.opencontainers.image.title".to_owned(), release.name.clone());
        let commit = release.git.clone();
        let commit = commit.map(|git| ("org.opencontainers.image.revision".to_owned(), git));
        Self {
            schema_version: 2,
            media_type: MANIFEST_TYPE.to_owned(),
            artifact_type: ARTIFACT_TYPE.to_owned(),
            config,
            layers,
            annotations: [created, title].into_iter().chain(commit).collect(),
        }
    }

    /// Reads a manifest, and checks that it is one of a release.
    ///
    /// # Errors
    /// When it is not.
    pub fn read(bytes: &[u8]) -> Result<Self, ArtefactError> {
        let manifest: Self =
            serde_json::from_slice(bytes).map_err(|error| ArtefactError::Manifest(error.to_string()))?;
        if manifest.artifact_type != ARTIFACT_TYPE {
            return Err(ArtefactError::Type(manifest.artifact_type));
        }
        if manifest.config.size > LARGEST_DOCUMENT {
            return Err(ArtefactError::Large {
                what: "config",
                size: manifest.config.size,
                most: LARGEST_DOCUMENT,
            });
        }
        for layer in &manifest.layers {
            if ![PROJECT_LAYER, PACKAGES_LAYER].contains(&layer.media_type.as_str()) {
                return Err(ArtefactError::Layer(layer.media_type.clone()));
            }
            if layer.size > LARGEST_LAYER {
                return Err(ArtefactError::Large {
                    what: "layer",
                    size: layer.size,
                    most: LARGEST_LAYER,
                });
            }
        }
        for wanted in [PROJECT_LAYER, PACKAGES_LAYER] {
            if manifest
                .layers
                .iter()
                .filter(|layer| layer.media_type == wanted)
                .count()
                != 1
            {
                return Err(ArtefactError::Layers(wanted));
            }
        }
        Ok(manifest)
    }
}

impl ReleaseConfig {
    /// Reads a config blob.
    ///
    /// # Errors
    /// When it is not understood, or its entry is not a path within a project.
    pub fn read(bytes: &[u8]) -> Result<Self, ArtefactError> {
        let config: Self = serde_json::from_slice(bytes).map_err(|error| ArtefactError::Config(error.to_string()))?;
        let mut components = std::path::Path::new(&config.entry).components();
        let is_inside = components.all(|component| {
            matches!(
                component,
                std::path::Component::Normal(_) | std::path::Component::CurDir
            )
        });
        if !is_inside {
            return Err(ArtefactError::Entry(config.entry));
        }
        Ok(config)
    }

    /// Tells whether another config describes the same project; the time and the maker do not count.
    #[must_use]
    pub fn describes_the_same(&self, other: &Self) -> bool {
        let mut other = other.clone();
        other.created = self.created;
        *self == other
    }
}
