//! Has the library's own references to the names that it exports stay within it.

fn main() {
    // The hooks' addresses are handed out as answers. Without this a program that defines the driver's names itself would
    // be given its own functions for hooks. Functions only by -functions, as for any library.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-Bsymbolic-functions");
    println!("cargo::rerun-if-changed=build.rs");
}
