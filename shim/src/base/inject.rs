//! Faults on purpose, for the tests that must notice them. Only a build with the feature `broken` has them.
//!
//! Each is a mistake that a library of this kind has made before, or a failure that it must survive:
//!
//! | `MISSILE_BREAK` | what is wrong then |
//! | --- | --- |
//! | `dlsym-calls` | `dlsym` calls the C library's instead of jumping to it, so that `RTLD_NEXT` has another caller |
//! | `no-dlsym` | names asked of `dlsym` are not governed |
//! | `no-per-thread` | the spellings with the per-thread default stream are not governed |
//! | `newest-name` | `cuGetProcAddress` is answered by name with one version for all |
//! | `no-nested-resolver` | `cuGetProcAddress` asked for itself is not governed |
//! | `absent-names` | `dlsym` finds functions that the driver does not have |
//! | `deaf` | calls past the library are not noticed |
//! | `reentry` | calls from inside the driver are governed like the program's |
//! | `fork-blind` | a forked child takes itself for its parent |
//! | `errno` | the interposed `ioctl` changes `errno` |
//! | `stdout`, `umask`, `signal` | the host's output, file mode mask or signals are touched |
//! | `early-thread` | a thread starts before `cuInit` |
//! | `panic-announce`, `panic-settle`, `panic-copy`, `panic-orders` | the library panics at that place |

/// Whether the environment asks for this fault: `MISSILE_BREAK` holds its name.
#[cfg(feature = "broken")]
pub(crate) fn is(fault: &str) -> bool {
    // Without std's environment lock, as this is asked inside `dlsym`.
    // SAFETY: the name is NUL-terminated; the answer, if any, is a NUL-terminated text.
    let chosen = unsafe {
        let value = libc::getenv(c"MISSILE_BREAK".as_ptr());
        if value.is_null() {
            return false;
        }
        std::ffi::CStr::from_ptr(value)
    };
    chosen.to_bytes() == fault.as_bytes()
}

/// Never, in a library for use.
#[cfg(not(feature = "broken"))]
#[inline(always)]
pub(crate) const fn is(_fault: &str) -> bool {
    false
}

/// Touches what is the host's, if asked to.
#[cfg(feature = "broken")]
pub(crate) fn bad_manners() {
    if is("stdout") {
        println!("missile says hello");
    }
    // SAFETY: process-wide settings, as a bad library would change them.
    unsafe {
        if is("umask") {
            libc::umask(0);
        }
        if is("signal") {
            libc::signal(libc::SIGPIPE, libc::SIG_DFL);
            libc::signal(libc::SIGTERM, libc::SIG_IGN);
        }
    }
}

/// Nothing, in a library for use.
#[cfg(not(feature = "broken"))]
#[inline(always)]
pub(crate) const fn bad_manners() {}
