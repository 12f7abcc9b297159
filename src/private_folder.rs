//! Folders that only this user can write to.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The system refused.
    #[error("cannot use the folder {}: {source}", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody else made it.
    #[error("{} belongs to another user or is no folder: remove it, or set XDG_RUNTIME_DIR to a folder of your own", .0.display())]
    Foreign(PathBuf),
}

/// The folder for what lives as long as the machine runs: the region's, unless that was set to be elsewhere.
pub fn runtime_folder() -> PathBuf {
    let region = settings::default_region(&|name| std::env::var_os(name));
    region.parent().map_or_else(PathBuf::new, Path::to_owned)
}

/// The runtime folder where it may have to be free of characters that some path list cannot hold.
pub fn plain_runtime_folder() -> PathBuf {
    settings::default_region(&|_| None).parent().map_or_else(PathBuf::new, Path::to_owned)
}

/// Makes the folder with mode 0700 if it is not there, and makes sure that it is this user's alone.
pub fn make_private(path: &Path) -> Result<(), FolderError> {
    let io = |source| FolderError::Io { path: path.to_owned(), source };
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(io(error)),
    }
    // Not followed: in /tmp somebody else may have put a link there.
    let found = fs::symlink_metadata(path).map_err(io)?;
    // SAFETY: geteuid cannot fail and touches no memory.
    if !found.is_dir() || found.uid() != unsafe { libc::geteuid() } {
        return Err(FolderError::Foreign(path.to_owned()));
    }
    if found.mode() & 0o077 != 0 {
        fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(io)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_folder_is_private_and_an_open_one_is_closed() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("missile");
        make_private(&folder).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        make_private(&folder).unwrap();
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_link_is_not_followed() {
        let parent = tempfile::tempdir().unwrap();
        let link = parent.path().join("missile");
        std::os::unix::fs::symlink(parent.path(), &link).unwrap();
        assert!(matches!(make_private(&link), Err(FolderError::Foreign(_))));
    }
}
