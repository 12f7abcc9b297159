//! The decisions about memory, as pure functions over plain values.

use super::intent::{Asked, Intent};
use region::Why;
use units::Bytes;

/// The sizes that are to be coloured, and whether anything may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    /// The library itself failed.
    pub(crate) has_failed: bool,
    /// Colouring is off for good in this process.
    pub(crate) has_stopped: bool,
    pub(crate) least: Bytes,
    pub(crate) most: Option<Bytes>,
}

/// Whether an allocation is to be coloured, as far as its size and the process's standing say.
pub(crate) fn allocation(asked: &Asked, standing: &Standing) -> Result<(), Why> {
    if standing.has_failed {
        return Err(Why::Fault);
    }
    let too_small = !asked.pooled && asked.least < standing.least;
    if too_small || standing.most.is_some_and(|most| asked.least > most) {
        return Err(Why::OutsideSizes);
    }
    if standing.has_stopped {
        return Err(Why::ColoringOff);
    }
    Ok(())
}

/// Whether `free` bytes beyond the spared part suffice for an allocation and its donors, which with two colours take as
/// much again.
pub(crate) fn headroom(asked: Bytes, free: Bytes) -> Result<(), Why> {
    if asked.get().saturating_mul(2) <= free.get() { Ok(()) } else { Err(Why::NoDonor) }
}

/// The future of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// None of the program's allocations, as far as is known: it stays as the driver made it.
    NotOurs,
    /// A program's allocation that stays so too, and is counted as uncoloured.
    Stock,
    /// It is to be coloured as it is first mapped.
    Color,
    /// The pager tries itself on it.
    SelfTest,
}

/// The wish for an object of `size` bytes that the driver makes under an intent; objects of a pool from `least` on are
/// coloured.
pub(crate) fn wish(intent: &Intent, size: Bytes, least: Bytes) -> Wish {
    match intent {
        Intent::Allocate(asked) if asked.pooled && size >= least => Wish::Color,
        Intent::Allocate(asked) if asked.pooled => Wish::Stock,
        Intent::Allocate(asked) if (asked.least..asked.below).contains(&size) => Wish::Color,
        Intent::Leave(_) => Wish::Stock,
        Intent::SelfTest => Wish::SelfTest,
        Intent::Nothing | Intent::Allocate(_) | Intent::Made(_) => Wish::NotOurs,
    }
}

/// The pages that are to be shown where the driver mapped an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Show {
    /// The driver's own pages, as they are.
    Stock,
    /// The pages of its colour, which are to be chosen.
    Fresh,
    /// The pages of its colour, which were chosen before and have its content.
    Again,
    /// The self-test's scratch object.
    Scratch,
}

/// The pages to show for an object of this wish.
pub(crate) fn show(wish: Wish, has_overlay: bool) -> Show {
    match (wish, has_overlay) {
        (Wish::SelfTest, _) => Show::Scratch,
        (Wish::Color, true) => Show::Again,
        (Wish::Color, false) => Show::Fresh,
        (Wish::NotOurs | Wish::Stock, _) => Show::Stock,
    }
}

/// A fresh object, and the request that maps it first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fresh {
    /// GPUs that see the range.
    pub(crate) gpus: u64,
    pub(crate) compressible: bool,
    pub(crate) contiguous: bool,
}

/// Whether a fresh object's pages may be replaced one by one.
pub(crate) fn replaceable(object: Fresh) -> Result<(), Why> {
    match object {
        Fresh { gpus: 2.., .. } | Fresh { gpus: 0, .. } => Err(Why::SharedWithPeers),
        Fresh { compressible: true, .. } => Err(Why::Compressible),
        Fresh { contiguous: false, .. } => Err(Why::NotContiguous),
        Fresh { .. } => Ok(()),
    }
}

/// The future of a coloured object whose memory is about to leave the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// It goes back to the driver's own pages, and then leaves.
    MoveBack,
    /// A capture goes on, which waiting would end.
    RefuseForCapture,
    /// There is no one address at which its content could be moved.
    Refuse,
}

/// Whether a coloured object that is mapped at `mappings` addresses may leave.
pub(crate) fn leaving(mappings: u32, is_pools: bool, captured: bool) -> Leaving {
    match (mappings, is_pools, captured) {
        (1, false, false) => Leaving::MoveBack,
        (1, false, true) => Leaving::RefuseForCapture,
        _ => Leaving::Refuse,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: Standing = Standing { has_failed: false, has_stopped: false, least: Bytes::mib(2), most: None };

    fn pooled(bytes: Bytes) -> Asked {
        Asked { pooled: true, ..Asked::exactly(bytes) }
    }

    #[test]
    fn an_allocation_within_the_sizes_is_colored() {
        let most = Standing { most: Some(Bytes::mib(4)), ..SOUND };
        assert_eq!(allocation(&Asked::exactly(Bytes::mib(2)), &SOUND), Ok(()));
        assert_eq!(allocation(&Asked::exactly(Bytes::mib(4)), &most), Ok(()));
        assert_eq!(allocation(&Asked::exactly(Bytes::mib(5)), &most), Err(Why::OutsideSizes));
        assert_eq!(allocation(&Asked::exactly(Bytes::kib(4)), &SOUND), Err(Why::OutsideSizes));
    }

    #[test]
    fn a_small_allocation_from_a_pool_is_asked_for_as_the_driver_may_fill_the_pool() {
        assert_eq!(allocation(&pooled(Bytes::kib(4)), &SOUND), Ok(()));
    }

    #[test]
    fn nothing_is_colored_after_a_fault_or_once_coloring_stopped() {
        let asked = Asked::exactly(Bytes::mib(2));
        assert_eq!(allocation(&asked, &Standing { has_failed: true, ..SOUND }), Err(Why::Fault));
        assert_eq!(allocation(&asked, &Standing { has_stopped: true, ..SOUND }), Err(Why::ColoringOff));
    }

    #[test]
    fn an_allocation_needs_room_for_itself_and_its_donors() {
        assert_eq!(headroom(Bytes::mib(2), Bytes::mib(4)), Ok(()));
        assert_eq!(headroom(Bytes::mib(2), Bytes::mib(3)), Err(Why::NoDonor));
        assert_eq!(headroom(Bytes::new(u64::MAX), Bytes::new(u64::MAX - 1)), Err(Why::NoDonor));
    }

    #[test]
    fn only_the_object_of_the_size_asked_for_is_the_allocation() {
        let intent = Intent::Allocate(Asked::exactly(Bytes::mib(4)));
        let of = |size| wish(&intent, size, Bytes::mib(2));
        assert_eq!(of(Bytes::mib(4)), Wish::Color);
        assert_eq!(of(Bytes::mib(4) + Bytes::kib(64)), Wish::Color, "the driver rounds up");
        assert_eq!(of(Bytes::mib(6)), Wish::NotOurs);
        assert_eq!(of(Bytes::mib(2)), Wish::NotOurs);
        assert_eq!(wish(&Intent::Made((1, 2)), Bytes::mib(4), Bytes::mib(2)), Wish::NotOurs, "a second one is not");
    }

    #[test]
    fn the_objects_of_a_pool_are_colored_by_their_own_size() {
        let intent = Intent::Allocate(pooled(Bytes::kib(4)));
        assert_eq!(wish(&intent, Bytes::mib(32), Bytes::mib(2)), Wish::Color);
        assert_eq!(wish(&intent, Bytes::mib(1), Bytes::mib(2)), Wish::Stock);
    }

    #[test]
    fn an_object_that_nobody_announced_stays_the_drivers() {
        assert_eq!(wish(&Intent::Nothing, Bytes::mib(4), Bytes::mib(2)), Wish::NotOurs);
        assert_eq!(wish(&Intent::Leave(None), Bytes::mib(4), Bytes::mib(2)), Wish::Stock);
        assert_eq!(wish(&Intent::SelfTest, Bytes::mib(2), Bytes::mib(2)), Wish::SelfTest);
    }

    #[test]
    fn a_colored_object_is_shown_again_as_it_was() {
        assert_eq!(show(Wish::Color, false), Show::Fresh);
        assert_eq!(show(Wish::Color, true), Show::Again);
        assert_eq!(show(Wish::SelfTest, false), Show::Scratch);
        for wish in [Wish::NotOurs, Wish::Stock] {
            assert_eq!(show(wish, false), Show::Stock);
        }
    }

    #[test]
    fn pages_are_replaced_only_where_each_can_be() {
        let object = Fresh { gpus: 1, compressible: false, contiguous: true };
        assert_eq!(replaceable(object), Ok(()));
        assert_eq!(replaceable(Fresh { gpus: 2, ..object }), Err(Why::SharedWithPeers));
        assert_eq!(replaceable(Fresh { compressible: true, ..object }), Err(Why::Compressible));
        assert_eq!(replaceable(Fresh { contiguous: false, ..object }), Err(Why::NotContiguous));
    }

    #[test]
    fn memory_leaves_only_if_its_content_can_be_moved_back_without_ending_a_capture() {
        assert_eq!(leaving(1, false, false), Leaving::MoveBack);
        assert_eq!(leaving(1, false, true), Leaving::RefuseForCapture);
        assert_eq!(leaving(2, false, false), Leaving::Refuse);
        assert_eq!(leaving(0, false, false), Leaving::Refuse);
        assert_eq!(leaving(1, true, false), Leaving::Refuse);
    }
}
