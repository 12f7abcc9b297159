//! The TPCs that the bits of a launch's mask keep it from, and the side that each is on.
//!
//! A launch's descriptor has a place for 128 bits, each of which takes one TPC (two SMs, on most chips) away from the
//! launch. Which of them mean a TPC, and which one, differs from card to card: on an H200 66 of 84 places do, with gaps
//! where the chip is fused off. So
//!
//! 1. a launch without a mask tells the numbers of all SMs;
//! 2. for each place, a launch with only that bit taken away tells which SMs are its TPC: those that are missing, again
//!    and again, since an SM may be passed over by chance. A launch that is left with no TPC at all would never end, so
//!    nothing but one bit at a time is taken away before it is known what the bits mean;
//! 3. each TPC has to be of the same size and no SM in two, and together they have to be all SMs, else a mask would
//!    leave SMs open that nobody reckons with;
//! 4. a TPC's side is that of its SMs;
//! 5. launches on each side and on halves of the TPCs taken at random run where they must and nowhere else.

use crate::bench::{BenchError, Masked, NoMasks};
use crate::tpc_bits::TpcBits;
use fastrand::Rng;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Repetitions of a launch before an SM that it did not run on counts as kept from it.
const LAUNCHES: usize = 4;
/// Halves of the TPCs, taken at random, that must keep a launch where it belongs.
const HALVES: usize = 8;
/// The fewest SMs of a GPU whose bits are tried: one bit must never take all of them away, and no TPC or pair of them
/// has as many.
const LEAST_SMS: u32 = 8;

/// The numbers of SMs.
type Sms = BTreeSet<u32>;

/// The TPCs of a GPU by their bits in a launch's mask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tpcs {
    /// The bits of each side's TPCs, sides numbered as colours are; one set of all bits where sides are not known.
    pub sides: Vec<TpcBits>,
    /// The number of SMs of each TPC.
    pub sms_of_each: u32,
}

impl Tpcs {
    /// The bits of all TPCs.
    pub fn all(&self) -> TpcBits {
        self.sides.iter().copied().collect()
    }

    /// The number of SMs of all TPCs.
    pub fn sms(&self) -> u32 {
        self.all().count().saturating_mul(self.sms_of_each)
    }

    /// Names a content that no probe of a GPU with so many SMs can have found, if there is one.
    pub(crate) fn implausible(&self, sms: u32) -> Option<&'static str> {
        let counted: u32 = self.sides.iter().map(|side| side.count()).sum();
        match () {
            () if !(1..=2).contains(&self.sides.len()) => Some("TPCs are on no side, or on too many"),
            () if self.sides.iter().any(|side| side.is_empty()) => Some("a side has no TPC"),
            () if counted != self.all().count() => Some("a TPC is on two sides"),
            () if self.sms_of_each == 0 || self.sms() != sms => Some("the TPCs' SMs are not those of the GPU"),
            () => None,
        }
    }
}

/// A reason for which launches are not kept from TPCs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoTpcs {
    /// No launch can have a mask.
    #[error(transparent)]
    Masks(#[from] NoMasks),
    /// The GPU is so small that one bit might take all of it away.
    #[error("the GPU has {sms} SMs, too few to take some away")]
    TooSmall {
        /// The number of SMs.
        sms: u32,
    },
    /// A launch without a mask ran on fewer SMs, or on more, than the GPU has.
    #[error("a launch without a mask ran on {seen} SMs of {sms}")]
    OtherSms {
        /// The number that it ran on.
        seen: usize,
        /// The number that there are.
        sms: u32,
    },
    /// A launch with a mask ran on an SM that no launch without one did.
    #[error("with bit {bit} taken away a launch ran on SM {sm}, which no launch without a mask did")]
    Renumbered {
        /// The bit.
        bit: u32,
        /// The SM's number.
        sm: u32,
    },
    /// No bit has an effect.
    #[error("none of {} bits takes an SM away", TpcBits::PLACES)]
    NoEffect,
    /// Two bits take the same SM away.
    #[error("bits {first} and {second} both take SM {sm} away")]
    Overlap {
        /// One bit.
        first: u32,
        /// The other.
        second: u32,
        /// The SM's number.
        sm: u32,
    },
    /// TPCs are not alike.
    #[error("bit {bit} takes {sms} SMs away, the first one {first}")]
    Unequal {
        /// The bit.
        bit: u32,
        /// The number of its SMs.
        sms: usize,
        /// The number of the first bit's.
        first: usize,
    },
    /// Some SMs can be taken away by no bit.
    #[error("no bit takes SM {sm} away, nor {} others", count - 1)]
    OutOfReach {
        /// One of them.
        sm: u32,
        /// Their number.
        count: usize,
    },
    /// A launch ran where it must not.
    #[error("a launch that was left the TPCs {left} ran on SM {sm}, which is none of theirs")]
    Strayed {
        /// The TPCs.
        left: TpcBits,
        /// The SM's number.
        sm: u32,
    },
    /// A launch did not run on all that it was left.
    #[error("a launch that was left the TPCs {left} did not run on SM {sm}, which is one of theirs")]
    Unused {
        /// The TPCs.
        left: TpcBits,
        /// The SM's number.
        sm: u32,
    },
}

/// The SMs of one bit.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tpc {
    bit: u32,
    sms: Sms,
}

/// Finds the TPCs, given the sides of SMs by their number.
pub(crate) fn find(
    masked: &mut dyn Masked,
    sms: u32,
    sm_side: &[Option<u32>],
    rng: &mut Rng,
) -> Result<Result<Tpcs, NoTpcs>, BenchError> {
    if sms < LEAST_SMS {
        return Ok(Err(NoTpcs::TooSmall { sms }));
    }
    let mut everywhere = Sms::new();
    for _ in 0..LAUNCHES {
        everywhere.extend(masked.ran_without(TpcBits::default())?);
        if everywhere.len() >= sms as usize {
            break;
        }
    }
    if everywhere.len() != sms as usize {
        return Ok(Err(NoTpcs::OtherSms { seen: everywhere.len(), sms }));
    }
    let mut found = Vec::new();
    for bit in 0..TpcBits::PLACES {
        match of_bit(masked, bit, &everywhere)? {
            Ok(sms) if sms.is_empty() => {}
            Ok(sms) => found.push(Tpc { bit, sms }),
            Err(reason) => return Ok(Err(reason)),
        }
    }
    let tpcs = match sort(&found, &everywhere, sm_side) {
        Ok(tpcs) => tpcs,
        Err(reason) => return Ok(Err(reason)),
    };
    for left in samples(&tpcs, &found, rng) {
        if let Err(reason) = verify(masked, left, &found)? {
            return Ok(Err(reason));
        }
    }
    Ok(Ok(tpcs))
}

/// The SMs that a bit takes away, each of them from every one of some launches.
fn of_bit(masked: &mut dyn Masked, bit: u32, everywhere: &Sms) -> Result<Result<Sms, NoTpcs>, BenchError> {
    let mut missing = everywhere.clone();
    for _ in 0..LAUNCHES {
        for sm in masked.ran_without(TpcBits::one(bit))? {
            if !everywhere.contains(&sm) {
                return Ok(Err(NoTpcs::Renumbered { bit, sm }));
            }
            missing.remove(&sm);
        }
        if missing.is_empty() {
            break;
        }
    }
    Ok(Ok(missing))
}

/// Sorts TPCs by side, where they are what a mask can rest on.
fn sort(found: &[Tpc], everywhere: &Sms, sm_side: &[Option<u32>]) -> Result<Tpcs, NoTpcs> {
    let first = found.first().ok_or(NoTpcs::NoEffect)?.sms.len();
    for (at, tpc) in found.iter().enumerate() {
        for before in &found[..at] {
            if let Some(&sm) = tpc.sms.intersection(&before.sms).next() {
                return Err(NoTpcs::Overlap { first: before.bit, second: tpc.bit, sm });
            }
        }
        if tpc.sms.len() != first {
            return Err(NoTpcs::Unequal { bit: tpc.bit, sms: tpc.sms.len(), first });
        }
    }
    let reached = sms_of(found.iter());
    let mut left_over = everywhere.difference(&reached);
    if let Some(&sm) = left_over.next() {
        return Err(NoTpcs::OutOfReach { sm, count: 1 + left_over.count() });
    }
    let bits = |side: u32| -> TpcBits {
        let of = found.iter().filter(|tpc| side_of(tpc, sm_side) == Some(side));
        of.map(|tpc| TpcBits::one(tpc.bit)).collect()
    };
    let all: TpcBits = found.iter().map(|tpc| TpcBits::one(tpc.bit)).collect();
    let sides = [bits(0), bits(1)];
    // A TPC whose side is not known would be missing from both.
    let known = sides.iter().all(|side| !side.is_empty()) && sides[0].union(sides[1]) == all;
    let sides = if known { sides.to_vec() } else { vec![all] };
    Ok(Tpcs { sides, sms_of_each: first as u32 })
}

/// The side that all of a TPC's SMs are on whose side is known.
fn side_of(tpc: &Tpc, sm_side: &[Option<u32>]) -> Option<u32> {
    let mut known = tpc.sms.iter().filter_map(|&sm| *sm_side.get(sm as usize)?);
    let side = known.next()?;
    known.all(|other| other == side).then_some(side)
}

/// The sets of TPCs that launches are tried on: each side, and random halves of all.
fn samples(tpcs: &Tpcs, found: &[Tpc], rng: &mut Rng) -> Vec<TpcBits> {
    let mut samples = tpcs.sides.clone();
    for _ in 0..HALVES {
        let half = rng.choose_multiple(found.iter(), found.len().div_ceil(2));
        samples.push(half.iter().map(|tpc| TpcBits::one(tpc.bit)).collect());
    }
    samples
}

/// Checks that a launch which is left these TPCs, at least one, runs on all of their SMs and on no others.
fn verify(masked: &mut dyn Masked, left: TpcBits, found: &[Tpc]) -> Result<Result<(), NoTpcs>, BenchError> {
    let promised = sms_of(found.iter().filter(|tpc| !TpcBits(TpcBits::one(tpc.bit).0 & left.0).is_empty()));
    let mut unused = promised.clone();
    for _ in 0..LAUNCHES {
        for sm in masked.ran_without(left.others())? {
            if !promised.contains(&sm) {
                return Ok(Err(NoTpcs::Strayed { left, sm }));
            }
            unused.remove(&sm);
        }
        if unused.is_empty() {
            break;
        }
    }
    Ok(unused.first().map_or(Ok(()), |&sm| Err(NoTpcs::Unused { left, sm })))
}

fn sms_of<'a>(tpcs: impl Iterator<Item = &'a Tpc>) -> Sms {
    tpcs.flat_map(|tpc| tpc.sms.iter().copied()).collect()
}

#[cfg(test)]
mod tests;
