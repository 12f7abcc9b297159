//! Whether the kernel has what the arbiter and the library need of it.

use super::case::Case;
use super::report::Finding;
use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Whether the kernel has something.
type Has = fn() -> io::Result<()>;

/// A need: its name, the loss without it, and whether it is met here.
const NEEDS: &[(&str, &str, Has)] = &[
    ("pidfd_open (Linux 5.3)", "the arbiter notices a tenant's death a second late", has_pidfd_open),
    ("MADV_WIPEONFORK (Linux 4.14)", "tenants stay ungoverned", has_wipe_on_fork),
    (
        "locks of open files (Linux 3.15)",
        "tenants cannot hold their places or see whether an arbiter lives",
        has_file_locks,
    ),
];

/// The check.
pub fn check(_case: &Case) -> Finding {
    let missing = NEEDS.iter().filter_map(|(need, without, has)| {
        has().err().map(|error| format!("no {need}, without which {without}: {error}"))
    });
    findings(&release(), &missing.collect::<Vec<_>>())
}

fn findings(release: &str, missing: &[String]) -> Finding {
    match missing {
        [] => Finding::good(format!("Linux {release} has all that is needed")),
        _ => Finding::bad(
            format!("Linux {release}: {}", missing.join("; ")),
            "use Linux 5.3 or newer; where the kernel is newer, let the container's seccomp profile allow the call",
        ),
    }
}

fn release() -> String {
    // SAFETY: all-zero bytes are a utsname.
    let mut names: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: `names` is live.
    if unsafe { libc::uname(&mut names) } != 0 {
        return "of unknown version".to_owned();
    }
    // SAFETY: uname ends each field with a NUL.
    unsafe { CStr::from_ptr(names.release.as_ptr()) }.to_string_lossy().into_owned()
}

fn has_pidfd_open() -> io::Result<()> {
    // SAFETY: this call takes two numbers and touches no memory.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, std::process::id(), 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is this function's own.
    unsafe { libc::close(fd as libc::c_int) };
    Ok(())
}

fn has_wipe_on_fork() -> io::Result<()> {
    const SIZE: usize = 4096;
    // SAFETY: a fresh private mapping; no address is asked for.
    let page = unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        libc::mmap(std::ptr::null_mut(), SIZE, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0)
    };
    if page == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the page was mapped just now and is nobody else's.
    let result = match unsafe { libc::madvise(page, SIZE, libc::MADV_WIPEONFORK) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    };
    // SAFETY: as above.
    unsafe { libc::munmap(page, SIZE) };
    result
}

fn has_file_locks() -> io::Result<()> {
    let file = File::open("/proc/self/exe")?;
    let mut lock = libc::flock {
        l_type: libc::F_RDLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 1,
        l_pid: 0,
    };
    // SAFETY: `lock` is a live flock structure.
    match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &mut lock) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_need_is_met_by_a_kernel_that_runs_these_tests() {
        for (need, _, has) in NEEDS {
            has().unwrap_or_else(|error| panic!("{need}: {error}"));
        }
        assert!(release().contains('.'));
    }

    #[test]
    fn what_is_missing_is_named() {
        let finding = findings("3.10", &["no pidfd_open".to_owned(), "no locks".to_owned()]);
        assert!(!finding.ok && finding.detail.contains("no pidfd_open; no locks") && finding.fix.is_some());
    }
}
