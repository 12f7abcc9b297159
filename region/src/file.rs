//! The region's file: made by the arbiter, opened by tenants and onlookers.

use crate::layout::Layout;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::ptr::NonNull;

/// Why a region could not be made or opened.
#[derive(Debug)]
pub enum OpenError {
    /// The file is not there: no arbiter ran with this path.
    Missing(PathBuf),
    /// Another arbiter holds the region.
    Held(PathBuf),
    /// The file is there but is no region of this version.
    Foreign(PathBuf),
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
            OpenError::Io(path, error) => write!(f, "cannot use the region {}: {error}", path.display()),
        }
    }
}

impl std::error::Error for OpenError {}

/// A mapped region. Unmapped when dropped.
pub struct Region {
    layout: NonNull<Layout>,
    file: File,
    path: PathBuf,
}

// SAFETY: the mapping is valid in every thread until the drop, and all of its fields are atomics.
unsafe impl Send for Region {}
// SAFETY: as above; shared access is what the region is for.
unsafe impl Sync for Region {}

/// The byte of the file that the living arbiter holds a lock on (an open-file-description lock: it ends with the
/// process, however that dies, and needs no process id to be meaningful to both sides).
const ARBITER_LOCK_BYTE: i64 = 0;

impl Region {
    /// Arbiter: makes the region at `path`, or takes over the one that a dead arbiter of this version left there, with
    /// the tenants in it. The folder must exist. The file has mode 0600.
    pub fn create(path: &Path) -> Result<Region, OpenError> {
        let io = |error| OpenError::Io(path.to_owned(), error);
        match Region::open(path) {
            Ok(region) => {
                if !lock_arbiter_byte(&region.file).map_err(io)? {
                    return Err(OpenError::Held(path.to_owned()));
                }
                // Between the open and the lock the former arbiter may have removed the file: then start afresh.
                let still_named = std::fs::metadata(path)
                    .ok()
                    .zip(region.file.metadata().ok())
                    .is_some_and(|(named, open)| named.ino() == open.ino() && named.dev() == open.dev());
                if still_named {
                    return Ok(region);
                }
            }
            Err(OpenError::Missing(_)) => {}
            // A file of another version or a broken one: replaced, unless a live arbiter of that version holds it.
            Err(OpenError::Foreign(_)) => {
                let file = OpenOptions::new().read(true).write(true).open(path).map_err(io)?;
                if !lock_arbiter_byte(&file).map_err(io)? {
                    return Err(OpenError::Held(path.to_owned()));
                }
            }
            Err(error) => return Err(error),
        }
        // Made under another name and locked before it gets its own, so that nobody sees half a region.
        let unfinished = path.with_extension(format!("{}.new", std::process::id()));
        let finish = || -> io::Result<Region> {
            let file =
                OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
            file.set_len(Layout::SIZE as u64)?;
            lock_arbiter_byte(&file)?;
            let region = Region::map(file, path)?;
            region.layout().initialise();
            std::fs::rename(&unfinished, path)?;
            Ok(region)
        };
        finish().map_err(|error| {
            let _ = std::fs::remove_file(&unfinished);
            io(error)
        })
    }

    /// Opens the region at `path` and checks that it is one of this version.
    pub fn open(path: &Path) -> Result<Region, OpenError> {
        let file = match OpenOptions::new().read(true).write(true).custom_flags(libc::O_CLOEXEC).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(OpenError::Missing(path.to_owned())),
            Err(error) => return Err(OpenError::Io(path.to_owned(), error)),
        };
        let size = file.metadata().map_err(|error| OpenError::Io(path.to_owned(), error))?.len();
        // Mapping a shorter file would end in SIGBUS at the first touch.
        if size != Layout::SIZE as u64 {
            return Err(OpenError::Foreign(path.to_owned()));
        }
        let region = Region::map(file, path).map_err(|error| OpenError::Io(path.to_owned(), error))?;
        if region.layout().is_valid() { Ok(region) } else { Err(OpenError::Foreign(path.to_owned())) }
    }

    fn map(file: File, path: &Path) -> io::Result<Region> {
        // SAFETY: a fresh shared mapping of a file of exactly this size; no address is asked for.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                Layout::SIZE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        match NonNull::new(address.cast::<Layout>()) {
            Some(layout) if address != libc::MAP_FAILED => Ok(Region { layout, file, path: path.to_owned() }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// The shared fields.
    pub fn layout(&self) -> &Layout {
        // SAFETY: the mapping is page-aligned, of the layout's size, lives as long as `self`, and every field is an
        // atomic integer, so any bytes in it are valid whoever writes them.
        unsafe { self.layout.as_ref() }
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether an arbiter holds the region now.
    pub fn arbiter_is_alive(&self) -> bool {
        let mut lock = arbiter_lock();
        // SAFETY: `lock` is a live flock structure.
        let asked = unsafe { libc::fcntl(self.fd(), libc::F_OFD_GETLK, &mut lock) };
        asked == 0 && lock.l_type != libc::F_UNLCK as libc::c_short
    }

    /// Arbiter, at its end: takes the file's name away. Tenants keep their mapping and see that nobody holds it.
    pub fn remove(self) -> io::Result<()> {
        std::fs::remove_file(&self.path)
    }

    fn fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the mapping was made with this size and nothing borrows from it any more.
        unsafe { libc::munmap(self.layout.as_ptr().cast(), Layout::SIZE) };
    }
}

fn arbiter_lock() -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: ARBITER_LOCK_BYTE,
        l_len: 1,
        l_pid: 0,
    }
}

/// Takes the arbiter's lock; false where another process has it.
fn lock_arbiter_byte(file: &File) -> io::Result<bool> {
    let lock = arbiter_lock();
    // SAFETY: `lock` is a live flock structure.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &lock) } == 0 {
        return Ok(true);
    }
    match io::Error::last_os_error() {
        error if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        error => Err(error),
    }
}
