//! One direction of a GPU's bus, as the arbiter describes it to those who copy.

use crate::sync::{AtomicU32, AtomicU64, Ordering};
use units::Bytes;

/// Who uses a direction of a bus, and so how a best-effort copy has to go about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Regime {
    /// At most one best-effort tenant: copies go whole, at once.
    Free,
    /// Latency-sensitive tenants, and at most one best-effort one: it has to leave room for them, from its first copy on.
    Yield,
    /// Several best-effort tenants: they take turns.
    Share,
    /// Both.
    ShareAndYield,
}

impl Regime {
    /// All of them.
    pub const ALL: [Regime; 4] = [Regime::Free, Regime::Yield, Regime::Share, Regime::ShareAndYield];

    /// The regime of a direction that so many tenants of each class use.
    pub const fn of(latency_sensitive: usize, best_effort: usize) -> Self {
        match (latency_sensitive, best_effort) {
            (0, 0 | 1) => Regime::Free,
            (0, _) => Regime::Share,
            (_, 0 | 1) => Regime::Yield,
            _ => Regime::ShareAndYield,
        }
    }

    /// Whether best-effort copies take turns among themselves.
    pub const fn shares(self) -> bool {
        matches!(self, Regime::Share | Regime::ShareAndYield)
    }

    /// Whether latency-sensitive copies are to find room.
    pub const fn yields(self) -> bool {
        matches!(self, Regime::Yield | Regime::ShareAndYield)
    }

    /// The word for it in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Regime::Free => "free",
            Regime::Yield => "yield",
            Regime::Share => "share",
            Regime::ShareAndYield => "share_and_yield",
        }
    }
}

/// One direction of a GPU's bus. Written by the arbiter.
#[repr(C)]
pub struct Bus {
    /// [`Regime`], by its place in [`Regime::ALL`].
    regime: AtomicU32,
    /// Traffic of the last second against the busiest second seen, in thousandths.
    pub busy_permille: AtomicU32,
    /// The size in bytes of the pieces that best-effort copies go in where they wait.
    piece_bytes: AtomicU32,
    /// 1 while best-effort copies go in pieces here, for which latency-sensitive ones have to show themselves.
    in_pieces: AtomicU32,
    /// All bytes that tenants moved since the arbiter started.
    pub bytes: AtomicU64,
    /// 1 where best-effort copies may go past the copy engine beside latency-sensitive tenants.
    past_the_engine: AtomicU32,
    reserved: u32,
}

#[cfg(not(loom))]
const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<Bus>() == 32 && offset_of!(Bus, piece_bytes) == 8 && offset_of!(Bus, bytes) == 16);
    assert!(offset_of!(Bus, in_pieces) == 12 && offset_of!(Bus, past_the_engine) == 24);
};

impl Bus {
    /// A direction that nobody used yet, for tests.
    pub fn unused() -> Self {
        Bus {
            regime: AtomicU32::new(0),
            busy_permille: AtomicU32::new(0),
            piece_bytes: AtomicU32::new(0),
            in_pieces: AtomicU32::new(0),
            bytes: AtomicU64::new(0),
            past_the_engine: AtomicU32::new(0),
            reserved: 0,
        }
    }

    /// The regime; a number that means none is as good as free, as copies then wait for nobody.
    #[inline]
    pub fn regime(&self) -> Regime {
        Regime::ALL.get(self.regime.load(Ordering::Relaxed) as usize).copied().unwrap_or(Regime::Free)
    }

    /// Arbiter: writes the regime.
    pub fn set_regime(&self, regime: Regime) {
        write(&self.regime, regime as u32);
    }

    /// The size of a piece. As long as the arbiter has named none, a small one.
    pub fn piece(&self) -> Bytes {
        Bytes::new(u64::from(self.piece_bytes.load(Ordering::Relaxed))).max(Bytes::kib(4))
    }

    /// Arbiter: writes the size of a piece.
    pub fn set_piece(&self, piece: Bytes) {
        write(&self.piece_bytes, u32::try_from(piece.get()).unwrap_or(u32::MAX));
    }

    /// Whether best-effort copies go in pieces here.
    pub fn is_in_pieces(&self) -> bool {
        self.in_pieces.load(Ordering::Relaxed) == 1
    }

    /// Arbiter: writes whether best-effort copies go in pieces.
    pub fn set_in_pieces(&self, in_pieces: bool) {
        write(&self.in_pieces, in_pieces.into());
    }

    /// Whether best-effort copies may go past the copy engine here, beside latency-sensitive tenants.
    pub fn lets_past_the_engine(&self) -> bool {
        self.past_the_engine.load(Ordering::Relaxed) == 1
    }

    /// Arbiter: writes whether best-effort copies may go past the copy engine.
    pub fn set_past_the_engine(&self, lets: bool) {
        write(&self.past_the_engine, lets.into());
    }

    /// Arbiter: writes how busy the direction is, in thousandths.
    pub fn set_busy(&self, permille: u32) {
        write(&self.busy_permille, permille);
    }
}

/// Writes only what changes: tenants read these words at every copy, and an unchanged line stays in their caches.
fn write(word: &AtomicU32, value: u32) {
    if word.load(Ordering::Relaxed) != value {
        word.store(value, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn who_is_there_decides_how_best_effort_copies_go() {
        assert_eq!([(0, 0), (0, 1)].map(|(ls, be)| Regime::of(ls, be)), [Regime::Free; 2]);
        assert_eq!([(1, 0), (3, 0), (1, 1)].map(|(ls, be)| Regime::of(ls, be)), [Regime::Yield; 3]);
        assert_eq!(Regime::of(0, 2), Regime::Share);
        assert_eq!(Regime::of(1, 2), Regime::ShareAndYield);
    }

    #[test]
    fn a_number_that_is_no_regime_holds_nobody_back() {
        let bus = Bus::unused();
        bus.regime.store(77, Ordering::Relaxed);
        assert_eq!(bus.regime(), Regime::Free);
        for (code, regime) in Regime::ALL.into_iter().enumerate() {
            assert_eq!(code, regime as usize);
            bus.set_regime(regime);
            assert_eq!(bus.regime(), regime);
        }
    }
}
