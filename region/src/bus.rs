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

/// What a latency-sensitive copy that is about to begin tells the kernels that copy past the copy engine, for them to rest
/// meanwhile: a number in the upper 12 bits, which makes it differ from the last notice, and the copy's size in KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice(u32);

impl Notice {
    const KIB_BITS: u32 = 20;

    fn new(number: u32, bytes: Bytes) -> Self {
        let kib = bytes.get().div_ceil(1024).min((1 << Self::KIB_BITS) - 1);
        Notice(number << Self::KIB_BITS | kib as u32)
    }

    /// The word that says it.
    pub const fn word(self) -> u32 {
        self.0
    }

    /// The size that it tells.
    pub const fn bytes(self) -> Bytes {
        Bytes::kib((self.0 & ((1 << Self::KIB_BITS) - 1)) as u64)
    }
}

/// One direction of a GPU's bus. Written by the arbiter, but for the notices.
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
    /// 1 while best-effort copies go past the copy engine here, to whose kernels latency-sensitive ones give notice.
    ferried: AtomicU32,
    /// How many notices were given. Counted up by latency-sensitive tenants.
    notices: AtomicU32,
    /// The last [`Notice`]. Written by latency-sensitive tenants and their streams, one over the other; read by kernels.
    notice: AtomicU32,
    reserved: u32,
}

#[cfg(not(loom))]
const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<Bus>() == 40 && offset_of!(Bus, piece_bytes) == 8 && offset_of!(Bus, bytes) == 16);
    assert!(offset_of!(Bus, ferried) == 24 && offset_of!(Bus, notices) == 28 && offset_of!(Bus, notice) == 32);
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
            ferried: AtomicU32::new(0),
            notices: AtomicU32::new(0),
            notice: AtomicU32::new(0),
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

    /// Whether best-effort copies go past the copy engine here.
    pub fn is_ferried(&self) -> bool {
        self.ferried.load(Ordering::Relaxed) == 1
    }

    /// Arbiter: writes whether best-effort copies go past the copy engine.
    pub fn set_ferried(&self, ferried: bool) {
        write(&self.ferried, ferried.into());
    }

    /// Latency-sensitive tenant: the notice of a copy that is about to begin, to be given now or by its stream.
    pub fn new_notice(&self, bytes: Bytes) -> Notice {
        Notice::new(self.notices.fetch_add(1, Ordering::Relaxed).wrapping_add(1), bytes)
    }

    /// How many notices were made; counts on from 0 after 2^32.
    pub fn notices(&self) -> u32 {
        self.notices.load(Ordering::Relaxed)
    }

    /// Latency-sensitive tenant: gives notice now.
    pub fn give(&self, notice: Notice) {
        self.notice.store(notice.word(), Ordering::Relaxed);
    }

    /// Where the last notice lies, for streams to write and kernels to read.
    pub const fn notice_word(&self) -> *const u32 {
        (&raw const self.notice).cast()
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
    fn a_notice_tells_the_size_of_a_copy_and_differs_from_the_one_before() {
        let bus = Bus::unused();
        let said = [Bytes::new(1), Bytes::mib(2), Bytes::mib(2), Bytes::gib(5)].map(|bytes| bus.new_notice(bytes));
        assert_eq!(said.map(Notice::bytes), [Bytes::kib(1), Bytes::mib(2), Bytes::mib(2), Bytes::kib((1 << 20) - 1)]);
        assert_ne!(said[1], said[2]);
        bus.give(said[2]);
        assert_eq!(bus.notice.load(Ordering::Relaxed), said[2].word());
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
