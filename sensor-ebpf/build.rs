//! Tells bpf-linker how to build the kernel programs.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-check-cfg=cfg(floor)");
    if env::var("CARGO_CFG_TARGET_ARCH").as_deref() == Ok("bpf") {
        // Otherwise LLVM turns every few adjacent zeroes into a call of memset, which goes byte by byte: a third of
        // the programs' time.
        println!("cargo:rustc-link-arg-bins=--disable-expand-memcpy-in-order");
        if env::var_os("CARGO_FEATURE_FLOOR").is_some() {
            println!("cargo:rustc-cfg=floor");
        }
    }
}
