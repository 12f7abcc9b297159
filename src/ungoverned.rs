//! Processes that use the GPU with the library preloaded, and are no tenants.
//!
//! A process whose every call goes past the library, the driver's own requests to the kernel too (a library loaded with
//! `RTLD_DEEPBIND` that is the first to load the driver, or a profiler that puts itself in the driver's place), cannot be
//! seen from inside. From outside its mappings show it: the library, the driver, and a device of NVIDIA's.

use region::Region;
use serde::Serialize;
use std::collections::HashSet;
use std::fs;

/// A process that has no place in the region though it was to have one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ungoverned {
    /// Its process id.
    pub pid: u32,
    /// Its program.
    pub name: String,
}

/// All such processes that this user may look at, by process id.
pub fn ungoverned(region: &Region) -> Vec<Ungoverned> {
    let tenants: HashSet<u32> = region.layout().slots.iter().filter_map(region::Slot::pid).collect();
    let Ok(folder) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = folder.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let mut found: Vec<Ungoverned> = pids
        .filter(|pid| !tenants.contains(pid) && maps_show_use(&read(*pid, "maps")))
        .filter(|pid| !read(*pid, "environ").split('\0').any(|variable| variable == "MISSILE_DISABLE=1"))
        // A forked child has its parent's mappings, and no use of them.
        .filter(|pid| parent_in(&read(*pid, "stat")).is_none_or(|parent| !tenants.contains(&parent)))
        .map(|pid| Ungoverned { pid, name: read(pid, "comm").trim_end().to_owned() })
        .collect();
    found.sort_by_key(|process| process.pid);
    found
}

/// A file of a process's; empty where it is gone or somebody else's.
fn read(pid: u32, file: &str) -> String {
    fs::read(format!("/proc/{pid}/{file}"))
        .map_or_else(|_| String::new(), |bytes| String::from_utf8_lossy(&bytes).into())
}

/// Whether a process with these mappings (proc_pid_maps(5)) uses the GPU with the library preloaded.
fn maps_show_use(maps: &str) -> bool {
    let has = |what: &str| maps.lines().any(|line| line.contains(what));
    has("/libmissile.so") && has("/libcuda.so") && has(" /dev/nvidia")
}

/// The parent in the line of `/proc/PID/stat` (proc_pid_stat(5)): two fields behind the name, which may hold anything.
fn parent_in(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIM: &str = "7f00-7f01 r-xp 00000000 08:01 7  /opt/missile/lib/libmissile.so\n";
    const DRIVER: &str = "7e00-7e01 r-xp 00000000 08:01 8  /usr/lib/libcuda.so.580.159.04\n";
    const DEVICE: &str = "7d00-7d01 rw-s 00000000 00:05 9 /dev/nvidiactl\n";

    #[test]
    fn only_a_process_with_library_driver_and_device_uses_the_gpu() {
        assert!(maps_show_use(&[SHIM, DRIVER, DEVICE].concat()));
        for missing in [[SHIM, DRIVER], [SHIM, DEVICE], [DRIVER, DEVICE]] {
            assert!(!maps_show_use(&missing.concat()), "{missing:?}");
        }
    }

    #[test]
    fn the_parent_is_found_behind_any_name() {
        assert_eq!(parent_in("42 (a) b (c)) S 17 42 42 0"), Some(17));
        assert_eq!(parent_in(""), None);
    }
}
