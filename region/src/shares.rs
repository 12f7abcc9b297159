//! Each tenant's share of the machine's map budget, as arithmetic. Every tenant computes it for itself, so it stands here.

use crate::terms::SLOTS;

/// A way to share the budget: half of it is set aside in equal shares, the other half goes to those that come first.
///
/// Up to [`Shares::guaranteed`] maps a tenant is refused nothing, whatever the others do, as long as no more tenants are
/// there than shares. Past that it may grow while the shares of all others stay free, also of those that did not come
/// yet. Then what all hold past their shares, with all shares on top, is within the budget, and so is what all hold.
/// With more tenants than shares the budget still holds, but a tenant may come to find it used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// The number of maps that all tenants together may hold.
    pub budget: u64,
    /// The number of tenants with a share, 1 to [`SLOTS`]; other numbers count as the nearest of these.
    pub tenants: u64,
}

impl Shares {
    /// The number of maps that each tenant may hold in any case: rounded down, so that all shares are at most half the budget.
    pub fn guaranteed(&self) -> u64 {
        self.budget / (2 * self.tenants())
    }

    /// Whether a tenant may hold `own` maps beside the others, of which each holds one of `others`.
    pub fn admit(&self, own: u64, others: impl IntoIterator<Item = u64>) -> bool {
        let (mut held, mut sum, mut past) = (1, own, self.past_share(own));
        for maps in others {
            held += 1;
            sum = sum.saturating_add(maps);
            past = past.saturating_add(self.past_share(maps));
        }
        match own <= self.guaranteed() {
            // The sum of as few cannot be too high, but for somebody who is about to be refused, or lies.
            true => held <= self.tenants() || sum <= self.budget,
            false => self.leaves_free(past, self.tenants().max(held)),
        }
    }

    /// Whether all shares are free beside what the tenants hold past theirs, of which each holds one of `held`. Charges
    /// keep it so; a budget that was shared differently when they were made may not.
    pub fn cover(&self, held: impl IntoIterator<Item = u64>) -> bool {
        let past = held.into_iter().map(|maps| self.past_share(maps)).fold(0, u64::saturating_add);
        self.leaves_free(past, self.tenants())
    }

    fn leaves_free(&self, past: u64, shares: u64) -> bool {
        self.guaranteed().saturating_mul(shares).saturating_add(past) <= self.budget
    }

    fn past_share(&self, maps: u64) -> u64 {
        maps.saturating_sub(self.guaranteed())
    }

    fn tenants(&self) -> u64 {
        self.tenants.clamp(1, SLOTS as u64)
    }
}
