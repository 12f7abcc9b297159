//! Builds the two libraries that the command line hands to programs, `libmissile.so` and the simulated `libcuda.so.1`,
//! and notes which simulated GPUs are built in.
//!
//! Cargo has no stable way to depend on another package's cdylib, so a nested release build makes them, in a target
//! folder of its own.

use std::error::Error;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

/// The packages that the libraries are made of.
const PARTS: [&str; 6] = ["shim", "simgpu", "abi", "region", "settings", "units"];

fn main() -> Result<(), Box<dyn Error>> {
    let workspace = folder("CARGO_MANIFEST_DIR")?;
    let out = folder("OUT_DIR")?;
    watch(&workspace);

    let built = build(&workspace, &out.join("nested"))?;
    let libraries = out.join("artefacts");
    fs::create_dir_all(libraries.join("sim"))?;
    replace(&built.join("libmissile.so"), &libraries.join("libmissile.so"))?;
    replace(&built.join("libcuda.so"), &libraries.join("sim/libcuda.so.1"))?;
    // Some programs, such as those of the crate cudarc, ask for this name first. Without it they would find the
    // machine's own driver.
    link("libcuda.so.1", &libraries.join("sim/libcuda.so"))?;
    // What is packaged looks where it is installed (packaging/build.sh).
    println!("cargo::rerun-if-env-changed=MISSILE_PACKAGED");
    if env::var_os("MISSILE_PACKAGED").is_none() {
        println!("cargo::rustc-env=MISSILE_BUILT_LIBS={}", text(&libraries)?);
    }
    write_simulated_gpus(&workspace.join("simgpu/gpus"), &out.join("simulated_gpus.rs"))
}

/// Puts a copy of a library in the place of the one before, which programs that have it mapped keep.
fn replace(from: &Path, to: &Path) -> Result<(), Box<dyn Error>> {
    let new = to.with_extension("new");
    fs::copy(from, &new)?;
    Ok(fs::rename(&new, to)?)
}

/// Runs the nested build and returns the folder with its results.
fn build(workspace: &Path, target_folder: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--release", "--package", "missile-shim", "--package", "missile-simgpu"]);
    cargo.arg("--manifest-path").arg(workspace.join("Cargo.toml"));
    cargo.arg("--target-dir").arg(target_folder);
    if workspace.join("Cargo.lock").exists() {
        cargo.arg("--locked");
    }
    let mut results = target_folder.to_owned();
    let (host, target) = (env::var("HOST")?, env::var("TARGET")?);
    if host != target {
        cargo.args(["--target", &target]);
        results.push(target);
    }
    // What the outer build was told about its own place and flags is not for this one; and clippy is not a compiler.
    for variable in ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WORKSPACE_WRAPPER"]
    {
        cargo.env_remove(variable);
    }
    // Standard output would be read as instructions to the outer cargo.
    let status = cargo.stdout(Stdio::null()).status()?;
    if !status.success() {
        return Err("libmissile.so and the simulated driver could not be built: see cargo's messages above".into());
    }
    Ok(results.join("release"))
}

/// Makes a symbolic link, in place of an earlier build's.
fn link(target: &str, path: &Path) -> Result<(), Box<dyn Error>> {
    if path.symlink_metadata().is_ok() {
        fs::remove_file(path)?;
    }
    Ok(std::os::unix::fs::symlink(target, path)?)
}

/// Has this script run again when anything changes that goes into the libraries.
fn watch(workspace: &Path) {
    let files = ["build.rs", "Cargo.toml", "Cargo.lock"].map(PathBuf::from);
    let parts =
        PARTS.iter().flat_map(|part| ["src", "Cargo.toml", "build.rs", "gpus"].map(|name| Path::new(part).join(name)));
    for path in files.into_iter().chain(parts) {
        // Cargo takes a path that is not there for a change.
        if workspace.join(&path).exists() {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
}

/// Writes a Rust expression: the name and the description of each of the simulator's built-in GPUs.
fn write_simulated_gpus(folder: &Path, file: &Path) -> Result<(), Box<dyn Error>> {
    let mut gpus = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension() == Some(OsStr::new("toml")) {
            let name = path.file_stem().and_then(OsStr::to_str).ok_or("a GPU's file has a name that is not text")?;
            gpus.push(format!("({name:?}, include_str!({:?})),\n", text(&path)?));
        }
    }
    gpus.sort();
    fs::write(file, format!("&[\n{}]\n", gpus.concat()))?;
    Ok(())
}

fn folder(variable: &str) -> Result<PathBuf, Box<dyn Error>> {
    Ok(env::var_os(variable).ok_or_else(|| format!("cargo did not set {variable}"))?.into())
}

fn text(path: &Path) -> Result<&str, Box<dyn Error>> {
    Ok(path.to_str().ok_or_else(|| format!("{} is not text: build in another folder", path.display()))?)
}
