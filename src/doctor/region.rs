//! Whether the region has a place: a folder of one's own, with room.

use super::case::Case;
use super::report::Finding;
use crate::private_folder::runtime_folder;
use region::{Layout, OpenError};
use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The check.
pub fn check(case: &Case) -> Finding {
    let path = &case.settings.region;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match &case.snapshot {
        Err(error @ OpenError::Foreign(_)) => {
            let fix = format!("`missile up`, which replaces it; if that says it is held, remove {}", path.display());
            return Finding::bad(error.to_string(), fix);
        }
        Err(error @ (OpenError::Io(..) | OpenError::Held(_) | OpenError::Unkept(_))) => {
            let fix = format!("make {} readable and writable for this user, or set MISSILE_REGION", path.display());
            return Finding::bad(error.to_string(), fix);
        }
        Ok(_) | Err(OpenError::Missing(_)) => {}
    }
    match place(folder, folder == runtime_folder(), case.snapshot.is_ok()) {
        Ok(()) if folder.exists() => Finding::good(format!("{} is private and has room", folder.display())),
        Ok(()) => Finding::good(format!("`missile up` will make {}", folder.display())),
        Err(Trouble { what, fix }) => Finding::bad(what, fix),
    }
}

const ELSEWHERE: &str = "set XDG_RUNTIME_DIR to a folder of your own, or MISSILE_REGION to a file in one";

#[derive(Debug)]
struct Trouble {
    what: String,
    fix: String,
}

/// Whether the folder can hold the region. `missile up` makes the default one, with mode 0700.
fn place(folder: &Path, is_default: bool, is_there: bool) -> Result<(), Trouble> {
    let shown = folder.display();
    let trouble = |what: String, fix: String| Err(Trouble { what, fix });
    let meta = match is_default {
        // As `missile up` does: in a common folder somebody else may have put a link there.
        true => fs::symlink_metadata(folder),
        false => fs::metadata(folder),
    };
    let existing = match meta {
        Ok(meta) if !meta.is_dir() => {
            return trouble(format!("{shown} is no folder"), format!("remove it, or {ELSEWHERE}"));
        }
        // SAFETY: geteuid cannot fail and touches no memory.
        Ok(meta) if ![0, unsafe { libc::geteuid() }].contains(&meta.uid()) => {
            return trouble(format!("{shown} belongs to another user"), ELSEWHERE.to_owned());
        }
        Ok(meta) if meta.mode() & 0o022 != 0 => {
            let fix = match is_default {
                true => format!("`chmod 700 {shown}`"),
                false => format!("set MISSILE_REGION to a file in a folder of your own, or `chmod go-w {shown}`"),
            };
            return trouble(format!("others can write to {shown}"), fix);
        }
        Ok(_) => folder,
        Err(error) if error.kind() == io::ErrorKind::NotFound && is_default => folder.parent().unwrap_or(folder),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return trouble(
                format!("{shown} does not exist"),
                format!("`mkdir -p -m 700 {shown}`, or unset MISSILE_REGION"),
            );
        }
        Err(error) => return trouble(format!("{shown} cannot be used: {error}"), ELSEWHERE.to_owned()),
    };
    if let Err(error) = can_write(existing) {
        return trouble(format!("nothing can be made in {}: {error}", existing.display()), ELSEWHERE.to_owned());
    }
    match free_at(existing) {
        Ok(free) => can_hold(existing, free, is_there),
        Err(error) => trouble(format!("{} cannot be looked at: {error}", existing.display()), ELSEWHERE.to_owned()),
    }
}

/// Whether a folder with so much free can hold the region, which may be there already.
fn can_hold(folder: &Path, free: u64, is_there: bool) -> Result<(), Trouble> {
    let (shown, size) = (folder.display(), Layout::SIZE as u64);
    if is_there || free >= size {
        return Ok(());
    }
    let what = format!("{shown} has {} KiB free, and the region takes {}", free >> 10, size >> 10);
    let fix = "free some; in a container, give /dev/shm more with `--shm-size`".to_owned();
    Err(Trouble { what, fix })
}

/// The bytes that are free on a folder's file system.
fn free_at(path: &Path) -> io::Result<u64> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: all-zero bytes are a statfs.
    let mut found: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: the path is NUL-terminated, and `found` is live.
    match unsafe { libc::statfs(path.as_ptr(), &mut found) } {
        // A tmpfs without a limit has no blocks at all.
        0 if found.f_blocks == 0 => Ok(u64::MAX),
        0 => Ok(found.f_bavail.saturating_mul(found.f_bsize as u64)),
        _ => Err(io::Error::last_os_error()),
    }
}

fn can_write(folder: &Path) -> io::Result<()> {
    let path = CString::new(folder.as_os_str().as_bytes())?;
    // SAFETY: the path is NUL-terminated.
    match unsafe { libc::faccessat(libc::AT_FDCWD, path.as_ptr(), libc::W_OK | libc::X_OK, libc::AT_EACCESS) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    /// A folder of one's own.
    fn memory() -> tempfile::TempDir {
        tempfile::tempdir_in("/dev/shm").unwrap()
    }

    #[test]
    fn the_default_folder_is_made_and_another_is_not() {
        let root = memory();
        let folder = root.path().join("missile");
        place(&folder, true, false).unwrap();
        assert!(!folder.exists(), "the doctor changes nothing");
        assert!(place(&folder, false, false).unwrap_err().fix.contains("mkdir"));
        assert!(place(&folder.join("deeper"), true, false).unwrap_err().fix.contains("XDG_RUNTIME_DIR"));
    }

    #[test]
    fn a_folder_that_others_can_write_to_is_refused() {
        let root = memory();
        place(root.path(), true, false).unwrap();
        fs::set_permissions(root.path(), Permissions::from_mode(0o777)).unwrap();
        for is_default in [true, false] {
            assert!(place(root.path(), is_default, false).unwrap_err().fix.contains("chmod"));
        }
    }

    #[test]
    fn a_link_is_no_default_folder() {
        let root = memory();
        let link = root.path().join("missile");
        symlink(root.path(), &link).unwrap();
        assert!(place(&link, true, false).unwrap_err().what.contains("no folder"));
        place(&link, false, false).unwrap();
    }

    #[test]
    fn only_a_folder_with_room_can_hold_the_region() {
        let (folder, size) = (Path::new("/somewhere"), Layout::SIZE as u64);
        can_hold(folder, size, false).unwrap();
        can_hold(folder, 0, true).unwrap();
        assert!(can_hold(folder, size - 1, false).unwrap_err().fix.contains("--shm-size"));
        assert!(free_at(Path::new("/dev/shm")).unwrap() > 0);
    }
}
