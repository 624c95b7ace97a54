//! Tells the crate which target it is built for, which user code asks for by `process.platform`, and which sources it
//! is built from: what they make of a file is kept from one process to the next.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

fn main() {
    if let Ok(target) = std::env::var("TARGET") {
        println!("cargo:rustc-env=BATON_TARGET={target}");
    }
    let mut files = vec![PathBuf::from("../Cargo.lock")];
    list(Path::new("src"), &mut files);
    files.sort();
    let mut hasher = DefaultHasher::new();
    for file in &files {
        println!("cargo:rerun-if-changed={}", file.display());
        (file, std::fs::read(file).unwrap_or_default()).hash(&mut hasher);
    }
    println!("cargo:rerun-if-changed=src");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-env=BATON_SOURCES={:016x}", hasher.finish());
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            list(&path, files);
        } else {
            files.push(path);
        }
    }
}
