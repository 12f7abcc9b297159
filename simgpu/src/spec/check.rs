//! Whether the figures of a description make sense.

use super::{GRANULE, GpuSpec, Latency, MAX_SMS, SMS_OF_TPC, SpecError};
use std::collections::BTreeSet;
use std::fmt::Debug;

fn ensure(good: bool, field: &'static str, value: &dyn Debug, rule: &'static str) -> Result<(), SpecError> {
    if good { Ok(()) } else { Err(SpecError::Value { field, value: format!("{value:?}"), rule }) }
}

impl GpuSpec {
    pub(super) fn check(&self) -> Result<(), SpecError> {
        ensure(!self.name.is_empty(), "name", &self.name, "a GPU needs a name")?;
        ensure((1..=MAX_SMS).contains(&self.sms), "sms", &self.sms, "there are 1 to 512 SMs")?;
        ensure(
            self.vram >= GRANULE && self.vram.is_multiple_of(GRANULE),
            "vram",
            &self.vram.get(),
            "VRAM comes in whole pieces of 2 MiB, at least one",
        )?;
        let l2 = self.l2.get();
        ensure(i32::try_from(l2).is_ok(), "l2", &l2, "CUDA reports less than 2 GiB")?;
        ensure(self.compute.0 > 0, "compute", &self.compute, "the major version is at least 1")?;
        ensure(self.clock_mhz > 0, "clock_mhz", &self.clock_mhz, "the clock must run")?;
        for (field, value) in [
            ("dram.gbps", self.dram.gbps),
            ("dram.sm_gbps", self.dram.sm_gbps),
            ("bus.h2d_gbps", self.bus.h2d_gbps),
            ("bus.d2h_gbps", self.bus.d2h_gbps),
            ("bus.latency_us", self.bus.latency_us),
            ("launch_us", self.launch_us),
            ("turns.copy_switch_us", self.turns.copy_switch_us),
            ("turns.copy_preempt_us", self.turns.copy_preempt_us),
            ("turns.graphics_switch_us", self.turns.graphics_switch_us),
        ] {
            ensure(value.is_finite() && value > 0.0, field, &value, "it must be a positive number")?;
        }
        ensure(self.limits.uvm_handles > 0, "limits.uvm_handles", &self.limits.uvm_handles, "at least one is needed")?;
        self.hash.check().map_err(|bad| SpecError::Value { field: bad.field, value: bad.value, rule: bad.rule })?;
        let sides = self.sides();
        ensure(
            (0..sides).all(|side| (0..self.sms).any(|sm| self.sm_side(sm) == side))
                && self.sm_sides.iter().all(|&side| u32::from(side) < sides),
            "sm_sides",
            &self.sm_sides,
            "every side needs an SM, and every SM one of the sides of the hash",
        )?;
        let bits: BTreeSet<u8> = self.tpc_bits.iter().copied().collect();
        ensure(
            self.tpc_bits.is_empty()
                || bits.len() == self.tpc_bits.len()
                    && bits.len() == self.sms.div_ceil(SMS_OF_TPC) as usize
                    && bits.iter().all(|&bit| u32::from(bit) < u128::BITS),
            "tpc_bits",
            &self.tpc_bits,
            "each pair of SMs has a bit below 128 of its own",
        )?;
        self.latency.check(sides, self.hash.slices_per_side())
    }
}

impl Latency {
    fn check(&self, sides: u32, slices_per_side: u32) -> Result<(), SpecError> {
        ensure(self.near_cycles > 0, "latency.near_cycles", &self.near_cycles, "an access takes time")?;
        ensure(
            sides == 1 || self.far_cycles >= self.near_cycles,
            "latency.far_cycles",
            &self.far_cycles,
            "the far side cannot be closer than the near one",
        )?;
        // Sums of them stay far from the end of 32 bits, and a table of the noise stays small.
        for (field, cycles) in [
            ("latency.near_cycles", self.near_cycles),
            ("latency.far_cycles", self.far_cycles),
            ("latency.spread_cycles", self.spread_cycles),
            ("latency.noise_cycles", self.noise_cycles),
        ] {
            ensure(cycles <= 100_000, field, &cycles, "an access to the L2 takes no more than 100000 cycles")?;
        }
        for (field, share) in [("latency.outlier_rate", self.outlier_rate), ("latency.confusion", self.confusion)] {
            ensure((0.0..=1.0).contains(&share), field, &share, "it is a share from 0 to 1")?;
        }
        ensure(
            self.twins <= slices_per_side / 2,
            "latency.twins",
            &self.twins,
            "a side has no more pairs than half its slices",
        )
    }
}
