//! Uploads a release: the layers that the registry lacks, then the config blob, then the manifest, under a tag.

use bytes::Bytes;

use super::artefact::{CONFIG_TYPE, Descriptor, LARGEST_DOCUMENT, ReleaseConfig, ReleaseManifest};
use super::pack::PackedLayer;
use super::{Digest, Registry, RegistryError};

/// The times that an upload is tried.
const TRIES: u32 = 4;
const FIRST_WAIT: std::time::Duration = std::time::Duration::from_secs(1);
const LONGEST_WAIT: std::time::Duration = std::time::Duration::from_secs(60);

/// The outcome of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushResult {
    pub digest: Digest,
    /// The bytes that were uploaded.
    pub uploaded: u64,
    /// Tells whether the tag was at this release already.
    pub unchanged: bool,
}

/// The news of an upload, for whoever shows its progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadProgress {
    /// A layer is there already.
    Present,
    /// A layer of so many bytes is uploaded.
    Begins(u64),
    /// So many bytes more were sent.
    Sent(u64),
}

/// Uploads a release that was packed.
///
/// # Errors
/// When the registry does not take it, after a few tries where another one may help.
pub async fn upload(
    registry: &Registry,
    layers: &[PackedLayer],
    config: &ReleaseConfig,
    progress: impl Fn(UploadProgress) + Clone + Send + Sync + 'static,
) -> Result<PushResult, RegistryError> {
    let descriptors: Vec<_> = layers.iter().map(|layer| layer.descriptor.clone()).collect();
    if let Some(digest) = repeatedly(|| same_release(registry, &descriptors, config)).await? {
        return Ok(PushResult {
            digest,
            uploaded: 0,
            unchanged: true,
        });
    }
    let mut uploaded = 0;
    for PackedLayer { descriptor, file, .. } in layers {
        if repeatedly(|| registry.has_blob(&descriptor.digest)).await? {
            progress(UploadProgress::Present);
            continue;
        }
        repeatedly(|| {
            let progress = progress.clone();
            progress(UploadProgress::Begins(descriptor.size));
            registry.upload_file(descriptor, file, move |sent| progress(UploadProgress::Sent(sent)))
        })
        .await?;
        uploaded += descriptor.size;
    }
    let config_bytes = Bytes::from(serde_json::to_vec(config).map_err(|error| registry.wrong(error))?);
    let config_blob = Descriptor {
        media_type: CONFIG_TYPE.to_owned(),
        digest: Digest::of(&config_bytes),
        size: config_bytes.len() as u64,
    };
    repeatedly(|| registry.upload_bytes(&config_blob.digest, &config_bytes)).await?;
    let manifest = ReleaseManifest::new(config_blob, descriptors, config);
    let manifest = Bytes::from(serde_json::to_vec(&manifest).map_err(|error| registry.wrong(error))?);
    let digest = Digest::of(&manifest);
    let pointer = registry
        .reference
        .tag()
        .map_or_else(|| digest.to_string(), str::to_owned);
    repeatedly(|| registry.put_manifest(&pointer, &manifest)).await?;
    Ok(PushResult {
        digest,
        uploaded: uploaded + config_bytes.len() as u64 + manifest.len() as u64,
        unchanged: false,
    })
}

/// Returns the release that the tag is at, if it has these layers and describes the same project.
async fn same_release(
    registry: &Registry,
    layers: &[Descriptor],
    config: &ReleaseConfig,
) -> Result<Option<Digest>, RegistryError> {
    let bytes = match registry.manifest(&registry.reference.pointer()).await {
        Ok(bytes) => bytes,
        Err(RegistryError::Missing(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some(manifest) = ReleaseManifest::read(&bytes)
        .ok()
        .filter(|manifest| manifest.layers == layers)
    else {
        return Ok(None);
    };
    debug_assert!(manifest.config.size <= LARGEST_DOCUMENT);
    let there = registry.small_blob(&manifest.config.digest).await?;
    let is_same = ReleaseConfig::read(&there).is_ok_and(|there| there.describes_the_same(config));
    Ok(is_same.then(|| Digest::of(&bytes)))
}

/// Does something again after failures that may pass.
async fn repeatedly<T, F>(act: impl Fn() -> F) -> Result<T, RegistryError>
where
    F: Future<Output = Result<T, RegistryError>>,
{
    let mut wait = FIRST_WAIT;
    for _ in 1..TRIES {
        match act().await {
            Err(error) if error.is_passing() => {
                let asked = match &error {
                    RegistryError::Busy { wait, .. } => *wait,
                    _ => None,
                };
                tokio::time::sleep(asked.unwrap_or(wait).min(LONGEST_WAIT)).await;
                wait *= 2;
            }
            done => return done,
        }
    }
    act().await
}
