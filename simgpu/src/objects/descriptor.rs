//! Launch descriptors (QMD): made for each launch, shown to subscribers, who may put a mask of TPCs in, and then the GPU's.

use super::lock;
use abi::qmd::{self, CallbackFn, DESCRIPTOR, DOMAIN, LAUNCH, TpcMask};
use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Words of the parameters of a callback: as many as those of a real driver have at least.
const PARAMETERS: usize = 10;

/// A function that is shown descriptors.
#[derive(Clone, Copy)]
struct Subscriber {
    callback: CallbackFn,
    /// Its first argument, an address that means something to it alone.
    user: usize,
    is_enabled: bool,
}

/// The subscribers so far; a handle is a place here, from 1 on. Nobody leaves.
static SUBSCRIBERS: Mutex<Vec<Subscriber>> = Mutex::new(Vec::new());
/// The number that are enabled, so that launches look no further where nobody is.
static ENABLED: AtomicUsize = AtomicUsize::new(0);

/// Adds a subscriber, who is told nothing yet; returns its handle.
pub(crate) fn subscribe(callback: CallbackFn, user: *mut c_void) -> u32 {
    let mut subscribers = lock(&SUBSCRIBERS);
    subscribers.push(Subscriber { callback, user: user.addr(), is_enabled: false });
    subscribers.len() as u32
}

/// Tells a subscriber of descriptors from now on, or no longer; whether there is one with that handle.
pub(crate) fn enable(handle: u32, on: bool) -> bool {
    let mut subscribers = lock(&SUBSCRIBERS);
    let place = (handle as usize).checked_sub(1);
    let Some(subscriber) = place.and_then(|place| subscribers.get_mut(place)) else { return false };
    subscriber.is_enabled = on;
    ENABLED.store(subscribers.iter().filter(|subscriber| subscriber.is_enabled).count(), Ordering::Release);
    true
}

/// A descriptor as long as those of version 4.0. Of its fields it has only those that this project knows.
#[repr(C, align(256))]
struct Qmd([u8; 384]);

impl Qmd {
    /// The descriptor of a launch on a GPU of that compute capability.
    fn new(compute: (u32, u32)) -> Self {
        let (at, version) = match compute {
            (10.., _) => (58, 0x50),
            (9, _) => (72, 0x40),
            (8, _) => (72, 0x30),
            (7, 5..) => (72, 0x23),
            (7, _) => (72, 0x22),
            (6, _) => (72, 0x21),
            _ => (72, 0x17),
        };
        let mut bytes = [0; 384];
        bytes[at] = version;
        Qmd(bytes)
    }
}

/// Makes the descriptor of a launch on a GPU of that compute capability and shows it to the subscribers, on the calling
/// thread; returns the mask that it then has.
pub(crate) fn announce(compute: (u32, u32)) -> TpcMask {
    if ENABLED.load(Ordering::Acquire) == 0 {
        return TpcMask::NONE;
    }
    // They are called without the lock, as they may subscribe.
    let told: Vec<Subscriber> = lock(&SUBSCRIBERS).iter().filter(|one| one.is_enabled).copied().collect();
    let mut descriptor = Qmd::new(compute);
    let mut parameters = [0usize; PARAMETERS];
    parameters[0] = size_of_val(&parameters);
    parameters[DESCRIPTOR] = (&raw mut descriptor).expose_provenance();
    for subscriber in told {
        let user = core::ptr::with_exposed_provenance_mut(subscriber.user);
        // SAFETY: the subscriber gave the function to be called like this, with its own argument, from any thread.
        unsafe { (subscriber.callback)(user, DOMAIN, LAUNCH, parameters.as_ptr().cast()) };
    }
    // SAFETY: the descriptor is longer than what any form uses, and is of the version that it was made with.
    let mask = unsafe { qmd::mask(NonNull::from(&mut descriptor).cast()) };
    mask.ok().flatten().unwrap_or(TpcMask::NONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_gpu_has_descriptors_of_a_known_version() {
        for compute in [(5, 0), (6, 1), (7, 0), (7, 5), (8, 6), (9, 0), (10, 0)] {
            let mut descriptor = Qmd::new(compute);
            let place = NonNull::from(&mut descriptor).cast();
            // SAFETY: the descriptor is longer than what any form uses.
            assert_eq!(unsafe { qmd::mask(place) }, Ok(None), "{compute:?}");
            // SAFETY: as above.
            unsafe { qmd::set_mask(place, TpcMask(0b101)) }.expect("a known version");
            // SAFETY: as above.
            assert_eq!(unsafe { qmd::mask(place) }, Ok(Some(TpcMask(0b101))), "{compute:?}");
        }
    }
}
