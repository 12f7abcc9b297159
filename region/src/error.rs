//! Errors of making, opening and joining a region, with what to do about each.

use std::io;
use std::path::PathBuf;

/// An obstacle to making or opening a region.
#[derive(Debug)]
pub enum OpenError {
    /// The file is not there: no arbiter ran with this path.
    Missing(PathBuf),
    /// Another arbiter holds the region.
    Held(PathBuf),
    /// The file is there but is no region of this version.
    Foreign(PathBuf),
    /// The file system does not keep a lock for as long as a mapping, by which tenants hold their places.
    Unkept(PathBuf),
    /// The system refused.
    Io(PathBuf, io::Error),
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            OpenError::Missing(path) => {
                write!(f, "no arbiter: there is no region at {}; start one with `missile up`", path.display())
            }
            OpenError::Held(path) => {
                write!(f, "another arbiter holds {}; end it first with `missile down`", path.display())
            }
            OpenError::Foreign(path) => write!(
                f,
                "{} is not a region of this version of Missile: run `missile down` and `missile up` of the same \
                 version, or remove the file",
                path.display()
            ),
            OpenError::Unkept(path) => write!(
                f,
                "the file system of {} (an overlay, as in a container?) does not keep the locks by which tenants hold \
                 their places: set MISSILE_REGION to a file on a tmpfs such as /dev/shm",
                path.display()
            ),
            OpenError::Io(path, error) => write!(f, "cannot use the region {}: {error}", path.display()),
        }
    }
}

impl std::error::Error for OpenError {}

/// An obstacle to taking a slot of a region that is open.
#[derive(Debug)]
pub enum JoinError {
    /// Every slot is held by a process image that lives.
    Full,
    /// The system refused.
    Io(io::Error),
}
