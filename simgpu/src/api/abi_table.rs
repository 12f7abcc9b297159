//! A proof, at compile time, that the exported functions have the types of the table in `abi`.

use abi::cuda::*;
use std::ffi::{c_char, c_int, c_uint, c_void};

use super::{
    arrays::*, capture::*, context::*, copy::*, current::*, device::*, event::*, graph::*, green::*, host_memory::*,
};
use super::{
    init::*, launch::*, legacy::*, limits::*, managed::*, memory::*, peers::*, pool::*, resolve::*, sharing::*,
};
use super::{stream::*, virtual_memory::*};

/// Makes the check of one row, which passes over the functions that are named here.
macro_rules! newer_than_580 {
    ($d:tt $($newer:ident)*) => {
        /// Functions of the table that came after driver branch 580, so that this driver has none of them.
        #[cfg(test)]
        const NEWER_THAN_580: &[&str] = &[$(stringify!($newer)),*];

        macro_rules! check_row {
            $(($newer $d($d arguments:tt)*) => {};)*
            ($d name:ident $d($d ty:ty)*) => {
                const _: unsafe extern "C" fn($d($d ty),*) -> CUresult = $d name;
            };
        }
    };
}

newer_than_580! { $
    cuMemcpyWithAttributesAsync
    cuMemcpyWithAttributesAsync_ptsz
    cuMemcpy3DWithAttributesAsync
    cuMemcpy3DWithAttributesAsync_ptsz
    cuFabricCpyBatchAsync
    cuFabricCpyBatchAsync_ptsz
    cuLaunchHostFunc_v2
    cuLaunchHostFunc_v2_ptsz
    cuGraphAddNode_v3
    cuGraphNodeSetParams_v2
    cuStreamBeginRecaptureToGraph
    cuStreamBeginRecaptureToGraph_ptsz
    cuStreamBeginCaptureToCig
    cuStreamBeginCaptureToCig_ptsz
    cuStreamEndCaptureToCig
    cuStreamEndCaptureToCig_ptsz
    cuDevSmResourceSplit
    cuMulticastBindMem_v2
    cuMulticastBindAddr_v2
    cuLogicalEndpointIdReserve
    cuLogicalEndpointIdRelease
    cuLogicalEndpointCreate
    cuLogicalEndpointDestroy
    cuLogicalEndpointAddDevice
    cuLogicalEndpointBindMem
    cuLogicalEndpointBindAddr
    cuLogicalEndpointUnbind
    cuLogicalEndpointExport
    cuLogicalEndpointImport
}

macro_rules! check {
    ($($class:ident $kind:ident $name:ident($($arg:ident: $ty:ty),*);)*) => {
        $(check_row! { $name $($ty)* })*

        /// The names of the table.
        #[cfg(test)]
        const GOVERNED: &[&str] = &[$(stringify!($name)),*];
    };
}

abi::governed_functions!(check);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_that_is_passed_over_is_governed_and_unknown_to_driver_580() {
        let recorded = include_str!("../../tests/data/proc_address_580.tsv");
        let known = |name: &str| recorded.split(['\t', '\n', ' ', ':']).any(|word| word == name);
        for name in NEWER_THAN_580 {
            assert!(GOVERNED.contains(name), "{name} is not in the table");
            assert!(!known(name), "{name} is a function of driver 580");
        }
        assert!(known("cuMemAlloc_v2"));
    }
}
