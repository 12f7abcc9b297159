//! The slot's lanes as the GPU sees them: handed to the driver when a context is new, and found again by their addresses.

use crate::life::Joined;
use crate::log::warning;
use crate::real;
use abi::cuda::*;

/// Where the lanes begin here, and where the GPU has them.
#[derive(Clone, Copy)]
pub(crate) struct Mapped {
    host: usize,
    device: CUdeviceptr,
}

/// Has the driver pin pages of the region and map them for every context; what it said.
fn register((pages, len): (*mut u8, usize)) -> Option<CUresult> {
    let flags = CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP;
    // SAFETY: whole pages of the region, which stay mapped as long as the process lives.
    Some(unsafe { real::cuMemHostRegister_v2.get()?(pages.cast(), len, flags) })
}

impl Mapped {
    /// Hands the slot's lanes to the driver, once.
    pub(super) fn lanes(joined: &Joined) -> Option<Mapped> {
        *joined.lanes.get_or_init(|| {
            let pages = joined.slot().lane_pages();
            let registered = register(pages)?;
            let mut device = 0;
            // SAFETY: the pages were registered just now, for mapping.
            let found = unsafe { real::cuMemHostGetDevicePointer_v2.get()?(&mut device, pages.0.cast(), 0) };
            if registered != CUDA_SUCCESS || found != CUDA_SUCCESS {
                // The kernel pins pages for a device only where no file system has to write them back.
                warning!(
                    "copies in streams are not gated: the driver does not take the region's memory (error {registered}); \
                     {} must lie on a tmpfs such as /run or /dev/shm",
                    joined.region.path().display()
                );
                return None;
            }
            Some(Mapped { host: pages.0 as usize, device })
        })
    }

    /// Hands the lanes over in a new context, while nothing runs there that could be waited for. What was registered in
    /// another may have ended with that; if it has not, the driver says so, and nothing changes.
    pub(crate) fn renew(joined: &Joined) {
        match joined.lanes.get() {
            Some(None) => {}
            Some(Some(_)) => {
                register(joined.slot().lane_pages());
            }
            None => {
                Self::lanes(joined);
            }
        }
    }

    pub(super) fn device(self, word: *const u32) -> CUdeviceptr {
        self.device + (word as usize - self.host) as u64
    }
}
