//! Whether the library is there, and whether this machine's dynamic linker preloads it.

use super::case::Case;
use super::report::Finding;
use super::witness::{NotAsked, Testimony};
use crate::libraries::{Libraries, SHIM};
use std::ffi::CStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const INSTALL: &str = "install Missile again, or set MISSILE_LIB_DIR to the folder that has its libraries";

/// The check.
pub fn check(case: &Case) -> Finding {
    match Libraries::of_this_process().find(SHIM) {
        Ok(library) => preloaded(&library, &case.preloaded),
        Err(error) => Finding::bad(error.to_string(), INSTALL),
    }
}

/// Whether a process that was to preload the library has it.
fn preloaded(library: &Path, testimony: &Result<Testimony, NotAsked>) -> Finding {
    let refused = |why: &str| {
        Finding::bad(
            format!("{} cannot be preloaded, with {}: {why}", library.display(), c_library()),
            "use a libmissile.so that was built for this machine: for its processor, and for a C library that is not \
             newer",
        )
    };
    match testimony {
        Err(NotAsked::Governance(error)) => Finding::bad(error.to_string(), INSTALL),
        Err(error) => refused(&error.to_string()),
        Ok(said) if !said.status.success() => refused(&format!("{} {}", said.status, linkers_words(&said.stderr))),
        Ok(said) if said.stdout.is_empty() => refused(linkers_words(&said.stderr)),
        Ok(said) if !said.stdout.lines().any(|loaded| is_same_file(Path::new(loaded), library)) => {
            refused(&format!("{} is loaded instead", said.stdout.replace('\n', ", ")))
        }
        Ok(_) => Finding::good(format!("{} can be preloaded", library.display())),
    }
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    let file = |path: &Path| fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
    one == other || (file(one).is_some() && file(one) == file(other))
}

/// Of what was complained of, the line about the library.
fn linkers_words(stderr: &str) -> &str {
    let line = stderr.lines().find(|line| line.contains(SHIM)).or(stderr.lines().last());
    line.unwrap_or("the dynamic linker does not say why").trim_start_matches("ERROR: ")
}

fn c_library() -> String {
    // SAFETY: the answer is a NUL-terminated text that is never freed.
    let version = unsafe { CStr::from_ptr(libc::gnu_get_libc_version()) };
    format!("glibc {}", version.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    fn said(code: i32, stdout: &str, stderr: &str) -> Result<Testimony, NotAsked> {
        let status = ExitStatus::from_raw(code << 8);
        Ok(Testimony { status, stdout: stdout.to_owned(), stderr: stderr.to_owned() })
    }

    #[test]
    fn what_the_linker_says_is_passed_on() {
        let library = Path::new("/opt/libmissile.so");
        assert!(preloaded(library, &said(0, "/old/libmissile.so\n/opt/libmissile.so", "noise")).ok);
        assert!(!preloaded(library, &said(0, "/old/libmissile.so", "")).ok);
        let ignored = "noise\nERROR: ld.so: object '/opt/libmissile.so' from LD_PRELOAD cannot be preloaded (invalid \
                       ELF header): ignored.";
        let old = "doctor: /lib/libc.so.6: version `GLIBC_2.34' not found (required by /opt/libmissile.so)";
        for (testimony, words) in [(said(0, "", ignored), "invalid ELF header"), (said(1, "", old), "GLIBC_2.34")] {
            let finding = preloaded(library, &testimony);
            assert!(
                !finding.ok && finding.detail.contains(words) && finding.detail.contains("glibc 2."),
                "{finding:?}"
            );
        }
    }
}
