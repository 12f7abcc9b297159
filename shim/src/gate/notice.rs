//! Notice: what a latency-sensitive copy tells the kernels that copy past the engine, for them to rest meanwhile.
//!
//! Such a kernel hardly delays a small copy, but takes half of the bus from a large one: on an H200 16 MiB took 646 us
//! beside one instead of 319. So whoever is about to copy says how much ([`region::Notice`]), and the kernel rests for as
//! long as that takes at the pace that it had itself. Nothing is said at the end, so nobody waits for anybody.

use super::Place;
use super::stream::is_next_to_run;
use crate::life::Joined;
use crate::{captures, real};
use abi::cuda::*;
use region::{Bus, Notice};
use units::Bytes;

/// Smaller copies do not gain what the others lose by it.
const LEAST: Bytes = Bytes::kib(256);

/// Gives notice of a copy that is about to be handed to the driver, now or when its stream comes to it.
pub(super) fn give(joined: &Joined, bus: &Bus, bytes: Bytes, place: Place) {
    if bytes < LEAST || !bus.is_ferried() {
        return;
    }
    match place {
        Place::Thread => bus.give(bus.new_notice(bytes)),
        Place::Stream(stream) if captures::may_go_on(stream) => {}
        Place::Stream(stream) if is_next_to_run(stream) => bus.give(bus.new_notice(bytes)),
        Place::Stream(stream) => {
            put(joined, bus, stream, bus.new_notice(bytes));
        }
        Place::Batch => {}
    }
}

/// Has the stream give notice, if the header was mapped for the GPU when a context was new.
fn put(joined: &Joined, bus: &Bus, stream: CUstream, notice: Notice) -> Option<()> {
    let (word, write) = ((*joined.header.get()?)?.device(bus.notice_word()), real::cuStreamWriteValue32_v2.get()?);
    // SAFETY: the caller's stream; the word lies in pages registered with the driver. If it is refused, nothing is said.
    unsafe { write(stream, word, notice.word(), CU_STREAM_WRITE_VALUE_DEFAULT) };
    Some(())
}
