//! The lists that the dynamic linker is given.

use crate::private_folder::{self, FolderError};
use std::ffi::{OsStr, OsString};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Beginnings of the names of sanitizers' runtimes: GCC's, and all of Clang's (`libclang_rt.asan-x86_64.so`).
const SANITIZERS: [&str; 6] = ["libasan.so", "libhwasan.so", "liblsan.so", "libtsan.so", "libubsan.so", "libclang_rt."];

/// Our libraries before what was to be preloaded anyway, but for sanitizers' runtimes, which insist on being first.
pub fn ld_preload(ours: &[PathBuf], theirs: Option<OsString>) -> OsString {
    let theirs = theirs.unwrap_or_default();
    // As ld.so(8) splits it.
    let entries = theirs.as_bytes().split(|byte| matches!(byte, b' ' | b':')).filter(|entry| !entry.is_empty());
    let (first, last): (Vec<&OsStr>, Vec<&OsStr>) = entries.map(OsStr::from_bytes).partition(|it| is_sanitizer(it));
    let ours = ours.iter().map(|path| path.as_os_str());
    first.into_iter().chain(ours).chain(last).collect::<Vec<_>>().join(OsStr::new(":"))
}

fn is_sanitizer(library: &OsStr) -> bool {
    let name = Path::new(library).file_name().unwrap_or_default().as_bytes();
    SANITIZERS.iter().any(|beginning| name.starts_with(beginning.as_bytes()))
}

/// Options for the address sanitizer's runtime, which refuses to start behind a preloaded library.
///
/// That holds for each program that is linked to it, also for one that the tenant starts later, and nothing of it breaks:
/// the preloaded libraries define no function that it replaces but `ioctl`, which they pass on. Preloading the runtime
/// instead would bring it to programs that were not built for it. What the operator says comes last and so holds.
pub fn asan_options(theirs: Option<OsString>) -> OsString {
    let ours = OsStr::new("verify_asan_link_order=0").to_owned();
    [Some(ours), theirs].into_iter().flatten().collect::<Vec<_>>().join(OsStr::new(":"))
}

/// Our folder before those that were to be searched anyway.
pub fn ld_library_path(ours: &Path, theirs: Option<OsString>) -> OsString {
    let theirs = theirs.filter(|list| !list.is_empty());
    [Some(ours.into()), theirs].into_iter().flatten().collect::<Vec<OsString>>().join(OsStr::new(":"))
}

/// A path for the library that `LD_PRELOAD` and `LD_LIBRARY_PATH` can hold: its own, or a link to it.
///
/// The dynamic linker splits these lists at spaces, colons and semicolons, knows no quoting, and expands `$`.
pub fn loadable(library: &Path) -> Result<PathBuf, FolderError> {
    if can_be_listed(library) {
        return Ok(library.to_owned());
    }
    let mut runtime = private_folder::runtime_folder();
    if !can_be_listed(&runtime) {
        runtime = private_folder::plain_runtime_folder();
    }
    link_in(&runtime, library)
}

fn link_in(runtime: &Path, library: &Path) -> Result<PathBuf, FolderError> {
    let mut hasher = DefaultHasher::new();
    library.hash(&mut hasher);
    let folder = runtime.join(format!("lib-{:016x}", hasher.finish()));
    private_folder::make_private(runtime)?;
    private_folder::make_private(&folder)?;
    let name = library.file_name().unwrap_or_default();
    // A folder of the simulated driver has its name without a version, too.
    for name in [Some(name), without_version(name)].into_iter().flatten() {
        let link = folder.join(name);
        match symlink(library, &link) {
            // The folder is this user's alone and its name is made from the target, so a link there is the right one.
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(FolderError::Io { path: link, source: error });
            }
            _ => {}
        }
    }
    Ok(folder.join(name))
}

/// The name that a library of version 1 is linked to by.
fn without_version(name: &OsStr) -> Option<&OsStr> {
    name.as_bytes().strip_suffix(b".1").map(OsStr::from_bytes)
}

fn can_be_listed(path: &Path) -> bool {
    !path.as_os_str().as_bytes().iter().any(|byte| matches!(byte, b' ' | b':' | b';' | b'$' | b'\t' | b'\n'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn ours_come_first_but_for_sanitizers() {
        let ours = [PathBuf::from("/a/libmissile.so"), PathBuf::from("/a/sim/libcuda.so.1")];
        assert_eq!(ld_preload(&ours, None), "/a/libmissile.so:/a/sim/libcuda.so.1");
        assert_eq!(ld_preload(&ours[..1], Some("/x.so /y.so".into())), "/a/libmissile.so:/x.so:/y.so");
        assert_eq!(ld_preload(&ours[..1], Some("".into())), "/a/libmissile.so");
        let list = "/x.so:/gcc/libasan.so.8:libclang_rt.tsan-x86_64.so:libasan_not.so".into();
        let expected = "/gcc/libasan.so.8:libclang_rt.tsan-x86_64.so:/a/libmissile.so:/x.so:libasan_not.so";
        assert_eq!(ld_preload(&ours[..1], Some(list)), expected);
        assert_eq!(ld_library_path(Path::new("/sim"), Some("/opt/lib".into())), "/sim:/opt/lib");
    }

    #[test]
    fn a_plain_path_stays() {
        assert_eq!(loadable(Path::new("/opt/lib/libmissile.so")).unwrap(), Path::new("/opt/lib/libmissile.so"));
    }

    #[test]
    fn a_path_that_no_list_can_hold_gets_a_link() {
        let root = tempfile::tempdir().unwrap();
        for name in ["with space", "with:colon", "$ORIGIN"] {
            let folder = root.path().join(name);
            fs::create_dir(&folder).unwrap();
            let library = folder.join("libmissile.so");
            fs::write(&library, name).unwrap();
            let link = link_in(&root.path().join("runtime"), &library).unwrap();
            assert!(can_be_listed(&link), "{}", link.display());
            assert_eq!(fs::read_to_string(&link).unwrap(), name);
            assert_eq!(link_in(&root.path().join("runtime"), &library).unwrap(), link, "the second time as well");
        }
    }

    #[test]
    fn a_driver_that_no_list_can_hold_is_found_without_its_version_too() {
        let root = tempfile::tempdir().unwrap();
        let driver = root.path().join("libcuda.so.1");
        fs::write(&driver, "driver").unwrap();
        let link = link_in(&root.path().join("runtime"), &driver).unwrap();
        assert_eq!(fs::read_to_string(link.with_file_name("libcuda.so")).unwrap(), "driver");
    }
}
