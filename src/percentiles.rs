//! Percentiles of measured times.

/// The value that the given part (0 to 1) of the values does not exceed, by the nearest-rank method; `None` of none.
pub fn percentile(sorted: &[f64], part: f64) -> Option<f64> {
    let rank = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied()
}

/// The figures of latencies, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Latencies {
    /// How many there are.
    pub count: usize,
    /// Half are not longer.
    pub p50_us: f64,
    /// 9 of 10 are not longer.
    pub p90_us: f64,
    /// 99 of 100 are not longer.
    pub p99_us: f64,
    /// The longest.
    pub max_us: f64,
}

impl Latencies {
    /// Sums up latencies in microseconds; `None` of none.
    pub fn of(mut micros: Vec<f64>) -> Option<Latencies> {
        micros.sort_by(f64::total_cmp);
        Some(Latencies {
            count: micros.len(),
            p50_us: percentile(&micros, 0.5)?,
            p90_us: percentile(&micros, 0.9)?,
            p99_us: percentile(&micros, 0.99)?,
            max_us: percentile(&micros, 1.0)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values: Vec<f64> = (1..=200).map(f64::from).collect();
        assert_eq!([0.0, 0.5, 0.99, 1.0].map(|part| percentile(&values, part)), [1.0, 100.0, 198.0, 200.0].map(Some));
        assert_eq!(percentile(&[7.0], 0.99), Some(7.0));
        assert_eq!(percentile(&[], 0.5), None);
    }

    #[test]
    fn latencies_need_not_be_sorted() {
        let latencies = Latencies::of(vec![3.0, 1.0, 2.0]).unwrap();
        assert_eq!((latencies.p50_us, latencies.max_us, latencies.count), (2.0, 3.0, 3));
        assert_eq!(Latencies::of(Vec::new()), None);
    }
}
