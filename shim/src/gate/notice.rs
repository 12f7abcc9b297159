//! Notice: what a latency-sensitive copy tells the kernels that copy past the engine, for them to rest meanwhile.
//!
//! Such a kernel hardly delays a small copy, but takes half of the bus from a large one: on an H200 16 MiB took 646 us
//! beside one instead of 319. So whoever is about to copy says how much ([`region::Notice`]), and the kernel rests for as
//! long as that takes at the pace that it had itself. Nothing is said at the end, so nobody waits for anybody.

use super::Place;
use super::idle::is_next_to_run;
use crate::life::Joined;
use crate::{captures, real};
use abi::cuda::*;
use region::{Bus, Notice};
use units::Bytes;

/// Smaller copies do not gain what the others lose by it.
const LEAST: Bytes = Bytes::kib(256);

/// What a copy has to tell of itself, if it has to.
pub(super) fn due(bus: &Bus, bytes: Bytes, place: Place) -> Option<Notice> {
    let tells = bytes >= LEAST && !matches!(place, Place::Batch) && bus.is_ferried();
    tells.then(|| bus.new_notice(bytes))
}

/// Gives notice of a copy that is about to be handed to the driver, now or when its stream comes to it.
pub(super) fn give(joined: &Joined, bus: &Bus, notice: Notice, place: Place) {
    match place {
        Place::Stream(stream) if captures::may_go_on(stream) => {}
        Place::Stream(stream) if !is_next_to_run(stream) => {
            put(joined, bus, stream, notice);
        }
        Place::Thread | Place::Stream(_) => bus.give(notice),
        Place::Batch => {}
    }
}

/// Has the stream give notice, if the header was mapped for the GPU when a context was new.
pub(super) fn put(joined: &Joined, bus: &Bus, stream: CUstream, notice: Notice) -> Option<()> {
    let (word, write) = ((*joined.header.get()?)?.device(bus.notice_word()), real::cuStreamWriteValue32_v2.get()?);
    // SAFETY: the caller's stream; the word lies in pages registered with the driver. If it is refused, nothing is said.
    unsafe { write(stream, word, notice.word(), CU_STREAM_WRITE_VALUE_DEFAULT) };
    Some(())
}
