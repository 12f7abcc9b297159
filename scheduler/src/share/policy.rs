//! The slices of the tenants of one engine, as a function of the tenants that are there.
//!
//! The hardware gives the channel groups that have work turns, one after the other, each of at most its slice; a group
//! without work takes none. So a latency-sensitive (LS) tenant waits for at most the slices of the others, and tenants
//! that always have work share the engine as their slices. What a switch costs decides how short slices may be: on an
//! H200 1.5 us on a copy engine, 0.2 to 0.5 ms on GR0, and two groups of 1 us each on GR0 do nothing but switch
//! (docs/measurements/2026-11-30-slices.md). Hence, beside LS tenants, one best-effort (BE) tenant has the least slice, and
//! several take coarse turns, in which all but one stand still.

use crate::times::{
    BATCH_SLICE, COPY_SLICE, COPY_SLICE_UNSTOPPED, GRAPHICS_SLICE, LEAST_SLICE, MOST_SLICE, REQUEST_SLICE,
};
use region::{Class, Engine};

/// One tenant that has channel groups on the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sharer {
    /// Its class.
    pub class: Class,
    /// Its weight among its class.
    pub weight: u32,
    /// Whether it gave the engine work of late.
    pub active: bool,
    /// Whether its groups can stand still.
    pub can_stop: bool,
}

/// One tenant's share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Its slice in microseconds; `None` for the driver's own.
    pub slice_us: Option<u32>,
    /// Whether it stands still while another has its turn.
    pub takes_turns: bool,
}

const DRIVERS_OWN: Share = Share { slice_us: None, takes_turns: false };

/// The shares of an engine's tenants, in the order given.
pub fn shares(engine: Engine, sharers: &[Sharer]) -> Vec<Share> {
    let of = |class| sharers.iter().filter(move |sharer| sharer.class == class);
    let (sensitive, best_effort) = (of(Class::Ls).count(), of(Class::Be).count());
    let stoppable = of(Class::Be).all(|sharer| sharer.can_stop);
    sharers
        .iter()
        .map(|sharer| match (engine, sharer.class) {
            _ if sharers.len() < 2 => DRIVERS_OWN,
            (Engine::Copy, Class::Ls) => by_weight(COPY_SLICE, sharer, of(Class::Ls), true),
            (Engine::Graphics, Class::Ls) if best_effort == 0 => by_weight(GRAPHICS_SLICE, sharer, of(Class::Ls), true),
            (Engine::Graphics, Class::Ls) => by_weight(REQUEST_SLICE / sensitive as u32, sharer, of(Class::Ls), false),
            (Engine::Copy, Class::Be) if sensitive == 0 => by_weight(COPY_SLICE, sharer, of(Class::Be), true),
            (Engine::Graphics, Class::Be) if sensitive == 0 => by_weight(BATCH_SLICE, sharer, of(Class::Be), false),
            _ if best_effort == 1 => Share { slice_us: Some(LEAST_SLICE), takes_turns: false },
            (Engine::Copy, Class::Be) if !stoppable => by_weight(COPY_SLICE_UNSTOPPED, sharer, of(Class::Be), false),
            (Engine::Graphics, Class::Be) if !stoppable => by_weight(GRAPHICS_SLICE, sharer, of(Class::Be), true),
            // Two groups with the least slice on GR0 would keep each other from all work, and one that seems idle may have a
            // long kernel there.
            (Engine::Graphics, Class::Be) if !sharer.active => DRIVERS_OWN,
            (_, Class::Be) => Share { slice_us: Some(LEAST_SLICE), takes_turns: true },
        })
        .collect()
}

/// A part of the slices of a class by weight, so that all of them together are `each` for each of its tenants. Equal ones
/// of the driver's own length are left to the driver.
fn by_weight<'a>(each: u32, sharer: &Sharer, class: impl Iterator<Item = &'a Sharer> + Clone, drivers: bool) -> Share {
    let equal = class.clone().all(|other| other.weight == sharer.weight);
    if equal && drivers {
        return DRIVERS_OWN;
    }
    let (count, sum) = class.fold((0u64, 0u64), |(count, sum), other| (count + 1, sum + u64::from(other.weight)));
    let slice = u64::from(each) * count * u64::from(sharer.weight) / sum.max(1);
    let slice = slice.clamp(LEAST_SLICE.into(), MOST_SLICE.into()) as u32;
    Share { slice_us: Some(slice), takes_turns: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ls(weight: u32) -> Sharer {
        Sharer { class: Class::Ls, weight, active: true, can_stop: true }
    }

    fn be(weight: u32) -> Sharer {
        Sharer { class: Class::Be, ..ls(weight) }
    }

    fn slices(engine: Engine, sharers: &[Sharer]) -> Vec<Option<u32>> {
        shares(engine, sharers).into_iter().map(|share| share.slice_us).collect()
    }

    #[test]
    fn a_tenant_alone_is_left_to_the_driver() {
        for engine in Engine::ALL {
            assert_eq!(shares(engine, &[be(7)]), [DRIVERS_OWN]);
            assert_eq!(shares(engine, &[ls(7)]), [DRIVERS_OWN]);
        }
    }

    #[test]
    fn one_best_effort_tenant_beside_latency_sensitive_ones_has_the_least_slice() {
        assert_eq!(slices(Engine::Copy, &[ls(1), be(1)]), [None, Some(1)]);
        assert_eq!(slices(Engine::Graphics, &[ls(1), be(1)]), [Some(50_000), Some(1)]);
        assert_eq!(slices(Engine::Graphics, &[ls(3), ls(1), be(1)]), [Some(37_500), Some(12_500), Some(1)]);
    }

    #[test]
    fn several_take_turns_where_they_can_stand_still() {
        let both = shares(Engine::Copy, &[ls(1), be(1), be(9)]);
        assert!(both[1..].iter().all(|share| *share == Share { slice_us: Some(1), takes_turns: true }), "{both:?}");
        let stubborn = Sharer { can_stop: false, ..be(9) };
        assert_eq!(slices(Engine::Copy, &[ls(1), be(1), stubborn]), [None, Some(6), Some(54)]);
    }

    #[test]
    fn two_that_run_at_once_on_gr0_never_both_have_the_least_slice() {
        let idle = Sharer { active: false, ..be(1) };
        assert_eq!(slices(Engine::Graphics, &[ls(1), be(1), idle]), [Some(50_000), Some(1), None]);
        assert!(shares(Engine::Graphics, &[ls(1), be(1), be(1)])[1..].iter().all(|share| share.takes_turns));
    }

    fn any_sharer() -> impl Strategy<Value = Sharer> {
        (any::<bool>(), 1..=10_000u32, any::<bool>(), any::<bool>()).prop_map(|(ls, weight, active, can_stop)| Sharer {
            class: if ls { Class::Ls } else { Class::Be },
            weight,
            active,
            can_stop,
        })
    }

    proptest! {
        #[test]
        fn what_a_tenant_gets_does_not_depend_on_the_order_of_the_others(
            mut sharers in prop::collection::vec(any_sharer(), 1..8),
            graphics in any::<bool>(),
        ) {
            let engine = if graphics { Engine::Graphics } else { Engine::Copy };
            let mut forwards = shares(engine, &sharers);
            sharers.reverse();
            forwards.reverse();
            prop_assert_eq!(forwards, shares(engine, &sharers));
        }

        #[test]
        fn a_latency_sensitive_tenant_waits_for_one_short_slice_of_those_that_can_stand_still(
            weights in prop::collection::vec(1..=10_000u32, 1..8),
            graphics in any::<bool>(),
        ) {
            let engine = if graphics { Engine::Graphics } else { Engine::Copy };
            let sharers: Vec<_> = weights.into_iter().map(be).chain([ls(1), ls(2)]).collect();
            let all = || sharers.iter().zip(shares(engine, &sharers));
            let best_effort: Vec<_> = all().filter(|(sharer, _)| sharer.class == Class::Be).map(|(_, share)| share).collect();
            for share in &best_effort {
                prop_assert_eq!((share.slice_us, share.takes_turns), (Some(LEAST_SLICE), best_effort.len() > 1));
            }
        }

        #[test]
        fn slices_are_within_bounds_and_follow_the_weights(
            weights in prop::collection::vec(1..=100u32, 2..6),
            class in prop::sample::select(vec![Class::Ls, Class::Be]),
            graphics in any::<bool>(),
        ) {
            let engine = if graphics { Engine::Graphics } else { Engine::Copy };
            let sharers: Vec<_> =
                weights.iter().map(|&weight| Sharer { class, weight, active: true, can_stop: true }).collect();
            for (one, share) in sharers.iter().zip(shares(engine, &sharers)) {
                for (other, than) in sharers.iter().zip(shares(engine, &sharers)) {
                    let (Some(slice), Some(others)) = (share.slice_us, than.slice_us) else { continue };
                    prop_assert!((LEAST_SLICE..=MOST_SLICE).contains(&slice));
                    // One of the least weights of a hundred has 20 us, and a microsecond of rounding.
                    let ratio = f64::from(slice) / f64::from(others) * f64::from(other.weight) / f64::from(one.weight);
                    prop_assert!((0.9..=1.1).contains(&ratio), "{weights:?}: {slice} to {others}");
                }
            }
        }
    }

    #[test]
    fn without_latency_sensitive_tenants_slices_are_long_and_as_the_weights() {
        assert_eq!(slices(Engine::Copy, &[be(1024), be(1024)]), [None, None]);
        assert_eq!(slices(Engine::Copy, &[be(4), be(1)]), [Some(1638), Some(409)]);
        assert_eq!(slices(Engine::Graphics, &[be(1), be(1)]), [Some(20_000), Some(20_000)]);
        assert_eq!(slices(Engine::Copy, &[be(10_000), be(1)]), [Some(2047), Some(1)]);
    }
}
