//! The kinds of requests of one tenant: a few that are told apart, and the rest.

use super::alone::{Alone, KNOWN};
use super::request::Kind;
use crate::times::{KIND_FORGOTTEN, KIND_WEIGHED};
use units::Nanos;

/// Kinds that are told apart. A server has a graph for each of a few batch sizes; a tenant that makes up kinds shall cost no
/// memory.
const TOLD_APART: usize = 8;

/// The kinds of a tenant's requests.
#[derive(Clone, Debug, Default)]
pub(super) struct Kinds {
    told_apart: Vec<(Kind, OfKind)>,
    rest: OfKind,
    weighed: Nanos,
}

/// Knowledge of one kind.
#[derive(Clone, Debug, Default)]
pub(super) struct OfKind {
    /// Its requests that were alone.
    pub(super) alone: Alone,
    /// Its requests of late, older ones counting for less.
    weight: f64,
    seen: Nanos,
}

impl Kinds {
    /// Knowledge of `kind`, of which there is a request at `now`.
    pub(super) fn note(&mut self, kind: Kind, now: Nanos) -> &mut OfKind {
        let known = self.told_apart.iter().position(|(told, _)| *told == kind);
        let place = known.or_else(|| self.place_for(kind, now));
        let of_kind = match place {
            Some(place) => &mut self.told_apart[place].1,
            None => &mut self.rest,
        };
        of_kind.weight += 1.0;
        of_kind.seen = now;
        of_kind
    }

    /// A place for a kind that is new, where there is one.
    fn place_for(&mut self, kind: Kind, now: Nanos) -> Option<usize> {
        if self.told_apart.len() < TOLD_APART {
            self.told_apart.push((kind, OfKind::default()));
            return Some(self.told_apart.len() - 1);
        }
        let forgotten = |(_, of_kind): &(Kind, OfKind)| now.saturating_sub(of_kind.seen) >= KIND_FORGOTTEN;
        let place = self.told_apart.iter().position(forgotten)?;
        self.told_apart[place] = (kind, OfKind::default());
        Some(place)
    }

    /// Brings quantiles and weights up to `now`.
    pub(super) fn renew(&mut self, now: Nanos) {
        let fading = (-(now.saturating_sub(self.weighed).as_secs_f64() / KIND_WEIGHED.as_secs_f64())).exp();
        self.weighed = now;
        for of_kind in self.all_mut() {
            of_kind.weight *= fading;
            of_kind.alone.renew();
        }
    }

    /// Knowledge of the kind that most requests are of.
    pub(super) fn main(&self) -> &OfKind {
        self.all().max_by(|one, other| one.weight.total_cmp(&other.weight)).unwrap_or(&self.rest)
    }

    /// Whether it is known of most requests what they take alone.
    pub(super) fn are_known(&self) -> bool {
        let weight = |known: bool| -> f64 {
            self.all().filter(|kind| kind.alone.quantiles().is_some() == known).map(|kind| kind.weight).sum()
        };
        weight(true) > weight(false)
    }

    /// Whether the quantiles of the main kind stand on fewer than this many requests alone.
    pub(super) fn main_has_fewer_than(&self, count: usize) -> bool {
        self.main().alone.count() < count.max(KNOWN)
    }

    fn all(&self) -> impl Iterator<Item = &OfKind> {
        self.told_apart.iter().map(|(_, of_kind)| of_kind).chain([&self.rest])
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut OfKind> {
        self.told_apart.iter_mut().map(|(_, of_kind)| of_kind).chain([&mut self.rest])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Nanos {
        Nanos::from_millis(100_000 + ms)
    }

    fn learn(kinds: &mut Kinds, kind: u64, took: Nanos, count: u64, now: Nanos) {
        for _ in 0..count {
            kinds.note(Kind(kind), now).alone.add(took);
        }
        kinds.renew(now);
    }

    #[test]
    fn a_million_kinds_take_the_memory_of_a_few() {
        let mut kinds = Kinds::default();
        for kind in 0..1_000_000 {
            kinds.note(Kind(kind), at(0));
        }
        assert_eq!(kinds.told_apart.len(), TOLD_APART);
    }

    #[test]
    fn kinds_have_times_of_their_own() {
        let mut kinds = Kinds::default();
        learn(&mut kinds, 1, Nanos::from_millis(1), 50, at(0));
        learn(&mut kinds, 2, Nanos::from_millis(9), 40, at(0));
        let p99 = |kinds: &mut Kinds, kind| kinds.note(Kind(kind), at(0)).alone.quantiles().map(|known| known.p99);
        assert_eq!(p99(&mut kinds, 1), Some(Nanos::from_millis(1)));
        assert_eq!(p99(&mut kinds, 2), Some(Nanos::from_millis(9)));
    }

    #[test]
    fn a_kind_that_came_no_more_gives_its_place_to_a_new_one() {
        let mut kinds = Kinds::default();
        for kind in 0..8 {
            kinds.note(Kind(kind), at(kind));
        }
        kinds.note(Kind(99), at(1_000));
        assert!(kinds.told_apart.iter().all(|(kind, _)| *kind != Kind(99)), "all were seen a moment ago");
        kinds.note(Kind(99), at(60_000));
        assert_eq!(kinds.told_apart[0].0, Kind(99));
    }

    #[test]
    fn requests_are_known_once_those_of_most_kinds_by_number_are() {
        let mut kinds = Kinds::default();
        learn(&mut kinds, 1, Nanos::from_millis(1), 40, at(0));
        assert!(kinds.are_known());
        for _ in 0..60 {
            kinds.note(Kind(2), at(0));
        }
        assert!(!kinds.are_known());
    }
}
