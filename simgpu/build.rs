//! Gives the library the name under which programs ask the loader for the driver, and notes which GPUs are built in.

use std::error::Error;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    // The table behind cuGetProcAddress must hold this library's own functions, also where a preloaded library exports
    // the same names. Functions only by -functions: `ioctl` is still looked up dynamically.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-Bsymbolic-functions");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libcuda.so.1");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=gpus");
    write_gpus(&folder("CARGO_MANIFEST_DIR")?.join("gpus"), &folder("OUT_DIR")?.join("gpus.rs"))
}

/// Writes a Rust expression: the name and the description of each GPU of the folder.
fn write_gpus(folder: &Path, file: &Path) -> Result<(), Box<dyn Error>> {
    let mut gpus = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension() == Some(OsStr::new("toml")) {
            let name = path.file_stem().and_then(OsStr::to_str).ok_or("a GPU's file has a name that is not text")?;
            gpus.push(format!("({name:?}, include_str!({path:?})),\n"));
        }
    }
    gpus.sort();
    fs::write(file, format!("&[\n{}]\n", gpus.concat()))?;
    Ok(())
}

fn folder(variable: &str) -> Result<PathBuf, Box<dyn Error>> {
    Ok(env::var_os(variable).ok_or_else(|| format!("cargo did not set {variable}"))?.into())
}
