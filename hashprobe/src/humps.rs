//! Splits latencies into a near and a far hump.
//!
//! The threshold is Otsu's (1979): the cut that leaves the least variance within the two groups. A cut always
//! exists, so the separation tells whether there were two humps: the distance of the means over the sum of the
//! standard deviations. A single Gaussian gives 1.3 and a uniform spread 1.7; an H200's two sides give above 5.

/// The cut between two humps and its quality.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Humps {
    /// The first latency that is far.
    pub(crate) threshold: u32,
    /// Distance of the means over the sum of the standard deviations.
    pub(crate) separation: f64,
    /// The share of latencies that is far.
    pub(crate) far_share: f64,
}

/// The best cut; `None` where all latencies are the same, or there are none.
pub(crate) fn split(cycles: &[u32]) -> Option<Humps> {
    let mut sorted = cycles.to_vec();
    sorted.sort_unstable();
    // A rare latency far out (a refresh, a fault) must not draw the cut towards itself.
    let clip = sorted.len() / 200;
    let (low, high) = (*sorted.get(clip)?, *sorted.get(sorted.len() - 1 - clip)?);
    let values: Vec<f64> = sorted.iter().map(|&c| f64::from(c.clamp(low, high))).collect();
    let total: f64 = values.iter().sum();
    let (mut below, mut best, mut cut) = (0.0, 0.0, None);
    for at in 1..values.len() {
        below += values[at - 1];
        if values[at - 1] == values[at] {
            continue;
        }
        let (near, far) = (at as f64, (values.len() - at) as f64);
        let between = near * far * ((total - below) / far - below / near).powi(2);
        if between > best {
            (best, cut) = (between, Some(at));
        }
    }
    let cut = cut?;
    let ((near, near_spread), (far, far_spread)) = (mean_and_spread(&values[..cut]), mean_and_spread(&values[cut..]));
    Some(Humps {
        // The middle of the gap between them.
        threshold: sorted[cut - 1].midpoint(sorted[cut]) + 1,
        // A spread of less than a cycle is the clock's own grain.
        separation: (far - near) / (near_spread + far_spread).max(1.0),
        far_share: (values.len() - cut) as f64 / values.len() as f64,
    })
}

fn mean_and_spread(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
    (mean, variance.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_humps_are_cut_between_them() {
        let cycles: Vec<u32> = (0..1000).map(|i| if i % 2 == 0 { 260 + i % 60 } else { 440 + i % 80 }).collect();
        let humps = split(&cycles).unwrap();
        assert!((321..=440).contains(&humps.threshold), "{humps:?}");
        assert!(humps.separation > 3.0, "{humps:?}");
        assert_eq!(humps.far_share, 0.5);
    }

    #[test]
    fn one_spread_of_latencies_has_a_poor_separation() {
        let cycles: Vec<u32> = (0..1000).map(|i| 260 + i % 200).collect();
        assert!(split(&cycles).unwrap().separation < 2.0);
    }

    #[test]
    fn a_few_latencies_far_out_do_not_move_the_cut() {
        let mut cycles: Vec<u32> = (0..1000).map(|i| if i % 2 == 0 { 260 + i % 60 } else { 440 + i % 80 }).collect();
        cycles.extend([90_000, 120_000]);
        assert!((321..=440).contains(&split(&cycles).unwrap().threshold));
    }

    #[test]
    fn equal_latencies_have_no_cut() {
        assert_eq!(split(&[300; 50]), None);
        assert_eq!(split(&[]), None);
    }
}
