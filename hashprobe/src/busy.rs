//! How much other work disturbs the timings.
//!
//! On an idle GPU an atomic on a line takes about the same time whenever it is tried. Other work makes some tries
//! wait: in the L2, on the way there, or because the SM runs something else in between. So the share of tries that
//! take much longer than the least one of the same line and SM tells how busy the GPU is.

use crate::Measurement;
use std::collections::BTreeMap;

/// How much longer than the least a try takes that was disturbed, as a share of the least: more than a clock's
/// steps or the L2's own jitter.
const MUCH: f64 = 0.2;

/// How disturbed some timings were.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Busy {
    /// The share of tries, other than each line's least, that took much longer than it: 0 on an idle GPU.
    pub share: f64,
    /// How many tries that is out of.
    pub tries: usize,
}

/// How disturbed repeated timings of the same lines were; `None` where no SM timed them twice, or shapes differ.
pub fn busy(tries: &[Measurement]) -> Option<Busy> {
    let mut rows: BTreeMap<u32, Vec<&[u32]>> = BTreeMap::new();
    for measurement in tries {
        let lines = measurement.cycles.len().checked_div(measurement.smids.len()).filter(|&lines| lines > 0)?;
        for (&smid, row) in measurement.smids.iter().zip(measurement.cycles.chunks_exact(lines)) {
            rows.entry(smid).or_default().push(row);
        }
    }
    let (mut disturbed, mut count) = (0, 0);
    for of_sm in rows.values() {
        if of_sm.iter().any(|row| row.len() != of_sm[0].len()) {
            return None;
        }
        for line in 0..of_sm[0].len() {
            let least = of_sm.iter().map(|row| row[line]).min()?;
            let much = f64::from(least) * (1.0 + MUCH);
            disturbed += of_sm.iter().filter(|row| f64::from(row[line]) > much).count();
            count += of_sm.len() - 1;
        }
    }
    (count > 0).then(|| Busy { share: disturbed as f64 / count as f64, tries: count })
}
