//! The places of the libraries that programs are given.
//!
//! Every folder that is looked into has the same layout: `libmissile.so`, and `sim/libcuda.so.1` for simulated GPUs,
//! with a link `sim/libcuda.so` to it, the name that programs of the crate cudarc ask for first. The simulator has a
//! folder of its own because that folder goes into `LD_LIBRARY_PATH`. Looked into are, in this order: `$MISSILE_LIB_DIR`, which then must have what is asked for; `lib` beside the executable; `../lib/missile`
//! beside the executable's folder, as an installation has it; and the folder of the build, unless that was made to be
//! packaged.

use crate::own_program::own_program;
use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// The library that governs a tenant.
pub const SHIM: &str = "libmissile.so";
/// The simulated driver.
pub const SIMULATOR: &str = "sim/libcuda.so.1";

/// No folder has the library.
#[derive(Debug, thiserror::Error)]
#[error("{name} is in none of {}: install Missile again, or set MISSILE_LIB_DIR to the folder that has it", list(.tried))]
pub struct LibraryMissing {
    name: &'static str,
    tried: Vec<(PathBuf, io::Error)>,
}

/// The places, each with what the system said of it where that is more than that nothing is there.
fn list(tried: &[(PathBuf, io::Error)]) -> String {
    let place = |(place, error): &(PathBuf, io::Error)| match error.kind() {
        ErrorKind::NotFound => place.display().to_string(),
        _ => format!("{} ({error})", place.display()),
    };
    tried.iter().map(place).collect::<Vec<_>>().join(", ")
}

/// The folders that libraries are looked for in.
#[derive(Debug)]
pub struct Libraries {
    folders: Vec<PathBuf>,
    /// The reason why the folders beside this program are not known.
    nowhere: Option<io::Error>,
}

impl Libraries {
    /// The folders for this process.
    pub fn of_this_process() -> Self {
        Libraries::new(std::env::var_os("MISSILE_LIB_DIR"), own_program())
    }

    fn new(chosen: Option<OsString>, program: io::Result<PathBuf>) -> Self {
        if let Some(chosen) = chosen.filter(|folder| !folder.is_empty()) {
            return Libraries { folders: vec![chosen.into()], nowhere: None };
        }
        let beside = program.as_ref().ok().and_then(|program| program.parent());
        let installed = beside.and_then(Path::parent);
        let folders = [beside.map(|folder| folder.join("lib")), installed.map(|folder| folder.join("lib/missile"))];
        let built = option_env!("MISSILE_BUILT_LIBS").map(PathBuf::from);
        Libraries { folders: folders.into_iter().flatten().chain(built).collect(), nowhere: program.err() }
    }

    /// The absolute path of a library, [`SHIM`] or [`SIMULATOR`].
    ///
    /// Links in it are not resolved, as a seccomp profile may refuse `readlink`, which `canonicalize` needs for each part
    /// of a path.
    pub fn find(self, name: &'static str) -> Result<PathBuf, LibraryMissing> {
        let mut tried = Vec::from_iter(self.nowhere.map(|error| (PathBuf::from("the folder of this program"), error)));
        for folder in self.folders {
            let file = std::path::absolute(folder.join(name));
            match file.and_then(|file| fs::metadata(&file).map(|_| file)) {
                Ok(file) => return Ok(file),
                Err(error) => tried.push((folder, error)),
            }
        }
        Err(LibraryMissing { name, tried })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unknown() -> io::Result<PathBuf> {
        Err(ErrorKind::PermissionDenied.into())
    }

    #[test]
    fn the_folder_beside_the_executable_comes_before_the_build() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        fs::create_dir_all(root.join("bin/lib")).unwrap();
        fs::create_dir_all(root.join("lib/missile/sim")).unwrap();
        fs::write(root.join("bin/lib/libmissile.so"), "").unwrap();
        fs::write(root.join("lib/missile/libmissile.so"), "").unwrap();
        fs::write(root.join("lib/missile/sim/libcuda.so.1"), "").unwrap();
        let libraries = || Libraries::new(None, Ok(root.join("bin/missile")));
        assert_eq!(libraries().find(SHIM).unwrap(), root.join("bin/lib/libmissile.so"));
        assert_eq!(libraries().find(SIMULATOR).unwrap(), root.join("lib/missile/sim/libcuda.so.1"));
    }

    #[test]
    fn a_chosen_folder_is_the_only_one() {
        let empty = tempfile::tempdir().unwrap();
        let error = Libraries::new(Some(empty.path().into()), unknown()).find(SHIM);
        assert!(error.unwrap_err().to_string().contains("MISSILE_LIB_DIR"));
    }

    #[test]
    fn the_build_has_both_libraries() {
        let libraries = || Libraries::new(None, unknown());
        assert!(libraries().find(SHIM).is_ok() && libraries().find(SIMULATOR).is_ok());
    }

    #[test]
    fn what_the_system_refuses_is_said() {
        let refused = (PathBuf::from("/opt/lib"), ErrorKind::PermissionDenied.into());
        let absent = (PathBuf::from("/usr/lib"), ErrorKind::NotFound.into());
        let said = LibraryMissing { name: SHIM, tried: vec![refused, absent] }.to_string();
        assert!(said.contains("/opt/lib (permission denied), /usr/lib:"), "{said}");
    }
}
