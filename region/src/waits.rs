//! What a histogram of waits had counted at one moment.

/// How many buckets a [`crate::WaitHistogram`] has.
pub(crate) const WAIT_BUCKETS: usize = 24;

/// What a [`crate::WaitHistogram`] had counted at one moment, by bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waits([u32; WAIT_BUCKETS]);

impl Waits {
    pub(crate) fn new(counts: [u32; WAIT_BUCKETS]) -> Self {
        Waits(counts)
    }

    /// The buckets, shortest waits first: how many waits there were of less than so many microseconds, and not counted
    /// in a bucket before. The last one has no bound.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let bound = |i| (i + 1 < WAIT_BUCKETS).then_some(1u64 << i);
        self.0.iter().enumerate().map(move |(i, &count)| (bound(i), count.into()))
    }

    /// The upper bound, in microseconds, of the bucket in which the given part of the waits (0 to 1) is reached; 0
    /// where nothing waited.
    pub fn quantile_us(&self, part: f64) -> u64 {
        let total: u64 = self.0.iter().copied().map(u64::from).sum();
        let wanted = (total as f64 * part).ceil() as u64;
        let mut seen = 0;
        for (i, &count) in self.0.iter().enumerate() {
            seen += u64::from(count);
            if total > 0 && seen >= wanted {
                return 1 << i;
            }
        }
        0
    }
}
