//! The blocks of a launch that have to run together, from how the program asks for it and what the driver says.
//!
//! The driver is asked only about launches that are to carry a mask, and its answer to the program stays what it is.

use super::decision::{Shape, Together};
use crate::driver::calls;
use abi::cuda::*;
use std::ffi::{c_int, c_uint};
use std::num::NonZeroU32;

/// A launch as the program asks for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) grid: [c_uint; 3],
    pub(crate) block: [c_uint; 3],
    /// Bytes of dynamic shared memory a block.
    pub(crate) shared: c_uint,
    /// Whether all blocks have to run together.
    pub(crate) cooperative: bool,
    /// Blocks of a cluster in each direction, where the launch says.
    pub(crate) cluster: Option<[c_uint; 3]>,
}

/// cuda.h: a `CUlaunchAttribute`.
#[repr(C)]
struct Attribute {
    id: c_uint,
    padding: c_uint,
    value: [c_uint; 16],
}

const _: () = assert!(size_of::<Attribute>() == 72);

/// cuda.h: `CU_LAUNCH_ATTRIBUTE_COOPERATIVE`.
const COOPERATIVE: c_uint = 2;
/// cuda.h: `CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION`.
const CLUSTER_DIMENSION: c_uint = 4;
/// The most attributes that are looked at; cuda.h has 17 kinds.
const MOST_ATTRIBUTES: c_uint = 64;

/// Reads a description of a launch.
///
/// # Safety
/// The description is the caller's own, as cuda.h demands.
pub(crate) unsafe fn described(config: &CUlaunchConfig) -> Asked {
    let mut asked = Asked {
        grid: [config.gridDimX, config.gridDimY, config.gridDimZ],
        block: [config.blockDimX, config.blockDimY, config.blockDimZ],
        shared: config.sharedMemBytes,
        ..Asked::default()
    };
    let attributes: *const Attribute = config.attrs.cast_const().cast();
    if attributes.is_null() || !attributes.is_aligned() {
        return asked;
    }
    for at in 0..config.numAttrs.min(MOST_ATTRIBUTES) {
        // SAFETY: the caller's own array, which has as many attributes as the description says.
        let Attribute { id, value, .. } = unsafe { &*attributes.add(at as usize) };
        match *id {
            COOPERATIVE => asked.cooperative = value[0] != 0,
            CLUSTER_DIMENSION => asked.cluster = Some([value[0], value[1], value[2]]),
            _ => {}
        }
    }
    asked
}

/// The shape of a launch; `None` where the driver does not say what it depends on.
pub(crate) fn of(function: CUfunction, asked: &Asked) -> Option<Shape> {
    let cluster = match asked.cluster {
        Some(said) => said,
        None => required_cluster(function)?,
    };
    shape(asked, cluster, || blocks_per_sm(function, asked))
}

/// The shape of a launch in clusters of so many blocks in each direction, none of which is said by zeroes.
fn shape(asked: &Asked, cluster: [c_uint; 3], blocks_per_sm: impl FnOnce() -> Option<u32>) -> Option<Shape> {
    let size = cluster.iter().try_fold(1u32, |all, &one| all.checked_mul(one.max(1)))?;
    if size == 1 && !asked.cooperative {
        return Some(Shape::Plain);
    }
    let together = Together { blocks: NonZeroU32::new(size)?, blocks_per_sm: blocks_per_sm()? };
    if !asked.cooperative {
        return Some(Shape::Clusters(together));
    }
    let blocks = asked.grid.iter().try_fold(1u64, |all, &one| all.checked_mul(one.into()))?;
    Some(Shape::Cooperative { blocks, clusters: together })
}

/// cuda.h: `CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH`, `_HEIGHT` and `_DEPTH`.
const REQUIRED_CLUSTER: [c_int; 3] = [11, 12, 13];

/// The cluster that a kernel was compiled for; zeroes for none, also where the driver knows no clusters.
fn required_cluster(function: CUfunction) -> Option<[c_uint; 3]> {
    let ask = calls::cuFuncGetAttribute.get()?;
    let mut cluster = [0; 3];
    for (place, attribute) in cluster.iter_mut().zip(REQUIRED_CLUSTER) {
        let mut value = 0;
        // SAFETY: the function writes a number; the kernel is the one that the program launches.
        match unsafe { ask(&mut value, attribute, function) } {
            CUDA_SUCCESS => *place = value.max(0) as c_uint,
            // A driver from before clusters.
            CUDA_ERROR_INVALID_VALUE => return Some([0; 3]),
            _ => return None,
        }
    }
    Some(cluster)
}

/// The blocks of a launch that an SM has place for.
fn blocks_per_sm(function: CUfunction, asked: &Asked) -> Option<u32> {
    let ask = calls::cuOccupancyMaxActiveBlocksPerMultiprocessor.get()?;
    let threads = asked.block.iter().try_fold(1u32, |all, &one| all.checked_mul(one))?;
    let mut blocks = 0;
    // SAFETY: the function writes a number; the kernel is the one that the program launches.
    let said = unsafe { ask(&mut blocks, function, c_int::try_from(threads).ok()?, asked.shared as usize) };
    (said == CUDA_SUCCESS).then_some(blocks.max(0) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(attributes: &mut [Attribute]) -> CUlaunchConfig {
        CUlaunchConfig {
            gridDimX: 6,
            gridDimY: 2,
            gridDimZ: 1,
            blockDimX: 64,
            blockDimY: 1,
            blockDimZ: 1,
            sharedMemBytes: 512,
            hStream: CUstream::NULL,
            attrs: attributes.as_mut_ptr().cast(),
            numAttrs: attributes.len() as c_uint,
        }
    }

    fn attribute(id: c_uint, first: [c_uint; 3]) -> Attribute {
        let mut value = [0; 16];
        value[..3].copy_from_slice(&first);
        Attribute { id, padding: 0, value }
    }

    fn asked(attributes: &mut [Attribute]) -> Asked {
        // SAFETY: the description is whole.
        unsafe { described(&config(attributes)) }
    }

    fn together(blocks: u32) -> Together {
        Together { blocks: NonZeroU32::new(blocks).expect("some"), blocks_per_sm: 3 }
    }

    #[test]
    fn attributes_say_that_blocks_run_together() {
        let programmatic = 6;
        let said = asked(&mut [
            attribute(programmatic, [1, 1, 1]),
            attribute(CLUSTER_DIMENSION, [2, 2, 1]),
            attribute(COOPERATIVE, [1, 0, 0]),
        ]);
        assert_eq!((said.cooperative, said.cluster), (true, Some([2, 2, 1])));
        let shape = shape(&said, [2, 2, 1], || Some(3));
        assert_eq!(shape, Some(Shape::Cooperative { blocks: 12, clusters: together(4) }));
    }

    #[test]
    fn a_launch_without_such_attributes_is_plain_and_asks_for_nothing() {
        let said = asked(&mut []);
        assert_eq!((said.grid, said.block, said.shared), ([6, 2, 1], [64, 1, 1], 512));
        assert_eq!(shape(&said, [0; 3], || panic!("nothing depends on it")), Some(Shape::Plain));
        assert_eq!(asked(&mut [attribute(COOPERATIVE, [0; 3])]), said, "it says that it is none");
    }

    #[test]
    fn a_kernel_that_was_compiled_for_clusters_runs_in_them() {
        assert_eq!(shape(&Asked::default(), [8, 1, 1], || Some(3)), Some(Shape::Clusters(together(8))));
    }

    #[test]
    fn a_launch_has_no_shape_where_the_driver_does_not_say_what_fits() {
        assert_eq!(shape(&Asked::default(), [8, 1, 1], || None), None);
        assert_eq!(shape(&Asked::default(), [1 << 16, 1 << 16, 1], || Some(1)), None);
    }
}
