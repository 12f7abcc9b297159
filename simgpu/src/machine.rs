//! One process's view of the simulated GPU, which several processes share.
//!
//! A directory holds two files: `state` (who owns which piece of VRAM, how many handles each process has, the clock
//! of the timing model) and `vram` (the sparse contents). Every process maps both. A process is present as long as it
//! holds a lock on its slot's byte of `state`, which the operating system drops however the process ends; what the
//! dead owned is taken back when somebody attaches or runs out. The first process to attach while nobody is present
//! starts afresh.
//!
//! The lock belongs to the open file, so a forked child that goes on using the library shares its parent's slot and
//! keeps it alive; what either of them allocates is given back when both are gone.

mod error;
mod frames;
mod layout;
mod locks;
mod mapping;

use crate::spec::{GRANULE, GpuSpec};
use crate::timing;
use layout::State;
use mapping::Mapping;
use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, OnceLock};
use units::{Bytes, PhysAddr};

pub use error::MachineError;

/// Most processes that can share one simulated GPU at a time.
pub const MAX_PROCESSES: usize = timing::MAX_PROCESSES;

/// The first physical address that is handed out. What lies below belongs to the firmware, as on a real GPU, so that
/// nobody takes an address for an offset into VRAM.
pub const VRAM_BASE: PhysAddr = PhysAddr::new(0x1040_0000);

/// One process's view of the simulated GPU.
#[derive(Debug)]
pub struct Machine {
    spec: GpuSpec,
    state_file: File,
    vram_file: File,
    state: Mapping,
    vram: Mapping,
    slot: usize,
    /// Threads of one process share its lock on the state file, so they need one among themselves.
    exclusive: Mutex<()>,
}

impl Machine {
    /// This process's machine. The first call attaches to the directory that the environment names.
    pub fn get() -> Result<&'static Machine, &'static MachineError> {
        static MACHINE: OnceLock<Result<Machine, MachineError>> = OnceLock::new();
        MACHINE
            .get_or_init(|| {
                let spec = GpuSpec::from_env()?;
                let directory = directory_from_env(&spec);
                Machine::attach(spec, &directory)
            })
            .as_ref()
    }

    /// Joins the machine of a directory, and starts it where nobody is present.
    pub fn attach(spec: GpuSpec, directory: &Path) -> Result<Machine, MachineError> {
        prepare(directory)?;
        let state_file = open(&directory.join("state"))?;
        let vram_file = open(&directory.join("vram"))?;
        locks::exclude(&state_file).map_err(MachineError::lock(directory))?;
        if !locks::anyone(&state_file).map_err(MachineError::lock(directory))? {
            reset(&spec, &state_file, &vram_file).map_err(MachineError::size(directory))?;
        }
        let bytes = layout::state_bytes(&spec);
        if state_file.metadata().map_err(MachineError::size(directory))?.len() != bytes.get() {
            return Err(MachineError::Mismatch { path: directory.into() });
        }
        let state = Mapping::new(&state_file, bytes).map_err(MachineError::map(directory))?;
        if !layout::state(&state).is_of(&spec) {
            return Err(MachineError::Mismatch { path: directory.into() });
        }
        let vram = Mapping::new(&vram_file, spec.vram).map_err(MachineError::map(directory))?;
        let slot = locks::take_slot(&state_file)
            .map_err(MachineError::lock(directory))?
            .ok_or_else(|| MachineError::Full { path: directory.into() })?;
        let machine = Machine { spec, state_file, vram_file, state, vram, slot, exclusive: Mutex::new(()) };
        machine.reap(|owner| owner == slot || !machine.slot_is_live(owner));
        locks::admit(&machine.state_file).map_err(MachineError::lock(directory))?;
        Ok(machine)
    }

    /// The description of the GPU.
    pub fn spec(&self) -> &GpuSpec {
        &self.spec
    }

    /// The state of the timing model, which the processes share.
    pub fn timing(&self) -> &timing::Shared {
        &self.state().timing
    }

    /// The engine on which a channel group of this process takes turns, if it does.
    pub(crate) fn engine(&self, group: &timing::group::Group) -> Option<timing::engine::Engine<'_>> {
        timing::engine::Engine::of(self.timing(), self.slot(), self.spec(), group)
    }

    /// This process's slot, less than [`MAX_PROCESSES`].
    pub fn slot(&self) -> usize {
        self.slot
    }

    /// Whether a process holds the slot. It costs a system call for any slot but one's own.
    pub fn slot_is_live(&self, slot: usize) -> bool {
        slot == self.slot || locks::slot_is_held(&self.state_file, slot)
    }

    /// Copies out of VRAM.
    ///
    /// Panics where the stretch does not lie in VRAM.
    pub fn read(&self, at: PhysAddr, out: &mut [u8]) {
        let from = self.stretch(at, out.len());
        // SAFETY: `stretch` checked that `out.len()` bytes from there lie in the mapping, which lives as long as
        // `self`; `out` is this process's own memory. Another process may write at the same time, as on a real GPU:
        // bytes have no invalid values, so the copy is of one mixture or another.
        unsafe { std::ptr::copy(from, out.as_mut_ptr(), out.len()) }
    }

    /// Copies into VRAM.
    ///
    /// Panics where the stretch does not lie in VRAM.
    pub fn write(&self, at: PhysAddr, data: &[u8]) {
        let to = self.stretch(at, data.len());
        // SAFETY: as in `read`, with the directions swapped.
        unsafe { std::ptr::copy(data.as_ptr(), to, data.len()) }
    }

    /// The address at which this process sees a byte of VRAM. It stays valid for as long as the machine, whoever owns the byte.
    ///
    /// Panics where the address does not lie in VRAM.
    pub fn vram_ptr(&self, at: PhysAddr) -> *mut u8 {
        self.stretch(at, 1)
    }

    /// VRAM that no live process holds.
    pub fn free_vram(&self) -> Bytes {
        let live: Vec<bool> = (0..MAX_PROCESSES).map(|slot| self.slot_is_live(slot)).collect();
        let is_free = |owner: u32| owner == 0 || !live.get(owner as usize - 1).copied().unwrap_or(false);
        let free = self.frames().iter().filter(|frame| is_free(frame.load(Ordering::Relaxed))).count();
        Bytes::new(free as u64 * GRANULE.get())
    }

    fn stretch(&self, at: PhysAddr, len: usize) -> *mut u8 {
        let offset = at.get().checked_sub(VRAM_BASE.get());
        let inside = offset.filter(|o| o.checked_add(len as u64).is_some_and(|end| end <= self.spec.vram.get()));
        let offset = inside.unwrap_or_else(|| panic!("{len} bytes at physical address {at} do not lie in VRAM"));
        // SAFETY: the offset was just checked to lie within the mapping, whose size is that of VRAM.
        unsafe { self.vram.start().add(offset as usize) }
    }

    fn state(&self) -> &State {
        layout::state(&self.state)
    }
}

fn directory_from_env(spec: &GpuSpec) -> PathBuf {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("SIMGPU_STATE").unwrap_or_else(|| {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        let name: String = spec.name.chars().map(plain).collect();
        // SAFETY: `geteuid` has no preconditions and cannot fail.
        let user = unsafe { libc::geteuid() };
        set("XDG_RUNTIME_DIR")
            .unwrap_or_else(|| "/tmp".into())
            .join(format!("simgpu-{user}-{}", name.trim_matches('-')))
    })
}

/// Makes the directory, and refuses one in which somebody else could replace the files.
fn prepare(directory: &Path) -> Result<(), MachineError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
    let found = made.and_then(|()| std::fs::metadata(directory));
    let found = found.map_err(|source| MachineError::Open { path: directory.into(), source })?;
    // SAFETY: `geteuid` has no preconditions and cannot fail.
    let user = unsafe { libc::geteuid() };
    if found.uid() == user && found.mode() & 0o022 == 0 {
        Ok(())
    } else {
        Err(MachineError::NotOurs { path: directory.into() })
    }
}

fn open(path: &Path) -> Result<File, MachineError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)
        .map_err(|source| MachineError::Open { path: path.into(), source })
}

/// Empties both files. To be called with everybody else excluded and nobody present.
fn reset(spec: &GpuSpec, state_file: &File, vram_file: &File) -> std::io::Result<()> {
    let bytes = layout::state_bytes(spec);
    for (file, bytes) in [(state_file, bytes), (vram_file, spec.vram)] {
        file.set_len(0)?;
        file.set_len(bytes.get())?;
    }
    layout::state(&Mapping::new(state_file, bytes)?).begin(spec);
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
