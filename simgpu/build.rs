//! Gives the library the name under which programs ask the loader for the driver.

fn main() {
    // The table behind cuGetProcAddress must hold this library's own functions, also where a preloaded library exports
    // the same names. Functions only by -functions: `ioctl` is still looked up dynamically.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-Bsymbolic-functions");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libcuda.so.1");
    println!("cargo::rerun-if-changed=build.rs");
}
