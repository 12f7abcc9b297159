//! Timings that are repeated until the noise is small.
//!
//! The least of a few tries of an atomic still varies by a cycle or two, and slices of a chip may differ by less than
//! that from each SM. So lines are timed in several passes, each a launch of its own, and of the passes' leasts the
//! lower half is averaged: other work only ever makes a try longer, so the upper half is where it shows. Averages need
//! a finer unit than a cycle: see [`PER_CYCLE`].

use crate::{Bench, BenchError, Measurement};
use std::collections::BTreeMap;
use units::DeviceVa;

/// How many units of an averaged latency make a cycle.
pub(crate) const PER_CYCLE: u32 = 16;
/// How many lines go into one launch: so many times SMs latencies, 4 bytes each, have to be kept for each pass.
const LINES_A_LAUNCH: usize = 8_192;

/// How often lines are timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tries {
    /// How many launches.
    pub(crate) passes: u32,
    /// How many tries a launch, of which the least counts.
    pub(crate) reps: u32,
}

/// The averaged latencies of lines from every SM: rows in the order of `%smid`, in units of 1/[`PER_CYCLE`] cycles. An
/// SM that less than half of the passes saw is left out. `after_pass` is told of each pass how many lines it timed.
pub(crate) fn average(
    bench: &mut dyn Bench,
    lines: &[DeviceVa],
    tries: Tries,
    after_pass: &mut dyn FnMut(usize),
) -> Result<Measurement, BenchError> {
    let sms = bench.gpu().sms;
    let mut rows: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (number, chunk) in lines.chunks(LINES_A_LAUNCH).enumerate() {
        let mut seen: BTreeMap<u32, Vec<Vec<u32>>> = BTreeMap::new();
        for _ in 0..tries.passes {
            let pass = bench.latencies(sms, chunk, tries.reps)?;
            for (&smid, row) in pass.smids.iter().zip(pass.cycles.chunks_exact(chunk.len())) {
                seen.entry(smid).or_default().push(row.to_vec());
            }
            after_pass(chunk.len());
        }
        seen.retain(|_, passes| 2 * passes.len() >= tries.passes as usize);
        if number > 0 {
            rows.retain(|smid, _| seen.contains_key(smid));
        }
        for (smid, passes) in seen {
            let so_far = number * LINES_A_LAUNCH;
            let row = rows.entry(smid).or_default();
            // An SM that was missing before has no latencies of the first lines.
            if row.len() == so_far {
                row.extend((0..chunk.len()).map(|line| lower_half(passes.iter().map(|pass| pass[line]).collect())));
            }
        }
        rows.retain(|_, row| row.len() == number * LINES_A_LAUNCH + chunk.len());
    }
    let (smids, rows): (Vec<u32>, Vec<Vec<u32>>) = rows.into_iter().unzip();
    Ok(Measurement { smids, cycles: rows.concat() })
}

/// The mean of the lower half of some latencies.
fn lower_half(mut cycles: Vec<u32>) -> u32 {
    cycles.sort_unstable();
    let kept = &cycles[..cycles.len().div_ceil(2)];
    let sum: u64 = kept.iter().map(|&cycles| u64::from(cycles) * u64::from(PER_CYCLE)).sum();
    u32::try_from(sum / kept.len() as u64).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GpuInfo, GpuUuid, Stretch};
    use units::Bytes;

    /// Three SMs that take 300 cycles and their number; a pass adds what is listed for it. SM 2 misses some passes.
    struct Scripted {
        info: GpuInfo,
        added: Vec<u32>,
        without_sm_2: Vec<usize>,
        pass: usize,
    }

    impl Bench for Scripted {
        fn gpu(&self) -> &GpuInfo {
            &self.info
        }
        fn memory(&self) -> &[Stretch] {
            &[]
        }
        fn vram(&self) -> Bytes {
            Bytes::ZERO
        }
        fn latencies(&mut self, _: u32, lines: &[DeviceVa], _: u32) -> Result<Measurement, BenchError> {
            let pass = self.pass % self.added.len();
            self.pass += 1;
            // Blocks come in another order each time.
            let mut smids: Vec<u32> = if self.without_sm_2.contains(&pass) { vec![0, 1] } else { vec![0, 1, 2] };
            let order = pass % smids.len();
            smids.rotate_left(order);
            let cycles = smids.iter().flat_map(|sm| [300 + sm + self.added[pass]].repeat(lines.len())).collect();
            Ok(Measurement { smids, cycles })
        }
    }

    fn scripted(added: &[u32], without_sm_2: &[usize]) -> Scripted {
        let info = GpuInfo { name: "scripted".into(), uuid: GpuUuid::default(), sms: 3, driver: None };
        Scripted { info, added: added.to_vec(), without_sm_2: without_sm_2.to_vec(), pass: 0 }
    }

    #[test]
    fn disturbed_passes_do_not_count_and_rows_are_in_the_order_of_the_sms() {
        let lines = vec![DeviceVa::new(0); LINES_A_LAUNCH + 3];
        let mut timed = 0;
        let tries = Tries { passes: 4, reps: 1 };
        let found = average(&mut scripted(&[0, 90, 1, 700], &[]), &lines, tries, &mut |lines| timed += lines).unwrap();
        assert_eq!((&found.smids[..], timed), (&[0, 1, 2][..], 4 * lines.len()));
        for (sm, row) in found.cycles.chunks_exact(lines.len()).enumerate() {
            // The mean of 0 and 1 more.
            assert!(row.iter().all(|&cycles| cycles == (300 + sm as u32) * PER_CYCLE + PER_CYCLE / 2));
        }
    }

    #[test]
    fn an_sm_that_most_passes_missed_is_left_out() {
        let lines = [DeviceVa::new(0); 2];
        let tries = Tries { passes: 4, reps: 1 };
        let found = average(&mut scripted(&[0; 4], &[0, 1, 3]), &lines, tries, &mut |_| ()).unwrap();
        assert_eq!((found.smids, found.cycles.len()), (vec![0, 1], 4));
        let found = average(&mut scripted(&[0; 4], &[0, 1]), &lines, tries, &mut |_| ()).unwrap();
        assert_eq!(found.smids, [0, 1, 2]);
    }
}
