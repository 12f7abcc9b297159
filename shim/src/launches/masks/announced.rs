//! The mask of the launch under way on a thread, which goes into the launch's descriptor as the driver announces it.
//!
//! The driver announces a launch on the thread that asks for it and before the GPU is told. The callback allocates nothing,
//! takes no lock and says nothing.

use super::state::Off;
use crate::base::shield;
use abi::qmd::{self, Form, TpcMask};
use std::cell::Cell;
use std::ffi::{c_int, c_void};

/// The fate of the launches that were announced while a mask was to be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// Launches that carry the mask: several where an executable graph is uploaded, none where a launch is captured.
    pub(crate) masked: u32,
    /// Launches that go without: their descriptor is not known, or they may not run on any TPC that the mask leaves.
    pub(crate) bare: u32,
    /// Why masks cannot be written in this process, where that came out.
    pub(crate) off: Option<Off>,
}

impl Written {
    /// Whether something was launched, and all of it carries the mask.
    pub(crate) fn all(self) -> bool {
        self.masked > 0 && self.bare == 0
    }
}

thread_local! {
    static UNDER_WAY: Cell<Option<(TpcMask, Written)>> = const { Cell::new(None) };
}

/// Takes the mask away when the call is over.
struct Over;

impl Drop for Over {
    fn drop(&mut self) {
        UNDER_WAY.set(None);
    }
}

/// Runs a call of the driver's, all launches of which carry the mask, and tells what became of them. The mask leaves a TPC
/// that is there: it confines to some ([`super::Tpcs`]).
pub(crate) fn with<T>(mask: TpcMask, forward: impl FnOnce() -> T) -> (T, Written) {
    UNDER_WAY.set(Some((mask, Written::default())));
    let _over = Over;
    let done = forward();
    let written = UNDER_WAY.get().map(|(_, written)| written).unwrap_or_default();
    (done, written)
}

/// The driver's callback. Where nothing is under way on this thread, the launch stays as the driver made it.
///
/// # Safety
/// `params` is null or the parameters of a launch that the driver announces, with a descriptor that nobody else uses yet.
pub(super) unsafe extern "C" fn launch(_user: *mut c_void, domain: c_int, id: c_int, params: *const c_void) {
    let Some((mask, mut written)) = UNDER_WAY.get() else { return };
    if (domain, id) != (qmd::DOMAIN, qmd::LAUNCH) {
        return;
    }
    // SAFETY: the function's contract.
    match shield::shielded(|| unsafe { put(mask, params) }) {
        Some(Ok(true)) => written.masked += 1,
        Some(Ok(false)) | None => written.bare += 1,
        Some(Err(off)) => (written.bare, written.off) = (written.bare + 1, Some(off)),
    }
    UNDER_WAY.set(Some((mask, written)));
}

/// Gives a launch the mask beside one of the driver's own, which it has where the program works in a green context. False
/// where together nothing would be left.
///
/// # Safety
/// As for [`launch`].
unsafe fn put(mask: TpcMask, params: *const c_void) -> Result<bool, Off> {
    // SAFETY: the function's contract.
    let descriptor = unsafe { qmd::descriptor(params) }.ok_or(Off::NoDescriptor)?;
    // SAFETY: as above: it is the driver's own.
    let form = unsafe { Form::of(descriptor) }.map_err(Off::UnknownDescriptor)?;
    // SAFETY: the descriptor is of this form.
    let both = mask.and(unsafe { form.mask(descriptor) }.unwrap_or(TpcMask::NONE));
    let leaves_some = both.bits() | form.beyond() != u128::MAX;
    if leaves_some {
        // SAFETY: as above, and the driver waits for this call.
        unsafe { form.set_mask(descriptor, both) };
    }
    Ok(leaves_some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi::qmd::UnknownQmd;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::ptr::NonNull;

    /// A launch as the driver announces it: the fifth word of its parameters points to the descriptor.
    struct Announcement {
        parameters: [usize; 8],
        descriptor: Box<[u32; 96]>,
    }

    impl Announcement {
        /// Of a descriptor of this version (measured on H200: 0x40 in byte 72).
        fn of_version(version: u32) -> Announcement {
            let mut announcement =
                Announcement { parameters: [64, 0, 0, 0, 0, 0, 0, 0], descriptor: Box::new([0; 96]) };
            announcement.descriptor[18] = version;
            announcement
        }

        /// With a mask of the driver's own.
        fn with_own(mut self, mask: TpcMask) -> Announcement {
            let descriptor = NonNull::from(&mut *self.descriptor).cast();
            // SAFETY: the descriptor is whole.
            unsafe { Form::of(descriptor).expect("a known version").set_mask(descriptor, mask) };
            self
        }

        fn announce(&mut self) {
            self.parameters[4] = self.descriptor.as_mut_ptr() as usize;
            let parameters = self.parameters.as_ptr().cast();
            // SAFETY: the parameters are whole.
            unsafe { launch(std::ptr::null_mut(), qmd::DOMAIN, qmd::LAUNCH, parameters) };
        }

        fn mask(&self) -> Option<TpcMask> {
            let descriptor = NonNull::from(&*self.descriptor).cast();
            // SAFETY: the descriptor is whole.
            unsafe { Form::of(descriptor).expect("a known version").mask(descriptor) }
        }
    }

    /// Leaves the TPCs of the two lowest places.
    const MASK: TpcMask = TpcMask::new(!0b11);

    const UNKNOWN: Off = Off::UnknownDescriptor(UnknownQmd { at_72: 0xFE, at_58: 0 });

    const MASKED: Written = Written { masked: 1, bare: 0, off: None };

    #[test]
    fn a_launch_that_is_announced_during_the_call_carries_the_mask() {
        let mut launch = Announcement::of_version(0x40);
        let ((), written) = with(MASK, || launch.announce());
        assert_eq!(launch.mask(), Some(MASK));
        assert_eq!(written, MASKED);
        assert!(written.all());
    }

    #[test]
    fn launches_before_and_after_the_call_carry_none() {
        let mut launch = Announcement::of_version(0x40);
        launch.announce();
        with(MASK, || ());
        launch.announce();
        assert_eq!(launch.mask(), None);
    }

    #[test]
    fn a_launch_of_another_thread_carries_none() {
        let mut launch = Announcement::of_version(0x40);
        let ((), written) =
            with(MASK, || std::thread::scope(|scope| scope.spawn(|| launch.announce()).join().unwrap()));
        assert_eq!(launch.mask(), None);
        assert!(!written.all(), "nothing was announced on this thread");
    }

    #[test]
    fn a_mask_of_the_drivers_own_holds_as_well() {
        let mut launch = Announcement::of_version(0x40).with_own(TpcMask::new(!0b110));
        let ((), written) = with(MASK, || launch.announce());
        assert_eq!(launch.mask(), Some(TpcMask::new(!0b010)));
        assert_eq!(written, MASKED);
    }

    #[test]
    fn a_launch_that_no_tpc_would_be_left_stays_as_the_driver_made_it() {
        let own = TpcMask::new(!0b100);
        let mut launch = Announcement::of_version(0x40).with_own(own);
        let ((), written) = with(MASK, || launch.announce());
        assert_eq!(launch.mask(), Some(own));
        assert_eq!(written, Written { masked: 0, bare: 1, off: None });
    }

    #[test]
    fn a_descriptor_that_is_not_known_stays_as_it_is() {
        let mut launch = Announcement::of_version(0xFE);
        let before = launch.descriptor.clone();
        let ((), written) = with(MASK, || launch.announce());
        assert_eq!(launch.descriptor, before);
        assert_eq!(written, Written { masked: 0, bare: 1, off: Some(UNKNOWN) });
    }

    #[test]
    fn parameters_without_a_descriptor_are_not_followed() {
        let mut short = Announcement::of_version(0x40);
        short.parameters[0] = 8;
        let ((), written) = with(MASK, || short.announce());
        assert_eq!((short.mask(), written.off), (None, Some(Off::NoDescriptor)));
    }

    #[test]
    fn all_launches_of_one_call_are_counted() {
        let mut launches = [0x40, 0x40, 0xFE].map(Announcement::of_version);
        let ((), written) = with(MASK, || launches.iter_mut().for_each(Announcement::announce));
        assert_eq!(written, Written { masked: 2, bare: 1, off: Some(UNKNOWN) });
        assert!(!written.all());
    }

    #[test]
    fn a_call_that_ends_early_leaves_no_mask_behind() {
        let ended = catch_unwind(AssertUnwindSafe(|| with(MASK, || panic!("on purpose"))));
        assert!(ended.is_err());
        let mut launch = Announcement::of_version(0x40);
        launch.announce();
        assert_eq!(launch.mask(), None);
    }
}
