//! The time that a command takes on a bus that it has to itself.

use units::{Bytes, Nanos};

/// The time that one command takes.
pub(crate) fn duration(bytes: Bytes, gbps: f64, latency_us: f64) -> Nanos {
    let transfer = if gbps > 0.0 { bytes.get() as f64 / gbps } else { 0.0 };
    Nanos::new((latency_us * 1e3 + transfer) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_is_latency_and_transfer() {
        assert_eq!(duration(Bytes::new(50_000), 50.0, 2.0), Nanos::new(3_000));
    }
}
