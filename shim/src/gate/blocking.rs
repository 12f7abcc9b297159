//! Copies that block their thread: they wait on it.

use super::{BLOCKING_LANE, Copy, How, Place, Turn, consider, turn_of};
use crate::cut::Part;
use crate::traffic::Traffic;
use crate::{fault, watchdog};
use abi::cuda::{CUDA_SUCCESS, CUresult};
use region::{Lane, Waited};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long a blocking copy waits for leave before it goes without.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// A copy that blocks its thread. `copy` hands a part to the driver, or with none what the caller asked for.
pub(crate) fn blocking(traffic: Traffic, copy: impl FnMut(Option<Part>) -> CUresult) -> CUresult {
    let mut copy = Copy::new(traffic.extent(), copy);
    if let Some(How::InTurn(turn)) = consider(|| turn_of(traffic, Place::Thread)) {
        fault::shielded(|| turn.take_blocking(&mut copy));
    }
    copy.rest()
}

/// A copy's last ticket. However the copy ends, nobody waits for what does not come.
struct Tickets<'a> {
    lane: &'a Lane,
    last: u32,
    completed: bool,
}

impl Drop for Tickets<'_> {
    fn drop(&mut self) {
        if !self.completed {
            self.lane.open_all();
            self.lane.finish(self.last);
        }
    }
}

impl Turn {
    fn take_blocking(&self, copy: &mut Copy<impl FnMut(Option<Part>) -> CUresult>) {
        // Blocking copies of other threads take their turn behind this one, as on the bus itself.
        let _order = self.order(BLOCKING_LANE).lock().unwrap_or_else(PoisonError::into_inner);
        let lane = self.lane(BLOCKING_LANE);
        let (first, last) = self.take_tickets(lane);
        let mut tickets = Tickets { lane, last, completed: false };
        lane.ask(last);
        self.ring();
        watchdog::look_soon();
        fault::on_purpose("panic-copy");
        copy.cut(self.parts);
        let mut gated = self.waits();
        for piece in 0..self.count() {
            let ticket = first.wrapping_add(piece);
            if gated {
                gated = self.wait(lane, ticket);
            }
            if copy.next() != CUDA_SUCCESS {
                return;
            }
            lane.finish(ticket);
        }
        tickets.completed = true;
    }

    /// Waits for leave; false where the arbiter gave none in time, so that the rest of the copy goes without.
    fn wait(&self, lane: &Lane, ticket: u32) -> bool {
        let start = Instant::now();
        let waited = lane.wait(ticket, LONGEST_WAIT);
        self.joined.tenant().copy_wait.record(start.elapsed().as_micros() as u64);
        if waited == Waited::TimedOut {
            self.joined.tenant().gate_timeouts.fetch_add(1, Ordering::Relaxed);
            lane.open_all();
        }
        waited == Waited::Granted
    }
}
