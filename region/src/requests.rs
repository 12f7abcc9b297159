//! Requests that a latency-sensitive tenant finished, for the arbiter to read.

use crate::shared::shared;
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use units::Nanos;

/// Requests that are kept until the arbiter has read them: it looks every 50 ms, in which 2,000 a second are 100.
const KEPT: usize = 112;

/// One finished request, as its tenant tells of it. Nothing in it is to be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// A number for its kind: that of the first graph that it launched, or 0.
    pub kind: u64,
    /// The time from its first work until all of it was known to be done.
    pub took: Nanos,
    /// Its end.
    pub ended: Nanos,
    /// Whether no best-effort tenant of its GPU had work meanwhile.
    pub alone: bool,
}

shared! {
    /// A finished request.
    pub(crate) struct Entry: 24 => {
        0 kind: AtomicU64,
        8 ended: AtomicU64,
        /// In nanoseconds; the longest that can be told is 4.3 s.
        16 took: AtomicU32,
        20 alone: AtomicU32,
    }
}

shared! {
    /// The last requests that a tenant finished. Written by the tenant alone.
    pub struct Requests: 2696 => {
        /// The number of requests written since the tenant began.
        0 written: AtomicU64,
        8 entries: [Entry; KEPT],
    }
}

impl Requests {
    /// Tenant: adds a request. One thread at a time.
    pub fn add(&self, served: Served) {
        let written = self.written.load(Ordering::Relaxed);
        let entry = &self.entries[written as usize % KEPT];
        entry.kind.store(served.kind, Ordering::Relaxed);
        entry.ended.store(served.ended.get(), Ordering::Relaxed);
        entry.took.store(u32::try_from(served.took.get()).unwrap_or(u32::MAX), Ordering::Relaxed);
        entry.alone.store(served.alone.into(), Ordering::Relaxed);
        self.written.store(written.wrapping_add(1), Ordering::Release);
    }

    /// Arbiter: the requests since `read` were written, which becomes the number of those written now. Those that were
    /// overwritten meanwhile are lost.
    pub fn since(&self, read: &mut u64) -> Vec<Served> {
        let written = self.written.load(Ordering::Acquire);
        // One less than there is room for, as the tenant may be writing the next.
        let new = written.wrapping_sub(*read).min(KEPT as u64 - 1);
        *read = written;
        (0..new)
            .map(|back| {
                let entry = &self.entries[written.wrapping_sub(new - back) as usize % KEPT];
                Served {
                    kind: entry.kind.load(Ordering::Relaxed),
                    ended: Nanos::new(entry.ended.load(Ordering::Relaxed)),
                    took: Nanos::new(entry.took.load(Ordering::Relaxed).into()),
                    alone: entry.alone.load(Ordering::Relaxed) == 1,
                }
            })
            .collect()
    }

    /// Under the slot's lock: nothing of a former tenant stays.
    pub(crate) fn clear(&self) {
        self.written.store(0, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::shared::Shared;

    fn served(number: u64) -> Served {
        let time = Nanos::new(1000 + number);
        Served { kind: number % 3, took: time, ended: time, alone: number % 2 == 1 }
    }

    #[test]
    fn each_request_is_read_once_in_order() {
        let (requests, mut read) = (Requests::zeroed(), 0);
        assert_eq!(requests.since(&mut read), []);
        (0..3).for_each(|number| requests.add(served(number)));
        assert_eq!(requests.since(&mut read), [served(0), served(1), served(2)]);
        requests.add(served(3));
        assert_eq!(requests.since(&mut read), [served(3)]);
        assert_eq!(requests.since(&mut read), []);
    }

    #[test]
    fn of_more_requests_than_are_kept_the_last_are_read() {
        let (requests, mut read) = (Requests::zeroed(), 0);
        (0..1000).for_each(|number| requests.add(served(number)));
        let last = requests.since(&mut read);
        assert_eq!((last.first(), last.last()), (Some(&served(889)), Some(&served(999))));
    }

    #[test]
    fn a_number_that_makes_no_sense_reads_no_more_than_there_is() {
        let (requests, mut read) = (Requests::zeroed(), 7);
        requests.written.store(3, Ordering::Relaxed);
        assert_eq!(requests.since(&mut read).len(), KEPT - 1);
        assert_eq!(read, 3);
    }
}
