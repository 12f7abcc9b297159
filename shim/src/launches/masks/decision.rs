//! The choice of a mask for a launch: a function over plain values.

use super::tpcs::{Sms, TpcSet, Tpcs, gpcs};
use abi::qmd::TpcMask;
use region::Why;
use std::num::NonZeroU32;
use units::Nanos;

/// The blocks of a launch that have to be on the GPU at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// None: a block that finds no place waits for another to end.
    Plain,
    /// Those of each cluster, within a GPC.
    Clusters(Together),
    /// Those of the whole grid, in clusters within a GPC.
    Cooperative {
        /// All blocks.
        blocks: u64,
        /// Each cluster, of one block if the launch has none.
        clusters: Together,
    },
}

/// Blocks that run together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Together {
    /// Blocks of a cluster.
    pub(crate) blocks: NonZeroU32,
    /// Blocks that an SM has place for, as the driver says.
    pub(crate) blocks_per_sm: u32,
}

/// A launch's mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// It needs none.
    Bare,
    /// It carries this one.
    Masked(TpcMask),
    /// It should carry one and goes without, which is counted.
    Without(Why),
}

/// The mask for a launch of a best-effort tenant that is predicted to take so long, where `ahead` is for how long such a
/// tenant may keep others waiting, and `be` is the mask that leaves them their reserve.
///
/// A launch of which nothing is known yet carries none: the first one of each kernel says how long the others take. Its
/// shape, which the driver may have to be asked for, is looked at only where a mask is due.
pub(crate) fn which(
    predicted: Option<Nanos>,
    ahead: Nanos,
    be: Option<(&Tpcs, TpcMask)>,
    shape: impl FnOnce() -> Option<Shape>,
) -> Choice {
    if predicted.is_none_or(|time| time <= ahead) {
        return Choice::Bare;
    }
    let Some((tpcs, mask)) = be else { return Choice::Without(Why::MasksOff) };
    match shape() {
        None => Choice::Without(Why::UnknownShape),
        Some(shape) if fits(tpcs, mask, shape) => Choice::Masked(mask),
        Some(_) => Choice::Without(Why::LargerThanMask),
    }
}

/// Whether a launch that the whole GPU has place for can run under the mask. One that cannot would never end.
pub(crate) fn fits(tpcs: &Tpcs, mask: TpcMask, shape: Shape) -> bool {
    let left = tpcs.all().left_by(mask);
    match shape {
        Shape::Plain => !left.is_empty(),
        Shape::Clusters(together) => clusters_within(tpcs, left, together) > 0,
        Shape::Cooperative { blocks, clusters } => {
            blocks.div_ceil(clusters.blocks.get().into()) <= clusters_within(tpcs, left, clusters)
        }
    }
}

/// Clusters that some TPCs have place for at the same time.
fn clusters_within(tpcs: &Tpcs, left: TpcSet, together: Together) -> u64 {
    let within = |gpc: TpcSet| {
        let Sms(sms) = tpcs.sms(gpc.both(left));
        u64::from(sms) * u64::from(together.blocks_per_sm) / u64::from(together.blocks.get())
    };
    gpcs().map(within).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two GPCs of eight TPCs, one on each side, and a TPC of no GPC that is known.
    fn gpu() -> Tpcs {
        Tpcs::new([TpcSet::of_bits(0xFF), TpcSet::of_bits(0xFF << 9 | 1 << 72)], 2).expect("a GPU")
    }

    const AHEAD: Nanos = Nanos::from_micros(100);

    fn chosen(micros: Option<u64>, reserve: u32, shape: Shape) -> Choice {
        let gpu = gpu();
        which(micros.map(Nanos::from_micros), AHEAD, Some((&gpu, gpu.beside(Sms(reserve)))), || Some(shape))
    }

    fn together(blocks: u32, blocks_per_sm: u32) -> Together {
        Together { blocks: NonZeroU32::new(blocks).expect("some blocks"), blocks_per_sm }
    }

    fn cooperative(blocks: u64, clusters: Together) -> Shape {
        Shape::Cooperative { blocks, clusters }
    }

    #[test]
    fn a_launch_that_outlasts_the_time_ahead_leaves_the_reserve() {
        let mask = gpu().beside(Sms(8));
        assert_eq!(chosen(Some(101), 8, Shape::Plain), Choice::Masked(mask));
        assert_eq!(gpu().sms_left_by(mask), Sms(34 - 8));
    }

    #[test]
    fn a_short_launch_and_one_of_unknown_length_carry_no_mask() {
        assert_eq!(chosen(Some(100), 8, Shape::Plain), Choice::Bare);
        assert_eq!(chosen(None, 8, Shape::Plain), Choice::Bare);
    }

    #[test]
    fn a_long_launch_is_counted_where_masks_are_off() {
        let which = |time| which(Some(time), AHEAD, None, || panic!("nothing depends on its shape"));
        assert_eq!(which(Nanos::from_millis(1)), Choice::Without(Why::MasksOff));
        assert_eq!(which(Nanos::from_micros(1)), Choice::Bare);
    }

    #[test]
    fn a_long_launch_of_unknown_shape_goes_without_a_mask() {
        let gpu = gpu();
        let choice = which(Some(Nanos::from_millis(1)), AHEAD, Some((&gpu, gpu.beside(Sms(8)))), || None);
        assert_eq!(choice, Choice::Without(Why::UnknownShape));
    }

    #[test]
    fn a_cooperative_launch_goes_without_the_mask_that_has_no_place_for_all_of_it() {
        let long = Some(1000);
        let masked = |blocks| matches!(chosen(long, 8, cooperative(blocks, together(1, 2))), Choice::Masked(_));
        assert!(masked(26 * 2));
        assert!(!masked(26 * 2 + 1));
        assert_eq!(chosen(long, 8, cooperative(53, together(1, 2))), Choice::Without(Why::LargerThanMask));
    }

    #[test]
    fn a_cluster_needs_a_gpc_that_has_place_for_it() {
        let masked = |reserve, blocks| {
            matches!(chosen(Some(1000), reserve, Shape::Clusters(together(blocks, 1))), Choice::Masked(_))
        };
        assert!(masked(0, 16));
        assert!(!masked(8, 16), "both GPCs give to the reserve");
        assert!(masked(8, 8));
        assert!(!masked(0, 17));
    }

    #[test]
    fn clusters_of_a_cooperative_launch_do_not_reach_over_gpcs() {
        let gpu = gpu();
        let everything = gpu.all().confining();
        let fits = |blocks, of| fits(&gpu, everything, cooperative(blocks, together(of, 1)));
        assert!(fits(34, 1));
        assert!(fits(32, 16));
        assert!(!fits(34, 4), "the TPC beside the GPCs has place for two blocks and not for a cluster");
        assert!(fits(32, 4));
        assert!(fits(24, 6));
        assert!(!fits(30, 6), "each GPC has place for two clusters of six, and its other four SMs for none");
    }

    #[test]
    fn a_kernel_that_no_sm_has_place_for_is_given_no_mask() {
        assert_eq!(chosen(Some(1000), 8, cooperative(1, together(1, 0))), Choice::Without(Why::LargerThanMask));
    }

    #[test]
    fn nothing_fits_under_a_mask_that_leaves_no_tpc() {
        assert!(!fits(&gpu(), TpcSet::default().confining(), Shape::Plain));
    }
}
