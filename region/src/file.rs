//! The region's file: made by the arbiter, opened by tenants and onlookers, and its slots held by process images.

use crate::error::{JoinError, OpenError};
use crate::hold::{self, Hold};
use crate::layout::Layout;
use crate::lock;
use crate::shared::Shared;
use crate::terms::SLOTS;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicI32, Ordering};

/// A mapped region. Unmapped when dropped.
pub struct Region {
    layout: NonNull<Layout>,
    /// An open file of the region's. The program may have closed it, and the number may be another file's since.
    descriptor: AtomicI32,
    file: FileId,
    path: PathBuf,
}

// SAFETY: the mapping is valid in every thread until the drop, and `Layout` is `Shared`.
unsafe impl Send for Region {}
// SAFETY: as above; shared access is what the region is for.
unsafe impl Sync for Region {}

/// The identity of a file, whatever names it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    fn of(file: BorrowedFd) -> io::Result<FileId> {
        let mut found = std::mem::MaybeUninit::<libc::stat>::uninit();
        // SAFETY: the call writes a stat structure, or fails.
        match unsafe { libc::fstat(file.as_raw_fd(), found.as_mut_ptr()) } {
            0 => {
                // SAFETY: written by the call.
                let found = unsafe { found.assume_init() };
                Ok(FileId { device: found.st_dev, inode: found.st_ino })
            }
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl Region {
    /// Arbiter: makes the region at `path`, or takes over the one that a dead arbiter of this version left there, with
    /// the tenants in it. The folder must exist. The file has mode 0600.
    pub fn create(path: &Path) -> Result<Region, OpenError> {
        let io = |error| OpenError::Io(path.to_owned(), error);
        match Region::open(path) {
            Ok(region) => {
                if !lock::take(region.descriptor(), lock::ARBITER).map_err(io)? {
                    return Err(OpenError::Held(path.to_owned()));
                }
                // Between the open and the lock the former arbiter may have removed the file: then start afresh.
                let named = std::fs::metadata(path).map(|named| FileId { device: named.dev(), inode: named.ino() });
                if named.is_ok_and(|named| named == region.file) {
                    return Ok(region);
                }
            }
            Err(OpenError::Missing(_)) => {}
            // A file of another version or a broken one: replaced, unless a live arbiter of that version holds it.
            Err(OpenError::Foreign(_)) => {
                let file = open(path).map_err(io)?;
                if !lock::take(file.as_fd(), lock::ARBITER).map_err(io)? {
                    return Err(OpenError::Held(path.to_owned()));
                }
            }
            Err(error) => return Err(error),
        }
        // Made under another name and locked before it gets its own, so that nobody sees half a region.
        let unfinished = path.with_extension(format!("{}.new", std::process::id()));
        let made = Region::make(&unfinished, path);
        if made.is_err() {
            let _ = std::fs::remove_file(&unfinished);
        }
        made
    }

    fn make(unfinished: &Path, path: &Path) -> Result<Region, OpenError> {
        let io = |error| OpenError::Io(path.to_owned(), error);
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(unfinished).map_err(io)?;
        file.set_len(Layout::SIZE as u64).map_err(io)?;
        if !hold::is_kept(open(unfinished).map_err(io)?, &file).map_err(io)? {
            return Err(OpenError::Unkept(path.to_owned()));
        }
        lock::take(file.as_fd(), lock::ARBITER).map_err(io)?;
        let region = Region::map(file, path).map_err(io)?;
        region.layout().initialise();
        std::fs::rename(unfinished, path).map_err(io)?;
        Ok(region)
    }

    /// Opens the region at `path` and checks that it is one of this version.
    pub fn open(path: &Path) -> Result<Region, OpenError> {
        let io = |error| OpenError::Io(path.to_owned(), error);
        let file = match open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(OpenError::Missing(path.to_owned())),
            Err(error) => return Err(io(error)),
        };
        // Mapping a shorter file would end in SIGBUS at the first touch.
        if file.metadata().map_err(io)?.len() != Layout::SIZE as u64 {
            return Err(OpenError::Foreign(path.to_owned()));
        }
        let region = Region::map(file, path).map_err(io)?;
        if region.layout().is_valid() { Ok(region) } else { Err(OpenError::Foreign(path.to_owned())) }
    }

    fn map(file: File, path: &Path) -> io::Result<Region> {
        let id = FileId::of(file.as_fd())?;
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
            Some(layout) if address != libc::MAP_FAILED => {
                let descriptor = AtomicI32::new(file.into_raw_fd());
                Ok(Region { layout, descriptor, file: id, path: path.to_owned() })
            }
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// The shared fields.
    pub fn layout(&self) -> &Layout {
        const fn any_bytes_are_a_value<T: Shared>() {}
        const { any_bytes_are_a_value::<Layout>() };
        // SAFETY: the mapping is page-aligned, of the layout's size and lives as long as `self`; `Layout` is `Shared`.
        unsafe { self.layout.as_ref() }
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether an arbiter holds the region now. Answers also after the program has closed all descriptors.
    pub fn arbiter_is_alive(&self) -> bool {
        let held = lock::is_held(self.descriptor(), lock::ARBITER);
        // Looked at after the question: what is the region's file now was so before, as only this library opens it.
        if FileId::of(self.descriptor()).is_ok_and(|id| id == self.file) {
            return held;
        }
        // A region whose name is gone or another's was removed by its arbiter at the end.
        let Ok(file) = self.open_again() else { return false };
        let held = lock::is_held(file.as_fd(), lock::ARBITER);
        // The former number is not ours to close.
        self.descriptor.store(file.into_raw_fd(), Ordering::Relaxed);
        held
    }

    /// Whether another region is the same file.
    pub fn is_same_file(&self, other: &Region) -> bool {
        self.file == other.file
    }

    /// Tenant: takes a slot for this process image: where one of the same process id is left by an image that is gone, as
    /// after an `exec`, that one, so that nothing of it stays; else any that no living image holds, whether or not the
    /// arbiter has come to clear it. Waits for nobody. Another thread must not fork meanwhile, or its child keeps the slot
    /// until it executes a program or ends.
    pub fn join(&self) -> Result<Hold, JoinError> {
        let file = self.open_again().map_err(JoinError::Io)?;
        let (pid, slots) = (std::process::id(), &self.layout().slots);
        let own = |&slot: &usize| slots[slot].pid() == Some(pid);
        for _ in 0..JOIN_ROUNDS {
            for slot in (0..SLOTS).filter(own).chain((0..SLOTS).filter(|slot| !own(slot))) {
                if lock::take(file.as_fd(), lock::of_slot(slot)).map_err(JoinError::Io)? {
                    let tenure = slots[slot].begin(pid);
                    return Hold::keep(&file, slot, tenure).map_err(JoinError::Io);
                }
            }
            // A slot without a holder whose lock is taken is being cleared or joined at this moment.
            if slots.iter().all(|slot| slot.pid().is_some()) {
                break;
            }
            std::thread::yield_now();
        }
        Err(JoinError::Full)
    }

    /// Arbiter: ends the tenure of a slot if the image that held it is gone, and clears the slot. True if it was so.
    pub fn end_if_gone(&self, slot: usize) -> bool {
        let byte = lock::of_slot(slot);
        // Asked before it is taken, as this happens every second and hardly ever finds somebody gone.
        if lock::is_held(self.descriptor(), byte) || !lock::take(self.descriptor(), byte).unwrap_or(false) {
            return false;
        }
        self.layout().slots[slot].end();
        lock::give(self.descriptor(), byte);
        true
    }

    /// Arbiter, at its end: takes the file's name away. Tenants keep their mapping and see that nobody holds it.
    pub fn remove(self) -> io::Result<()> {
        std::fs::remove_file(&self.path)
    }

    /// Another open file of the region's, if it still has its name.
    fn open_again(&self) -> io::Result<File> {
        let file = open(&self.path)?;
        match FileId::of(file.as_fd())? == self.file {
            true => Ok(file),
            false => Err(io::Error::from(io::ErrorKind::NotFound)),
        }
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        // SAFETY: not -1; where the program has closed it, calls on it fail or ask another file, which users allow for.
        unsafe { BorrowedFd::borrow_raw(self.descriptor.load(Ordering::Relaxed)) }
    }
}

/// The most times that a process looks for a slot while others are being cleared.
const JOIN_ROUNDS: usize = 100;

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the mapping was made with this size and nothing borrows from it any more.
        unsafe { libc::munmap(self.layout.as_ptr().cast(), Layout::SIZE) };
        if FileId::of(self.descriptor()).is_ok_and(|id| id == self.file) {
            // SAFETY: the region's file, which only this library opens, and this is the only owner of the number.
            drop(unsafe { OwnedFd::from_raw_fd(*self.descriptor.get_mut()) });
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).custom_flags(libc::O_CLOEXEC).open(path)
}
