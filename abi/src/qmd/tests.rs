//! Masks written into descriptors of each version.

use super::*;

/// A descriptor as long as those of version 4.0 are.
type Bytes = [u8; 384];

const MASK: TpcMask = TpcMask(0x0123_4567_89AB_CDEF_0F1E_2D3C_4B5A_6978);

fn made(version_at: usize, version: u8) -> Bytes {
    let mut bytes = [0; 384];
    bytes[version_at] = version;
    bytes
}

fn give(bytes: &mut Bytes, mask: TpcMask) -> Result<(), UnknownQmd> {
    // SAFETY: the array is longer than what any form uses, and borrowed for this call alone.
    unsafe { set_mask(NonNull::from(bytes).cast(), mask) }
}

fn read(bytes: &mut Bytes) -> Result<Option<TpcMask>, UnknownQmd> {
    // SAFETY: as above.
    unsafe { super::mask(NonNull::from(bytes).cast()) }
}

/// The bytes that differ from those of a descriptor that was just made.
fn changed(bytes: &Bytes, version_at: usize, version: u8) -> impl Iterator<Item = usize> {
    let before = made(version_at, version);
    (0..bytes.len()).filter(move |&at| bytes[at] != before[at])
}

#[test]
fn version_4_0_has_four_words_and_a_bit_that_says_that_they_count() {
    let mut bytes = made(72, 0x40);
    assert_eq!(read(&mut bytes), Ok(None));
    assert_eq!(give(&mut bytes, MASK), Ok(()));
    assert_eq!(bytes[304..320], MASK.bits().to_le_bytes());
    assert_eq!(bytes[..4], [0, 0, 0, 0x80]);
    assert!(changed(&bytes, 72, 0x40).all(|at| at == 3 || (304..320).contains(&at)), "nothing else is written");
    assert_eq!(read(&mut bytes), Ok(Some(MASK)));
    bytes[3] = 0;
    assert_eq!(read(&mut bytes), Ok(None), "it does not count");
}

#[test]
fn what_else_the_first_word_says_stays() {
    let mut bytes = made(72, 0x40);
    bytes[..4].copy_from_slice(&[0x11, 0x22, 0x33, 0x44]);
    assert_eq!(give(&mut bytes, MASK), Ok(()));
    assert_eq!(bytes[..4], [0x11, 0x22, 0x33, 0xC4]);
}

#[test]
fn versions_from_1_6_to_3_0_have_two_words_that_always_count() {
    for version in [0x16, 0x17, 0x20, 0x21, 0x22, 0x23, 0x24, 0x30] {
        let mut bytes = made(72, version);
        assert_eq!(give(&mut bytes, MASK), Ok(()), "{version:#x}");
        assert_eq!(bytes[84..92], MASK.bits().to_le_bytes()[..8]);
        assert!(changed(&bytes, 72, version).all(|at| (84..92).contains(&at)));
        assert_eq!(read(&mut bytes), Ok(Some(TpcMask(MASK.bits() & u128::from(u64::MAX)))));
    }
}

#[test]
fn version_5_0_says_its_version_elsewhere() {
    let mut bytes = made(58, 0x50);
    assert_eq!(give(&mut bytes, MASK), Ok(()));
    assert_eq!(bytes[280..296], MASK.bits().to_le_bytes());
    assert_eq!(bytes[16..20], [0, 0, 0, 0x80]);
    assert!(changed(&bytes, 58, 0x50).all(|at| at == 19 || (280..296).contains(&at)));
}

#[test]
fn a_descriptor_of_an_unknown_version_is_left_as_it_is() {
    for (at, version) in
        [(72, 0), (72, 0x06), (72, 0x18), (72, 0x25), (72, 0x31), (72, 0x41), (72, 0x50), (58, 0x51), (58, 0x40)]
    {
        let mut bytes = made(at, version);
        let unknown = UnknownQmd { at_72: bytes[72], at_58: bytes[58] };
        assert_eq!(give(&mut bytes, MASK), Err(unknown), "{version:#x} at {at}");
        assert_eq!(changed(&bytes, at, version).count(), 0);
    }
    let mut both = made(72, 0x41);
    both[58] = 0x50;
    assert!(give(&mut both, MASK).is_err(), "two versions at once");
}

#[test]
fn a_form_says_what_it_has_no_place_for() {
    for (at, version, beyond) in [(72, 0x30, u128::MAX << 64), (72, 0x40, 0), (58, 0x50, 0)] {
        let mut bytes = made(at, version);
        // SAFETY: the array is longer than what any form uses.
        let form = unsafe { Form::of(NonNull::from(&mut bytes).cast()) }.expect("a known version");
        assert_eq!(form.beyond(), beyond);
        assert_eq!(form.is_measured(), version == 0x40);
    }
}

#[test]
fn a_mask_says_what_it_leaves() {
    assert_eq!(TpcMask::all_but(0b101).left(), 0b101);
    assert!(TpcMask::all_but(0).is_full());
    assert!(TpcMask::NONE.is_none() && !TpcMask::NONE.is_full());
    assert_eq!(TpcMask::all_but(0b110).and(TpcMask::all_but(0b011)).left(), 0b010);
}

#[test]
fn parameters_that_end_before_the_descriptor_have_none() {
    let mut target = 0u8;
    let target = &raw mut target;
    let of_size = |bytes: usize, target: *mut u8| {
        let parameters = [bytes, 0, 0, 0, target as usize];
        // SAFETY: the parameters are as long as the longest size given below.
        unsafe { descriptor(parameters.as_ptr().cast()) }
    };
    assert_eq!(of_size(40, target), NonNull::new(target));
    assert_eq!(of_size(39, target), None);
    assert_eq!(of_size(40, core::ptr::null_mut()), None);
    // SAFETY: null is allowed.
    assert_eq!(unsafe { descriptor(core::ptr::null()) }, None);
}
