//! The maker of a request: the driver, or somebody who interposes `ioctl`.
//!
//! The driver's requests go through whatever `ioctl` the program resolved. An interposer forwards the driver's request
//! and may then make more of its own before it returns. So the first request that comes while the driver waits for an
//! answer is the driver's, and all others are an interposer's.

use std::cell::Cell;

/// The maker of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Driver,
    Interposer,
}

thread_local! {
    /// Whether this thread's next request is the driver's own.
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// The time in which the driver waits for the answer to one request. An interposer may call the driver meanwhile, so
/// that such times nest.
pub(super) struct Waiting {
    before: bool,
}

impl Waiting {
    pub(super) fn begin() -> Self {
        Waiting { before: EXPECTED.replace(true) }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        EXPECTED.set(self.before);
    }
}

/// The maker of the request that came just now.
pub(super) fn of_this_request() -> Origin {
    if EXPECTED.replace(false) { Origin::Driver } else { Origin::Interposer }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_request_while_the_driver_waits_is_its_own() {
        assert_eq!(of_this_request(), Origin::Interposer);
        let outer = Waiting::begin();
        assert_eq!([of_this_request(), of_this_request()], [Origin::Driver, Origin::Interposer]);
        let inner = Waiting::begin();
        assert_eq!([of_this_request(), of_this_request()], [Origin::Driver, Origin::Interposer]);
        drop(inner);
        assert_eq!(of_this_request(), Origin::Interposer, "the outer request has been made");
        drop(outer);
        let unanswered = Waiting::begin();
        drop(unanswered);
        assert_eq!(of_this_request(), Origin::Interposer);
    }
}
