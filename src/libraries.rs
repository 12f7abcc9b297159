//! Where the libraries lie that programs are given.
//!
//! Every folder that is looked into has the same layout: `libmissile.so`, and `sim/libcuda.so.1` for simulated GPUs,
//! with a link `sim/libcuda.so` to it, the name that programs of the crate cudarc ask for first. The simulator has a
//! folder of its own because that folder goes into `LD_LIBRARY_PATH`. Looked into are, in this order: `$MISSILE_LIB_DIR`, which then must have what is asked for; `lib` beside the executable; `../lib/missile`
//! beside the executable's folder, as an installation has it; and the folder of the build, unless that was made to be
//! packaged.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The library that governs a tenant.
pub const SHIM: &str = "libmissile.so";
/// The simulated driver.
pub const SIMULATOR: &str = "sim/libcuda.so.1";

/// A library is nowhere.
#[derive(Debug, thiserror::Error)]
#[error("{name} is in none of {}: install Missile again, or set MISSILE_LIB_DIR to the folder that has it", list(.folders))]
pub struct LibraryMissing {
    name: &'static str,
    folders: Vec<PathBuf>,
}

fn list(folders: &[PathBuf]) -> String {
    folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// The folders that libraries are looked for in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Libraries {
    folders: Vec<PathBuf>,
}

impl Libraries {
    /// The folders for this process.
    pub fn of_this_process() -> Self {
        Libraries::new(std::env::var_os("MISSILE_LIB_DIR"), std::env::current_exe().ok().as_deref())
    }

    fn new(chosen: Option<OsString>, executable: Option<&Path>) -> Self {
        if let Some(chosen) = chosen.filter(|folder| !folder.is_empty()) {
            return Libraries { folders: vec![chosen.into()] };
        }
        let mut folders = Vec::new();
        if let Some(beside) = executable.and_then(Path::parent) {
            folders.push(beside.join("lib"));
            folders.push(beside.join("../lib/missile"));
        }
        folders.extend(option_env!("MISSILE_BUILT_LIBS").map(PathBuf::from));
        Libraries { folders }
    }

    /// The absolute path of a library, [`SHIM`] or [`SIMULATOR`].
    pub fn find(&self, name: &'static str) -> Result<PathBuf, LibraryMissing> {
        let found = self.folders.iter().find_map(|folder| folder.join(name).canonicalize().ok());
        found.ok_or_else(|| LibraryMissing { name, folders: self.folders.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_folder_beside_the_executable_comes_before_the_build() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("bin/lib")).unwrap();
        fs::create_dir_all(root.join("lib/missile/sim")).unwrap();
        fs::write(root.join("bin/lib/libmissile.so"), "").unwrap();
        fs::write(root.join("lib/missile/libmissile.so"), "").unwrap();
        fs::write(root.join("lib/missile/sim/libcuda.so.1"), "").unwrap();
        let libraries = Libraries::new(None, Some(&root.join("bin/missile")));
        assert_eq!(libraries.find(SHIM).unwrap(), root.join("bin/lib/libmissile.so"));
        assert_eq!(libraries.find(SIMULATOR).unwrap(), root.join("lib/missile/sim/libcuda.so.1"));
    }

    #[test]
    fn a_chosen_folder_is_the_only_one() {
        let empty = tempfile::tempdir().unwrap();
        let error = Libraries::new(Some(empty.path().into()), Some(Path::new("/usr/bin/missile"))).find(SHIM);
        assert!(error.unwrap_err().to_string().contains("MISSILE_LIB_DIR"));
    }

    #[test]
    fn the_build_has_both_libraries() {
        let libraries = Libraries::new(None, None);
        assert!(libraries.find(SHIM).is_ok() && libraries.find(SIMULATOR).is_ok());
    }
}
