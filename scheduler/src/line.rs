//! The pieces that were let go over one direction of a bus, as they follow one another: which of them is on the bus, since
//! when, and whether the next may follow it by now.
//!
//! From a piece's end to the next leave the bus would idle: `done` has to cross it, the arbiter to look, the GPU to see
//! the gate open and the engine to start. So the next piece leaves *early*, before the one on the bus is done, and the
//! engine finds its gate open. There are never more than these two, and where the end of the piece on the bus is not
//! known, there is only that one.

use crate::gate::LaneState;
use crate::sizer::Sizer;
use region::Regime;
use units::{Bytes, Nanos};

/// Beside latency-sensitive tenants the next piece is let go so long before the one on the bus is likely to be done: about
/// what it takes from the look that finds a piece done to the next one's start. A latency-sensitive copy that comes in
/// this time waits for both pieces, so this is what it may wait for longer than one that comes when a piece has started.
///
/// Where best-effort tenants only have one another it is let go as soon as the one before has the bus: then nothing
/// depends on how late the arbiter looks, and a newcomer waits for a piece more.
const LEAD_BESIDE_LS: Nanos = Nanos::from_micros(6);

/// For so long the bus is left alone between two pieces for the engine to look at other channels, where that is needed
/// ([`crate::room`]). On an H200 5 us were enough, and to let the next piece go at once was not (docs/decisions/025).
const GAP: Nanos = Nanos::from_micros(6);

/// What part of its time a piece may be late by and still be followed. Pieces are, by a little, as the rate that is expected
/// is the best that was seen of late; and an arbiter that may not spin looks late.
const LATE_PART: u64 = 8;

/// A lane, by its slot and its number there.
pub(crate) type Place = (usize, usize);

/// What became of a piece since the last look.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Flies,
    Done,
    /// Its lane shows nothing of it any more: the tenant is gone, or the lane has stalled.
    Lost,
}

struct Piece {
    place: Place,
    bytes: Bytes,
    let_go: Nanos,
    fate: Fate,
    /// Whether another may leave before it is done: not if one did, nor if something that takes no turns used the bus.
    may_be_followed: bool,
}

/// When things are likely to be so for the piece on the bus.
struct Times {
    /// Another may follow it.
    early: Nanos,
    /// It is done.
    end: Nanos,
    /// It should have been done for so long that its end is not known any more.
    overdue: Nanos,
}

/// What was let go over one direction of a bus and is not done.
pub(crate) struct Line {
    /// The oldest first, which is the one on the bus.
    pieces: Vec<Piece>,
    /// When a piece was last seen done.
    done_at: Nanos,
}

impl Line {
    pub(crate) fn new() -> Self {
        Line { pieces: Vec::with_capacity(4), done_at: Nanos::ZERO }
    }

    /// The lane was let go one more piece.
    pub(crate) fn let_go(&mut self, place: Place, bytes: Bytes, now: Nanos) {
        self.let_nothing_follow();
        self.pieces.push(Piece { place, bytes, let_go: now, fate: Fate::Flies, may_be_followed: true });
    }

    /// What is on the bus may be followed by nothing before it is done: its end is not known any more, or something
    /// follows it already.
    pub(crate) fn let_nothing_follow(&mut self) {
        self.pieces.iter_mut().for_each(|piece| piece.may_be_followed = false);
    }

    /// Takes out what is done, as the lanes show it, and says of each such piece for how long it had the bus: from the
    /// end of the piece before it, or from its leave if that came later. Returns what they moved, and in which time.
    pub(crate) fn settle(
        &mut self,
        now: Nanos,
        lane: impl Fn(Place) -> LaneState,
        mut served: impl FnMut(Place, Nanos),
    ) -> Option<(Bytes, Nanos)> {
        for i in 0..self.pieces.len() {
            let (place, shown) = (self.pieces[i].place, lane(self.pieces[i].place));
            let of_lane = |pieces: &[Piece]| pieces.iter().filter(|piece| piece.place == place).count();
            self.pieces[i].fate = match (of_lane(&self.pieces[..i]), of_lane(&self.pieces[i..])) {
                // A lane's pieces are done in their order.
                (before, _) if before < shown.done as usize => Fate::Done,
                (_, left) if left > shown.wants.flying as usize => Fate::Lost,
                _ => Fate::Flies,
            };
        }
        self.pieces.retain(|piece| piece.fate != Fate::Lost);
        let done = || self.pieces.iter().filter(|piece| piece.fate == Fate::Done);
        let count = done().count() as u64;
        let took = now.saturating_sub(self.on_the_bus_since()?);
        if count == 0 {
            return None;
        }
        // Which of those that were done between two looks took how long of that is not to be seen. Where one was done
        // before an older one, the bus was busy from that one's start all the same.
        done().for_each(|piece| served(piece.place, Nanos::new(took.get() / count)));
        let bytes = done().map(|piece| piece.bytes).sum();
        self.pieces.retain(|piece| piece.fate != Fate::Done);
        self.done_at = now;
        Some((bytes, took))
    }

    /// Whether another piece may leave now, before the only one that was let go is done. False where that is late by more
    /// than a little: then nobody knows when it will be done, and who comes would wait for both.
    pub(crate) fn may_be_followed(&self, sizer: &Sizer, regime: Regime, now: Nanos) -> bool {
        let ([piece], Some(times)) = (self.pieces.as_slice(), self.times(sizer, regime)) else { return false };
        piece.may_be_followed && times.early <= now && now < times.overdue
    }

    /// When the arbiter is next to look closely: when another piece may follow, or else when the one on the bus is
    /// likely to be done. `None` where that is not known.
    pub(crate) fn next_due(&self, sizer: &Sizer, regime: Regime, now: Nanos) -> Option<Nanos> {
        let (piece, times) = (self.pieces.first()?, self.times(sizer, regime)?);
        Some(if piece.may_be_followed && now < times.early { times.early } else { times.end })
    }

    /// When the bus will have been left alone for long enough, if it has not been yet.
    pub(crate) fn gap_until(&self, now: Nanos) -> Option<Nanos> {
        Some(self.done_at + GAP).filter(|&until| self.pieces.is_empty() && now < until)
    }

    fn times(&self, sizer: &Sizer, regime: Regime) -> Option<Times> {
        let (start, takes) = (self.on_the_bus_since()?, sizer.expects(self.pieces.first()?.bytes)?);
        let lead = if regime.yields() { LEAD_BESIDE_LS.min(takes) } else { takes };
        let end = start + takes;
        Some(Times {
            early: end.saturating_sub(lead),
            end,
            overdue: end + lead.max(Nanos::new(takes.get() / LATE_PART)),
        })
    }

    fn on_the_bus_since(&self) -> Option<Nanos> {
        self.pieces.first().map(|piece| piece.let_go.max(self.done_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use region::LaneView;

    const LS: Regime = Regime::Yield;
    const ONE: Place = (1, 0);
    const OTHER: Place = (2, 3);
    /// 80 us long.
    const PIECE: Bytes = Bytes::new(80_000);

    fn at(micros: u64) -> Nanos {
        Nanos::from_micros(1_000_000 + micros)
    }

    /// A sizer that saw a thousand bytes move in a microsecond.
    fn sizer() -> Sizer {
        let mut sizer = Sizer::new(None);
        sizer.served(Bytes::new(4_000_000), Nanos::from_millis(4));
        sizer
    }

    fn shows(flying: u32, done: u32) -> LaneState {
        LaneState { wants: LaneView { waiting: 0, flying, pending: flying }, changed: done > 0, done }
    }

    /// Who was served for how many microseconds.
    type Micros = Vec<(Place, u64)>;

    /// Settles with one lane and the other showing this; returns what was served, and the bytes and microseconds in sum.
    fn settle(line: &mut Line, micros: u64, one: LaneState, other: LaneState) -> (Micros, Option<(u64, u64)>) {
        let mut served = Vec::new();
        let lane = |place| if place == ONE { one } else { other };
        let sum = line.settle(at(micros), lane, |place, took| served.push((place, took.get() / 1000)));
        (served, sum.map(|(bytes, time)| (bytes.get(), time.get() / 1000)))
    }

    /// A line in which a piece of the one has the bus since 0.
    fn one_on_the_bus() -> Line {
        let mut line = Line::new();
        line.let_go(ONE, PIECE, at(0));
        line
    }

    #[test]
    fn the_next_piece_may_leave_shortly_before_the_one_on_the_bus_is_done_beside_latency_sensitive_tenants() {
        let (line, sizer) = (one_on_the_bus(), sizer());
        assert!(!line.may_be_followed(&sizer, LS, at(73)));
        assert!(line.may_be_followed(&sizer, LS, at(74)));
        assert!(line.may_be_followed(&sizer, LS, at(89)), "a piece is often a little late");
        assert!(!line.may_be_followed(&sizer, LS, at(90)), "it is on the bus for nobody knows how long");
        assert_eq!(line.next_due(&sizer, LS, at(0)), Some(at(74)));
    }

    #[test]
    fn among_best_effort_tenants_the_next_piece_may_leave_at_once() {
        let (mut line, sizer) = (one_on_the_bus(), sizer());
        for regime in [Regime::Free, Regime::Share] {
            assert!(line.may_be_followed(&sizer, regime, at(0)));
            assert_eq!(line.next_due(&sizer, regime, at(0)), Some(at(80)), "who could follow would have been let go");
        }
        assert!(!line.may_be_followed(&sizer, Regime::ShareAndYield, at(0)));
        line.let_go(OTHER, PIECE, at(0));
        assert!(!line.may_be_followed(&sizer, Regime::Share, at(0)), "one follows already");
    }

    #[test]
    fn nothing_follows_where_the_end_is_not_known() {
        let unknown = Sizer::new(None);
        let mut line = one_on_the_bus();
        assert!(!line.may_be_followed(&unknown, LS, at(80)));
        assert_eq!(line.next_due(&unknown, LS, at(0)), None);
        assert!(!line.may_be_followed(&sizer(), LS, at(160)), "it took twice as long");
        assert!(line.may_be_followed(&sizer(), LS, at(80)));
        line.let_nothing_follow();
        assert!(!line.may_be_followed(&sizer(), LS, at(80)), "a latency-sensitive copy came between");
        assert_eq!(line.next_due(&sizer(), LS, at(0)), Some(at(80)));
    }

    #[test]
    fn nothing_follows_where_nothing_is_on_the_bus() {
        let mut line = one_on_the_bus();
        settle(&mut line, 80, shows(0, 1), shows(0, 0));
        assert!(!line.may_be_followed(&sizer(), LS, at(80)));
        assert_eq!(line.next_due(&sizer(), LS, at(80)), None);
    }

    #[test]
    fn a_gap_begins_with_the_end_of_the_last_piece() {
        let mut line = one_on_the_bus();
        line.let_go(OTHER, PIECE, at(74));
        settle(&mut line, 80, shows(0, 1), shows(1, 0));
        assert_eq!(line.gap_until(at(80)), None, "the other is on the bus");
        settle(&mut line, 160, shows(0, 0), shows(0, 1));
        assert_eq!([160, 165, 166].map(|now| line.gap_until(at(now))), [Some(at(166)), Some(at(166)), None]);
    }

    #[test]
    fn one_piece_leaves_early_for_each_that_has_the_bus() {
        let (mut line, sizer) = (one_on_the_bus(), sizer());
        line.let_go(OTHER, PIECE, at(74));
        assert!(!line.may_be_followed(&sizer, LS, at(75)), "one follows already");
        assert_eq!(line.next_due(&sizer, LS, at(75)), Some(at(80)));
        // The one that followed is done first; that gives nobody leave to follow the other once more.
        settle(&mut line, 79, shows(1, 0), shows(0, 1));
        assert!((79..400).all(|micros| !line.may_be_followed(&sizer, LS, at(micros))));
        settle(&mut line, 400, shows(0, 1), shows(0, 0));
        line.let_go(OTHER, PIECE, at(400));
        assert!(line.may_be_followed(&sizer, LS, at(475)));
    }

    #[test]
    fn a_piece_that_left_early_has_the_bus_from_the_end_of_the_one_before() {
        let (mut line, sizer) = (one_on_the_bus(), sizer());
        line.let_go(OTHER, PIECE, at(74));
        assert_eq!(settle(&mut line, 82, shows(0, 1), shows(1, 0)), (vec![(ONE, 82)], Some((80_000, 82))));
        assert_eq!(line.next_due(&sizer, LS, at(82)), Some(at(156)));
        assert!(!line.may_be_followed(&sizer, LS, at(155)));
        assert!(line.may_be_followed(&sizer, LS, at(156)));
        assert_eq!(settle(&mut line, 160, shows(0, 0), shows(0, 1)), (vec![(OTHER, 78)], Some((80_000, 78))));
        // The bus was idle in between.
        line.let_go(ONE, PIECE, at(200));
        assert_eq!(settle(&mut line, 290, shows(0, 1), shows(0, 0)), (vec![(ONE, 90)], Some((80_000, 90))));
    }

    #[test]
    fn pieces_that_were_done_between_two_looks_share_the_time_of_both() {
        let mut line = one_on_the_bus();
        line.let_go(OTHER, PIECE, at(74));
        let both = settle(&mut line, 170, shows(0, 1), shows(0, 1));
        assert_eq!(both, (vec![(ONE, 85), (OTHER, 85)], Some((160_000, 170))));
        let mut line = one_on_the_bus();
        line.let_go(ONE, PIECE, at(74));
        assert_eq!(
            settle(&mut line, 80, shows(1, 1), shows(0, 0)).0,
            [(ONE, 80)],
            "the first of a lane's is done first"
        );
        assert_eq!(settle(&mut line, 150, shows(0, 1), shows(0, 0)).0, [(ONE, 70)]);
    }

    #[test]
    fn the_times_of_all_pieces_are_the_time_that_the_bus_was_busy_in_whatever_order_they_end() {
        let mut line = one_on_the_bus();
        line.let_go(OTHER, PIECE, at(74));
        let (_, first) = settle(&mut line, 150, shows(1, 0), shows(0, 1));
        let (_, second) = settle(&mut line, 160, shows(0, 1), shows(0, 0));
        assert_eq!((first, second), (Some((80_000, 150)), Some((80_000, 10))));
    }

    #[test]
    fn what_a_dead_or_stalled_tenant_left_behind_holds_nobody_up_and_counts_as_no_service() {
        let (mut line, sizer) = (one_on_the_bus(), sizer());
        assert_eq!(settle(&mut line, 100_000, shows(0, 0), shows(0, 0)), (vec![], None));
        line.let_go(OTHER, PIECE, at(100_000));
        assert!(line.may_be_followed(&sizer, LS, at(100_075)));
        assert_eq!(settle(&mut line, 100_080, shows(0, 0), shows(0, 1)).1, Some((80_000, 80)));
    }
}
