use super::*;
use crate::mix::{below, mix};

const H200: &str = include_str!("../../gpus/h200.toml");

fn built_in() -> impl Iterator<Item = (&'static str, GpuSpec)> {
    GpuSpec::builtin_names().map(|name| (name, GpuSpec::builtin(name).expect("built in").expect(name)))
}

/// How the lines of some pages all over VRAM are spread over the slices.
fn lines_by_slice(spec: &GpuSpec) -> Vec<u32> {
    let mut counts = vec![0; spec.hash.slices() as usize];
    let pages = spec.vram.get() / 4096;
    for page in (0..100_000).map(|number| below(mix(number), pages)) {
        for line in 0..4096 / LINE.get() {
            let at = PhysAddr::new(page * 4096 + line * LINE.get());
            counts[spec.hash.slice_of(at) as usize] += 1;
        }
    }
    counts
}

#[test]
fn every_built_in_gpu_is_sound() {
    for (name, spec) in built_in() {
        assert!(spec.driver.is_supported(), "{name}");
        let sms = |side| (0..spec.sms).filter(|&sm| spec.sm_side(sm) == side).count();
        assert!((0..spec.sides()).all(|side| sms(side) == sms(0)), "{name}: as many SMs on every side");
    }
    let mut uuids: Vec<_> = built_in().map(|(_, spec)| spec.uuid).collect();
    uuids.sort_unstable();
    uuids.dedup();
    assert_eq!(uuids.len(), built_in().count(), "no two have the same UUID");
    assert!(GpuSpec::builtin("gtx").is_none());
}

#[test]
fn every_built_in_gpu_has_its_sides_channels_and_slices() {
    for (name, sides, channels, slices) in [
        ("h200", 2, 47, 94),
        ("h100", 2, 5, 80),
        ("gh200", 2, 3, 96),
        ("gb200", 2, 32, 128),
        ("gtx1080", 1, 8, 8),
        ("v100", 1, 32, 32),
        ("p40", 1, 12, 24),
        ("a2000", 1, 6, 6),
        ("adversarial", 1, 16, 16),
    ] {
        let hash = GpuSpec::builtin(name).expect(name).expect("sound").hash;
        assert_eq!((hash.sides(), hash.channels(), hash.slices()), (sides, channels, slices), "{name}");
    }
}

#[test]
fn every_slice_of_a_built_in_gpu_has_its_share() {
    for (name, spec) in built_in() {
        let counts = lines_by_slice(&spec);
        let share = f64::from(counts.iter().sum::<u32>()) / counts.len() as f64;
        for (slice, &lines) in counts.iter().enumerate() {
            assert!(
                (f64::from(lines) / share - 1.0).abs() < 0.08,
                "{name}: slice {slice} has {lines} of {share} lines"
            );
        }
    }
}

#[test]
fn the_side_is_the_parity_under_the_mask() {
    let spec = GpuSpec::parse(H200).expect("sound");
    assert_eq!(spec.side_of(PhysAddr::new(0x0FFF)), 0);
    assert_eq!(spec.side_of(PhysAddr::new(0x1000)), 1);
    assert_eq!(spec.side_of(PhysAddr::new(0x3000)), 0);
}

#[test]
fn two_slices_of_an_h200_take_turns_in_a_unit_and_a_page_has_eight() {
    let hash = GpuSpec::parse(H200).expect("sound").hash;
    for page in (0..1 << 12).map(|page| page * 0x1_2345_7000) {
        let slice = |line: u64| hash.slice_of(PhysAddr::new(page + line * LINE.get()));
        let channel = |line: u64| hash.channel_of(PhysAddr::new(page + line * LINE.get()));
        for unit in (0..32).step_by(8) {
            let lines: Vec<_> = (unit..unit + 8).map(slice).collect();
            let [a, b] = [lines[0], lines[2]];
            assert_eq!(lines, [a, a, b, b, a, a, b, b]);
            let apart = (channel(unit) + 47 - channel(unit + 2)) % 47;
            assert!(apart == 1 || apart == 46, "neighbours on the ring");
        }
        let mut all: Vec<_> = (0..32).map(slice).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 8);
    }
}

#[test]
fn what_is_left_out_means_a_plain_gpu() {
    let field = |line: &&str| !line.starts_with("l2") && !line.starts_with("far_cycles") && !line.starts_with("twins");
    let lines: Vec<_> = H200.lines().filter(field).collect();
    let text = lines.join("\n");
    let (from, to) = (text.find("# Pairs of SMs").expect("sides"), text.find("[dram]").expect("speeds"));
    let spec = GpuSpec::parse(&format!("{}{}", &text[..from], &text[to..])).expect("sound");
    assert_eq!((spec.sides(), spec.hash.channels(), spec.hash.slices()), (1, 1, 1));
    assert_eq!(spec.l2, Bytes::mib(50));
    assert_eq!((spec.latency.twins, spec.latency.confusion), (0, 0.0));
    assert_eq!((spec.side_of(PhysAddr::new(0x1000)), spec.sm_side(131)), (0, 0));
}

#[test]
fn mistakes_are_named() {
    for (from, to, told) in [
        ("sms = 132", "sms = 0", "sms = 0"),
        ("gbps = 4460.0", "gbps = nan", "dram.gbps = NaN"),
        ("vram = \"143770M\"", "vram = \"3M\"", "2 MiB"),
        ("vram = \"143770M\"", "vram = \"lots\"", "not a size"),
        ("l2 = \"50M\"", "l2 = \"2G\"", "l2 = 2147483648"),
        ("launch_us", "lunch_us", "lunch_us"),
        ("side_masks", "side_mask", "side_mask"),
        ("kind = \"ring\"", "kind = \"magic\"", "magic"),
        ("[\"0x1cbd6ab000\"]", "[\"0x0\"]", "without bits"),
        ("[\"0x1cbd6ab000\"]", "[\"1cbd6ab000\"]", "0x"),
        ("[\"0x1cbd6ab000\"]", "[]", "every SM"),
        ("[\"0x1cbd6ab000\"]", "[\"0x40\"]", "hash.side_masks"),
        ("4d697373-", "4d69-", "UUID"),
        ("far_cycles = 432", "far_cycles = 200", "latency.far_cycles = 200"),
        ("noise_cycles = 12", "noise_cycles = 4000000000", "latency.noise_cycles"),
        ("outlier_rate = 0.001", "outlier_rate = 2.0", "latency.outlier_rate = 2"),
        ("twins = 2", "twins = 24", "latency.twins = 24"),
        ("twins = 2", "confusion = -0.5", "latency.confusion = -0.5"),
    ] {
        assert!(H200.contains(from), "{from}");
        let error = GpuSpec::parse(&H200.replace(from, to)).expect_err(to).to_string();
        assert!(error.contains(told), "{to}: {error}");
    }
}

#[test]
fn an_unknown_name_is_answered_with_the_known_ones() {
    let source = std::io::Error::from(std::io::ErrorKind::NotFound);
    let error = SpecError::Read { path: "h999".into(), source }.to_string();
    assert!(error.contains("h999") && GpuSpec::builtin_names().all(|name| error.contains(name)), "{error}");
}
