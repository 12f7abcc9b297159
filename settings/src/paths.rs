//! Places of Missile's files.

use std::ffi::OsString;
use std::path::PathBuf;

fn set(get: &dyn Fn(&str) -> Option<OsString>, name: &str) -> Option<PathBuf> {
    get(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// The region where `MISSILE_REGION` is not set: `$XDG_RUNTIME_DIR/missile/region`, or `/dev/shm/missile-UID/region`.
///
/// Both are on a tmpfs, so that no file system writes the region back.
pub fn default_region(get: &dyn Fn(&str) -> Option<OsString>) -> PathBuf {
    match set(get, "XDG_RUNTIME_DIR") {
        Some(runtime) => runtime.join("missile/region"),
        // SAFETY: getuid cannot fail and touches no memory.
        None => PathBuf::from(format!("/dev/shm/missile-{}/region", unsafe { libc::getuid() })),
    }
}

/// The data folder: `$XDG_DATA_HOME/missile`, `$HOME/.local/share/missile`, or `/var/lib/missile` where there is no home.
pub fn data_folder(get: &dyn Fn(&str) -> Option<OsString>) -> PathBuf {
    match (set(get, "XDG_DATA_HOME"), set(get, "HOME")) {
        (Some(data), _) => data.join("missile"),
        (None, Some(home)) => home.join(".local/share/missile"),
        (None, None) => PathBuf::from("/var/lib/missile"),
    }
}

/// The folder of the probed tables, one file a GPU.
pub fn tables_folder(get: &dyn Fn(&str) -> Option<OsString>) -> PathBuf {
    data_folder(get).join("tables")
}
