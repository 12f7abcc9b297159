//! The engines that channel groups take turns on.

use super::Shared;
use super::board::Board;
use super::clock::now;
use super::group::Group;
use super::kernels::Table;
use super::turns::{Costs, Entry};
use crate::spec::GpuSpec;
use abi::groups::{ENGINE_COPY0, ENGINE_GR0};
use units::Nanos;

/// `NV2080_ENGINE_TYPE_…` of the copy engines that are modelled: from the host to the device, and back.
pub(crate) const TO_DEVICE: u32 = ENGINE_COPY0 + 2;
pub(crate) const TO_HOST: u32 = ENGINE_COPY0 + 3;

/// Time for which a process vouches for its groups; a killed one counts for no longer.
const LEASE: Nanos = Nanos::from_millis(50);
/// Time between two looks of a thread that waits, so that leases are renewed in time.
pub(super) const LOOK: Nanos = Nanos::from_millis(15);

/// An engine, as one process uses it.
#[derive(Clone, Copy)]
pub(crate) struct Engine<'a> {
    pub(super) board: &'a Board,
    pub(super) costs: Costs,
    pub(super) slot: usize,
    /// The kernels that run, on the engine that runs them.
    kernels: Option<&'a Table>,
}

impl<'a> Engine<'a> {
    /// The engine on which a group takes turns. There is none for the MPS server's group, all of whose kernels run at the
    /// same time, and for engines that nothing goes through in the simulation.
    pub(crate) fn of(timing: &'a Shared, slot: usize, spec: &GpuSpec, group: &Group) -> Option<Self> {
        let (copy, graphics) = costs(spec);
        Some(match group.engine {
            _ if group.is_shared => return None,
            ENGINE_GR0 => Engine { board: &timing.graphics, costs: graphics, slot, kernels: Some(&timing.kernels) },
            TO_DEVICE => Engine { board: &timing.to_device, costs: copy, slot, kernels: None },
            TO_HOST => Engine { board: &timing.to_host, costs: copy, slot, kernels: None },
            _ => return None,
        })
    }

    /// Notes that the group has another slice.
    pub(crate) fn slice_changed(&self, group: &Group) {
        let now = now();
        self.board.change(self.slot, |state| {
            // Without work on the engine there is nothing to change: work brings the group's slice with it.
            if state.entry(group.key).is_some() {
                state.set_slice(group.key, group.slice(), now, &self.costs);
            }
        });
        self.tell();
    }

    /// Notes that the group was stopped, `gently` if its turn may end first, or let go.
    pub(crate) fn stop_changed(&self, group: &Group, gently: bool) {
        let now = now();
        self.board.change(self.slot, |state| {
            if state.entry(group.key).is_some() {
                state.stop(group.key, group.is_stopped(), gently, now, &self.costs);
            }
        });
        self.tell();
    }

    /// Tells everybody who waits that something happens earlier than it looked.
    pub(super) fn tell(&self) {
        self.board.tell();
        if let Some(kernels) = self.kernels {
            kernels.changed();
        }
    }

    /// The entry that the group brings with its work. To be asked for while the state is changed: a slice or a stop that is noted
    /// later then finds the work.
    pub(super) fn entry_of(group: &Group, now: Nanos) -> Entry {
        let (slice, stopped) = (group.slice(), group.is_stopped());
        Entry { key: group.key, slice, stopped, lease: now + LEASE, ..Entry::default() }
    }

    /// Vouches for a group's work for a while longer, if that is due.
    pub(super) fn renew(&self, group: &Group, lease: Nanos, now: Nanos) {
        if lease < now + LOOK + LOOK {
            self.board.change(self.slot, |state| {
                if let Some(entry) = state.entry(group.key) {
                    entry.lease = entry.lease.max(now + LEASE);
                }
            });
        }
    }
}

/// The cost of a switch on a copy engine and on GR0.
fn costs(spec: &GpuSpec) -> (Costs, Costs) {
    let micros = |us: f64| Nanos::new((us * 1e3) as u64);
    let turns = &spec.turns;
    let graphics = micros(turns.graphics_switch_us);
    let copy = Costs { switch: micros(turns.copy_switch_us), preempt: micros(turns.copy_preempt_us) };
    (copy, Costs { switch: graphics, preempt: graphics })
}
