//! How much other work disturbs the timings.
//!
//! On an idle GPU an atomic on a line takes about the same time whenever it is tried. Other work makes some tries
//! wait: in the L2, on the way there, or because the SM runs something else in between. So the share of tries that
//! take much longer than the least one of the same line and SM tells how busy the GPU is.
//!
//! Measured on an H100 (driver 580.159.04): 0.2 % of the tries on an idle one, as much in an MPS client, and 64 % in
//! an MPS client beside another that copies 1 GiB to and fro. Beside the same without MPS it was 0.3 %: there the GPU is
//! another's in other time slices, and the timings are as good as on an idle one.

use crate::lines::LINE;
use crate::{Bench, BenchError, Measurement};
use std::collections::BTreeMap;
use units::{Bytes, DeviceVa};

/// How much longer than the least a try takes that was disturbed, as a share of the least: more than a clock's
/// steps or the L2's own jitter.
const MUCH: f64 = 0.2;

/// How many lines are timed to tell how busy a GPU is, and how often.
const LINES: u64 = 64;
const PASSES: usize = 16;

/// How disturbed some timings were.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Busy {
    /// The share of tries, other than each line's least, that took much longer than it: next to 0 on an idle GPU.
    pub share: f64,
    /// How many tries that is out of.
    pub tries: usize,
}

impl Busy {
    /// From this share on a probe may need several tries.
    pub const DISTURBED: f64 = 0.02;
    /// From this share on a probe makes no sense.
    pub const TOO_BUSY: f64 = 0.25;
}

/// Times a few lines again and again to see how busy a GPU is; `None` where no SM answered twice.
pub fn how_busy(bench: &mut dyn Bench) -> Result<Option<Busy>, BenchError> {
    let (sms, lines) = (bench.gpu().sms, first_lines(bench));
    // The first time, the lines and their addresses are in no cache yet.
    bench.latencies(sms, &lines, 1)?;
    let tries: Result<Vec<Measurement>, BenchError> = (0..PASSES).map(|_| bench.latencies(sms, &lines, 1)).collect();
    Ok(busy(&tries?))
}

fn first_lines(bench: &dyn Bench) -> Vec<DeviceVa> {
    let Some(first) = bench.memory().first() else { return Vec::new() };
    let count = LINES.min(first.bytes.get() / LINE.get());
    (0..count).map(|line| first.va + Bytes::new(line * LINE.get())).collect()
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
