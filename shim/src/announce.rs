//! Which objects of VRAM are a program's allocations, and which of them are to be coloured.
//!
//! A hook announces a governed allocation before it calls the driver, and settles it afterwards. What the driver makes
//! meanwhile on this thread is marked: the object of the size asked for, or all objects where the driver fills a pool.
//! Anything else that it makes then, or at any other time, is its own.

use crate::decision::{Decision, Why};
use crate::handles::ObjectId;
use crate::kernel::Wish;
use crate::life::{self, Joined};
use crate::log::debug;
use crate::{fault, gpus, pager, proof, room};
use std::cell::Cell;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use units::{Bytes, DeviceVa};

/// What a governed allocation asks for, and so which objects made during it are its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// The least that its object has.
    pub(crate) least: Bytes,
    /// Less than this it has.
    pub(crate) below: Bytes,
    /// What the driver takes is for later allocations too: any number of objects, of any size that may be coloured.
    pub(crate) pooled: bool,
}

impl Asked {
    /// One object of just this size, but for the driver's rounding.
    pub(crate) fn exactly(bytes: Bytes) -> Asked {
        Asked { least: bytes, below: bytes.saturating_add(Bytes::mib(2)), pooled: false }
    }
}

#[derive(Clone, Copy)]
enum Call {
    /// No governed allocation is under way on this thread.
    None,
    /// One is; objects of its size are to be coloured.
    Open(Asked),
    /// One is, and the driver has made its object: the client, and the handle there.
    Made(ObjectId),
    /// One is whose objects stay as they are, and are counted; the last that was made.
    Left(Option<ObjectId>),
    /// The pager's own, to try itself on.
    Proof,
}

thread_local! {
    static CALL: Cell<Call> = const { Cell::new(Call::None) };
}

/// How much the program asked for at each address that `cuMemAlloc` gave it.
static ASKED: Mutex<Option<HashMap<DeviceVa, Bytes>>> = Mutex::new(None);

/// A governed allocation under way on this thread.
pub(crate) struct Announced {
    asked: Asked,
}

/// Allocations smaller than this are many; the driver takes them from what it has, and nothing is kept of them.
fn least_kept(joined: &Joined) -> Bytes {
    joined.settings.color_min.min(Bytes::mib(2))
}

/// Announces that this thread is about to ask the driver for memory, which may be refused colours for a reason that the
/// caller knows.
pub(crate) fn announce(asked: Asked, not: Option<Why>) -> Announced {
    fault::on_purpose("panic-announce");
    let decision = match not {
        Some(why) => Decision::PassThrough(why),
        None => wanted(&asked),
    };
    CALL.set(match decision {
        Decision::Govern(()) => Call::Open(asked),
        Decision::PassThrough(why) => {
            life::passed(why);
            debug!("{} stay uncoloured: {why:?}", asked.least);
            let kept = life::joined().is_some_and(|joined| asked.least >= least_kept(joined));
            if kept || asked.pooled { Call::Left(None) } else { Call::None }
        }
    });
    Announced { asked }
}

fn wanted(asked: &Asked) -> Decision<()> {
    let Some(joined) = life::joined() else { return Decision::PassThrough(Why::NotJoined) };
    if fault::has_failed() {
        return Decision::PassThrough(Why::Fault);
    }
    let settings = &joined.settings;
    let too_small = !asked.pooled && asked.least < settings.color_min;
    if too_small || settings.color_max.is_some_and(|most| asked.least > most) {
        return Decision::PassThrough(Why::OutsideSizes);
    }
    if pager::has_stopped() {
        return Decision::PassThrough(Why::ColoringOff);
    }
    let Some(gpu) = gpus::current(joined) else { return Decision::PassThrough(Why::Unproven) };
    // Where nothing can be coloured, that is said as the memory is mapped. Asked only until the proof is given: it takes
    // a lock, and pools are asked for memory often.
    if !proof::is_given(gpu) && !gpus::may_color(joined, gpu) {
        return Decision::Govern(());
    }
    match proof::give(joined, gpu).and_then(|()| room::for_donors(asked.least)) {
        Ok(()) => Decision::Govern(()),
        Err(why) => Decision::PassThrough(why),
    }
}

impl Announced {
    /// The driver answered; keeps what was asked for at `va`, if it is an allocation of its own.
    pub(crate) fn settle(self, va: Option<DeviceVa>) {
        let call = CALL.replace(Call::None);
        let (Some(va), Some(joined)) = (va, life::joined()) else { return };
        fault::on_purpose("panic-settle");
        if self.asked.pooled {
            return;
        }
        if let Call::Open(_) = call {
            // The driver had memory at hand.
            joined.tenant().passed.count(Why::NotOneObject);
        }
        if self.asked.least >= least_kept(joined) {
            let mut asked = ASKED.lock().unwrap_or_else(PoisonError::into_inner);
            asked.get_or_insert_default().insert(va, self.asked.least);
        }
    }
}

/// The driver freed the allocation at `va`.
pub(crate) fn freed(va: DeviceVa) {
    let mut asked = ASKED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(asked) = asked.as_mut() {
        asked.remove(&va);
    }
}

/// How many bytes the program asked for at `va`, which is where an allocation of `cuMemAlloc` begins.
pub(crate) fn asked_for(va: DeviceVa) -> Option<Bytes> {
    ASKED.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.get(&va).copied()
}

/// Has the objects that `alloc` makes on this thread given to [`proof`].
pub(crate) fn prove_on<T>(alloc: impl FnOnce() -> T) -> T {
    let call = CALL.replace(Call::Proof);
    let made = alloc();
    CALL.set(call);
    made
}

/// The object that the driver made in the governed allocation under way on this thread.
pub(crate) fn made_here() -> Option<ObjectId> {
    match CALL.get() {
        Call::Made(object) => Some(object),
        Call::Left(object) => object,
        Call::None | Call::Open(_) | Call::Proof => None,
    }
}

/// The driver made an object of VRAM: what becomes of it, and whether it is a pool's.
pub(crate) fn object_made(object: ObjectId, size: Bytes) -> (Wish, bool) {
    let call = CALL.get();
    let wish = match call {
        Call::Open(asked) if asked.pooled => {
            let least = life::joined().map_or(Bytes::ZERO, |joined| joined.settings.color_min);
            if size >= least { Wish::Color } else { Wish::Stock }
        }
        Call::Open(asked) if (asked.least..asked.below).contains(&size) => {
            CALL.set(Call::Made(object));
            Wish::Color
        }
        Call::Left(_) => {
            CALL.set(Call::Left(Some(object)));
            Wish::Stock
        }
        Call::Proof => Wish::Proof,
        Call::None | Call::Open(_) | Call::Made(_) => Wish::NotOurs,
    };
    if let (Wish::Color | Wish::Stock, Some(joined)) = (wish, life::joined()) {
        pager::count_uncolored(joined, size);
        room::taken(size);
    }
    (wish, matches!(call, Call::Open(Asked { pooled: true, .. })))
}
