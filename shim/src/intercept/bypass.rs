//! Noticing calls that reach the driver without passing this library.
//!
//! No set of exported names catches every way in: a library loaded with `RTLD_DEEPBIND`, or one that opens the driver
//! by a path and asks the C library's own `dlsym`, calls the driver directly. Two witnesses tell. The driver itself
//! asks the kernel for VRAM: where that happens on a thread that is in no hook, the stack says through which of the
//! driver's functions the program came (8 us each on an H200, and only there). And a loaded object's table of imports
//! says what it is bound to.

use super::{elf, names};
use crate::base::inject;
use crate::base::lock::Lock;
use crate::base::log::warning;
use crate::tenant::{membership, reentry};
use region::monotonic_nanos;
use region::times::IMPORTS_LOOK;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::ffi::{CStr, CString, c_int, c_void};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU32, Ordering};
use units::Nanos;

/// The driver's library, by the name that it gives itself.
const DRIVER: &CStr = c"libcuda.so.1";

/// So many stacks are looked at; a process that goes past the library more often is known well enough.
const MOST_LOOKS: u32 = 4096;

/// Deeper stacks are not followed to their end.
const DEEPEST: usize = 256;

/// The driver asked the kernel for VRAM on this thread.
pub(crate) fn vram_asked() {
    static LOOKS: AtomicU32 = AtomicU32::new(0);
    if reentry::is_inside() || inject::is("deaf") || LOOKS.fetch_add(1, Ordering::Relaxed) >= MOST_LOOKS {
        return;
    }
    let Some(frames) = stack() else { return };
    let mut came = None;
    elf::each(|object| {
        if object.is_called(DRIVER)
            && let Some(function) = frames.entry_into(object)
        {
            came = Some((function, frames.caller_of(object)));
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    if let Some((function, caller)) = came
        && names::is_governed(&function)
    {
        let caller = caller.map_or_else(|| "an unknown library".to_owned(), path_of_code);
        report(&function, &caller);
    }
}

/// The calls on a thread's stack, innermost first.
struct Frames {
    calls: [Call; DEEPEST],
    len: usize,
}

#[derive(Clone, Copy, Default)]
struct Call {
    /// The begin of the function.
    function: usize,
    /// The instruction that it has come to.
    at: usize,
}

impl Frames {
    fn calls(&self) -> &[Call] {
        &self.calls[..self.len]
    }

    /// The outermost call in the object before the stack leaves it.
    fn outermost_in(&self, object: &elf::Object<'_>) -> Option<usize> {
        let inside = |call: &Call| object.code().any(|code| code.contains(&call.at));
        let first = self.calls().iter().position(inside)?;
        Some(first + self.calls()[first..].iter().take_while(|call| inside(call)).count() - 1)
    }

    /// The exported function by which the object was entered.
    fn entry_into(&self, object: &elf::Object<'_>) -> Option<CString> {
        let call = self.calls()[self.outermost_in(object)?];
        object.function_at(call.function).map(CStr::to_owned)
    }

    /// The code that entered the object.
    fn caller_of(&self, object: &elf::Object<'_>) -> Option<usize> {
        self.calls().get(self.outermost_in(object)? + 1).map(|call| call.at)
    }
}

// The unwinder that the Rust runtime is linked to (Itanium C++ ABI, exception handling, 1.6).
unsafe extern "C" {
    fn _Unwind_Backtrace(step: extern "C" fn(*mut c_void, *mut c_void) -> c_int, argument: *mut c_void) -> c_int;
    fn _Unwind_GetIP(context: *mut c_void) -> usize;
    fn _Unwind_GetRegionStart(context: *mut c_void) -> usize;
}

const URC_NO_REASON: c_int = 0;
const URC_END_OF_STACK: c_int = 5;

/// The calls on this thread's stack. `None` where it is being looked at already.
fn stack() -> Option<Box<Frames>> {
    extern "C" fn step(context: *mut c_void, frames: *mut c_void) -> c_int {
        // SAFETY: the unwinder passes a live context, and the pointer given to it below.
        let (at, function, frames) =
            unsafe { (_Unwind_GetIP(context), _Unwind_GetRegionStart(context), &mut *frames.cast::<Frames>()) };
        // A return address may be the first byte of the next function.
        frames.calls[frames.len] = Call { function, at: at.wrapping_sub(1) };
        frames.len += 1;
        if frames.len == DEEPEST { URC_END_OF_STACK } else { URC_NO_REASON }
    }
    thread_local! {
        static LOOKING: Cell<bool> = const { Cell::new(false) };
    }
    if LOOKING.replace(true) {
        return None;
    }
    let mut frames = Box::new(Frames { calls: [Call::default(); DEEPEST], len: 0 });
    // SAFETY: `step` fits the pointer that it is given and does not unwind.
    unsafe { _Unwind_Backtrace(step, std::ptr::from_mut(&mut *frames).cast()) };
    LOOKING.set(false);
    Some(frames)
}

/// Whether the library for deep binding is there: one that is called like the driver and has no code.
fn leads_deep() -> bool {
    let mut leads = false;
    elf::each(|object| {
        leads |= object.is_called(DRIVER) && object.code().next().is_none();
        ControlFlow::Continue(())
    });
    leads
}

fn path_of_code(address: usize) -> String {
    let mut path = None;
    elf::each(|object| {
        if object.code().any(|code| code.contains(&address)) {
            path = Some(display(object));
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    path.unwrap_or_else(|| "code outside of any library".to_owned())
}

fn display(object: &elf::Object<'_>) -> String {
    match object.path().to_string_lossy() {
        path if path.is_empty() => "the program itself".to_owned(),
        path => path.into_owned(),
    }
}

/// Looks for objects whose imports lead straight to the driver.
#[derive(Default)]
pub(crate) struct Imports {
    generation: Option<elf::Generation>,
    looked: Nanos,
}

impl Imports {
    /// Looks, if objects were loaded since the last time or that was some time ago.
    pub(crate) fn look(&mut self) {
        let (now, generation) = (Nanos::new(monotonic_nanos()), elf::generation());
        let is_due = self.generation != Some(generation) || now.saturating_sub(self.looked) > IMPORTS_LOOK;
        if is_due && !inject::is("deaf") {
            (self.generation, self.looked) = (Some(generation), now);
            direct_imports().into_iter().filter(is_new).for_each(|import| report(&import.function, &import.object));
        }
    }
}

/// A function of the driver's that an object calls directly.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Import {
    function: CString,
    object: String,
}

fn direct_imports() -> Vec<Import> {
    let mut drivers = Vec::new();
    elf::each(|object| {
        if object.is_called(DRIVER) {
            drivers.extend(object.code());
        }
        ControlFlow::Continue(())
    });
    let mut found = Vec::new();
    elf::each(|object| {
        if object.needs(DRIVER) && !object.is_called(DRIVER) {
            object.bindings(|name, address| {
                if drivers.iter().any(|code| code.contains(&address)) && names::is_governed(name) {
                    found.push(Import { function: name.to_owned(), object: display(object) });
                }
            });
        }
        ControlFlow::Continue(())
    });
    found
}

/// Whether this way past the library is seen for the first time.
fn is_new(import: &Import) -> bool {
    static SEEN: Lock<BTreeSet<Import>> = Lock::new(BTreeSet::new());
    SEEN.lock().insert(import.clone())
}

/// Counts a call past the library, and says the first.
fn report(function: &CStr, caller: &str) {
    static SAID: AtomicU32 = AtomicU32::new(0);
    membership::driver_in_use();
    if let Some(joined) = membership::joined() {
        joined.tenant().bypassed(function.to_bytes());
    }
    if SAID.fetch_add(1, Ordering::Relaxed) == 0 {
        let function = function.to_string_lossy();
        let hint = if leads_deep() { "" } else { "; try `missile run --deepbind`" };
        warning!(
            "{function} reached the driver past Missile, called from {caller}: what it does is not governed{hint}"
        );
    }
}
