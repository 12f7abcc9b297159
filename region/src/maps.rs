//! The machine's budget of UVM maps.
//!
//! The kernel has 524,288 handles for the maps of all processes together, and a process that takes the last one breaks
//! every other. Each tenant counts its own maps in its own slot; a charge is added first and checked afterwards
//! against the sum of all slots, so two tenants that charge at once may both be refused but never both go over. There
//! is no common counter to repair: the dead tenant's count goes with its slot.

use crate::Layout;
use crate::sync::Ordering;

/// The budget has no room for the maps asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapBudgetExceeded;

impl Layout {
    /// Maps that all tenants hold.
    pub fn maps_used(&self) -> u64 {
        self.slots.iter().map(|slot| slot.tenant.maps.load(Ordering::SeqCst)).fold(0, u64::saturating_add)
    }

    /// Tenant: charges `maps` to the tenant of `slot`.
    pub fn charge_maps(&self, slot: usize, maps: u64) -> Result<(), MapBudgetExceeded> {
        let own = &self.slots[slot].tenant.maps;
        own.fetch_add(maps, Ordering::SeqCst);
        if self.maps_used() <= self.header.map_budget.load(Ordering::Relaxed) {
            return Ok(());
        }
        own.fetch_sub(maps, Ordering::SeqCst);
        Err(MapBudgetExceeded)
    }

    /// Tenant: gives `maps` of its own back.
    pub fn return_maps(&self, slot: usize, maps: u64) {
        self.slots[slot].tenant.maps.fetch_sub(maps, Ordering::SeqCst);
    }
}
