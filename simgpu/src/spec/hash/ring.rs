//! Steps around a ring of channels.
//!
//! The slices of an H200's side are a ring of 47: what lies next to each other in memory goes to neighbours on it, and
//! arithmetic modulo 47 on an address whose upper bits are XORed into the lower ones has that effect. Such a remainder
//! is a sum of parities of the address with weights 2^i, modulo 47; here any weights will do.

use super::{BadHash, Hash, check_masks, ensure, parity};
use crate::spec::text;
use serde::Deserialize;
use units::PhysAddr;

/// A sum of weighted parities, modulo the number of channels.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ring {
    /// How many channels the ring has.
    pub(super) modulus: u32,
    /// The masks of the parities.
    #[serde(deserialize_with = "text::masks")]
    forms: Vec<u64>,
    /// How far around the ring each parity steps.
    weights: Vec<u32>,
}

impl Ring {
    pub(super) fn channel_of(&self, at: PhysAddr) -> u32 {
        let steps = self.forms.iter().zip(&self.weights);
        let sum: u64 = steps.map(|(form, &weight)| u64::from(parity(at.get() & form)) * u64::from(weight)).sum();
        (sum % u64::from(self.modulus)) as u32
    }

    pub(super) fn check(&self) -> Result<(), BadHash> {
        ensure(
            (1..=Hash::MAX_SLICES).contains(&self.modulus),
            "hash.channels.modulus",
            &self.modulus,
            "a ring has 1 to 1024 channels",
        )?;
        check_masks("hash.channels.forms", &self.forms)?;
        ensure(
            self.forms.len() <= 64,
            "hash.channels.forms",
            &self.forms,
            "an address of 64 bits has at most 64 independent parities",
        )?;
        ensure(self.weights.len() == self.forms.len(), "hash.channels.weights", &self.weights, "each form has one")
    }
}
