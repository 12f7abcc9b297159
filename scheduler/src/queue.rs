//! The fair queue of one direction of a bus, as plain arithmetic: no clock, no memory shared with anyone.
//!
//! Each tenant has a virtual time: the bytes it was given, divided by its weight. Of those that wait, the one with the
//! least virtual time goes next, so that tenants that always wait are given bytes in proportion to their weights. A
//! tenant that starts to wait starts no earlier than the least of those who wait already: having slept is no credit.
//! A tenant that copies back to back is away for a moment between two copies. Who is expected back at once keeps its
//! virtual time, and while it is owed more than whoever waits, nobody else is let go: else those with larger copies would
//! fill every such moment with a piece, and the weights would count for nothing. That is the only time that the bus
//! idles while somebody waits, and it lasts only as long as the caller says that the tenant is expected.
//! A tenant whose piece is on the bus counts as expected too, as it usually wants the next one: where a piece leaves early,
//! to follow the one on the bus, that may be another of the same tenant's, and nobody else's while that tenant is owed
//! more. Else two tenants would take the place behind each other's pieces in turn, and get as many pieces instead of as
//! many bytes as they have weight. So who leaves early is who would have left anyway, unless somebody comes meanwhile.
//! Latency-sensitive tenants go before best-effort ones, and while one of them has a copy in service nothing
//! best-effort is let go at all. Each class has its own virtual time, so that neither can run up credit in the other.

use region::Class;
use units::Bytes;

/// Fractional bits of virtual time. With 20 of them the largest weight (10,000) still divides a byte into more than a
/// hundred steps.
const FRACTION_BITS: u32 = 20;

/// Bytes over weight, in fixed point. 128 bits wide: a tenant of weight 1 that is given 2^40 bytes a second takes
/// longer than the universe is old to reach the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct VirtualTime(u128);

impl VirtualTime {
    /// What `bytes` cost a tenant of this weight. Rounded up: a piece is then never free, whatever the weight, and the
    /// error, less than 2^-20 byte a piece, is borne by the one who got the piece instead of by those who wait.
    pub fn cost(bytes: Bytes, weight: u32) -> Self {
        VirtualTime((u128::from(bytes.get()) << FRACTION_BITS).div_ceil(u128::from(weight.max(1))))
    }

    fn after(self, cost: VirtualTime) -> Self {
        VirtualTime(self.0.saturating_add(cost.0))
    }
}

/// What one tenant wants of this direction of the bus, in pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// The tenant's index.
    pub tenant: usize,
    /// What it is to the others.
    pub class: Class,
    /// Its weight among its class; 0 counts as 1.
    pub weight: u32,
    /// Pieces that wait to be let go.
    pub waiting: u32,
    /// Pieces let go and not done.
    pub flying: u32,
    /// Pieces that wait, fly, or are being copied without having waited.
    pub pending: u32,
    /// Whether a tenant that wants nothing is about to.
    pub expected: bool,
}

impl Want {
    fn is_present(&self) -> bool {
        self.waiting > 0 || self.flying > 0 || self.pending > 0
    }
}

#[derive(Clone, Copy, Debug)]
struct Account {
    time: VirtualTime,
    weight: u32,
    /// The class in which the tenant wants something now.
    present: Option<Class>,
    /// Whether the latest call named it as present.
    named: bool,
    /// The class in which the latest call expected it back.
    expected: Option<Class>,
}

const NEW: Account = Account { time: VirtualTime(0), weight: 1, present: None, named: false, expected: None };

/// The fair queue of one direction of a bus.
#[derive(Clone, Debug)]
pub struct FairQueue {
    accounts: Vec<Account>,
    /// For each class, the least virtual time of those present; where nobody is, the last such.
    floors: [VirtualTime; 2],
}

impl FairQueue {
    /// A queue for tenants with indices below `tenants`.
    pub fn new(tenants: usize) -> Self {
        FairQueue { accounts: vec![NEW; tenants], floors: [VirtualTime(0); 2] }
    }

    /// Which tenant gets one more piece now, with at most `in_flight_limit` pieces of all tenants flying at a time.
    ///
    /// `wants` names every tenant once; one that it does not name, or that wants nothing, counts as asleep. The caller
    /// lets the piece go, [charges](FairQueue::charge) it and asks again. A tenant whose index is too large is never
    /// chosen.
    pub fn next(&mut self, wants: &[Want], in_flight_limit: u32) -> Option<usize> {
        self.note_who_is_present(wants);
        let flying: u64 = wants.iter().map(|want| u64::from(want.flying)).sum();
        if flying >= u64::from(in_flight_limit) {
            return None;
        }
        let ls_in_service = wants.iter().any(|want| want.class == Class::Ls && want.is_present());
        let (time, tenant, class) = wants
            .iter()
            .filter(|want| want.waiting > 0 && (want.class == Class::Ls || !ls_in_service))
            .filter_map(|want| self.accounts.get(want.tenant).map(|account| (account.time, want.tenant, want.class)))
            .min_by_key(|&(time, tenant, _)| (time, tenant))?;
        let is_owed_more = |account: &Account| account.expected == Some(class) && account.time < time;
        (!self.accounts.iter().any(is_owed_more)).then_some(tenant)
    }

    /// Charges the tenant, at the weight it last wanted with, for bytes that it was let go.
    pub fn charge(&mut self, tenant: usize, bytes: Bytes) {
        if let Some(account) = self.accounts.get_mut(tenant) {
            account.time = account.time.after(VirtualTime::cost(bytes, account.weight));
        }
    }

    /// Forgets a tenant, so that another may have its index.
    pub fn forget(&mut self, tenant: usize) {
        if let Some(account) = self.accounts.get_mut(tenant) {
            *account = NEW;
        }
    }

    /// The virtual time of a class: where a newcomer starts. Never goes back.
    pub fn virtual_time(&self, class: Class) -> VirtualTime {
        self.floors[class_index(class)]
    }

    fn note_who_is_present(&mut self, wants: &[Want]) {
        let mut least: [Option<VirtualTime>; 2] = [None; 2];
        for want in wants.iter().filter(|want| want.is_present()) {
            let Some(account) = self.accounts.get_mut(want.tenant) else { continue };
            (account.named, account.weight) = (true, want.weight.max(1));
            if account.present == Some(want.class) {
                let least = &mut least[class_index(want.class)];
                *least = Some(least.map_or(account.time, |time| time.min(account.time)));
            }
        }
        for (floor, least) in self.floors.iter_mut().zip(least) {
            // Those present are never behind the floor, as they start at it; `max` keeps that true by itself.
            *floor = least.map_or(*floor, |least| least.max(*floor));
        }
        for want in wants.iter().filter(|want| want.is_present()) {
            let Some(account) = self.accounts.get_mut(want.tenant) else { continue };
            if account.present != Some(want.class) {
                account.present = Some(want.class);
                if account.expected != Some(want.class) {
                    account.time = account.time.max(self.floors[class_index(want.class)]);
                }
            }
        }
        for account in &mut self.accounts {
            // Whoever is neither here nor expected comes back as a newcomer.
            account.expected = None;
            if !std::mem::take(&mut account.named) {
                account.present = None;
            }
        }
        // Who has a piece on the bus will want the next one, whether it waits for that already or not.
        let may_want_more = |want: &&Want| want.flying > 0 || (want.expected && want.pending == 0);
        for want in wants.iter().filter(may_want_more) {
            let Some(account) = self.accounts.get_mut(want.tenant) else { continue };
            account.expected = Some(want.class);
        }
    }
}

fn class_index(class: Class) -> usize {
    match class {
        Class::Ls => 0,
        Class::Be => 1,
    }
}
