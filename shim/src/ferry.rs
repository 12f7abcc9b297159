//! Copies by a kernel of a few blocks instead of the copy engine: how a best-effort tenant leaves the engine to a
//! latency-sensitive one and still uses the rest of the bus.
//!
//! The copy engine serves whole commands, so beside it a small copy waits for pieces, and small pieces cost the bus a
//! third of its rate. The loads of an SM meet the engine's on the bus itself, where a few of them hardly delay it: on an
//! H200 a 256 KiB copy took 25 to 33 us at p99 beside two such blocks that moved 49 GB/s, 22 us alone, and 746 us beside
//! the engine at 54 GB/s (docs/decisions/020). Only towards the device: what SMs write to the host clogs the bus.
//!
//! Only beside latency-sensitive tenants whose copies are small and that launch no kernels: others would feel it
//! (docs/decisions/024).
//!
//! It must never be told from the copy engine by what a program sees of its copies, and above all never hang where the
//! engine would not have: a kernel waits where others fill every SM. So the kernel runs in a stream of the library's own
//! ([`berth`], of which each context has one: [`harbor`]), the program's stream only waits for its answer, and where it
//! does not begin in time the engine does the copy instead ([`rescue`]) and this process stays with the engine. Beside
//! that: only large copies, one at a time, of streams that are idle; of memory that the driver says is pinned and mapped as
//! a whole ([`memory`]); and only under MPS, where kernels of two processes run side by side.

mod berth;
mod harbor;
mod kernel;
mod memory;
mod rescue;

pub(crate) use harbor::{context_gone, primary_released};
pub(crate) use rescue::{is_under_way, look, stand_aside};

use crate::life::Joined;
use crate::traffic::Span;
use crate::{captures, gate, watchdog};
use abi::cuda::*;
use berth::{Cargo, Line};
use memory::Current;
use region::{Class, Direction, Lane};
use settings::CopyChoice;
use std::ffi::c_void;
use units::Bytes;

/// Smaller copies take longer this way than in turn: asking and answering costs about 10 us.
const LEAST: Bytes = Bytes::mib(2);

/// What a copy from the host to a device has to say for itself.
#[derive(Clone, Copy)]
pub(crate) struct Crossing {
    pub(crate) to: Span,
    pub(crate) from: *const c_void,
    pub(crate) stream: CUstream,
    pub(crate) gpu: usize,
}

/// Readies the current context, which is new; `primary` says that it is its device's.
pub(crate) fn prepare(joined: &Joined, primary: bool) -> Option<()> {
    if joined.settings.copies != CopyChoice::On || joined.settings.class != Class::Be {
        return None;
    }
    let current = Current::get()?;
    if !memory::is_shared(current.device) || !harbor::has_queues() || !rescue::is_manned() {
        return None;
    }
    harbor::open(&current, primary)
}

/// Puts the copy in the stream's way; `None` where it has to go another way, in which case nothing was put there.
pub(crate) fn take(joined: &Joined, crossing: Crossing) -> Option<()> {
    let Crossing { to, from, stream, gpu } = crossing;
    let (dst, src) = (to.start.get(), from as u64);
    let fits = to.len >= LEAST && dst.is_multiple_of(kernel::UNIT) && src.is_multiple_of(kernel::UNIT);
    if !fits || joined.settings.copies != CopyChoice::On || !watchdog::runs() {
        return None;
    }
    // A stream that waits for its turn holds one of the device's queues, which the kernel might come to stand in.
    if Direction::ALL.iter().any(|&way| joined.slot().lanes(gpu, way).iter().any(Lane::is_outstanding)) {
        return None;
    }
    let departs = rescue::departs()?;
    if captures::may_go_on(stream) {
        return None;
    }
    let current = Current::get()?;
    let harbor = harbor::of(&current)?;
    if !current.has(stream) || !memory::is_own(dst, &current) || !gate::is_all_there(to) {
        return None;
    }
    let cargo = Cargo { to: dst, from, mapped: memory::pinned(src, to.len)?, bytes: to.len };
    let line = Line { stream, number: memory::number_of(stream)? };
    let mut berth = rescue::glance(&harbor.berth)?;
    let _departs = departs.still()?;
    berth.load(line, cargo)?;
    watchdog::look_soon();
    Some(())
}
