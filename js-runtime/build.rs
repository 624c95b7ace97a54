//! Tells the crate which target it is built for: user code asks by `process.platform`.

fn main() {
    if let Ok(target) = std::env::var("TARGET") {
        println!("cargo:rustc-env=BATON_TARGET={target}");
    }
    println!("cargo:rerun-if-changed=build.rs");
}
