//! One tenant's place in the region.

use crate::activity::Activity;
use crate::claim::{Claim, Tenure};
use crate::orders::Orders;
use crate::requests::Requests;
use crate::shared::shared;
use crate::tenant::Tenant;

shared! {
    /// One tenant's place. It belongs to the process that holds the lock of the slot's byte ([`crate::Hold`]).
    pub struct Slot: 8192, align 4096 => {
        /// The holder's tenure.
        0 pub(crate) claim: Claim,
        /// The tenant's description of itself.
        8 pub tenant: Tenant,
        /// Whether it has work on a GPU.
        896 pub activity: Activity,
        /// The requests that it finished.
        1024 pub requests: Requests,
        /// The arbiter's orders to it.
        4096 pub orders: Orders,
    }
}

impl Slot {
    /// The tenure of the slot, as its holder wrote it.
    pub fn tenure(&self) -> Option<Tenure> {
        self.claim.tenure()
    }

    /// The process that has the slot, as it numbers itself.
    pub fn pid(&self) -> Option<u32> {
        self.tenure().map(Tenure::pid)
    }

    /// Under the slot's lock: begins a tenure in place of one whose image is gone.
    pub(crate) fn begin(&self, pid: u32) -> Tenure {
        self.tenant.clear();
        self.activity.clear();
        self.requests.clear();
        self.claim.take(pid)
    }

    /// Arbiter, under the slot's lock: ends the tenure of an image that is gone, with all that it held.
    pub(crate) fn end(&self) {
        self.tenant.clear();
        self.activity.clear();
        self.requests.clear();
        self.orders.clear();
        self.claim.free();
    }
}
