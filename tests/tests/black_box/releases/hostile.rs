//! Artefacts that somebody made to harm a host: each is refused by name, nothing lands outside the folder of releases,
//! and what serves goes on.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use harness::http::Call;
use harness::{Baton, Door, Project, Registry};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{manifest, project, pushed, told};

const NAME: &str = "acme/jobs:production";
const REPOSITORY: &str = "/v2/acme/jobs";

fn digest_of(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// Puts a blob into the registry.
async fn put_blob(registry: &Registry, bytes: &[u8]) -> String {
    let door = Door::Tcp(registry.address().parse().expect("an address"));
    let begun = Call::new("POST", format!("{REPOSITORY}/blobs/uploads/"))
        .answer(&door)
        .await;
    let location = begun.header("location").expect("a location").to_owned();
    let (_, path) = location.split_once("/v2/").expect("a path");
    let digest = digest_of(bytes);
    let path = format!("/v2/{path}&digest={digest}");
    let put = Call::new("PUT", path).header("content-type", "application/octet-stream");
    let put = put.body(bytes.to_vec()).answer(&door).await;
    assert_eq!(put.status, 201, "{put}");
    digest
}

/// Moves the tag to this manifest.
async fn put_manifest(registry: &Registry, manifest: &Value) {
    let door = Door::Tcp(registry.address().parse().expect("an address"));
    let put = Call::new("PUT", format!("{REPOSITORY}/manifests/production"));
    let put = put
        .json(manifest)
        .header("content-type", "application/vnd.oci.image.manifest.v1+json");
    let put = put.answer(&door).await;
    assert_eq!(put.status, 201, "{put}");
}

/// An entry of a layer, as the bytes of its header: the fields of the format, and nothing checked.
fn header(path: &str, kind: u8, target: &str, size: u64) -> [u8; 512] {
    let mut header = [0; 512];
    let mut field = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    field(0, path);
    field(100, "0000644\0");
    field(108, "0000000\0");
    field(116, "0000000\0");
    field(124, &format!("{size:011o}\0"));
    field(136, "00000000000\0");
    field(148, "        ");
    field(157, target);
    field(257, "ustar\0");
    header[156] = kind;
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

/// Compresses parts of a layer, each of which is repeated.
fn compress(parts: &[(&[u8], u64)]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("an encoder");
    for (part, times) in parts {
        for _ in 0..*times {
            encoder.write_all(part).expect("memory");
        }
    }
    encoder.finish().expect("memory")
}

/// Returns the paths below a folder, but for those below the releases.
fn outside(folder: &Path) -> Vec<String> {
    let mut folders = vec![folder.to_owned()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            found.push(path.display().to_string());
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            // A host writes there all the time.
            let is_written = ["releases", "code", "kept"]
                .iter()
                .any(|name| entry.file_name() == *name);
            if is_folder && !is_written {
                folders.push(path);
            }
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn slow_hostile_artefacts_are_refused_by_name_and_touch_nothing() {
    const END: [u8; 1024] = [0; 1024];
    let mebibyte = vec![0; 1 << 20];
    let project = project();
    let Some(registry) = Registry::start(project.scratch()).await else {
        return;
    };
    let reference = registry.reference(NAME);
    let good = pushed(&project, &reference).await;
    let good = manifest(&registry, good["digest"].as_str().expect("a digest"));
    let host = Project::without_packages();
    let launch = Baton::start_release(&host, &reference).env("BATON_RELEASE_POLL", "1h");
    let baton = launch.ready().await;
    let before = outside(host.scratch());

    let one = |path: &str, kind: u8, target: &str| compress(&[(&header(path, kind, target, 0), 1), (&END, 1)]);
    let whole = fs::read(registry.blob(good["layers"][1]["digest"].as_str().expect("a digest"))).expect("a layer");
    // (GNU's form of a size that has no room in octal digits.)
    let mut large = header("zeros", b'0', "", 0);
    large[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 0, 2, 0x80, 0, 0, 0]);
    large[148..156].copy_from_slice(b"        ");
    let sum: u32 = large.iter().map(|byte| u32::from(*byte)).sum();
    large[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    for (layer, said) in [
        (one("../outside", b'0', ""), "\"../outside\" leads out"),
        (one("/tmp/outside", b'0', ""), "\"/tmp/outside\" leads out"),
        (one("link", b'2', "../../outside"), "the link \"link\""),
        (one("link", b'2', "/etc"), "the link \"link\""),
        (one("device", b'3', ""), "\"device\" is a device"),
        (one("pipe", b'6', ""), "\"pipe\" is a pipe"),
        (one("hard", b'1', "/etc/passwd"), "\"hard\" is a hard link"),
        (whole[..whole.len() / 2].to_vec(), "cannot read the layer"),
        (compress(&[(&large, 1), (&mebibyte, 10 << 10)]), "more than the 4 GiB"),
        (
            compress(&[(&header("many/", b'5', "", 0), 1_000_000), (&END, 1)]),
            "more than the 500000 files",
        ),
        (b"not a layer".to_vec(), "cannot read the layer"),
    ] {
        let mut hostile = good.clone();
        let digest = put_blob(&registry, &layer).await;
        hostile["layers"][1]["digest"] = json!(digest);
        hostile["layers"][1]["size"] = json!(layer.len());
        put_manifest(&registry, &hostile).await;
        let refused = baton.reload().await;
        let message = refused.body["error"]["message"].as_str().unwrap_or_default();
        assert!(message.contains(said), "{said}: {}", refused.body);
        assert_eq!(told(&baton).await, "one", "{said}");
        assert_eq!(outside(host.scratch()), before, "{said}");
    }

    // Manifests that are wrong, or not those of a release.
    let other = put_blob(&registry, b"a layer that is not here").await;
    let mut short = good.clone();
    short["layers"][1]["digest"] = json!(other);
    short["layers"][1]["size"] = json!(5);
    let change = |path: &str, value: Value| {
        let mut manifest = good.clone();
        *manifest.pointer_mut(path).expect("a field") = value;
        manifest
    };
    for (hostile, said) in [
        (
            change("/artifactType", json!("application/vnd.other")),
            "is not a release of Baton",
        ),
        (
            change("/layers/1/mediaType", json!("application/other")),
            "unknown type",
        ),
        (short, "more bytes than the 5"),
        (change("/layers/1/size", json!(5_u64 << 30)), "the limit is"),
        (change("/layers", json!([good["layers"][0]])), "expected one layer"),
    ] {
        put_manifest(&registry, &hostile).await;
        let refused = baton.reload().await;
        let message = refused.body["error"]["message"].as_str().unwrap_or_default();
        assert!(message.contains(said), "{said}: {}", refused.body);
        assert_eq!(told(&baton).await, "one", "{said}");
    }
    assert_eq!(outside(host.scratch()), before);
    assert!(!Path::new("/tmp/outside").exists());
    put_manifest(&registry, &good).await;
    // (The manifest is written in another way than the pushed one, and so it is another release.)
    assert_eq!(baton.reload().await.body["status"], "activated");
}
