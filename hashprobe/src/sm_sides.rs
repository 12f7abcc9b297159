//! Which side each SM is on: the one whose lines are near.

use crate::{Bench, BenchError};
use units::DeviceVa;

/// How often SMs that no block ran on are looked for again.
const ROUNDS: u32 = 4;
/// The least share of lines that must lie on the right side of the cut between the two medians.
const LEAST_CLEAR: f64 = 0.9;

/// The class whose lines are near, by `%smid`; `None` for an SM that was not seen or sees no clear difference.
pub(crate) fn find(
    bench: &mut dyn Bench,
    classes: [&[DeviceVa]; 2],
    reps: u32,
) -> Result<Vec<Option<u32>>, BenchError> {
    let sms = bench.gpu().sms;
    let lines = classes.concat();
    let mut sides = vec![None; sms as usize];
    for _ in 0..ROUNDS {
        let measurement = bench.latencies(2 * sms, &lines, reps)?;
        for (&smid, row) in measurement.smids.iter().zip(measurement.cycles.chunks_exact(lines.len())) {
            // `%smid` may skip numbers, so it may exceed the number of SMs.
            let place = smid as usize;
            if place >= sides.len() {
                sides.resize(place + 1, None);
            }
            sides[place] = sides[place].or(near(row, classes[0].len()));
        }
        if sides.iter().flatten().count() >= sms as usize {
            break;
        }
    }
    Ok(sides)
}

/// Which of the two classes is near: 0 for the first `split` latencies, 1 for the rest.
pub(crate) fn near(row: &[u32], split: usize) -> Option<u32> {
    let (zero, one) = row.split_at(split);
    let (a, b) = (median(zero)?, median(one)?);
    let cut = a.midpoint(b);
    let (near, far) = if a < b { (zero, one) } else { (one, zero) };
    let clear = near.iter().filter(|&&c| c <= cut).count() + far.iter().filter(|&&c| c > cut).count();
    (a != b && clear as f64 >= LEAST_CLEAR * row.len() as f64).then_some(u32::from(a > b))
}

fn median(cycles: &[u32]) -> Option<u32> {
    let mut sorted = cycles.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied()
}
