use super::*;

fn hash(text: &str) -> Hash {
    let hash: Hash = toml::from_str(text).expect("understood");
    hash.check().map_err(|bad| format!("{} = {}: {}", bad.field, bad.value, bad.rule)).expect("sound");
    hash
}

fn channel(hash: &Hash, at: u64) -> u32 {
    hash.channel_of(PhysAddr::new(at))
}

#[test]
fn a_hash_that_says_nothing_has_one_slice() {
    let hash = hash("");
    assert_eq!((hash.sides(), hash.channels(), hash.slices()), (1, 1, 1));
    assert_eq!(hash.slice_of(PhysAddr::new(0x1234_5678)), 0);
}

#[test]
fn the_bits_of_an_xor_channel_are_parities() {
    let hash = hash("[channels]\nkind = \"xor\"\nmasks = [\"0x1400\", \"0x800\"]");
    assert_eq!(hash.channels(), 4);
    let channels = [0x3FF, 0x400, 0x800, 0xC00, 0x1000, 0x1400, 0x1C00].map(|at| channel(&hash, at));
    assert_eq!(channels, [0, 1, 2, 3, 1, 0, 2]);
}

/// From doc/REVERSE.md of FGPU: the lowest bits of the three functions are 10, 11 and 12, and 12 is in all three.
#[test]
fn a_gtx_1080_has_the_channels_that_were_published() {
    let spec = crate::spec::GpuSpec::builtin("gtx1080").expect("built in").expect("sound");
    let channels = [0x400, 0x800, 0xC00, 0x1000, 0x1400, 0x2000, 1 << 30].map(|at| channel(&spec.hash, at));
    assert_eq!(channels, [1, 2, 3, 7, 6, 6, 7]);
}

#[test]
fn a_v100_has_the_channels_that_were_published() {
    let spec = crate::spec::GpuSpec::builtin("v100").expect("built in").expect("sound");
    let channels = [0x400, 0x800, 0x1000, 0x2000, 0x8000, 1 << 33].map(|at| channel(&spec.hash, at));
    assert_eq!(channels, [1, 2, 4, 0b1011, 0b10110, 0b10001]);
}

const PERMUTATION: &str = r#"[channels]
kind = "permutation"
unit = "1K"
over = "block"
selectors = ["0x1"]
sequences = [[2, 0, 1], [1, 2, 0]]"#;

#[test]
fn the_units_of_a_block_go_through_the_sequence_that_its_number_chooses() {
    let hash = hash(PERMUTATION);
    assert_eq!(hash.channels(), 3);
    let channels: Vec<_> = (0..9).map(|unit| channel(&hash, unit * 1024 + 1023)).collect();
    assert_eq!(channels, [2, 0, 1, 1, 2, 0, 2, 0, 1]);
}

#[test]
fn the_address_can_choose_the_sequence_as_well() {
    let hash = hash(&PERMUTATION.replace("block", "address").replace("0x1", "0x1800"));
    let channels: Vec<_> = (0..6).map(|unit| channel(&hash, unit * 1024)).collect();
    // The parity of bits 11 and 12 is 0, 0, 1, 1, 1, 1.
    assert_eq!(channels, [2, 0, 0, 1, 2, 0]);
}

#[test]
fn a_ring_steps_by_its_weights() {
    let hash = hash(
        "[channels]\nkind = \"ring\"\nmodulus = 5\nforms = [\"0x100\", \"0x600\", \"0x400\"]\nweights = [1, 3, 14]",
    );
    assert_eq!(hash.channels(), 5);
    let channels: Vec<_> = (0..8).map(|at| channel(&hash, at << 8)).collect();
    assert_eq!(channels, [0, 1, 3, 4, 2, 3, 4, 0]);
}

#[test]
fn a_scrambled_channel_depends_on_its_bits_alone() {
    let hash = hash("[channels]\nkind = \"scrambled\"\nbits = \"0x9000\"\nclasses = 1000\nseed = 7");
    let of = |at| channel(&hash, at);
    assert_eq!(of(0), of(0xFFFF_0000_6FFF));
    assert_eq!(of(0x8000), of(0xA000));
    let mut all = [0, 0x1000, 0x8000, 0x9000].map(of);
    // mix(index ^ mix(7)) % 1000, by another implementation.
    assert_eq!(all, [591, 283, 445, 52]);
    all.sort_unstable();
    assert!(all.windows(2).all(|pair| pair[0] < pair[1]));
}

#[test]
fn slices_are_counted_side_by_side_and_channel_by_channel() {
    let hash = hash(
        "side_masks = [\"0x1000\"]\n[channels]\nkind = \"xor\"\nmasks = [\"0x400\", \"0x800\"]\n\
         [slices]\nmasks = [\"0x200\"]",
    );
    assert_eq!((hash.sides(), hash.slices_per_side(), hash.slices()), (2, 8, 16));
    let slices: Vec<_> = (0..16).map(|at| hash.slice_of(PhysAddr::new(at << 9))).collect();
    assert_eq!(slices, (0..16).collect::<Vec<_>>());
}

#[test]
fn mistakes_are_named() {
    let xor = "[channels]\nkind = \"xor\"\nmasks = [\"0x400\"]\n[slices]\nmasks = [\"0x200\"]";
    let ring = "[channels]\nkind = \"ring\"\nmodulus = 5\nforms = [\"0x100\"]\nweights = [1]";
    let scrambled = "[channels]\nkind = \"scrambled\"\nbits = \"0x9000\"\nclasses = 9\nseed = 7";
    let many = ["\"0x400\""; 11].join(", ");
    let six = ["\"0x400\""; 6].join(", ");
    for (text, from, to, told) in [
        (xor, "\"0x400\"", "\"0x0\"", "hash.channels.masks"),
        (xor, "\"0x400\"", "\"0x440\"", "hash.channels.masks"),
        (xor, "\"0x400\"", &many, "at most 10 masks"),
        (xor, "\"0x200\"", "\"0x0\"", "hash.slices.masks"),
        (xor, "\"0x200\"", &many, "hash.slices.masks"),
        (&xor.replace("\"0x400\"", &six), "\"0x200\"", &six, "hash = 4096 slices"),
        (xor, "masks", "mask", "mask"),
        (xor, "[slices]\nmasks", "[slices]\nmask", "mask"),
        (ring, "modulus = 5", "modulus = 0", "hash.channels.modulus"),
        (ring, "modulus = 5", "modulus = 1025", "hash.channels.modulus"),
        (ring, "[\"0x100\"]", "[\"0x10\"]", "hash.channels.forms"),
        (ring, "[1]", "[1, 2]", "hash.channels.weights"),
        (scrambled, "0x9000", "0x0", "hash.channels.bits"),
        (scrambled, "0x9000", "0x9001", "hash.channels.bits"),
        (scrambled, "classes = 9", "classes = 0", "hash.channels.classes"),
        (scrambled, "seed", "sed", "sed"),
        (PERMUTATION, "1K", "1000", "hash.channels.unit"),
        (PERMUTATION, "1K", "64", "hash.channels.unit"),
        (PERMUTATION, "block", "page", "page"),
        (PERMUTATION, "\"0x1\"", "", "hash.channels.sequences"),
        (PERMUTATION, "\"0x1\"", "\"0x0\"", "hash.channels.selectors"),
        (PERMUTATION, "[[2, 0, 1], [1, 2, 0]]", "[]", "hash.channels.sequences"),
        (PERMUTATION, "[[2, 0, 1], [1, 2, 0]]", "[[], []]", "hash.channels.sequences"),
        (PERMUTATION, "[2, 0, 1]", "[2, 0]", "same length"),
        (PERMUTATION, "[[2, 0, 1], [1, 2, 0]]", "[[2, 0, 0], [0, 2, 0]]", "without a gap"),
        (PERMUTATION, "[1, 2, 0]", "[1, 2, 4294967295]", "without a gap"),
    ] {
        assert!(text.contains(from), "{from}");
        let error = match toml::from_str::<Hash>(&text.replacen(from, to, 1)) {
            Err(error) => error.to_string(),
            Ok(hash) => {
                let bad = hash.check().err().unwrap_or_else(|| panic!("{to} is taken"));
                format!("{} = {}, but {}", bad.field, bad.value, bad.rule)
            }
        };
        assert!(error.contains(told), "{to}: {error}");
    }
}

#[test]
fn the_example_of_the_readme_is_understood() {
    let readme = include_str!("../../../README.md");
    let (_, example) = readme.split_once("```toml").expect("an example");
    let (example, _) = example.split_once("```").expect("an end");
    let hash = hash(&example.replace("[hash]", "").replace("[hash.", "["));
    assert_eq!((hash.sides(), hash.channels(), hash.slices()), (2, 3, 12));
}
