//! Shows the linker where the memory is.

fn main() {
    let here = std::env::var("CARGO_MANIFEST_DIR").expect("cargo says where it is");
    println!("cargo::rustc-link-search={here}");
    println!("cargo::rustc-link-arg-bins=-Tlink.x");
    println!("cargo::rerun-if-changed=memory.x");
}
