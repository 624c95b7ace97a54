//! Exports Node-API from the binary: a native addon finds its functions in the process that opens it.

/// The functions that Node's headers promise an addon (`deno_napi` defines them).
const NODE_API: [&str; 3] = ["napi_*", "node_api_*", "uv_*"];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let system = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    for symbols in NODE_API {
        match system.as_str() {
            "macos" => println!("cargo:rustc-link-arg-bin=baton=-Wl,-exported_symbol,_{symbols}"),
            _ => println!("cargo:rustc-link-arg-bin=baton=-Wl,--export-dynamic-symbol={symbols}"),
        }
    }
}
